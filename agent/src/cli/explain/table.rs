//! Findings as a person reads them.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use super::Args;
use crate::{
    cli::shell,
    explain::{Count, Finding, Findings, LeftOut, Term},
    export::visible,
};

/// Longest text of what calls have, in characters.
const WIDEST: usize = 70;
/// What else the same calls have, at most.
const TERMS: usize = 3;
/// Names of attributes that are listed of those that were left out.
const NAMED: usize = 6;
/// Calls that the hint shows.
const EXAMPLES: usize = 5;
/// Where the last column begins.
const INDENT: usize = 50;

/// All that is told, as lines.
pub(super) fn text(findings: &Findings, args: &Args) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, findings, args);
    out
}

fn write(out: &mut String, findings: &Findings, args: &Args) -> std::fmt::Result {
    let zone = TimeZone::system();
    let conditions: Vec<String> = args.bad.iter().map(|bad| visible(&bad.to_string()).into_owned()).collect();
    let Findings { calls, bad, .. } = findings;
    let share = percent(bad.all / calls.all);
    let conditions = conditions.join(" and ");
    if is_estimate(calls) {
        writeln!(out, "{} of {} calls are bad: {conditions}", bad.seen, calls.seen)?;
        writeln!(
            out,
            "Calls were sampled: they stand for {:.0} of about {:.0} ({share}), and all shares are of these.",
            bad.all, calls.all
        )?;
    } else {
        writeln!(out, "{} of {} calls are bad ({share}): {conditions}", bad.seen, calls.seen)?;
    }
    writeln!(out)?;
    if findings.causes.is_empty() {
        writeln!(out, "Nothing sets them apart from the others beyond what chance does.")?;
    } else {
        heading(out)?;
        for (number, finding) in (1..).zip(findings.causes.iter().take(args.limit)) {
            row(out, &number.to_string(), finding, &zone, "the same calls")?;
        }
    }
    if let Some(unsure) = &findings.unsure {
        writeln!(out, "\nWhat comes nearest, and may well be chance:")?;
        heading(out)?;
        row(out, "-", unsure, &zone, "the same calls")?;
    }
    if !findings.together.is_empty() {
        writeln!(out, "\nTogether, more than each alone:")?;
        heading(out)?;
        for pair in findings.together.iter().take(args.limit) {
            let number = format!("{}+{}", pair.of.0 + 1, pair.of.1 + 1);
            row(out, &number, &pair.both, &zone, "and")?;
        }
    }
    if !findings.signs.is_empty() {
        writeln!(out, "\nHow these calls went, which is rather what comes of it:")?;
        heading(out)?;
        for finding in findings.signs.iter().take(args.limit) {
            row(out, "-", finding, &zone, "the same calls")?;
        }
    }
    writeln!(out)?;
    if !(findings.causes.is_empty() && findings.signs.is_empty() && findings.unsure.is_none()) {
        writeln!(
            out,
            "BAD, OTHERS: bad calls and others that have it. FAILING: calls with it that are bad; LIFT: times as many as of all.\n\
             CHANCE: that luck alone makes anything stand out so far, of {} sets of calls that were tried.",
            findings.tried
        )?;
    }
    left_out(out, &findings.left_out)?;
    if args.files.is_empty()
        && let Some(first) = findings.causes.first()
    {
        writeln!(out, "\nSome of them:\n  {}", examples(first, args, &zone))?;
    }
    Ok(())
}

fn row(out: &mut String, number: &str, finding: &Finding, zone: &TimeZone, others: &str) -> std::fmt::Result {
    let bad = format!("{} {:>5}", finding.bad.seen, percent(finding.bad_share));
    let mut terms = finding.terms.iter().map(|term| shown(term, zone));
    let cells = [
        number,
        &bad,
        &percent(finding.rest_share),
        &percent(finding.failing),
        &times(finding.lift),
        &chance(finding.ln_chance),
        &terms.next().unwrap_or_default(),
    ];
    line(out, cells)?;
    for term in terms.by_ref().take(TERMS) {
        writeln!(out, "{:INDENT$}{others}: {term}", "")?;
    }
    let more = terms.count() + finding.more_terms;
    if more > 0 {
        writeln!(out, "{:INDENT$}{others}: {more} more", "")?;
    }
    if let Some(place) = finding.no_more_than {
        writeln!(out, "{:INDENT$}tells no more than {}", "", place + 1)?;
    }
    Ok(())
}

fn heading(out: &mut String) -> std::fmt::Result {
    line(out, ["#", "BAD", "OTHERS", "FAILING", "LIFT", "CHANCE", "THE CALLS WITH"])
}

fn line(out: &mut String, cells: [&str; 7]) -> std::fmt::Result {
    let [number, bad, others, failing, lift, chance, what] = cells;
    writeln!(out, "{number:>2}  {bad:>12}  {others:>6}  {failing:>7}  {lift:>5}  {chance:>6}  {what}")
}

