//! TraceQL: attributes with their scope, the name of the span, and what the pipeline does with them.
//!
//! Language: grafana.com/docs/tempo/latest/traceql, and the metrics functions of grafana.com/docs/tempo/latest/metrics-from-traces.

use super::{
    found::{Found, Usage, Value, What, aggregation},
    lexer::{Language, Token, tokens},
};

/// All that a query reads.
pub fn scan(query: &str) -> Vec<Found> {
    let tokens = tokens(query, Language::Traceql);
    let mut found = Vec::new();
    // What stands around a name: one entry for each bracket that is open.
    let mut around: Vec<Usage> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        if token.is("{") {
            around.push(Usage::FiltersOn);
        } else if token.is("(") {
            let before = at.checked_sub(1).and_then(|before| tokens[before].word()).unwrap_or_default();
            let inherited = around.last().copied();
            around.push(call(before).or(inherited).unwrap_or(Usage::Reads));
        } else if token.is("}") || token.is(")") {
            around.pop();
        } else if let Some((what, name, used)) = name(&tokens[at..]) {
            at += used;
            let usage = around.last().copied().unwrap_or(Usage::Reads);
            let (values, used) =
                if usage == Usage::FiltersOn { values(&tokens[at..]) } else { (Vec::new(), 0) };
            at += used;
            found.push(Found { what, name, usage, values });
            continue;
        }
        at += 1;
    }
    found
}

fn call(function: &str) -> Option<Usage> {
    match function {
        "by" => Some(Usage::GroupsBy),
        "select" => Some(Usage::Reads),
        other => aggregation(other),
    }
}

/// The attribute or intrinsic at the start of the tokens, and of how many it consists.
fn name(tokens: &[Token<'_>]) -> Option<(What, String, usize)> {
    let word = tokens.first()?.word()?;
    match word {
        "name" | "span:name" | "rootName" | "trace:rootName" => {
            return Some((What::SpanName, String::new(), 1));
        }
        "rootServiceName" | "trace:rootService" => {
            return Some((What::Resource, "service.name".to_owned(), 1));
        }
        _ => {}
    }
    // `parent.` goes one span up, where names mean the same.
    let own = word.strip_prefix("parent").filter(|rest| rest.starts_with('.')).unwrap_or(word);
    let own = own.strip_prefix(".span.").map_or(own, |_| &own[1..]);
    let own = own.strip_prefix(".resource.").map_or(own, |_| &own[1..]);
    let (what, rest) = if let Some(rest) = own.strip_prefix("span.") {
        (What::Attribute, rest)
    } else if let Some(rest) = own.strip_prefix("resource.") {
        (What::Resource, rest)
    } else if let Some(rest) = own.strip_prefix("event.").or_else(|| own.strip_prefix("link.")) {
        (What::Attribute, rest)
    } else {
        // `.99` is a number.
        (What::Either, own.strip_prefix('.').filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))?)
    };
    match (rest, tokens.get(1)) {
        ("", Some(Token::Text(name))) => Some((what, name.clone().into_owned(), 2)),
        ("", _) => None,
        _ => Some((what, rest.to_owned(), 1)),
    }
}

/// What the name is compared with, where the comparison follows it.
fn values(tokens: &[Token<'_>]) -> (Vec<Value>, usize) {
    match tokens {
        [Token::Mark(operator @ ("=" | "!=" | "=~" | "!~")), Token::Text(text), ..] => {
            (Value::known(text, operator.ends_with('~')).into_iter().collect(), 2)
        }
        _ => (Vec::new(), 0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(query: &str) -> Vec<String> {
        let one = |f: Found| {
            let values: Vec<_> =
                f.values.iter().map(|v| format!("{}{}", if v.pattern { "~" } else { "=" }, v.text)).collect();
            format!("{:?} {} {}{}", f.what, f.usage.verb(), f.name, values.join(""))
        };
        scan(query).into_iter().map(one).collect()
    }

    #[test]
    fn names_and_what_is_done_with_them() {
        #[rustfmt::skip]
        let rows: [(&str, &[&str]); 9] = [
            ("{ span.gen_ai.operation.name = \"chat\" } | rate() by(span.gen_ai.request.model)",
             &["Attribute filters on gen_ai.operation.name=chat", "Attribute groups by gen_ai.request.model"]),
            ("{ span.a.b != nil } | sum_over_time(span.gen_ai.usage.input_tokens) by (resource.service.name, span.x)",
             &["Attribute filters on a.b", "Attribute sums gen_ai.usage.input_tokens", "Resource groups by service.name", "Attribute groups by x"]),
            ("{ name =~ \"chat .*\" && .a = `b` }", &["SpanName filters on ~chat .*", "Either filters on a=b"]),
            ("{ span.\"with space\" > 3 }", &["Attribute filters on with space"]),
            ("{} | quantile_over_time(span.d, .99, .5)", &["Attribute measures d"]),
            ("{ status = error && duration > 3s } >> { (parent.span.a = 1 || rootServiceName = \"$s\") } | select(span.c, name)",
             &["Attribute filters on a", "Resource filters on service.name", "Attribute reads c", "SpanName reads "]),
            ("{ span.a = $model && span.$which = 1 } | avg(span.b) > 1", &["Attribute filters on a", "Attribute measures b"]),
            ("{ event.gen_ai.x =~ \"[\" // \n}", &["Attribute filters on gen_ai.x~["]),
            ("{} | compare({ span.a = 1 })", &["Attribute filters on a"]),
        ];
        for (query, wanted) in rows {
            assert_eq!(shown(query), wanted, "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_scanned(query in "([a-z.]{0,6}|span\\.|[{}()|=~\"$`\\\\ ,]){0,40}") {
            let found = scan(&query);
            prop_assert!(found.len() <= query.len());
        }
    }
}
