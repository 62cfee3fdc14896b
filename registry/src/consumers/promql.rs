//! PromQL: metrics, their labels, and what is done with both.
//!
//! Language: prometheus.io/docs/prometheus/latest/querying/basics, with names in quotes as Prometheus 3 has them
//! (`{"gen_ai.client.inference.duration", "gen_ai.request.model"="x"}`).

use super::{
    found::{Found, Usage, Value, What, aggregation},
    lexer::{Language, Token, tokens},
};

/// Labels that Prometheus has of itself, which are no attributes.
const OWN_LABELS: [&str; 4] = ["le", "quantile", "job", "instance"];

/// All that a query reads.
pub fn scan(query: &str) -> Vec<Found> {
    let tokens = tokens(query, Language::Promql);
    let mut found = Vec::new();
    // For each bracket that is open: what is done with what stands in it, and whether texts in it name labels.
    let mut around: Vec<(Usage, bool)> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (usage, names_labels) = around.last().copied().unwrap_or((Usage::Reads, false));
        let token = &tokens[at];
        let opens = tokens.get(at + 1).is_some_and(|next| next.is("("));
        at += match token {
            Token::Mark("(") => {
                around.push((usage, false));
                1
            }
            Token::Mark(")") => {
                around.pop();
                1
            }
            Token::Mark("{") => selector(&tokens[at..], usage, &mut found),
            // A range, `[5m]`, or a subquery's: nothing in it is a name.
            Token::Mark("[") => until("]", &tokens[at..]),
            Token::Word(word) => match keyword(word) {
                Some(Keyword::Labels(usage)) if opens => labels(&tokens[at..], usage, &mut found),
                // `offset 5m`, `@ end()`.
                Some(Keyword::Offset) => 2,
                None if opens || next_is_labels(&tokens[at + 1..]) => {
                    // `sum by (x) (y)`: the labels come first, then what is summed.
                    let usage = aggregation(word).map_or(usage, |new| outer(usage, new));
                    let mut used = 1;
                    if !opens
                        && let Some(Token::Word(word)) = tokens.get(at + 1)
                        && let Some(Keyword::Labels(usage)) = keyword(word)
                    {
                        used += labels(&tokens[at + 1..], usage, &mut found);
                    }
                    if tokens.get(at + used).is_some_and(|t| t.is("(")) {
                        // `label_replace(x, "to", "$1", "from", "...")`, `label_join(x, "to", ",", "from", ...)`
                        around.push((usage, word.starts_with("label_")));
                        used += 1;
                    }
                    used
                }
                None if is_metric(word) => {
                    found.push(Found {
                        what: What::Metric,
                        name: (*word).to_owned(),
                        usage,
                        values: Vec::new(),
                    });
                    1
                }
                _ => 1,
            },
            Token::Text(text) if names_labels && is_metric(&text.replace('.', "_")) => {
                label(text, Usage::Reads, Vec::new(), &mut found);
                1
            }
            _ => 1,
        };
    }
    found
}

enum Keyword {
    Labels(Usage),
    Offset,
    Operator,
}

fn keyword(word: &str) -> Option<Keyword> {
    Some(match word.to_ascii_lowercase().as_str() {
        "by" | "on" | "group_left" | "group_right" => Keyword::Labels(Usage::GroupsBy),
        // What they name is what the result does not depend on, but a metric without it would be another one.
        "without" | "ignoring" => Keyword::Labels(Usage::Reads),
        "offset" => Keyword::Offset,
        "and" | "or" | "unless" | "bool" | "atan2" | "inf" | "nan" => Keyword::Operator,
        _ => return None,
    })
}

fn next_is_labels(tokens: &[Token<'_>]) -> bool {
    // `metric by (x)` does not exist, `a * on (x) b` does, after an operator.
    tokens.first().is_some_and(|t| t.is_word("by") || t.is_word("without"))
        && tokens.get(1).is_some_and(|t| t.is("("))
}

/// `sum(rate(x))` sums, `histogram_quantile(0.9, sum(rate(x)))` measures: whatever tells more than a sum of its parts wins.
fn outer(outer: Usage, new: Usage) -> Usage {
    if outer == Usage::Measures || outer == Usage::Counts { outer } else { new }
}

fn is_metric(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | ':')) && !word.contains('.')
}

