//! What is looked at of a part of a prompt: which short sequences of tokens are in it, and how it begins.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::tokens::{Kind, Token, Tokens};
use crate::text::floor;

/// Tokens at the beginning of a text by which two beginnings are compared, and at its end.
const OPENING: usize = 96;
const CLOSING: usize = 48;
/// Tokens after which it is looked whether two texts become the same again.
const GAP: usize = 64;
/// Tokens of a value in the midst of a sentence.
const VALUE: usize = 8;
/// Tokens of a text that was retrieved for a prompt.
const TEXT: usize = 48;
/// Features at the beginning of a text by which another one like it is found.
const FIRST: usize = 6;
/// Tokens that are looked at from the beginning of a message: templates put what they fill in after what they say.
const HEAD: usize = 256;
/// Bytes, and tokens in them, that are looked at before its end, which is where they go on.
const TAIL_BYTES: usize = 2048;
const TAIL: usize = 128;
/// Tokens that are looked at of system instructions.
const SYSTEM: usize = 1 << 16;
/// Features that are kept of them.
const SYSTEM_FEATURES: usize = 512;

/// A token as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Met {
    hash: u32,
    kind: Kind,
    /// What is filled in often follows such a mark.
    opens: bool,
    /// A sentence ends with it.
    ends: bool,
}

impl Met {
    fn of(token: Token<'_>) -> Self {
        let mark = token.text.chars().next().filter(|_| token.kind == Kind::Mark);
        let opens = matches!(
            mark,
            Some(':' | '"' | '`' | '>' | '(' | '[' | '{' | '#' | '=' | '“' | '«' | '：' | '「')
        );
        let ends = token.kind == Kind::Line || matches!(mark, Some('.' | '!' | '?' | '。' | '！' | '？'));
        Self { hash: token.hash(), kind: token.kind, opens, ends }
    }
}

/// What is known of a text. Its features are hashes of three tokens in a row; of many the smallest are kept (a bottom-k `MinHash`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// In ascending order, each once.
    features: Vec<u32>,
    /// Up to this hash all features are kept.
    limit: u32,
    /// How it begins.
    opening: Vec<Met>,
    /// How it ends, from its last token on.
    closing: Vec<Met>,
    /// The features that come first.
    first: Vec<u32>,
}

/// How much two sections have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Likeness {
    /// Features that both have.
    pub(super) shared: usize,
    /// Features of each of them, of those that can be compared.
    pub(super) of: (usize, usize),
}

impl Likeness {
    /// Neither has anything that the other one has not.
    pub(super) fn is_same(&self) -> bool {
        self.shared == self.of.0.max(self.of.1)
    }

    /// The part of the first one that the second has, too.
    pub(super) fn part(&self) -> f64 {
        self.shared as f64 / self.of.0.max(1) as f64
    }
}

impl Section {
    /// Of the texts of a message: its beginning and its end.
    pub(super) fn of_message(texts: &[&str]) -> Self {
        let mut head: Vec<Met> = mets(texts).take(HEAD + 1).collect();
        if head.len() <= HEAD {
            return Self::new(&head, None, HEAD);
        }
        head.truncate(HEAD);
        let last = texts.last().copied().unwrap_or_default();
        let end = &last[floor(last, last.len().saturating_sub(TAIL_BYTES))..];
        // Its first word may be half of one.
        let tail: Vec<Met> = Tokens::new(end).skip(1).map(Met::of).collect();
        Self::new(&head, Some(&tail[tail.len().saturating_sub(TAIL)..]), HEAD + TAIL)
    }

    /// Of system instructions: a sample of all of them.
    pub(super) fn of_system(texts: &[&str]) -> Self {
        let all: Vec<Met> = mets(texts).take(SYSTEM).collect();
        Self::new(&all, None, SYSTEM_FEATURES)
    }

