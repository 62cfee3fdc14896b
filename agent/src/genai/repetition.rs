//! Loops in what a model writes: the same fragment over and over.
//!
//! One pass, a fixed piece of memory, constant work a byte. A fragment's length is guessed from where the last
//! eight bytes stood before, and believed for as long as each byte is that of one fragment earlier.

use super::call::{Call, Content, Part, Repetition};

/// Longest fragment that is found, in bytes; a power of two.
const LONGEST: usize = 1024;

/// Places at which groups of eight bytes were seen last; a power of two.
const SLOTS: usize = 2048;

/// At the end of a text, where nothing else has come since: it takes so many bytes, and so many repetitions.
/// Rulers, padding and the rows of tables are shorter, or something follows them.
const AT_END: (u64, u64) = (256, 8);

/// In the midst of a text. Somebody may have wanted an array of zeros, and the model found its end.
const AMID: (u64, u64) = (4096, 16);

/// Looks for a loop in one text.
struct Detector {
    /// The latest bytes.
    ring: [u8; LONGEST],
    /// Where a group of eight bytes ended last, by its hash. What stands here is only a guess.
    slots: [u32; SLOTS],
    group: u64,
    len: u64,
    /// Length of the fragment that may be repeating; 0 for none.
    period: usize,
    /// Bytes that were those of a fragment earlier.
    run: u64,
    found: Option<Repetition>,
}

impl Detector {
    fn new() -> Self {
        Self { ring: [0; LONGEST], slots: [0; SLOTS], group: 0, len: 0, period: 0, run: 0, found: None }
    }

    /// The text goes on.
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        let at = self.len as usize % LONGEST;
        if self.period > 0 {
            if self.ring[at.wrapping_sub(self.period) % LONGEST] == byte {
                self.run += 1;
            } else {
                self.settle(AMID);
                self.period = 0;
            }
        }
        self.ring[at] = byte;
        self.group = self.group << 8 | u64::from(byte);
        self.len += 1;
        if self.period == 0 {
            // The multiplier is 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, section 6.4).
            let hash = self.group.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.ilog2());
            let now = self.len as u32;
            let before = std::mem::replace(&mut self.slots[hash as usize % SLOTS], now);
            let distance = now.wrapping_sub(before) as usize;
            if distance <= LONGEST && self.len > distance as u64 {
                (self.period, self.run) = (distance, 0);
            }
        }
    }

    /// The run is over: was it a loop?
    fn settle(&mut self, (bytes, times): (u64, u64)) {
        let period = self.period as u64;
        let total = self.run + period;
        let longest = self.found.is_none_or(|found| total > found.period * found.count);
        if period > 0 && total >= bytes && total >= period * times && longest {
            self.found = Some(Repetition { period, count: total / period });
        }
    }

    fn finish(mut self) -> Option<Repetition> {
        self.settle(AT_END);
        self.found
    }
}

/// The longest loop in what was answered.
pub(super) fn of_answer(call: &Call) -> Option<Repetition> {
    let parts = call.response.generations.iter().flat_map(|generation| &generation.message.parts);
    parts.filter_map(written).filter_map(of_text).max_by_key(|found| found.period * found.count)
}

/// What the model wrote itself.
fn written(part: &Part) -> Option<&Content> {
    match part {
        Part::Text(text) | Part::Reasoning(text) | Part::Refusal(text) => Some(text),
        Part::ToolCall { arguments, .. } | Part::ServerToolCall { arguments, .. } => Some(arguments),
        _ => None,
    }
}

