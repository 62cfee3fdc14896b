//! Where functions begin, in code without symbols.

use std::ops::Range;

use super::relocated;
use crate::probe::{Architecture, Elf, WINDOW};

/// How far before a place its function may begin, and how far behind it the next one is looked for.
const REACH: u64 = 64 * 1024;

/// Most candidates for starts that are kept.
const MAX_STARTS: usize = 1 << 20;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Function {
    /// Virtual address of its first instruction.
    pub start: u64,
    /// Virtual address behind its last one, or a place before the next function.
    pub end: u64,
    /// What says so.
    pub origin: Origin,
}

/// How the start of a function was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The table for exception handling names it.
    EhFrame,
    /// It is called, or pointed to, and what is before it ends another function.
    Called,
}

/// The functions around some places in the code.
pub struct Functions {
    table: Vec<Function>,
    /// Sorted starts, from calls and pointers, near the places asked for.
    starts: Vec<u64>,
}

impl Functions {
    /// Gathers the starts of functions near `places`: two passes over the file at most.
    pub fn near(elf: &Elf<'_>, places: &[u64]) -> Self {
        let table = eh_frame(elf, places).unwrap_or_default();
        let near: Vec<Range<u64>> = merge(
            places
                .iter()
                .filter(|place| containing(&table, **place).is_none())
                .map(|place| place.saturating_sub(REACH)..place.saturating_add(REACH))
                .collect(),
        );
        let mut starts = if near.is_empty() { Vec::new() } else { called(elf, &near) };
        starts.retain(|start| begins(elf, *start));
        Self { table, starts }
    }

    /// The function that contains an address.
    pub fn containing(&self, address: u64) -> Option<Function> {
        containing(&self.table, address).or_else(|| {
            let next = self.starts.partition_point(|start| *start <= address);
            let start = *self.starts.get(next.checked_sub(1)?)?;
            let end = self.starts.get(next).copied().unwrap_or(start + REACH);
            (address - start <= REACH).then_some(Function { start, end, origin: Origin::Called })
        })
    }
}

fn containing(table: &[Function], address: u64) -> Option<Function> {
    table.iter().find(|f| f.start <= address && address < f.end).copied()
}

