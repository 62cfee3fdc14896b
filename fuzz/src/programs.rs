//! Programs, and the TLS code in them.

use std::{fs::File, os::unix::fs::FileExt as _};

use plainspan::probe::{Elf, WINDOW, locate::LOCATORS};

/// A file with these bytes, in memory.
fn file(data: &[u8]) -> File {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let file = File::from(rustix::fs::memfd_create("fuzz", flags).expect("the kernel has memory for a file"));
    file.write_all_at(data, 0).expect("the kernel has memory for a file");
    file
}

/// Everything that the view of a program says.
pub fn view(data: &[u8]) {
    let _ = Elf::view(&file(data), |elf| {
        let _ = elf.functions(&["SSL_write", "SSL_read"], 2);
        let _ = (elf.entry(), elf.eh_frame_header(), elf.relocations(), elf.section(".text"));
        for segment in elf.segments() {
            assert!(segment.address.checked_add(segment.size).is_some(), "no address wraps");
            let mut next = segment.address;
            let _ = elf.windows(segment, 64, |address, window| {
                assert_eq!(address, next, "windows follow each other");
                next += window.len().min(WINDOW) as u64;
                assert!(elf.bytes(address, 16).is_none_or(|bytes| bytes.len() == 16));
                true
            });
        }
    });
}

/// What a locator says of a file. Places that it finds are in the file's code.
pub fn locate(name: &str, data: &[u8]) {
    let locator = LOCATORS.iter().find(|l| l.name() == name).expect("a target for each locator, by its name");
    let _ = Elf::view(&file(data), |elf| {
        if let Ok(Some(finding)) = locator.locate(elf) {
            for point in &finding.points {
                assert!(point.offset < data.len() as u64, "a place beyond the end of the file: {finding:?}");
                assert!(elf.address(point.offset).is_some(), "a place that is no code: {finding:?}");
            }
        }
    });
}
