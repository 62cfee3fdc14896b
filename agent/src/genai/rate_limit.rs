//! When to come again, and what is left of a quota, as headers of the answer tell it.
//!
//! There are three families: OpenAI's `x-ratelimit-limit-requests` and the like, which most others speak too; Anthropic's
//! `anthropic-ratelimit-requests-limit`; and the draft standard's (draft-ietf-httpapi-ratelimit-headers), in its older and newer
//! forms, which knows requests only. Moments are counted from the answer's own `Date`: two clocks would differ.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

use super::call::{Quota, RateLimits};
use crate::wire::{Headers, ResponseHead};

/// A number from here on is a moment in seconds since 1970, not a time to wait; a thousand times that, in milliseconds.
const MOMENT: f64 = 1e9;

/// How long the server asks to wait: `retry-after-ms` (OpenAI, Azure), else `Retry-After` (RFC 9110, section 10.2.3).
pub(super) fn retry_after(head: &ResponseHead) -> Option<Duration> {
    let headers = &head.headers;
    let exact = headers.get("retry-after-ms").and_then(|value| seconds(number(value)? / 1000.0));
    exact.or_else(|| {
        let value = headers.get("retry-after")?.trim();
        match number(value) {
            Some(wait) => seconds(wait),
            None => wait_until(DateTimeParser::new().parse_timestamp(value).ok()?, headers),
        }
    })
}

/// What is left of each quota.
pub(super) fn read(head: &ResponseHead) -> RateLimits {
    let headers = &head.headers;
    let mut requests = quota(headers, "requests");
    standard(headers, &mut requests);
    RateLimits {
        requests,
        tokens: quota(headers, "tokens"),
        input_tokens: quota(headers, "input-tokens"),
        output_tokens: quota(headers, "output-tokens"),
    }
}

/// Of OpenAI's and Anthropic's families.
fn quota(headers: &Headers, unit: &str) -> Quota {
    let get = |field: &str| {
        let openai = headers.get(&format!("x-ratelimit-{field}-{unit}"));
        openai.or_else(|| headers.get(&format!("anthropic-ratelimit-{unit}-{field}")))
    };
    Quota {
        limit: get("limit").and_then(count),
        remaining: get("remaining").and_then(count),
        reset: get("reset").and_then(|value| reset(value, headers)),
    }
}

/// `RateLimit-Limit` and the like, also with the `X-` of before the draft; `RateLimit: limit=9, remaining=5, reset=3`; and
/// `RateLimit: "name";r=5;t=3` with `RateLimit-Policy: "name";q=9`.
fn standard(headers: &Headers, quota: &mut Quota) {
    let get = |field: &str| {
        let plain = headers.get(&format!("ratelimit-{field}"));
        plain.or_else(|| headers.get(&format!("x-ratelimit-{field}")))
    };
    let parameter = |header: &'static str, names: [&str; 2]| {
        // Of several policies, the first is looked at.
        let value = headers.get(header)?;
        let mut pairs = value.split([';', ',']).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| names.contains(name)).map(|(_, value)| value)
    };
    let limit = get("limit").or_else(|| parameter("ratelimit", ["limit", "limit"]));
    let limit = limit.or_else(|| policy(headers));
    let remaining = get("remaining").or_else(|| parameter("ratelimit", ["remaining", "r"]));
    let until = get("reset").or_else(|| parameter("ratelimit", ["reset", "t"]));
    // Policies may stand behind the number: `100, 100;w=60`.
    let first = |value: &str| count(value.split([',', ';']).next().unwrap_or_default());
    quota.limit = quota.limit.or_else(|| limit.and_then(first));
    quota.remaining = quota.remaining.or_else(|| remaining.and_then(first));
    quota.reset = quota.reset.or_else(|| until.and_then(|value| reset(value, headers)));
}

