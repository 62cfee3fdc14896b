//! The constants beside a reference to a file's name: how BoringSSL, aws-lc and other children of OpenSSL report errors.
//!
//! `ERR_put_error(library, unused, reason, file, line)` gets the name of its source file in the fourth argument, the
//! reason before it and the line behind it. Where link-time optimisation took the unused one out, all move down by one.
//! So the reason is in the register before that of the name, and the line in the one after it, whichever that is.

use crate::probe::{Architecture, Elf};

/// How far before and behind the reference the constants are looked for.
const BEFORE: usize = 30;
const BEHIND: usize = 45;

/// Largest reason or line that is believed.
const MAX_CONSTANT: u32 = 10_000;

/// An error that a function can report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    /// Number of the reason.
    pub reason: Option<u32>,
    /// Line in the source.
    pub line: Option<u32>,
}

/// The report whose file name is referred to at `at` (see [`super::Reference`]).
pub fn report(elf: &Elf<'_>, at: u64) -> Option<Report> {
    let from = at.checked_sub(BEFORE as u64)?;
    let code = elf.bytes(from, BEFORE + BEHIND)?;
    match elf.architecture() {
        Architecture::X86_64 => x86(&code),
        Architecture::Aarch64 => {
            let from = at.checked_sub(40)?;
            arm(&elf.bytes(from, 80)?)
        }
    }
}

/// Argument registers in their order, as the instruction set numbers them: rdi, rsi, rdx, rcx, r8, r9.
const ORDER: [u8; 6] = [7, 6, 2, 1, 8, 9];

/// `code[BEFORE..]` begins with the operand that names the file.
fn x86(code: &[u8]) -> Option<Report> {
    let place = match code.get(BEFORE - 3..BEFORE)? {
        // lea r64, [rip + displacement]
        [rex @ (0x48 | 0x4c), 0x8d, modrm] if modrm & 0xc7 == 0x05 => {
            argument(modrm >> 3 & 7 | (rex & 4) << 1)?
        }
        // mov r32, immediate
        [_, _, opcode @ 0xb8..=0xbf] => argument(opcode - 0xb8)?,
        _ => return None,
    };
    if !(1..=4).contains(&place) {
        return None;
    }
    Some(Report { reason: constant(code, ORDER[place - 1]), line: constant(code, ORDER[place + 1]) })
}

fn argument(register: u8) -> Option<usize> {
    ORDER.iter().position(|r| *r == register)
}

/// The constant that goes into a register nearest to the reference, rather behind it than before.
fn constant(code: &[u8], register: u8) -> Option<u32> {
    let mut best: Option<(usize, u32)> = None;
    for at in 0..code.len() {
        let Some(value) = loaded(code, at, register) else { continue };
        let distance = if at > BEFORE { at - BEFORE } else { BEFORE - at + 20 };
        if value > 0 && value <= MAX_CONSTANT && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, value));
        }
    }
    best.map(|(_, value)| value)
}

/// The constant that the instruction at `at` puts into the register: `mov r32, immediate`, or `push` and `pop`.
fn loaded(code: &[u8], at: usize, register: u8) -> Option<u32> {
    let rest = code.get(at..)?;
    let low = register & 7;
    match rest {
        [0x41, opcode, a, b, c, d, ..] if register > 7 && *opcode == 0xb8 + low => {
            Some(u32::from_le_bytes([*a, *b, *c, *d]))
        }
        [opcode, a, b, c, d, ..] if register < 8 && *opcode == 0xb8 + low => {
            // With a prefix it is another register; what ends the operand of the reference is none.
            let prefixed = at > 0 && at != BEFORE + 4 && matches!(code[at - 1], 0x41 | 0x44 | 0x45);
            (!prefixed).then(|| u32::from_le_bytes([*a, *b, *c, *d]))
        }
        [0x6a, value, pop, ..] if register < 8 && *pop == 0x58 + low => Some(u32::from(*value)),
        [0x6a, value, 0x41, pop, ..] if register > 7 && *pop == 0x58 + low => Some(u32::from(*value)),
        _ => None,
    }
}

/// The middle of the ten instructions before and behind is the `add` that completes the address of the name.
fn arm(code: &[u8]) -> Option<Report> {
    let word = |n: usize| {
        let bytes = code.get(4 * n..4 * n + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let place = word(10)? & 31;
    if !(1..=6).contains(&place) {
        return None;
    }
    let constant = |register: u32| {
        let distance = |n: usize| if n > 10 { n - 10 } else { 10 - n + 5 };
        (0..20usize)
            .filter_map(|n| {
                // movz w, #immediate
                let word = word(n)?;
                let value = word >> 5 & 0xffff;
                let fits = word & 0xffe0_0000 == 0x5280_0000 && word & 31 == register;
                (fits && value > 0 && value <= MAX_CONSTANT).then_some((distance(n), value))
            })
            .min()
            .map(|(_, value)| value)
    };
    Some(Report { reason: constant(place - 1), line: constant(place + 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(before: &[u8], behind: &[u8]) -> Vec<u8> {
        let mut code = vec![0x90; BEFORE - before.len()];
        code.extend_from_slice(before);
        code.extend_from_slice(&[0x11, 0x22, 0x33, 0x44]);
        code.extend_from_slice(behind);
        code.resize(BEFORE + BEHIND, 0x90);
        code
    }

    #[test]
    fn constants_of_the_neighbouring_registers() {
        type Case<'a> = (&'a str, &'a [u8], &'a [u8], Option<(Option<u32>, Option<u32>)>);
        let cases: &[Case<'_>] = &[
            (
                "mov edx, 226; lea rcx, name; mov r8d, 1000",
                &[0xba, 226, 0, 0, 0, 0x48, 0x8d, 0x0d],
                &[0x41, 0xb8, 0xe8, 3, 0, 0],
                Some((Some(226), Some(1000))),
            ),
            (
                "mov esi, 66; lea rdx, name; mov ecx, 12",
                &[0xbe, 66, 0, 0, 0, 0x48, 0x8d, 0x15],
                &[0xb9, 12, 0, 0, 0],
                Some((Some(66), Some(12))),
            ),
            (
                "push 111; pop rdx; mov ecx, name; push 9; pop r8",
                &[0x6a, 111, 0x5a, 0xb9],
                &[0x6a, 9, 0x41, 0x58],
                Some((Some(111), Some(9))),
            ),
            ("only a name", &[0x48, 0x8d, 0x0d], &[], Some((None, None))),
            ("lea rax, name", &[0x48, 0x8d, 0x05], &[], None),
            ("lea rdi, name", &[0x48, 0x8d, 0x3d], &[], None),
            ("no operand of an address", &[0, 0, 0], &[], None),
        ];
        for (what, before, behind, expected) in cases {
            let found = x86(&around(before, behind)).map(|r| (r.reason, r.line));
            assert_eq!(found, *expected, "{what}");
        }
        assert_eq!(x86(&[]), None);
    }

    #[test]
    fn constants_on_aarch64() {
        let mut words = [0xd503_201fu32; 20];
        words[8] = 0x5280_0000 | 226 << 5 | 2; // mov w2, #226
        words[10] = 0x9100_0000 | 3 << 5 | 3; // add x3, x3, #0
        words[11] = 0x5280_0000 | 1000 << 5 | 4; // mov w4, #1000
        let code: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(arm(&code), Some(Report { reason: Some(226), line: Some(1000) }));
        assert_eq!(arm(&[]), None);
    }
}
