//! Go's crypto/tls, stripped or not: by the table of functions that Go's own runtime needs (`.gopclntab`, which
//! `-ldflags='-s -w'` leaves in).
//!
//! Go moves stacks, so a return can't be caught by changing the return address: each `RET` of the function is a point of
//! its own. And a goroutine may go on in another thread: the register that holds it names the call.
//! The calling convention is that of src/cmd/compile/abi-internal.md, of Go 1.17 (amd64) and 1.18 (arm64).

use agent_common::{ACTION_CALL, ACTION_END, ACTION_RETURN, AT_REGISTER, Location, Point, RECEIVED, SENT};
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register,
};
use memchr::memmem;

use super::Locator;
use crate::probe::{Architecture, Elf, Finding, Mechanism, ProbePoint};

/// The locator.
pub struct Go;

const WRITE: &str = "crypto/tls.(*Conn).Write";
const READ: &str = "crypto/tls.(*Conn).Read";
const CLOSE: &str = "crypto/tls.(*Conn).Close";

/// What the table begins with, by version (src/internal/abi/symtab.go): a magic number, two zero bytes, the size of the
/// smallest instruction and that of a pointer.
const MAGICS: [(u32, &str); 2] = [(0xffff_fff0, "Go 1.18 or 1.19"), (0xffff_fff1, "Go 1.20 or later")];

/// Most bytes of the table, and of a function, that are looked at.
const MAX_TABLE: u64 = 64 << 20;
const MAX_FUNCTION: u64 = 64 * 1024;

/// Instructions of a function's beginning that may come before its check for stack.
const PROLOGUE: usize = 4;

impl Locator for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    fn locate(&self, elf: &Elf<'_>) -> Result<Option<Finding>, String> {
        let Some((table, version)) = Table::find(elf) else { return Ok(None) };
        let text = if table.text_start == 0 {
            // Since Go 1.27 the linker leaves it out.
            elf.section(".text")
                .map(|(address, _)| address)
                .ok_or("a Go program whose code has no known start")?
        } else {
            table.text_start
        };
        let [write, read, close] = [WRITE, READ, CLOSE].map(|name| table.function(name, text));
        let (Some(write), Some(read)) = (write, read) else {
            return match (write, read) {
                (None, None) => Ok(None), // a Go program without TLS
                _ => Err("a Go program that can only read or only write TLS".to_owned()),
            };
        };
        let registers = Registers::of(elf.architecture());
        let mut points = Vec::new();
        for (symbol, direction, function) in [(WRITE, SENT, &write), (READ, RECEIVED, &read)] {
            points.extend(registers.moves(elf, symbol, direction, function)?);
        }
        if let Some(close) = close {
            let point = Point { action: ACTION_END, conn: at(registers.arguments[0]), ..Point::default() };
            let offset = elf.file_offset(close.start).ok_or("a function lies outside of the code")?;
            points.push(ProbePoint { symbol: CLOSE, offset, mechanism: Mechanism::Uprobe, point });
        }
        let evidence = format!(
            "{version}, its table of functions: {WRITE} {:#x}, {READ} {:#x}, {} places of return",
            write.start,
            read.start,
            points.iter().filter(|p| p.point.action == ACTION_RETURN).count()
        );
        Ok(Some(Finding { stack: self.name(), evidence, points }))
    }
}

fn at(register: u16) -> Location {
    Location { kind: AT_REGISTER, width: 8, register, displacement: 0 }
}

/// Code of a function.
#[derive(Clone, Copy)]
struct Function {
    start: u64,
    end: u64,
}

/// The table, in memory.
struct Table {
    bytes: Vec<u8>,
    functions: u64,
    text_start: u64,
    names: u64,
    entries: u64,
}

impl Table {
    fn find(elf: &Elf<'_>) -> Option<(Self, &'static str)> {
        let named = [".gopclntab", ".data.rel.ro.gopclntab"].iter().find_map(|name| elf.section(name));
        if let Some((address, size)) = named {
            return Self::parse(elf.bytes(address, usize::try_from(size.min(MAX_TABLE)).ok()?)?);
        }
        // Without section headers it is looked for; nothing but its head looks like that.
        let mut found = None;
        for segment in elf.segments() {
            let _ = elf.windows(segment, 8, |address, window| {
                for (magic, _) in MAGICS {
                    let head = [&magic.to_le_bytes()[..], &[0, 0]].concat();
                    for at in memmem::find_iter(window, &head) {
                        let begin = address + at as u64;
                        let size = (segment.address + segment.size - begin).min(MAX_TABLE);
                        let parse = || Self::parse(elf.bytes(begin, usize::try_from(size).ok()?)?);
                        if matches!(window.get(at + 6..at + 8), Some([1 | 4, 8])) {
                            found = parse();
                        }
                        if found.is_some() {
                            return false;
                        }
                    }
                }
                true
            });
            if found.is_some() {
                break;
            }
        }
        found
    }

