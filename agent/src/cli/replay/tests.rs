//! Replayed exchanges through `stream/` and `wire/`: what comes out is what was stored.

use std::{
    env,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::*;
use crate::{
    account::{Account, Counter},
    capture::{ConnectionId, Direction, Record},
    stream::{self, StreamEvent, Streams},
    wire::{self, Body, Connection, EventKind, ExchangeEnd, RequestHead, ResponseHead, SseEvent},
};

/// What was read of one exchange.
#[derive(Default)]
struct Heard {
    request: Option<Box<RequestHead>>,
    response: Option<Box<ResponseHead>>,
    /// Runs of the body between which something is missing.
    request_body: Vec<Vec<u8>>,
    response_body: Vec<Vec<u8>>,
    events: Vec<SseEvent>,
    missing: bool,
    end: Option<ExchangeEnd>,
}

fn add(runs: &mut Vec<Vec<u8>>, missing: &mut bool, events: &mut Vec<SseEvent>, body: Body) {
    match body {
        Body::Bytes(bytes) => match runs.last_mut() {
            Some(run) => run.extend_from_slice(&bytes),
            None => runs.push(bytes.to_vec()),
        },
        Body::Sse(event) => events.push(event),
        Body::Part(part) => panic!("{part:?}"),
        Body::Missing(_) => {
            runs.push(Vec::new());
            *missing = true;
        }
    }
}

/// Runs records through the rooms.
fn run(records: Vec<Record>) -> (Vec<Heard>, Account) {
    let account = Arc::new(Account::default());
    let mut streams = Streams::new(stream::Limits::default(), account.clone());
    let mut connection = Connection::new(wire::Limits::default(), account.clone());
    let (mut segments, mut events) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Data(data) => streams.data(data, &mut segments),
            Record::Close(close) => streams.close(close, &mut segments),
            other => panic!("{other:?}"),
        }
        for event in segments.drain(..) {
            match event {
                StreamEvent::Segment(s) => connection.push(s.direction, s.time, s.piece, &mut events),
                StreamEvent::Close { time, reason, .. } => connection.close(time, reason, &mut events),
            }
        }
    }
    let mut all: Vec<Heard> = Vec::new();
    for event in events {
        let at = event.exchange.0 as usize;
        all.resize_with(all.len().max(at + 1), Heard::default);
        let exchange = &mut all[at];
        match event.kind {
            EventKind::RequestHead(head) => exchange.request = Some(head),
            EventKind::ResponseHead(head) => exchange.response = Some(head),
            EventKind::RequestBody(body) => {
                add(&mut exchange.request_body, &mut exchange.missing, &mut exchange.events, body);
            }
            EventKind::ResponseBody(body) => {
                add(&mut exchange.response_body, &mut exchange.missing, &mut exchange.events, body);
            }
            EventKind::RequestEnd | EventKind::ResponseTrailers(_) => {}
            EventKind::End(end) => exchange.end = Some(end),
        }
    }
    drop((streams, connection));
    (all, Arc::into_inner(account).unwrap())
}

/// The shared recordings; a test that can't find them fails and says what to do.
fn recordings() -> Vec<Exchange> {
    let folder = env::var_os("PLAINSPAN_EXCHANGES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/exchanges"), PathBuf::from);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| {
        panic!("{}: {e}: set PLAINSPAN_EXCHANGES to the folder of recorded exchanges", folder.display())
    });
    let mut files: Vec<_> = files.map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "jsonl"));
    files.sort();
    let (mut all, mut sessions) = (Vec::new(), 0);
    for file in files {
        for entry in Exchanges::open(&file).unwrap() {
            match entry.unwrap() {
                Entry::Exchange(exchange) => all.push(exchange),
                Entry::Session(_) => sessions += 1,
            }
        }
    }
    assert!(all.len() > 1000 && sessions > 20, "{} exchanges, {sessions} sessions", all.len());
    all
}

/// The body as the application saw it: gzip is the only encoding that is really stored.
fn plain(response: &Response) -> Vec<u8> {
    let mut plain = Vec::new();
    if response.body.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(&response.body[..]).read_to_end(&mut plain).unwrap();
        plain
    } else {
        response.body.clone()
    }
}

/// The events of a stream, read line by line without care for speed or cuts.
fn events_of(body: &[u8]) -> Vec<SseEvent> {
    let text = String::from_utf8(body.to_vec()).unwrap().replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut name, mut data) = (Vec::new(), "", Vec::new());
    for line in text[..text.rfind('\n').map_or(0, |at| at + 1)].lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value,
            "data" => data.push(value),
            "" if line.is_empty() => {
                if !data.is_empty() {
                    events.push(SseEvent { event: name.into(), data: data.join("\n").into() });
                }
                (name, data) = ("", Vec::new());
            }
            _ => {}
        }
    }
    events
}

