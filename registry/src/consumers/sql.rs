//! SQL of any dialect: columns, keys of attributes, and what the statement does with them.
//!
//! Not parsed but read clause by clause, since the dialects (ClickHouse, PostgreSQL, DuckDB, BigQuery, with the dashboards' macros in
//! between) agree on little else. A key of an attribute is found wherever it stands: `attributes['a.b']`, `attributes ->> 'a.b'`,
//! `json_extract(attributes, '$."a.b"')`, `"a.b"`, `t.attributes.a.b`, `a_b`, `kv.key = 'a.b'`.

use std::collections::BTreeMap;

use super::{
    found::{Found, Usage, Value, What, aggregation},
    lexer::{Language, Token, tokens},
};

/// Most names that one alias may stand for: what is over it is another query's.
const MAX_ALIASED: usize = 64;

/// Functions that look for a value in an array.
const CONTAINS: [&str; 6] =
    ["list_contains", "list_has", "array_contains", "has", "contains", "array_position"];

/// All that a text of one or more statements reads.
pub fn scan(text: &str) -> Vec<Found> {
    let tokens = tokens(text, Language::Sql);
    let mut found = Vec::new();
    for statement in tokens.split(|t| t.is(";")) {
        let mut scan = Scan::new(statement);
        scan.run();
        found.append(&mut scan.found);
    }
    found
}

/// What is open: the statement itself, or a bracket in it.
#[derive(Default)]
struct Frame {
    clause: Option<Usage>,
    /// The aggregation that the bracket belongs to, or that stands around it.
    aggregated: Option<Usage>,
    selecting: bool,
    /// Where in `found` the current item of the select list begins, and the finished items.
    item: usize,
    /// It looks for a value in an array: `list_contains(x, 'y')`.
    contains: bool,
    items: Vec<(usize, usize)>,
}

struct Scan<'t, 'a> {
    tokens: &'t [Token<'a>],
    found: Vec<Found>,
    frames: Vec<Frame>,
    /// The aggregation of the bracket that was closed last.
    closed: Option<Usage>,
    /// Names that an alias stands for, as places in `found`.
    aliases: BTreeMap<String, Vec<usize>>,
    /// Is there a table of spans, whose `name` is that of the span?
    of_spans: bool,
}

