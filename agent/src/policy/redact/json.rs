//! JSON texts: arguments and results of tools.

use std::borrow::Cow;

use serde_json::Value;

use super::{Counts, Redactor};

/// The text as it is, or written anew without what was found in one of its strings. What isn't JSON, or is nested too deep to be
/// read, is taken for plain text.
pub(super) fn redacted<'a>(redactor: &Redactor, text: &'a str, counts: &mut Counts) -> Cow<'a, str> {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return redactor.text(text, counts) };
    let before = counts.total();
    strings(redactor, &mut value, counts);
    if counts.total() == before {
        // A name and its value are found together only, in `"password": "..."`.
        return redactor.text(text, counts);
    }
    let written = value.to_string();
    Cow::Owned(redactor.text(&written, counts).into_owned())
}

fn strings(redactor: &Redactor, value: &mut Value, counts: &mut Counts) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(redacted) = redactor.text(text, counts) {
                *text = redacted;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| strings(redactor, item, counts)),
        Value::Object(members) => {
            let found = |key: &String| matches!(redactor.text(key, &mut Counts::default()), Cow::Owned(_));
            if members.keys().any(found) {
                for (key, value) in std::mem::take(members) {
                    members.insert(redactor.text(&key, counts).into_owned(), value);
                }
            }
            members.values_mut().for_each(|item| strings(redactor, item, counts));
        }
        Value::Number(number) => {
            if let Cow::Owned(redacted) = redactor.text(&number.to_string(), counts) {
                *value = Value::String(redacted);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
