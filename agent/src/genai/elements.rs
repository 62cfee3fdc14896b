//! The elements of a JSON array, as they come.

use super::budget::{Budget, Gather};

/// Takes a body apart that is one array.
#[derive(Debug, Default)]
pub(super) struct Elements {
    place: Place,
    /// The element in progress.
    held: Gather,
    /// Brackets and braces that are open in it.
    depth: u64,
    /// Within a string.
    in_text: bool,
    /// Behind a backslash.
    escaped: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Nothing but white space has come.
    #[default]
    Before,
    Inside,
    /// Behind the array.
    Over,
}

/// What came of bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The elements that are complete now, and how many bytes were left out by a limit.
    Elements(Vec<Vec<u8>>, u64),
    /// The body is no array.
    NoArray,
}

impl Elements {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8], budget: &mut Budget) -> Found {
        if self.place == Place::Before {
            bytes = bytes.trim_ascii_start();
            match bytes.split_first() {
                None => {}
                Some((b'[', rest)) => (self.place, bytes) = (Place::Inside, rest),
                Some(_) => return Found::NoArray,
            }
        }
        let (mut elements, mut cut) = (Vec::new(), 0);
        while self.place == Place::Inside && !bytes.is_empty() {
            let end = bytes.iter().position(|byte| self.ends(*byte));
            cut += self.held.push(&bytes[..end.unwrap_or(bytes.len())], budget);
            let Some(end) = end else { break };
            if bytes[end] == b']' {
                self.place = Place::Over;
            }
            bytes = &bytes[end + 1..];
            elements.extend(self.held.take(budget).filter(|element| !element.trim_ascii().is_empty()));
        }
        Found::Elements(elements, cut)
    }

    /// Bytes are missing here: it isn't known any more where an element begins.
    pub(super) fn spoil(&mut self, budget: &mut Budget) {
        self.held.spoil(budget);
        self.place = Place::Over;
    }

    /// Is this byte the comma or the bracket behind an element (RFC 8259 section 5)?
    fn ends(&mut self, byte: u8) -> bool {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b',' | b']' if self.depth == 0 => return true,
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{Limits, budget::tests::budget},
        *,
    };

    fn read(pieces: &[&str], budget: &mut Budget) -> (Vec<String>, u64) {
        let (mut elements, mut all, mut cut) = (Elements::default(), Vec::new(), 0);
        for piece in pieces {
            if *piece == "<gap>" {
                elements.spoil(budget);
                continue;
            }
            match elements.push(piece.as_bytes(), budget) {
                Found::Elements(found, left_out) => {
                    all.extend(found.into_iter().map(|element| String::from_utf8(element).unwrap()));
                    cut += left_out;
                }
                Found::NoArray => all.push("no array".to_owned()),
            }
        }
        (all, cut)
    }

    #[test]
    fn arrays() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["[{\"a\":1},{\"b\":[2,3]}]"], &["{\"a\":1}", "{\"b\":[2,3]}"]),
            (&[" \n", "[", "{\"a\"", ":1}", ",\r\n", "{}", "]", "\n"], &["{\"a\":1}", "\r\n{}"]),
            (&["[\"],\\\"[\",1,null]"], &["\"],\\\"[\"", "1", "null"]),
            (&["[\"\\", "\"]\"]"], &["\"\\\"]\""]),
            // Broken off.
            (&["[{\"a\":1},{\"b\""], &["{\"a\":1}"]),
            (&["[]"], &[]),
            (&["[] [7]"], &[]),
            (&[""], &[]),
            (&["{\"error\":{}}"], &["no array"]),
            (&["[1,", "<gap>", "2,3]"], &["1"]),
            // No JSON, but no harm either.
            (&["[}},]]"], &["}}"]),
        ];
        for (pieces, expected) in cases {
            assert_eq!(read(pieces, &mut budget()).0, *expected, "{pieces:?}");
        }
    }

    #[test]
    fn an_element_over_the_limit_is_counted_and_ends_the_reading() {
        let limits = Limits { body: 4, ..Limits::default() };
        let mut budget = Budget::new(limits, std::sync::Arc::default());
        assert_eq!(read(&["[1,2345", "6,7]"], &mut budget), (vec!["1".to_owned()], 1));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_elements_that_serde_reads(
            list in prop::collection::vec(prop_oneof![".{0,9}".prop_map(|text| serde_json::json!({"a": [text, 1]})), Just(serde_json::json!([[], {}]))], 0..6),
            cuts in prop::collection::vec(0usize..60, 0..6),
        ) {
            let text = serde_json::to_vec(&list).unwrap();
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.sort_unstable();
            let (mut elements, mut all, mut from) = (Elements::default(), Vec::new(), 0);
            for to in cuts.into_iter().chain([text.len()]) {
                let Found::Elements(found, 0) = elements.push(&text[from..to], &mut budget()) else {
                    return Err(TestCaseError::fail("cut"));
                };
                all.extend(found.iter().map(|element| serde_json::from_slice::<serde_json::Value>(element).unwrap()));
                from = to;
            }
            prop_assert_eq!(all, list);
        }
    }
}
