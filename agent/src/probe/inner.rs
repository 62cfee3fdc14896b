//! Where a probe is cheap: the function that a public one hands its arguments on to.
//!
//! The kernel emulates few instructions under a probe (on x86 pushes, jumps, calls and no-ops:
//! `arch/x86/kernel/uprobes.c`) and single-steps all others, which costs ten times as much. Public functions of a
//! library are often thin: `sub $8, %rsp`, a call, and out. What they call begins with a `push`, and all of them call
//! the same. So one probe there is both cheaper and sees every way in.
//!
//! Which register of the called function holds which argument is followed through the instructions, never assumed.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};

use super::{Architecture, Elf};

/// Most bytes of a public function before its call.
const REACH: usize = 64;

/// Integer arguments of the System V AMD64 psABI, 3.2.3.
const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// `lock`, and the prefixes of the segments ES, CS, SS and DS (Intel SDM, volume 2, 2.1.1).
const PADDING: [u8; 5] = [0xf0, 0x26, 0x2e, 0x36, 0x3e];

/// A call in the straight part of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inner {
    /// File offset at which a probe is cheap and the stack is as at the function's entry: its first instruction, or the
    /// one after `endbr64`.
    pub offset: u64,
    /// Which of the caller's arguments is in each of the called function's argument registers.
    pub arguments: [Option<u8>; 6],
}

/// The first function that the function at `offset` calls, if that is a cheap place for a probe. Conditional jumps on
/// the way are taken for checks that fail.
pub(super) fn called(elf: &Elf<'_>, offset: u64) -> Option<Inner> {
    if elf.architecture() != Architecture::X86_64 {
        return None;
    }
    let address = elf.address(offset)?;
    let code = elf.bytes(address, REACH)?;
    let (target, arguments) = first_call(&code, address)?;
    let begin = elf.bytes(target, 16)?;
    let cheap = target.checked_add(cheap_start(&begin)? as u64)?;
    Some(Inner { offset: elf.file_offset(cheap)?, arguments })
}

/// Where a probe at the beginning of the function at `offset` is cheap: there, or behind its `endbr64`, where the stack
/// is the same. The beginning itself where neither is.
pub(super) fn entry(elf: &Elf<'_>, offset: u64) -> u64 {
    let cheap = || {
        if elf.architecture() != Architecture::X86_64 {
            return None;
        }
        let begin = elf.bytes(elf.address(offset)?, 8)?;
        offset.checked_add(cheap_start(&begin)? as u64)
    };
    cheap().unwrap_or(offset)
}

/// Whether the kernel refuses a probe at the instruction at `offset`: it does so where prefixes of a segment or `lock` stand
/// before it (`is_prefix_bad`, `arch/x86/kernel/uprobes.c`), with which assemblers pad code that must not jump at the end
/// of a cache line.
pub(super) fn refused(elf: &Elf<'_>, offset: u64) -> bool {
    let code = || elf.bytes(elf.address(offset)?, 1);
    elf.architecture() == Architecture::X86_64 && code().is_some_and(|code| PADDING.contains(&code[0]))
}

/// The first instruction at which a probe is not refused, behind the pushes that a function begins with: its arguments
/// are still in their registers, but its stack is another.
pub(super) fn behind_pushes(elf: &Elf<'_>, offset: u64) -> Option<u64> {
    let address = elf.address(offset)?;
    let code = (1..=REACH).rev().find_map(|len| elf.bytes(address, len))?;
    let within = pushes(&code)?;
    offset.checked_add(within as u64)
}

fn pushes(code: &[u8]) -> Option<usize> {
    for instruction in &mut Decoder::with_ip(64, code, 0, DecoderOptions::NONE) {
        let at = instruction.ip() as usize;
        if instruction.is_invalid() {
            return None;
        }
        if !PADDING.contains(code.get(at)?) {
            return Some(at);
        }
        if instruction.mnemonic() != Mnemonic::Push {
            return None;
        }
    }
    None
}

fn first_call(code: &[u8], address: u64) -> Option<(u64, [Option<u8>; 6])> {
    let mut holds: [Option<u8>; 6] = [0, 1, 2, 3, 4, 5].map(Some);
    let mut facts = InstructionInfoFactory::new();
    for instruction in &mut Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
        if instruction.is_invalid() {
            return None;
        }
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::ConditionalBranch => {
                follow(&mut facts, &instruction, &mut holds);
            }
            FlowControl::Call if instruction.code() == Code::Call_rel32_64 => {
                return Some((instruction.near_branch_target(), holds));
            }
            _ => return None,
        }
    }
    None
}

