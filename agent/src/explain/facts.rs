//! What of a call is compared, and what of it is no explanation.

use crate::{
    contract::{Delivery, Kind, Status, Value, names},
    journal::Condition,
};

/// What a call's start is called.
pub(super) const START: &str = "start";
/// What its length is called.
pub(super) const DURATION: &str = "duration_s";
/// More calls than this one that was kept does not stand for, whatever it says.
const MOST: f64 = 1e9;
const KIND: &str = "kind";
const STATUS: &str = "status";

/// What something of a call can say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It was so before the call went one way or the other.
    Cause,
    /// It is how the call went, so that it rather goes with what is wrong than makes it so.
    Sign,
    /// It says something of the capture and not of the call, or is how it was chosen.
    Bookkeeping,
}

/// A value, one item of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fact<'a> {
    Text(&'a str),
    Flag(bool),
    Int(i64),
    Double(f64),
}

const BOOKKEEPING: &[&str] = &[
    names::PLAINSPAN_CONTRACT_VERSION.name(),
    names::PLAINSPAN_COST_ESTIMATED.name(),
    names::PLAINSPAN_COST_TABLE_VERSION.name(),
    names::PLAINSPAN_REPLAY_SOURCE.name(),
    names::PLAINSPAN_SAMPLING_ADJUSTED_COUNT.name(),
    names::PLAINSPAN_SAMPLING_REASON.name(),
    names::TELEMETRY_DISTRO_NAME.name(),
    names::TELEMETRY_DISTRO_VERSION.name(),
];

const SIGNS: &[&str] = &[
    DURATION,
    STATUS,
    names::ERROR_TYPE.name(),
    names::GEN_AI_OUTPUT_MESSAGES.name(),
    names::GEN_AI_RESPONSE_FINISH_REASONS.name(),
    names::GEN_AI_RESPONSE_ID.name(),
    names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK.name(),
    names::GEN_AI_TOOL_CALL_RESULT.name(),
    names::GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS.name(),
    names::GEN_AI_USAGE_OUTPUT_TOKENS.name(),
    names::GEN_AI_USAGE_REASONING_OUTPUT_TOKENS.name(),
    names::HTTP_RESPONSE_STATUS_CODE.name(),
    names::PLAINSPAN_CALL_ENDED.name(),
    names::PLAINSPAN_CAPTURE_DEGRADED.name(),
    names::PLAINSPAN_CAPTURE_RESPONSE_BYTES_CUT.name(),
    names::PLAINSPAN_CAPTURE_RESPONSE_BYTES_LOST.name(),
    names::PLAINSPAN_CONTENT_CUT.name(),
    names::PLAINSPAN_CONTENT_REDACTED.name(),
    names::PLAINSPAN_CONTRACT_CUT.name(),
    names::PLAINSPAN_CONTRACT_VIOLATIONS.name(),
    names::PLAINSPAN_COST_OUTPUT_USD.name(),
    names::PLAINSPAN_COST_USD.name(),
    names::PLAINSPAN_ERROR_CODE.name(),
    names::PLAINSPAN_ERROR_TYPE.name(),
    names::PLAINSPAN_RESPONSE_FINISH_REASONS.name(),
    names::PLAINSPAN_RESPONSE_REPETITION_COUNT.name(),
    names::PLAINSPAN_RESPONSE_REPETITION_PERIOD.name(),
    names::PLAINSPAN_RESPONSE_REQUEST_ID.name(),
    names::PLAINSPAN_RESPONSE_RETRY_AFTER.name(),
    names::PLAINSPAN_RESPONSE_TIME_TO_FIRST_CONTENT.name(),
    names::PLAINSPAN_STREAM_CHUNKS.name(),
    names::PLAINSPAN_STREAM_GAP_MAX.name(),
    names::PLAINSPAN_STREAM_GAP_MEAN.name(),
    names::PLAINSPAN_STREAM_STALLED.name(),
    names::PLAINSPAN_STREAM_STOPPED_BY.name(),
];

/// Numbers that are names: more and less mean nothing.
const NAMES: &[&str] = &[
    names::GEN_AI_REQUEST_SEED.name(),
    names::HTTP_RESPONSE_STATUS_CODE.name(),
    names::PROCESS_PARENT_PID.name(),
    names::PROCESS_PID.name(),
    names::SERVER_PORT.name(),
];

