//! Frames out of the bytes of one direction (RFC 9113, sections 4 and 6), and what a gap does to them.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    boundary::Boundary,
    frame::{
        ACK, CONTINUATION, DATA, DEFAULT_MAX_LEN, END_HEADERS, END_STREAM, Frame, GOAWAY, HEAD, HEADERS,
        PADDED, PRIORITIZED, PUSH_PROMISE, RST_STREAM, SETTINGS_FRAME,
    },
};
use crate::{time::Timestamp, wire::start::PREFACE};

/// A header block, put together from its frames.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub stream: u32,
    /// The stream is over with it, in this direction.
    pub ends_stream: bool,
    /// It belongs to a request that the server promises to answer unasked.
    pub promised: bool,
    /// `None` if a part of it is missing, or it is over the limit.
    pub bytes: Option<Bytes>,
    /// When its first byte was moved.
    pub since: Timestamp,
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The input is used up.
    More,
    /// The next bytes of a stream.
    Data { stream: u32, bytes: Bytes },
    /// Bytes of a stream are missing.
    Missing { stream: u32, len: Option<u64> },
    /// The last DATA frame of a stream is over.
    End { stream: u32 },
    /// A header block is over.
    Block(Block),
    /// A stream is reset.
    Reset { stream: u32 },
    /// Streams after this one won't be answered.
    GoAway { last: u32 },
    /// The place of the next frame is lost: anything may have been in what is missing.
    Lost,
    /// The bytes are no frames. The place is lost, too.
    Malformed,
    /// So many bytes could not be read.
    Skipped(u64),
}

impl Step {
    /// The stream that it is about, if it is about one.
    pub fn stream(&self) -> Option<u32> {
        match self {
            Self::Data { stream, .. }
            | Self::Missing { stream, .. }
            | Self::End { stream }
            | Self::Reset { stream }
            | Self::Block(Block { stream, .. }) => Some(*stream),
            Self::More | Self::GoAway { .. } | Self::Lost | Self::Malformed | Self::Skipped(_) => None,
        }
    }
}

enum State {
    /// Nothing was seen, or a part of the preface.
    Start { matched: usize },
    /// Between frames, or in the head of one.
    Head,
    /// The length of the padding of a DATA frame comes next.
    PadLen(Frame),
    /// In a DATA frame.
    Data { frame: Frame, data: u32, padding: u32 },
    /// In a frame whose payload is needed whole.
    Collect(Frame),
    /// In a frame of which nothing more is needed.
    Skip { frame: Frame, left: u32 },
    /// The place of the next frame is not known.
    Lost,
}

/// Reads the frames of one direction.
pub(super) struct Reader {
    state: State,
    /// A head or a payload that is not whole.
    held: BytesMut,
    /// When the first byte of the head was moved.
    since: Timestamp,
    block: Option<Block>,
    boundary: Boundary,
    /// The longest payload that was seen, or may be expected.
    max_len: u32,
    /// No frame was read, and nothing is missing.
    fresh: bool,
    /// It was read from the first byte on.
    whole: bool,
    /// It began with the preface.
    preface: bool,
    /// Longest payload that is collected, and longest header block.
    limit: usize,
}

impl Reader {
    pub fn new(limit: usize) -> Self {
        Self {
            state: State::Start { matched: 0 },
            held: BytesMut::new(),
            since: Timestamp::default(),
            block: None,
            boundary: Boundary::default(),
            max_len: DEFAULT_MAX_LEN,
            fresh: true,
            whole: false,
            preface: false,
            limit,
        }
    }

    /// Was it read from the first byte on? That is known by the preface, and by the SETTINGS that a server begins with.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Did it begin with the preface of a client?
    pub fn is_client(&self) -> bool {
        self.preface
    }

    /// Bytes that are held of frames and header blocks that are not whole.
    pub fn held(&self) -> usize {
        let block = self.block.as_ref().and_then(|block| block.bytes.as_ref()).map_or(0, Bytes::len);
        self.held.len() + block + self.boundary.held() as usize
    }

    /// Forgets what is held, and says how much it was.
    pub fn clear(&mut self) -> u64 {
        let held = self.held.len() as u64 + std::mem::take(&mut self.boundary).held();
        self.held.clear();
        held
    }

