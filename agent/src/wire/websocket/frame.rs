//! Frames (RFC 6455, section 5.2): their headers, and where each ends.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    /// Goes on with a message.
    Continuation,
    /// Begins a text message.
    Text,
    /// Begins a binary message.
    Binary,
    /// Ends the session.
    Close,
    /// Ping or pong.
    Liveness,
}

impl Opcode {
    /// Control frames stand between the frames of a message, whole and short (section 5.5).
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Liveness)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The last frame of its message.
    pub fin: bool,
    /// Begins a compressed message (RFC 7692, section 6).
    pub compressed: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The key that its payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// Length of its payload.
    pub len: u64,
}

/// The bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Longest header: two bytes, eight of length, four of the masking key.
pub(super) const HEADER_MAX: usize = 14;

/// Longest payload of a control frame (section 5.5).
const CONTROL_MAX: u64 = 125;

/// Reads a header and says how long it is; `None` if it is not all there.
pub(super) fn header(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let [first, rest @ ..] = bytes else { return Ok(None) };
    let opcode = match first & 0x0f {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 | 0xa => Opcode::Liveness,
        _ => return Err(Malformed),
    };
    let (fin, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
    // No extension that is understood uses the other reserved bits, nor this one in any frame but a message's first.
    let misplaced = compressed && !matches!(opcode, Opcode::Text | Opcode::Binary);
    if first & 0x30 != 0 || misplaced || (opcode.is_control() && !fin) {
        return Err(Malformed);
    }
    let [second, rest @ ..] = rest else { return Ok(None) };
    let (len, rest) = match (second & 0x7f, rest) {
        (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
        (127, rest) => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from_be_bytes(*len), rest),
            None => return Ok(None),
        },
        (126, _) => return Ok(None),
        (len, rest) => (u64::from(len), rest),
    };
    // The shortest form has to be used, and the highest bit is zero.
    let shortest = match second & 0x7f {
        126 => len > 125,
        127 => len > u64::from(u16::MAX) && len >> 63 == 0,
        _ => true,
    };
    if !shortest || (opcode.is_control() && len > CONTROL_MAX) {
        return Err(Malformed);
    }
    let (mask, rest) = match (second & 0x80 != 0, rest) {
        (false, rest) => (None, rest),
        (true, [a, b, c, d, rest @ ..]) => (Some([*a, *b, *c, *d]), rest),
        (true, _) => return Ok(None),
    };
    Ok(Some((Header { fin, compressed, opcode, mask, len }, bytes.len() - rest.len())))
}

/// Are these bytes whole frames, so surely that reading may go on with them after a gap?
///
/// The first has to begin a message or be a control frame, and the last to end where the bytes end. `masked` is what
/// the frames of this direction are: a client's always are, a server's never (section 5.1).
pub(super) fn are_whole(mut bytes: &[u8], masked: bool, deflate: bool) -> bool {
    let mut within = false;
    while !bytes.is_empty() {
        let Ok(Some((header, len))) = header(bytes) else { return false };
        let goes_on = header.opcode == Opcode::Continuation;
        let fits = header.mask.is_some() == masked && (deflate || !header.compressed);
        if !fits || (!header.opcode.is_control() && goes_on != within) {
            return false;
        }
        if !header.opcode.is_control() {
            within = !header.fin;
        }
        let Some(rest) = usize::try_from(header.len).ok().and_then(|n| bytes[len..].get(n..)) else {
            return false;
        };
        bytes = rest;
    }
    true
}

