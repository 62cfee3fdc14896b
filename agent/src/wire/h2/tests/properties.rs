//! What holds for any exchanges in any order, however their bytes are cut and whatever of them is lost.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

/// An exchange: all of it is made of one letter, which tells what belongs to it.
#[derive(Clone, Debug)]
struct Spoken {
    letter: u8,
    request: Vec<usize>,
    response: Vec<usize>,
}

prop_compose! {
    fn spoken()(
        letter in b'a'..b'e',
        request in prop::collection::vec(0usize..40, 0..4),
        response in prop::collection::vec(0usize..300, 1..6),
    ) -> Spoken {
        Spoken { letter, request, response }
    }
}

/// An encoder that refers to what it has sent wherever it can.
#[derive(Default)]
struct Encoder(VecDeque<(String, String)>);

impl Encoder {
    fn block(&mut self, fields: &[(&str, String)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            if let Some(at) = self.0.iter().position(|(n, v)| n == name && v == value) {
                block.push(0x80 | (62 + at as u8));
            } else {
                block.extend(literal(name, value));
                self.0.push_front(((*name).to_owned(), value.clone()));
            }
        }
        block
    }
}

/// The frames of a message, but for its head, whose place in the table depends on what goes before it.
fn bodies(stream: u8, letter: u8, sizes: &[usize]) -> VecDeque<Vec<u8>> {
    let last = sizes.len().saturating_sub(1);
    let frame = |(at, size): (usize, &usize)| frame(0, u8::from(at == last), stream, &vec![letter; *size]);
    sizes.iter().enumerate().map(frame).collect()
}

/// All frames in an order that can be: numbers in their order, no response before its request has begun.
fn frames(all: &[Spoken], mut order: impl Iterator<Item = usize>) -> Vec<(Direction, Vec<u8>)> {
    let mut choose = move |of: usize| order.next().unwrap_or(0) % of;
    let (mut requests, mut responses) = (Encoder::default(), Encoder::default());
    let mut frames = vec![(Direction::Sent, preface()), (Direction::Received, settings())];
    // Of each message that has begun: its direction, and what is left of it.
    let mut open: Vec<(Direction, VecDeque<Vec<u8>>)> = Vec::new();
    let mut unanswered: Vec<usize> = Vec::new();
    let mut begun = 0;
    loop {
        let can = [begun < all.len(), !unanswered.is_empty(), !open.is_empty()];
        let can: Vec<usize> = (0..3).filter(|action| can[*action]).collect();
        let stream = |at: usize| 2 * at as u8 + 1;
        let text = |text: &str| text.to_owned();
        match can.get(choose(can.len().max(1))) {
            None => break,
            Some(0) => {
                let Spoken { letter, request, .. } = &all[begun];
                let mark = char::from(*letter);
                let fields = [(":method", text("POST")), (":path", format!("/{mark}")), ("x", mark.into())];
                let flags = if request.is_empty() { 5 } else { 4 };
                frames.push((Direction::Sent, frame(1, flags, stream(begun), &requests.block(&fields))));
                open.push((Direction::Sent, bodies(stream(begun), *letter, request)));
                unanswered.push(begun);
                begun += 1;
            }
            Some(1) => {
                let at = unanswered.swap_remove(choose(unanswered.len()));
                let Spoken { letter, response, .. } = &all[at];
                let fields = [
                    (":status", text("200")),
                    ("content-encoding", text("identity")),
                    ("content-type", text("text/plain")),
                    ("x", char::from(*letter).into()),
                ];
                frames.push((Direction::Received, frame(1, 4, stream(at), &responses.block(&fields))));
                open.push((Direction::Received, bodies(stream(at), *letter, response)));
            }
            Some(_) => {
                let at = choose(open.len());
                let (direction, rest) = &mut open[at];
                frames.extend(rest.pop_front().map(|frame| (*direction, frame)));
                if rest.is_empty() {
                    open.swap_remove(at);
                }
            }
        }
    }
    frames
}

/// What was heard of an exchange.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    path: String,
    partial: bool,
    marks: Vec<String>,
    request: Vec<u8>,
    response: Vec<u8>,
    missing: bool,
    end: Option<ExchangeEnd>,
}