    /// Takes the next step off `input`. `newest` is the highest stream that is known, on either side.
    pub fn next(&mut self, input: &mut Bytes, time: Timestamp, newest: u32) -> Step {
        loop {
            if input.is_empty() && !self.is_over() {
                return Step::More;
            }
            match self.state {
                State::Start { matched } => {
                    let rest = &PREFACE[matched..];
                    let n = rest.len().min(input.len());
                    if input[..n] == rest[..n] {
                        input.advance(n);
                        self.state = State::Start { matched: matched + n };
                        if n == rest.len() {
                            self.state = State::Head;
                            (self.whole, self.preface, self.fresh) = (true, true, false);
                        }
                        continue;
                    }
                    self.state = State::Lost;
                    if matched > 0 {
                        self.fresh = false;
                        self.boundary.push(&PREFACE[..matched], self.max_len, newest);
                    }
                }
                State::Lost => {
                    let piece = std::mem::take(input);
                    let (found, skipped) = self.boundary.push(&piece, self.max_len, newest);
                    if let Some(found) = found {
                        *input = found;
                        self.state = State::Head;
                    }
                    self.fresh &= skipped == 0;
                    if skipped > 0 {
                        return Step::Skipped(skipped);
                    }
                }
                State::Head => {
                    if self.held.is_empty() {
                        self.since = time;
                    }
                    let Some(frame) = self.head(input) else { return Step::More };
                    if let Some(step) = self.begin(frame) {
                        return step;
                    }
                }
                State::PadLen(frame) => {
                    let padding = u32::from(input.get_u8());
                    let Some(data) = (frame.len - 1).checked_sub(padding) else { return self.malformed() };
                    self.state = State::Data { frame, data, padding };
                }
                State::Data { frame, data: 0, padding } => {
                    self.state = State::Skip { frame, left: padding };
                }
                State::Data { frame, ref mut data, .. } => {
                    let bytes = input.split_to(input.len().min(*data as usize));
                    *data -= bytes.len() as u32;
                    return Step::Data { stream: frame.stream, bytes };
                }
                State::Collect(frame) => {
                    let Some(payload) = collect(&mut self.held, input, frame.len as usize) else {
                        return Step::More;
                    };
                    self.state = State::Head;
                    if let Some(step) = self.payload(frame, payload) {
                        return step;
                    }
                }
                State::Skip { frame, left: 0 } => {
                    self.state = State::Head;
                    if let Some(step) = self.finish(frame) {
                        return step;
                    }
                }
                State::Skip { ref mut left, .. } => {
                    let n = input.len().min(*left as usize);
                    input.advance(n);
                    *left -= n as u32;
                }
            }
        }
    }

    /// Bytes are missing. What follows from it, in order.
    pub fn gap(&mut self, len: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        self.fresh = false;
        let (frame, left) = match self.state {
            State::Start { .. } | State::Lost | State::Head => {
                let held = self.clear();
                self.lose(held, &mut steps);
                return steps;
            }
            State::PadLen(frame) => {
                // Which of the rest is padding can't be told any more.
                steps.push(Step::Missing { stream: frame.stream, len: None });
                (frame, frame.len)
            }
            State::Data { frame, data, padding } => {
                let missing = len.min(u64::from(data));
                if missing > 0 {
                    steps.push(Step::Missing { stream: frame.stream, len: Some(missing) });
                }
                if len < u64::from(data) {
                    self.state = State::Data { frame, data: data - len as u32, padding };
                    return steps;
                }
                (frame, data + padding)
            }
            State::Collect(frame) => {
                let held = std::mem::take(&mut self.held).len() as u32;
                self.spoil(frame);
                (frame, frame.len - held)
            }
            State::Skip { frame, left } => (frame, left),
        };
        if u64::from(left) > len {
            self.state = State::Skip { frame, left: left - len as u32 };
            return steps;
        }
        self.state = State::Head;
        steps.extend(self.finish(frame));
        if u64::from(left) < len {
            self.lose(0, &mut steps);
        }
        steps
    }

    fn lose(&mut self, held: u64, steps: &mut Vec<Step>) {
        self.state = State::Lost;
        self.block = None;
        if held > 0 {
            steps.push(Step::Skipped(held));
        }
        steps.push(Step::Lost);
    }

