//! NSS (Firefox, libcurl-nss, Evolution): what its descriptors do with plaintext, by the tables that point to it.
//!
//! Programs call NSPR's `PR_Write` and `PR_Read`, which serve files and plain sockets as well, and NSS exports no function
//! that moves plaintext. But it calls its own by table: `ssl_secure_ops` and `ssl_default_ops` of lib/ssl/sslsock.c lie side
//! by side, one for descriptors with TLS and one for those without, and share what does not differ. Of the two it is the
//! secure one whose `read` is its `recv` without flags, and jumps there.

use std::collections::BTreeMap;

use agent_common::{ACTION_END, ACTION_SHUTDOWN, RECEIVED, SENT};
use iced_x86::{Decoder, DecoderOptions, FlowControl, OpKind};

use super::{
    Locator,
    ssl_api::{Role, points},
};
use crate::probe::{Architecture, Elf, Finding, code};

/// The locator.
pub struct Nss;

/// Makes a descriptor one of TLS (lib/ssl/ssl.h); the library that holds the tables exports it.
const IMPORT: &str = "SSL_ImportFD";

/// `struct sslSocketOpsStr` of lib/ssl/sslimpl.h: pointers to connect, accept, bind, listen, shutdown, close, recv, send,
/// read, write, getpeername and getsockname. Neither table has `accept`.
const TABLE: u64 = 12 * 8;
const ACCEPT: usize = 1;
/// What both tables share: bind, listen, getpeername, getsockname.
const SHARED: [usize; 4] = [2, 3, 10, 11];
/// In what they differ.
const OWN: [usize; 7] = [0, SHUTDOWN, CLOSE, RECV, SEND, READ, WRITE];
const SHUTDOWN: usize = 4;
const CLOSE: usize = 5;
const RECV: usize = 6;
const SEND: usize = 7;
const READ: usize = 8;
const WRITE: usize = 9;

/// The functions, all of which take the `sslSocket *` first; lib/ssl/sslsecur.c.
const FUNCTIONS: [(usize, &str, Role); 6] = [
    (RECV, "ssl_SecureRecv", Role::Flagged { direction: RECEIVED, flags: 3 }),
    (SEND, "ssl_SecureSend", Role::Plain { direction: SENT }),
    (READ, "ssl_SecureRead", Role::Plain { direction: RECEIVED }),
    (WRITE, "ssl_SecureWrite", Role::Plain { direction: SENT }),
    (SHUTDOWN, "ssl_SecureShutdown", Role::End { action: ACTION_SHUTDOWN }),
    (CLOSE, "ssl_SecureClose", Role::End { action: ACTION_END }),
];

/// Most pointers to code that are looked at. The library has some hundred, Firefox's has all of NSS.
const MAX_POINTERS: usize = 1 << 20;

/// Most bytes of a function before it jumps to another one.
const REACH: usize = 48;

/// A table.
type Table = [u64; 12];

impl Locator for Nss {
    fn name(&self) -> &'static str {
        "nss"
    }

    fn locate(&self, elf: &Elf<'_>) -> Result<Option<Finding>, String> {
        if elf.functions(&[IMPORT], 1).iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut pointers: BTreeMap<u64, u64> = BTreeMap::new();
        code::relocated(elf, |place, value| {
            if elf.file_offset(value).is_some() {
                pointers.insert(place, value);
            }
            pointers.len() < MAX_POINTERS
        });
        let pairs = pairs(&pointers);
        let secure: Vec<&Table> = pairs
            .iter()
            .flatten()
            .filter(|table| jumps(elf, table[READ], table[RECV]) || jumps(elf, table[WRITE], table[SEND]))
            .collect();
        let [table] = secure[..] else {
            return Err(format!(
                "defines {IMPORT}, but of {} tables of operations {} can be those of TLS",
                2 * pairs.len(),
                secure.len()
            ));
        };
        let mut all = Vec::new();
        for (slot, symbol, role) in &FUNCTIONS {
            let offset = elf.file_offset(table[*slot]).ok_or("a function lies outside of the code")?;
            all.extend(points(elf, symbol, role, offset));
        }
        let evidence = format!(
            "symbol {IMPORT}, and a table of operations beside another one: ssl_SecureSend {:#x}, ssl_SecureRecv {:#x}",
            table[SEND], table[RECV]
        );
        Ok(Some(Finding { stack: self.name(), evidence, points: all }))
    }
}

