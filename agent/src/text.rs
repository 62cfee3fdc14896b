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

/// One entry of `OTEL_RESOURCE_ATTRIBUTES`: a key, and a value that is percent-encoded where it must be. None if it is no `key=value`.
pub(crate) fn attribute(entry: &str) -> Option<(String, String)> {
    let (key, value) = entry.split_once('=')?;
    let value = percent_decoded(value.trim());
    Some((key.trim().to_owned(), String::from_utf8_lossy(&value).into_owned()))
}

/// The name that was probably meant: `_` for `-`, or a slip or three.
pub(crate) fn nearest<'a>(word: &str, known: &mut dyn Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.replace('_', "-").to_ascii_lowercase();
    let near = known.map(|name| (distance(&word, name), name)).min()?;
    (near.0 <= 1 + word.len() / 4).then_some(near.1)
}

/// How many letters must be put in, taken out or changed (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    // Names are short; nobody means one by a page of text.
    if from.len() > 64 {
        return usize::MAX;
    }
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.chars().enumerate() {
        let mut corner = row[0];
        row[0] = at + 1;
        for (column, other) in to.iter().enumerate() {
            let change = corner + usize::from(letter != *other);
            corner = row[column + 1];
            row[column + 1] = change.min(corner + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
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

    #[test]
    fn slips_are_forgiven_and_other_words_are_not() {
        let nearest = |word| nearest(word, &mut ["finish_reason", "ring-size"].into_iter());
        for (word, meant) in [
            ("finish_reasn", Some("finish_reason")),
            ("ring_size", Some("ring-size")),
            ("Ring-Sise", Some("ring-size")),
            ("temperature", None),
            ("", None),
        ] {
            assert_eq!(nearest(word), meant, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(1000)), None);
    }

    #[test]
    fn distances() {
        for (from, to, expected) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "abd", 1), ("ab", "abc", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