fn left_out(out: &mut String, left_out: &LeftOut) -> std::fmt::Result {
    for (why, names) in
        [("what makes them bad", &left_out.asked), ("another value in each call", &left_out.unique)]
    {
        if !names.is_empty() {
            writeln!(out, "Not compared, {why}: {}", listed(names))?;
        }
    }
    if !left_out.many.is_empty() {
        let names: Vec<String> =
            left_out.many.iter().map(|(name, calls)| format!("{name} (in {calls} calls)")).collect();
        writeln!(out, "Not all compared, too many values: {}", listed(&names))?;
    }
    if left_out.attributes > 0 {
        writeln!(out, "Not compared, too many attributes: {} values of them", left_out.attributes)?;
    }
    if left_out.calls > 0 {
        writeln!(out, "Not compared, too many calls: take fewer with --since or --where")?;
    }
    Ok(())
}

fn listed(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(NAMED).map(|name| visible(name).into_owned()).collect();
    if names.len() > NAMED {
        shown.push(format!("{} more", names.len() - NAMED));
    }
    shown.join(", ")
}

/// A command that shows some of the calls.
fn examples(finding: &Finding, args: &Args, zone: &TimeZone) -> String {
    let mut words = vec!["plainspan".to_owned(), "calls".to_owned()];
    words.extend(args.from.arguments());
    words.extend(args.which.arguments());
    for condition in &args.bad {
        words.extend(["--where".to_owned(), condition.to_string()]);
    }
    match finding.terms.first() {
        Some(Term::Where(condition)) => words.extend(["--where".to_owned(), condition.to_string()]),
        Some(Term::Since(seconds)) => words.extend(["--since".to_owned(), moment(*seconds, zone)]),
        Some(Term::Before(seconds)) => words.extend(["--until".to_owned(), moment(*seconds, zone)]),
        None => {}
    }
    words.extend(["-n".to_owned(), EXAMPLES.to_string()]);
    words.iter().map(|word| shell::quoted(word)).collect::<Vec<_>>().join(" ")
}

/// What calls have, as text.
pub(super) fn shown(term: &Term, zone: &TimeZone) -> String {
    let text = match term {
        Term::Where(condition) => condition.to_string(),
        Term::Since(seconds) => format!("began {} or later", moment(*seconds, zone)),
        Term::Before(seconds) => format!("began before {}", moment(*seconds, zone)),
    };
    let text = visible(&text);
    let letters = text.chars().count();
    if letters <= WIDEST {
        return text.into_owned();
    }
    let end = WIDEST / 3;
    let begin: String = text.chars().take(WIDEST - end - 1).collect();
    let end: String = text.chars().skip(letters - end).collect();
    format!("{begin}…{end}")
}

fn moment(seconds: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    time.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

fn is_estimate(count: &Count) -> bool {
    (count.all - count.seen as f64).abs() > 0.5
}

/// A part of all, never as none of it or all of it where it is not.
fn percent(part: f64) -> String {
    let percent = part * 100.0;
    match percent {
        p if p <= 0.0 => "0%".to_owned(),
        p if p < 0.1 => "<0.1%".to_owned(),
        p if p >= 100.0 => "100%".to_owned(),
        p if p > 99.9 => ">99.9%".to_owned(),
        p if !(9.95..99.5).contains(&p) => format!("{p:.1}%"),
        p => format!("{p:.0}%"),
    }
}

fn times(lift: f64) -> String {
    if lift < 9.95 { format!("{lift:.1}x") } else { format!("{lift:.0}x") }
}

fn chance(ln: f64) -> String {
    let p = ln.exp();
    if ln < -99.0 * std::f64::consts::LN_10 {
        "<1e-99".to_owned()
    } else if p < 0.001 {
        format!("{p:.0e}")
    } else {
        format!("{p:.*}", if p < 0.01 { 3 } else { 2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_neither_none_nor_all_unless_they_are() {
        for (part, text) in [
            (0.0, "0%"),
            (0.000_01, "<0.1%"),
            (0.001, "0.1%"),
            (0.0312, "3.1%"),
            (0.1, "10%"),
            (0.5, "50%"),
            (0.991, "99%"),
            (0.996, "99.6%"),
            (0.999_9, ">99.9%"),
            (1.0, "100%"),
        ] {
            assert_eq!(percent(part), text, "{part}");
        }
    }

    #[test]
    fn chances() {
        for (p, text) in
            [(1.0_f64, "1.00"), (0.37, "0.37"), (0.004, "0.004"), (0.000_4, "4e-4"), (1e-40, "1e-40")]
        {
            assert_eq!(chance(p.ln()), text);
        }
        assert_eq!(chance(-2000.0), "<1e-99");
    }

    #[test]
    fn long_values_lose_their_middle() {
        let zone = TimeZone::UTC;
        let condition = format!("model=begin{}end", "x".repeat(200)).parse().unwrap();
        let text = shown(&Term::Where(condition), &zone);
        assert!(
            text.starts_with("model=begin") && text.ends_with("end") && text.chars().count() == WIDEST,
            "{text}"
        );
        assert_eq!(shown(&Term::Since(0), &zone), "began 1970-01-01T00:00:00 or later");
    }
}
