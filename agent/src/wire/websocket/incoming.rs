//! One direction: frames in, messages out (RFC 6455, sections 5.4 and 5.5).

use bytes::{Buf, Bytes, BytesMut};

use super::{
    deflate::{Inflate, Stop},
    frame::{self, HEADER_MAX, Header, Malformed, Opcode},
};
use crate::{time::Timestamp, wire::Missing};

/// Why a message can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Bytes of it are missing.
    Missing(Missing),
    /// It is compressed, and what it refers to was missed, or it is no DEFLATE.
    Undecodable,
    /// It is over the limit.
    TooLong,
}

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Text, not binary.
    pub text: bool,
    /// All of it; of one that can't be read its beginning, or what could be made of it.
    pub data: Bytes,
    /// Why it can't be read.
    pub fault: Option<Fault>,
    /// When its first byte was moved.
    pub since: Timestamp,
    /// Length of its payloads as they were sent, or what any like it may be compressed to in this session.
    pub sent: u64,
}

/// What was found in the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A message.
    Message(Message),
    /// Bytes are missing, and there may have been messages in them.
    Lost(Missing),
    /// The sender of this direction says no more.
    Close,
}

/// What the events of an answer can be compressed to when all of it but the answer's id was said before.
const COMPRESSED: u64 = 64;

/// Where the next byte is.
enum Place {
    /// In a header, of which so much is there.
    Header { held: [u8; HEADER_MAX], len: usize, since: Timestamp },
    /// In a payload, at this byte of it.
    Payload { header: Header, at: u64 },
    /// Somewhere: reading goes on at a piece that is whole frames.
    Lost,
    /// After the close frame.
    Closed,
}

const START: Place = Place::Header { held: [0; HEADER_MAX], len: 0, since: Timestamp(0) };

/// A message in progress.
struct Partial {
    text: bool,
    compressed: bool,
    data: BytesMut,
    fault: Option<Fault>,
    since: Timestamp,
    sent: u64,
}

/// Reads one direction.
pub(super) struct Incoming {
    place: Place,
    message: Option<Partial>,
    /// `None` where compression was not agreed on.
    inflate: Option<Inflate>,
    /// Its sender masks: it is the client.
    masked: bool,
    /// Longest message, in bytes.
    limit: usize,
    /// Bytes that were passed over in search of a frame.
    skipped: u64,
}

impl Incoming {
    pub fn new(inflate: Option<Inflate>, masked: bool, limit: usize) -> Self {
        Self { place: START, message: None, inflate, masked, limit, skipped: 0 }
    }

