//! aws-lc under rustls (codex, deno, reqwest): its AEAD functions, by the errors that they report.
//!
//! rustls has no C interface, and its own functions are inlined differently in every program. The cipher below it is C
//! code that every record passes, and reports its errors from crypto/fipsmodule/cipher/aead.c with reasons that tell its
//! functions apart.

use std::{collections::BTreeMap, fmt::Write as _};

use agent_common::{
    ACTION_CALL, ACTION_RETURN, ACTION_SEAL, ACTION_SEALED, AT_REGISTER, FORM_RECORD, Location, Point,
    RECEIVED, SENT,
};

use super::Locator;
use crate::probe::{
    Elf, Finding, Mechanism, ProbePoint,
    code::{self, Function, Functions},
    inner,
};

/// Names that the source file has had.
const FILES: [&[u8]; 3] = [b"cipher/aead.c", b"cipher/aead.cc", b"cipher/aead.cc.inc"];

/// BoringSSL has the same functions, under a TLS of its own that [`super::boringssl`] finds.
const TLS_OF_ITS_OWN: [&[u8]; 2] = [b"ssl/ssl_lib.cc", b"ssl/ssl_lib.c"];

/// Reasons, from include/openssl/cipher.h.
const BAD_DECRYPT: u32 = 101;
const BUFFER_TOO_SMALL: u32 = 103;
const CTRL_NOT_IMPLEMENTED: u32 = 104;
const INVALID_OPERATION: u32 = 112;
const OUTPUT_ALIASES_INPUT: u32 = 115;

/// The locator.
pub struct AwsLc;

/// One of the functions. All take the context first; the numbers are those of arguments, from include/openssl/aead.h.
struct Cipher {
    symbol: &'static str,
    /// Whether a function that reports these errors, and no others of those above, is it.
    is: fn(&dyn Fn(u32) -> bool) -> bool,
    direction: u8,
    /// Address of the plaintext.
    plain: usize,
    /// Number of bytes of the plaintext, or of the ciphertext, which is longer.
    len: usize,
    /// Additional data.
    aad: usize,
}

const CIPHERS: [Cipher; 4] = [
    // (ctx, out, out_len, max_out_len, nonce, nonce_len, in, in_len, ad, ad_len)
    Cipher {
        symbol: "EVP_AEAD_CTX_seal",
        is: |has| {
            has(OUTPUT_ALIASES_INPUT) && has(BUFFER_TOO_SMALL) && !has(INVALID_OPERATION) && !has(BAD_DECRYPT)
        },
        direction: SENT,
        plain: 6,
        len: 7,
        aad: 8,
    },
    // (ctx, out, out_tag, out_tag_len, max_out_tag_len, nonce, nonce_len, in, in_len, extra_in, extra_in_len, ad, ad_len)
    Cipher {
        symbol: "EVP_AEAD_CTX_seal_scatter",
        is: |has| has(OUTPUT_ALIASES_INPUT) && has(INVALID_OPERATION) && !has(BAD_DECRYPT),
        direction: SENT,
        plain: 7,
        len: 8,
        aad: 11,
    },
    // (ctx, out, out_len, max_out_len, nonce, nonce_len, in, in_len, ad, ad_len)
    Cipher {
        symbol: "EVP_AEAD_CTX_open",
        is: |has| has(BAD_DECRYPT),
        direction: RECEIVED,
        plain: 1,
        len: 7,
        aad: 8,
    },
    // (ctx, out, nonce, nonce_len, in, in_len, in_tag, in_tag_len, ad, ad_len)
    Cipher {
        symbol: "EVP_AEAD_CTX_open_gather",
        is: |has| has(CTRL_NOT_IMPLEMENTED) && !has(BAD_DECRYPT),
        direction: RECEIVED,
        plain: 1,
        len: 5,
        aad: 8,
    },
];

