//! C strings in a file.

use memchr::memmem::Finder;

use crate::probe::{Elf, Segment, WINDOW};

/// Most strings that are returned. What is looked for occurs once or twice.
const MAX_FOUND: usize = 64;

/// Longest string that is found whole.
const MAX_LEN: usize = 512;

/// A string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Virtual address of its first byte.
    pub address: u64,
    /// Without the zero byte.
    pub bytes: Vec<u8>,
}

/// The strings that end in `suffix`.
pub fn ending_in(elf: &Elf<'_>, suffix: &[u8]) -> Vec<Text> {
    let mut found = Vec::new();
    search(elf, &[suffix, b"\0"].concat(), |at| {
        found.extend(text(elf, at, suffix));
        found.len() < MAX_FOUND
    });
    found
}

/// The addresses of the strings that are exactly `text`.
pub fn exactly(elf: &Elf<'_>, text: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    search(elf, &[b"\0", text, b"\0"].concat(), |at| {
        found.push(at + 1);
        found.len() < MAX_FOUND
    });
    found
}

/// The strings that begin with `prefix`.
pub fn beginning_with(elf: &Elf<'_>, prefix: &[u8]) -> Vec<Text> {
    let mut found = Vec::new();
    search(elf, &[b"\0", prefix].concat(), |at| {
        let address = at + 1;
        let room =
            elf.segments().iter().find(|s| s.contains(address)).map_or(0, |s| s.address + s.size - address);
        if let Some(mut bytes) = elf.bytes(address, room.min(MAX_LEN as u64) as usize) {
            bytes.truncate(bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()));
            found.push(Text { address, bytes });
        }
        found.len() < MAX_FOUND
    });
    found
}

/// Calls `hit` with the address of each occurrence, until it returns false.
fn search(elf: &Elf<'_>, needle: &[u8], mut hit: impl FnMut(u64) -> bool) {
    let finder = Finder::new(needle);
    let mut go_on = true;
    for segment in elf.segments().iter().filter(|segment| may_hold_data(segment)) {
        // A segment that can't be read has nothing to be found in.
        let _ = elf.windows(segment, needle.len() - 1, |address, window| {
            for at in finder.find_iter(window).take_while(|at| *at < WINDOW) {
                go_on = go_on && hit(address + at as u64);
            }
            go_on
        });
        if !go_on {
            break;
        }
    }
}

/// A linker puts constants beside code only where it makes one segment of both, and that one begins with the file's
/// header (GNU ld's `-z noseparate-code`). Any other segment that is executed is code alone, and most of a large file.
fn may_hold_data(segment: &Segment) -> bool {
    !segment.executable || segment.offset == 0
}

/// The whole string whose last bytes are `suffix`, at the address.
fn text(elf: &Elf<'_>, at: u64, suffix: &[u8]) -> Option<Text> {
    let segment = elf.segments().iter().find(|s| s.contains(at))?;
    let room = (at - segment.address).min((MAX_LEN - suffix.len().min(MAX_LEN)) as u64);
    let before = elf.bytes(at - room, room as usize)?;
    let len = before.iter().rev().take_while(|b| **b != 0).count();
    let mut bytes = before[before.len() - len..].to_vec();
    bytes.extend_from_slice(suffix);
    Some(Text { address: at - len as u64, bytes })
}
