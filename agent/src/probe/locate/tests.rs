//! Each locator on the smallest program that it finds something in, for both architectures.

use std::io::Write as _;

use agent_common::{
    ACTION_CALL, ACTION_END, ACTION_RETURN, ACTION_SEAL, ACTION_SEALED, ACTION_SHUTDOWN, AT_MEMORY, Point,
};

use super::LOCATORS;
use crate::probe::{
    Elf, Finding,
    synthetic::{Machine, Program, programs},
};

const MACHINES: [Machine; 2] = [Machine::X86_64, Machine::Aarch64];

/// What all locators say of a file.
fn located(bytes: &[u8]) -> Vec<(&'static str, Result<Finding, String>)> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Elf::view(&file, |elf| {
        LOCATORS
            .iter()
            .filter_map(|locator| Some((locator.name(), locator.locate(elf).transpose()?)))
            .collect()
    })
    .unwrap_or_default()
}

/// The points of a locator's own program, by function and action, in order.
fn points(name: &str) -> Vec<(&'static str, u8)> {
    const MOVES: [u8; 2] = [ACTION_CALL, ACTION_RETURN];
    const SEALS: [u8; 2] = [ACTION_SEAL, ACTION_SEALED];
    let both = |functions: &[&'static str], actions: [u8; 2]| -> Vec<(&'static str, u8)> {
        functions.iter().flat_map(|f| actions.map(|action| (*f, action))).collect()
    };
    let end = |function| vec![(function, ACTION_END)];
    match name {
        "openssl" => {
            [both(&["SSL_read", "SSL_read_ex", "SSL_write", "SSL_write_ex"], MOVES), end("SSL_free")].concat()
        }
        "openssl-static" => {
            [both(&["ssl_read_internal", "ssl_write_internal"], MOVES), end("SSL_new")].concat()
        }
        "boringssl" => {
            [both(&["SSL_read", "SSL_write"], MOVES), end("SSL_new"), vec![("SSL_shutdown", ACTION_SHUTDOWN)]]
                .concat()
        }
        "aws-lc" => [
            both(&["EVP_AEAD_CTX_open", "EVP_AEAD_CTX_open_gather"], MOVES),
            both(&["EVP_AEAD_CTX_seal", "EVP_AEAD_CTX_seal_scatter"], SEALS),
        ]
        .concat(),
        "ring" => [
            both(&["aes_gcm_open", "chacha20_poly1305_open"], MOVES),
            both(&["aes_gcm_seal", "chacha20_poly1305_seal"], SEALS),
        ]
        .concat(),
        "gnutls" => {
            [both(&["gnutls_record_recv", "gnutls_record_send"], MOVES), end("gnutls_deinit")].concat()
        }
        "nss" => [
            both(&["ssl_SecureRead", "ssl_SecureRecv", "ssl_SecureSend", "ssl_SecureWrite"], MOVES),
            end("ssl_SecureClose"),
            vec![("ssl_SecureShutdown", ACTION_SHUTDOWN)],
        ]
        .concat(),
        "s2n" => [both(&["s2n_recv", "s2n_send"], MOVES), end("s2n_connection_free")].concat(),
        "go" => [
            both(&["crypto/tls.(*Conn).Read", "crypto/tls.(*Conn).Write"], MOVES),
            end("crypto/tls.(*Conn).Close"),
        ]
        .concat(),
        _ => Vec::new(),
    }
}

/// Where a point has its connection, plaintext and length: number of the register in `pt_regs`, or the distance from
/// the stack pointer.
fn arguments(point: &Point) -> [i32; 3] {
    [point.conn, point.buf, point.len].map(|at| match at.kind {
        AT_MEMORY => 1000 + at.displacement,
        _ => i32::from(at.register) / 8,
    })
}

