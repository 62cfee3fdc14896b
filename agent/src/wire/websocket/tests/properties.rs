//! What holds for any session, however it is cut. Plain frames are tungstenite's.

use std::io::{self, Read};

use tungstenite::{
    Message, WebSocket as Peer,
    protocol::{
        Role as PeerRole,
        frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::*;

/// Takes what is written; nothing can be read.
#[derive(Default)]
struct Wire(Vec<u8>);

impl Read for Wire {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a message is sent.
#[derive(Clone, Debug)]
enum How {
    Plain,
    /// In fragments of this length, with a ping behind each.
    Fragments(usize),
    Compressed,
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![Just(How::Plain), (1usize..40).prop_map(How::Fragments), Just(How::Compressed)]
}

/// Sends as one side does.
struct Sender {
    peer: Peer<Wire>,
    deflate: Deflate,
    /// Compressed messages refer to those before.
    takeover: bool,
    masked: bool,
}

impl Sender {
    fn new(role: PeerRole, takeover: bool) -> Self {
        let masked = role == PeerRole::Client;
        let peer = Peer::from_raw_socket(Wire::default(), role, None);
        Self { peer, deflate: Deflate::new(), takeover, masked }
    }

    fn bytes(&mut self, text: &str, how: &How) -> Vec<u8> {
        match how {
            How::Plain => self.peer.send(Message::text(text)).unwrap(),
            How::Fragments(size) => {
                let parts: Vec<&[u8]> = text.as_bytes().chunks(*size).collect();
                for (i, part) in parts.iter().enumerate() {
                    let kind = if i == 0 { Data::Text } else { Data::Continue };
                    let last = i + 1 == parts.len();
                    let frame = Frame::message(part.to_vec(), OpCode::Data(kind), last);
                    self.peer.send(Message::Frame(frame)).unwrap();
                    self.peer.send(Message::Ping(part[..part.len().min(9)].to_vec().into())).unwrap();
                }
            }
            How::Compressed => {
                return frame(12, 1, self.masked, &self.deflate.message(text.as_bytes(), self.takeover));
            }
        }
        std::mem::take(&mut self.peer.get_mut().0)
    }
}

/// The two sides of a compressed session, whose messages refer to those before or stand alone, and what is read of it.
fn senders([client, server]: [bool; 2]) -> (Sender, Sender, Session) {
    let mut extension = "permessage-deflate".to_owned();
    for (takeover, parameter) in
        [(client, "; client_no_context_takeover"), (server, "; server_no_context_takeover")]
    {
        extension += if takeover { "" } else { parameter };
    }
    let session = Session::open(&extension);
    (Sender::new(PeerRole::Client, client), Sender::new(PeerRole::Server, server), session)
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_turns(
        turns in prop::collection::vec((how(), prop::collection::vec(("[a-z]{1,90}", how()), 0..5)), 1..5),
        cuts in prop::collection::vec(1usize..60, 1..30),
        takeover in any::<[bool; 2]>(),
    ) {
        let (mut client, mut server, mut session) = senders(takeover);
        let (mut expected, mut cuts) = (Vec::new(), cuts.into_iter().cycle());
        for (i, (asked, events)) in turns.into_iter().enumerate() {
            let (id, mark) = (i + 1, format!("q{i}"));
            expected.extend([format!("{id} GET"), format!("{id} >create:{mark}"), format!("{id} >."), format!("{id} 101")]);
            let mut steps = vec![(Direction::Sent, client.bytes(&create(&mark), &asked))];
            let last = ("last".to_owned(), How::Plain);
            let count = events.len();
            for (n, (mark, how)) in events.into_iter().chain([last]).enumerate() {
                let kind = if n == count { "completed" } else { "delta" };
                expected.push(format!("{id} <{kind}:{mark}"));
                steps.push((Direction::Received, server.bytes(&event(kind, &mark), &how)));
            }
            expected.push(format!("{id} =Complete"));
            for (direction, bytes) in steps {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                    session.push(direction, Piece::Bytes(Bytes::copy_from_slice(piece)));
                    rest = after;
                }
            }
        }
        let expected: String = expected.iter().map(|line| line.clone() + "\n").collect();
        prop_assert_eq!(session.shown(), expected);
        let [_, apart, unread, cut] = session.counts();
        prop_assert_eq!((apart, unread, cut, session.account.get(Counter::BytesUnparsed)), (0, 0, 0, 0));
    }

    /// With pieces lost, no turn is told an answer that is another's, and what is told is what was sent.
    #[test]
    fn losses_never_mix_turns(
        turns in prop::collection::vec((how(), prop::collection::vec(how(), 0..4)), 1..8),
        pieces in prop::collection::vec((1usize..200, prop::bool::weighted(0.2)), 1..60),
        takeover in any::<[bool; 2]>(),
    ) {
        let (mut client, mut server, mut session) = senders(takeover);
        let mut pieces = pieces.into_iter().cycle();
        let mut lost = [0usize; 2];
        for (i, (asked, events)) in turns.iter().enumerate() {
            let mark = format!("q{i}");
            let mut steps = vec![(Direction::Sent, client.bytes(&create(&mark), asked))];
            let kinds = std::iter::once("created").chain(std::iter::repeat_n("delta", events.len())).chain(["completed"]);
            for (n, kind) in kinds.enumerate() {
                let how = events.get(n).unwrap_or(&How::Plain);
                let text = if n == 0 { created(&mark) } else { event(kind, &mark) };
                steps.push((Direction::Received, server.bytes(&text, how)));
            }
            for (direction, bytes) in steps {
                let lost = &mut lost[usize::from(direction == Direction::Received)];
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (size, drop) = pieces.next().unwrap();
                    let (piece, after) = rest.split_at(size.min(rest.len()));
                    rest = after;
                    if drop {
                        *lost += piece.len();
                        continue;
                    }
                    match std::mem::take(lost) {
                        0 => {}
                        len => _ = session.gap(direction, len),
                    }
                    session.push(direction, Piece::Bytes(Bytes::copy_from_slice(piece)));
                }
            }
        }
        session.close(CloseReason::Freed);
        let shown = session.shown();
        let mut questions = std::collections::HashMap::new();
        let mut ended = std::collections::HashSet::new();
        for line in shown.lines() {
            let (id, what) = line.split_once(' ').unwrap();
            prop_assert!(!ended.contains(id), "{}", shown);
            if let Some((_, mark)) = what.split_once(':') {
                let question = questions.entry(id).or_insert(mark);
                // Of a question that can't be read the first answer's mark stands for it.
                prop_assert_eq!(*question, mark, "{}", shown);
            }
            if what.starts_with('=') {
                ended.insert(id);
            }
        }
    }

    #[test]
    fn anything_may_come(
        steps in prop::collection::vec((any::<bool>(), 0usize..12, prop::collection::vec(any::<u8>(), 1..20)), 0..40),
    ) {
        let parts = [
            ask(&create("a")), answer(&event("created", "a")), answer(&event("completed", "a")), frame(4, 1, true, b"x"),
            frame(8, 9, false, b""), frame(0, 1, false, b"{"), frame(8, 0, false, b"}"), frame(8, 8, true, b""),
        ];
        let mut session = Session::open("permessage-deflate");
        for (sent, part, noise) in steps {
            let direction = if sent { Direction::Sent } else { Direction::Received };
            match parts.get(part) {
                Some(part) => session.push(direction, Piece::Bytes(Bytes::copy_from_slice(part))),
                None if part == 8 => session.gap(direction, noise.len()),
                None => session.push(direction, Piece::Bytes(noise.into())),
            };
        }
        session.close(CloseReason::Freed);
        let shown = session.shown();
        prop_assert_eq!(shown.matches("GET").count(), shown.matches('=').count(), "{}", shown);
    }
}
