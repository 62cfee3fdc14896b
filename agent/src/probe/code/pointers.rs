//! Pointers in data.

use std::collections::BTreeMap;

use crate::probe::Elf;

/// Bytes of an entry with an addend (`Elf64_Rela`): where, what kind, what.
const ENTRY: usize = 24;

/// Entries that are read at once.
const BATCH: usize = 64 * 1024;

/// Most entries that are looked through; Chromium's have some 700,000.
const MAX_ENTRIES: usize = 8 << 20;

/// `R_X86_64_RELATIVE` and `R_AARCH64_RELATIVE`: a pointer to what is in the file itself.
const RELATIVE: [u32; 2] = [8, 1027];

/// Calls `visit` with the place and the value of each pointer that is set when the file is loaded (`DT_RELA`), until it
/// returns false.
pub fn relocated(elf: &Elf<'_>, mut visit: impl FnMut(u64, u64) -> bool) {
    let Some((table, size)) = elf.relocations() else { return };
    let mut left = usize::try_from(size / ENTRY as u64).unwrap_or(usize::MAX).min(MAX_ENTRIES);
    let mut at = table;
    while left > 0 {
        let count = left.min(BATCH);
        let Some(entries) = elf.bytes(at, count * ENTRY) else { return };
        for entry in entries.chunks_exact(ENTRY) {
            let word = |n: usize| {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&entry[8 * n..8 * n + 8]);
                u64::from_le_bytes(bytes)
            };
            if RELATIVE.contains(&(word(1) as u32)) && !visit(word(0), word(2)) {
                return;
            }
        }
        left -= count;
        let Some(next) = at.checked_add((count * ENTRY) as u64) else { return };
        at = next;
    }
}

/// What the eight bytes at each of the places hold once the file is loaded: what a relocation puts there, else what
/// the file itself has there (programs that are not relocated, and `DT_RELR`). One pass over the relocations.
pub fn pointers(elf: &Elf<'_>, places: impl IntoIterator<Item = u64>) -> BTreeMap<u64, u64> {
    let mut found: BTreeMap<u64, u64> = places
        .into_iter()
        .filter_map(|place| {
            let bytes = elf.bytes(place, 8)?;
            Some((place, u64::from_le_bytes(bytes.try_into().ok()?)))
        })
        .collect();
    if !found.is_empty() {
        relocated(elf, |place, value| {
            if let Some(held) = found.get_mut(&place) {
                *held = value;
            }
            true
        });
    }
    found
}
