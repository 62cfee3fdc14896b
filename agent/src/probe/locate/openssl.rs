//! OpenSSL, and what keeps its interface, by symbols: shared under any file name, or in an executable that
//! exports them (Node.js).

use agent_common::{ACTION_END, ACTION_SHUTDOWN, RECEIVED, SENT};

use super::{
    Locator,
    ssl_api::{Role, points},
};
use crate::probe::{Elf, Finding, ProbePoint, inner};

/// The locator.
pub struct OpenSsl;

/// The functions, from the manual pages SSL_read(3), SSL_write(3), SSL_free(3), SSL_shutdown(3). All but the
/// first two are missing in some version, fork or build; that costs nothing.
const FUNCTIONS: &[(&str, Role)] = &[
    ("SSL_write", Role::Plain { direction: SENT }),
    ("SSL_read", Role::Plain { direction: RECEIVED }),
    ("SSL_write_ex", Role::Counted { direction: SENT, count: 3 }),
    ("SSL_write_ex2", Role::Counted { direction: SENT, count: 4 }),
    ("SSL_read_ex", Role::Counted { direction: RECEIVED, count: 3 }),
    ("SSL_shutdown", Role::End { action: ACTION_SHUTDOWN }),
    ("SSL_free", Role::End { action: ACTION_END }),
];

/// The first of them.
const NEEDED: [&str; 2] = ["SSL_write", "SSL_read"];

impl Locator for OpenSsl {
    fn name(&self) -> &'static str {
        "openssl"
    }

    fn by_symbols(&self) -> bool {
        true
    }

    fn locate(&self, elf: &Elf<'_>) -> Result<Option<Finding>, String> {
        let names: Vec<&str> = FUNCTIONS.iter().map(|f| f.0).collect();
        let offsets = elf.functions(&names, NEEDED.len());
        let defined: Vec<&str> =
            names.iter().zip(&offsets).filter(|(_, o)| o.is_some()).map(|(n, _)| *n).collect();
        if defined.is_empty() {
            return Ok(None);
        }
        for needed in NEEDED {
            if !defined.contains(&needed) {
                return Err(format!("defines {} but not {needed}", defined.join(", ")));
            }
        }
        let mut evidence = format!("symbols {}", defined.join(", "));
        let offset_of = |symbol: &str| names.iter().position(|n| *n == symbol).and_then(|i| offsets[i]);
        let shared: Vec<_> = SHARED.iter().map(|shared| shared.find(elf, &offset_of)).collect();
        let mut points: Vec<ProbePoint> = FUNCTIONS
            .iter()
            .zip(&offsets)
            .filter_map(|((symbol, role), offset)| Some((symbol, role, (*offset)?)))
            .filter(|(_, role, _)| match role {
                // Both directions at their shared functions, or each of the public ones.
                Role::Plain { .. } | Role::Flagged { .. } | Role::Sized { .. } | Role::Counted { .. } => {
                    shared.iter().any(Option::is_none)
                }
                Role::End { .. } | Role::New => true,
            })
            .flat_map(|(symbol, role, offset)| points(elf, symbol, role, offset))
            .collect();
        if let [Some(write), Some(read)] = shared.as_slice() {
            for (shared, (offset, role)) in SHARED.iter().zip([write, read]) {
                points.extend(super::ssl_api::points(elf, shared.symbol, role, *offset));
            }
            evidence.push_str(", probed at what they all call");
        }
        Ok(Some(Finding { stack: self.name(), evidence, points }))
    }
}

/// A function inside the library that all public ones of a direction call. It begins with an instruction under which a
/// probe is cheap, which those do not.
struct Shared {
    /// Its name in OpenSSL's sources (ssl/ssl_lib.c); it is no symbol.
    symbol: &'static str,
    /// `int f(SSL *, void *buf, int num)`
    plain: &'static str,
    /// `int f(SSL *, void *buf, size_t num, size_t *count)`
    counted: &'static str,
    direction: u8,
}

const SHARED: [Shared; 2] = [
    Shared { symbol: "ssl_write_internal", plain: "SSL_write", counted: "SSL_write_ex", direction: SENT },
    Shared { symbol: "ssl_read_internal", plain: "SSL_read", counted: "SSL_read_ex", direction: RECEIVED },
];

impl Shared {
    /// Where it is, if both public functions call it, with their first three arguments in place and the count's
    /// address in one that is known.
    fn find(&self, elf: &Elf<'_>, offset_of: &dyn Fn(&str) -> Option<u64>) -> Option<(u64, Role)> {
        let plain = inner::called(elf, offset_of(self.plain)?)?;
        let counted = inner::called(elf, offset_of(self.counted)?)?;
        let in_place = |inner: &inner::Inner| inner.arguments[..3] == [Some(0), Some(1), Some(2)];
        if plain.offset != counted.offset || !in_place(&plain) || !in_place(&counted) {
            return None;
        }
        let count = counted.arguments.iter().position(|argument| *argument == Some(3))?;
        // There the plain one hands over a variable of its own.
        (plain.arguments[count].is_none()).then_some(())?;
        Some((plain.offset, Role::Counted { direction: self.direction, count }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_library_is_found_whole() {
        // Every machine that can run the end-to-end tests has one.
        let path = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
            .iter()
            .flat_map(|d| ["libssl.so.3", "libssl.so.1.1"].map(|f| std::path::Path::new(d).join(f)))
            .find(|p| p.exists())
            .expect("a system OpenSSL (libssl.so.3), on which the tests rely");
        let finding = Elf::open(&path, |elf| OpenSsl.locate(elf)).unwrap().unwrap().unwrap();
        let named = |s| finding.points.iter().filter(|p| p.symbol == s).count();
        // How the distribution's compiler made them decides whether both call one that is a better place.
        for (public, counted, shared) in [
            ("SSL_write", "SSL_write_ex", "ssl_write_internal"),
            ("SSL_read", "SSL_read_ex", "ssl_read_internal"),
        ] {
            assert!(
                (named(public), named(counted), named(shared)) == (0, 0, 2)
                    || (named(public), named(counted), named(shared)) == (2, 2, 0),
                "{finding:?}"
            );
        }
        assert_eq!((named("SSL_free"), named("SSL_shutdown")), (1, 1));
        assert!(finding.points.iter().all(|p| p.offset > 0));
    }

    #[test]
    fn a_user_of_the_library_is_not_the_library() {
        let found = Elf::open("/proc/self/exe".as_ref(), |elf| OpenSsl.locate(elf)).unwrap();
        assert_eq!(found, Ok(None));
    }
}