impl<'t, 'a> Scan<'t, 'a> {
    fn new(tokens: &'t [Token<'a>]) -> Self {
        let of_spans = tokens.windows(2).any(|pair| {
            let table = match &pair[1] {
                Token::Word(word) => word.to_ascii_lowercase(),
                Token::Quoted(name) => name.to_ascii_lowercase(),
                _ => return false,
            };
            (pair[0].is_word("from") || pair[0].is_word("join"))
                && (table.contains("span") || table.contains("trace"))
        });
        Self {
            tokens,
            found: Vec::new(),
            frames: vec![Frame::default()],
            closed: None,
            aliases: BTreeMap::new(),
            of_spans,
        }
    }

    fn run(&mut self) {
        let tokens = self.tokens;
        let mut at = 0;
        while at < tokens.len() {
            at += match &tokens[at] {
                Token::Mark("(") => {
                    self.open(at);
                    1
                }
                Token::Mark(")") => {
                    self.close();
                    1
                }
                Token::Mark(",") => {
                    self.end_item();
                    1
                }
                // A cast: the name of a type comes next.
                Token::Mark("::") => 2,
                Token::Word(word) => self.word(at, word),
                Token::Quoted(name) => {
                    let name = name.clone().into_owned();
                    self.name(at, What::Column, &name)
                }
                Token::Text(text) => self.text(at, &text.clone()),
                _ => 1,
            };
        }
        self.end_item();
    }

    fn frame(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::default());
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn open(&mut self, at: usize) {
        let function = at.checked_sub(1).and_then(|before| self.tokens[before].word()).unwrap_or_default();
        let (clause, around) = (self.frame().clause, self.frame().aggregated);
        let item = self.found.len();
        // ClickHouse: `quantile(0.9)(x)`.
        let parametric = self.closed.filter(|_| at > 0 && self.tokens[at - 1].is(")"));
        let aggregated = around.or_else(|| aggregation(function)).or(parametric);
        let contains = CONTAINS.contains(&function.to_ascii_lowercase().as_str());
        self.frames.push(Frame { clause, aggregated, item, contains, ..Frame::default() });
    }

    fn close(&mut self) {
        self.end_item();
        if self.frames.len() > 1 {
            self.closed = self.frames.pop().and_then(|frame| frame.aggregated);
        }
    }

    fn end_item(&mut self) {
        let end = self.found.len();
        let frame = self.frame();
        if frame.selecting {
            let start = frame.item;
            frame.items.push((start, end));
        }
        frame.item = end;
    }

    /// A keyword, a column or a number.
    fn word(&mut self, at: usize, word: &str) -> usize {
        let lower = word.to_ascii_lowercase();
        let usage = match lower.as_str() {
            "select" => {
                let end = self.found.len();
                let frame = self.frame();
                (frame.selecting, frame.item) = (true, end);
                frame.items.clear();
                // What stands around a query in brackets says nothing of what it does.
                frame.aggregated = None;
                Some(Usage::Reads)
            }
            "from" | "limit" | "window" | "qualify" | "union" | "intersect" | "except" | "order" => {
                Some(Usage::Reads)
            }
            "where" | "prewhere" | "having" | "on" => Some(Usage::FiltersOn),
            // `GROUP BY`, but also `PARTITION BY`, of which `BY` is skipped as a keyword below.
            "group" | "partition" => Some(Usage::GroupsBy),
            _ => None,
        };
        if let Some(usage) = usage {
            if lower != "select" {
                self.end_item();
                self.frame().selecting = false;
            }
            let frame = self.frame();
            frame.clause = Some(usage);
            // `count(*) FILTER (WHERE x)`
            if usage == Usage::FiltersOn {
                frame.aggregated = None;
            }
            return 1;
        }
        if lower == "as" {
            return self.alias(at);
        }
        if lower == "all" && self.frame().clause == Some(Usage::GroupsBy) {
            self.all_positions();
            return 1;
        }
        if lower.starts_with(|c: char| c.is_ascii_digit()) {
            self.position(&lower);
            return 1;
        }
        if is_keyword(&lower) || self.tokens.get(at + 1).is_some_and(|t| t.is("(")) {
            return 1;
        }
        self.name(at, What::Column, word)
    }

    /// `GROUP BY 2`
    fn position(&mut self, number: &str) {
        let frame = self.frame();
        if frame.clause != Some(Usage::GroupsBy) {
            return;
        }
        let item = number.parse::<usize>().ok().and_then(|n| frame.items.get(n.checked_sub(1)?).copied());
        if let Some((start, end)) = item {
            self.again((start..end.min(start + MAX_ALIASED)).collect(), Usage::GroupsBy, &[]);
        }
    }

    /// `GROUP BY ALL`: whatever of the select list is not aggregated.
    fn all_positions(&mut self) {
        let items = self.frame().items.clone();
        let places = items.into_iter().flat_map(|(start, end)| start..end);
        let plain = |at: &usize| self.found.get(*at).is_some_and(|f| f.usage == Usage::Reads);
        let places: Vec<_> = places.filter(plain).take(MAX_ALIASED).collect();
        self.again(places, Usage::GroupsBy, &[]);
    }

    /// Names that stood elsewhere are used once more.
    fn again(&mut self, places: Vec<usize>, usage: Usage, values: &[Value]) {
        for place in places {
            let Some(first) = self.found.get(place) else { continue };
            let again = Found { usage, values: values.to_vec(), ..first.clone() };
            self.found.push(again);
        }
    }

    /// `... AS x`, in a select list or before a query in brackets.
    fn alias(&mut self, at: usize) -> usize {
        let alias = match self.tokens.get(at + 1) {
            Some(Token::Word(word)) => word.to_ascii_lowercase(),
            Some(Token::Quoted(name)) => name.to_ascii_lowercase(),
            _ => return 1,
        };
        let end = self.found.len();
        let frame = self.frame();
        if frame.selecting && frame.item < end {
            let places = (frame.item..end.min(frame.item + MAX_ALIASED)).collect();
            self.aliases.insert(alias, places);
        }
        2
    }

    /// A text: the key of an attribute, or a value of no interest.
    fn text(&mut self, at: usize, text: &str) -> usize {
        // `$."a.b"`, `$['a.b']`, `$.a.b`
        let path = ["$.", "$[", "$\""].iter().any(|start| text.starts_with(start));
        let key = if path { text[1..].trim_start_matches('.') } else { text };
        let key = key.trim_matches(|c| matches!(c, '"' | '[' | ']' | '\''));
        let before = at.checked_sub(1).map(|before| &self.tokens[before]);
        let access = before.is_some_and(|t| t.is("[") || t.is("->") || t.is("->>")) || path;
        let contains = self.frame().contains && before.is_some_and(|t| t.is(","));
        if contains && let Some(last) = self.found.last_mut() {
            last.values.extend(Value::known(text, false));
            return 1;
        }
        let argument = before.is_some_and(|t| t.is(",") || t.is("("))
            && self.tokens.get(at + 1).is_some_and(|t| t.is(")"));
        if key.is_empty() || !(access || (argument && key.contains('.'))) {
            return 1;
        }
        let what = if self.of_resource(at) {
            What::Resource
        } else if access {
            What::Attribute
        } else {
            What::Column
        };
        self.name(at, what, key)
    }

    /// Is what the key is taken from the resource's?
    fn of_resource(&self, at: usize) -> bool {
        let from = at.saturating_sub(2);
        self.tokens[from..at].iter().any(|t| match t {
            Token::Word(word) => word.to_ascii_lowercase().contains("resource"),
            Token::Quoted(word) => word.to_ascii_lowercase().contains("resource"),
            _ => false,
        })
    }

    fn name(&mut self, at: usize, what: What, name: &str) -> usize {
        let clause = self.frame().clause.unwrap_or(Usage::Reads);
        let usage = match self.frame().aggregated {
            Some(usage) if clause != Usage::FiltersOn => usage,
            _ => clause,
        };
        // After `x['a.b']` and casts comes what it is compared with.
        let mut after = at + 1;
        while self.tokens.get(after).is_some_and(|t| t.is("]") || t.is(")")) {
            after += 1;
        }
        if self.tokens.get(after).is_some_and(|t| t.is("::")) {
            after += 2;
        }
        let values = values(self.tokens.get(after..).unwrap_or_default());
        // `s.name` is a table's column; `"gen_ai.operation.name"` is one whose name has dots.
        let of_table = matches!(self.tokens[at], Token::Word(_)) && name.matches('.').count() == 1;
        let last = if of_table { name.rsplit('.').next().unwrap_or(name) } else { name }.to_ascii_lowercase();
        if let Some(places) =
            (what == What::Column).then(|| self.aliases.get(&name.to_ascii_lowercase())).flatten()
        {
            let places = places.clone();
            self.again(places, usage, &values);
            return 1;
        }
        let found = match last.as_str() {
            "span_name" | "spanname" | "operation_name" if what == What::Column => {
                (What::SpanName, String::new())
            }
            "name" if what == What::Column && self.of_spans => (What::SpanName, String::new()),
            "servicename" if what == What::Column => (What::Resource, "service.name".to_owned()),
            "key" | "k" | "attribute_key" | "attr_key" if what == What::Column => {
                // A table of keys and values: the keys are what is read.
                for value in values {
                    self.found.push(Found { what: What::Key, name: value.text, usage, values: Vec::new() });
                }
                return 1;
            }
            _ => (what, name.to_owned()),
        };
        self.found.push(Found { what: found.0, name: found.1, usage, values });
        1
    }
}

