//! A view of an ELF file that may be hostile: read piecewise, bounded, never mapped (a file that shrinks
//! under a mapping kills the reader).

use std::{
    cell::Cell,
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use object::{
    Architecture as ObjectArchitecture, Object, ObjectSection, ObjectSegment, ObjectSymbol, ReadCache,
    ReadRef,
    read::elf::{ElfFile64, FileHeader, ProgramHeader as _, Sym as _, SymbolTable, VersionTable},
};
use thiserror::Error;

use super::arch::Architecture;

/// Most symbols that are looked at in one file.
const MAX_SYMBOLS: usize = 2_000_000;

/// Most bytes of tables that are read from one file. Node.js's are some 10 MiB; a sparse file of a few blocks can
/// claim terabytes.
const MAX_READ: u64 = 128 << 20;

/// Most bytes that [`Elf::bytes`] hands out at once.
const MAX_BYTES: usize = 64 << 20;

/// Most segments that are looked at; real programs have some dozen.
const MAX_SEGMENTS: usize = 256;

/// How much of a segment [`Elf::windows`] reads at once.
pub const WINDOW: usize = 1 << 20;

/// Why a file could not be read as a program.
#[derive(Debug, Error)]
pub enum ElfError {
    /// It can't be opened or read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is no ELF file, or a broken one.
    #[error("is not a readable ELF file: {0}")]
    Format(#[from] object::Error),
    /// It is for another machine.
    #[error("is for another architecture")]
    Architecture,
}

/// Opens a regular file for reading, and nothing else.
pub fn open(path: &Path) -> io::Result<File> {
    // Not waiting: whoever owns the path may have put a pipe there since it was looked at.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}

/// A file of which only so much is read.
#[derive(Clone, Copy)]
struct Bounded<'a> {
    cache: &'a ReadCache<&'a File>,
    left: &'a Cell<u64>,
}

impl<'a> ReadRef<'a> for Bounded<'a> {
    fn len(self) -> Result<u64, ()> {
        self.cache.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        self.left.set(self.left.get().checked_sub(size).ok_or(())?);
        self.cache.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        let found = self.cache.read_bytes_at_until(range, delimiter)?;
        self.left.set(self.left.get().checked_sub(found.len() as u64).ok_or(())?);
        Ok(found)
    }
}

/// A part of the file that is loaded into memory (`PT_LOAD`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Virtual address of its first byte.
    pub address: u64,
    /// Where that byte is in the file.
    pub offset: u64,
    /// Bytes of it that are in the file, cut to the file's true size.
    pub size: u64,
    /// Whether it can be executed.
    pub executable: bool,
    /// Whether it can be written.
    pub writable: bool,
}

impl Segment {
    /// Whether the byte at the address comes from the file.
    pub fn contains(&self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|within| within < self.size)
    }
}

/// A 64-bit little-endian ELF file.
pub struct Elf<'a> {
    file: ElfFile64<'a, object::LittleEndian, Bounded<'a>>,
    raw: &'a File,
    segments: Vec<Segment>,
    architecture: Architecture,
}

