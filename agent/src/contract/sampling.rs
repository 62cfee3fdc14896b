//! What a span says of sampling: why its call was kept, and how many calls it stands for. Without sampling it says nothing.

use std::borrow::Cow;

use super::{attributes::Attributes, names};
use crate::policy::sample::{Decision, Reason};

/// W3C trace flags: sampled, and of a trace whose id is random (W3C Trace Context Level 2, section 2.2.4).
const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

pub(super) fn set(set: &mut Attributes, sampled: Decision) {
    if let Decision::Kept(kept) = sampled {
        set.set(names::PLAINSPAN_SAMPLING_REASON, reason(kept.reason));
        set.set(names::PLAINSPAN_SAMPLING_ADJUSTED_COUNT, kept.threshold.adjusted_count());
    }
}

/// The `tracestate` of the span, given that of the request.
pub(super) fn trace_state(of_request: &str, sampled: Decision) -> Cow<'_, str> {
    match sampled {
        Decision::Kept(kept) => Cow::Owned(kept.trace_state(of_request)),
        Decision::Everything | Decision::Dropped => Cow::Borrowed(of_request),
    }
}

/// The flags of a trace that no request names, whose id was made here.
pub(super) fn flags(sampled: Decision) -> u8 {
    match sampled {
        Decision::Kept(_) => SAMPLED | RANDOM,
        Decision::Everything | Decision::Dropped => SAMPLED,
    }
}

fn reason(reason: Reason) -> names::PlainspanSamplingReason {
    use names::PlainspanSamplingReason as Word;
    match reason {
        Reason::Error => Word::Error,
        Reason::Refusal => Word::Refusal,
        Reason::FinishReason => Word::FinishReason,
        Reason::Truncated => Word::Truncated,
        Reason::Stalled => Word::Stalled,
        Reason::Repetition => Word::Repetition,
        Reason::Damaged => Word::Damaged,
        Reason::Slow => Word::Slow,
        Reason::NewTemplate => Word::NewTemplate,
        Reason::NewModelRevision => Word::NewModelRevision,
        Reason::NewToolSet => Word::NewToolSet,
        Reason::NewTenant => Word::NewTenant,
        Reason::Trace => Word::Trace,
        Reason::Floor => Word::Floor,
        Reason::Rate => Word::Rate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::Account,
        contract::{self, Relations, SpanIds, Value},
        genai::{Call, TraceContext},
        policy::sample::{Kept, Threshold},
    };

    #[test]
    fn spans_tell_how_many_calls_they_stand_for() {
        let trace = |state: Option<&str>| TraceContext {
            trace_id: [7; 16],
            parent_id: [8; 8],
            flags: 0,
            state: state.map(str::to_owned),
        };
        let kept = |reason, probability| {
            Decision::Kept(Kept { reason, threshold: Threshold::of_probability(probability) })
        };
        let rows = [
            (Decision::Everything, None, "", 1, None),
            (Decision::Everything, Some(trace(Some("ot=th:8"))), "ot=th:8", 0, None),
            (kept(Reason::Slow, 1.0), None, "ot=th:0", 3, Some(("slow", 1.0))),
            (kept(Reason::Rate, 0.25), None, "ot=th:c", 3, Some(("rate", 4.0))),
            (kept(Reason::Rate, 0.25), Some(trace(None)), "ot=th:c", 0, Some(("rate", 4.0))),
            (
                kept(Reason::Error, 1.0),
                Some(trace(Some("a=1,ot=th:8;rv:00000000000001"))),
                "ot=th:0;rv:00000000000001,a=1",
                0,
                Some(("error", 1.0)),
            ),
        ];
        for (sampled, trace, state, flags, said) in rows {
            let call = Call { trace, ..Call::default() };
            let ids = SpanIds { trace_id: [1; 16], span_id: [2; 8] };
            let options = contract::Options { sampled, ..contract::Options::default() };
            let span = contract::build(&call, ids, Relations::default(), &options, &Account::default());
            assert_eq!((span.trace_state.as_str(), span.flags), (state, flags), "{sampled:?}");
            let found = (
                span.get("plainspan.sampling.reason").cloned(),
                span.get("plainspan.sampling.adjusted_count").cloned(),
            );
            let said = said.map(|(reason, count)| (Value::String(reason.into()), Value::Double(count)));
            assert_eq!(found, said.map_or((None, None), |(reason, count)| (Some(reason), Some(count))));
        }
    }
}