/// How many tokens there are up to the bracket that closes, at most all.
fn until(close: &str, tokens: &[Token<'_>]) -> usize {
    tokens.iter().position(|t| t.is(close)).map_or(tokens.len(), |at| at + 1)
}

/// `by (a, "b.c")`
fn labels(tokens: &[Token<'_>], usage: Usage, found: &mut Vec<Found>) -> usize {
    let len = until(")", tokens);
    for token in tokens.get(2..len).unwrap_or_default() {
        if let Token::Word(name) = token {
            label(name, usage, Vec::new(), found);
        } else if let Token::Text(name) = token {
            label(name, usage, Vec::new(), found);
        }
    }
    len
}

/// `{a="x", "metric", "b.c"=~"y"}`
fn selector(tokens: &[Token<'_>], usage: Usage, found: &mut Vec<Found>) -> usize {
    let len = until("}", tokens);
    let mut rest = tokens.get(1..len).unwrap_or_default();
    while !rest.is_empty() {
        let used = match rest {
            [name, Token::Mark(operator @ ("=" | "!=" | "=~" | "!~")), value, ..] => {
                let values = match value {
                    Token::Text(text) => Value::known(text, operator.ends_with('~')),
                    _ => None,
                };
                match name {
                    Token::Word("__name__") => {
                        found.extend(values.filter(|v| !v.pattern).map(|v| Found {
                            what: What::Metric,
                            name: v.text,
                            usage,
                            values: Vec::new(),
                        }));
                    }
                    Token::Word(name) => label(name, Usage::FiltersOn, values.into_iter().collect(), found),
                    Token::Text(name) => label(name, Usage::FiltersOn, values.into_iter().collect(), found),
                    _ => {}
                }
                3
            }
            [Token::Text(name), ..] => {
                found.push(Found {
                    what: What::Metric,
                    name: name.clone().into_owned(),
                    usage,
                    values: Vec::new(),
                });
                1
            }
            _ => 1,
        };
        rest = rest.get(used..).unwrap_or_default();
    }
    len
}

fn label(name: &str, usage: Usage, values: Vec<Value>, found: &mut Vec<Found>) {
    let (what, name) = match name {
        // Of the span metrics that Tempo and the collector make of spans.
        "span_name" => (What::SpanName, ""),
        "service" => (What::Resource, "service.name"),
        own if OWN_LABELS.contains(&own) => return,
        other => (What::Either, other),
    };
    found.push(Found { what, name: name.to_owned(), usage, values });
}

/// The labels that a legend shows, `{{gen_ai_request_model}}`, in any of Grafana's data sources.
pub fn scan_legend(legend: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for part in legend.split("{{").skip(1) {
        if let Some((name, _)) = part.split_once("}}") {
            label(name.trim(), Usage::Reads, Vec::new(), &mut found);
        }
    }
    found
}

/// What a variable of a dashboard asks Prometheus for: `label_values(metric, label)`, `query_result(QUERY)`, `metrics(...)`, or a query.
pub fn scan_variable(query: &str) -> Vec<Found> {
    let inner = |function: &str| {
        query.trim().strip_prefix(function)?.trim_start().strip_prefix('(')?.trim_end().strip_suffix(')')
    };
    if let Some(arguments) = inner("label_values") {
        let (metric, name) = match arguments.rsplit_once(',') {
            Some((metric, name)) => (metric, name),
            None => ("", arguments),
        };
        let mut found = scan(metric);
        label(name.trim(), Usage::Reads, Vec::new(), &mut found);
        return found;
    }
    if inner("label_names").is_some() || inner("metrics").is_some() {
        return Vec::new();
    }
    scan(inner("query_result").unwrap_or(query))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(found: Vec<Found>) -> Vec<String> {
        let one = |f: Found| {
            let values: Vec<_> =
                f.values.iter().map(|v| format!("{}{}", if v.pattern { "~" } else { "=" }, v.text)).collect();
            format!("{:?} {} {}{}", f.what, f.usage.verb(), f.name, values.join(""))
        };
        found.into_iter().map(one).collect()
    }

    #[test]
    fn names_and_what_is_done_with_them() {
        #[rustfmt::skip]
        let rows: [(&str, &[&str]); 13] = [
            ("sum by (gen_ai_request_model) (rate(x_total{a=\"b\"}[5m]))",
             &["Either groups by gen_ai_request_model", "Metric sums x_total", "Either filters on a=b"]),
            ("sum(increase(x_total[$__rate_interval])) by (a, \"b.c\") / on(d) group_left y",
             &["Metric sums x_total", "Either groups by a", "Either groups by b.c", "Either groups by d", "Metric reads y"]),
            ("histogram_quantile(0.95, sum(rate(d_seconds_bucket{m=~\"$model\"}[5m])) by (le, m))",
             &["Metric measures d_seconds_bucket", "Either filters on m", "Either groups by m"]),
            ("avg_over_time(x[1h:5m] offset 1d) > bool 3", &["Metric measures x"]),
            ("{\"gen_ai.client.inference.duration\", \"gen_ai.request.model\"=~\"gpt.*\"}",
             &["Metric reads gen_ai.client.inference.duration", "Either filters on gen_ai.request.model~gpt.*"]),
            ("{__name__=\"x\", __name__=~\"y.*\"}", &["Metric reads x"]),
            ("traces_spanmetrics_calls_total{span_name=\"chat m\", service=\"s\", job=\"j\"}",
             &["Metric reads traces_spanmetrics_calls_total", "SpanName filters on =chat m", "Resource filters on service.name=s"]),
            ("a and on (b) c unless ignoring(d) e @ end()", &["Metric reads a", "Either groups by b", "Metric reads c", "Either reads d", "Metric reads e"]),
            ("label_replace(x, \"to\", \"$1\", \"from_label\", \"(.*)\")", &["Metric reads x", "Either reads to", "Either reads from_label"]),
            ("count without (a) (x)", &["Either reads a", "Metric counts x"]),
            ("topk(5, x_${env}_total) + 1e3", &[]),
            ("absent(up)", &["Metric reads up"]),
            ("sum(", &[]),
        ];
        for (query, wanted) in rows {
            assert_eq!(shown(scan(query)), wanted, "{query}");
        }
    }

    #[test]
    fn legends_and_variables() {
        assert_eq!(shown(scan_legend("{{a_b}} of {{ c }} {{")), ["Either reads a_b", "Either reads c"]);
        #[rustfmt::skip]
        let rows: [(&str, &[&str]); 5] = [
            ("label_values(x{a=\"b\"}, model)", &["Metric reads x", "Either filters on a=b", "Either reads model"]),
            ("label_values(model)", &["Either reads model"]),
            ("query_result(sum(x))", &["Metric sums x"]),
            ("label_names()", &[]),
            ("x", &["Metric reads x"]),
        ];
        for (query, wanted) in rows {
            assert_eq!(shown(scan_variable(query)), wanted, "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_scanned(query in "(sum|by|[a-z_]{1,4}|label_replace|offset|[{}()\\[\\]=~\"$`\\\\ ,]){0,40}") {
            prop_assert!(scan(&query).len() <= query.len());
            scan_legend(&query);
            scan_variable(&query);
        }
    }
}