impl Elf<'_> {
    /// Opens a file and hands its view to `read`.
    pub fn open<R>(path: &Path, read: impl FnOnce(&Elf<'_>) -> R) -> Result<R, ElfError> {
        Self::view(&open(path)?, read)
    }

    /// The same for a file that is open already.
    pub fn view<R>(raw: &File, read: impl FnOnce(&Elf<'_>) -> R) -> Result<R, ElfError> {
        let (cache, left) = (ReadCache::new(raw), Cell::new(MAX_READ));
        let cache = Bounded { cache: &cache, left: &left };
        // The class and the byte order are checked here, before the typed view takes them for granted.
        object::elf::FileHeader64::<object::LittleEndian>::parse(cache)?;
        let file = ElfFile64::<object::LittleEndian, _>::parse(cache)?;
        let architecture = match file.architecture() {
            ObjectArchitecture::X86_64 => Architecture::X86_64,
            ObjectArchitecture::Aarch64 => Architecture::Aarch64,
            _ => return Err(ElfError::Architecture),
        };
        let length = raw.metadata()?.len();
        let segments = file.segments().take(MAX_SEGMENTS).filter_map(|s| segment(&s, length)).collect();
        Ok(read(&Elf { file, raw, segments, architecture }))
    }

    /// What is loaded into memory, in the order of the file's program headers.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether its addresses are relative to where it is loaded (a shared library or a PIE).
    pub fn position_independent(&self) -> bool {
        self.file.kind() == object::ObjectKind::Dynamic
    }

    /// Address and size of a section, where the file still has section headers.
    pub fn section(&self, name: &str) -> Option<(u64, u64)> {
        let section = self.file.section_by_name(name)?;
        Some((section.address(), section.size()))
    }

    /// The bytes at a virtual address, all from one segment. `None` where the file does not hold all of them, or
    /// they are more than 64 MiB.
    pub fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let segment = self.segments.iter().find(|s| s.contains(address))?;
        let within = address - segment.address;
        if len > MAX_BYTES || len as u64 > segment.size - within {
            return None;
        }
        let mut bytes = vec![0; len];
        self.raw.read_exact_at(&mut bytes, segment.offset + within).ok()?;
        Some(bytes)
    }

    /// Goes through a segment in windows of [`WINDOW`] bytes: calls `visit` with the address of each window's first
    /// byte and the window, which also holds the first `overlap` bytes of the next one (fewer at the end). Memory is
    /// bounded by the window, whatever the size of the file. Stops early when `visit` returns false.
    pub fn windows(
        &self,
        segment: &Segment,
        overlap: usize,
        mut visit: impl FnMut(u64, &[u8]) -> bool,
    ) -> io::Result<()> {
        let mut buffer = vec![0; WINDOW + overlap];
        let mut at = 0;
        while at < segment.size {
            let len = (segment.size - at).min(buffer.len() as u64) as usize;
            self.raw.read_exact_at(&mut buffer[..len], segment.offset + at)?;
            if !visit(segment.address + at, &buffer[..len]) {
                break;
            }
            at += WINDOW as u64;
        }
        Ok(())
    }

    /// Machine that its code is for.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// File offsets of functions that the file itself defines, in the order of `names`. Dynamic symbols come first; the
    /// symbol table, which may have half a million entries, is asked only where they have some of the functions and lack
    /// one of the first `needed`.
    pub fn functions(&self, names: &[&str], needed: usize) -> Vec<Option<u64>> {
        let mut found = self.hashed(names).unwrap_or_else(|| {
            let mut found = vec![None; names.len()];
            self.look(self.file.dynamic_symbols(), names, &mut found);
            found
        });
        if found.iter().take(needed).any(Option::is_none) && found.iter().any(Option::is_some) {
            self.look(self.file.symbols(), names, &mut found);
        }
        found
    }

    /// By the dynamic linker's own table (`DT_GNU_HASH`), which has what the file defines. None where there is no such
    /// table.
    fn hashed(&self, names: &[&str]) -> Option<Vec<Option<u64>>> {
        let (endian, data) = (object::LittleEndian, self.file.data());
        let sections = self.file.elf_section_table();
        let header = sections.gnu_hash_header(endian, data).ok()??;
        let (buckets, bloom) = (header.bucket_count.get(endian), header.bloom_count.get(endian));
        // The table's reader takes these for granted: it divides by them, and shifts a word of 32 bits.
        if buckets == 0 || !bloom.is_power_of_two() || header.bloom_shift.get(endian) >= u32::BITS {
            return None;
        }
        let (table, linked) = sections.gnu_hash(endian, data).ok()??;
        let symbols =
            SymbolTable::parse(endian, data, sections, linked, sections.section(linked).ok()?).ok()?;
        let versions = VersionTable::default();
        let find = |name: &str| {
            let hash = object::elf::gnu_hash(name.as_bytes());
            let (_, symbol) = table.find(endian, name.as_bytes(), hash, None, &symbols, &versions)?;
            let address = symbol.st_value(endian);
            (address != 0 && !symbol.is_undefined(endian)).then(|| self.file_offset(address))?
        };
        Some(names.iter().map(|name| find(name)).collect())
    }

    fn look<'s>(
        &self,
        symbols: impl Iterator<Item = impl ObjectSymbol<'s>>,
        names: &[&str],
        found: &mut [Option<u64>],
    ) {
        for symbol in symbols.take(MAX_SYMBOLS) {
            if symbol.is_undefined() || symbol.address() == 0 {
                continue;
            }
            let Ok(name) = symbol.name_bytes() else { continue };
            // Every name looked for has a prefix in common with few others; compare the cheap way first.
            let Some(i) = names.iter().position(|n| n.as_bytes() == name) else { continue };
            if found[i].is_none() {
                found[i] = self.file_offset(symbol.address());
            }
        }
    }

    /// Address and size of the exception-handling header (`PT_GNU_EH_FRAME`), a table of functions.
    pub fn eh_frame_header(&self) -> Option<(u64, u64)> {
        let header = self
            .file
            .elf_program_headers()
            .iter()
            .take(MAX_SEGMENTS)
            .find(|h| h.p_type.get(object::LittleEndian) == object::elf::PT_GNU_EH_FRAME)?;
        Some((header.p_vaddr.get(object::LittleEndian), header.p_filesz.get(object::LittleEndian)))
    }

    /// Address and size of the table of relocations with addends, as the dynamic section names it (`DT_RELA`).
    pub fn relocations(&self) -> Option<(u64, u64)> {
        use object::read::elf::Dyn as _;
        let endian = object::LittleEndian;
        let entries = self
            .file
            .elf_program_headers()
            .iter()
            .take(MAX_SEGMENTS)
            .find_map(|h| h.dynamic(endian, self.file.data()).ok().flatten())?;
        let value = |tag: u32| entries.iter().find(|e| e.tag32(endian) == Some(tag)).map(|e| e.d_val(endian));
        Some((value(object::elf::DT_RELA)?, value(object::elf::DT_RELASZ)?))
    }

    /// Virtual address of a file offset in an executable segment.
    pub fn address(&self, offset: u64) -> Option<u64> {
        let holds = |s: &&Segment| offset.checked_sub(s.offset).is_some_and(|within| within < s.size);
        let segment = self.segments.iter().find(|s| s.executable && holds(s))?;
        segment.address.checked_add(offset - segment.offset)
    }

    /// File offset of the first instruction of the program.
    pub fn entry(&self) -> Option<u64> {
        self.file_offset(self.file.entry())
    }

    /// The file offset of a virtual address in an executable segment.
    pub fn file_offset(&self, address: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|s| s.executable && s.contains(address))?;
        segment.offset.checked_add(address - segment.address)
    }
}