/// The quota of the policy that `RateLimit` is about, if it counts requests.
fn policy(headers: &Headers) -> Option<&str> {
    let name = headers.get("ratelimit")?.split(';').next()?.trim();
    let mut policies = headers.get("ratelimit-policy")?.split(',');
    let mut parameters = policies.find_map(|policy| {
        let mut parts = policy.split(';').map(str::trim);
        (parts.next() == Some(name)).then_some(parts)
    })?;
    let mut quota = None;
    parameters.try_for_each(|parameter| match parameter.split_once('=') {
        Some(("q", value)) => {
            quota = Some(value);
            Some(())
        }
        Some(("qu", unit)) if unit != "\"requests\"" => None,
        _ => Some(()),
    })?;
    quota
}

/// A number of requests or tokens.
fn count(value: &str) -> Option<i64> {
    value.trim().parse().ok().filter(|count| *count >= 0)
}

/// When a quota is full again: a time, a time with units, or a moment.
fn reset(value: &str, headers: &Headers) -> Option<Duration> {
    let value = value.trim();
    match number(value) {
        Some(moment) if moment >= MOMENT => {
            let moment = if moment >= 1000.0 * MOMENT { moment / 1000.0 } else { moment };
            let since = seconds(moment)?.try_into().ok()?;
            wait_until(Timestamp::UNIX_EPOCH.checked_add::<jiff::SignedDuration>(since).ok()?, headers)
        }
        Some(wait) => seconds(wait),
        None => with_units(value).or_else(|| wait_until(value.parse().ok()?, headers)),
    }
}

/// From the answer's `Date`; nothing where the moment is over.
fn wait_until(moment: Timestamp, headers: &Headers) -> Option<Duration> {
    let now = DateTimeParser::new().parse_timestamp(headers.get("date")?.trim()).ok()?;
    Some(moment.duration_since(now).try_into().unwrap_or(Duration::ZERO))
}

/// `6m0s`, `8.64s`, `20ms`, as Go prints a time.
fn with_units(value: &str) -> Option<Duration> {
    let (mut rest, mut total) = (value, Duration::ZERO);
    while !rest.is_empty() {
        let (figure, tail) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic() || c == 'µ')?);
        let unit = &tail[..tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len())];
        let factor = match unit {
            "d" => 86400.0,
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(seconds(number(figure)? * factor)?)?;
        rest = &tail[unit.len()..];
    }
    (!value.is_empty()).then_some(total)
}