    /// About how many bytes are held.
    pub fn held(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.data.len())
            + self.inflate.as_ref().map_or(0, Inflate::held)
    }

    /// Bytes passed over since this was last asked.
    pub fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// Takes the next bytes; fails if they are no frames.
    pub fn push(
        &mut self,
        mut input: Bytes,
        time: Timestamp,
        found: &mut impl FnMut(Found),
    ) -> Result<(), Malformed> {
        if matches!(self.place, Place::Lost) {
            if !frame::are_whole(&input, self.masked, self.inflate.is_some()) {
                self.skipped += input.len() as u64;
                return Ok(());
            }
            self.place = START;
        }
        loop {
            match &mut self.place {
                Place::Lost | Place::Closed => {
                    self.skipped += input.len() as u64;
                    return Ok(());
                }
                Place::Header { held, len, since } => {
                    if *len == 0 {
                        *since = time;
                    }
                    let since = *since;
                    let Some(header) = collect(held, len, &mut input)? else { return Ok(()) };
                    self.begin(header, since)?;
                    if header.len == 0 {
                        self.frame_end(header, found);
                    }
                }
                Place::Payload { header, at } => {
                    if input.is_empty() {
                        return Ok(());
                    }
                    let (header, begin) = (*header, *at);
                    let left = usize::try_from(header.len - begin).unwrap_or(usize::MAX);
                    let part = input.split_to(left.min(input.len()));
                    *at += part.len() as u64;
                    let over = *at == header.len;
                    self.payload(header, begin, part);
                    if over {
                        self.frame_end(header, found);
                    }
                }
            }
        }
    }

    /// Bytes are missing here. Within a payload reading goes on with the next frame.
    pub fn gap(&mut self, len: u64, cut: bool, found: &mut impl FnMut(Found)) {
        let missing = Missing { len: Some(len), cut };
        match &mut self.place {
            Place::Payload { header, at } if len <= header.len - *at => {
                *at += len;
                let header = *header;
                let over = *at == header.len;
                if !header.opcode.is_control() {
                    self.spoil(Fault::Missing(missing));
                }
                if over {
                    self.frame_end(header, found);
                }
            }
            Place::Closed => {}
            _ => {
                self.place = Place::Lost;
                self.message = None;
                self.missed();
                found(Found::Lost(missing));
            }
        }
    }

    fn begin(&mut self, header: Header, since: Timestamp) -> Result<(), Malformed> {
        self.place = Place::Payload { header, at: 0 };
        match header.opcode {
            Opcode::Text | Opcode::Binary => {
                if self.message.is_some() || (header.compressed && self.inflate.is_none()) {
                    return Err(Malformed);
                }
                self.message = Some(Partial {
                    text: header.opcode == Opcode::Text,
                    compressed: header.compressed,
                    data: BytesMut::new(),
                    fault: None,
                    since,
                    sent: 0,
                });
            }
            Opcode::Continuation if self.message.is_none() => return Err(Malformed),
            Opcode::Continuation | Opcode::Close | Opcode::Liveness => {}
        }
        Ok(())
    }

    fn payload(&mut self, header: Header, at: u64, part: Bytes) {
        let Some(message) =
            self.message.as_mut().filter(|m| !header.opcode.is_control() && m.fault.is_none())
        else {
            return;
        };
        let part = match header.mask {
            None => part,
            Some(key) => {
                let mut part = part.try_into_mut().unwrap_or_else(|part| BytesMut::from(&part[..]));
                frame::unmask(&mut part, key, at);
                part.freeze()
            }
        };
        let fault = match &mut self.inflate {
            Some(inflate) if message.compressed => {
                inflate.push(&part, &mut message.data, self.limit).err().map(Fault::from)
            }
            _ => {
                let room = self.limit - message.data.len().min(self.limit);
                message.data.extend_from_slice(&part[..part.len().min(room)]);
                (part.len() > room).then_some(Fault::TooLong)
            }
        };
        if let Some(fault) = fault {
            self.spoil(fault);
        }
    }

    /// The message in progress can't be read. Its frames are still followed.
    fn spoil(&mut self, fault: Fault) {
        let Some(message) = &mut self.message else { return };
        message.fault = Some(match (message.fault, fault) {
            (Some(Fault::Missing(a)), Fault::Missing(b)) => Fault::Missing(Missing {
                len: a.len.zip(b.len).and_then(|(a, b)| a.checked_add(b)),
                cut: a.cut && b.cut,
            }),
            (Some(before), _) => before,
            (None, fault) => fault,
        });
        if message.compressed {
            self.missed();
        }
    }

    fn missed(&mut self) {
        if let Some(inflate) = &mut self.inflate {
            inflate.missed();
        }
    }

    fn frame_end(&mut self, header: Header, found: &mut impl FnMut(Found)) {
        self.place = START;
        if header.opcode == Opcode::Close {
            self.place = Place::Closed;
            found(Found::Close);
        }
        if header.opcode.is_control() {
            return;
        }
        if let Some(message) = &mut self.message {
            message.sent = message.sent.saturating_add(header.len);
        }
        if !header.fin {
            return;
        }
        let Some(message) = self.message.take() else { return };
        let Partial { text, compressed, mut data, mut fault, since, sent } = message;
        if let Some(inflate) = self.inflate.as_mut().filter(|_| compressed && fault.is_none()) {
            match inflate.end(text, &mut data, self.limit) {
                Ok(true) => {}
                Ok(false) => fault = Some(Fault::Undecodable),
                Err(stop) => {
                    fault = Some(stop.into());
                    inflate.missed();
                }
            }
        }
        // An answer's first event names the answer, which is what can't be compressed.
        let sent = if self.inflate.is_some() { sent.min(COMPRESSED) } else { sent };
        found(Found::Message(Message { text, data: data.freeze(), fault, since, sent }));
    }
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Malformed => Self::Undecodable,
            Stop::TooLong => Self::TooLong,
        }
    }
}

/// Takes a header off the input, together with what is held of it.
fn collect(
    held: &mut [u8; HEADER_MAX],
    len: &mut usize,
    input: &mut Bytes,
) -> Result<Option<Header>, Malformed> {
    let before = *len;
    let n = input.len().min(HEADER_MAX - before);
    held[before..before + n].copy_from_slice(&input[..n]);
    if let Some((header, size)) = frame::header(&held[..before + n])? {
        input.advance(size - before);
        return Ok(Some(header));
    }
    *len += n;
    input.advance(n);
    Ok(None)
}