/// Undoes the masking of a part of a payload that begins `at` bytes into it (section 5.3).
pub(super) fn unmask(part: &mut [u8], key: [u8; 4], at: u64) {
    let mut key = key;
    key.rotate_left((at % 4) as usize);
    for (byte, key) in part.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tungstenite::protocol::frame::{
        FrameHeader,
        coding::{Control, Data, OpCode},
    };

    use super::*;

    type Read = Result<Option<(Header, usize)>, Malformed>;

    #[test]
    fn headers() {
        let plain = Header { fin: true, compressed: false, opcode: Opcode::Text, mask: None, len: 5 };
        // The examples of RFC 6455, section 5.7, and of RFC 7692, section 7.2.3.
        let table: &[(&[u8], Read)] = &[
            (&[0x81, 0x05], Ok(Some((plain, 2)))),
            (
                &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d],
                Ok(Some((Header { mask: Some([0x37, 0xfa, 0x21, 0x3d]), ..plain }, 6))),
            ),
            (&[0x01, 0x03], Ok(Some((Header { fin: false, len: 3, ..plain }, 2)))),
            (&[0x80, 0x02], Ok(Some((Header { opcode: Opcode::Continuation, len: 2, ..plain }, 2)))),
            (&[0x89, 0x05], Ok(Some((Header { opcode: Opcode::Liveness, ..plain }, 2)))),
            (&[0x82, 0x7e, 0x01, 0x00], Ok(Some((Header { opcode: Opcode::Binary, len: 256, ..plain }, 4)))),
            (
                &[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0],
                Ok(Some((Header { opcode: Opcode::Binary, len: 65536, ..plain }, 10))),
            ),
            (&[0xc1, 0x07], Ok(Some((Header { compressed: true, len: 7, ..plain }, 2)))),
            (&[], Ok(None)),
            (&[0x81], Ok(None)),
            (&[0x81, 0x7e, 0x01], Ok(None)),
            (&[0x81, 0x85, 0x37], Ok(None)),
            // Reserved: bits, opcodes, the compressed bit where no message begins.
            (&[0x91, 0x05], Err(Malformed)),
            (&[0xa1, 0x05], Err(Malformed)),
            (&[0x83, 0x05], Err(Malformed)),
            (&[0x8b, 0x05], Err(Malformed)),
            (&[0xc0, 0x05], Err(Malformed)),
            (&[0xc9, 0x05], Err(Malformed)),
            // Control frames in pieces, or too long; lengths not in their shortest form.
            (&[0x09, 0x05], Err(Malformed)),
            (&[0x89, 0x7e, 0x01, 0x00], Err(Malformed)),
            (&[0x81, 0x7e, 0x00, 0x05], Err(Malformed)),
            (&[0x81, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Err(Malformed)),
            (&[0x81, 0x7f, 0x80, 0, 0, 0, 0, 1, 0, 0], Err(Malformed)),
        ];
        for (bytes, expected) in table {
            assert_eq!(header(bytes), *expected, "{bytes:x?}");
        }
    }

    #[test]
    fn whole_frames() {
        let table: &[(&[u8], bool, bool, bool)] = &[
            (b"\x81\x02{}", false, false, true),
            (b"\x81\x02{}\x89\x00", false, false, true),
            (b"\x01\x01{\x89\x00\x80\x01}", false, false, true),
            (b"\x81\x82\0\0\0\0{}", true, false, true),
            (b"\x81\x82\0\0\0\0{}", false, false, false),
            (b"\x81\x02{}", true, false, false),
            (b"\x81\x03{}", false, false, false),
            (b"\x81\x02{}x", false, false, false),
            (b"\x80\x01}", false, false, false),
            (b"\x81\x01{\x80\x01}", false, false, false),
            (b"\x01\x01{\x81\x01}", false, false, false),
            (b"\xc1\x02{}", false, true, true),
            (b"\xc1\x02{}", false, false, false),
            (b"{\"type\":\"response.created\"}", false, true, false),
        ];
        for (bytes, masked, deflate, yes) in table {
            assert_eq!(are_whole(bytes, *masked, *deflate), *yes, "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn headers_of_tungstenite(
            fin in any::<bool>(),
            compressed in any::<bool>(),
            code in 0usize..5,
            mask in prop::option::of(any::<[u8; 4]>()),
            len in prop::sample::select(vec![0, 1, 125, 126, 127, 65535, 65536, 1 << 40]),
        ) {
            let control = code >= 3;
            let (opcode, ours) = [
                (OpCode::Data(Data::Continue), Opcode::Continuation),
                (OpCode::Data(Data::Text), Opcode::Text),
                (OpCode::Data(Data::Binary), Opcode::Binary),
                (OpCode::Control(Control::Close), Opcode::Close),
                (OpCode::Control(Control::Ping), Opcode::Liveness),
            ][code];
            let (fin, len) = (fin || control, if control { len.min(125) } else { len });
            let compressed = compressed && matches!(ours, Opcode::Text | Opcode::Binary);
            let theirs = FrameHeader { is_final: fin, rsv1: compressed, rsv2: false, rsv3: false, opcode, mask };
            let mut bytes = Vec::new();
            theirs.format(len, &mut bytes).unwrap();
            let expected = Header { fin, compressed, opcode: ours, mask, len };
            prop_assert_eq!(header(&bytes), Ok(Some((expected, bytes.len()))));
            for cut in 0..bytes.len() {
                prop_assert_eq!(header(&bytes[..cut]), Ok(None));
            }
        }

        #[test]
        fn anything_may_come(bytes in prop::collection::vec(any::<u8>(), 0..20), masked in any::<bool>()) {
            if let Ok(Some((_, len))) = header(&bytes) {
                prop_assert!(len <= HEADER_MAX.min(bytes.len()));
            }
            are_whole(&bytes, masked, true);
        }

        #[test]
        fn a_part_is_unmasked_as_the_whole_is(
            mut whole in prop::collection::vec(any::<u8>(), 0..30),
            key in any::<[u8; 4]>(),
            cut in 0usize..30,
        ) {
            let mut parts = whole.clone();
            let cut = cut.min(whole.len());
            unmask(&mut parts[..cut], key, 0);
            unmask(&mut parts[cut..], key, cut as u64);
            unmask(&mut whole, key, 0);
            prop_assert_eq!(parts, whole);
        }
    }
}