fn of_text(content: &Content) -> Option<Repetition> {
    if (content.text.len() as u64) < AT_END.0 {
        return None;
    }
    let mut detector = Detector::new();
    detector.push(content.text.as_bytes());
    detector.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::genai::call::Generation;

    fn find(text: &str) -> Option<Repetition> {
        of_text(&text.into())
    }

    fn random(n: u64) -> u64 {
        n.wrapping_mul(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
    }

    fn lines(count: u64, line: fn(u64) -> String) -> String {
        (0..count).map(line).collect()
    }

    #[test]
    fn loops() {
        let sentence = "I should check the file again. Let me look at it once more, to be sure.\n";
        // Parts of it repeat within the fragment.
        let nested = "the cat, the cat and the dog, the dog and the cat sat; the cat, the cat ran. ";
        let long = lines(60, |n| format!("line {n}: {}\n", n * n));
        assert!((600..LONGEST).contains(&long.len()));
        let intro = "Sure! Here is what you asked for: ";
        for (fragment, times) in [
            ("a", 300),
            ("\n", 300),
            ("no ", 100),
            ("é", 200),
            ("哈", 100),
            (sentence, 12),
            (nested, 14),
            (long.as_str(), 12),
        ] {
            for text in [fragment.repeat(times), intro.to_owned() + &fragment.repeat(times)] {
                let found = find(&text).unwrap_or_else(|| panic!("{fragment:?}"));
                assert_eq!(found.period, fragment.len() as u64, "{fragment:?}");
                let times = times as u64;
                // What came before the guess is not counted.
                assert!(
                    found.count <= times && found.count + 3 + 16 / found.period >= times,
                    "{fragment:?} {found:?}"
                );
            }
            // Cut off in the middle of a fragment.
            let text = fragment.repeat(times)
                + fragment.chars().next().map(String::from).unwrap_or_default().as_str();
            assert!(find(&text).is_some(), "{fragment:?}");
            // The model found its way out, after so much.
            let text = fragment.repeat(5000 / fragment.len() + 20) + " That was a lot.";
            assert!(find(&text).is_some(), "{fragment:?}");
        }
    }

    /// What people and programs write.
    #[test]
    fn texts_that_only_look_alike() {
        let readme = include_str!("../../../docs/usage.md");
        let contract = include_str!("../../../docs/contract.md");
        let matrix = include_str!("../../../docs/capture-matrix.md");
        let code = include_str!("../contract/names.rs");
        let schema = include_str!("../../../contract/generated/gen_ai.client.inference.schema.json");
        let numbers = lines(4000, |n| format!("{}, ", random(n) % 1000));
        let digits = lines(4000, |n| format!("{}, ", random(n) % 10));
        let floats = lines(2000, |n| format!("{}, ", n as f64 / 7.0));
        let counted = lines(2000, |n| format!("Item {n}: done.\n"));
        let table = lines(300, |n| format!("| row | {n:>4} | yes | no |      |\n"));
        let zeros = format!("{{\"matrix\": [{}0]}}", "0, ".repeat(500));
        let ruler = format!("Title\n{}\n\ntext\n{}\n", "=".repeat(120), "-".repeat(200));
        let separator = format!("|{}\n| a | b |\n", "---|".repeat(40));
        let blank = format!("fn main() {{\n{}x();\n}}", " ".repeat(400));
        let hex = lines(256, |n| format!("0x{n:02x}, "));
        let verse = "Row, row, row your boat\nGently down the stream\n".repeat(4);
        for text in [
            readme, contract, matrix, code, schema, &numbers, &digits, &floats, &counted, &table, &zeros,
            &ruler, &separator, &blank, &hex, &verse,
        ] {
            assert_eq!(find(text), None, "{}", &text[..40]);
            // Cut off anywhere, as by a limit of tokens.
            for end in (0..text.len()).step_by(text.len() / 50 + 1).filter(|end| text.is_char_boundary(*end))
            {
                if [&zeros, &ruler, &blank].iter().all(|padded| padded.as_str() != text) {
                    assert_eq!(find(&text[..end]), None, "{} {end}", &text[..40]);
                }
            }
        }
    }

    #[test]
    fn every_text_of_the_answer_is_looked_at() {
        let text = || Content::from("again ".repeat(100));
        let answers = [
            (Part::Text(text()), true),
            (Part::Reasoning(text()), true),
            (Part::Refusal(text()), true),
            (Part::ToolCall { id: None, name: "f".into(), arguments: text() }, true),
            (Part::ToolCallResponse { id: None, response: text() }, false),
        ];
        for (part, looked_at) in answers {
            let mut call = Call::default();
            assert_eq!(of_answer(&call), None);
            call.response.generations = vec![Generation::default(), Generation::default()];
            call.response.generations[1].message.parts = vec![Part::Text("Well.".into()), part];
            assert_eq!(of_answer(&call).map(|found| found.period), looked_at.then_some(6));
        }
    }

    proptest! {
        #[test]
        fn loops_are_found_however_the_text_is_split(
            fragment in prop::collection::vec(any::<u8>(), 1..700),
            before in prop::collection::vec(any::<u8>(), 0..300),
            splits in prop::collection::vec(1..200usize, 1..20),
        ) {
            let times = 14 + 400 / fragment.len();
            let text = [before, fragment.repeat(times)].concat();
            let mut whole = Detector::new();
            whole.push(&text);
            let whole = whole.finish();
            prop_assert!(whole.is_some());
            prop_assert!(whole.unwrap().period <= fragment.len() as u64);

            let (mut detector, mut rest) = (Detector::new(), text.as_slice());
            for size in splits.iter().cycle() {
                let (piece, tail) = rest.split_at((*size).min(rest.len()));
                detector.push(piece);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(detector.finish(), whole);
        }

        /// What it says is so: the text ends in that many fragments of that length.
        #[test]
        fn nothing_is_found_that_is_not_there(letters in prop::collection::vec(0..3u8, 256..2000), tail in 0..2000usize) {
            let mut text = letters.clone();
            text.extend(letters.iter().cycle().take(tail));
            let mut detector = Detector::new();
            detector.push(&text);
            if let Some(found) = detector.finish() {
                let (period, total) = (found.period as usize, (found.period * found.count) as usize);
                prop_assert!(total <= text.len());
                // Too short to be one amid the text.
                let end = &text[text.len() - total..];
                prop_assert!(end[period..].iter().zip(end).all(|(byte, before)| byte == before));
            }
        }
    }
}