/// A decimal number, and nothing else that a float could be.
fn number(value: &str) -> Option<f64> {
    let value = value.trim();
    let decimal = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    value.parse().ok().filter(|_| decimal)
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::genai::tests::harness::headers;

    const DATE: (&str, &str) = ("date", "Wed, 13 May 2026 22:52:32 GMT");

    fn head(list: &[(&str, &str)]) -> ResponseHead {
        ResponseHead { status: 429, headers: headers(list), partial: false }
    }

    fn quota(limit: i64, remaining: i64, reset: u64) -> Quota {
        Quota { limit: Some(limit), remaining: Some(remaining), reset: Some(Duration::from_millis(reset)) }
    }

    #[test]
    fn when_to_come_again() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let cases: [(&[(&str, &str)], _); 12] = [
            (&[("retry-after", "41")], ms(41_000)),
            (&[("retry-after", " 0 ")], ms(0)),
            (&[("retry-after", "1.5")], ms(1500)),
            (&[("retry-after-ms", "1250"), ("retry-after", "2")], ms(1250)),
            (&[("retry-after-ms", "soon"), ("retry-after", "2")], ms(2000)),
            (&[("retry-after", "Wed, 13 May 2026 22:53:02 GMT"), DATE], ms(30_000)),
            (&[("retry-after", "Wed, 13 May 2026 22:50:00 GMT"), DATE], ms(0)),
            // Of two clocks, one is unknown.
            (&[("retry-after", "Wed, 13 May 2026 22:53:02 GMT")], None),
            (&[("retry-after", "-5")], None),
            (&[("retry-after", "inf")], None),
            (&[("retry-after", "soon"), DATE], None),
            (&[DATE], None),
        ];
        for (list, wanted) in cases {
            assert_eq!(retry_after(&head(list)), wanted, "{list:?}");
        }
    }

    #[test]
    fn openai() {
        let limits = read(&head(&[
            ("x-ratelimit-limit-requests", "10000"),
            ("x-ratelimit-remaining-requests", "9999"),
            ("x-ratelimit-reset-requests", "8.64s"),
            ("x-ratelimit-limit-tokens", "200000"),
            ("x-ratelimit-remaining-tokens", "199943"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("x-ratelimit-limit-input-images", "50000"),
        ]));
        let (requests, tokens) = (quota(10_000, 9999, 8640), quota(200_000, 199_943, 360_000));
        assert_eq!(limits, RateLimits { requests, tokens, ..RateLimits::default() });
    }

    #[test]
    fn anthropic() {
        let limits = read(&head(&[
            DATE,
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2026-05-13T22:52:33Z"),
            ("anthropic-ratelimit-input-tokens-limit", "400000"),
            ("anthropic-ratelimit-input-tokens-remaining", "399000"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-05-13T22:52:32Z"),
            ("anthropic-ratelimit-output-tokens-limit", "80000"),
            ("anthropic-ratelimit-tokens-remaining", "many"),
        ]));
        let wanted = RateLimits {
            requests: quota(50, 49, 1000),
            input_tokens: quota(400_000, 399_000, 0),
            output_tokens: Quota { limit: Some(80_000), ..Quota::default() },
            tokens: Quota::default(),
        };
        assert_eq!(limits, wanted);
    }

    #[test]
    fn the_draft_standard() {
        let wanted = quota(100, 50, 30_000);
        let cases: [&[(&str, &str)]; 6] = [
            &[("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "50"), ("ratelimit-reset", "30")],
            &[("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "50"), ("x-ratelimit-reset", "30")],
            &[("ratelimit", "limit=100, remaining=50, reset=30")],
            &[
                ("ratelimit", "\"hour\";r=50;t=30"),
                ("ratelimit-policy", "\"day\";q=9;w=9, \"hour\";q=100;w=3600"),
            ],
            // OpenRouter's and GitHub's moments.
            &[
                DATE,
                ("x-ratelimit-limit", "100"),
                ("x-ratelimit-remaining", "50"),
                ("x-ratelimit-reset", "1778712782000"),
            ],
            &[
                DATE,
                ("x-ratelimit-limit", "100"),
                ("x-ratelimit-remaining", "50"),
                ("x-ratelimit-reset", "1778712782"),
            ],
        ];
        for list in cases {
            assert_eq!(read(&head(list)).requests, wanted, "{list:?}");
        }
        let bytes =
            [("ratelimit", "\"hour\";r=50"), ("ratelimit-policy", "\"hour\";q=100;qu=\"content-bytes\"")];
        assert_eq!(read(&head(&bytes)).requests.limit, None);
    }

    #[test]
    fn times_with_units() {
        let cases = [
            ("1h2m3.5s", Some(3_723_500)),
            ("1d", Some(86_400_000)),
            ("20ms", Some(20)),
            ("500µs", Some(0)),
            ("", None),
            ("s", None),
            ("5", None),
            ("5x", None),
            ("5s3", None),
            ("1.2.3s", None),
        ];
        for (value, wanted) in cases {
            assert_eq!(with_units(value).map(|time| time.as_millis()), wanted, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_survived(value in ".{0,40}") {
            for name in ["retry-after", "retry-after-ms", "ratelimit", "ratelimit-policy", "ratelimit-limit", "x-ratelimit-reset-tokens"] {
                let head = head(&[(name, &value), DATE]);
                let _ = (retry_after(&head), read(&head));
            }
        }
    }
}
