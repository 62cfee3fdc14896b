//! A prompt as words and marks, with obvious values made alike.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters.
    Word,
    /// A sign that is neither letter nor space.
    Mark,
    /// What stands between spaces and is a value by its looks: it has a digit, is an address or a URL.
    Value,
    /// The end of lines.
    Line,
}

/// A word, a mark or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// As it stands there; empty of values and ends of lines, which are all alike.
    pub(super) text: &'a str,
}

impl Token<'_> {
    pub(super) fn hash(self) -> u32 {
        let mut hasher = DefaultHasher::new();
        (self.kind as u8, self.text).hash(&mut hasher);
        hasher.finish() as u32
    }
}

/// The tokens of a text, found as they are asked for.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    /// What is left of the characters between two spaces.
    run: &'a str,
    begun: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, run: "", begun: false }
    }

    /// The next token of what stands between spaces.
    fn piece(&mut self) -> Option<Token<'a>> {
        let first = self.run.chars().next()?;
        let is_word = |c: char| {
            c.is_ascii_alphabetic() || c == '_' || !c.is_ascii() && c.is_alphabetic() && !stands_alone(c)
        };
        let (kind, len) = if is_word(first) {
            (Kind::Word, self.run.find(|c| !is_word(c)).unwrap_or(self.run.len()))
        } else if first.is_alphabetic() {
            (Kind::Word, first.len_utf8())
        } else {
            (Kind::Mark, first.len_utf8())
        };
        let (text, run) = self.run.split_at(len);
        self.run = run;
        Some(Token { kind, text })
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if let Some(piece) = self.piece() {
            return Some(piece);
        }
        let trimmed = self.rest.trim_start();
        let spaces = &self.rest[..self.rest.len() - trimmed.len()];
        self.rest = trimmed;
        let is_line = spaces.contains('\n') && self.begun && !trimmed.is_empty();
        self.begun |= !trimmed.is_empty();
        if is_line {
            return Some(Token { kind: Kind::Line, text: "" });
        }
        let (run, rest) = trimmed.split_at(trimmed.find(char::is_whitespace).unwrap_or(trimmed.len()));
        self.rest = rest;
        // Scripts without spaces have numbers in the midst of sentences.
        let has_digit = run.bytes().any(|byte| byte.is_ascii_digit());
        let is_value = has_digit && !run.contains(stands_alone);
        if is_value
            || run.bytes().any(|byte| byte == b'@')
            || memchr::memmem::find(run.as_bytes(), b"://").is_some()
        {
            // What ends or announces something does so behind a value, too.
            let value = run.trim_end_matches(['.', ',', ':', ';', '!', '?']);
            self.run = &run[value.len()..];
            return Some(Token { kind: Kind::Value, text: "" });
        }
        self.run = run;
        self.piece()
    }
}

/// Is it of a script that has no spaces between words (Unicode, Han, kana and what stands among them)?
fn stands_alone(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_words_marks_and_values() {
        let read = |text: &str| {
            let tokens = Tokens::new(text).map(|token| match token.kind {
                Kind::Word | Kind::Mark => token.text.to_owned(),
                Kind::Value => "0".to_owned(),
                Kind::Line => "/".to_owned(),
            });
            tokens.collect::<Vec<_>>().join(" ")
        };
        let rows = [
            ("", ""),
            (" \n ", ""),
            ("Hello, world!", "Hello , world !"),
            ("\n\na\n \nb c\n", "a / b c"),
            ("on 2024-05-01, 12.5% of €3", "on 0 , 0 of 0"),
            ("ticket 17: it's 5.", "ticket 0 : it ' s 0 ."),
            ("mail jo@a.example or https://a.example/b", "mail 0 or 0"),
            ("<doc>{\"a\":1}", "0"),
            ("<doc>text</doc>", "< doc > text < / doc >"),
            ("snake_case it's", "snake_case it ' s"),
            ("要約して3行", "要 約 し て 3 行"),
            ("café Ωmega", "café Ωmega"),
        ];
        for (text, wanted) in rows {
            assert_eq!(read(text), wanted, "{text:?}");
        }
    }
}
