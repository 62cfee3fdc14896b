//! Content encodings, undone as the bytes arrive: what can be decoded is handed on at once, since the
//! time at which an event was readable is what later rooms measure.

use std::io::Write;

use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, enc::StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status, write::MultiGzDecoder};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

/// Encodings that one body may have been put through; more than this is nobody's honest use.
const MAX_CODINGS: usize = 4;

/// Decoded bytes are handed on in runs of at most this length.
const RUN: usize = 16 * 1024;

/// What a decoder takes apart from its window, in bytes; more is not known of it from outside.
const STAGE: usize = 64 * 1024;

/// RFC 9659: a decoder of the `zstd` content coding needs a window of 8 MiB at most.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Why decoding ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes are not what the encoding promises.
    Malformed,
    /// Whoever takes the decoded bytes wants no more.
    Full,
}

/// Takes decoded bytes.
type Take<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Stop>;

/// A content coding that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// The largest window that is accepted, in bytes: RFC 1951, section 2; RFC 7932, section 9.1; RFC 9659.
    const fn window(self) -> usize {
        match self {
            Self::Gzip | Self::Deflate => 32 << 10,
            Self::Brotli => 16 << 20,
            Self::Zstd => 1 << ZSTD_WINDOW_LOG_MAX,
        }
    }
}

/// The decoder of a body: one stage for each encoding that was applied.
pub(super) struct Decoder {
    /// In the order in which they are undone.
    stages: Vec<Stage>,
    /// How many bytes were decoded so far.
    seen: usize,
}

impl Decoder {
    /// For the codings of a `content-encoding` (RFC 9110, section 8.4), in the order in which they were applied.
    /// `Ok(None)` is for a body that is not encoded, an error for one whose encoding isn't known.
    pub fn new<'a>(codings: impl Iterator<Item = &'a str>) -> Result<Option<Self>, Stop> {
        let mut stages = Vec::new();
        for name in codings.flat_map(|value| value.split(',')).map(str::trim).filter(|n| !n.is_empty()) {
            let coding = match () {
                () if name.eq_ignore_ascii_case("identity") => continue,
                () if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                    Coding::Gzip
                }
                () if name.eq_ignore_ascii_case("deflate") => Coding::Deflate,
                () if name.eq_ignore_ascii_case("br") => Coding::Brotli,
                () if name.eq_ignore_ascii_case("zstd") => Coding::Zstd,
                () => return Err(Stop::Malformed),
            };
            if stages.len() == MAX_CODINGS {
                return Err(Stop::Malformed);
            }
            stages.push(Stage { coding, state: State::Undecided { held: [0; 4], len: 0 } });
        }
        stages.reverse();
        Ok(if stages.is_empty() { None } else { Some(Self { stages, seen: 0 }) })
    }

    /// Decodes the next bytes.
    pub fn push(&mut self, input: &[u8], take: Take<'_>) -> Result<(), Stop> {
        let seen = &mut self.seen;
        run(&mut self.stages, input, &mut |bytes| {
            *seen = seen.saturating_add(bytes.len());
            take(bytes)
        })
    }

    /// About how many bytes it holds: what was decoded is kept as far back as the window of an encoding reaches.
    pub fn held(&self) -> usize {
        self.stages.iter().map(|stage| STAGE + stage.coding.window().min(self.seen)).sum()
    }

    /// The body is over: hands on what was held back, and fails if the encoded data are not complete.
    pub fn finish(&mut self, take: Take<'_>) -> Result<(), Stop> {
        let mut stages = &mut self.stages[..];
        while let Some((stage, rest)) = stages.split_first_mut() {
            stage.finish(&mut |bytes| run(rest, bytes, take))?;
            stages = rest;
        }
        Ok(())
    }
}

fn run(stages: &mut [Stage], input: &[u8], take: Take<'_>) -> Result<(), Stop> {
    match stages.split_first_mut() {
        None => take(input),
        Some((stage, rest)) => stage.push(input, &mut |bytes| run(rest, bytes, take)),
    }
}

struct Stage {
    coding: Coding,
    state: State,
}

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

