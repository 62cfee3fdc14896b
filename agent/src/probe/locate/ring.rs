//! ring under rustls (reqwest and much else in Rust): its AEAD functions, by the tables that point to them.
//!
//! ring is Rust: no symbol, no name and no error report of these functions is left in a stripped program. But it calls
//! them through pointers, and rustc lays a table out in the same way each time: `aead::Algorithm` of
//! src/aead/algorithm.rs (src/aead.rs up to 0.17.8) has the pointers to `init`, `seal` and `open`, the length of the
//! key, and a number that is 0 for AES-128-GCM, 1 for AES-256-GCM and 2 for ChaCha20-Poly1305. The first two share
//! `seal` and `open`.
//!
//! Both encrypt in place. `open` gives out the tag that it has computed; its caller compares that with the tag that
//! came, which is behind the ciphertext. So where the two differ the plaintext is none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use agent_common::{
    ACTION_CALL, ACTION_RETURN, ACTION_SEAL, ACTION_SEALED, AT_REGISTER, FORM_RECORD, Location, Point,
    RECEIVED, SENT,
};

use super::Locator;
use crate::probe::{Elf, Finding, Mechanism, ProbePoint, WINDOW, code, inner};

/// The locator.
pub struct Ring;

/// Bytes of a table: three pointers, a length, a number and what fills it up.
const TABLE: usize = 40;

/// Most places that look like a table before their pointers are known.
const MAX_CANDIDATES: usize = 1 << 18;

