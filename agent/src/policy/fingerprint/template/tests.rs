mod corpus;

use std::{collections::HashMap, fmt::Write as _};

use proptest::prelude::*;

use self::corpus::{Dice, WAYS, fill, filled, templates};
use super::*;
use crate::genai::{Content, Message, Request};

fn call(system: &str, message: &str) -> Call {
    let text = |text: &str| Part::Text(Content::from(text));
    let system = if system.is_empty() { Vec::new() } else { vec![text(system)] };
    let messages = vec![Message { role: "user".into(), name: None, parts: vec![text(message)] }];
    Call { request: Request { system, messages, ..Request::default() }, ..Call::default() }
}

/// How well what was found agrees with what is so: of the pairs of calls with one fingerprint those of one template, and the other way round.
#[derive(Clone, Copy, Debug)]
struct Agreement {
    precision: f64,
    recall: f64,
}

fn agreement<'a>(calls: impl Iterator<Item = &'a (usize, Option<String>)>) -> Agreement {
    let (mut both, mut found, mut so) = (HashMap::new(), HashMap::new(), HashMap::new());
    for (at, (truth, print)) in calls.enumerate() {
        // What has none is like no other.
        let print = print.clone().unwrap_or_else(|| at.to_string());
        *both.entry((*truth, print.clone())).or_insert(0_u64) += 1;
        *found.entry(print).or_insert(0_u64) += 1;
        *so.entry(*truth).or_insert(0_u64) += 1;
    }
    let pairs = |counts: &mut dyn Iterator<Item = &u64>| {
        counts.map(|n| n * n.saturating_sub(1) / 2).sum::<u64>() as f64
    };
    let right = pairs(&mut both.values());
    Agreement { precision: right / pairs(&mut found.values()), recall: right / pairs(&mut so.values()) }
}

fn key() -> Key {
    Key::new(&[7; 32])
}

/// The fingerprints of calls made from templates, of each a number of times, in random order.
fn run(templates: &[(String, String)], each: usize, dice: &mut Dice) -> Vec<(usize, Option<String>)> {
    let mut order: Vec<usize> = (0..templates.len() * each).map(|n| n % templates.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, dice.below(at + 1));
    }
    let mut known = Templates::new(Arc::default());
    let calls = order.into_iter().map(|truth| {
        let (system, message) = &templates[truth];
        let call = call(&filled(system, dice), &filled(message, dice));
        (truth, known.of(&call, &key()))
    });
    calls.collect()
}

/// The figures of docs/fingerprints.md; `cargo test -- --nocapture` prints them.
#[test]
fn prompts_of_a_template_have_its_fingerprint_and_others_have_not() {
    let mut figures = String::new();
    let rows = WAYS.iter().map(|way| (*way, std::slice::from_ref(way), 20, 0.85, 0.85));
    let all = [40, 100, 200].map(|many| ("all", WAYS, many, 0.95, 0.88));
    for (name, ways, many, precision, recall) in rows.chain(all) {
        for seed in 0..if name == "all" { 3 } else { 1 } {
            let mut dice = Dice(seed);
            let made = templates(ways, many, &mut dice);
            let calls = run(&made, 25, &mut dice);
            let (all, later) = (agreement(calls.iter()), agreement(calls[many * 4..].iter()));
            writeln!(
                figures,
                "{name}: {many} templates: precision {:.3}, recall {:.3}; after four calls of each {:.3}, {:.3}",
                all.precision, all.recall, later.precision, later.recall
            )
            .unwrap();
            assert!(all.precision >= precision && all.recall >= recall, "{figures}");
            assert!(name != "all" || later.precision >= 0.95 && later.recall >= 0.95, "{figures}");
        }
    }
    #[allow(clippy::print_stdout, reason = "they are written in the book")]
    {
        println!("{figures}");
    }
}

#[test]
fn names_are_the_same_after_a_restart() {
    let mut dice = Dice(7);
    let made = templates(WAYS, 100, &mut dice);
    let mut names = || -> Vec<Option<String>> {
        let calls = run(&made, 10, &mut dice);
        let last = |template| calls.iter().rev().find(|(truth, _)| *truth == template).unwrap().1.clone();
        (0..made.len()).map(last).collect()
    };
    let (before, after) = (names(), names());
    let same =
        before.iter().zip(&after).filter(|(before, after)| before.is_some() && before == after).count();
    #[allow(clippy::print_stdout, reason = "it is written in the book")]
    {
        println!("{same} of {} have the same name", made.len());
    }
    assert!(same >= 85, "{same}");
}