fn segment<'d>(segment: &impl ObjectSegment<'d>, length: u64) -> Option<Segment> {
    let object::SegmentFlags::Elf { p_flags } = segment.flags() else { return None };
    let (offset, size) = segment.file_range();
    let size = size.min(length.checked_sub(offset)?);
    // No address of it may wrap.
    segment.address().checked_add(size)?;
    Some(Segment {
        address: segment.address(),
        offset,
        size,
        executable: p_flags & object::elf::PF_X != 0,
        writable: p_flags & object::elf::PF_W != 0,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use object::{LittleEndian as LE, read::elf::SectionHeader as _};

    use super::*;

    fn file(name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("plainspan-elf-{}-{name}", std::process::id()));
        File::create(&path).unwrap().write_all(bytes).unwrap();
        path
    }

    #[test]
    fn what_is_no_elf_is_an_error() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let mut wide = own[..64].to_vec();
        wide[4] = 1; // ELFCLASS32
        let cases: &[(&str, &[u8])] = &[
            ("empty", b""),
            ("text", b"#!/bin/sh\n"),
            ("magic", b"\x7fELF"),
            ("cut", &own[..40]),
            ("class32", &wide),
        ];
        for (name, bytes) in cases {
            let path = file(name, bytes);
            assert!(Elf::open(&path, |_| ()).is_err(), "{name}");
            std::fs::remove_file(path).unwrap();
        }
    }

    /// A sparse file: a header, and tables of a terabyte that take no room.
    #[test]
    fn tables_that_are_only_claimed_are_not_read() {
        let size = 24u64 << 36;
        let mut bytes = std::fs::read("/proc/self/exe").unwrap()[..64].to_vec();
        bytes[40..48].copy_from_slice(&64u64.to_le_bytes()); // e_shoff
        bytes[54..64].copy_from_slice(&[56, 0, 0, 0, 64, 0, 3, 0, 2, 0]); // sizes and numbers of headers
        bytes[32..40].fill(0); // e_phoff
        let mut section = |kind: u32, offset: u64, size: u64, link: u32, entry: u64| {
            for word in [0, kind, 0, 0, 0, 0, offset as u32, (offset >> 32) as u32] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(&[link.to_le_bytes(), [0; 4]].concat());
            bytes.extend_from_slice(&[8u64.to_le_bytes(), entry.to_le_bytes()].concat());
        };
        section(0, 0, 0, 0, 0);
        section(object::elf::SHT_DYNSYM, 0x1000, size, 2, 24);
        section(object::elf::SHT_STRTAB, 0x1000, size, 0, 0);
        let path = file("sparse", &bytes);
        File::options().write(true).open(&path).unwrap().set_len(size + 0x1000).unwrap();
        let found = Elf::open(&path, |elf| elf.functions(&["SSL_write"], 1));
        std::fs::remove_file(path).unwrap();
        assert!(matches!(found, Err(ElfError::Format(_))), "{found:?}");
    }

    /// What the table of hashes says must be what the list of symbols says, and a broken table must not be believed.
    #[test]
    fn functions_by_their_hashes() {
        let names = ["SSL_write", "SSL_read", "SSL_free", "no_such_function", "memcpy"];
        let library = super::super::libraries::of_system();
        let library =
            library.iter().find(|p| p.is_file() && p.to_string_lossy().contains("libssl.so")).unwrap();
        let offsets = |path: &Path| {
            Elf::open(path, |elf| {
                let mut listed = vec![None; names.len()];
                elf.look(elf.file.dynamic_symbols(), &names, &mut listed);
                (
                    elf.hashed(&names),
                    listed,
                    elf.file
                        .elf_section_table()
                        .iter()
                        .map(|s| (s.sh_type(LE), s.sh_offset(LE)))
                        .collect::<Vec<_>>(),
                )
            })
            .unwrap()
        };
        let (hashed, listed, sections) = offsets(library);
        assert_eq!(hashed, Some(listed.clone()));
        assert_eq!(listed.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, false, false]);
        let (_, table) = sections.into_iter().find(|(kind, _)| *kind == object::elf::SHT_GNU_HASH).unwrap();
        // Number of buckets, size of the filter, shift.
        for (at, value) in [(0, 0u32), (8, 0), (8, 3), (12, 40)] {
            let mut bytes = std::fs::read(library).unwrap();
            bytes[table as usize + at..][..4].copy_from_slice(&value.to_le_bytes());
            let path = file(&format!("hash-{at}-{value}"), &bytes);
            assert_eq!(offsets(&path).0, None, "{at} {value}");
            assert_eq!(Elf::open(&path, |elf| elf.functions(&names, 2)).unwrap(), listed);
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("plainspan-elf-{}-pipe", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success() && Elf::open(&path, |_| ()).is_err());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn damaged_tables_do_not_panic() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let head = &own[..own.len().min(1 << 16)];
        for at in (0..0x400).step_by(3) {
            let mut bytes = head.to_vec();
            bytes[at] ^= 0xff;
            let path = file("damaged", &bytes);
            let _ = Elf::open(&path, |elf| elf.functions(&["SSL_write"], 1));
            std::fs::remove_file(path).unwrap();
        }
    }
}