/// The messages of an AWS event stream, read without a look at the checksums. All its headers are texts.
fn messages_of(body: &[u8]) -> Vec<SseEvent> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
    let (mut events, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let (message, after) = rest.split_at(number(&rest[..4]));
        let (mut headers, payload) = message[12..message.len() - 4].split_at(number(&message[4..8]));
        let mut event = "";
        while let [len, tail @ ..] = headers {
            let (name, tail) = tail.split_at((*len).into());
            let (value, tail) = tail[3..].split_at(number(&tail[1..3]));
            if name == b":event-type" {
                event = std::str::from_utf8(value).unwrap();
            }
            headers = tail;
        }
        events.push(SseEvent { event: event.into(), data: payload.to_vec().into() });
        rest = after;
    }
    events
}

fn is_of_type(exchange: &Exchange, start: &str) -> bool {
    exchange
        .response
        .headers
        .iter()
        .any(|(n, v)| n.eq_ignore_ascii_case("content-type") && v.starts_with(start))
}

fn is_event_stream(exchange: &Exchange) -> bool {
    ["text/event-stream", AWS_EVENTS, NDJSON].iter().any(|start| is_of_type(exchange, start))
}

/// The events of a recorded answer; none if it is no stream.
fn stored_events(exchange: &Exchange, plain: &[u8]) -> Vec<SseEvent> {
    if is_of_type(exchange, AWS_EVENTS) {
        messages_of(plain)
    } else if is_of_type(exchange, NDJSON) {
        let lines = plain.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| SseEvent { event: "".into(), data: line.to_vec().into() }).collect()
    } else if is_event_stream(exchange) {
        events_of(plain)
    } else {
        Vec::new()
    }
}

const AWS_EVENTS: &str = "application/vnd.amazon.eventstream";
const NDJSON: &str = "application/x-ndjson";

fn check_whole(exchange: &Exchange, plain: &[u8], events: &[SseEvent], options: &ReplayOptions, id: u64) {
    let context = || format!("{} with {options:?}", exchange.source);
    let (heard, account) = run(records(exchange, ConnectionId(id), options));
    let [heard] = &heard[..] else { panic!("{} exchanges: {}", heard.len(), context()) };
    assert_eq!(heard.end, Some(ExchangeEnd::Complete), "{}", context());
    assert!(!heard.missing, "{}", context());
    assert_eq!(heard.request.as_ref().map(|r| &*r.method), Some(&*exchange.request.method), "{}", context());
    assert_eq!(heard.response.as_ref().map(|r| r.status), Some(exchange.response.status), "{}", context());
    assert!(heard.request_body.concat() == exchange.request.body, "request body: {}", context());
    if is_event_stream(exchange) {
        assert!(heard.events == events, "events: {}", context());
    } else {
        assert!(heard.response_body.concat() == plain, "response body: {}", context());
    }
    let clean = [Counter::BytesUnparsed, Counter::BodiesUndecoded, Counter::BodiesCut, Counter::GapBytes];
    assert!(clean.iter().all(|c| account.get(*c) == 0), "{}\n{account}", context());
}

#[test]
fn every_recording_comes_out_as_it_was_stored() {
    let exchanges = recordings();
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let part = exchanges.iter().enumerate().skip(worker).step_by(workers);
            scope.spawn(move || {
                for (id, exchange) in part {
                    let plain = plain(&exchange.response);
                    let events = stored_events(exchange, &plain);
                    for encoding in Encoding::ALL {
                        for split in [Split::Calls, Split::Random(1), Split::Random(2), Split::Random(3)] {
                            let options = ReplayOptions { encoding, split, ..ReplayOptions::default() };
                            check_whole(exchange, &plain, &events, &options, id as u64);
                            let options = ReplayOptions { framing: Framing::H2, ..options };
                            if encoding == Encoding::ALL[id % 4] {
                                check_whole(exchange, &plain, &events, &options, id as u64);
                            }
                        }
                    }
                }
            });
        }
    });
}

/// Is `part` what is left of `whole` when some runs are taken out of it?
fn is_left_of(part: &[Vec<u8>], whole: &[u8]) -> bool {
    let mut rest = whole;
    part.iter().all(|run| match memchr::memmem::find(rest, run) {
        Some(at) => {
            rest = &rest[at + run.len()..];
            true
        }
        None => false,
    })
}