#[test]
fn a_long_beginning_that_is_the_same_makes_no_template() {
    let preamble = "You work for a large shop and follow its rules to the letter. ".repeat(20);
    let mut known = Templates::new(Arc::default());
    let mut dice = Dice(1);
    let prints: Vec<_> = (0..20)
        .map(|_| known.of(&call(&format!("{preamble}{}", fill(&mut dice, 300)), "Go on"), &key()))
        .collect();
    let mut different = prints.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), prints.len());
}

#[test]
fn turns_of_a_conversation_have_one_fingerprint_and_no_lesson_in_them() {
    let mut known = Templates::new(Arc::default());
    let mut call = call("You help people who grow roses.", "How often do I water them?");
    let first = known.of(&call, &key());
    assert!(first.is_some());
    for turn in 0..20 {
        for role in ["assistant", "user"] {
            let parts = vec![Part::Text(Content::from(format!("turn {turn}").as_str()))];
            call.request.messages.push(Message { role: role.into(), name: None, parts });
        }
        assert_eq!(known.of(&call, &key()), first, "{turn}");
    }
}

#[test]
fn values_that_come_again_make_no_templates_of_their_own() {
    let mut known = Templates::new(Arc::default());
    let mut dice = Dice(3);
    let prints: std::collections::BTreeSet<_> = (0..500)
        .map(|_| {
            let thing = ["printer", "invoice", "router", "parcel"][dice.below(4)];
            let when = ["again", "since Monday", "twice", "for no reason"][dice.below(4)];
            let (customer, number) = (dice.below(200), dice.below(90_000));
            let message = format!("Ticket of customer {customer}: the {thing} {number} {when}.");
            known.of(&call("You answer tickets for the service desk.", &message), &key())
        })
        .collect();
    assert_eq!(prints.len(), 1, "{prints:?}");
}

#[test]
fn what_comes_again_and_again_is_a_template() {
    let mut known = Templates::new(Arc::default());
    let prints: Vec<_> = (0..4).map(|_| known.of(&call("", "Are you there?"), &key())).collect();
    assert!(prints[0].is_none() && prints[1].is_none() && prints[2].is_some(), "{prints:?}");
    assert_eq!(prints[2], prints[3]);
}

#[test]
fn only_so_many_are_remembered_and_what_is_forgotten_is_counted() {
    let account = Arc::new(Account::default());
    let mut known = Templates::new(Arc::clone(&account));
    let word = |n: usize| format!("{}{}", "abcdefghij".repeat(1 + n % 7), "xyz".repeat(n / 7));
    for n in 0..3 * MOST {
        let call =
            call(&format!("You are {} and do that.", word(n)), &format!("Say {} as one: {n}", word(n)));
        assert!(known.of(&call, &key()).is_some());
        assert!(known.systems.len() <= MOST && known.messages.len() <= MOST);
    }
    assert!(account.get(Counter::TemplatesForgotten) >= MOST as u64);
}

proptest! {
    #[test]
    fn whatever_is_announced_is_filled_in(values in proptest::collection::vec("(?s).{0,200}", 2..12)) {
        let mut known = Templates::new(Arc::default());
        let prints: Vec<_> = values
            .iter()
            .map(|value| known.of(&call("", &format!("Tell me in one word what this is about: {value}")), &key()))
            .collect();
        let mut named: Vec<_> = prints.into_iter().flatten().collect();
        named.dedup();
        prop_assert!(named.len() <= 1, "{:?}", named);
    }

    #[test]
    fn any_texts_can_be_read(texts in proptest::collection::vec(("(?s).{0,300}", "(?s).{0,300}"), 1..20)) {
        let mut known = Templates::new(Arc::default());
        for (system, message) in texts {
            let call = call(&system, &message);
            let first = known.of(&call, &key());
            prop_assert!(first.is_none_or(|name| name.len() == 16));
        }
    }
}
