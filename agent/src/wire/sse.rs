//! Server-sent events, as the WHATWG HTML standard parses and dispatches them
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>).

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

use super::SseEvent;

/// What the parser finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole event.
    Event(SseEvent),
    /// An event that was longer than the limit; it is skipped to its end.
    TooLong,
}

/// Field values joined by line feeds; one line alone, which is the rule, is not copied.
#[derive(Default)]
enum Lines {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Lines {
    fn push(&mut self, line: Bytes) {
        match self {
            Self::None => *self = Self::One(line),
            Self::One(first) => {
                let mut all = BytesMut::with_capacity(first.len() + line.len() + 1);
                all.extend_from_slice(first);
                all.extend_from_slice(b"\n");
                all.extend_from_slice(&line);
                *self = Self::Many(all);
            }
            Self::Many(all) => {
                all.extend_from_slice(b"\n");
                all.extend_from_slice(&line);
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Many(all) => all.len(),
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::take(self) {
            Self::None => None,
            Self::One(line) => Some(line),
            Self::Many(all) => Some(all.freeze()),
        }
    }
}

/// An incremental parser.
pub(super) struct Sse {
    /// Longest event that is held, in bytes.
    limit: usize,
    /// The beginning of a line whose end has not arrived.
    line: BytesMut,
    data: Lines,
    name: Box<str>,
    /// The last line ended with a carriage return: a line feed that follows belongs to it.
    after_cr: bool,
    /// No line was read yet: a byte order mark is skipped.
    first: bool,
    /// The event in progress is damaged or too long, and is passed over up to a blank line.
    skipping: bool,
    /// The line in progress is not blank (only kept while skipping).
    line_begun: bool,
}

impl Sse {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: BytesMut::new(),
            data: Lines::None,
            name: Box::default(),
            after_cr: false,
            first: true,
            skipping: false,
            line_begun: false,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut input: Bytes, found: &mut impl FnMut(Found)) {
        if self.after_cr && !input.is_empty() {
            self.after_cr = false;
            if input[0] == b'\n' {
                input.advance(1);
            }
        }
        while !input.is_empty() {
            let Some(end) = memchr2(b'\n', b'\r', &input) else {
                self.hold(&input, found);
                return;
            };
            let line = input.split_to(end);
            self.end_line(line, found);
            let cr = input[0] == b'\r';
            input.advance(1);
            if cr {
                match input.first() {
                    Some(b'\n') => input.advance(1),
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
        }
    }

    /// Bytes are missing here: the event in progress is given up, and so is everything to the next blank line.
    pub fn gap(&mut self) {
        self.skip();
        // Whatever ends next was begun in what is missing.
        self.line_begun = true;
        self.after_cr = false;
        self.first = false;
    }

    /// Bytes that are held for an event that is not whole.
    pub fn held(&self) -> usize {
        self.line.len() + self.data.len() + self.name.len()
    }

    fn skip(&mut self) {
        self.skipping = true;
        self.line_begun = !self.line.is_empty();
        self.line = BytesMut::new();
        self.data = Lines::None;
        self.name = Box::default();
    }

    fn hold(&mut self, part: &[u8], found: &mut impl FnMut(Found)) {
        if self.skipping {
            self.line_begun = true;
        } else if self.fits(part.len()) {
            self.line.extend_from_slice(part);
        } else {
            self.skip();
            self.line_begun = true;
            found(Found::TooLong);
        }
    }

    fn fits(&self, more: usize) -> bool {
        self.held() + more <= self.limit
    }

    fn end_line(&mut self, rest: Bytes, found: &mut impl FnMut(Found)) {
        if self.skipping {
            let blank = !self.line_begun && rest.is_empty();
            self.line_begun = false;
            self.skipping = !blank;
            return;
        }
        if !self.fits(rest.len()) {
            self.skip();
            self.line_begun = false;
            found(Found::TooLong);
            return;
        }
        let mut line = if self.line.is_empty() {
            rest
        } else {
            self.line.extend_from_slice(&rest);
            self.line.split().freeze()
        };
        if std::mem::take(&mut self.first) && line.starts_with(b"\xef\xbb\xbf") {
            line.advance(3);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.name);
            if let Some(data) = self.data.take() {
                found(Found::Event(SseEvent { event, data }));
            }
            return;
        }
        let name = memchr::memchr(b':', &line).unwrap_or(line.len());
        let value = line.len().min(name + 1);
        let value = value + usize::from(line.get(value) == Some(&b' '));
        // `id` and `retry` are for a client that reconnects; everything else, comments too, is ignored.
        match &line[..name] {
            b"data" => {
                line.advance(value);
                self.data.push(line);
            }
            b"event" => self.name = String::from_utf8_lossy(&line[value..]).into(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> Vec<String> {
        let mut sse = Sse::new(limit);
        let mut all = Vec::new();
        for piece in pieces {
            if piece == b"<gap>" {
                sse.gap();
                continue;
            }
            sse.push(Bytes::copy_from_slice(piece), &mut |found| {
                all.push(match found {
                    Found::Event(e) => format!("{}|{}", e.event, String::from_utf8_lossy(&e.data)),
                    Found::TooLong => "too long".to_owned(),
                });
            });
        }
        all
    }

    const TABLE: &[(&str, &[&str])] = &[
        ("data: a\n\n", &["|a"]),
        ("data: a\r\n\r\n", &["|a"]),
        ("data: a\r\rdata:b\r\r", &["|a", "|b"]),
        ("\u{feff}data: a\n\n", &["|a"]),
        ("data: \u{feff}a\n\n\u{feff}data: b\n\n", &["|\u{feff}a"]),
        ("data: YHOO\ndata: +2\ndata: 10\n\n", &["|YHOO\n+2\n10"]),
        (
            ": comment\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
            &["|first event", "|second event"],
        ),
        ("data\n\ndata\ndata\n\ndata:", &["|", "|\n"]),
        ("data:test\n\ndata: test\n\n", &["|test", "|test"]),
        ("event: a\n\ndata: x\n\n", &["|x"]),
        ("event: a\nevent: b\ndata: x\n\ndata: y\n\n", &["b|x", "|y"]),
        ("retry: 3\nnonsense: 1\nDATA: no\ndata: yes\n\n", &["|yes"]),
        ("\n\n\ndata: a:b\n\n", &["|a:b"]),
    ];

    #[test]
    fn streams() {
        for (input, events) in TABLE {
            assert_eq!(parse([input.as_bytes()], 1000), *events, "{input:?}");
        }
    }

    #[test]
    fn any_two_cuts_give_the_same_events() {
        for (input, events) in TABLE {
            let input = input.as_bytes();
            for a in 0..=input.len() {
                for b in a..=input.len() {
                    assert_eq!(parse([&input[..a], &input[a..b], &input[b..]], 1000), *events);
                }
            }
        }
    }

    #[test]
    fn what_surrounds_a_gap_is_whole_or_not_there() {
        let table: &[(&[&str], &[&str])] = &[
            (&["data: a\n\ndata: b", "<gap>", "c\n\ndata: d\n\n"], &["|a", "|d"]),
            (&["data: a\n\n", "<gap>", "data: c\n\ndata: d\n\n"], &["|a", "|d"]),
            (&["data: a\n", "<gap>", "\n\ndata: d\n\n"], &["|d"]),
            (&["data: a\n", "<gap>", "\ndata: c\n\ndata: d\n\n"], &["|d"]),
            (&["data: a\r", "<gap>", "\r\n\r\ndata: d\r\n\r\n"], &["|d"]),
        ];
        for (pieces, events) in table {
            assert_eq!(parse(pieces.iter().map(|p| p.as_bytes()), 1000), *events, "{pieces:?}");
        }
    }

    #[test]
    fn an_event_over_the_limit_is_passed_over() {
        let long = "x".repeat(40);
        for pieces in [
            vec![format!("data: a\n\ndata: {long}\ndata: b\n\ndata: c\n\n")],
            vec![format!("data: a\n\ndata: {long}"), "\ndata: b\n\ndata: c\n\n".into()],
            vec![format!("data: a\n\ndata: {long}\n"), "\ndata: c\n\n".into()],
            vec!["data: a\n\ndata: 12345678901234\ndata: 12345678901234567".into(), "\n\ndata: c\n\n".into()],
        ] {
            assert_eq!(
                parse(pieces.iter().map(String::as_bytes), 30),
                ["|a", "too long", "|c"],
                "{pieces:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn anything_goes_and_cuts_do_not_matter(
            input in prop::collection::vec(prop::sample::select(&b"data:event \r\n\n\xef\xbb\xbf"[..]), 0..80),
            cut in 0usize..80,
        ) {
            let cut = cut.min(input.len());
            prop_assert_eq!(parse([&input[..]], 20), parse([&input[..cut], &input[cut..]], 20));
        }
    }
}
