//! All rooms: records of both directions of some connections in, spans out.

use std::sync::Arc;

use bytes::Bytes;
use plainspan::{
    account::{Account, Counter},
    capture::{Close, CloseReason, ConnectionId, Data, Direction, Process, Record},
    pipeline::{Buffers, Ids, Limits, Outcome, Pipeline},
    resource, stream,
    time::Timestamp,
};

use crate::{
    calls, conversations as framing, heard,
    script::{Step, What, step},
};

/// What all connections may hold together is less than what some of them could.
const BUFFERS: Buffers = Buffers { connection: 8 << 10, total: 16 << 10 };

/// Where a connection is.
#[derive(Clone, Copy, Default)]
struct Offsets([u64; 2]);

impl Offsets {
    fn of(&mut self, sent: bool) -> &mut u64 {
        &mut self.0[usize::from(!sent)]
    }
}

/// Goes through a script. Frames of the first two connections are chunks, of the third those of WebSockets, of the last
/// those of HTTP/2. A gap of an odd length was left out on purpose; the one of the highest bit is bytes that come again.
pub fn offline(mut script: &[u8]) {
    let account = Arc::new(Account::default());
    let limits = Limits {
        stream: stream::Limits { connections: 3, ..stream::Limits::default() },
        wire: heard::LIMITS,
        buffers: BUFFERS,
        genai: calls::LIMITS,
        resource: resource::Limits::default(),
    };
    let mut pipeline = Pipeline::new(&limits, Ids::Counted(0), Arc::clone(&account));
    let mut outcome = Outcome::default();
    let (mut offsets, mut skipped) = ([Offsets::default(); 4], [[0; 2]; 4]);
    let (mut time, mut moved) = (0, 0);
    while let Some(Step { sent, connection, what }) = step(&mut script) {
        time += 1;
        let direction = if sent { Direction::Sent } else { Direction::Received };
        let at = usize::from(connection);
        let framed = match what {
            What::Bytes(bytes) => bytes.to_vec(),
            What::Frame(_, payload) if connection < 2 => framing::chunk(payload),
            What::Frame([first, ..], payload) if connection == 2 => {
                framing::message(direction, first, payload)
            }
            What::Frame(head, payload) => framing::frame(head, payload),
            What::Gap(len) => {
                let offset = offsets[at].of(sent);
                match len & 0x8000 {
                    0 => *offset += u64::from(len),
                    _ => *offset = offset.saturating_sub(u64::from(len & 0x7fff)),
                }
                if len & 0x8001 == 1 {
                    skipped[at][usize::from(!sent)] += u64::from(len);
                }
                continue;
            }
            What::Close => {
                let [sent, received] = offsets[at].0;
                let reason =
                    if direction == Direction::Sent { CloseReason::Freed } else { CloseReason::Shutdown };
                pipeline.record(
                    Record::Close(Close {
                        connection: ConnectionId(connection.into()),
                        time: Timestamp(time),
                        reason,
                        sent: Some(sent),
                        received: Some(received),
                        skipped: std::mem::take(&mut skipped[at]),
                    }),
                    &mut outcome,
                );
                if reason == CloseReason::Freed {
                    offsets[at] = Offsets::default();
                }
                spans(&mut outcome, &account);
                continue;
            }
        };
        let offset = offsets[at].of(sent);
        moved += framed.len() as u64;
        let data = Data {
            connection: ConnectionId(connection.into()),
            process: Process { pid: 1, tid: 1 },
            direction,
            time: Timestamp(time),
            offset: *offset,
            skipped: std::mem::take(&mut skipped[at][usize::from(!sent)]),
            call_len: framed.len() as u32,
            epoch: 0,
            cut: framed.len() % 7 == 3,
            bytes: Bytes::from(framed),
        };
        *offset += data.bytes.len() as u64;
        pipeline.record(Record::Data(data), &mut outcome);
        assert!(pipeline.held() <= BUFFERS.total, "more is held than may be");
        spans(&mut outcome, &account);
    }
    pipeline.finish(Timestamp(time + 1), &mut outcome);
    spans(&mut outcome, &account);
    assert_eq!(pipeline.open_calls(), 0, "every call has an end");
    assert_eq!(pipeline.held(), 0, "nothing is held for nobody");
    let twice = account.get(Counter::DuplicateBytes);
    assert!(twice <= moved, "no more came twice than came");
}

fn spans(outcome: &mut Outcome, account: &Account) {
    outcome.verdicts.clear();
    for finished in outcome.calls.drain(..) {
        calls::spans(&finished.call, account);
    }
}