    fn new(head: &[Met], tail: Option<&[Met]>, most: usize) -> Self {
        // The ends of a text are tokens, too.
        let ends = |known: bool| known.then_some(0);
        let hashes = |mets: &[Met], begins, over| -> Vec<u32> {
            let tokens = mets.iter().map(|met| met.hash);
            ends(begins).into_iter().chain(tokens).chain(ends(over)).collect()
        };
        let mut features = Vec::with_capacity(head.len() + tail.map_or(0, <[Met]>::len));
        if !head.is_empty() {
            features.extend(hashes(head, true, tail.is_none()).windows(3).map(feature));
        }
        let first = features[..features.len().min(FIRST)].to_vec();
        if let Some(tail) = tail {
            features.extend(hashes(tail, false, true).windows(3).map(feature));
        }
        features.sort_unstable();
        features.dedup();
        let limit = if features.len() > most { features[most - 1] } else { u32::MAX };
        features.truncate(most);
        features.shrink_to_fit();
        let opening = head.iter().take(OPENING).copied().collect();
        let closing = tail.unwrap_or(head).iter().rev().take(CLOSING).copied().collect();
        Self { features, limit, opening, closing, first }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// The features, smallest first.
    pub(super) fn features(&self) -> &[u32] {
        &self.features
    }

    /// Those that come first in the text.
    pub(super) fn first(&self) -> &[u32] {
        &self.first
    }

    /// How many tokens of its beginning and of its end name it: up to whole sentences and to what announces something, for what is next
    /// to a value may be the same by chance.
    pub(super) fn named_by(&self) -> (usize, usize) {
        let whole = |mets: &[Met]| mets.iter().rposition(|met| met.opens || met.ends);
        let begins = whole(&self.opening).map_or(self.opening.len(), |last| last + 1);
        (begins, whole(&self.closing).unwrap_or_default())
    }

    /// How much this has in common with another one.
    pub(super) fn likeness(&self, other: &Self) -> Likeness {
        let limit = self.limit.min(other.limit);
        let below = |of: &Self| of.features.partition_point(|feature| *feature <= limit);
        let of = (below(self), below(other));
        Likeness { shared: common(&self.features[..of.0], &other.features[..of.1]).count(), of }
    }

    /// Leaves only what the other one has, too.
    pub(super) fn narrow(&mut self, other: &Self) {
        self.limit = self.limit.min(other.limit);
        let limit = self.limit;
        self.features = common(&self.features, &other.features).filter(|feature| *feature <= limit).collect();
        self.opening.truncate(prefix(&self.opening, &other.opening));
        self.closing.truncate(prefix(&self.closing, &other.closing));
    }

    /// Does the other one begin as this does?
    pub(super) fn begins(&self, other: &Self) -> bool {
        prefix(&self.opening, &other.opening) == self.opening.len()
    }

    /// Do the two look as if they were made from one template that says so many words before, and around, what is filled in?
    pub(super) fn pairs_with(&self, other: &Self, likeness: &Likeness, asks: Asks) -> bool {
        let Some(way) = along(&self.opening, &other.opening, asks) else { return false };
        let words = asks.words;
        // Behind what was compared they may be different matters.
        let goes_on = self.opening.len().max(other.opening.len()) == OPENING;
        let most = 0.6 * likeness.of.0.min(likeness.of.1) as f64;
        if goes_on && !way.announced && (likeness.shared as f64) < most {
            return false;
        }
        if way.words >= words && (way.announced || way.words >= 2 * words) {
            return true;
        }
        // What is filled in comes first, and what is to be done with it last.
        let end = &self.closing[..prefix(&self.closing, &other.closing)];
        way.announced
            && end.len() >= 8
            && end.iter().rev().take(2).any(|met| met.opens || met.kind == Kind::Line)
    }
}

/// The tokens of texts, each on lines of its own.
fn mets(texts: &[&str]) -> impl Iterator<Item = Met> {
    let line = Met::of(Token { kind: Kind::Line, text: "" });
    texts.iter().enumerate().flat_map(move |(at, text)| {
        let between = (at > 0).then_some(line);
        between.into_iter().chain(Tokens::new(text).map(Met::of))
    })
}

fn feature(tokens: &[u32]) -> u32 {
    let mut hasher = DefaultHasher::new();
    tokens.hash(&mut hasher);
    hasher.finish() as u32
}

/// How many tokens both begin with.
fn prefix(a: &[Met], b: &[Met]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a.hash == b.hash).count()
}

/// What is asked of two texts of one template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks {
    /// So many words of the template.
    pub(super) words: usize,
    /// That what is announced is a short value or a long text, not a sentence of another template.
    pub(super) no_sentences: bool,
}

/// What two texts say alike.
struct Way {
    words: usize,
    /// A mark stands before some of what differs that announces something.
    announced: bool,
}

