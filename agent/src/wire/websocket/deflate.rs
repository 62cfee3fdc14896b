//! permessage-deflate (RFC 7692): what was agreed on, and messages inflated.

use bytes::BytesMut;
use flate2::{Decompress, FlushDecompress, Status};

/// What every compressed message ends with, and is left out of it (section 7.2.2).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The largest window of DEFLATE (RFC 1951, section 2): one that decodes what any smaller one encoded.
const WINDOW: usize = 32 * 1024;

/// Inflated bytes are written in runs of this length.
const RUN: usize = 8 * 1024;

/// Which extensions a session uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreed {
    /// None.
    Plain,
    /// permessage-deflate; whether each side keeps its window from message to message.
    Deflate {
        /// The client's messages refer to those before.
        client_takeover: bool,
        /// The server's do.
        server_takeover: bool,
    },
}

/// Reads the `sec-websocket-extensions` of a 101 response (RFC 6455, section 9.1); `None` if something
/// is in use that is not understood.
///
/// The sizes of the windows are only checked: with the largest one everything can be inflated.
pub(super) fn agreed<'a>(values: impl Iterator<Item = &'a str>) -> Option<Agreed> {
    let mut agreed = Agreed::Plain;
    for extension in values.flat_map(|value| value.split(',')).map(str::trim).filter(|e| !e.is_empty()) {
        let mut tokens = extension.split(';').map(str::trim);
        if agreed != Agreed::Plain || !tokens.next()?.eq_ignore_ascii_case("permessage-deflate") {
            return None;
        }
        let (mut client_takeover, mut server_takeover) = (true, true);
        for parameter in tokens {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(value.trim().trim_matches('"'))),
                None => (parameter, None),
            };
            match (name.to_ascii_lowercase().as_str(), value) {
                ("client_no_context_takeover", None) => client_takeover = false,
                ("server_no_context_takeover", None) => server_takeover = false,
                ("client_max_window_bits" | "server_max_window_bits", Some(bits))
                    if matches!(bits.parse(), Ok(8..=15)) => {}
                _ => return None,
            }
        }
        agreed = Agreed::Deflate { client_takeover, server_takeover };
    }
    Some(agreed)
}

/// Why a message could not be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is no DEFLATE.
    Malformed,
    /// It is longer than the limit.
    TooLong,
}

/// Inflates the messages of one direction.
pub(super) struct Inflate {
    /// Made with the first message: most sessions that may compress never do.
    stream: Option<Decompress>,
    takeover: bool,
    /// A message was missed, so that what later ones refer to isn't known; its place in the window is taken by
    /// zeros. So many bytes are known since.
    known: Option<usize>,
}

impl Inflate {
    /// About how many bytes it holds.
    pub fn held(&self) -> usize {
        if self.stream.is_some() { WINDOW } else { 0 }
    }

    pub fn new(takeover: bool) -> Self {
        Self { stream: None, takeover, known: None }
    }

    /// Appends the next part of a message to `to`, which may grow to `limit`.
    pub fn push(&mut self, input: &[u8], to: &mut BytesMut, limit: usize) -> Result<(), Stop> {
        let begun = to.len();
        let unknown = self.known.is_some();
        let stream = self.stream.get_or_insert_with(|| fresh(unknown));
        let result = run(stream, input, to, limit);
        // Which zeros are the sender's own can't be told: no text has any.
        if let Some(known) = &mut self.known {
            *known = match memchr::memrchr(0, &to[begun..]) {
                Some(at) => to.len() - begun - at - 1,
                None => *known + to.len() - begun,
            };
        }
        result
    }

    /// The message is complete. Says whether all of it can be believed.
    pub fn end(&mut self, text: bool, to: &mut BytesMut, limit: usize) -> Result<bool, Stop> {
        self.push(&TAIL, to, limit)?;
        let believed = self.known.is_none() || (text && memchr::memchr(0, to).is_none());
        if !self.takeover {
            if let Some(stream) = &mut self.stream {
                stream.reset(false);
            }
        } else if self.known.is_some_and(|known| known >= WINDOW) {
            self.known = None;
        }
        Ok(believed)
    }

    /// A message was missed, or a part of it.
    pub fn missed(&mut self) {
        self.stream = None;
        self.known = self.takeover.then_some(0);
    }
}

