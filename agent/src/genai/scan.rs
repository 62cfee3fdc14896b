//! Where JSON values end (RFC 8259), by looking at each byte once, and at strings many bytes at a time.

/// Is told of what a scan passes.
pub(super) trait Marks {
    /// An array or object begins here.
    fn open(&mut self, start: usize);
    /// The innermost that is open ends before this.
    fn close(&mut self, end: usize);
    /// A string, with its quotes.
    fn string(&mut self, start: usize, end: usize);
}

/// Nobody wants to know.
impl Marks for () {
    fn open(&mut self, _: usize) {}
    fn close(&mut self, _: usize) {}
    fn string(&mut self, _: usize, _: usize) {}
}

/// Where the value ends that begins at `at`; `None` if none does. However deep it is: nothing here recurses.
pub(super) fn value(text: &[u8], mut at: usize, marks: &mut impl Marks) -> Option<usize> {
    let from = at;
    let mut around = Nesting::default();
    loop {
        at = match *text.get(at)? {
            b'"' => {
                let end = string(text, at)?;
                marks.string(at, end);
                end
            }
            bracket @ (b'{' | b'[') => {
                marks.open(at);
                let object = bracket == b'{';
                at = space(text, at + 1);
                if text.get(at) == Some(&closing(object)) {
                    marks.close(at + 1);
                    at + 1
                } else {
                    around.enter(object);
                    at = if object { name(text, at)?.1 } else { at };
                    continue;
                }
            }
            b'-' | b'0'..=b'9' => number(text, at)?,
            b't' => literal(text, at, b"true")?,
            b'f' => literal(text, at, b"false")?,
            b'n' => literal(text, at, b"null")?,
            _ => return None,
        };
        // With a value may end what it stands in, and what that stands in.
        loop {
            let Some(object) = around.innermost() else {
                visited(at - from);
                return Some(at);
            };
            at = space(text, at);
            match *text.get(at)? {
                b',' => {
                    at = space(text, at + 1);
                    at = if object { name(text, at)?.1 } else { at };
                    break;
                }
                bracket if bracket == closing(object) => {
                    at += 1;
                    marks.close(at);
                    around.leave();
                }
                _ => return None,
            }
        }
    }
}

fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// Where a member's name ends that begins at `at`, with its quotes, and where the member's value begins.
pub(super) fn name(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let end = string(text, at)?;
    let colon = space(text, end);
    (text.get(colon) == Some(&b':')).then(|| (end, space(text, colon + 1)))
}

/// Behind white space.
pub(super) fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

fn literal(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(word).then_some(at + word.len())
}

fn number(text: &[u8], at: usize) -> Option<usize> {
    let first = at + usize::from(text.get(at) == Some(&b'-'));
    let mut at = if text.get(first) == Some(&b'0') { first + 1 } else { digits(text, first)? };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        at = digits(text, at + usize::from(matches!(text.get(at), Some(b'+' | b'-'))))?;
    }
    Some(at)
}

/// Behind digits, of which there must be one.
fn digits(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    (at > start).then_some(at)
}

/// Where the string ends whose opening quote is at `at`. Whether its escapes make characters is not asked: a surrogate may
/// stand alone.
fn string(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += plain(text.get(at..)?);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += escape(text.get(at + 1..)?)?,
            _ => return None,
        }
    }
}

