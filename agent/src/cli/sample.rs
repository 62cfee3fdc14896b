//! What the command line says about sampling.

use crate::policy::sample::{Oddities, Rate, Settings};

/// Options of every verb that makes spans.
#[derive(Debug, clap::Args)]
pub(super) struct SampleArgs {
    /// Which calls become spans: all; the odd ones and a part of the others, as 10%; or with the odd ones
    /// about so many a second, as 50/s.
    #[arg(long, value_name = "RATE", env = "PLAINSPAN_SAMPLE", hide_env = true, default_value = "all", value_parser = rate)]
    sample: Rate,
    /// What is odd and therefore always kept, separated by commas: error, refusal, finish_reason, truncated,
    /// stalled, repetition, damaged, slow, new; 'all' or 'none'.
    #[arg(long, value_name = "WHAT", default_value = "all", value_parser = oddities)]
    sample_keep: Oddities,
    /// A call is slow if it takes longer than this part of its cohort: calls of the same provider, model and
    /// operation, streamed or not.
    #[arg(long, value_name = "PERCENTILE", default_value = "99%", value_parser = percentile)]
    sample_slow: f64,
    /// Keep at least so many calls of each cohort in a minute.
    #[arg(long, value_name = "CALLS", default_value_t = 1, allow_negative_numbers = true)]
    sample_floor: u32,
}

impl SampleArgs {
    /// What is to be kept.
    pub(super) fn settings(&self) -> Settings {
        let Self { sample, sample_keep, sample_slow, sample_floor } = *self;
        Settings { rate: sample, keep: sample_keep, slow: sample_slow, floor: sample_floor }
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || "it is all, a part as 10%, or a number of spans a second as 50/s".to_owned();
    if text == "all" {
        return Ok(Rate::All);
    }
    if let Some(part) = text.strip_suffix('%') {
        return percent(part).map(Rate::Part).ok_or_else(wrong);
    }
    let budget: Option<f64> = text.strip_suffix("/s").and_then(|number| number.trim_end().parse().ok());
    match budget {
        Some(budget) if budget.is_finite() && budget > 0.0 => Ok(Rate::Budget(budget)),
        Some(_) => Err("a budget is more than nothing: 0% keeps the odd ones alone".to_owned()),
        None => Err(wrong()),
    }
}

/// From 0 to 1.
fn percent(text: &str) -> Option<f64> {
    let number: f64 = text.trim_end().parse().ok()?;
    (0.0..=100.0).contains(&number).then_some(number / 100.0)
}

fn percentile(text: &str) -> Result<f64, String> {
    let part = percent(text.strip_suffix('%').unwrap_or(text));
    part.filter(|part| *part >= 0.5).ok_or_else(|| "it is from 50% to 100%".to_owned())
}

fn oddities(text: &str) -> Result<Oddities, String> {
    match text {
        "all" => Ok(Oddities::ALL),
        "none" => Ok(Oddities::NONE),
        _ => text.split(',').map(str::trim).try_fold(Oddities::NONE, |all, name| {
            let names = || Oddities::names().collect::<Vec<_>>().join(", ");
            all.with(name).ok_or_else(|| format!("{name:?} is none of {}", names()))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::sample::Reason;

    #[test]
    fn rates() {
        for (text, expected) in [
            ("all", Some(Rate::All)),
            ("10%", Some(Rate::Part(0.1))),
            ("0.5 %", Some(Rate::Part(0.005))),
            ("100%", Some(Rate::Part(1.0))),
            ("0%", Some(Rate::Part(0.0))),
            ("50/s", Some(Rate::Budget(50.0))),
            ("0.5/s", Some(Rate::Budget(0.5))),
            ("0/s", None),
            ("-1/s", None),
            ("inf/s", None),
            ("101%", None),
            ("NaN%", None),
            ("10", None),
            ("", None),
        ] {
            assert_eq!(rate(text).ok(), expected, "{text}");
        }
        assert!(rate("10").unwrap_err().contains("50/s"));
    }

    #[test]
    fn what_is_odd_and_what_is_slow() {
        let some = oddities("error, slow").unwrap();
        assert!(some.has(Reason::Error) && some.has(Reason::Slow) && !some.has(Reason::NewTenant));
        assert!(
            oddities("new").unwrap().has(Reason::NewTenant) && oddities("all").unwrap().has(Reason::Slow)
        );
        assert!(!oddities("none").unwrap().has(Reason::Error));
        assert!(oddities("errors").unwrap_err().starts_with("\"errors\" is none of error, refusal"));
        assert_eq!((percentile("99.5%").ok(), percentile("95").ok()), (Some(0.995), Some(0.95)));
        assert!(percentile("101%").is_err() && percentile("3").is_err() && percentile("x").is_err());
    }
}
