//! From recorded exchanges to the records of a capture, cut as the options say.

use bytes::{Bytes, BytesMut};

use super::{
    Encoding, Exchange, Framing, ReplayOptions, Session, Split,
    framing::{h1, h2, websocket},
    message::{answered, asked},
    random::Random,
};
use crate::{
    capture::{Close, CloseReason, ConnectionId, Data, Direction, Process, Record},
    time::Timestamp,
};

/// 2026-01-01T00:00:00Z, at which every replayed connection begins.
const BASE: u64 = 1_767_225_600_000_000_000;

/// From one record to the next.
const STEP: u64 = 1_000_000;

/// Plaintext of the largest TLS record (RFC 8446, section 5.1).
const CALL: usize = 16 * 1024;

/// The records that a capture of the exchange on a connection of its own would have made.
pub fn records(exchange: &Exchange, connection: ConnectionId, options: &ReplayOptions) -> Vec<Record> {
    records_of_all(std::slice::from_ref(exchange), connection, options)
}

/// The records that a capture of a connection with these exchanges would have made: one after the other over
/// HTTP/1.1 with pipelining, all at once over HTTP/2.
pub fn records_of_all(
    exchanges: &[Exchange],
    connection: ConnectionId,
    options: &ReplayOptions,
) -> Vec<Record> {
    let mut tape = Tape::new(connection, options);
    let seed = tape.seed;
    let all: Vec<_> = exchanges.iter().map(|e| (asked(e), answered(e, options.encoding))).collect();
    let [sent, received] = match options.framing {
        Framing::H1 => {
            let (mut sent, mut received) = (Vec::new(), Vec::new());
            for (asked, answered) in all {
                sent.extend(h1::request(&asked));
                received.extend(h1::response(answered));
            }
            [sent, received]
        }
        Framing::H2 => {
            // Encoders choose as they like, and so it is made up with the cuts.
            let random = matches!(options.split, Split::Random(_));
            h2::calls(all, random.then(|| Random::new(seed.rotate_left(32), connection.0)))
        }
    };
    tape.calls(Direction::Sent, sent);
    tape.calls(Direction::Received, received);
    tape.end()
}

/// The records that a capture of the session on a connection of its own would have made.
pub fn records_of_session(
    session: &Session,
    connection: ConnectionId,
    options: &ReplayOptions,
) -> Vec<Record> {
    let mut tape = Tape::new(connection, options);
    let mut masks = Random::new(tape.seed.rotate_left(16), connection.0);
    let random = matches!(options.split, Split::Random(_));
    let fragments = random.then(|| Random::new(tape.seed.rotate_left(48), connection.0));
    let compress = options.encoding != Encoding::Identity;
    let calls = websocket::session(session, compress, &mut masks, fragments);
    for run in calls.chunk_by(|(before, _), (after, _)| before == after) {
        if let Some((direction, _)) = run.first() {
            tape.calls(*direction, run.iter().map(|(_, bytes)| bytes.clone()).collect());
        }
    }
    tape.end()
}

/// Records that are being made.
struct Tape<'a> {
    connection: ConnectionId,
    options: &'a ReplayOptions,
    seed: u64,
    cuts: Random,
    drops: Random,
    records: Vec<Record>,
    /// Bytes sent, and received.
    totals: [u64; 2],
    time: u64,
}

impl<'a> Tape<'a> {
    fn new(connection: ConnectionId, options: &'a ReplayOptions) -> Self {
        let seed = if let Split::Random(seed) = options.split { seed } else { 0 };
        Self {
            connection,
            options,
            seed,
            cuts: Random::new(seed, connection.0),
            drops: Random::new(!seed, connection.0),
            records: Vec::new(),
            totals: [0, 0],
            time: BASE,
        }
    }

    /// The next calls of one direction.
    fn calls(&mut self, direction: Direction, calls: Vec<Bytes>) {
        for bytes in cut(calls, self.options.split, &mut self.cuts) {
            let total = &mut self.totals[usize::from(direction == Direction::Received)];
            let offset = *total;
            *total += bytes.len() as u64;
            if !self.drops.chance(self.options.drop) {
                self.records.push(Record::Data(Data {
                    connection: self.connection,
                    process: Process { pid: 0, tid: 0 },
                    direction,
                    time: Timestamp(self.time),
                    offset,
                    skipped: 0,
                    call_len: bytes.len() as u32,
                    epoch: 0,
                    cut: false,
                    bytes,
                }));
            }
            self.time += STEP;
        }
    }

    /// The connection is closed.
    fn end(mut self) -> Vec<Record> {
        let [sent, received] = self.totals.map(Some);
        self.records.push(Record::Close(Close {
            connection: self.connection,
            time: Timestamp(self.time),
            reason: CloseReason::Freed,
            sent,
            received,
            skipped: [0; 2],
        }));
        self.records
    }
}

/// Cuts the calls of one direction.
fn cut(calls: Vec<Bytes>, split: Split, random: &mut Random) -> Vec<Bytes> {
    let joined = || {
        let mut all = BytesMut::with_capacity(calls.iter().map(Bytes::len).sum());
        for call in &calls {
            all.extend_from_slice(call);
        }
        all.freeze()
    };
    match split {
        Split::Calls => calls.into_iter().flat_map(|call| pieces(call, || CALL)).collect(),
        Split::Every(n) => pieces(joined(), || n),
        Split::Random(_) => {
            // Small and large pieces both, in different streams.
            let most = 4usize << (random.next() % 13);
            pieces(joined(), || random.size(most))
        }
    }
}

fn pieces(mut bytes: Bytes, mut size: impl FnMut() -> usize) -> Vec<Bytes> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        all.push(bytes.split_to(size().clamp(1, bytes.len())));
    }
    all
}
