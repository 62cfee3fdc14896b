//! References of code to addresses.

use crate::probe::{Architecture, Elf, WINDOW};

/// Most references that are returned. A library reports its errors at some hundred places.
const MAX_FOUND: usize = 16_384;

/// A place in code that names an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Virtual address of the place: on x86_64 of the four bytes that name the target, on aarch64 of the instruction
    /// that completes its address.
    pub at: u64,
    /// What it names.
    pub target: u64,
}

/// All references to the targets, in the order of the file. One pass over the executable segments, whatever the number
/// of targets.
pub fn references(elf: &Elf<'_>, targets: &[u64]) -> Vec<Reference> {
    let mut targets = targets.to_vec();
    targets.sort_unstable();
    targets.dedup();
    let (Some(&first), Some(&last)) = (targets.first(), targets.last()) else { return Vec::new() };
    let mut found = Vec::new();
    for segment in elf.segments().iter().filter(|s| s.executable) {
        let _ = elf.windows(segment, OVERLAP, |address, window| {
            let mut hit = |at: usize, target: u64| {
                if at < WINDOW && targets.binary_search(&target).is_ok() {
                    found.push(Reference { at: address + at as u64, target });
                }
            };
            match elf.architecture() {
                Architecture::X86_64 => {
                    relative(address, window, first, last, &mut hit);
                    if !elf.position_independent() {
                        absolute(window, first, last, &mut hit);
                    }
                }
                Architecture::Aarch64 => paged(address, window, first, last, &mut hit),
            }
            found.len() < MAX_FOUND
        });
    }
    found
}

/// How much of the next window is needed: longest distance between `adrp` and `add`, and the length of a displacement.
const OVERLAP: usize = 4 * PAIR_DISTANCE;

/// Positions that are looked at together.
const BLOCK: usize = 64;

/// RIP-relative operands: a displacement of 32 bits, counted from the end of the instruction, which nearly always is
/// the end of the displacement (Intel SDM, volume 2, 2.2.1.6).
fn relative(address: u64, window: &[u8], first: u64, last: u64, hit: &mut impl FnMut(usize, u64)) {
    let span = last - first;
    // Of position p: address + p + 4 + displacement - first <= span.
    let base = address.wrapping_add(4).wrapping_sub(first);
    let mut exact = |p: usize, bytes: &[u8; 4]| {
        let displacement = i64::from(i32::from_le_bytes(*bytes)) as u64;
        let within = base.wrapping_add(p as u64).wrapping_add(displacement);
        if within <= span {
            hit(p, first + within);
        }
    };
    // In a block, the lower halves of the sums are looked at without a branch: nearly always there is nothing.
    let (low_span, block_bytes) = (u32::try_from(span).unwrap_or(u32::MAX), BLOCK + 3);
    let mut at = 0;
    while let Some(block) = window.get(at..at + block_bytes) {
        let low_base = base.wrapping_add(at as u64) as u32;
        let mut any = false;
        for p in 0..BLOCK {
            let displacement = u32::from_le_bytes([block[p], block[p + 1], block[p + 2], block[p + 3]]);
            any |= low_base.wrapping_add(p as u32).wrapping_add(displacement) <= low_span;
        }
        if any {
            for (p, bytes) in block.windows(4).enumerate() {
                exact(at + p, &[bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
        at += BLOCK;
    }
    for (p, bytes) in window.get(at..).unwrap_or_default().windows(4).enumerate() {
        exact(at + p, &[bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
}

/// Immediate operands that are addresses, in programs that are loaded at a fixed one below 4 GiB.
fn absolute(window: &[u8], first: u64, last: u64, hit: &mut impl FnMut(usize, u64)) {
    for (p, bytes) in window.windows(4).enumerate() {
        let value = u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        if value >= first && value <= last {
            hit(p, value);
        }
    }
}

/// Most instructions between an `adrp` and the `add` that goes with it; compilers place them side by side, or move a
/// few others between.
const PAIR_DISTANCE: usize = 16;

/// `adrp` and `add` (Arm ARM, C6.2.11 and C6.2.4): a page, and an offset in it.
fn paged(address: u64, window: &[u8], first: u64, last: u64, hit: &mut impl FnMut(usize, u64)) {
    // By register: which page it holds, and since which instruction.
    let mut pages = [(0u64, usize::MAX); 32];
    for (n, word) in window.chunks_exact(4).enumerate() {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let pc = address.wrapping_add(4 * n as u64);
        let to = (word & 31) as usize;
        if word & 0x9f00_0000 == 0x9000_0000 {
            let immediate = i64::from(((word >> 3) as i32 & !3 | (word >> 29) as i32 & 3) << 11 >> 11);
            pages[to] = ((pc & !0xfff).wrapping_add((immediate << 12) as u64), n);
        } else if word & 0xffc0_0000 == 0x9100_0000 {
            let (page, since) = pages[(word >> 5 & 31) as usize];
            let target = page.wrapping_add(u64::from(word >> 10 & 0xfff));
            if since != usize::MAX && n - since <= PAIR_DISTANCE && (first..=last).contains(&target) {
                hit(4 * n, target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(search: impl FnOnce(&mut dyn FnMut(usize, u64))) -> Vec<(usize, u64)> {
        let mut found = Vec::new();
        search(&mut |at, target| found.push((at, target)));
        found
    }

    #[test]
    fn relative_to_the_instruction() {
        // lea rcx, [rip+0x1000-7-0x40] at 0x40: its displacement is at 0x43.
        let mut code = vec![0x90; 0x40];
        code.extend_from_slice(&[0x48, 0x8d, 0x0d]);
        code.extend_from_slice(&(0x1000i32 - 0x47).to_le_bytes());
        code.extend_from_slice(&[0xff; 8]);
        let found = collect(|mut hit| relative(0x40_0000, &code, 0x40_1000, 0x40_1000, &mut hit));
        assert_eq!(found, [(0x43, 0x40_1000)]);
        assert_eq!(collect(|mut hit| relative(0x40_0000, &code, 0x40_2000, 0x40_3000, &mut hit)), []);
        // Backwards, and at the end of the address space without an overflow.
        let back = (-4i32).to_le_bytes();
        assert_eq!(collect(|mut hit| relative(0x1000, &back, 0x1000, 0x1000, &mut hit)), [(0, 0x1000)]);
        let _ = collect(|mut hit| relative(u64::MAX - 8, &code, 0, u64::MAX, &mut hit));
    }

    #[test]
    fn pages_and_offsets() {
        // adrp x3, 0x403000 at 0x400000; nop; add x3, x3, #0x123
        let words =
            [0x9000_0003u32 | 0x3 << 29 & 0x6000_0000, 0xd503_201f, 0x9100_0000 | 0x123 << 10 | 3 << 5 | 3];
        let code: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let found = collect(|mut hit| paged(0x40_0000, &code, 0x40_0000, 0x50_0000, &mut hit));
        assert_eq!(found, [(8, 0x40_3123)]);
    }
}
