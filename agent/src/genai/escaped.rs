//! JSON strings that are read without being copied: what is sent along in them may be an image of megabytes.

/// What stands between the quotes of a JSON string, which is known to be one (RFC 8259, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::genai) struct Escaped<'a>(pub(super) &'a str);

impl Escaped<'_> {
    /// Nothing.
    pub(in crate::genai) const EMPTY: Self = Self("");

    /// Calls `f` with the text piece by piece: all that stands without escapes at once, and what each of them means.
    pub(in crate::genai) fn pieces(self, mut f: impl FnMut(&str)) {
        let mut rest = self.0;
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            let (plain, escape) = rest.split_at(at);
            if !plain.is_empty() {
                f(plain);
            }
            let (letter, len) = unescape(escape);
            f(letter.encode_utf8(&mut [0; 4]));
            rest = escape.get(len..).unwrap_or_default();
        }
        if !rest.is_empty() {
            f(rest);
        }
    }

    /// What comes behind this, if the string begins with it; neither has anything that must be escaped.
    pub(in crate::genai) fn strip_prefix(self, prefix: &str) -> Option<Self> {
        self.0.strip_prefix(prefix).map(Self)
    }

    /// What stands before and behind the first of this letter, which is none that an escape is made of.
    pub(in crate::genai) fn split_once(self, letter: char) -> Option<(Self, Self)> {
        self.0.split_once(letter).map(|(before, after)| (Self(before), Self(after)))
    }

    /// The text.
    pub(in crate::genai) fn text(self) -> String {
        let mut text = String::with_capacity(self.0.len());
        self.pieces(|piece| text.push_str(piece));
        text
    }
}

/// The character that an escape stands for, and the length of the escape. A surrogate that stands alone is replaced.
fn unescape(escape: &str) -> (char, usize) {
    let letter = match escape.as_bytes().get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(escape),
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (letter, 2)
}

fn unicode(escape: &str) -> (char, usize) {
    let unit = |at: usize| u32::from_str_radix(escape.get(at + 2..at + 6)?, 16).ok();
    let first = unit(0).unwrap_or(0xfffd);
    if (0xd800..0xdc00).contains(&first)
        && escape.get(6..8) == Some("\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(6)
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes() {
        let cases = [
            ("", ""),
            ("plain", "plain"),
            (r"a\/b", "a/b"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u00e9\u002B", "é+"),
            (r"\ud83d\ude00", "😀"),
            (r"x\ud83dy\ude00", "x\u{fffd}y\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
        ];
        for (written, text) in cases {
            assert_eq!(Escaped(written).text(), text, "{written}");
        }
    }

    #[test]
    fn what_is_plain_is_not_taken_apart() {
        let mut pieces = Vec::new();
        Escaped(r"YWJj\/YWJj").pieces(|piece| pieces.push(piece.to_owned()));
        assert_eq!(pieces, ["YWJj", "/", "YWJj"]);
    }

    #[test]
    fn parts() {
        let (head, data) = Escaped(r"data:image\/png;base64,AA,AA")
            .strip_prefix("data:")
            .and_then(|rest| rest.split_once(','))
            .unwrap();
        assert_eq!((head.text(), data.text()), ("image/png;base64".to_owned(), "AA,AA".to_owned()));
    }

    proptest! {
        #[test]
        fn strings_read_as_serde_reads_them(text in ".*") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(Escaped(&json[1..json.len() - 1]).text(), text);
        }

        /// Never panics, whatever stands there.
        #[test]
        fn what_is_no_json_does_no_harm(text in r"(\\u?[0-9a-zA-Zé]{0,5}|.){0,20}") {
            Escaped(&text).text();
        }
    }
}
