//! Findings as a program reads them.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::Args;
use crate::explain::{Count, Finding, Findings, Term};

/// All that is told, as one object.
pub(super) fn object(findings: &Findings, args: &Args) -> Json {
    let list =
        |findings: &[Finding]| -> Vec<Json> { findings.iter().take(args.limit).map(finding).collect() };
    let left_out = &findings.left_out;
    json!({
        "conditions": args.bad.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "calls": count(&findings.calls),
        "bad": count(&findings.bad),
        "causes": list(&findings.causes),
        "together": findings.together.iter().take(args.limit).map(|pair| finding(&pair.both)).collect::<Vec<_>>(),
        "signs": list(&findings.signs),
        "unsure": findings.unsure.as_ref().map(finding),
        "tried": findings.tried,
        "counted": findings.counted,
        "left_out": {
            "asked": left_out.asked,
            "bookkeeping": left_out.bookkeeping,
            "unique": left_out.unique,
            "constant": left_out.constant,
            "too_many_values": left_out.many.iter().map(|(name, calls)| json!({"attribute": name, "calls": calls})).collect::<Vec<_>>(),
            "too_many_attributes": left_out.attributes,
            "too_many_calls": left_out.calls,
        },
    })
}

fn finding(finding: &Finding) -> Json {
    json!({
        "what": finding.terms.iter().map(term).collect::<Vec<_>>(),
        "more": finding.more_terms,
        "bad": count(&finding.bad),
        "others": count(&finding.rest),
        "bad_share": finding.bad_share,
        "others_share": finding.rest_share,
        "failing": finding.failing,
        "lift": finding.lift,
        // A probability may be less than the least number there is.
        "log10_chance": finding.ln_chance / std::f64::consts::LN_10,
        "no_more_than": finding.no_more_than.map(|place| place + 1),
    })
}

fn term(term: &Term) -> Json {
    let moment = |seconds: i64| Timestamp::from_second(seconds).unwrap_or_default().to_string();
    match term {
        Term::Where(condition) => json!({"attribute": condition.subject(), "where": condition.to_string()}),
        Term::Since(seconds) => json!({"attribute": "start", "since": moment(*seconds)}),
        Term::Before(seconds) => json!({"attribute": "start", "until": moment(*seconds)}),
    }
}

fn count(count: &Count) -> Json {
    json!({"seen": count.seen, "all": count.all})
}