/// Sorted ranges that do not overlap.
fn merge(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|r| r.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn within(ranges: &[Range<u64>], address: u64) -> bool {
    let after = ranges.partition_point(|r| r.start <= address);
    after > 0 && address < ranges[after - 1].end
}

/// The functions that contain the places, by the binary search table of `.eh_frame_hdr` (Linux Standard Base, core,
/// 10.6.2): version 1, and a table of pairs (start, description) relative to the header itself.
fn eh_frame(elf: &Elf<'_>, places: &[u64]) -> Option<Vec<Function>> {
    const VERSION: u8 = 1;
    const UDATA4: u8 = 0x03;
    const DATAREL_SDATA4: u8 = 0x3b;
    let (header, size) = elf.eh_frame_header()?;
    let head = elf.bytes(header, 12)?;
    if head[0] != VERSION || head[2] != UDATA4 || head[3] != DATAREL_SDATA4 {
        return None;
    }
    let count = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
    if count.checked_mul(8)?.checked_add(12)? as u64 > size {
        return None;
    }
    let table = elf.bytes(header.checked_add(12)?, count * 8)?;
    let entry = |i: usize, at: usize| {
        let word = &table[8 * i + at..][..4];
        header.wrapping_add(i64::from(i32::from_le_bytes([word[0], word[1], word[2], word[3]])) as u64)
    };
    let mut functions: Vec<Function> = places
        .iter()
        .filter_map(|place| {
            let (mut low, mut high) = (0, count);
            while low < high {
                let middle = low + (high - low) / 2;
                if entry(middle, 0) <= *place { low = middle + 1 } else { high = middle }
            }
            let at = low.checked_sub(1)?;
            let start = entry(at, 0);
            // The description: length, pointer to what several share, start, and the number of bytes.
            let range = elf.bytes(entry(at, 4).checked_add(12)?, 4)?;
            let end =
                start.checked_add(u64::from(u32::from_le_bytes([range[0], range[1], range[2], range[3]])))?;
            (*place < end).then_some(Function { start, end, origin: Origin::EhFrame })
        })
        .collect();
    functions.sort_unstable();
    functions.dedup();
    Some(functions)
}

/// Addresses in the ranges that code calls or data points to, sorted.
fn called(elf: &Elf<'_>, near: &[Range<u64>]) -> Vec<u64> {
    let mut starts = Vec::new();
    for segment in elf.segments() {
        let _ = elf.windows(segment, 8, |address, window| {
            let mut found = |at: usize, target: u64| {
                if at < WINDOW && within(near, target) {
                    starts.push(target);
                }
            };
            match (segment.executable, elf.architecture()) {
                (true, Architecture::X86_64) => calls_x86(address, window, &mut found),
                (true, Architecture::Aarch64) => calls_arm(address, window, &mut found),
                (false, _) => words(address, window, &mut found),
            }
            starts.len() < MAX_STARTS
        });
    }
    relocated(elf, |_, target| {
        if within(near, target) {
            starts.push(target);
        }
        starts.len() < MAX_STARTS
    });
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// `call rel32`
fn calls_x86(address: u64, window: &[u8], found: &mut impl FnMut(usize, u64)) {
    for at in memchr::memchr_iter(0xe8, window) {
        let Some(&[a, b, c, d]) = window.get(at + 1..at + 5) else { break };
        let displacement = i64::from(i32::from_le_bytes([a, b, c, d])) as u64;
        found(at, address.wrapping_add(at as u64 + 5).wrapping_add(displacement));
    }
}

/// `bl`
fn calls_arm(address: u64, window: &[u8], found: &mut impl FnMut(usize, u64)) {
    for (n, word) in window.chunks_exact(4).enumerate() {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        if word >> 26 == 0b10_0101 {
            let displacement = i64::from((word << 6) as i32 >> 4) as u64;
            found(4 * n, address.wrapping_add(4 * n as u64).wrapping_add(displacement));
        }
    }
}

/// Words that are the address of something: in programs that are not relocated, and where relocation keeps the value
/// in place (`DT_RELR`).
fn words(address: u64, window: &[u8], found: &mut impl FnMut(usize, u64)) {
    let skip = (8 - address % 8) as usize % 8;
    for (n, word) in window.get(skip..).unwrap_or_default().chunks_exact(8).enumerate() {
        let word =
            u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
        found(skip + 8 * n, word);
    }
}

/// Does what stands before the address end a function, so that another one can begin there?
fn begins(elf: &Elf<'_>, address: u64) -> bool {
    let Some(before) = address.checked_sub(8).and_then(|at| elf.bytes(at, 8)) else { return false };
    match elf.architecture() {
        Architecture::X86_64 => ends_x86(&before, address.is_multiple_of(16)),
        Architecture::Aarch64 => {
            let word = u32::from_le_bytes([before[4], before[5], before[6], before[7]]);
            // ret, b, br, bl (of what does not return), nop, udf, brk
            word & 0xffff_fc1f == 0xd65f_0000
                || word >> 26 & 0b01_1111 == 0b00_0101
                || word & 0xffff_fc1f == 0xd61f_0000
                || word == 0xd503_201f
                || word < 0x1_0000
                || word & 0xffe0_001f == 0xd420_0000
        }
    }
}

/// The last instruction may be a return, a jump, a call of something that does not return, a trap, or padding.
fn ends_x86(before: &[u8], aligned: bool) -> bool {
    let back = |n: usize| before[before.len() - n];
    matches!(back(1), 0xcc | 0xc3 | 0x90)
        || matches!(back(5), 0xe9 | 0xe8)
        || back(2) == 0xeb
        || (back(2), back(1)) == (0x0f, 0x0b)
        || (back(6) == 0xff && matches!(back(5), 0x25 | 0x15))
        || (back(2) == 0xff && matches!(back(1), 0xe0..=0xe7))
        || (aligned && matches!(back(1), 0x00 | 0x1f | 0x66))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_relative_to_their_end() {
        let mut found = Vec::new();
        calls_x86(0x1000, &[0x90, 0xe8, 0xfa, 0x0f, 0, 0, 0xe8, 1, 2], &mut |at, target| {
            found.push((at, target));
        });
        assert_eq!(found, [(1, 0x2000)]);
        found.clear();
        // bl .-4, bl .+8
        let code: Vec<u8> = [0x97ff_ffffu32, 0x9400_0002].iter().flat_map(|w| w.to_le_bytes()).collect();
        calls_arm(0x1000, &code, &mut |at, target| found.push((at, target)));
        assert_eq!(found, [(0, 0xffc), (4, 0x100c)]);
    }

    #[test]
    fn what_ends_a_function() {
        let ends = |tail: &[u8], aligned| {
            let mut before = vec![0x55; 8 - tail.len()];
            before.extend_from_slice(tail);
            ends_x86(&before, aligned)
        };
        for tail in [&[0xc3][..], &[0xcc], &[0xe9, 1, 2, 3, 4], &[0xeb, 5], &[0x0f, 0x0b], &[0xff, 0xe0]] {
            assert!(ends(tail, false), "{tail:x?}");
        }
        assert!(ends(&[0x0f, 0x1f, 0x00], true) && !ends(&[0x0f, 0x1f, 0x00], false));
        assert!(!ends(&[0x48, 0x89, 0xc7], true));
    }

    #[test]
    fn ranges_are_merged_and_asked() {
        let merged = merge(vec![10..20, 0..5, 15..30, 40..41]);
        assert_eq!(merged, [0..5, 10..30, 40..41]);
        for (address, expected) in [(0, true), (5, false), (29, true), (30, false), (40, true), (41, false)] {
            assert_eq!(within(&merged, address), expected, "{address}");
        }
    }
}