#[test]
fn with_losses_nothing_wrong_is_read() {
    let (mut whole, mut damaged) = (0, 0);
    for (id, exchange) in recordings().iter().enumerate() {
        let plain = plain(&exchange.response);
        let events = stored_events(exchange, &plain);
        let both = [Framing::H1, Framing::H2].into_iter();
        let all = [(Encoding::Identity, 1), (Encoding::Identity, 2), (Encoding::Gzip, 3)];
        for (framing, (encoding, seed)) in both.flat_map(|framing| all.map(|all| (framing, all))) {
            let split = if seed == 1 { Split::Calls } else { Split::Random(seed) };
            let options = ReplayOptions { framing, encoding, split, drop: 0.1 };
            let context = || format!("{} with {options:?}", exchange.source);
            let records = records(exchange, ConnectionId(id as u64), &options);
            let (heard, account) = run(records);
            assert!(heard.len() <= 1, "{}", context());
            let Some(heard) = heard.first() else { continue };
            assert!(heard.end.is_some(), "{}", context());
            assert!(is_left_of(&heard.request_body, &exchange.request.body), "request: {}", context());
            assert!(is_left_of(&heard.response_body, &plain), "response: {}", context());
            let mut stored = events.iter();
            let known = heard.events.iter().all(|event| stored.any(|s| s == event));
            assert!(known, "events: {}", context());
            if account.get(Counter::GapBytes) == 0 {
                whole += 1;
                assert_eq!(heard.end, Some(ExchangeEnd::Complete), "{}", context());
            } else {
                damaged += 1;
                let partial = heard.request.as_ref().is_some_and(|head| head.partial)
                    || heard.response.as_ref().is_some_and(|head| head.partial);
                let told = heard.missing || partial || heard.end != Some(ExchangeEnd::Complete);
                // Over HTTP/2 what is missing may be of no stream: a window, a ping, padding.
                let whole = framing == Framing::H2
                    && heard.request_body.concat() == exchange.request.body
                    && if is_event_stream(exchange) {
                        heard.events == events
                    } else {
                        heard.response_body.concat() == plain
                    };
                assert!(told || whole, "a loss that nobody is told of: {}", context());
            }
        }
    }
    assert!(whole > 500 && damaged > 500, "{whole} whole, {damaged} damaged");
}

fn small() -> Exchange {
    let header = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    Exchange {
        source: "here".into(),
        request: Request {
            method: "POST".into(),
            url: "https://u:p@api.example:8443/v1/x?alt=sse#f".into(),
            headers: vec![header("content-length", "99"), header("accept", "*/*")],
            body: b"{}".to_vec(),
        },
        response: Response {
            status: 200,
            headers: vec![
                header("content-type", "text/event-stream"),
                header("transfer-encoding", "chunked"),
                header("content-encoding", "gzip"),
            ],
            body: b"data: a\n\ndata: b\r\n\r\nrest".to_vec(),
        },
    }
}

#[test]
fn the_bytes_of_an_exchange() {
    let mut shown = Vec::new();
    let mut offsets = [0, 0];
    for record in records(&small(), ConnectionId(7), &ReplayOptions::default()) {
        match record {
            Record::Data(data) => {
                assert_eq!((data.connection, data.call_len as usize), (ConnectionId(7), data.bytes.len()));
                let offset = &mut offsets[usize::from(data.direction == Direction::Received)];
                assert_eq!(data.offset, *offset);
                *offset += data.bytes.len() as u64;
                let ms = (data.time.0 - 1_767_225_600_000_000_000) / 1_000_000;
                shown.push(format!("{ms} {}", String::from_utf8_lossy(&data.bytes)));
            }
            Record::Close(close) => assert_eq!([close.sent, close.received], offsets.map(Some)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        shown,
        [
            "0 POST /v1/x?alt=sse HTTP/1.1\r\nhost: api.example:8443\r\naccept: */*\r\ncontent-length: 2\r\n\r\n",
            "1 {}",
            "2 HTTP/1.1 200 \r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            "3 9\r\ndata: a\n\n\r\n",
            "4 b\r\ndata: b\r\n\r\n\r\n",
            "5 4\r\nrest\r\n",
            "6 0\r\n\r\n",
        ]
    );
}

#[test]
fn the_same_options_give_the_same_records() {
    let options = ReplayOptions { split: Split::Random(5), drop: 0.3, ..ReplayOptions::default() };
    let show = |id| format!("{:?}", records(&small(), ConnectionId(id), &options));
    assert_eq!(show(1), show(1));
    assert_ne!(show(1), show(2));
    let all = ReplayOptions { drop: 1.0, ..options };
    assert!(matches!(&records(&small(), ConnectionId(1), &all)[..], [Record::Close(_)]));
}

#[test]
fn options_from_text() {
    assert_eq!("17".parse(), Ok(Split::Every(17)));
    assert_eq!("random:3".parse(), Ok(Split::Random(3)));
    for wrong in ["0", "-1", "", "random", "random:", "random:x"] {
        assert!(wrong.parse::<Split>().is_err_and(|e| e.contains(wrong)), "{wrong}");
    }
    assert_eq!("br".parse(), Ok(Encoding::Brotli));
    assert!("brotli".parse::<Encoding>().is_err());
    assert_eq!(parse_drop("0.25"), Ok(0.25));
    for wrong in ["1.1", "-0.1", "NaN", "x"] {
        assert!(parse_drop(wrong).is_err(), "{wrong}");
    }
}
