//! Calls with a cause that was put there, and calls without any.

use std::{fmt::Write as _, sync::Arc};

use super::*;
use crate::{
    contract::{Attribute, Delivery, Kind, Resource, Span, Status, Value},
    time::Timestamp,
};

const FINISH: &str = "gen_ai.response.finish_reasons";
const OWN_FINISH: &str = "plainspan.response.finish_reasons";

/// Numbers that look random and are the same each time (xorshift64*, Vigna, 2016).
struct Dice(u64);

impl Dice {
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }
}

fn text(value: impl Into<String>) -> Value {
    Value::String(value.into())
}

/// A call that began and ended with the others, with these attributes; those of `extra` are what the user gave.
pub(super) fn call(attributes: Vec<(&'static str, Value)>, extra: Vec<(String, String)>) -> Delivery {
    Delivery {
        span: Span {
            trace_id: [1; 16],
            span_id: [1; 8],
            parent_span_id: None,
            link: None,
            flags: 1,
            trace_state: String::new(),
            name: "chat m".into(),
            kind: Kind::Client,
            start: Timestamp(1_700_000_000_000_000_000),
            end: Timestamp(1_700_000_001_000_000_000),
            attributes: attributes.into_iter().map(|(key, value)| Attribute { key, value }).collect(),
            status: Status::Unset,
        },
        resource: Arc::new(Resource { attributes: vec![], extra }),
    }
}

fn finish(bad: bool) -> [(&'static str, Value); 2] {
    let word = |word: &str| Value::Strings(vec![word.to_owned()]);
    [
        (FINISH, word(if bad { "length" } else { "stop" })),
        (OWN_FINISH, word(if bad { "max_tokens" } else { "end_turn" })),
    ]
}

fn compare(limits: Limits, calls: impl IntoIterator<Item = (Delivery, bool)>) -> Findings {
    let mut comparison = Comparison::new(&[FINISH], limits);
    for (call, bad) in calls {
        comparison.add(&call, bad);
    }
    comparison.finish()
}

fn terms(finding: &Finding) -> Vec<String> {
    let shown = |term: &Term| match term {
        Term::Where(condition) => condition.to_string(),
        Term::Since(seconds) => format!("since {seconds}"),
        Term::Before(seconds) => format!("before {seconds}"),
    };
    finding.terms.iter().map(shown).collect()
}

fn firsts(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| terms(finding).swap_remove(0)).collect()
}

/// Many calls of forty templates and two hundred tenants: one template's answers are cut, but for one in ten.
fn traffic() -> impl Iterator<Item = (Delivery, bool)> {
    let mut dice = Dice::of(7);
    (0..10_000).map(move |number| {
        let template = dice.below(40);
        let bad = template == 17 && dice.below(10) > 0;
        // Templates belong to services; the broken one's has three others.
        let service = template / 4;
        let mut attributes = vec![
            ("gen_ai.prompt.name", text(format!("template-{template}"))),
            ("gen_ai.request.model", text(["small", "large"][dice.below(2) as usize])),
            ("gen_ai.response.id", text(format!("id-{number}"))),
            ("gen_ai.usage.output_tokens", Value::Int(if bad { 64 } else { 20 + dice.below(300) as i64 })),
            ("gen_ai.request.temperature", Value::Double(dice.below(100) as f64 / 100.0)),
            ("plainspan.contract.version", text("1")),
        ];
        attributes.extend(finish(bad));
        if template == 17 {
            attributes.push(("gen_ai.request.max_tokens", Value::Int(64)));
        }
        let extra = vec![
            ("tenant".to_owned(), format!("t{}", dice.below(200))),
            ("service".to_owned(), format!("s{service}")),
            ("cluster".to_owned(), "one".to_owned()),
        ];
        (call(attributes, extra), bad)
    })
}

#[test]
fn the_broken_template_comes_first() {
    let findings = compare(Limits::default(), traffic());
    let causes = &findings.causes;
    assert_eq!(
        firsts(causes),
        ["gen_ai.prompt.name=template-17", "attribute.service=s4"],
        "{:#?}",
        findings.causes
    );
    // All calls of the template, and only they, have the limit.
    assert_eq!(terms(&causes[0])[1..], ["gen_ai.request.max_tokens=64"]);
    let first = &causes[0];
    assert!(first.bad_share > 0.999 && first.bad.seen == findings.bad.seen && first.rest_share < 0.01);
    assert!((0.85..0.95).contains(&first.failing) && first.lift > 30.0, "{first:?}");
    assert!(first.ln_chance < -500.0, "{first:?}");
    // The service has nothing of it but the template.
    assert_eq!((first.no_more_than, causes[1].no_more_than), (None, Some(0)));
    assert!(findings.together.is_empty() && findings.unsure.is_none());
    // What an answer looks like is told, and is no cause.
    assert_eq!(firsts(&findings.signs), ["gen_ai.usage.output_tokens=64"]);
    let left_out = &findings.left_out;
    assert_eq!(left_out.asked, [FINISH, OWN_FINISH]);
    assert_eq!(left_out.unique, ["gen_ai.response.id"]);
    assert_eq!(left_out.bookkeeping, ["plainspan.contract.version"]);
    assert!(left_out.constant.contains(&"attribute.cluster".to_owned()), "{left_out:?}");
    assert!(left_out.many.is_empty() && left_out.calls == 0 && left_out.attributes == 0);
}

/// Calls of which one in ten is bad, whatever else they are.
fn unrelated(seed: u64, calls: u64, attributes: u64) -> impl Iterator<Item = (Delivery, bool)> {
    let mut dice = Dice::of(seed);
    let names: Vec<String> = (0..attributes).map(|n| format!("random.{n}")).collect();
    (0..calls).map(move |_| {
        let bad = dice.below(10) == 0;
        // Of each attribute another number of values.
        let extra = names
            .iter()
            .zip(2..)
            .map(|(name, most)| (name.clone(), format!("v{}", dice.below(2 + most % 97))))
            .collect();
        (call(finish(bad).to_vec(), extra), bad)
    })
}

#[test]
fn without_a_cause_nothing_is_told() {
    // Were one in a hundred of all values told by chance, there would be hundreds.
    let findings = compare(Limits::default(), unrelated(3, 1000, 1000));
    assert!(findings.tried > 10_000, "{}", findings.tried);
    assert_eq!(firsts(&findings.causes), [""; 0]);
    assert!(findings.signs.is_empty() && findings.together.is_empty());
    let unsure = findings.unsure.unwrap();
    assert!(unsure.ln_chance > Limits::default().level.ln(), "{unsure:?}");
}

#[test]
fn false_alarms_are_as_rare_as_is_said() {
    let alarms = |level: f64| {
        let limits = Limits { level, ..Limits::default() };
        (0..200).filter(|seed| !compare(limits, unrelated(*seed, 300, 30)).causes.is_empty()).count()
    };
    // Of 200 sets of calls, 2 and 40 are expected at most; exact tests of few calls stay below it.
    let (few, many) = (alarms(0.01), alarms(0.2));
    assert!(few <= 7, "{few} of 200 at one in a hundred");
    assert!((1..=55).contains(&many), "{many} of 200 at one in five: it is no test that never says anything");
}

/// Calls of which the odd ones are kept always and one in twenty of the others.
#[test]
fn what_was_sampled_gives_the_same_answer() {
    let mut dice = Dice::of(13);
    let sampled = traffic().filter_map(|(mut call, bad)| {
        let count = if bad { 1.0 } else { 20.0 };
        let key = "plainspan.sampling.adjusted_count";
        call.span.attributes.push(Attribute { key, value: Value::Double(count) });
        (bad || dice.below(20) == 0).then_some((call, bad))
    });
    let findings = compare(Limits::default(), sampled.collect::<Vec<_>>());
    assert_eq!(firsts(&findings.causes)[0], "gen_ai.prompt.name=template-17");
    let first = &findings.causes[0];
    assert!(findings.calls.seen < 1000 && (9_000.0..11_000.0).contains(&findings.calls.all), "{findings:?}");
    assert!(first.lift > 30.0 && first.failing > 0.7 && first.ln_chance < -200.0, "{first:?}");
    assert!(findings.causes[1..].iter().all(|other| other.no_more_than == Some(0)), "{findings:?}");
}

/// The same with calls that stand for others: nine of ten are dropped of those that are not bad.
#[test]
fn calls_that_were_dropped_are_accounted_for() {
    let mut tally = [weight::Sides::default(); 2];
    let mut dice = Dice::of(11);
    for _ in 0..100_000 {
        let (bad, with) = (dice.below(30) == 0, dice.below(4) == 0);
        // Of those with it, all are kept: among what was kept it looks common.
        let part = if bad || with { 1 } else { 10 };
        if dice.below(part) == 0 {
            tally[0].add(bad, part as f64);
            if with {
                tally[1].add(bad, part as f64);
            }
        }
    }
    let [all, with] = tally;
    let (bad, rest) = (all.bad.share(&with.bad), all.rest.share(&with.rest));
    assert!((bad - 0.25).abs() < 0.03 && (rest - 0.25).abs() < 0.01, "{bad} {rest}");
    assert!(all.split(&with).ln_p() > (0.001_f64).ln());
    // By the calls that were kept alone, it would look as if it kept calls from being bad.
    assert!(with.rest.calls as f64 / all.rest.calls as f64 > 0.7);
}

#[test]
fn two_causes_that_act_together_are_told_together() {
    let mut dice = Dice::of(5);
    let calls = (0..10_000).map(|_| {
        let (model, tool) = (dice.below(5), dice.below(5));
        let bad = if model == 1 && tool == 2 { dice.below(10) > 0 } else { dice.below(100) == 0 };
        let extra = vec![("m".to_owned(), format!("m{model}")), ("t".to_owned(), format!("t{tool}"))];
        (call(finish(bad).to_vec(), extra), bad)
    });
    let findings = compare(Limits::default(), calls.collect::<Vec<_>>());
    let mut causes = firsts(&findings.causes);
    causes.sort();
    assert_eq!(causes, ["attribute.m=m1", "attribute.t=t2"]);
    assert_eq!(findings.together.len(), 1, "{findings:#?}");
    let both = &findings.together[0].both;
    assert_eq!(terms(both).len(), 2);
    assert!(both.failing > 0.85 && both.lift > findings.causes[0].lift * 2.0, "{both:?}");
}

#[test]
fn ranges_of_numbers_and_what_is_missing() {
    let mut dice = Dice::of(9);
    let calls = (0..5000).map(|number| {
        let tokens = dice.below(100_000) as i64;
        let versioned = dice.below(20) > 0;
        let bad = tokens > 89_000 || (!versioned && dice.below(2) == 0);
        let mut attributes = vec![("gen_ai.usage.input_tokens", Value::Int(tokens))];
        attributes.extend(finish(bad));
        if versioned {
            attributes.push(("plainspan.api", text(format!("api-{}", number % 3))));
        }
        (call(attributes, vec![]), bad)
    });
    let findings = compare(Limits::default(), calls.collect::<Vec<_>>());
    let causes = firsts(&findings.causes);
    // Of a number one range, where it is surest; it is divided at tenths of all calls.
    assert_eq!(causes.len(), 2, "{causes:?}");
    let cut: f64 = causes[0].strip_prefix("gen_ai.usage.input_tokens>=").unwrap().parse().unwrap();
    assert!((88_000.0..92_000.0).contains(&cut), "{cut}");
    assert_eq!(causes[1], "!plainspan.api");
}

#[test]
fn a_cause_that_began_at_some_time() {
    let second = |number: u64| 1_700_000_000 + number;
    let calls = (0..1000).map(|number| {
        let bad = number >= 900;
        let mut call = call(finish(bad).to_vec(), vec![]);
        call.span.start = Timestamp(second(number) * 1_000_000_000);
        call.span.end = call.span.start;
        (call, bad)
    });
    let findings = compare(Limits::default(), calls.collect::<Vec<_>>());
    assert_eq!(firsts(&findings.causes), [format!("since {}", second(900))]);
}

#[test]
fn items_of_a_list_count_by_themselves_and_once() {
    let calls = (0..1000).map(|number| {
        let bad = number % 10 == 0;
        let mut tools = vec!["search".to_owned(), "search".to_owned(), format!("t{}", number % 7)];
        tools.extend(bad.then(|| "broken".to_owned()));
        let mut attributes = vec![("gen_ai.request.encoding_formats", Value::Strings(tools))];
        attributes.extend(finish(bad));
        (call(attributes, vec![]), bad)
    });
    let findings = compare(Limits::default(), calls.collect::<Vec<_>>());
    assert_eq!(firsts(&findings.causes), ["gen_ai.request.encoding_formats=broken"]);
    assert_eq!((findings.causes[0].bad.seen, findings.causes[0].rest.seen), (100, 0));
}

#[test]
fn what_is_too_much_is_counted() {
    let limits = Limits { calls: 500, attributes: 3, values: 50, value_bytes: 16, ..Limits::default() };
    let calls = (0..600).map(|number| {
        let mut long = String::new();
        let _ = write!(long, "{}{}", "x".repeat(100), number % 2);
        let extra = ["a", "b", "c"].map(|name| (name.to_owned(), format!("{name}{number}"))).to_vec();
        let mut attributes = finish(number % 2 == 0).to_vec();
        attributes.push(("gen_ai.system_instructions", text(long)));
        (call(attributes, extra), number % 2 == 0)
    });
    let findings = compare(limits, calls.collect::<Vec<_>>());
    let left_out = &findings.left_out;
    assert_eq!((findings.calls.seen, left_out.calls), (500, 100));
    assert_eq!(left_out.many, [("attribute.a".to_owned(), 450), ("attribute.b".to_owned(), 450)]);
    // c, kind, status, the length and the start of each call.
    assert_eq!(left_out.attributes, 5 * 500);
    // Values that are too long are told apart, and shown by their beginning.
    assert_eq!(findings.causes[0].bad.seen, 250);
    assert_eq!(firsts(&findings.causes), [format!("gen_ai.system_instructions={}*", "x".repeat(64))]);
}

#[test]
fn the_more_is_tried_the_surer_it_has_to_be() {
    // Two of twenty can be chosen in 190 ways.
    let told = |others: usize| {
        let calls = (0..20).map(|number| {
            let bad = number < 2;
            let mut extra = vec![("a".to_owned(), bad.to_string())];
            extra.extend(
                (0..others).map(|other| (format!("other{other}"), (number / 2 == other + 1).to_string())),
            );
            (call(finish(bad).to_vec(), extra), bad)
        });
        firsts(&compare(Limits::default(), calls.collect::<Vec<_>>()).causes)
    };
    assert_eq!(told(0), ["attribute.a=true"]);
    assert_eq!(told(7), [""; 0]);
    assert!(compare(Limits::default(), []).causes.is_empty());
}
