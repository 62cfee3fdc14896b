//! OpenSSL 3 linked into an executable or a library that hides it (codex, the runtime that copilot loads): by the names
//! of its functions, which it puts into its error reports.
//!
//! `ERR_raise` passes `__func__` along (include/openssl/err.h since 3.0), so the string "ssl_write_internal" is
//! referred to from inside of that function, and from nowhere else.

use std::fmt::Write as _;

use agent_common::{RECEIVED, SENT};

use super::{
    Locator,
    ssl_api::{Role, points},
};
use crate::probe::{
    Elf, Finding,
    code::{self, Function, Functions},
};

/// The locator.
pub struct OpenSslStatic;

/// `int ssl_write_internal(SSL *s, const void *buf, size_t num, size_t *written)` and `int ssl_read_internal(SSL *s,
/// void *buf, size_t num, size_t *readbytes)`: ssl/ssl_lib.c. All public functions that move plaintext call them.
const WRITE: &str = "ssl_write_internal";
const READ: &str = "ssl_read_internal";
/// `SSL *SSL_new(SSL_CTX *ctx)`: what was at the address that it returns is over.
const NEW: &str = "SSL_new";
/// Since this version `ssl_write_internal` has an argument for flags before the count's address.
const WITH_FLAGS: (u32, u32) = (3, 3);
/// What `OPENSSL_VERSION_TEXT` begins with.
const VERSION: &[u8] = b"OpenSSL 3.";
/// A function of ssl/quic/quic_impl.c that came with [`WITH_FLAGS`], for a file that has no version: OpenSSL's is in
/// libcrypto.
const WITH_FLAGS_TOO: &[u8] = b"ossl_quic_write_flags";

impl Locator for OpenSslStatic {
    fn name(&self) -> &'static str {
        "openssl-static"
    }

    fn locate(&self, elf: &Elf<'_>) -> Result<Option<Finding>, String> {
        let names = [WRITE, READ, NEW];
        let texts = names.map(|name| code::exactly(elf, name.as_bytes()));
        if texts[0].is_empty() || texts[1].is_empty() {
            return Ok(None);
        }
        if elf.functions(&["SSL_write"], 1).iter().any(Option::is_some) {
            return Ok(None); // by its symbols it is found whole
        }
        let addresses: Vec<u64> = texts.concat();
        let sites = code::references(elf, &addresses);
        let places: Vec<u64> = sites.iter().map(|s| s.at).collect();
        let functions = Functions::near(elf, &places);
        let of = |texts: &[u64], name: &str| -> Result<Function, String> {
            let mut found: Vec<Function> = sites
                .iter()
                .filter(|s| texts.contains(&s.target))
                .filter_map(|s| functions.containing(s.at))
                .collect();
            found.sort_unstable();
            found.dedup();
            match found[..] {
                [one] => Ok(one),
                [] => Err(format!("the name {name} is there, but no code refers to it")),
                _ => Err(format!("{} functions refer to the name {name}", found.len())),
            }
        };
        let (write, read) = (of(&texts[0], WRITE)?, of(&texts[1], READ)?);
        let version = version(elf)?;
        let count = if version >= WITH_FLAGS { 4 } else { 3 };
        let mut evidence = format!(
            "OpenSSL {}.{}, functions that report errors under their names: {WRITE} {:#x}, {READ} {:#x}",
            version.0, version.1, write.start, read.start
        );
        let offset = |f: &Function| elf.file_offset(f.start).ok_or("a function lies outside of the code");
        let mut all = points(elf, WRITE, &Role::Counted { direction: SENT, count }, offset(&write)?);
        all.extend(points(elf, READ, &Role::Counted { direction: RECEIVED, count: 3 }, offset(&read)?));
        if let Ok(new) = of(&texts[2], NEW) {
            let _ = write!(evidence, ", {NEW} {:#x}", new.start);
            all.extend(points(elf, NEW, &Role::New, offset(&new)?));
        }
        Ok(Some(Finding { stack: self.name(), evidence, points: all }))
    }
}

/// Which version it is, by the text that OpenSSL has of it (`OpenSSL 3.6.4 25 Aug 2026`).
fn version(elf: &Elf<'_>) -> Result<(u32, u32), String> {
    let texts = code::beginning_with(elf, VERSION);
    let mut found: Vec<(u32, u32)> = texts.iter().filter_map(|t| parse(&t.bytes)).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [one] => Ok(one),
        [] if !code::exactly(elf, WITH_FLAGS_TOO).is_empty() => Ok(WITH_FLAGS),
        [] => Err("which version of OpenSSL it is can't be told".to_owned()),
        _ => Err("it names more than one version of OpenSSL".to_owned()),
    }
}

fn parse(text: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut numbers = text.strip_prefix("OpenSSL ")?.split(['.', ' ']);
    let (major, minor) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    let _patch: u32 = numbers.next()?.parse().ok()?;
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let cases: &[(&str, Option<(u32, u32)>)] = &[
            ("OpenSSL 3.6.4 25 Aug 2026", Some((3, 6))),
            ("OpenSSL 3.0.22 1 Jan 2026", Some((3, 0))),
            ("OpenSSL 3.", None),
            ("OpenSSL 3.x", None),
            ("OpenSSL 3.0-compatible", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), *expected, "{text}");
        }
    }
}
