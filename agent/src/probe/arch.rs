//! Where the calling conventions put arguments, as byte offsets in `pt_regs`.

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
    /// What must be added to the stack pointer at a function's entry to get the one after its return.
    pub entry_frame: i32,
}

/// System V AMD64 psABI, 3.2; `struct pt_regs` of arch/x86/include/asm/ptrace.h. A return pops the address
/// that the call had pushed.
const X86_64: Registers =
    Registers { arguments: [112, 104, 96, 88, 72, 64], result: 80, stack: 152, entry_frame: 8 };

/// AAPCS64, 6.4; `struct user_pt_regs` of arch/arm64/include/uapi/asm/ptrace.h.
const AARCH64: Registers =
    Registers { arguments: [0, 8, 16, 24, 32, 40], result: 0, stack: 248, entry_frame: 0 };

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
