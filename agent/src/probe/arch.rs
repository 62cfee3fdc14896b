//! Where the calling conventions put arguments, as byte offsets in `pt_regs`.

use agent_common::{AT_MEMORY, AT_REGISTER, Location};

/// An instruction set that probes can be placed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86_64
    X86_64,
    /// aarch64
    Aarch64,
}

/// Registers of a calling convention.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    /// Integer arguments, in order.
    pub arguments: [u16; 6],
    /// Result.
    pub result: u16,
    /// Stack pointer.
    pub stack: u16,
    /// Integer arguments after those of `arguments` that are still in registers.
    pub more_arguments: &'static [u16],
    /// Where the address is passed at which a function shall put a result that is too large for registers.
    pub large_result: u16,
    /// Whether that takes the place of the first argument, and all others move up by one.
    pub large_result_first: bool,
    /// Where the first argument on the stack is at a function's entry, from the stack pointer.
    pub stack_arguments: i32,
    /// What must be added to the stack pointer at a function's entry to get the one after its return.
    pub entry_frame: i32,
}

/// System V AMD64 psABI, 3.2; `struct pt_regs` of arch/x86/include/asm/ptrace.h. A return pops the address
/// that the call had pushed.
const X86_64: Registers = Registers {
    arguments: [112, 104, 96, 88, 72, 64],
    result: 80,
    stack: 152,
    more_arguments: &[],
    large_result: 112,
    large_result_first: true,
    stack_arguments: 8,
    entry_frame: 8,
};

/// AAPCS64, 6.4; `struct user_pt_regs` of arch/arm64/include/uapi/asm/ptrace.h.
const AARCH64: Registers = Registers {
    arguments: [0, 8, 16, 24, 32, 40],
    result: 0,
    stack: 248,
    more_arguments: &[48, 56],
    large_result: 64,
    large_result_first: false,
    stack_arguments: 0,
    entry_frame: 0,
};

impl Registers {
    /// Where the integer argument of that number, of eight bytes, is at a function's entry.
    pub fn argument(&self, n: usize) -> Location {
        let register = self.arguments.iter().chain(self.more_arguments).nth(n);
        let in_registers = self.arguments.len() + self.more_arguments.len();
        match register {
            Some(register) => Location { kind: AT_REGISTER, width: 8, register: *register, displacement: 0 },
            None => Location {
                kind: AT_MEMORY,
                width: 8,
                register: self.stack,
                displacement: self.stack_arguments + 8 * (n - in_registers) as i32,
            },
        }
    }

    /// Where the argument of that number is of a function that has a large result.
    pub fn argument_beside_result(&self, n: usize) -> Location {
        self.argument(n + usize::from(self.large_result_first))
    }
}

impl Architecture {
    /// The one that this agent runs on, if probes can be placed on it.
    pub const fn native() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else {
            None
        }
    }

    /// Its registers.
    pub const fn registers(self) -> &'static Registers {
        match self {
            Self::X86_64 => &X86_64,
            Self::Aarch64 => &AARCH64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_in_registers_and_on_the_stack() {
        let at = |architecture: Architecture, n| {
            let at = architecture.registers().argument(n);
            (at.kind, at.register, at.displacement)
        };
        assert_eq!(at(Architecture::X86_64, 5), (AT_REGISTER, 64, 0));
        assert_eq!(at(Architecture::X86_64, 6), (AT_MEMORY, 152, 8));
        assert_eq!(at(Architecture::X86_64, 9), (AT_MEMORY, 152, 32));
        let beside = |architecture: Architecture, n| {
            let at = architecture.registers().argument_beside_result(n);
            (at.kind, at.register, at.displacement)
        };
        assert_eq!(beside(Architecture::X86_64, 4), (AT_REGISTER, 64, 0));
        assert_eq!(beside(Architecture::X86_64, 5), (AT_MEMORY, 152, 8));
        assert_eq!(beside(Architecture::Aarch64, 5), (AT_REGISTER, 40, 0));
        assert_eq!(at(Architecture::Aarch64, 7), (AT_REGISTER, 56, 0));
        assert_eq!(at(Architecture::Aarch64, 9), (AT_MEMORY, 248, 8));
    }
}