enum State {
    /// The first bytes are awaited, which tell what is really there.
    Undecided {
        held: [u8; 4],
        len: usize,
    },
    /// Not encoded after all: some recorders and proxies decode and leave the header as it was.
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<Decompress>),
    Brotli(Box<Brotli>),
    Zstd {
        decoder: ZstdDecoder<'static>,
        /// A frame is complete and the next has not begun.
        between: bool,
    },
    /// Complete; what follows is padding.
    Done,
}

impl Stage {
    fn push(&mut self, mut input: &[u8], take: Take<'_>) -> Result<(), Stop> {
        if let State::Undecided { held, len } = &mut self.state {
            let need = match self.coding {
                Coding::Gzip | Coding::Deflate => 2,
                Coding::Brotli => 1,
                Coding::Zstd => 4,
            };
            while *len < need {
                let Some((byte, rest)) = input.split_first() else { return Ok(()) };
                held[*len] = *byte;
                *len += 1;
                input = rest;
            }
            let (held, len) = (*held, *len);
            self.state = State::begin(self.coding, &held[..len])?;
            self.state.push(&held[..len], take)?;
        }
        self.state.push(input, take)
    }

    fn finish(&mut self, take: Take<'_>) -> Result<(), Stop> {
        match &mut self.state {
            // Too short to be encoded.
            State::Undecided { held, len } => {
                let (held, len) = (*held, *len);
                self.state = State::Identity;
                if len > 0 { take(&held[..len]) } else { Ok(()) }
            }
            State::Identity | State::Done | State::Zstd { between: true, .. } => Ok(()),
            State::Gzip(decoder) => {
                let result = decoder.try_finish();
                drain(decoder, take)?;
                result.map_err(|_| Stop::Malformed)
            }
            State::Deflate(_) | State::Brotli(_) | State::Zstd { .. } => Err(Stop::Malformed),
        }
    }
}