/// Length of the escape whose backslash stands before this.
fn escape(behind: &[u8]) -> Option<usize> {
    match behind.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => behind.get(1..5)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// How many bytes come before the first that does not stand for itself in a string: a word at a time, and more in strings that turn out to
/// be long.
fn plain(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    let mut at = 0;
    for word in words.iter().take(LONG / 8) {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    if at < LONG { at + singly(rest) } else { at + plain_blocks(text.get(at..).unwrap_or_default()) }
}

/// Bytes without anything special behind which a string is believed to be long, and that are then looked at at once.
const LONG: usize = 64;

fn plain_blocks(text: &[u8]) -> usize {
    let (blocks, _) = text.as_chunks::<LONG>();
    let mut at = LONG * blocks.iter().take_while(|block| is_plain(block)).count();
    let (words, rest) = text.get(at..).unwrap_or_default().as_chunks::<8>();
    for word in words {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + singly(rest)
}

/// The compiler makes vector instructions of this.
fn is_plain(block: &[u8; LONG]) -> bool {
    let special = |byte: u8| u8::from(byte < b' ') | u8::from(byte == b'"') | u8::from(byte == b'\\');
    block.iter().fold(0, |found, byte| found | special(*byte)) == 0
}

/// The lowest bit that is set stands in the first special byte, if there is one. (A borrow goes up only.)
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let quote = below(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
    (below(word, b' ') | quote | backslash) & (ONES << 7)
}

fn singly(text: &[u8]) -> usize {
    text.iter().take_while(|byte| !matches!(byte, 0..b' ' | b'"' | b'\\')).count()
}

/// What is open, as bits: 1 an object, 0 an array.
struct Nesting {
    /// The innermost, of which the last is the lowest bit; above the first stands a 1.
    inner: u64,
    /// Those around them, 63 each.
    outer: Vec<u64>,
}

impl Default for Nesting {
    fn default() -> Self {
        Self { inner: 1, outer: Vec::new() }
    }
}

impl Nesting {
    fn enter(&mut self, object: bool) {
        if self.inner >> 63 == 1 {
            self.outer.push(self.inner);
            self.inner = 1;
        }
        self.inner = self.inner << 1 | u64::from(object);
    }

    /// Is the innermost an object? `None` if nothing is open.
    fn innermost(&self) -> Option<bool> {
        (self.inner > 1).then_some(self.inner & 1 == 1)
    }

    fn leave(&mut self) {
        self.inner >>= 1;
        if self.inner == 1
            && let Some(outer) = self.outer.pop()
        {
            self.inner = outer;
        }
    }
}

#[cfg(not(test))]
fn visited(_: usize) {}

#[cfg(test)]
fn visited(bytes: usize) {
    tests::VISITED.set(tests::VISITED.get() + bytes);
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    thread_local! {
        /// Bytes of all values that were scanned.
        pub(in crate::genai) static VISITED: Cell<usize> = const { Cell::new(0) };
    }

    fn is_json(text: &[u8]) -> bool {
        value(text, space(text, 0), &mut ()).is_some_and(|end| space(text, end) == text.len())
    }

    /// The text of a string; every other one is long.
    fn string() -> impl Strategy<Value = String> {
        let one = r#"[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}"#;
        let long = prop_oneof![0..9usize, 60..99usize];
        long.prop_flat_map(move |len| prop::collection::vec(one, len))
            .prop_map(|all| format!("\"{}\"", all.concat()))
    }

    /// The text of a value, with white space where it may be, and names that occur twice.
    pub(in crate::genai) fn json() -> impl Strategy<Value = String> {
        let number = r"-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?";
        let leaf = prop_oneof!["null|true|false", number, string()];
        leaf.prop_recursive(5, 64, 6, |inner| {
            let spaced = |inner: BoxedStrategy<String>| {
                let space = "[ \n\r\t]{0,2}";
                (space, inner, space).prop_map(|(before, inner, behind)| before + &inner + &behind)
            };
            let name = prop_oneof!["\"[ab]\"", string()].boxed();
            let member = (spaced(name), spaced(inner.clone().boxed()))
                .prop_map(|(name, value)| [name, value].join(":"));
            prop_oneof![
                prop::collection::vec(spaced(inner.boxed()), 0..6)
                    .prop_map(|list| format!("[{}]", list.join(","))),
                prop::collection::vec(member, 0..6).prop_map(|list| format!("{{{}}}", list.join(","))),
            ]
        })
    }

    fn agrees(text: &[u8]) -> Result<(), TestCaseError> {
        let expected = serde_json::from_slice::<IgnoredAny>(text).is_ok();
        prop_assert_eq!(is_json(text), expected, "{}", String::from_utf8_lossy(text));
        Ok(())
    }

    #[test]
    fn values() {
        let yes = [
            "0",
            "-0",
            "1.5e+3",
            "-12E-1",
            "0e0",
            " true\n",
            "false",
            "null",
            r#""""#,
            "[]",
            "{}",
            "[ ]",
            "{ }",
            r#"[1,[2,{"a":[]}],"]"]"#,
            r#"{"a":{"b":[{}]},"}":0}"#,
            r#""\u12aF\ud800\"\\\/\b\f\n\r\t""#,
            "\"\u{7f}é😀\"",
            "{\"a\" : 1 , \"a\":\t2}",
        ];
        let no = [
            "",
            " ",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "nul",
            "truee",
            "True",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            "]",
            "[}",
            "{]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\":1 \"b\":2}",
            "\"",
            "\"\\\"",
            r#""\x""#,
            r#""\u12g4""#,
            r#""\u123"#,
            "\"\n\"",
            "\"\u{0}\"",
            "1 2",
            "{} []",
            "\u{feff}1",
            "\u{a0}1",
            "\u{c}1",
            "'a'",
        ];
        for (list, expected) in [(&yes[..], true), (&no[..], false)] {
            for text in list {
                assert_eq!(is_json(text.as_bytes()), expected, "{text}");
                agrees(text.as_bytes()).unwrap();
            }
        }
    }

    #[test]
    fn depth_is_no_matter() {
        for depth in [62, 63, 64, 126, 127, 1_000_000] {
            let nested =
                |open: &str, close: &str| [open.repeat(depth), "1".to_owned(), close.repeat(depth)].concat();
            for (text, expected) in [
                (nested("[", "]"), true),
                (nested("{\"\":", "}"), true),
                (nested("[{\"\":", "}]"), true),
                (nested("[{\"\":", "]}"), false),
                (nested("[", "]") + "]", false),
                (nested("{\"\":", "}") + "}", false),
            ] {
                assert_eq!(is_json(text.as_bytes()), expected, "{depth} {}", &text[..9]);
            }
        }
    }

    /// Every special byte at every place of strings of every length, and no other.
    #[test]
    fn what_is_special_is_found_wherever_it_stands() {
        for len in 0..200 {
            let mut text = vec![b'x'; len];
            assert_eq!(plain(&text), len);
            for at in 0..len {
                for byte in [0, 0x1f, b'"', b'\\'] {
                    text[at] = byte;
                    assert_eq!(plain(&text), at);
                }
                for byte in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    text[at] = byte;
                    assert_eq!(plain(&text), len);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_serde_reads_is_json(text in json(), at in any::<prop::sample::Index>(), with in any::<Option<u8>>()) {
            agrees(text.as_bytes())?;
            // And with one byte changed, or without it.
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            match with {
                Some(with) => bytes[at] = with,
                None => drop(bytes.remove(at)),
            }
            agrees(&bytes)?;
            agrees(&bytes[..at])?;
        }

        #[test]
        fn what_serde_refuses_is_none(text in r#"([\[\]{}:,"]|\\u?[0-9a-f]{0,4}|-?[0-9]{1,3}|[.eE+]|true|null|[ \n]|.){0,20}"#, bytes in prop::collection::vec(any::<u8>(), 0..9)) {
            agrees(text.as_bytes())?;
            agrees(&bytes)?;
        }
    }
}