/// By AAPCS64, 6.8.2, and src/cmd/compile/abi-internal.md of Go; System V AMD64 psABI, 3.2.3. In `pt_regs` of x86_64 rdi,
/// rsi, rdx, rcx, r8 and r9 are 14, 13, 12, 11, 9 and 8; rax, rbx, rcx are 10, 5, 11.
fn expected(machine: Machine, function: &str) -> [i32; 3] {
    match (machine, function) {
        (Machine::Aarch64, "EVP_AEAD_CTX_seal") => [0, 6, 7],
        (Machine::X86_64, "EVP_AEAD_CTX_seal") => [14, 1008, 1016],
        (Machine::Aarch64, "EVP_AEAD_CTX_seal_scatter") => [0, 7, 1000],
        (Machine::X86_64, "EVP_AEAD_CTX_seal_scatter") => [14, 1016, 1024],
        (Machine::Aarch64, "EVP_AEAD_CTX_open") => [0, 1, 7],
        (Machine::X86_64, "EVP_AEAD_CTX_open") => [14, 13, 1016],
        (Machine::Aarch64, "EVP_AEAD_CTX_open_gather") => [0, 1, 5],
        (Machine::X86_64, "EVP_AEAD_CTX_open_gather") => [14, 13, 8],
        // Key, nonce, additional data of two words, plaintext; the result's address comes first on x86_64 alone.
        (Machine::Aarch64, f) if f.ends_with("_seal") || f.ends_with("_open") => [0, 4, 5],
        (Machine::X86_64, f) if f.ends_with("_seal") || f.ends_with("_open") => [13, 8, 1008],
        (Machine::X86_64, f) if f.starts_with("crypto/tls") => [10, 5, 11],
        (Machine::X86_64, _) => [14, 13, 12],
        (Machine::Aarch64, _) => [0, 1, 2],
    }
}

#[test]
fn every_locator_finds_its_own_and_nothing_else() {
    for machine in MACHINES {
        let all = programs(machine);
        assert_eq!(all.iter().map(|p| p.0).collect::<Vec<_>>().len(), LOCATORS.len(), "one for each");
        for (name, program) in all {
            let found = located(&program.build());
            assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), [name], "{machine:?}: {found:?}");
            let [(_, outcome)] = &found[..] else { continue };
            if name == "java" {
                assert!(outcome.as_ref().is_err_and(|e| e.contains("JSSE")));
                continue;
            }
            let finding = outcome.as_ref().unwrap_or_else(|e| panic!("{machine:?} {name}: {e}"));
            let mut seen: Vec<_> = finding.points.iter().map(|p| (p.symbol, p.point.action)).collect();
            seen.sort_unstable();
            let mut wanted = points(name);
            wanted.sort_unstable();
            assert_eq!(seen, wanted, "{machine:?} {name}: {finding:?}");
            for point in &finding.points {
                check(machine, &program, point);
            }
        }
    }
}

fn check(machine: Machine, program: &Program, found: &crate::probe::ProbePoint) {
    let (action, begins) = (found.point.action, program.address(found.symbol));
    let go = found.symbol.starts_with("crypto/tls");
    if !(go && action == ACTION_RETURN) {
        assert_eq!(found.offset, begins, "{machine:?} {}", found.symbol);
    }
    if matches!(action, ACTION_CALL | ACTION_SEAL) {
        assert_eq!(arguments(&found.point), expected(machine, found.symbol), "{machine:?} {}", found.symbol);
        // A call pushes its return address on x86_64 alone. Go names its calls by the goroutine.
        let frame = if machine == Machine::X86_64 && !go { 8 } else { 0 };
        assert_eq!(found.point.frame, frame, "{}", found.symbol);
        let task = match machine {
            Machine::X86_64 => 1,
            Machine::Aarch64 => 28,
        };
        assert!(!go || found.point.task.register == 8 * task);
    }
}

/// What is cut off or turned over leads to another answer, or none, and never to a panic.
#[test]
fn damaged_programs() {
    for machine in MACHINES {
        for (name, program) in programs(machine) {
            let whole = program.build();
            for cut in [whole.len() / 2, whole.len() - 0x1800, 0x1010, 70] {
                let _ = located(&whole[..cut]);
            }
            // Headers and tables; in code and data a change seldom matters.
            let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
            for at in used.iter().step_by(used.len() / 60 + 1) {
                let mut damaged = whole.clone();
                damaged[*at] ^= 0xff;
                for (other, outcome) in located(&damaged) {
                    assert!(
                        other == name || outcome.is_err(),
                        "{machine:?} {name} became {other} by {at:#x}"
                    );
                }
            }
        }
    }
}
