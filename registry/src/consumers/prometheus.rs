//! OpenTelemetry's names as Prometheus has them.
//!
//! Rules: opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics, and the translation that the collector and
//! Prometheus share (github.com/prometheus/otlptranslator).

use crate::{Instrument, Metric};

/// Endings of the series that a histogram or summary consists of.
const SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// A name with what Prometheus does not allow made underscores; several become one.
pub fn mangled(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) { format!("_{out}") } else { out }
}

/// The forms that a metric's name takes in Prometheus, without the endings of a histogram's series: with unit and `_total`, and without,
/// since both can be turned off.
pub fn forms(metric: &Metric) -> Vec<String> {
    let base = mangled(&metric.name);
    let unit = unit(&metric.unit, metric.instrument);
    let with_unit = match &unit {
        Some(unit) if !base.ends_with(unit.as_str()) => format!("{base}_{unit}"),
        _ => base.clone(),
    };
    let mut forms = vec![with_unit, base];
    if metric.instrument == Instrument::Counter {
        let totals: Vec<_> =
            forms.iter().map(|form| format!("{}_total", form.trim_end_matches("_total"))).collect();
        forms.extend(totals);
    }
    forms.dedup();
    forms
}

/// A series' name without the ending that says which part of a histogram it is.
pub fn without_series(name: &str) -> &str {
    SERIES.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

fn unit(unit: &str, instrument: Instrument) -> Option<String> {
    // Braces annotate: `{token}` is the unit one.
    let mut plain = String::new();
    let mut depth = 0usize;
    for c in unit.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let plain = plain.trim();
    if plain == "1" && instrument == Instrument::Gauge {
        return Some("ratio".to_owned());
    }
    let (main, per) = match plain.split_once('/') {
        Some((main, per)) => (main, Some(per)),
        None => (plain, None),
    };
    let main = word(main);
    let per = per.map(|per| format!("per_{}", singular(per)));
    let all: Vec<_> = main.into_iter().chain(per).filter(|word| !word.is_empty()).collect();
    if all.is_empty() { None } else { Some(all.join("_")) }
}

fn word(unit: &str) -> Option<String> {
    let word = match unit {
        "" | "1" => return None,
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "kBy" | "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "%" => "percent",
        "Hz" => "hertz",
        other => return Some(mangled(other).trim_matches('_').to_owned()),
    };
    Some(word.to_owned())
}

fn singular(unit: &str) -> String {
    match unit {
        "s" => "second".to_owned(),
        "m" | "min" => "minute".to_owned(),
        "h" => "hour".to_owned(),
        "d" => "day".to_owned(),
        "" => String::new(),
        other => mangled(other).trim_matches('_').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    #[test]
    fn names_are_mangled_as_prometheus_does() {
        for (name, wanted) in
            [("gen_ai.a.b", "gen_ai_a_b"), ("a..b", "a_b"), ("9a", "_9a"), ("é", "_"), ("a:b", "a:b")]
        {
            assert_eq!(mangled(name), wanted);
        }
    }

    #[test]
    fn units_and_kinds_end_the_name() {
        use Instrument::{Counter, Gauge, Histogram, UpDownCounter};
        #[rustfmt::skip]
        let rows: [(&str, &str, Instrument, &[&str]); 7] = [
            ("a.duration", "s", Histogram, &["a_duration_seconds", "a_duration"]),
            ("a.tokens", "{token}", Counter, &["a_tokens", "a_tokens_total"]),
            ("a.size", "By", Counter, &["a_size_bytes", "a_size", "a_size_bytes_total", "a_size_total"]),
            ("a.share", "1", Gauge, &["a_share_ratio", "a_share"]),
            ("a.speed", "By/s", Gauge, &["a_speed_bytes_per_second", "a_speed"]),
            ("a.seconds", "s", UpDownCounter, &["a_seconds"]),
            ("a.rate", "{token}/s", Gauge, &["a_rate_per_second", "a_rate"]),
        ];
        for (name, unit, instrument, wanted) in rows {
            let metric = Metric {
                name: name.into(),
                instrument,
                unit: unit.into(),
                brief: String::new(),
                note: None,
                stability: String::new(),
                since: Version { major: 0, minor: 1, patch: 0 },
                deprecated: None,
                upstream: None,
                boundaries: Vec::new(),
                attributes: Vec::new(),
            };
            let forms = forms(&metric);
            assert_eq!(forms, wanted, "{name}");
        }
        assert_eq!(without_series("a_duration_seconds_bucket"), "a_duration_seconds");
    }
}
