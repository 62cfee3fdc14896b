//! BoringSSL in an executable or a library that hides it (Bun and what is packed with it, gRPC, curl_cffi): by the
//! errors that its functions report.
//!
//! Each function names its source file, the error's reason and the line when it reports one. The reasons and the order
//! of the lines tell the functions apart, and both have been the same for a decade: `SSL_read` and `SSL_peek` stand
//! between `ssl_read_impl` and `SSL_write` in ssl/ssl_lib.cc. Line numbers themselves are never compared with anything.

use std::{collections::BTreeMap, fmt::Write as _};

use agent_common::{ACTION_SHUTDOWN, RECEIVED, SENT};
use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind};

use super::{
    Locator,
    ssl_api::{Role, points},
};
use crate::probe::{
    Architecture, Elf, Finding,
    code::{self, Function, Functions, Report},
};

/// Reasons, from BoringSSL's include/openssl/ssl.h and include/openssl/err.h.
const SHOULD_NOT_HAVE_BEEN_CALLED: u32 = 66;
const BAD_LENGTH: u32 = 111;
const NULL_SSL_CTX: u32 = 185;
const HANDSHAKE_FAILURE: u32 = 215;
const UNINITIALIZED: u32 = 226;
const APPLICATION_DATA_ON_SHUTDOWN: u32 = 291;

/// Names that the source file has had.
const FILES: [&[u8]; 2] = [b"ssl/ssl_lib.cc", b"ssl/ssl_lib.c"];

/// Most bytes of a function that are looked at.
const MAX_BODY: u64 = 1024;

/// The locator.
pub struct BoringSsl;

impl Locator for BoringSsl {
    fn name(&self) -> &'static str {
        "boringssl"
    }

    fn locate(&self, elf: &Elf<'_>) -> Result<Option<Finding>, String> {
        let Some(names) = FILES.iter().map(|f| code::ending_in(elf, f)).find(|found| !found.is_empty())
        else {
            return Ok(None);
        };
        let addresses: Vec<u64> = names.iter().map(|n| n.address).collect();
        let sites = code::references(elf, &addresses);
        let places: Vec<u64> = sites.iter().map(|s| s.at).collect();
        let functions = Functions::near(elf, &places);
        let mut reports: BTreeMap<Function, Vec<Report>> = BTreeMap::new();
        for place in places {
            if let (Some(function), Some(report)) = (functions.containing(place), code::report(elf, place)) {
                reports.entry(function).or_default().push(report);
            }
        }
        let name = String::from_utf8_lossy(&names[0].bytes).into_owned();
        let Some(found) = identify(&reports) else {
            // OpenSSL has a file of that name, too, and reports with other reasons.
            return Ok(None);
        };
        let found = found?;
        let read = the_one(found.read_or_peek.iter().filter(|f| consumes(elf, f)), "SSL_read")?;
        let mut evidence = format!(
            "errors reported from {name}: SSL_write {:#x}, SSL_read {:#x}",
            found.write.start, read.start
        );
        let offset = |f: &Function| elf.file_offset(f.start).ok_or("a function lies outside of the code");
        let mut all = points(elf, "SSL_write", &Role::Plain { direction: SENT }, offset(&found.write)?);
        all.extend(points(elf, "SSL_read", &Role::Plain { direction: RECEIVED }, offset(read)?));
        for (symbol, role, function) in [
            ("SSL_new", Role::New, found.new),
            ("SSL_shutdown", Role::End { action: ACTION_SHUTDOWN }, found.shutdown),
        ] {
            if let Some(function) = function {
                let _ = write!(evidence, ", {symbol} {:#x}", function.start);
                all.extend(points(elf, symbol, &role, offset(&function)?));
            }
        }
        Ok(Some(Finding { stack: self.name(), evidence, points: all }))
    }
}

#[derive(Debug, PartialEq)]
struct Found {
    write: Function,
    /// `SSL_read` and `SSL_peek`, which report the same.
    read_or_peek: Vec<Function>,
    new: Option<Function>,
    shutdown: Option<Function>,
}

/// `None` if nothing reports as `SSL_write` does.
fn identify(reports: &BTreeMap<Function, Vec<Report>>) -> Option<Result<Found, String>> {
    let has = |of: &[Report], reason| of.iter().any(|r| r.reason == Some(reason));
    let lines = |of: &[Report], reasons: &[u32]| -> Vec<u32> {
        of.iter().filter(|r| r.reason.is_some_and(|x| reasons.contains(&x))).filter_map(|r| r.line).collect()
    };
    let writes: Vec<_> = reports
        .iter()
        .filter(|(_, r)| [BAD_LENGTH, HANDSHAKE_FAILURE, UNINITIALIZED].iter().all(|x| has(r, *x)))
        .collect();
    let ((write, write_reports), others) = writes.split_first()?;
    if !others.is_empty() {
        return Some(Err(format!("{} functions report errors as SSL_write does", writes.len())));
    }
    let first_line = write_reports.iter().filter_map(|r| r.line).min()?;
    let read_impl = reports
        .iter()
        .filter(|(f, r)| *f != *write && has(r, HANDSHAKE_FAILURE) && has(r, UNINITIALIZED))
        .filter_map(|(_, r)| lines(r, &[HANDSHAKE_FAILURE, UNINITIALIZED]).into_iter().max())
        .filter(|line| *line < first_line)
        .max()
        .unwrap_or(0);
    let between = |line: u32| read_impl < line && line < first_line;
    let read_or_peek: Vec<Function> = reports
        .iter()
        .filter(|(f, r)| *f != *write && lines(r, &[SHOULD_NOT_HAVE_BEEN_CALLED]).into_iter().any(between))
        .map(|(f, _)| *f)
        .collect();
    if read_or_peek.is_empty() {
        return Some(Err("no function reports errors as SSL_read does".to_owned()));
    }
    // SSL_new stands above all of them, and is the only one to complain of a missing context there.
    let news: Vec<_> = reports
        .iter()
        .filter(|(_, r)| lines(r, &[NULL_SSL_CTX]).into_iter().any(|line| line < first_line))
        .map(|(f, _)| *f)
        .collect();
    let shutdowns: Vec<_> = reports
        .iter()
        .filter(|(_, r)| has(r, APPLICATION_DATA_ON_SHUTDOWN) && has(r, UNINITIALIZED))
        .map(|(f, _)| *f)
        .collect();
    let only = |found: &[Function]| if let [one] = found { Some(*one) } else { None };
    Some(Ok(Found { write: **write, read_or_peek, new: only(&news), shutdown: only(&shutdowns) }))
}