/// Most copies of ring that one program is expected to have (two versions of it, at most).
const MAX_COPIES: usize = 8;

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Algorithm {
    kind: Kind,
    init: u64,
    seal: u64,
    open: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Kind {
    fn of(key: u64, number: u64) -> Option<Self> {
        match (key, number) {
            (16, 0) => Some(Self::Aes128Gcm),
            (32, 1) => Some(Self::Aes256Gcm),
            (32, 2) => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }
}

impl Locator for Ring {
    fn name(&self) -> &'static str {
        "ring"
    }

    fn locate(&self, elf: &Elf<'_>) -> Result<Option<Finding>, String> {
        let tables = tables(elf);
        let Some(ciphers) = identify(&tables)? else { return Ok(None) };
        let mut evidence = "tables of AEAD algorithms:".to_owned();
        let mut points = Vec::new();
        for cipher in &ciphers {
            let _ = write!(evidence, " {} seal {:#x} open {:#x}", cipher.name, cipher.seal, cipher.open);
            points.extend(seal(elf, cipher.seal_symbol, cipher.seal)?);
            points.extend(open(elf, cipher.open_symbol, cipher.open)?);
        }
        Ok(Some(Finding { stack: self.name(), evidence, points }))
    }
}

/// Whatever in the file's data looks like one of the tables.
fn tables(elf: &Elf<'_>) -> BTreeSet<Algorithm> {
    let mut candidates: Vec<(u64, Kind)> = Vec::new();
    for segment in elf.segments().iter().filter(|s| !s.executable) {
        let _ = elf.windows(segment, TABLE, |address, window| {
            shapes(address, window, &mut |at, kind| candidates.push((at, kind)));
            candidates.len() < MAX_CANDIDATES
        });
    }
    let places = candidates.iter().flat_map(|(at, _)| [*at, at + 8, at + 16]);
    let pointers = code::pointers(elf, places);
    let code = |place: u64| pointers.get(&place).copied().filter(|p| elf.file_offset(*p).is_some());
    candidates
        .iter()
        .filter_map(|(at, kind)| {
            let (init, seal, open) = (code(*at)?, code(at + 8)?, code(at + 16)?);
            let distinct = init != seal && seal != open && init != open;
            distinct.then_some(Algorithm { kind: *kind, init, seal, open })
        })
        .collect()
}

/// Where the constants of a table stand, at their distance from the beginning of the table.
fn shapes(address: u64, window: &[u8], found: &mut impl FnMut(u64, Kind)) {
    let skip = (8 - address % 8) as usize % 8;
    let words = window.get(skip..).unwrap_or_default();
    let word = |n: usize| {
        let bytes = words.get(8 * n..8 * n + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    for n in 0..words.len() / 8 {
        let at = skip + 8 * n;
        if at >= WINDOW {
            break;
        }
        if let (Some(key @ (16 | 32)), Some(number)) = (word(n + 3), word(n + 4))
            && let Some(kind) = Kind::of(key, number)
        {
            found(address + at as u64, kind);
        }
    }
}

/// A pair of functions.
#[derive(Debug, PartialEq, Eq)]
struct Cipher {
    name: &'static str,
    seal_symbol: &'static str,
    open_symbol: &'static str,
    seal: u64,
    open: u64,
}

/// The functions of tables that go together. `None` where there is no pair of AES tables: those are what is certain.
fn identify(tables: &BTreeSet<Algorithm>) -> Result<Option<Vec<Cipher>>, String> {
    let mut by_functions: BTreeMap<(u64, u64), Vec<&Algorithm>> = BTreeMap::new();
    for table in tables {
        by_functions.entry((table.seal, table.open)).or_default().push(table);
    }
    let inits = |tables: &[&Algorithm], kind| -> Vec<u64> {
        tables.iter().filter(|t| t.kind == kind).map(|t| t.init).collect()
    };
    let mut aes: Vec<Cipher> = Vec::new();
    let mut chacha: Vec<Cipher> = Vec::new();
    for ((seal, open), tables) in by_functions {
        let [small, large, other] =
            [Kind::Aes128Gcm, Kind::Aes256Gcm, Kind::ChaCha20Poly1305].map(|kind| inits(&tables, kind));
        match (&small[..], &large[..], &other[..]) {
            ([small], [large], []) if small != large => aes.push(Cipher {
                name: "AES-GCM",
                seal_symbol: "aes_gcm_seal",
                open_symbol: "aes_gcm_open",
                seal,
                open,
            }),
            ([], [], [_]) => chacha.push(Cipher {
                name: "ChaCha20-Poly1305",
                seal_symbol: "chacha20_poly1305_seal",
                open_symbol: "chacha20_poly1305_open",
                seal,
                open,
            }),
            _ => {}
        }
    }
    if aes.is_empty() {
        return Ok(None);
    }
    if aes.len() > MAX_COPIES || chacha.len() > aes.len() {
        return Err(format!(
            "{} pairs of tables look like ring's AES-GCM and {} tables like its ChaCha20-Poly1305",
            aes.len(),
            chacha.len()
        ));
    }
    aes.extend(chacha);
    Ok(Some(aes))
}

/// `fn(key: &KeyInner, nonce: Nonce, aad: Aad<&[u8]>, in_out: &mut [u8], ...) -> Result<Tag, Unspecified>`, the
/// beginning that both have. rustc passes the result's address first, a nonce by its address, and slices as address and
/// length.
fn common(elf: &Elf<'_>, direction: u8) -> Point {
    let registers = elf.architecture().registers();
    let argument = |n| registers.argument_beside_result(n);
    Point {
        direction,
        stack_register: registers.stack,
        frame: registers.entry_frame,
        form: FORM_RECORD,
        conn: argument(0),
        aad: argument(2),
        aad_len: argument(3),
        buf: argument(4),
        len: argument(5),
        ..Point::default()
    }
}

fn at_return(begins: &Point, action: u8) -> Point {
    let Point { direction, stack_register, form, .. } = *begins;
    Point { action, direction, stack_register, form, ..Point::default() }
}

fn placed(
    elf: &Elf<'_>,
    symbol: &'static str,
    address: u64,
    begins: Point,
    ends: Point,
) -> Result<[ProbePoint; 2], String> {
    let offset = elf.file_offset(address).ok_or("a function lies outside of the code")?;
    let offset = inner::entry(elf, offset);
    Ok([(Mechanism::Uprobe, begins), (Mechanism::Uretprobe, ends)].map(|(mechanism, point)| ProbePoint {
        symbol,
        offset,
        mechanism,
        point,
    }))
}

fn seal(elf: &Elf<'_>, symbol: &'static str, address: u64) -> Result<[ProbePoint; 2], String> {
    let begins = Point { action: ACTION_SEAL, ..common(elf, SENT) };
    placed(elf, symbol, address, begins, at_return(&begins, ACTION_SEALED))
}

fn open(elf: &Elf<'_>, symbol: &'static str, address: u64) -> Result<[ProbePoint; 2], String> {
    let register = elf.architecture().registers().large_result;
    let result = Location { kind: AT_REGISTER, width: 8, register, displacement: 0 };
    let begins = Point { action: ACTION_CALL, moved: result, ..common(elf, RECEIVED) };
    placed(elf, symbol, address, begins, at_return(&begins, ACTION_RETURN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    #[test]
    fn the_shape_of_a_table() {
        let whole = words(&[0, 0, 0, 16, 0, 0, 0, 0, 32, 1, 0, 0, 0, 32, 2, 0, 0, 0, 32, 0, 0, 0, 0, 16, 1]);
        let found = |address: u64, window: &[u8]| {
            let mut found = Vec::new();
            shapes(address, window, &mut |at, kind| found.push((at - address, kind)));
            found
        };
        let expected = [(0, Kind::Aes128Gcm), (40, Kind::Aes256Gcm), (80, Kind::ChaCha20Poly1305)];
        assert_eq!(found(0x1000, &whole), expected);
        let moved = [&[1, 2, 3][..], &whole].concat();
        assert_eq!(found(0x1005, &moved), expected.map(|(at, kind)| (at + 3, kind)));
        assert_eq!(found(0x1000, &whole[..39]), [], "cut");
        assert_eq!(found(u64::MAX - 7, &whole[..3]), []);
    }

    #[test]
    fn tables_that_go_together() {
        use Kind::{Aes128Gcm, Aes256Gcm, ChaCha20Poly1305};
        let identified = |of: &[(Kind, u64, u64, u64)]| {
            let tables = of.iter().map(|(kind, init, seal, open)| Algorithm {
                kind: *kind,
                init: *init,
                seal: *seal,
                open: *open,
            });
            identify(&tables.collect()).map(|found| {
                found.map(|found| found.iter().map(|c| (c.name, c.seal, c.open)).collect::<Vec<_>>())
            })
        };
        let (small, large) = ((Aes128Gcm, 1, 10, 11), (Aes256Gcm, 2, 10, 11));
        let chacha = (ChaCha20Poly1305, 3, 20, 21);
        let aes = ("AES-GCM", 10, 11);
        assert_eq!(identified(&[small, large]), Ok(Some(vec![aes])));
        assert_eq!(identified(&[small, large, chacha]), Ok(Some(vec![aes, ("ChaCha20-Poly1305", 20, 21)])));
        for nothing in [&[][..], &[small], &[large, chacha], &[small, (Aes256Gcm, 1, 10, 11)]] {
            assert_eq!(identified(nothing), Ok(None), "{nothing:?}");
        }
        // A table more than there are copies of ring: one of them is something else.
        assert!(identified(&[small, large, chacha, (ChaCha20Poly1305, 4, 30, 31)]).is_err());
    }
}