fn hear(events: Vec<Event>) -> BTreeMap<u64, Heard> {
    let mut all: BTreeMap<u64, Heard> = BTreeMap::new();
    for event in events {
        let first = !all.contains_key(&event.exchange.0);
        let heard = all.entry(event.exchange.0).or_default();
        assert_eq!(
            first,
            matches!(event.kind, EventKind::RequestHead(_)),
            "the request's head comes first, and once"
        );
        assert_eq!(heard.end, None, "nothing comes after the end");
        let mut mark =
            |headers: &crate::wire::Headers| heard.marks.extend(headers.get("x").map(str::to_owned));
        match event.kind {
            EventKind::RequestHead(request) => {
                mark(&request.headers);
                (heard.path, heard.partial) = (request.path.into(), request.partial);
            }
            EventKind::ResponseHead(response) => {
                mark(&response.headers);
                heard.partial |= response.partial;
            }
            EventKind::RequestBody(Body::Bytes(bytes)) => heard.request.extend_from_slice(&bytes),
            EventKind::ResponseBody(Body::Bytes(bytes)) => heard.response.extend_from_slice(&bytes),
            EventKind::RequestBody(_) | EventKind::ResponseBody(_) => heard.missing = true,
            EventKind::RequestEnd | EventKind::ResponseTrailers(_) => {}
            EventKind::End(end) => heard.end = Some(end),
        }
    }
    all
}

/// Pushes frames in pieces, of which some are lost.
fn push(
    connection: &mut Connection,
    frames: &[(Direction, Vec<u8>)],
    mut pieces: impl Iterator<Item = (usize, bool)>,
    out: &mut Vec<Event>,
) {
    let (mut held, mut lost) = ([Vec::new(), Vec::new()], [0u64; 2]);
    for (at, (direction, bytes)) in frames.iter().enumerate() {
        let way = usize::from(*direction == Direction::Received);
        held[way].extend_from_slice(bytes);
        // A piece may hold many frames, or a part of one.
        let ends =
            |way: usize| !frames[at + 1..].iter().any(|(d, _)| usize::from(*d == Direction::Received) == way);
        loop {
            let (size, drop) = pieces.next().unwrap_or((1, false));
            if held[way].is_empty() || held[way].len() < size && !ends(way) {
                break;
            }
            let rest = held[way].split_off(size.clamp(1, held[way].len()));
            let piece = std::mem::replace(&mut held[way], rest);
            if drop {
                lost[way] += piece.len() as u64;
                continue;
            }
            if lost[way] > 0 {
                let gap = Piece::Gap { len: std::mem::take(&mut lost[way]), reason: GapReason::Lost };
                connection.push(*direction, Timestamp(0), gap, out);
            }
            connection.push(*direction, Timestamp(0), Piece::Bytes(piece.into()), out);
        }
    }
    for (direction, len) in [(Direction::Sent, lost[0]), (Direction::Received, lost[1])] {
        if len > 0 {
            connection.push(direction, Timestamp(0), Piece::Gap { len, reason: GapReason::Lost }, out);
        }
    }
}

fn sum(sizes: &[usize]) -> usize {
    sizes.iter().sum()
}

