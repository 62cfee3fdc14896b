//! From recorded exchanges to the records of a capture, cut as the options say.

use bytes::{Bytes, BytesMut};

use super::{
    Exchange, Framing, ReplayOptions, Split,
    framing::{h1, h2},
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
    let seed = if let Split::Random(seed) = options.split { seed } else { 0 };
    let mut cuts = Random::new(seed, connection.0);
    let mut drops = Random::new(!seed, connection.0);
    let mut records = Vec::new();
    let mut totals = [0, 0];
    let mut time = BASE;
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
    let ways = [(Direction::Sent, sent), (Direction::Received, received)];
    for ((direction, calls), total) in ways.into_iter().zip(&mut totals) {
        for bytes in cut(calls, options.split, &mut cuts) {
            let offset = *total;
            *total += bytes.len() as u64;
            if !drops.chance(options.drop) {
                records.push(Record::Data(Data {
                    connection,
                    process: Process { pid: 0, tid: 0 },
                    direction,
                    time: Timestamp(time),
                    offset,
                    skipped: 0,
                    call_len: bytes.len() as u32,
                    epoch: 0,
                    cut: false,
                    bytes,
                }));
            }
            time += STEP;
        }
    }
    let [sent, received] = totals.map(Some);
    let time = Timestamp(time);
    records.push(Record::Close(Close {
        connection,
        time,
        reason: CloseReason::Freed,
        sent,
        received,
        skipped: [0; 2],
    }));
    records
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
