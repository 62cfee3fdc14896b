//! What a span says of the content of its call: in which form it is, and where.

use super::{attributes::Attributes, inference::Options, names};
use crate::{
    genai::Call,
    policy::content::{Form, Placement},
};

/// Says it, where content is kept; `said` tells whether the call has any, and `file` names the file that it would be in.
pub(super) fn set(
    set: &mut Attributes,
    call: &Call,
    said: bool,
    options: &Options,
    file: impl FnOnce() -> String,
) {
    let Some(form) = form(options.content) else { return };
    let placement = &options.placement;
    set.set_some(names::PLAINSPAN_CONTENT_PLACES, places(placement));
    // On the span itself, the description of the status has it.
    let message = call.error.as_ref().and_then(|error| error.message.clone());
    let message = message.filter(|message| !placement.is_spans_alone() && !message.is_empty());
    let said = said || message.is_some();
    set.set_some(names::PLAINSPAN_ERROR_MESSAGE, message);
    if said {
        let reference = placement.files.as_ref().map(|directory| format!("{directory}/{}", file()));
        set.set_some(names::PLAINSPAN_CONTENT_REFERENCE, reference);
        set.set(names::PLAINSPAN_CONTENT_FORM, form);
        set.set_count(names::PLAINSPAN_CONTENT_REDACTED, options.redacted);
    }
}

fn form(of: Form) -> Option<names::PlainspanContentForm> {
    match of {
        Form::None => None,
        Form::Hashed => Some(names::PlainspanContentForm::Hashed),
        Form::Redacted => Some(names::PlainspanContentForm::Redacted),
        Form::Full => Some(names::PlainspanContentForm::Full),
    }
}

/// What is said of a placement other than the usual one.
fn places(of: &Placement) -> Option<Vec<names::PlainspanContentPlaces>> {
    use names::PlainspanContentPlaces as Place;
    let all = [(of.spans, Place::Spans), (of.events, Place::Events), (of.files.is_some(), Place::Files)];
    let chosen = all.into_iter().filter_map(|(chosen, place)| chosen.then_some(place));
    (!of.is_spans_alone()).then(|| chosen.collect())
}
