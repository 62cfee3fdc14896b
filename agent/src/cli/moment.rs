//! Times as people write them.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, civil::DateTime, tz::TimeZone};

/// A length of time: `90s`, `15m`, `2h`, `30d`, or ISO 8601's `PT2H`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no length of time: write it as 90s, 15m, 2h or 30d");
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(length).map_err(|_| wrong())
}

/// A moment: so long ago, or a date and time, which are local ones without a zone.
pub(super) fn moment(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Ok(ago) = duration(text) {
        let ago = SignedDuration::try_from(ago).unwrap_or(SignedDuration::MAX);
        return Ok(now.checked_sub(ago).unwrap_or(Timestamp::MIN));
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let local: Option<DateTime> = text.parse().ok();
    local.and_then(|local| local.to_zoned(zone.clone()).ok()).map(|zoned| zoned.timestamp()).ok_or_else(|| {
        format!("`{text}` is no time: write it as 15m or 2d (ago), 2026-11-26T14:30, or with a zone 2026-11-26T14:30:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("2h", 7200), ("1h 30m", 5400), ("30d", 30 * 86_400), ("PT2H", 7200)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "soon", "15", "-2h", "1y"] {
            assert!(duration(text).unwrap_err().contains("no length of time"), "{text}");
        }
    }

    #[test]
    fn moments() {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (text, expected) in [
            ("15m", "2026-11-26T11:45:00Z"),
            ("2d", "2026-11-24T12:00:00Z"),
            ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
            ("2026-11-20T10:00:00+01:00", "2026-11-20T09:00:00Z"),
            ("2026-11-20T10:00", "2026-11-20T08:00:00Z"),
            ("2026-11-20 10:00:30", "2026-11-20T08:00:30Z"),
            ("2026-11-20", "2026-11-19T22:00:00Z"),
        ] {
            assert_eq!(moment(text, now, &zone), Ok(expected.parse().unwrap()), "{text}");
        }
        assert!(moment("yesterday-ish", now, &zone).unwrap_err().contains("15m or 2d"));
    }
}