fn the_one<'f>(mut found: impl Iterator<Item = &'f Function>, name: &str) -> Result<&'f Function, String> {
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(format!("no function does what {name} does")),
        (Some(_), Some(_)) => Err(format!("more than one function does what {name} does")),
    }
}

/// `SSL_read` takes what it hands out from the buffer: it adds to and subtracts from a member, which `SSL_peek` does not.
fn consumes(elf: &Elf<'_>, function: &Function) -> bool {
    let len = (function.end - function.start).min(MAX_BODY) as usize;
    let Some(code) = (1..=len).rev().step_by(64).find_map(|len| elf.bytes(function.start, len)) else {
        return false;
    };
    match elf.architecture() {
        Architecture::X86_64 => {
            Decoder::with_ip(64, &code, function.start, DecoderOptions::NONE).iter().any(|instruction| {
                matches!(instruction.mnemonic(), Mnemonic::Sub | Mnemonic::Add)
                    && instruction.op0_kind() == OpKind::Memory
            })
        }
        Architecture::Aarch64 => taken(&code),
    }
}

/// On aarch64: a register is loaded, something is subtracted from it, and it is stored.
fn taken(code: &[u8]) -> bool {
    let mut subtracted = [false; 32];
    code.chunks_exact(4).any(|word| {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let register = (word & 31) as usize;
        // sub or subs x, x, x; of the stack pointer it is of another form, and a comparison keeps no result
        if word & 0xdfe0_fc00 == 0xcb00_0000 && register != 31 {
            subtracted[register] = true;
        }
        // str x, [x, #n] or stp x, x, [x, #n], not to the stack
        let base = word >> 5 & 31;
        let single = word & 0xffc0_0000 == 0xf900_0000 && subtracted[register];
        let pair = word & 0xffc0_0000 == 0xa900_0000
            && (subtracted[register] || subtracted[(word >> 10 & 31) as usize]);
        (single || pair) && base != 31
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::code::Origin;

    fn function(start: u64) -> Function {
        Function { start, end: start + 100, origin: Origin::Called }
    }

    fn reports(of: &[(u64, &[(u32, u32)])]) -> BTreeMap<Function, Vec<Report>> {
        of.iter()
            .map(|(start, reports)| {
                let reports =
                    reports.iter().map(|(reason, line)| Report { reason: Some(*reason), line: Some(*line) });
                (function(*start), reports.collect())
            })
            .collect()
    }

    /// What Bun 1.4 reports, by reasons and lines.
    const KNOWN: &[(u64, &[(u32, u32)])] = &[
        (1, &[(185, 500)]),
        (2, &[(226, 900), (215, 910)]),
        (3, &[(66, 950)]),
        (4, &[(66, 990)]),
        (5, &[(226, 1010), (111, 1030), (215, 1020)]),
        (6, &[(66, 700), (112, 2000)]),
        (7, &[(185, 3000)]),
        (8, &[(226, 1100), (291, 1150)]),
    ];

    #[test]
    fn functions_are_told_by_reasons_and_order() {
        let found = identify(&reports(KNOWN)).unwrap().unwrap();
        assert_eq!(
            found,
            Found {
                write: function(5),
                read_or_peek: vec![function(3), function(4)],
                new: Some(function(1)),
                shutdown: Some(function(8)),
            }
        );
    }

    /// As clang makes them of `SSLBuffer::Consume`, which checks for an underflow or does not.
    #[test]
    fn what_is_taken_on_aarch64() {
        let consumed = |words: &[u32]| taken(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>());
        assert!(consumed(&[0xeb13_0129, 0xa908_250a]), "subs x9, x9, x19; stp x10, x9, [x8, #128]");
        assert!(consumed(&[0xcb13_0129, 0xf900_4509]), "sub x9, x9, x19; str x9, [x8, #136]");
        assert!(!consumed(&[0xeb0a_013f, 0xf900_451f]), "cmp x9, x10; str xzr, [x8, #136]");
        assert!(!consumed(&[0xcb13_0129, 0xf900_0be9]), "sub x9, x9, x19; str x9, [sp, #16]");
    }

    #[test]
    fn what_is_not_certain_is_not_found() {
        assert_eq!(identify(&reports(&KNOWN[..4])), None);
        let two = [KNOWN, &[(9, &[(226, 1), (111, 2), (215, 3)][..])]].concat();
        assert!(identify(&reports(&two)).unwrap().unwrap_err().contains('2'));
        assert!(identify(&reports(&KNOWN[4..5])).unwrap().is_err());
        let two_new = [KNOWN, &[(9, &[(185, 400)][..])]].concat();
        assert_eq!(identify(&reports(&two_new)).unwrap().unwrap().new, None);
    }
}