    /// Is there a step that takes no more input?
    fn is_over(&self) -> bool {
        matches!(self.state, State::Skip { left: 0, .. } | State::Data { data: 0, padding: 0, .. })
            || matches!(self.state, State::Collect(frame) if frame.len == 0)
    }

    fn head(&mut self, input: &mut Bytes) -> Option<Frame> {
        let head = collect(&mut self.held, input, HEAD)?;
        Frame::parse(&head)
    }

    fn malformed(&mut self) -> Step {
        (self.state, self.block, self.fresh) = (State::Lost, None, false);
        self.held.clear();
        Step::Malformed
    }

    /// A head was read.
    fn begin(&mut self, frame: Frame) -> Option<Step> {
        // RFC 9113, section 6.10: nothing comes between the frames of a block.
        let torn =
            self.block.as_ref().is_some_and(|b| frame.kind != CONTINUATION || frame.stream != b.stream);
        if torn || !frame.is_legal() {
            return Some(self.malformed());
        }
        if std::mem::take(&mut self.fresh) {
            self.whole |= frame.kind == SETTINGS_FRAME && !frame.has(ACK);
        }
        self.max_len = self.max_len.max(frame.len);
        if frame.is_block() {
            let since = self.since;
            self.block.get_or_insert_with(|| Block {
                stream: frame.stream,
                ends_stream: frame.ends_stream(),
                promised: frame.kind == PUSH_PROMISE,
                // The beginning of a block that goes on here was missed.
                bytes: (frame.kind != CONTINUATION).then(Bytes::new),
                since,
            });
        }
        self.state = match frame.kind {
            DATA if frame.has(PADDED) => State::PadLen(frame),
            DATA => State::Data { frame, data: frame.len, padding: 0 },
            HEADERS | PUSH_PROMISE | CONTINUATION | GOAWAY if frame.len as usize <= self.limit => {
                State::Collect(frame)
            }
            _ => State::Skip { frame, left: frame.len },
        };
        if matches!(self.state, State::Skip { .. }) {
            self.spoil(frame);
        }
        (frame.kind == RST_STREAM).then_some(Step::Reset { stream: frame.stream })
    }

    /// A part of the frame won't be read.
    fn spoil(&mut self, frame: Frame) {
        if frame.is_block()
            && let Some(block) = &mut self.block
        {
            block.bytes = None;
        }
    }

    /// A payload that was needed is whole.
    fn payload(&mut self, frame: Frame, mut payload: Bytes) -> Option<Step> {
        if frame.kind == GOAWAY {
            return Some(Step::GoAway { last: payload.get_u32() & 0x7fff_ffff });
        }
        if frame.kind != CONTINUATION {
            let padding = if frame.has(PADDED) { payload.get_u8() } else { 0 };
            let before = match frame.kind {
                PUSH_PROMISE => 4,
                _ if frame.has(PRIORITIZED) => 5,
                _ => 0,
            };
            let Some(end) = payload.len().checked_sub(usize::from(padding)).filter(|end| *end >= before)
            else {
                return Some(self.malformed());
            };
            payload = payload.slice(before..end);
        }
        if let Some(block) = &mut self.block
            && let Some(bytes) = &mut block.bytes
        {
            if bytes.is_empty() {
                *bytes = payload;
            } else if bytes.len() + payload.len() > self.limit {
                block.bytes = None;
            } else {
                let mut joined =
                    std::mem::take(bytes).try_into_mut().unwrap_or_else(|b| BytesMut::from(&b[..]));
                joined.extend_from_slice(&payload);
                *bytes = joined.freeze();
            }
        }
        self.finish(frame)
    }

    /// A frame is over.
    fn finish(&mut self, frame: Frame) -> Option<Step> {
        if frame.is_block() {
            return frame.has(END_HEADERS).then(|| self.block.take()).flatten().map(Step::Block);
        }
        (frame.kind == DATA && frame.has(END_STREAM)).then_some(Step::End { stream: frame.stream })
    }
}

/// Takes `len` bytes off `input`, together with what is held of them; without a copy if nothing is.
fn collect(held: &mut BytesMut, input: &mut Bytes, len: usize) -> Option<Bytes> {
    if held.is_empty() && input.len() >= len {
        return Some(input.split_to(len));
    }
    let n = input.len().min(len - held.len());
    held.extend_from_slice(&input.split_to(n));
    (held.len() == len).then(|| held.split().freeze())
}
