//! Secrets and personal data taken out of texts.
//!
//! A [`Redactor`] has a list of [`Rule`]s. What one of them finds is replaced by `[redacted:NAME]` and counted under that name.
//! Texts are looked through in windows, so that the time is linear in their length whatever pattern a user brings, and a text that
//! came in pieces is looked at whole: a secret that was split over chunks or over adjacent parts is found like any other.

mod code;
mod json;
mod number;
mod rule;

use std::{borrow::Cow, ops::Range};

use self::rule::Pattern;
pub use self::rule::{Kind, PatternError, Rule};
use crate::text::floor;

/// Bytes that a pattern is run over at once.
const WINDOW: usize = 64 << 10;
/// Longest finding in bytes: as much of a window is looked at again with the next one.
const LONGEST: usize = 8 << 10;

/// Takes out what its rules find.
#[derive(Debug)]
pub struct Redactor {
    rules: Vec<Rule>,
}

/// How often each rule found something, in the order of [`Redactor::rules`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(Vec<u64>);

impl Counts {
    /// Findings of the rule at this place.
    pub fn of(&self, rule: usize) -> u64 {
        self.0.get(rule).copied().unwrap_or(0)
    }

    /// Findings of all rules.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn add(&mut self, rule: usize) {
        if self.0.len() <= rule {
            self.0.resize(rule + 1, 0);
        }
        self.0[rule] += 1;
    }
}

/// Bytes `range` are to be replaced, because of the rule at that place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    range: Range<usize>,
    rule: usize,
}

impl Redactor {
    /// With these rules; where two find the same bytes, the first one names them.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The text without what the rules find.
    pub fn text<'a>(&self, text: &'a str, counts: &mut Counts) -> Cow<'a, str> {
        let found = self.find(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        self.write(text, 0, &found, &mut out, counts);
        Cow::Owned(out)
    }

    /// The same for texts that follow each other and are one to their reader: a finding that goes over from one to the next is
    /// replaced in the first, and what the others have of it is removed.
    pub fn adjacent(&self, texts: &mut [&mut String], counts: &mut Counts) {
        if let [text] = texts {
            if let Cow::Owned(redacted) = self.text(text, counts) {
                **text = redacted;
            }
            return;
        }
        let joined: String = texts.iter().map(|text| text.as_str()).collect();
        let found = self.find(&joined);
        if found.is_empty() {
            return;
        }
        let mut start = 0;
        for text in texts {
            let end = start + text.len();
            let mut out = String::with_capacity(text.len());
            self.write(&joined[..end], start, &found, &mut out, counts);
            **text = out;
            start = end;
        }
    }

    /// The same for a JSON text, whose strings may be escaped.
    pub fn json<'a>(&self, text: &'a str, counts: &mut Counts) -> Cow<'a, str> {
        json::redacted(self, text, counts)
    }

    /// Writes `text[from..]`; findings that began before are left out without a word.
    fn write(&self, text: &str, from: usize, found: &[Found], out: &mut String, counts: &mut Counts) {
        let mut at = from;
        for Found { range, rule } in found.iter().filter(|found| found.range.end > from) {
            if range.start >= text.len() {
                break;
            }
            if range.start >= from {
                out.push_str(&text[at..range.start]);
                out.push_str("[redacted:");
                out.push_str(self.rules[*rule].name());
                out.push(']');
                counts.add(*rule);
            }
            at = range.end.min(text.len());
        }
        out.push_str(&text[at..]);
    }

    /// What all rules find, in order and without overlaps.
    fn find(&self, text: &str) -> Vec<Found> {
        let mut all = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            for pattern in rule.patterns() {
                ranges(pattern, text, |range| all.push(Found { range, rule: index }));
            }
        }
        all.sort_by_key(|found| (found.range.start, found.rule));
        let mut merged: Vec<Found> = Vec::with_capacity(all.len());
        for found in all {
            match merged.last_mut() {
                Some(last) if found.range.start < last.range.end => {
                    last.range.end = last.range.end.max(found.range.end);
                    last.rule = last.rule.min(found.rule);
                }
                _ => merged.push(found),
            }
        }
        merged
    }
}

/// Runs a pattern over a text, window by window.
fn ranges(pattern: &Pattern, text: &str, mut take: impl FnMut(Range<usize>)) {
    let mut at = 0_usize;
    loop {
        let end = floor(text, at.saturating_add(WINDOW));
        // What begins in the last part of a window may go on behind it: the next one shows it whole.
        let settled = if end == text.len() { end } else { end - LONGEST };
        while let Some(candidate) = pattern.candidate(&text[..end], at) {
            if candidate.whole.start > settled {
                break;
            }
            // A candidate that is no finding may hide one that begins later.
            let mut next = candidate.whole.start + 1;
            if let Some(range) = pattern.accept(text, candidate.secret) {
                next = range.end.max(candidate.whole.end);
                take(range);
            }
            at = ceil(text, next);
            if at > end {
                break;
            }
        }
        if end == text.len() {
            return;
        }
        at = floor(text, at.max(settled));
    }
}

/// The first boundary between characters at or after `at`.
fn ceil(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests;
