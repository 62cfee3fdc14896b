//! Requests of Ollama's chat and generation.

use serde::Deserialize;

use crate::genai::{
    budget::Budget,
    call::{Call, Message, OutputType, Part},
    dialect::Malformed,
    document::Document,
    field::{Field, Kind},
    openai::{message, tool},
    text,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    messages: Field<'a>,
    #[serde(borrow)]
    prompt: Field<'a>,
    #[serde(borrow)]
    system: Field<'a>,
    #[serde(borrow)]
    images: Field<'a>,
    #[serde(borrow)]
    tools: Field<'a>,
    #[serde(borrow)]
    stream: Field<'a>,
    #[serde(borrow)]
    format: Field<'a>,
    #[serde(borrow)]
    think: Field<'a>,
    #[serde(borrow)]
    options: Field<'a>,
    /// No field of Ollama's, but one of what web pages send to a backend of their own at `/api/chat`.
    #[serde(borrow)]
    id: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options<'a> {
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    #[serde(borrow)]
    top_k: Field<'a>,
    #[serde(borrow)]
    frequency_penalty: Field<'a>,
    #[serde(borrow)]
    presence_penalty: Field<'a>,
    #[serde(borrow)]
    num_predict: Field<'a>,
    #[serde(borrow)]
    seed: Field<'a>,
    #[serde(borrow)]
    stop: Field<'a>,
}

/// Reads a request body into the call. `Ok(false)`: another service's request, or one that only loads a model.
pub(super) fn read(
    body: &Document<'_>,
    generates: bool,
    call: &mut Call,
    budget: &mut Budget,
) -> Result<bool, Malformed> {
    let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
    if body.model.kind() != Kind::Text || body.id.is_some() {
        return Ok(false);
    }
    let request = &mut call.request;
    request.model = body.model.label(budget);
    // A stream is what it answers with unless it is told not to.
    request.stream = body.stream.flag(budget).or(Some(true));
    request.reasoning_level = (body.think.kind() == Kind::Text).then(|| body.think.label(budget)).flatten();
    request.output_type = output_type(body.format);
    options(body.options, call, budget);
    let request = &mut call.request;
    if body.tools.is_some() {
        tool::definitions(body.tools, budget, &mut request.tools);
    }
    if generates {
        request.system.extend(body.system.content(budget).map(Part::Text));
        let mut parts: Vec<_> = body.prompt.content(budget).map(Part::Text).into_iter().collect();
        let prompted = !parts.is_empty();
        if body.images.is_some() {
            message::images(body.images, &mut parts, budget);
        }
        if budget.item() {
            request.messages.push(Message { role: "user".to_owned(), name: None, parts });
        }
        return Ok(prompted);
    }
    if body.messages.kind() == Kind::Array {
        message::conversation(body.messages, budget, &mut request.messages);
    }
    Ok(!request.messages.is_empty())
}

fn options(field: Field<'_>, call: &mut Call, budget: &mut Budget) {
    let Some(options) = field.object::<Options<'_>>(budget) else { return };
    let request = &mut call.request;
    request.temperature = options.temperature.number(budget);
    request.top_p = options.top_p.number(budget);
    request.top_k = options.top_k.integer(budget);
    request.frequency_penalty = options.frequency_penalty.number(budget);
    request.presence_penalty = options.presence_penalty.number(budget);
    request.max_tokens = options.num_predict.integer(budget);
    request.seed = options.seed.integer(budget);
    request.stop_sequences = text::stop_sequences(options.stop, budget);
}

/// `"json"`, or a schema; an empty text is none.
fn output_type(format: Field<'_>) -> Option<OutputType> {
    (format.kind() == Kind::Object || format.json() == "\"json\"").then_some(OutputType::Json)
}