/// What tells the same in other words: who asks about one of them learns nothing from the others.
const SAME: &[&[&str]] = &[
    &[names::GEN_AI_RESPONSE_FINISH_REASONS.name(), names::PLAINSPAN_RESPONSE_FINISH_REASONS.name()],
    &[
        STATUS,
        names::ERROR_TYPE.name(),
        names::HTTP_RESPONSE_STATUS_CODE.name(),
        names::PLAINSPAN_ERROR_CODE.name(),
        names::PLAINSPAN_ERROR_TYPE.name(),
    ],
    &[names::PLAINSPAN_CALL_ENDED.name(), names::PLAINSPAN_STREAM_STOPPED_BY.name()],
    &[names::GEN_AI_USAGE_INPUT_TOKENS.name(), names::PLAINSPAN_COST_INPUT_USD.name()],
    &[
        names::GEN_AI_USAGE_OUTPUT_TOKENS.name(),
        names::PLAINSPAN_COST_OUTPUT_USD.name(),
        names::PLAINSPAN_COST_USD.name(),
    ],
    &[names::PLAINSPAN_RESPONSE_REPETITION_COUNT.name(), names::PLAINSPAN_RESPONSE_REPETITION_PERIOD.name()],
];

pub(super) fn role(name: &str) -> Role {
    if BOOKKEEPING.contains(&name) {
        Role::Bookkeeping
    } else if SIGNS.contains(&name) {
        Role::Sign
    } else {
        Role::Cause
    }
}

/// Is it a number of which more and less mean something?
pub(super) fn is_quantity(name: &str) -> bool {
    !NAMES.contains(&name)
}

/// Does the one attribute tell what the other does?
pub(super) fn are_the_same(one: &str, other: &str) -> bool {
    one == other
        || SAME.iter().any(|same| same.contains(&one) && same.contains(&other))
        || names::OVERLAPS.iter().any(|overlap| {
            let both = [overlap.current.name, overlap.older.name];
            both.contains(&one) && both.contains(&other)
        })
}

/// How many calls it stands for: itself, unless calls were sampled.
pub(super) fn weight(call: &Delivery) -> f64 {
    let counted = match call.span.read(names::PLAINSPAN_SAMPLING_ADJUSTED_COUNT) {
        Some(Value::Double(count)) => *count,
        Some(Value::Int(count)) => *count as f64,
        _ => 1.0,
    };
    if (1.0..=MOST).contains(&counted) { counted } else { 1.0 }
}

/// Hands over all that is known of a call, by the names that conditions have for it.
pub(super) fn each(call: &Delivery, take: &mut dyn FnMut(&str, Fact<'_>)) {
    let (span, resource) = (&call.span, &*call.resource);
    for attribute in span.attributes.iter().chain(&resource.attributes) {
        let name = Condition::name_of(attribute.key);
        match &attribute.value {
            Value::String(text) => take(&name, Fact::Text(text)),
            Value::Strings(texts) => texts.iter().for_each(|text| take(&name, Fact::Text(text))),
            Value::Int(number) => take(&name, Fact::Int(*number)),
            Value::Double(number) => take(&name, Fact::Double(*number)),
            Value::Bool(flag) => take(&name, Fact::Flag(*flag)),
        }
    }
    for (key, text) in &resource.extra {
        take(&Condition::name_of(key), Fact::Text(text));
    }
    take(KIND, Fact::Text(if span.kind == Kind::Client { "client" } else { "server" }));
    take(STATUS, Fact::Text(if span.status == Status::Unset { "ok" } else { "error" }));
    take(DURATION, Fact::Double(span.end.since(span.start).as_secs_f64()));
    // A recording's times are made up.
    if span.read(names::PLAINSPAN_REPLAY_SOURCE).is_none() {
        take(START, Fact::Int(i64::try_from(span.start.0 / 1_000_000_000).unwrap_or(i64::MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::definition;

    #[test]
    fn every_name_is_the_contracts_and_has_one_role() {
        for name in BOOKKEEPING.iter().chain(SIGNS).chain(NAMES).chain(SAME.iter().copied().flatten()) {
            assert!([DURATION, STATUS].contains(name) || definition(name).is_some(), "{name}");
        }
        assert!(BOOKKEEPING.iter().all(|name| !SIGNS.contains(name)));
    }

    #[test]
    fn only_what_a_call_can_stand_for_counts() {
        let key = names::PLAINSPAN_SAMPLING_ADJUSTED_COUNT.name();
        for (value, expected) in [
            (Value::Double(20.5), 20.5),
            (Value::Int(3), 3.0),
            (Value::Double(0.0), 1.0),
            (Value::Double(f64::NAN), 1.0),
            (Value::Double(f64::INFINITY), 1.0),
            (Value::String("20".into()), 1.0),
        ] {
            let call = super::super::tests::call(vec![(key, value.clone())], vec![]);
            assert!((weight(&call) - expected).abs() < 1e-9, "{value:?}");
        }
    }

    #[test]
    fn the_same_in_other_words() {
        for (one, other, same) in [
            ("gen_ai.response.finish_reasons", "plainspan.response.finish_reasons", true),
            ("status", "error.type", true),
            ("gen_ai.system", "gen_ai.provider.name", true),
            ("team", "team", true),
            ("gen_ai.request.model", "gen_ai.response.model", false),
        ] {
            assert_eq!(are_the_same(one, other), same, "{one} {other}");
        }
    }
}