impl State {
    /// Decides by the first bytes.
    fn begin(coding: Coding, head: &[u8]) -> Result<Self, Stop> {
        Ok(match coding {
            // RFC 1952, section 2.3.1.
            Coding::Gzip if head == [0x1f, 0x8b] => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            // `deflate` means the zlib format (RFC 1950, section 2.2), but some senders leave the wrapper out.
            Coding::Deflate => {
                let zlib =
                    head[0] & 0x0f == 8 && (u16::from(head[0]) << 8 | u16::from(head[1])).is_multiple_of(31);
                Self::Deflate(Box::new(Decompress::new(zlib)))
            }
            // Strict: without the large windows (up to 1 GiB) that are no part of RFC 7932.
            Coding::Brotli => Self::Brotli(Box::new(BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            // RFC 8878, sections 3.1.1 and 3.1.2: a frame, or a skippable one.
            Coding::Zstd
                if head == [0x28, 0xb5, 0x2f, 0xfd]
                    || (head[0] & 0xf0 == 0x50 && head[1..] == [0x2a, 0x4d, 0x18]) =>
            {
                let mut decoder = ZstdDecoder::new().map_err(|_| Stop::Malformed)?;
                decoder
                    .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
                    .map_err(|_| Stop::Malformed)?;
                Self::Zstd { decoder, between: false }
            }
            Coding::Gzip | Coding::Zstd => Self::Identity,
        })
    }

    fn push(&mut self, mut input: &[u8], take: Take<'_>) -> Result<(), Stop> {
        if input.is_empty() {
            return Ok(());
        }
        match self {
            Self::Undecided { .. } | Self::Done => Ok(()),
            Self::Identity => take(input),
            Self::Gzip(decoder) => {
                while !input.is_empty() {
                    let n = decoder.write(input).map_err(|_| Stop::Malformed)?;
                    drain(decoder, take)?;
                    if n == 0 {
                        break;
                    }
                    input = &input[n..];
                }
                decoder.flush().map_err(|_| Stop::Malformed)?;
                drain(decoder, take)
            }
            Self::Deflate(decoder) => {
                let mut output = [0; RUN];
                loop {
                    let (read, written) = (decoder.total_in(), decoder.total_out());
                    let status = decoder
                        .decompress(input, &mut output, FlushDecompress::Sync)
                        .map_err(|_| Stop::Malformed)?;
                    input = &input[(decoder.total_in() - read) as usize..];
                    let written = (decoder.total_out() - written) as usize;
                    if written > 0 {
                        take(&output[..written])?;
                    }
                    if status == Status::StreamEnd {
                        *self = Self::Done;
                        return Ok(());
                    }
                    if written < RUN && (input.is_empty() || decoder.total_in() == read) {
                        return Ok(());
                    }
                }
            }
            Self::Brotli(state) => {
                let (mut available_in, mut input_offset, mut total) = (input.len(), 0, 0);
                let mut output = [0; RUN];
                loop {
                    let (mut available_out, mut written) = (RUN, 0);
                    let result = BrotliDecompressStream(
                        &mut available_in,
                        &mut input_offset,
                        input,
                        &mut available_out,
                        &mut written,
                        &mut output,
                        &mut total,
                        state,
                    );
                    if written > 0 {
                        take(&output[..written])?;
                    }
                    match result {
                        BrotliResult::NeedsMoreOutput => {}
                        BrotliResult::NeedsMoreInput => return Ok(()),
                        BrotliResult::ResultFailure => return Err(Stop::Malformed),
                        BrotliResult::ResultSuccess => {
                            *self = Self::Done;
                            return Ok(());
                        }
                    }
                }
            }
            Self::Zstd { decoder, between } => {
                let mut input = InBuffer::around(input);
                let mut space = [0; RUN];
                loop {
                    let before = input.pos();
                    let mut output = OutBuffer::around(&mut space[..]);
                    let left = decoder.run(&mut input, &mut output).map_err(|_| Stop::Malformed)?;
                    *between = left == 0;
                    let written = output.as_slice().len();
                    if written > 0 {
                        take(output.as_slice())?;
                    }
                    let all_read = input.pos() == input.src.len();
                    let stuck = input.pos() == before && written == 0;
                    if stuck || (all_read && (*between || written < RUN)) {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Hands on what the decoder wrote.
fn drain(decoder: &mut MultiGzDecoder<Vec<u8>>, take: Take<'_>) -> Result<(), Stop> {
    let written = decoder.get_mut();
    if written.is_empty() {
        return Ok(());
    }
    let result = take(written);
    written.clear();
    result
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use proptest::prelude::*;

    use super::*;

    /// Encodes with one coding (`raw-deflate` for the variant without wrapper).
    pub(in crate::wire) fn encode(coding: &str, plain: &[u8]) -> Vec<u8> {
        match coding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            "raw-deflate" => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            "br" => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
                encoder.write_all(plain).unwrap();
                encoder.into_inner()
            }
            "zstd" => zstd::bulk::compress(plain, 3).unwrap(),
            _ => plain.to_vec(),
        }
    }

    fn decode<'a>(header: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Stop> {
        let mut plain = Vec::new();
        let mut take = |part: &[u8]| {
            assert!(part.len() <= 32 * 1024, "handed on in small runs");
            plain.extend_from_slice(part);
            Ok(())
        };
        if let Some(mut decoder) = Decoder::new([header].into_iter())? {
            for piece in pieces {
                decoder.push(piece, &mut take)?;
            }
            decoder.finish(&mut take)?;
        }
        Ok(plain)
    }

    const CODINGS: [&str; 5] = ["gzip", "deflate", "raw-deflate", "br", "zstd"];

    fn header(coding: &str) -> &str {
        coding.strip_prefix("raw-").unwrap_or(coding)
    }

    #[test]
    fn round_trips_cut_at_each_byte() {
        let plain = b"{\"choices\":[{\"text\":\"abcabcabcabc\"}]}".repeat(3);
        for coding in CODINGS {
            let coded = encode(coding, &plain);
            for cut in 0..=coded.len() {
                let decoded = decode(header(coding), [&coded[..cut], &coded[cut..]]);
                assert_eq!(decoded.as_deref(), Ok(&plain[..]), "{coding} at {cut}");
            }
            assert_eq!(decode(header(coding), coded.chunks(1)).as_deref(), Ok(&plain[..]), "{coding}");
            let short = decode(header(coding), [&coded[..coded.len() - 1]]);
            assert_eq!(short, Err(Stop::Malformed), "{coding}, one byte short");
        }
    }

    #[test]
    fn stacked_codings_and_their_names() {
        let plain = b"some plain text, some plain text".repeat(9);
        let coded = encode("br", &encode("gzip", &plain));
        for header in ["gzip, br", "x-gzip,BR", "identity, gzip, , br"] {
            assert_eq!(decode(header, coded.chunks(7)).as_deref(), Ok(&plain[..]), "{header}");
        }
        assert!(matches!(Decoder::new(["identity", ""].into_iter()), Ok(None)));
        assert!(Decoder::new(["compress"].into_iter()).is_err());
        assert!(Decoder::new(["gzip, gzip", "gzip, gzip, gzip"].into_iter()).is_err());
        let two_headers = Decoder::new(["gzip", "br"].into_iter()).unwrap().unwrap();
        assert_eq!(two_headers.stages[0].coding, Coding::Brotli, "the last is undone first");
    }

    #[test]
    fn a_header_that_outlived_its_encoding_is_ignored() {
        for header in ["gzip", "zstd"] {
            for plain in [&b""[..], b"{", b"{}", b"{\"a\":1}", b"data: x\n\n"] {
                assert_eq!(decode(header, plain.chunks(1)).as_deref(), Ok(plain), "{header}");
            }
        }
    }

    #[test]
    fn members_and_frames_may_follow_each_other() {
        for coding in ["gzip", "zstd"] {
            let coded = [encode(coding, b"one "), encode(coding, b"two")].concat();
            assert_eq!(decode(coding, coded.chunks(3)).as_deref(), Ok(&b"one two"[..]), "{coding}");
        }
    }

    /// A flush of the sender is readable at once: the time to the first token depends on it.
    #[test]
    fn what_was_flushed_is_there() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(b"data: first\n\n").unwrap();
        gzip.flush().unwrap();
        let mut br = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
        br.write_all(b"data: first\n\n").unwrap();
        br.flush().unwrap();
        let mut zstd = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        zstd.write_all(b"data: first\n\n").unwrap();
        zstd.flush().unwrap();
        for (header, coded) in
            [("gzip", gzip.get_ref().clone()), ("br", br.get_ref().clone()), ("zstd", zstd.get_ref().clone())]
        {
            let mut plain = Vec::new();
            let mut decoder = Decoder::new([header].into_iter()).unwrap().unwrap();
            decoder
                .push(&coded, &mut |part| {
                    plain.extend_from_slice(part);
                    Ok(())
                })
                .unwrap();
            assert_eq!(plain, b"data: first\n\n", "{header}");
        }
    }

    #[test]
    fn a_bomb_goes_off_no_further_than_it_is_let() {
        let zeros = vec![0; 16 << 20];
        for coding in CODINGS {
            let coded = encode(coding, &zeros);
            let mut taken = 0;
            let mut decoder = Decoder::new([header(coding)].into_iter()).unwrap().unwrap();
            let result = decoder.push(&coded, &mut |part| {
                taken += part.len();
                if taken > 100_000 { Err(Stop::Full) } else { Ok(()) }
            });
            assert_eq!(result, Err(Stop::Full), "{coding}");
            assert!(taken < 200_000, "{coding} {taken}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(
            plain in prop::collection::vec(0u8..8, 0..3000),
            sizes in prop::collection::vec(1usize..200, 1..20),
            coding in prop::sample::select(&CODINGS[..]),
        ) {
            let coded = encode(coding, &plain);
            let mut pieces = Vec::new();
            let mut rest = &coded[..];
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(decode(header(coding), pieces), Ok(plain));
        }

        #[test]
        fn anything_may_come(
            mut coded in prop::collection::vec(any::<u8>(), 0..400),
            header in prop::sample::select(vec!["gzip", "deflate", "br", "zstd", "br, gzip"]),
            magic in prop::sample::select(vec![&b""[..], b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00", b"\x28\xb5\x2f\xfd"]),
        ) {
            coded.splice(..0, magic.iter().copied());
            let whole = decode(header, [&coded[..]]);
            let cut = decode(header, coded.chunks(5));
            prop_assert_eq!(whole.is_ok(), cut.is_ok());
        }
    }
}