impl Locator for AwsLc {
    fn name(&self) -> &'static str {
        "aws-lc"
    }

    fn locate(&self, elf: &Elf<'_>) -> Result<Option<Finding>, String> {
        if super::s2n::is_in(elf) {
            return Ok(None); // the TLS above it is found by its symbols
        }
        let mut names: Vec<code::Text> = FILES.iter().flat_map(|f| code::ending_in(elf, f)).collect();
        let above: Vec<code::Text> = TLS_OF_ITS_OWN.iter().flat_map(|f| code::ending_in(elf, f)).collect();
        names.retain(|name| !above.iter().any(|tls| same_tree(&name.bytes, &tls.bytes)));
        let Some(name) = names.first() else { return Ok(None) };
        let name = String::from_utf8_lossy(&name.bytes).into_owned();
        let addresses: Vec<u64> = names.iter().map(|n| n.address).collect();
        let places: Vec<u64> = code::references(elf, &addresses).iter().map(|r| r.at).collect();
        let functions = Functions::near(elf, &places);
        let mut reasons: BTreeMap<Function, Vec<u32>> = BTreeMap::new();
        for place in places {
            if let (Some(function), Some(report)) = (functions.containing(place), code::report(elf, place)) {
                reasons.entry(function).or_default().extend(report.reason);
            }
        }
        let mut evidence = format!("errors reported from {name}:");
        let mut points = Vec::new();
        for cipher in &CIPHERS {
            let found: Vec<Function> = reasons
                .iter()
                .filter(|(_, reasons)| (cipher.is)(&|reason| reasons.contains(&reason)))
                .map(|(f, _)| *f)
                .collect();
            let function = match found[..] {
                [one] => one,
                // Link-time optimisation drops those that nobody calls.
                [] => continue,
                _ => {
                    return Err(format!("{} functions report errors as {} does", found.len(), cipher.symbol));
                }
            };
            let offset = elf.file_offset(function.start).ok_or("a function lies outside of the code")?;
            let _ = write!(evidence, " {} {:#x}", cipher.symbol, function.start);
            points.extend(cipher.points(elf, inner::entry(elf, offset)));
        }
        if points.is_empty() {
            return Ok(None); // the name is there, the code is not
        }
        for (direction, what) in [(SENT, "encrypts"), (RECEIVED, "decrypts")] {
            if !points.iter().any(|p| p.point.direction == direction) {
                return Err(format!("{evidence}, but no function that {what}"));
            }
        }
        Ok(Some(Finding { stack: self.name(), evidence, points }))
    }
}

/// Whether two source files are of the same copy of a library: their paths are the same up to `ssl/` and `crypto/`.
fn same_tree(aead: &[u8], tls: &[u8]) -> bool {
    let root = |path: &[u8], below: &[u8]| -> Vec<u8> {
        let at = memchr::memmem::rfind(path, below).unwrap_or(0);
        path[..at].to_vec()
    };
    root(aead, b"crypto/") == root(tls, b"ssl/ssl_lib")
}

impl Cipher {
    fn points(&self, elf: &Elf<'_>, offset: u64) -> Vec<ProbePoint> {
        let registers = elf.architecture().registers();
        let common = Point {
            direction: self.direction,
            stack_register: registers.stack,
            form: FORM_RECORD,
            ..Point::default()
        };
        let seals = self.direction == SENT;
        let begins = Point {
            action: if seals { ACTION_SEAL } else { ACTION_CALL },
            frame: registers.entry_frame,
            conn: registers.argument(0),
            buf: registers.argument(self.plain),
            len: registers.argument(self.len),
            aad: registers.argument(self.aad),
            aad_len: registers.argument(self.aad + 1),
            ..common
        };
        let ends = Point {
            action: if seals { ACTION_SEALED } else { ACTION_RETURN },
            // 1 for success
            moved: Location { kind: AT_REGISTER, width: 4, register: registers.result, displacement: 0 },
            ..common
        };
        [(Mechanism::Uprobe, begins), (Mechanism::Uretprobe, ends)]
            .map(|(mechanism, point)| ProbePoint { symbol: self.symbol, offset, mechanism, point })
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_told_by_their_reasons() {
        let told = |reasons: &[u32]| -> Vec<&str> {
            CIPHERS.iter().filter(|c| (c.is)(&|r| reasons.contains(&r))).map(|c| c.symbol).collect()
        };
        assert_eq!(told(&[115, 117, 103]), ["EVP_AEAD_CTX_seal"]);
        assert_eq!(told(&[115, 112]), ["EVP_AEAD_CTX_seal_scatter"]);
        assert_eq!(told(&[115, 101, 103]), ["EVP_AEAD_CTX_open"]);
        assert_eq!(told(&[115, 104]), ["EVP_AEAD_CTX_open_gather"]);
        assert!(told(&[112]).is_empty() && told(&[]).is_empty());
    }

    #[test]
    fn the_cipher_of_a_tls_library_is_left_to_it() {
        let same = |a: &str, b: &str| same_tree(a.as_bytes(), b.as_bytes());
        assert!(same("../boringssl/crypto/fipsmodule/cipher/aead.cc.inc", "../boringssl/ssl/ssl_lib.cc"));
        assert!(!same("/x/aws-lc/crypto/fipsmodule/cipher/aead.c", "/y/boringssl/ssl/ssl_lib.cc"));
    }
}