    fn parse(bytes: Vec<u8>) -> Option<(Self, &'static str)> {
        let magic = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
        let version = MAGICS.iter().find(|(m, _)| *m == magic)?.1;
        let word = |n: usize| Some(u64::from_le_bytes(bytes.get(8 + 8 * n..16 + 8 * n)?.try_into().ok()?));
        let (functions, text_start, names, entries) = (word(0)?, word(2)?, word(3)?, word(7)?);
        let size = functions.checked_mul(8)?.checked_add(4)?.checked_add(entries)?;
        (size <= bytes.len() as u64 && names < bytes.len() as u64)
            .then_some((Self { bytes, functions, text_start, names, entries }, version))
    }

    fn word(&self, at: u64) -> Option<u32> {
        let at = usize::try_from(at).ok()?;
        Some(u32::from_le_bytes(self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
    }

    /// Each entry of the table says where a function begins, and where more is said of it: first that again, then where
    /// its name is (src/runtime/symtab.go and src/runtime/runtime2.go, `functab` and `_func`).
    fn function(&self, name: &str, text: u64) -> Option<Function> {
        let terminated = [b"\0", name.as_bytes(), b"\0"].concat();
        let names = self.bytes.get(usize::try_from(self.names).ok()?..)?;
        let wanted = u32::try_from(memmem::find(names, &terminated)? + 1).ok()?;
        (0..self.functions).find_map(|i| {
            let entry = self.entries + 8 * i;
            let more = self.entries.checked_add(u64::from(self.word(entry + 4)?))?;
            (self.word(more.checked_add(4)?)? == wanted).then_some(())?;
            let start = text.checked_add(u64::from(self.word(entry)?))?;
            let end = text.checked_add(u64::from(self.word(entry + 8)?))?;
            (start < end && end - start <= MAX_FUNCTION).then_some(Function { start, end })
        })
    }
}

/// Byte offsets in `pt_regs` of what Go's convention uses.
struct Registers {
    arguments: [u16; 3],
    goroutine: u16,
    architecture: Architecture,
}

impl Registers {
    fn of(architecture: Architecture) -> Self {
        match architecture {
            // rax, rbx, rcx; r14
            Architecture::X86_64 => Self { arguments: [80, 40, 88], goroutine: 8, architecture },
            // x0, x1, x2; x28
            Architecture::Aarch64 => Self { arguments: [0, 8, 16], goroutine: 8 * 28, architecture },
        }
    }

    /// `func (c *Conn) f(b []byte) (int, error)`: its beginning, and where it returns.
    fn moves(
        &self,
        elf: &Elf<'_>,
        symbol: &'static str,
        direction: u8,
        function: &Function,
    ) -> Result<Vec<ProbePoint>, String> {
        let code = elf
            .bytes(function.start, (function.end - function.start) as usize)
            .ok_or("a function lies outside of the file")?;
        let (begin, returns) = match self.architecture {
            Architecture::X86_64 => (check_for_stack(&code), returns_x86(&code)),
            Architecture::Aarch64 => (0, returns_arm(&code)),
        };
        if returns.is_empty() {
            return Err(format!("{symbol} has no return"));
        }
        let task = at(self.goroutine);
        let [conn, buf, len] = self.arguments.map(at);
        let call = Point { action: ACTION_CALL, direction, task, conn, buf, len, ..Point::default() };
        let ret = Point { action: ACTION_RETURN, direction, task, moved: conn, ..Point::default() };
        [(begin, call)]
            .into_iter()
            .chain(returns.into_iter().map(|at| (at, ret)))
            .map(|(within, point)| {
                let offset = elf
                    .file_offset(function.start + within as u64)
                    .ok_or("a function lies outside of the code")?;
                Ok(ProbePoint { symbol, offset, mechanism: Mechanism::Uprobe, point })
            })
            .collect()
    }
}

/// Where in the beginning of a function its check for stack jumps: there a probe is emulated and cheap, and the
/// arguments are still in their registers. The beginning itself where there is no such place.
fn check_for_stack(code: &[u8]) -> usize {
    const NEEDED: [Register; 4] = [Register::RAX, Register::RBX, Register::RCX, Register::R14];
    let mut facts = InstructionInfoFactory::new();
    let mut keeps = |instruction: &Instruction| {
        facts.info(instruction).used_registers().iter().all(|used| {
            !NEEDED.contains(&used.register().full_register())
                || matches!(used.access(), OpAccess::Read | OpAccess::CondRead)
        })
    };
    for instruction in Decoder::with_ip(64, code, 0, DecoderOptions::NONE).iter().take(PROLOGUE) {
        match instruction.flow_control() {
            FlowControl::ConditionalBranch => return instruction.ip() as usize,
            FlowControl::Next if keeps(&instruction) => {}
            _ => break,
        }
    }
    0
}

fn returns_x86(code: &[u8]) -> Vec<usize> {
    Decoder::with_ip(64, code, 0, DecoderOptions::NONE)
        .iter()
        .filter(|instruction| instruction.flow_control() == FlowControl::Return)
        .map(|instruction| instruction.ip() as usize)
        .collect()
}

/// `ret` (Arm ARM, C6.2.254), by the link register.
fn returns_arm(code: &[u8]) -> Vec<usize> {
    const RET: [u8; 4] = 0xd65f_03c0u32.to_le_bytes();
    code.chunks_exact(4).enumerate().filter(|(_, word)| *word == RET).map(|(n, _)| 4 * n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of three functions, as the linker lays it out.
    fn table(magic: u32) -> Vec<u8> {
        let names = b"\0runtime.main\0crypto/tls.(*Conn).Write\0crypto/tls.(*Conn).Writev\0";
        let at = |name: &[u8]| memmem::find(names, name).unwrap() as u32;
        let mut bytes = magic.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0, 1, 8]);
        let entries = 72 + names.len() as u64;
        for word in [3, 0, 0x40_1000, 72, 0, 0, 0, entries] {
            bytes.extend_from_slice(&u64::to_le_bytes(word));
        }
        bytes.extend_from_slice(names);
        let more = 3 * 8 + 4;
        for word in [0, more, 0x40, more + 8, 0x100, more + 16, 0x180] {
            bytes.extend_from_slice(&u32::to_le_bytes(word));
        }
        for (start, name) in
            [(0, "runtime"), (0x40, "crypto/tls.(*Conn).Writev"), (0x100, "crypto/tls.(*Conn).Write\0")]
        {
            bytes.extend_from_slice(&u32::to_le_bytes(start));
            bytes.extend_from_slice(&at(name.as_bytes()).to_le_bytes());
        }
        bytes
    }

    #[test]
    fn functions_are_found_by_their_whole_name() {
        for (magic, version) in MAGICS {
            let (table, told) = Table::parse(table(magic)).unwrap();
            assert_eq!((told, table.text_start), (version, 0x40_1000));
            let write = table.function(WRITE, 0x40_1000).unwrap();
            assert_eq!((write.start, write.end), (0x40_1100, 0x40_1180));
            assert!(table.function(READ, 0x40_1000).is_none());
        }
        assert!(Table::parse(table(0xffff_fffa)).is_none(), "Go 1.16");
    }

    #[test]
    fn damaged_tables_do_not_panic() {
        let whole = table(MAGICS[1].0);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            if let Some((table, _)) = Table::parse(bytes) {
                let _ = table.function(WRITE, u64::MAX - 5);
            }
            if let Some((table, _)) = Table::parse(whole[..at].to_vec()) {
                let _ = table.function(WRITE, 0);
            }
        }
    }

    #[test]
    fn places_in_the_code() {
        // lea r12, [rsp-0x18]; cmp r12, [r14+0x10]; jbe; ret; ret 8
        let code =
            [0x4c, 0x8d, 0x64, 0x24, 0xe8, 0x4d, 0x3b, 0x66, 0x10, 0x0f, 0x86, 0, 0, 0, 0, 0xc3, 0xc2, 8, 0];
        assert_eq!((check_for_stack(&code), returns_x86(&code)), (9, vec![15, 16]));
        // mov rax, rbx comes before: the argument is gone
        assert_eq!(check_for_stack(&[0x48, 0x89, 0xd8, 0x76, 0]), 0);
        assert_eq!(check_for_stack(&[]), 0);
        assert_eq!(returns_arm(&[0, 0, 0, 0, 0xc0, 0x03, 0x5f, 0xd6]), [4]);
    }
}