/// Inflates `input` to its end. A block marked as the last one ends a stream, and another may follow
/// (section 7.2.3.4).
fn run(stream: &mut Decompress, mut input: &[u8], to: &mut BytesMut, limit: usize) -> Result<(), Stop> {
    let mut output = [0; RUN];
    loop {
        let (read, written) = (stream.total_in(), stream.total_out());
        let status =
            stream.decompress(input, &mut output, FlushDecompress::Sync).map_err(|_| Stop::Malformed)?;
        let read = (stream.total_in() - read) as usize;
        let written = (stream.total_out() - written) as usize;
        input = &input[read..];
        let room = limit - to.len().min(limit);
        to.extend_from_slice(&output[..written.min(room)]);
        if written > room {
            return Err(Stop::TooLong);
        }
        if status == Status::StreamEnd {
            stream.reset(false);
            if input.is_empty() {
                return Ok(());
            }
        } else if (read, written) == (0, 0) {
            // Less than a run may be written though more is there: where the window begins anew.
            return if input.is_empty() { Ok(()) } else { Err(Stop::Malformed) };
        }
    }
}

/// A stream with an empty window, or one full of zeros.
fn fresh(zeros: bool) -> Decompress {
    let mut stream = Decompress::new(false);
    if zeros {
        // A stored block of so many bytes (RFC 1951, section 3.2.4).
        let len = (WINDOW as u16).to_le_bytes();
        let mut block = vec![0, len[0], len[1], !len[0], !len[1]];
        block.resize(block.len() + WINDOW, 0);
        let mut sink = BytesMut::new();
        let primed = run(&mut stream, &block, &mut sink, WINDOW);
        debug_assert_eq!((primed, sink.len()), (Ok(()), WINDOW));
    }
    stream
}

