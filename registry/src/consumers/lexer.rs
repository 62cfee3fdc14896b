//! Tokens of the query languages: one pass over the text, whatever it holds.
//!
//! The three languages differ in their quotes, their comments and what a name may consist of; [`Language`] says how. Dashboards put
//! variables of their own in the middle of everything (`$model`, `${model:regex}`, `[[model]]`, `$__rate_interval`), which no parser of
//! the language itself knows, so they are tokens here.

use std::borrow::Cow;

/// What to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Prometheus' query language.
    Promql,
    /// Any dialect of SQL.
    Sql,
    /// Tempo's query language.
    Traceql,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A name, a keyword or a number. In SQL a path (`t.attributes`) is one word.
    Word(&'a str),
    /// A name in quotes: `"a.b"` in SQL, any quoted text after a scope in TraceQL.
    Quoted(Cow<'a, str>),
    /// Text in quotes, without them.
    Text(Cow<'a, str>),
    /// A variable of the dashboard, or a name that a variable is part of: what it says is not known here.
    Variable,
    /// An operator or a bracket.
    Mark(&'a str),
}

impl<'a> Token<'a> {
    /// Is it this operator or bracket?
    pub fn is(&self, mark: &str) -> bool {
        matches!(self, Token::Mark(m) if *m == mark)
    }

    /// Is it this keyword, in any case?
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(w) if w.eq_ignore_ascii_case(word))
    }

    /// The word, if it is one.
    pub fn word(&self) -> Option<&'a str> {
        match self {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// Operators of more than one character, longest first.
const OPERATORS: [&str; 18] = [
    "->>", "<=>", "!~*", ">>", "<<", "&&", "||", "=~", "!~", "!=", "<>", "<=", ">=", "==", "->", "::", "&>",
    "//",
];

/// All tokens of a text, in its order.
pub fn tokens(text: &str, language: Language) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, at: 0, language };
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut end_of_last = None;
    while let Some(token) = lexer.next() {
        let start = lexer.at - token.1;
        // `gen_ai_${what}_total` is one name, and not known.
        let joined = end_of_last == Some(start)
            && matches!(
                (&token.0, tokens.last()),
                (Token::Variable, Some(Token::Word(_) | Token::Variable))
                    | (Token::Word(_), Some(Token::Variable))
            );
        if joined {
            tokens.pop();
            tokens.push(Token::Variable);
        } else {
            tokens.push(token.0);
        }
        end_of_last = Some(lexer.at);
    }
    tokens
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    language: Language,
}

impl<'a> Lexer<'a> {
    /// The next token and its length.
    fn next(&mut self) -> Option<(Token<'a>, usize)> {
        loop {
            let rest = &self.text[self.at..];
            let first = rest.chars().next()?;
            let skipped = if first.is_whitespace() { first.len_utf8() } else { self.comment(rest) };
            if skipped == 0 {
                let (token, len) = self.token(rest, first);
                self.at += len;
                return Some((token, len));
            }
            self.at += skipped;
        }
    }

    /// Length of the comment at the start of `rest`; 0 if there is none.
    fn comment(&self, rest: &str) -> usize {
        let line = match self.language {
            Language::Promql => rest.starts_with('#'),
            Language::Sql => rest.starts_with("--") || rest.starts_with('#'),
            Language::Traceql => rest.starts_with("//"),
        };
        if line {
            return rest.find('\n').unwrap_or(rest.len());
        }
        if self.language != Language::Promql && rest.starts_with("/*") {
            return rest[2..].find("*/").map_or(rest.len(), |at| at + 4);
        }
        0
    }

    fn token(&self, rest: &'a str, first: char) -> (Token<'a>, usize) {
        match first {
            '$' => return variable(rest),
            '\'' | '"' | '`' => return self.quoted(rest, first),
            '[' if rest.starts_with("[[") => {
                // Grafana's older way to write a variable; a name, and nothing else, stands in it.
                let name =
                    rest[2..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(0);
                if name > 0 && rest[2 + name..].starts_with("]]") {
                    return (Token::Variable, name + 4);
                }
            }
            _ => {}
        }
        if self.starts_name(rest, first) {
            let len = rest.find(|c| !self.continues_name(c)).unwrap_or(rest.len());
            return (Token::Word(&rest[..len]), len);
        }
        if let Some(operator) = OPERATORS.iter().find(|o| rest.starts_with(**o)) {
            return (Token::Mark(operator), operator.len());
        }
        let len = first.len_utf8();
        (Token::Mark(&rest[..len]), len)
    }

    fn starts_name(&self, rest: &str, first: char) -> bool {
        first.is_alphanumeric()
            || first == '_'
            || (first == ':' && self.language == Language::Promql)
            // TraceQL's attribute without a scope, `.http.method`.
            || (first == '.' && rest[1..].starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"'))
    }

    fn continues_name(&self, c: char) -> bool {
        match self.language {
            Language::Promql => c.is_alphanumeric() || matches!(c, '_' | ':' | '.'),
            Language::Sql => c.is_alphanumeric() || matches!(c, '_' | '.'),
            // Nearly all else may stand in the name of an attribute (Tempo, pkg/traceql/lexer.go).
            Language::Traceql => {
                !c.is_whitespace()
                    && !matches!(
                        c,
                        '{' | '}'
                            | '('
                            | ')'
                            | '='
                            | '~'
                            | '!'
                            | '<'
                            | '>'
                            | '&'
                            | '|'
                            | '^'
                            | ','
                            | '"'
                            | '`'
                            | '$'
                    )
            }
        }
    }

    /// Quoted text up to its end, or to that of the text where it has none.
    fn quoted(&self, rest: &'a str, quote: char) -> (Token<'a>, usize) {
        let doubled = self.language == Language::Sql;
        let escapes = !doubled && quote != '`';
        let mut plain = Some(1);
        let mut held = String::new();
        let mut letters = rest.char_indices().skip(1).peekable();
        let mut end = rest.len();
        let mut inner_end = rest.len();
        while let Some((at, c)) = letters.next() {
            if c == quote {
                if doubled && letters.peek().is_some_and(|(_, next)| *next == quote) {
                    if let Some(start) = plain.take() {
                        held.push_str(&rest[start..at]);
                    }
                    held.push(quote);
                    letters.next();
                    continue;
                }
                (inner_end, end) = (at, at + 1);
                break;
            }
            if c == '\\' && escapes {
                if let Some(start) = plain.take() {
                    held.push_str(&rest[start..at]);
                }
                if let Some((_, next)) = letters.next() {
                    // `\.` stays what it is: it matters to the regular expression that it is part of.
                    if !matches!(next, '"' | '\'' | '\\' | '`') {
                        held.push('\\');
                    }
                    held.push(next);
                }
                continue;
            }
            if plain.is_none() {
                held.push(c);
            }
        }
        let text = match plain {
            Some(start) => Cow::Borrowed(&rest[start..inner_end]),
            None => Cow::Owned(held),
        };
        let name = self.language == Language::Sql && quote != '\'';
        (if name { Token::Quoted(text) } else { Token::Text(text) }, end)
    }
}

/// `$name`, `${name:format}` or, where neither follows, the sign alone.
fn variable(rest: &str) -> (Token<'_>, usize) {
    let after = &rest[1..];
    if let Some(inner) = after.strip_prefix('{') {
        // Not searched further than the next one: text that only ever opens them is read once.
        let end = inner.find(['}', '{', '$', '\n', '"', '\'']).filter(|at| inner[*at..].starts_with('}'));
        if let Some(end) = end {
            return (Token::Variable, end + 3);
        }
    }
    let name = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
    if name == 0 { (Token::Mark(&rest[..1]), 1) } else { (Token::Variable, name + 1) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, language: Language) -> String {
        let one = |token: &Token<'_>| match token {
            Token::Word(word) => (*word).to_owned(),
            Token::Quoted(name) => format!("`{name}`"),
            Token::Text(text) => format!("'{text}'"),
            Token::Variable => "$".to_owned(),
            Token::Mark(mark) => format!("<{mark}>"),
        };
        tokens(text, language).iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_language_has_its_own_names_and_quotes() {
        #[rustfmt::skip]
        let rows = [
            (Language::Promql, "a_b:c{x=~\"y\\\"z\\.d\"}[5m] # no", "a_b:c <{> x <=~> 'y\"z\\.d' <}> <[> 5m <]>"),
            (Language::Promql, "{\"a.b\", c='d'}", "<{> 'a.b' <,> c <=> 'd' <}>"),
            (Language::Promql, "x[$__rate_interval] / y_${z}_total", "x <[> $ <]> </> $"),
            (Language::Promql, "x{m=\"[[m]]\"} [[m]]", "x <{> m <=> '[[m]]' <}> $"),
            (Language::Sql, "a.\"b.c\" 'it''s' -- no\n#no\n/* no */ `d`", "a. `b.c` 'it's' `d`"),
            (Language::Sql, "x->>'a.b'::int >= $1", "x <->>> 'a.b' <::> int <>=> $"),
            (Language::Sql, "$__timeFilter(t) ${m:sqlstring}", "$ <(> t <)> $"),
            (Language::Traceql, "{ span.gen_ai.x-y=\"z\" && .a = `b\\` }", "<{> span.gen_ai.x-y <=> 'z' <&&> .a <=> 'b\\' <}>"),
            (Language::Traceql, "{resource.\"a b\"!~$v} >> {} // no", "<{> resource. 'a b' <!~> $ <}> <>>> <{> <}>"),
            (Language::Sql, "'open", "'open'"),
            (Language::Promql, "$ ${ \"\\", "<$> <$> <{> ''"),
        ];
        for (language, text, wanted) in rows {
            assert_eq!(shown(text, language), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "(?s).{0,200}", language in 0..3) {
            let language = [Language::Promql, Language::Sql, Language::Traceql][language as usize];
            prop_assert!(tokens(&text, language).len() <= text.chars().count());
        }

        #[test]
        fn text_of_all_that_matters_is_read(text in "[a.$\\[\\]{}'\"`\\\\/*#=~!<>|&: \n-]{0,80}", language in 0..3) {
            let language = [Language::Promql, Language::Sql, Language::Traceql][language as usize];
            prop_assert!(tokens(&text, language).len() <= text.chars().count());
        }
    }
}
