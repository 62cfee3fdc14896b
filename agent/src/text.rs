//! What all rooms do to texts.

/// Length of the longest beginning of at most `max` bytes that ends between characters.
pub(crate) fn floor(text: &str, max: usize) -> usize {
    let end = max.min(text.len());
    // A character is at most four bytes long.
    (end.saturating_sub(3)..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Two hexadecimal digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0');
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        out.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    out
}

/// The bytes that percent-encoding stands for (RFC 3986, section 2.1); what is no escape stands for itself.
pub(crate) fn percent_decoded(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_between_characters() {
        let cases =
            [("abc", 5, 3), ("abc", 2, 2), ("aé", 2, 1), ("é", 1, 0), ("", 0, 0), ("a\u{1f600}", 4, 1)];
        for (text, max, wanted) in cases {
            assert_eq!(floor(text, max), wanted, "{text} {max}");
        }
    }

    #[test]
    fn bytes_are_written_as_digits() {
        assert_eq!(hex(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(hex(&[]), "");
    }

    #[test]
    fn escapes_are_undone_and_nothing_else_is() {
        for (text, wanted) in
            [("a%3Ab%2fc", "a:b/c"), ("100%", "100%"), ("%4", "%4"), ("%zz", "%zz"), ("%+f", "%+f")]
        {
            assert_eq!(percent_decoded(text), wanted.as_bytes(), "{text}");
        }
        assert_eq!(percent_decoded("%ff"), [0xff]);
    }
}
