//! What the crate `h2` sends, cut at random, padded, and with losses.

mod conversation;

use std::collections::BTreeMap;

use proptest::prelude::*;

use self::conversation::{Planned, Settings, Written, body, fields, frames, held, letter, roughen, status};
use super::{
    super::frame::{CONTINUATION, DATA, END_HEADERS, Frame, HEAD, HEADERS, PADDED, PRIORITIZED},
    frame as frame_of,
    properties::push,
    *,
};
use crate::wire::{Headers, Missing, RequestHead, ResponseHead};

prop_compose! {
    fn planned()(
        request in prop::collection::vec(0usize..300, 0..4),
        response in prop::collection::vec(0usize..700, 0..6),
        long in prop_oneof![4 => Just(0usize), 2 => Just(50), 1 => Just(20_000)],
        trailers in any::<bool>(),
        patience in prop::collection::vec(0usize..9, 1..6),
    ) -> Planned {
        Planned { request, response, long, trailers, patience }
    }
}

prop_compose! {
    fn settings()(
        tables in prop::array::uniform2(prop::sample::select(vec![0u32, 100, 300, 4096, 20_000])),
        frame in prop::sample::select(vec![16_384u32, 30_000]),
    ) -> Settings {
        Settings { tables, frame }
    }
}

/// What was heard of an exchange.
#[derive(Default)]
struct Heard {
    request: Option<RequestHead>,
    response: Option<ResponseHead>,
    trailers: Option<Headers>,
    bodies: [Vec<Body>; 2],
    asked: bool,
    end: Option<ExchangeEnd>,
}

fn hear(events: Vec<Event>) -> Vec<Heard> {
    let mut all: BTreeMap<u64, Heard> = BTreeMap::new();
    for event in events {
        let exchange = all.entry(event.exchange.0).or_default();
        assert_eq!(exchange.end, None, "nothing comes after the end");
        match event.kind {
            EventKind::RequestHead(head) => exchange.request = Some(*head),
            EventKind::ResponseHead(head) => exchange.response = Some(*head),
            EventKind::ResponseTrailers(fields) => exchange.trailers = Some(*fields),
            EventKind::RequestBody(part) => exchange.bodies[0].push(part),
            EventKind::ResponseBody(part) => exchange.bodies[1].push(part),
            EventKind::RequestEnd => exchange.asked = true,
            EventKind::End(end) => exchange.end = Some(end),
        }
    }
    all.into_values().collect()
}

impl Heard {
    fn missing(&self) -> bool {
        self.bodies.iter().flatten().any(|part| matches!(part, Body::Missing(_)))
    }

    fn partial(&self) -> bool {
        self.request.as_ref().is_some_and(|h| h.partial) || self.response.as_ref().is_some_and(|h| h.partial)
    }

    fn marks(&self) -> impl Iterator<Item = u8> {
        let heads = [
            self.request.as_ref().map(|head| &head.headers),
            self.response.as_ref().map(|head| &head.headers),
            self.trailers.as_ref(),
        ];
        let path = self.request.as_ref().and_then(|head| head.path.bytes().nth(1));
        let marks =
            heads.into_iter().flatten().filter_map(|h| h.get("mark")).filter_map(|m| m.bytes().next());
        path.into_iter().chain(marks.collect::<Vec<_>>())
    }

    /// The exchange that it is of, by the first that tells.
    fn of(&self) -> Option<usize> {
        let pieces = self.bodies.iter().flatten().filter_map(|part| match part {
            Body::Bytes(bytes) => bytes.iter().copied().find(u8::is_ascii_lowercase),
            _ => None,
        });
        self.marks().chain(pieces).next().map(|mark| usize::from(mark - b'a'))
    }