/// What the argument registers hold after an instruction.
fn follow(facts: &mut InstructionInfoFactory, instruction: &Instruction, holds: &mut [Option<u8>; 6]) {
    let number = |register: Register| ARGUMENTS.iter().position(|a| *a == register.full_register());
    let copied = match instruction.mnemonic() {
        // A sign-extended int is still that argument.
        Mnemonic::Mov | Mnemonic::Movsxd
            if instruction.op0_kind() == OpKind::Register && instruction.op1_kind() == OpKind::Register =>
        {
            number(instruction.op1_register()).and_then(|from| holds[from])
        }
        _ => None,
    };
    let written = facts.info(instruction).used_registers().iter().filter(|used| {
        !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess | OpAccess::None)
    });
    for used in written {
        if let Some(to) = number(used.register()) {
            holds[to] = None;
        }
    }
    if copied.is_some()
        && let Some(to) = number(instruction.op0_register())
    {
        holds[to] = copied;
    }
}

/// Where in the first bytes of a function there is an instruction that the kernel emulates, before anything has
/// happened.
fn cheap_start(code: &[u8]) -> Option<usize> {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    let after = if code.starts_with(&ENDBR64) { ENDBR64.len() } else { 0 };
    match code.get(after..)? {
        // push of any of the sixteen registers
        [0x50..=0x57, ..] | [0x41, 0x50..=0x57, ..] => Some(after),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case<'a> = (&'a str, &'a [u8], Option<(u64, [Option<u8>; 6])>);

    /// As GCC makes them of OpenSSL 3.0, and of 3.3 where the count moves on for the flags.
    #[test]
    fn arguments_are_followed_to_the_call() {
        let some = |n: [u8; 6]| n.map(|n| (n < 6).then_some(n));
        let cases: &[Case<'_>] = &[
            (
                "SSL_write_ex: sub $8,%rsp; call",
                &[0x48, 0x83, 0xec, 8, 0xe8, 0x87, 0xfb, 0xff, 0xff],
                Some((0xb90, some([0, 1, 2, 3, 4, 5]))),
            ),
            (
                "SSL_write: sub; test %edx,%edx; js; mov %rsp,%rcx; movslq %edx,%rdx; call",
                &[
                    0x48, 0x83, 0xec, 0x18, 0x85, 0xd2, 0x78, 0x2f, 0x48, 0x89, 0xe1, 0x48, 0x63, 0xd2, 0xe8,
                    0, 0, 0, 0,
                ],
                Some((0x1013, some([0, 1, 2, 9, 4, 5]))),
            ),
            (
                "flags: mov %rcx,%r8; xor %ecx,%ecx; call",
                &[0x49, 0x89, 0xc8, 0x31, 0xc9, 0xe8, 0, 0, 0, 0],
                Some((0x100a, some([0, 1, 2, 9, 3, 5]))),
            ),
            ("a return first", &[0xc3, 0xe8, 0, 0, 0, 0], None),
            ("an indirect call", &[0xff, 0xd0, 0xe8, 0, 0, 0, 0], None),
            ("a jump", &[0xeb, 0, 0xe8, 0, 0, 0, 0], None),
            ("nothing", &[], None),
        ];
        for (what, code, expected) in cases {
            assert_eq!(first_call(code, 0x1000), *expected, "{what}");
        }
    }

    #[test]
    fn behind_padded_pushes() {
        // cs push %r13; cs push %r12; push %rbp
        let shutdown = [0x2e, 0x2e, 0x2e, 0x2e, 0x41, 0x55, 0x2e, 0x2e, 0x41, 0x54, 0x55, 0x53];
        assert_eq!(pushes(&shutdown), Some(10));
        assert_eq!(pushes(&[0x53]), Some(0));
        assert_eq!(pushes(&[0x2e, 0x48, 0x89, 0xf7, 0x53]), None, "cs mov %rsi,%rdi: an argument is gone");
        assert_eq!(pushes(&shutdown[..10]), None, "nothing follows");
        assert_eq!(pushes(&[]), None);
    }

    #[test]
    fn where_functions_start_cheaply() {
        assert_eq!(cheap_start(&[0x41, 0x56, 0x41]), Some(0));
        assert_eq!(cheap_start(&[0x55]), Some(0));
        assert_eq!(cheap_start(&[0xf3, 0x0f, 0x1e, 0xfa, 0x53]), Some(4));
        assert_eq!(cheap_start(&[0x48, 0x83, 0xec, 8]), None);
        assert_eq!(cheap_start(&[]), None);
    }
}