/// Goes along two texts; none if they differ in more than values. Templates that differ have sentences of their own: a value is in the midst
/// of a sentence, or is announced.
fn along(a: &[Met], b: &[Met], asks: Asks) -> Option<Way> {
    let (mut i, mut j) = (0, 0);
    let mut way = Way { words: 0, announced: false };
    loop {
        let same = prefix(&a[i..], &b[j..]);
        way.words += a[i..i + same].iter().filter(|met| met.kind == Kind::Word).count();
        (i, j) = (i + same, j + same);
        if i == a.len() && j == b.len() {
            return Some(way);
        }
        let met_again = meet_again(&a[i..], &b[j..]);
        let (to_i, to_j) = met_again.map_or((a.len(), b.len()), |(to_i, to_j)| (i + to_i, j + to_j));
        let gaps = [&a[i..to_i], &b[j..to_j]];
        let are_values =
            gaps.iter().all(|gap| gap.len() <= VALUE && !gap.iter().any(|met| met.ends || met.opens));
        // What was learnt ends where something is filled in, and of long texts the end is not among what is compared.
        let is_text = |gap: &[Met], all: usize| {
            gap.is_empty() || gap.len() >= TEXT || met_again.is_none() && all == OPENING
        };
        let are_texts = is_text(gaps[0], a.len()) && is_text(gaps[1], b.len());
        let announced = a[..i].iter().rev().take(3).any(|met| met.opens)
            && (!asks.no_sentences || are_values || are_texts);
        way.announced |= announced;
        let is_sentence = i == 0 || a[i - 1].ends;
        if !announced && (met_again.is_none() || is_sentence || !are_values) {
            return None;
        }
        if met_again.is_none() {
            return Some(way);
        }
        (i, j) = (to_i, to_j);
    }
}

/// Where two ways to go on become the same again, the soonest: for three tokens, or for a mark that announces something.
fn meet_again(a: &[Met], b: &[Met]) -> Option<(usize, usize)> {
    let meet = |(i, j): &(usize, usize)| {
        let same = prefix(&a[*i..], &b[*j..]);
        same >= 3 || same > 0 && a[*i].opens
    };
    (1..=2 * GAP).find_map(|sum| {
        let from = sum.saturating_sub(GAP.min(b.len()));
        (from..=sum.min(GAP).min(a.len())).map(|i| (i, sum - i)).find(meet)
    })
}

/// Members of both of two ascending lists.
fn common<'a>(a: &'a [u32], b: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    let mut b = b.iter().copied().peekable();
    a.iter().copied().filter(move |feature| {
        while b.next_if(|other| other < feature).is_some() {}
        b.peek() == Some(feature)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_two_texts_have_in_common() {
        let section = |text: &str| Section::of_message(&[text]);
        let asks = Asks { words: 3, no_sentences: false };
        let rows = [
            // What follows an announcement.
            ("Translate to French: good day", "Translate to French: hello", true),
            ("Translate to French", "Translate to German", false),
            ("", "a", false),
            // Something else in the midst of a sentence.
            (
                "Hello dear Alice, thank you for your order.",
                "Hello dear Grace Hopper, thank you for your order.",
                true,
            ),
            (
                "Hello dear Alice, thank you for your order.",
                "Hello dear Grace Hopper, I have lost my order.",
                false,
            ),
            // Another sentence in the midst of others.
            (
                "Be kind to all. Sum this up. Do not make up any facts.",
                "Be kind to all. Translate it. Do not make up any facts.",
                false,
            ),
        ];
        for (one, other, pair) in rows {
            let (one, other) = (section(one), section(other));
            assert_eq!(one.pairs_with(&other, &one.likeness(&other), asks), pair, "{one:?}");
        }
        let same = section("a b c d e");
        let likeness = same.likeness(&same);
        assert!(likeness.shared == likeness.of.0 && likeness.shared == likeness.of.1 && likeness.shared == 5);
    }

    #[test]
    fn long_messages_are_known_by_their_beginning_and_their_end() {
        let of = |middle: &str| {
            let text = format!("Sum this up: {} and be brief about it, please.", middle.repeat(5000));
            Section::of_message(&[&text])
        };
        let (one, other) = (of("one thing "), of("quite another matter "));
        let likeness = one.likeness(&other);
        assert!(likeness.shared >= 10 && one.features().len() <= HEAD + TAIL, "{likeness:?}");
    }

    #[test]
    fn what_is_left_is_what_both_have() {
        let text = |n: usize| (0..n).map(|n| "x".repeat(1 + n % 997)).collect::<Vec<_>>().join(" ");
        let (mut one, other) = (Section::of_system(&[&text(900)]), Section::of_system(&[&text(700)]));
        assert_eq!((one.features().len(), other.features().len()), (SYSTEM_FEATURES, SYSTEM_FEATURES));
        one.narrow(&other);
        let likeness = one.likeness(&other);
        assert!(likeness.shared == one.features().len() && likeness.shared >= 100, "{likeness:?}");
    }

    proptest! {
        #[test]
        fn sections_are_bounded_and_like_themselves(texts in proptest::collection::vec("(?s).{0,300}", 0..8)) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for section in [Section::of_message(&texts), Section::of_system(&texts)] {
                prop_assert!(section.features().len() <= SYSTEM_FEATURES);
                prop_assert!(section.features().is_sorted_by(|a, b| a < b));
                let likeness = section.likeness(&section);
                prop_assert_eq!(likeness.of, (likeness.shared, likeness.shared));
            }
        }
    }
}
