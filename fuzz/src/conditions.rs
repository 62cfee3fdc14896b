//! Conditions on calls, as they are asked for on the command line.

use std::sync::{Arc, OnceLock};

use plainspan::{
    account::Account,
    contract::{self, Delivery, Options, SpanIds},
    genai::Call,
    journal::Condition,
};

/// A condition says no more than it was asked, asks the same when it is read again, and any call can be asked.
pub fn conditions(data: &[u8]) {
    static CALL: OnceLock<Delivery> = OnceLock::new();
    let call = CALL.get_or_init(|| {
        let ids = SpanIds { trace_id: [1; 16], span_id: [1; 8] };
        let relations = contract::Relations::default();
        let span =
            contract::build(&Call::default(), ids, relations, &Options::default(), &Account::default());
        Delivery { span, resource: Arc::default() }
    });
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(condition) = text.parse::<Condition>() else { return };
    let held = condition.holds(call);
    let again: Condition = condition.to_string().parse().expect("what is shown can be read");
    assert_eq!(again.holds(call), held, "{text:?} and {condition}");
    assert!(!condition.subject().is_empty());
    condition.shown(call);
}
