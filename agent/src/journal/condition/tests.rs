use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    contract::{Attribute, Resource, Span},
    time::Timestamp,
};

fn call() -> Delivery {
    let attribute = |key, value| Attribute { key, value };
    Delivery {
        span: Span {
            trace_id: [0xab; 16],
            span_id: [0xcd; 8],
            parent_span_id: None,
            link: None,
            flags: 1,
            trace_state: String::new(),
            name: "chat m".into(),
            kind: Kind::Client,
            start: Timestamp(1_000_000_000),
            end: Timestamp(3_500_000_000),
            attributes: vec![
                attribute("gen_ai.request.model", Value::String("gpt-4o/x".into())),
                attribute("gen_ai.system", Value::String("openai".into())),
                attribute("gen_ai.request.temperature", Value::Double(1.0)),
                attribute("gen_ai.usage.output_tokens", Value::Int(64)),
                attribute("gen_ai.request.stream", Value::Bool(true)),
                attribute(
                    "gen_ai.response.finish_reasons",
                    Value::Strings(vec!["stop".into(), "length".into()]),
                ),
            ],
            status: Status::Unset,
        },
        resource: Arc::new(Resource {
            attributes: vec![attribute("service.name", Value::String("shop".into()))],
            extra: vec![("team".into(), "a=b".into())],
        }),
    }
}

#[test]
fn conditions() {
    for (text, holds) in [
        ("finish_reason=length", true),
        ("finish_reason=len*", true),
        ("finish_reason={error,length}", true),
        ("finish_reason=stop,length", false),
        ("finish_reason!=length", false),
        ("finish_reason!=error", true),
        ("gen_ai.response.finish_reasons=stop", true),
        ("model=gpt-4o/x", true),
        ("model=gpt*", true),
        ("model=GPT*", false),
        ("model=", false),
        ("provider=openai", true),
        ("gen_ai.provider.name=openai", true),
        ("gen_ai.request.temperature=1", true),
        ("gen_ai.request.temperature=1.00", true),
        ("gen_ai.request.temperature=1.5", false),
        ("output_tokens=64", true),
        ("output_tokens=6*", true),
        ("output_tokens>64", false),
        ("output_tokens>=64", true),
        ("output_tokens<64.5", true),
        ("output_tokens<=63", false),
        ("input_tokens>0", false),
        ("input_tokens<=0", false),
        ("model>1", false),
        ("stream=true", true),
        ("stream", true),
        ("!stream", false),
        ("!input_tokens", true),
        ("input_tokens!=7", true),
        ("duration_s>2.4", true),
        ("duration_s=2.5", true),
        ("status=ok", true),
        ("kind=client", true),
        ("trace_id=abab*", true),
        ("span_id=cdcdcdcdcdcdcdcd", true),
        ("service=shop", true),
        ("service.name=shop", true),
        ("attribute.team=a=b", true),
        ("attribute.team!=a=b", false),
        ("!of.nobody", true),
    ] {
        let condition: Condition = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(condition.holds(&call()), holds, "{text}");
        assert_eq!(condition.to_string(), text);
    }
}

#[test]
fn subjects_are_attributes() {
    for (text, subject) in [
        ("finish_reason=length", "gen_ai.response.finish_reasons"),
        ("status=error", "status"),
        ("attribute.team=a", "attribute.team"),
        ("service.name=a", "service.name"),
    ] {
        assert_eq!(text.parse::<Condition>().unwrap().subject(), subject);
        assert_eq!(Condition::absent(subject).unwrap().subject(), subject);
    }
    assert_eq!(Condition::name_of("team"), "attribute.team");
    assert_eq!(Condition::name_of("service.name"), "service.name");
}

#[test]
fn what_is_no_condition_says_what_one_is() {
    for (text, said) in [
        ("", "`` is no condition: write it as finish_reason=length"),
        ("=length", "`=length` is no condition"),
        ("finish_reason = length", "`finish_reason = length` is no condition"),
        ("!", "`!` is no condition"),
        ("!a=b", "`!a=b` is no condition"),
        ("a!b", "`a!b` is no condition"),
        (
            "finish_reasn=length",
            "a call has no `finish_reasn` (did you mean `finish_reason`?): use cached_tokens,",
        ),
        ("zzzzzzzz", "a call has no `zzzzzzzz`: use"),
        ("output_tokens>many", "`many` is no number"),
        ("output_tokens>inf", "`inf` is no number"),
        ("model=[a", "`[a` is no pattern ("),
    ] {
        let error = text.parse::<Condition>().unwrap_err().to_string();
        assert!(error.starts_with(said), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in any::<String>()) {
        if let Ok(condition) = text.parse::<Condition>() {
            condition.holds(&call());
            let again: Condition = condition.to_string().parse().unwrap();
            prop_assert_eq!(again.to_string(), condition.to_string());
        }
    }

    #[test]
    fn whatever_a_value_is_a_condition_finds_it_and_no_other(
        value in "[ -~é\u{1f600}]{0,20}|.{0,20}", other in "[*?a{},\\\\\\[\\]]{0,6}", begin in any::<prop::sample::Index>(),
    ) {
        let mut call = call();
        let holds = |condition: Condition, call: &Delivery| {
            let again: Condition = condition.to_string().parse().unwrap();
            let holds = condition.holds(call);
            assert_eq!(again.holds(call), holds, "{condition}");
            holds
        };
        let name = "gen_ai.request.model";
        call.span.attributes[0].value = Value::String(value.clone());
        prop_assert!(holds(Condition::is(name, &value).unwrap(), &call));
        prop_assert_eq!(holds(Condition::is(name, &other).unwrap(), &call), value == other);
        let at = crate::text::floor(&value, begin.index(value.len() + 1));
        prop_assert!(holds(Condition::begins(name, &value[..at]).unwrap(), &call));
    }

    #[test]
    fn numbers_are_compared_as_they_are_shown(value in any::<i32>(), bound in any::<f32>()) {
        prop_assume!(bound.is_finite());
        let bound = f64::from(bound);
        let mut call = call();
        call.span.attributes[3].value = Value::Int(value.into());
        for (condition, holds) in [
            (Condition::at_least("output_tokens", bound), f64::from(value) >= bound),
            (Condition::below("output_tokens", bound), f64::from(value) < bound),
        ] {
            let condition: Condition = condition.unwrap().to_string().parse().unwrap();
            prop_assert_eq!(condition.holds(&call), holds, "{}", condition);
        }
    }
}
