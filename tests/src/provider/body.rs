//! A response body that is paced, that can die, and that records what it handed out.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::{
    Shared,
    answer::{Answer, Content},
    record::Ending,
    script::Death,
};

/// Long enough for what was handed out before to leave the machine's buffers before the connection dies.
const BEFORE_DEATH: Duration = Duration::from_millis(30);

/// How a connection is to die, told by the body to whoever owns the connection.
pub type Fate = Arc<Mutex<Option<Death>>>;

/// Marks an exchange whose client went away before its answer was complete.
pub struct Watch {
    shared: Arc<Shared>,
    number: u64,
}

impl Watch {
    /// Watches the exchange of this number.
    pub fn new(shared: Arc<Shared>, number: u64) -> Self {
        Self { shared, number }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.update(self.number, |e| {
            if e.ending == Ending::Running {
                e.ending = Ending::ClientGone;
            }
        });
    }
}

struct Piece {
    plain: Bytes,
    wire: Bytes,
    /// Whether it is an event of a stream that carries data.
    event: bool,
}

/// The body.
pub struct Paced {
    pieces: VecDeque<Piece>,
    exact: bool,
    slow: Duration,
    /// The body stands still for so long when so many pieces are left.
    stall: (Duration, usize),
    sleep: Option<Pin<Box<Sleep>>>,
    /// The body dies when so many pieces are left.
    death: Option<(Death, usize)>,
    dying: bool,
    fate: Fate,
    watch: Watch,
}

impl Paced {
    /// The body of an answer; `gzip` if it is to be compressed.
    pub fn new(answer: &Answer, gzip: bool, fate: Fate, watch: Watch) -> Self {
        let exact = matches!(answer.content, Content::Plain(_));
        let plain: Vec<Bytes> = match &answer.content {
            // In two halves, so that there is a middle to die in.
            Content::Plain(body) => {
                let middle = body.len() / 2;
                vec![body.slice(..middle), body.slice(middle..)]
            }
            Content::Events(events) => events.clone(),
        };
        let wire = if gzip { compress(&plain) } else { plain.clone() };
        let pieces: VecDeque<Piece> = plain
            .into_iter()
            .zip(wire)
            .map(|(plain, wire)| Piece { event: !exact && carries_data(&plain), plain, wire })
            .filter(|p| !p.wire.is_empty())
            .collect();
        let death = answer.script.death.map(|d| (d, pieces.len() / 2));
        let (slow, stall) = (answer.script.slow, (answer.script.stall, pieces.len() / 2));
        Self { pieces, exact, slow, stall, sleep: None, death, dying: false, fate, watch }
    }

    /// Bytes still to be sent.
    fn rest(&self) -> u64 {
        self.pieces.iter().map(|p| p.wire.len() as u64).sum()
    }
}

/// `ping` keeps a connection alive, and `[DONE]` is no data of the answer.
fn carries_data(event: &[u8]) -> bool {
    !event.starts_with(b"event: ping") && !event.starts_with(b"data: [DONE]")
}

/// One gzip stream, flushed after every piece, as servers that compress event streams do.
fn compress(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut out: Vec<Bytes> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        // Writing to a Vec does not fail.
        let _ = encoder.write_all(piece);
        let _ = encoder.flush();
        out.push(std::mem::take(encoder.get_mut()).into());
    }
    let end = encoder.finish().unwrap_or_default();
    if let Some(last) = out.last_mut() {
        *last = [last.as_ref(), &end].concat().into();
    }
    out
}

impl Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Some(sleep) = &mut this.sleep {
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.sleep = None;
        }
        if let Some((death, left)) = this.death
            && this.pieces.len() <= left
        {
            if !this.dying {
                this.dying = true;
                let mut sleep = Box::pin(sleep(BEFORE_DEATH));
                let waiting = sleep.as_mut().poll(cx);
                this.sleep = Some(sleep);
                if waiting.is_pending() {
                    return Poll::Pending;
                }
            }
            *this.fate.lock().unwrap_or_else(PoisonError::into_inner) = Some(death);
            this.watch.shared.update(this.watch.number, |e| e.ending = Ending::Died(death));
            return Poll::Ready(Some(Err(io::Error::other("the script wants it to die here"))));
        }
        let Some(piece) = this.pieces.pop_front() else { return Poll::Ready(None) };
        let last = this.pieces.is_empty();
        this.watch.shared.update(this.watch.number, |e| {
            let now = SystemTime::now();
            e.first_chunk.get_or_insert(now);
            e.last_chunk = Some(now);
            e.response_body.extend_from_slice(&piece.plain);
            e.response_wire_len += piece.wire.len() as u64;
            e.events += u64::from(piece.event);
            if last {
                e.ending = Ending::Complete;
            }
        });
        let (stall, left) = this.stall;
        let pause = this.slow + if this.pieces.len() == left { stall } else { Duration::ZERO };
        if !pause.is_zero() && !last {
            this.sleep = Some(Box::pin(sleep(pause)));
        }
        Poll::Ready(Some(Ok(Frame::data(piece.wire))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.exact { SizeHint::with_exact(self.rest()) } else { SizeHint::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn compressed_pieces_are_one_stream_that_can_be_read_as_it_comes() {
        let pieces = ["first ", "second ", "third"].map(Bytes::from);
        let wire = compress(&pieces);
        assert_eq!(wire.len(), 3);
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*wire.concat()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "first second third");
        let mut beginning = [0; 6];
        flate2::read::GzDecoder::new(&*wire[0]).read_exact(&mut beginning).unwrap();
        assert_eq!(&beginning, b"first ");
    }
}