    /// Fails if anything that it states is not so.
    fn check(&self, at: usize, planned: &Planned) -> Result<(), TestCaseError> {
        let sent = fields(at, planned);
        let known = |told: &Headers, partial: bool| {
            let so =
                told.0.iter().all(|h| sent.get(&*h.name).is_some_and(|v| v.as_bytes() == h.value.as_bytes()));
            so && (partial || told.0.len() == sent.len())
        };
        let request = self.request.as_ref().ok_or_else(|| TestCaseError::fail("no head comes first"))?;
        prop_assert!(known(&request.headers, request.partial), "{:?}", request);
        let path = format!("/{}", letter(at));
        prop_assert!(*request.path == *path || (request.partial && request.path.is_empty()), "{:?}", request);
        prop_assert!(&*request.method == "POST" || (request.partial && request.method.is_empty()));
        let authority = request.authority.as_deref();
        prop_assert!(authority == Some("h") || (request.partial && authority.is_none()), "{:?}", authority);
        if let Some(response) = &self.response {
            prop_assert!(known(&response.headers, response.partial), "{:?}", response);
            prop_assert_eq!(response.status, status(at));
        }
        if let Some(trailers) = &self.trailers {
            prop_assert!(planned.trailers && known(trailers, true), "{:?}", trailers);
        }
        let over = [self.asked, self.end == Some(ExchangeEnd::Complete)];
        for (way, sizes) in [&planned.request, &planned.response].into_iter().enumerate() {
            let whole = body(at, way == 0, sizes);
            prop_assert!(
                fits(&self.bodies[way], &whole, over[way]),
                "{:?} is not of {}",
                self.bodies[way],
                String::from_utf8_lossy(&whole)
            );
        }
        Ok(())
    }
}

/// Are these the parts of a body, but for what is marked as missing? `over`: to its end.
fn fits(parts: &[Body], whole: &[u8], over: bool) -> bool {
    // Places at which the next part may begin.
    let mut places = vec![0];
    for part in parts {
        let by = |places: Vec<usize>, n: usize| {
            places.into_iter().map(|p| p + n).filter(|p| *p <= whole.len()).collect()
        };
        places = match part {
            Body::Bytes(bytes) => {
                places.retain(|place| whole[*place..].starts_with(bytes));
                by(places, bytes.len())
            }
            Body::Missing(Missing { len: Some(len), .. }) => by(places, *len as usize),
            Body::Missing(Missing { len: None, .. }) => {
                places.first().map_or(Vec::new(), |first| (*first..=whole.len()).collect())
            }
            Body::Sse(_) | Body::Part(_) => return false,
        };
    }
    if over { places.last() == Some(&whole.len()) } else { !places.is_empty() }
}

fn conversation(all: &[Planned], settings: Settings, choices: &[usize]) -> Written {
    let mut choices = choices.iter().cycle();
    let mut choose = |of: usize| choices.next().map_or(0, |n| n % of);
    let frames = frames(held(all, settings));
    frames.into_iter().map(|(direction, frame)| (direction, roughen(&frame, &mut choose))).collect()
}

proptest! {
    // Each case has a conversation.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_exchange_is_told_as_it_was(
        all in prop::collection::vec(planned(), 1..7),
        settings in settings(),
        choices in prop::collection::vec(0usize..1000, 1..60),
        sizes in prop::collection::vec(1usize..300, 1..40),
    ) {
        let mut connection = Connection::new(Limits::default(), Arc::default());
        let (mut out, mut sizes) = (Vec::new(), sizes.iter().cycle());
        for (direction, bytes) in conversation(&all, settings, &choices) {
            let mut rest = Bytes::from(bytes);
            while !rest.is_empty() {
                let piece = rest.split_to(sizes.next().map_or(1, |size| *size).min(rest.len()));
                connection.push(direction, Timestamp(0), Piece::Bytes(piece), &mut out);
            }
        }
        let heard = hear(out);
        prop_assert_eq!(heard.len(), all.len());
        for (at, (heard, planned)) in heard.iter().zip(&all).enumerate() {
            prop_assert_eq!((heard.of(), heard.end, heard.asked), (Some(at), Some(ExchangeEnd::Complete), true));
            prop_assert!(!heard.partial() && !heard.missing());
            prop_assert_eq!(heard.trailers.is_some(), planned.trailers);
            heard.check(at, planned)?;
        }
    }

    /// Nothing is stated that the peers did not say, and what is not stated is marked.
    #[test]
    fn losses_leave_nothing_but_the_truth(
        all in prop::collection::vec(planned(), 1..7),
        settings in settings(),
        choices in prop::collection::vec(0usize..1000, 1..60),
        late in any::<bool>(),
        pieces in prop::collection::vec((1usize..400, prop::bool::weighted(0.1)), 1..60),
    ) {
        let mut said = conversation(&all, settings, &choices);
        if late {
            said.drain(..choices[0] % said.len());
        }
        let mut connection = Connection::new(Limits::default(), Arc::default());
        let mut out = Vec::new();
        push(&mut connection, &said, pieces.into_iter().cycle(), &mut out);
        connection.close(Timestamp(0), CloseReason::Freed, &mut out);
        for heard in hear(out) {
            prop_assert!(heard.end.is_some());
            if let Some(at) = heard.of() {
                prop_assert!(at < all.len());
                heard.check(at, &all[at])?;
            }
        }
    }
}