/// Each two tables, side by side, that share what such tables share.
fn pairs(pointers: &BTreeMap<u64, u64>) -> Vec<[Table; 2]> {
    let table = |at: u64| -> Option<Table> {
        let mut table = Table::default();
        for (slot, value) in table.iter_mut().enumerate() {
            let held = pointers.get(&at.checked_add(8 * slot as u64)?).copied();
            *value = match (slot, held) {
                (ACCEPT, None) => 0,
                (ACCEPT, Some(_)) => return None,
                (_, held) => held?,
            };
        }
        Some(table)
    };
    pointers
        .keys()
        .filter_map(|at| Some([table(*at)?, table(at.checked_add(TABLE)?)?]))
        .filter(|[a, b]| SHARED.iter().all(|slot| a[*slot] == b[*slot]))
        .filter(|[a, b]| OWN.iter().all(|slot| a[*slot] != b[*slot]))
        .collect()
}

/// Does the beginning of the function at `from` lead straight to the one at `to`?
fn jumps(elf: &Elf<'_>, from: u64, to: u64) -> bool {
    let Some(code) = (1..=REACH).rev().find_map(|len| elf.bytes(from, len)) else { return false };
    match elf.architecture() {
        Architecture::X86_64 => jumps_x86(&code, from, to),
        Architecture::Aarch64 => jumps_arm(&code, from, to),
    }
}

fn jumps_x86(code: &[u8], from: u64, to: u64) -> bool {
    for instruction in &mut Decoder::with_ip(64, code, from, DecoderOptions::NONE) {
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::Call | FlowControl::UnconditionalBranch
                if instruction.op0_kind() == OpKind::NearBranch64 =>
            {
                return instruction.near_branch_target() == to;
            }
            _ => return false,
        }
    }
    false
}

fn jumps_arm(code: &[u8], from: u64, to: u64) -> bool {
    for (n, word) in code.chunks_exact(4).enumerate() {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        // b and bl
        if word >> 26 & 0b01_1111 == 0b00_0101 {
            let displacement = i64::from((word << 6) as i32 >> 4) as u64;
            return from.wrapping_add(4 * n as u64).wrapping_add(displacement) == to;
        }
        // Other branches: cbz and the like, b.cond, br, blr, ret.
        if word & 0x7c00_0000 == 0x3400_0000
            || word & 0xff00_0000 == 0x5400_0000
            || word & 0xfe00_0000 == 0xd600_0000
        {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECURE: Table = [100, 0, 2, 3, 104, 105, 106, 107, 108, 109, 10, 11];
    const DEFAULT: Table = [200, 0, 2, 3, 204, 205, 206, 207, 208, 209, 10, 11];

    fn laid_out(at: u64, tables: &[Table]) -> BTreeMap<u64, u64> {
        let words = tables.iter().flatten().enumerate();
        words.filter(|(_, w)| **w != 0).map(|(n, w)| (at + 8 * n as u64, *w)).collect()
    }

    #[test]
    fn tables_are_told_by_what_they_share() {
        assert_eq!(pairs(&laid_out(0x1000, &[SECURE, DEFAULT])), [[SECURE, DEFAULT]]);
        let with = |mut table: Table, slot: usize, value| {
            table[slot] = value;
            table
        };
        let accepting = with(SECURE, ACCEPT, 7);
        let other = with(DEFAULT, SHARED[0], 7);
        let same = with(DEFAULT, READ, SECURE[READ]);
        for tables in [[SECURE, SECURE], [accepting, DEFAULT], [SECURE, other], [SECURE, same]] {
            assert_eq!(pairs(&laid_out(0x1000, &tables)), [[Table::default(); 2]; 0], "{tables:?}");
        }
        assert_eq!(pairs(&laid_out(u64::MAX - 95, &[SECURE])), [[Table::default(); 2]; 0]);
    }

    #[test]
    fn read_leads_to_recv() {
        // xor ecx, ecx; jmp +0x10
        let code = [0x31, 0xc9, 0xe9, 0x10, 0, 0, 0];
        assert!(jumps_x86(&code, 0x1000, 0x1017) && !jumps_x86(&code, 0x1000, 0x1018));
        assert!(!jumps_x86(&[0x74, 0, 0xe9, 0x10, 0, 0, 0], 0x1000, 0x1017), "a branch comes first");
        assert!(!jumps_x86(&[0xff, 0xe0], 0x1000, 0) && !jumps_x86(&[], 0, 0));
        // mov w3, #0; b .+0x10
        let arm = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
        assert!(jumps_arm(&arm(&[0x5280_0003, 0x1400_0004]), 0x1000, 0x1014));
        assert!(!jumps_arm(&arm(&[0x3400_0040, 0x1400_0004]), 0x1000, 0x1014), "cbz comes first");
        assert!(!jumps_arm(&arm(&[0xd65f_03c0, 0x1400_0004]), 0x1000, 0x1014), "ret comes first");
    }
}