proptest! {
    #[test]
    fn any_order_and_any_cut_give_the_same_exchanges(
        all in prop::collection::vec(spoken(), 1..8),
        order in prop::collection::vec(0usize..1000, 10..60),
        sizes in prop::collection::vec(1usize..200, 1..40),
    ) {
        let frames = frames(&all, order.into_iter().cycle());
        let mut connection = Connection::new(Limits::default(), Arc::default());
        let mut out = Vec::new();
        // In the order in which they were sent, so that no response comes before its request.
        for (direction, bytes) in &frames {
            let mut rest = Bytes::copy_from_slice(bytes);
            let mut sizes = sizes.iter().cycle().skip(bytes.len() % sizes.len());
            while !rest.is_empty() {
                let piece = rest.split_to(sizes.next().map_or(1, |size| *size).min(rest.len()));
                connection.push(*direction, Timestamp(0), Piece::Bytes(piece), &mut out);
            }
        }
        let heard: Vec<_> = hear(out).into_values().collect();
        let expected: Vec<_> = all.iter().map(|s| Heard {
            path: format!("/{}", s.letter as char),
            partial: false,
            marks: vec![(s.letter as char).to_string(); 2],
            request: vec![s.letter; sum(&s.request)],
            response: vec![s.letter; sum(&s.response)],
            missing: false,
            end: Some(ExchangeEnd::Complete),
        }).collect();
        prop_assert_eq!(heard, expected);
    }

    /// With pieces lost, whatever is told is right, and what is not told is marked.
    #[test]
    fn losses_make_nothing_up(
        all in prop::collection::vec(spoken(), 1..8),
        order in prop::collection::vec(0usize..1000, 10..60),
        pieces in prop::collection::vec((1usize..200, prop::bool::weighted(0.15)), 1..60),
    ) {
        let frames = frames(&all, order.into_iter().cycle());
        let mut connection = Connection::new(Limits::default(), Arc::default());
        let mut out = Vec::new();
        push(&mut connection, &frames, pieces.into_iter().cycle(), &mut out);
        connection.close(Timestamp(0), CloseReason::Freed, &mut out);
        for (id, heard) in hear(out) {
            prop_assert!(heard.end.is_some());
            // Whose it is, by the first that tells it.
            let told = heard.path.as_bytes().get(1).copied().into_iter().chain(heard.marks.iter().flat_map(|m| m.bytes()));
            let mut told = told.chain(heard.request.iter().copied()).chain(heard.response.iter().copied());
            if let Some(letter) = told.next() {
                prop_assert!(told.all(|byte| byte == letter), "exchange {} has parts of another: {:?}", id, heard);
                if heard.end == Some(ExchangeEnd::Complete) && !heard.missing && !heard.partial {
                    let whole = |s: &Spoken| {
                        s.letter == letter && sum(&s.request) == heard.request.len() && sum(&s.response) == heard.response.len()
                    };
                    prop_assert!(all.iter().any(whole), "something is missing and nobody says so: {:?}", heard);
                }
            }
        }
    }

    #[test]
    fn anything_may_come(
        steps in prop::collection::vec(
            (any::<bool>(), 0u8..14, prop::bool::ANY, prop::collection::vec(any::<u8>(), 0..60), 1u64..100),
            0..80,
        ),
        begins in any::<bool>(),
        reason in prop::sample::select(vec![CloseReason::Freed, CloseReason::Shutdown, CloseReason::ProcessExit]),
    ) {
        let limits = Limits { streams: 4, head_bytes: 50, headers: 3, ..Limits::default() };
        let mut connection = Connection::new(limits, Arc::default());
        let (mut out, mut moved) = (Vec::new(), 0);
        if begins {
            connection.push(Direction::Sent, Timestamp(0), Piece::Bytes(preface().into()), &mut out);
        }
        for (sent, kind, torn, noise, gap) in steps {
            let direction = if sent { Direction::Sent } else { Direction::Received };
            let (flags, stream) = (gap as u8, 1 + (noise.len() as u8 % 5));
            let mut bytes = match kind {
                0..10 => frame(kind, flags, if matches!(kind, 4 | 6 | 7) { 0 } else { stream }, &noise),
                10 if sent => get(stream, "/a"),
                10 => ok(stream),
                _ => noise,
            };
            if torn {
                bytes.truncate(bytes.len() / 2);
            }
            if kind == 13 || bytes.is_empty() {
                connection.push(direction, Timestamp(0), Piece::Gap { len: gap, reason: GapReason::Lost }, &mut out);
            } else {
                moved += bytes.len();
                connection.push(direction, Timestamp(0), Piece::Bytes(bytes.into()), &mut out);
            }
        }
        connection.close(Timestamp(0), reason, &mut out);
        let heard = hear(out);
        let told: usize = heard.values().map(|h| h.request.len() + h.response.len()).sum();
        prop_assert!(told <= moved, "nothing is invented");
        if reason == CloseReason::Freed {
            prop_assert!(heard.values().all(|h| h.end.is_some()));
        }
    }
}