/// What stands after `=`, `<>`, `LIKE` or `IN`.
fn values(tokens: &[Token<'_>]) -> Vec<Value> {
    let mut rest = tokens;
    while let [first, others @ ..] = rest
        && first.is_word("not")
    {
        rest = others;
    }
    match rest {
        [Token::Mark("=" | "!=" | "<>" | "=="), Token::Text(text), ..] => {
            Value::known(text, false).into_iter().collect()
        }
        [Token::Mark("~" | "=~" | "!~"), Token::Text(text), ..] => {
            Value::known(text, true).into_iter().collect()
        }
        [word, Token::Text(text), ..] if word.is_word("like") || word.is_word("ilike") => {
            Value::known(text, true).into_iter().collect()
        }
        [word, Token::Mark("("), list @ ..] if word.is_word("in") => list
            .iter()
            .take_while(|t| matches!(t, Token::Text(_)) || t.is(","))
            .filter_map(|t| if let Token::Text(text) = t { Value::known(text, false) } else { None })
            .collect(),
        _ => Vec::new(),
    }
}

/// Words that are no columns wherever they stand.
fn is_keyword(word: &str) -> bool {
    const KEYWORDS: [&str; 46] = [
        "all", "and", "any", "array", "asc", "between", "by", "case", "cast", "cross", "desc", "distinct",
        "else", "end", "exists", "false", "filter", "first", "full", "ilike", "in", "inner", "interval",
        "is", "join", "last", "lateral", "left", "like", "not", "null", "nulls", "offset", "or", "outer",
        "over", "right", "rollup", "sets", "then", "true", "unnest", "using", "when", "with", "within",
    ];
    KEYWORDS.contains(&word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What has to do with the attributes of the statement: names with a dot or an underscore, keys, and span names.
    fn shown(text: &str) -> Vec<String> {
        let one = |f: Found| {
            let values: Vec<_> =
                f.values.iter().map(|v| format!("{}{}", if v.pattern { "~" } else { "=" }, v.text)).collect();
            format!("{:?} {} {}{}", f.what, f.usage.verb(), f.name, values.join(""))
        };
        scan(text).into_iter().map(one).collect()
    }

    #[test]
    fn names_and_what_is_done_with_them() {
        #[rustfmt::skip]
        let rows: [(&str, &[&str]); 15] = [
            ("SELECT attributes['gen_ai.request.model'] AS model, sum(attributes['t.in']::bigint) AS n FROM x WHERE name = 'chat' GROUP BY model ORDER BY n",
             &["Attribute reads gen_ai.request.model", "Attribute sums t.in", "Column reads x", "Column filters on name=chat", "Attribute groups by gen_ai.request.model", "Attribute reads t.in"]),
            ("SELECT 1, attributes->>'a.b', count(*) FROM spans GROUP BY 1, 2",
             &["Attribute reads a.b", "Column reads spans", "Attribute groups by a.b"]),
            ("SELECT quantile(0.95)(SpanAttributes['a.b']) FROM otel_traces WHERE SpanName LIKE 'chat %' AND ServiceName = 's'",
             &["Attribute measures a.b", "Column reads otel_traces", "SpanName filters on ~chat %", "Resource filters on service.name=s"]),
            ("select json_extract(attributes, '$.\"a.b\"'), json_extract_string(resource, 'c.d')",
             &["Column reads attributes", "Attribute reads a.b", "Column reads resource", "Resource reads c.d"]),
            ("select \"gen_ai.x\", t.attributes.gen_ai.y, gen_ai_z from t",
             &["Column reads gen_ai.x", "Column reads t.attributes.gen_ai.y", "Column reads gen_ai_z", "Column reads t"]),
            ("select count(*) filter (where a['b.c'] not in ('x', 'y')) from t",
             &["Column filters on a", "Attribute filters on b.c=x=y", "Column reads t"]),
            ("select max(v.d) from s, unnest(s.attributes) as kv where kv.key = 'a.b' and $__timeFilter(ts)",
             &["Column measures v.d", "Column reads s", "Column reads s.attributes", "Key filters on a.b", "Column filters on ts"]),
            ("select m from (select a['b.c'] as m from u) group by m",
             &["Column reads m", "Column reads a", "Attribute reads b.c", "Column reads u", "Column groups by a", "Attribute groups by b.c"]),
            (
                "select \"gen_ai.operation.name\" as o, s.name from spans s group by 1",
                &["Column reads gen_ai.operation.name", "SpanName reads ", "Column reads spans", "Column reads s", "Column groups by gen_ai.operation.name"],
            ),
            ("select span_name from t where resource['a.b'] = '${x}'", &["SpanName reads ", "Column reads t", "Column filters on resource", "Resource filters on a.b"]),
            ("select a; select b", &["Column reads a", "Column reads b"]),
            ("select name from spans", &["SpanName reads ", "Column reads spans"]),
            ("))) , as group by 7 ((", &[]),
            ("select a['b.c'], count(*) from t where list_contains(cast(a['d.e'] as varchar[]), 'x') group by all",
             &["Column reads a", "Attribute reads b.c", "Column reads t", "Column filters on a", "Attribute filters on d.e=x", "Column groups by a", "Attribute groups by b.c"]),
            ("with q as (select x.y as z from t) select sum(z) from q", &["Column reads q", "Column reads x.y", "Column reads t", "Column sums x.y", "Column reads q"]),
        ];
        for (text, wanted) in rows {
            let shown = shown(text);
            let shown: Vec<_> = shown.iter().filter(|s| wanted.contains(&s.as_str()) || !noise(s)).collect();
            assert_eq!(shown, wanted, "{text}");
        }
    }

    /// The columns that hold the attributes are found too, and are of no interest.
    fn noise(shown: &str) -> bool {
        [" attributes", " SpanAttributes"].iter().any(|end| shown.ends_with(end))
    }

    proptest! {
        #[test]
        fn any_text_is_scanned(text in "(select|as|group by|from|in|a\\.b|sum|[0-9]|[()'\",;\\[\\]=: -]){0,60}") {
            prop_assert!(scan(&text).len() <= (MAX_ALIASED + 1) * (text.len() + 1));
        }
    }
}