#[cfg(test)]
pub(super) mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    /// A sender of compressed messages.
    pub(in crate::wire) struct Deflate(Compress);

    impl Deflate {
        pub fn new() -> Self {
            Self(Compress::new(Compression::default(), false))
        }

        pub fn message(&mut self, plain: &[u8], takeover: bool) -> Vec<u8> {
            let mut coded = Vec::with_capacity(plain.len() + 1024);
            let read = self.0.total_in();
            loop {
                let at = (self.0.total_in() - read) as usize;
                let room = coded.capacity() - coded.len();
                self.0.compress_vec(&plain[at..], &mut coded, FlushCompress::Sync).unwrap();
                if coded.len() < coded.capacity() && room > 0 {
                    break;
                }
                coded.reserve(1024);
            }
            assert!(coded.ends_with(&TAIL));
            coded.truncate(coded.len() - TAIL.len());
            if !takeover {
                self.0.reset();
            }
            coded
        }
    }

    fn inflate(
        inflate: &mut Inflate,
        coded: &[u8],
        size: usize,
        limit: usize,
    ) -> Result<(Vec<u8>, bool), Stop> {
        let mut plain = BytesMut::new();
        for part in coded.chunks(size) {
            inflate.push(part, &mut plain, limit)?;
        }
        let believed = inflate.end(true, &mut plain, limit)?;
        Ok((plain.to_vec(), believed))
    }

    #[test]
    fn agreements() {
        let deflate =
            |client_takeover, server_takeover| Some(Agreed::Deflate { client_takeover, server_takeover });
        let table: &[(&[&str], Option<Agreed>)] = &[
            (&[], Some(Agreed::Plain)),
            (&[""], Some(Agreed::Plain)),
            (&["permessage-deflate"], deflate(true, true)),
            (&["Permessage-Deflate; server_no_context_takeover"], deflate(true, false)),
            (
                &["permessage-deflate;client_no_context_takeover ; server_max_window_bits=10"],
                deflate(false, true),
            ),
            (&["permessage-deflate; client_max_window_bits=\"12\""], deflate(true, true)),
            (&["permessage-deflate; client_max_window_bits"], None),
            (&["permessage-deflate; server_max_window_bits=16"], None),
            (&["permessage-deflate; something=1"], None),
            (&["permessage-deflate, permessage-deflate"], None),
            (&["permessage-deflate", "x-webkit-deflate-frame"], None),
            (&["bbf-usp-protocol"], None),
        ];
        for (values, expected) in table {
            assert_eq!(agreed(values.iter().copied()), *expected, "{values:?}");
        }
    }

    /// RFC 7692, section 7.2.3: one block, a shared window, no compression, a last block, two blocks.
    #[test]
    fn examples_of_the_rfc() {
        let mut shared = Inflate::new(true);
        for coded in [&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &[0xf2, 0x00, 0x11, 0x00, 0x00]] {
            assert_eq!(inflate(&mut shared, coded, 1, 100), Ok((b"Hello".to_vec(), true)));
        }
        for coded in [
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00][..],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            assert_eq!(inflate(&mut Inflate::new(true), coded, 3, 100), Ok((b"Hello".to_vec(), true)));
        }
    }

    #[test]
    fn after_a_missed_message_only_what_is_sure_is_believed() {
        let mut sender = Deflate::new();
        let texts =
            [r#"{"type":"response.created"}"#, r#"{"type":"response.created","n":1}"#, "9876", "\u{1}9876+"];
        let coded = texts.map(|text| sender.message(text.as_bytes(), true));
        let mut receiver = Inflate::new(true);
        receiver.missed();
        let read: Vec<_> = coded[1..].iter().map(|c| inflate(&mut receiver, c, 100, 1000)).collect();
        // It refers to the one that was missed; what stands behind does not.
        assert!(!read[0].as_ref().unwrap().1, "{read:?}");
        assert_eq!(read[1], Ok((b"9876".to_vec(), true)));
        assert_eq!(read[2], Ok((b"\x019876+".to_vec(), true)));

        let mut sender = Deflate::new();
        let coded = texts.map(|text| sender.message(text.as_bytes(), false));
        let mut receiver = Inflate::new(false);
        receiver.missed();
        for (text, coded) in texts.iter().zip(&coded) {
            assert_eq!(inflate(&mut receiver, coded, 4, 1000), Ok((text.as_bytes().to_vec(), true)));
        }
    }

    #[test]
    fn a_window_of_known_bytes_ends_the_doubt() {
        let mut sender = Deflate::new();
        let noise = |seed: u32| -> Vec<u8> {
            let mut x = seed;
            (0..20_000)
                .map(|_| {
                    x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    b'!' + (x >> 24) as u8 % 90
                })
                .collect()
        };
        let mut receiver = Inflate::new(true);
        receiver.missed();
        for seed in [1, 2] {
            let plain = noise(seed);
            assert_eq!(inflate(&mut receiver, &sender.message(&plain, true), 999, 30_000), Ok((plain, true)));
        }
        // With the window known, zeros are the sender's.
        let zeros = sender.message(&[0; 9], true);
        assert_eq!(inflate(&mut receiver, &zeros, 9, 100), Ok((vec![0; 9], true)));
    }

    #[test]
    fn a_bomb_goes_off_no_further_than_it_is_let() {
        let coded = Deflate::new().message(&vec![b'x'; 16 << 20], true);
        let mut plain = BytesMut::new();
        assert_eq!(Inflate::new(true).push(&coded, &mut plain, 100_000), Err(Stop::TooLong));
        assert!(plain.len() <= 100_000);
    }

    proptest! {
        #[test]
        fn round_trips(
            messages in prop::collection::vec(prop::collection::vec(0u8..6, 0..2000), 1..6),
            size in 1usize..300,
            takeover in any::<bool>(),
        ) {
            let (mut sender, mut receiver) = (Deflate::new(), Inflate::new(takeover));
            for plain in messages {
                let coded = sender.message(&plain, takeover);
                prop_assert_eq!(inflate(&mut receiver, &coded, size, 2000), Ok((plain, true)));
            }
        }

        /// Whatever is missed: a text that is believed is the one that was sent.
        #[test]
        fn what_is_believed_is_right(
            messages in prop::collection::vec(("[a-d]{0,40}", any::<bool>()), 1..20),
        ) {
            let (mut sender, mut receiver) = (Deflate::new(), Inflate::new(true));
            for (text, missed) in messages {
                let coded = sender.message(text.as_bytes(), true);
                if missed {
                    receiver.missed();
                    continue;
                }
                match inflate(&mut receiver, &coded, 50, 1000) {
                    Ok((plain, true)) => prop_assert_eq!(plain, text.as_bytes()),
                    Ok(_) => {}
                    Err(_) => receiver.missed(),
                }
            }
        }

        #[test]
        fn anything_may_come(coded in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = inflate(&mut Inflate::new(true), &coded, 7, 10_000);
        }
    }
}
