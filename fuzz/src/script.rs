//! Conversations as bytes: what the targets read them from, and what their seeds are written with.

/// One step of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// The captured process moves it, or hears it.
    pub sent: bool,
    /// Which of four connections.
    pub connection: u8,
    /// What.
    pub what: What<'a>,
}

/// What moves in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// Bytes as they are.
    Bytes(&'a [u8]),
    /// Bytes in a frame of the protocol, with what its head says besides their length: a chunk says nothing, HTTP/2 has a
    /// type, flags and a stream, WebSocket a first byte.
    Frame([u8; 3], &'a [u8]),
    /// Bytes that are missing.
    Gap(u16),
    /// Nothing any more.
    Close,
}

/// The next step of a script, which is taken off it. A run of bytes that should be longer than the script ends with it.
pub fn step<'a>(script: &mut &'a [u8]) -> Option<Step<'a>> {
    let [kind] = *take(script)?;
    let sent = kind & 4 == 0;
    let connection = kind >> 3 & 3;
    let what = match kind & 3 {
        0 => What::Bytes(run(script)?),
        1 => What::Frame(*take(script)?, run(script)?),
        2 => What::Gap(u16::from_le_bytes(*take(script)?)),
        _ => What::Close,
    };
    Some(Step { sent, connection, what })
}

fn take<'a, const N: usize>(script: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = script.split_first_chunk()?;
    *script = rest;
    Some(taken)
}

fn run<'a>(script: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::from(u16::from_le_bytes(*take(script)?));
    let (run, rest) = script.split_at(len.min(script.len()));
    *script = rest;
    Some(run)
}

/// Writes a script.
#[derive(Clone, Debug, Default)]
#[allow(dead_code, reason = "seeds are written, targets read")]
pub struct Script {
    bytes: Vec<u8>,
    connection: u8,
}

#[allow(dead_code, reason = "seeds are written, targets read")]
impl Script {
    /// What follows belongs to this connection.
    pub fn on(mut self, connection: u8) -> Self {
        self.connection = connection;
        self
    }

    /// The process sends this.
    pub fn sent(self, bytes: &[u8]) -> Self {
        self.step(0).run(bytes)
    }

    /// It receives this.
    pub fn received(self, bytes: &[u8]) -> Self {
        self.step(4).run(bytes)
    }

    /// It sends this in a frame.
    pub fn sent_frame(self, head: [u8; 3], payload: &[u8]) -> Self {
        self.step(1).raw(&head).run(payload)
    }

    /// It receives this in a frame.
    pub fn received_frame(self, head: [u8; 3], payload: &[u8]) -> Self {
        self.step(5).raw(&head).run(payload)
    }

    /// So many bytes of what it receives are missing.
    pub fn gap(self, len: u16) -> Self {
        self.step(6).raw(&len.to_le_bytes())
    }

    /// The connection is released.
    pub fn close(self) -> Self {
        self.step(3)
    }

    /// The script.
    pub fn bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn step(self, kind: u8) -> Self {
        let connection = self.connection << 3;
        self.raw(&[kind | connection])
    }

    fn run(self, bytes: &[u8]) -> Self {
        self.raw(&(bytes.len() as u16).to_le_bytes()).raw(bytes)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }
}
