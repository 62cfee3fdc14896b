//! The interface that OpenSSL and its children share: where its functions have their arguments.

use agent_common::{ACTION_CALL, ACTION_END, ACTION_RETURN, AT_REGISTER, Location, Point};

use crate::probe::{Architecture, Elf, Mechanism, ProbePoint, inner};

/// What a function of the library does with plaintext.
pub enum Role {
    /// `int f(SSL *, void *buf, int num)`: the result is the count.
    Plain {
        /// Which way the plaintext goes.
        direction: u8,
    },
    /// `int f(SSL *, void *buf, int num, ..., int flags)`: the same, unless the flags say that it shall only look.
    Flagged {
        /// Which way the plaintext goes.
        direction: u8,
        /// Number of the argument.
        flags: usize,
    },
    /// `ssize_t f(session, void *buf, size_t num, ...)`: the result is the count.
    Sized {
        /// Which way the plaintext goes.
        direction: u8,
    },
    /// `int f(SSL *, void *buf, size_t num, ..., size_t *count)`: the result is 1 for success; `count` is the
    /// argument of that number.
    Counted {
        /// Which way the plaintext goes.
        direction: u8,
        /// Number of the argument.
        count: usize,
    },
    /// `f(SSL *)`: the connection ends.
    End {
        /// `ACTION_END` or `ACTION_SHUTDOWN`.
        action: u8,
    },
    /// `SSL *f(...)`: a connection begins at the address that is returned; what was there before is over. For libraries
    /// in which the function that releases a connection can't be found.
    New,
}

/// The probe points of such a function at a file offset.
pub fn points(elf: &Elf<'_>, symbol: &'static str, role: &Role, offset: u64) -> Vec<ProbePoint> {
    let at = if inner::refused(elf, offset) { elsewhere(elf, role, offset) } else { None };
    placed(elf.architecture(), symbol, role, at.unwrap_or_else(|| inner::entry(elf, offset)))
}

/// Where the same is seen of a function at whose beginning the kernel refuses a probe: at what it calls with the same
/// arguments, or of an end, for which the stack does not matter, a few instructions on.
fn elsewhere(elf: &Elf<'_>, role: &Role, offset: u64) -> Option<u64> {
    let last = match *role {
        Role::New => return None,
        Role::End { .. } => return inner::behind_pushes(elf, offset),
        Role::Plain { .. } | Role::Sized { .. } => 2,
        Role::Flagged { flags: last, .. } | Role::Counted { count: last, .. } => last,
    };
    let called = inner::called(elf, offset)?;
    let handed_on = called.arguments.get(..=last)?;
    handed_on.iter().enumerate().all(|(n, argument)| *argument == Some(n as u8)).then_some(called.offset)
}

fn placed(architecture: Architecture, symbol: &'static str, role: &Role, offset: u64) -> Vec<ProbePoint> {
    let registers = architecture.registers();
    let argument = |n: usize, width| Location {
        kind: AT_REGISTER,
        width,
        register: registers.arguments[n],
        displacement: 0,
    };
    let at_entry = Point {
        stack_register: registers.stack,
        frame: registers.entry_frame,
        conn: argument(0, 8),
        ..Point::default()
    };
    let entry = |point| ProbePoint { symbol, offset, mechanism: Mechanism::Uprobe, point };
    let mut peek = Location::default();
    let (direction, len, moved, result) = match *role {
        Role::New => {
            let conn = Location { kind: AT_REGISTER, width: 8, register: registers.result, displacement: 0 };
            let point = Point { action: ACTION_END, conn, ..Point::default() };
            return vec![ProbePoint { symbol, offset, mechanism: Mechanism::Uretprobe, point }];
        }
        Role::End { action } => return vec![entry(Point { action, ..at_entry })],
        Role::Flagged { direction, flags } => {
            peek = argument(flags, 4);
            (direction, argument(2, 4), Location::default(), 4)
        }
        Role::Plain { direction } => (direction, argument(2, 4), Location::default(), 4),
        Role::Sized { direction } => (direction, argument(2, 8), Location::default(), 8),
        Role::Counted { direction, count } => (direction, argument(2, 8), argument(count, 8), 4),
    };
    vec![
        entry(Point { action: ACTION_CALL, direction, buf: argument(1, 8), len, moved, peek, ..at_entry }),
        ProbePoint {
            symbol,
            offset,
            mechanism: Mechanism::Uretprobe,
            point: Point {
                action: ACTION_RETURN,
                direction,
                stack_register: registers.stack,
                moved: Location {
                    kind: AT_REGISTER,
                    width: result,
                    register: registers.result,
                    displacement: 0,
                },
                ..Point::default()
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use agent_common::SENT;

    use super::*;

    #[test]
    fn arguments_follow_the_manual_pages() {
        let points =
            placed(Architecture::X86_64, "SSL_write_ex2", &Role::Counted { direction: SENT, count: 4 }, 0x40);
        assert_eq!(points.len(), 2);
        let call = points[0].point;
        // rdi, rsi, rdx, r8 of struct pt_regs
        assert_eq!(
            [call.conn.register, call.buf.register, call.len.register, call.moved.register],
            [112, 104, 96, 72]
        );
        assert_eq!((call.frame, call.stack_register, call.len.width), (8, 152, 8));
        assert_eq!(points[1].mechanism, Mechanism::Uretprobe);
        assert_eq!((points[1].point.moved.register, points[1].point.moved.width), (80, 4));
    }
}
