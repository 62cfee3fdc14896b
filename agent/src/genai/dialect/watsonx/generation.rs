//! watsonx.ai's generation of text: a whole answer is a stream of one.

use serde::Deserialize;

use super::first_error;
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Content, Generation, Message, Part, Usage},
        dialect::{Carried, Fold, Malformed},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        openai::answer::Chunk,
        text,
    },
    wire::SseEvent,
};

/// An answer, as far as it has come.
#[derive(Default)]
pub(super) struct Generated {
    /// The path asks for a stream.
    streamed: bool,
    started: bool,
    text: Content,
    usage: Usage,
    stop_reason: Option<String>,
    failed: bool,
}

/// What stands for a reason before there is one.
const NOT_FINISHED: &str = "not_finished";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model_id: Field<'a>,
    #[serde(borrow)]
    input: Field<'a>,
    #[serde(borrow)]
    parameters: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters<'a> {
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    #[serde(borrow)]
    top_k: Field<'a>,
    #[serde(borrow)]
    max_new_tokens: Field<'a>,
    #[serde(borrow)]
    random_seed: Field<'a>,
    #[serde(borrow)]
    stop_sequences: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    model_id: Field<'a>,
    #[serde(borrow)]
    results: Field<'a>,
    #[serde(borrow)]
    errors: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outcome<'a> {
    #[serde(rename = "generated_text", borrow)]
    text: Field<'a>,
    /// In a stream: so far, and of the prompt in its first event only.
    #[serde(rename = "generated_token_count", borrow)]
    output: Field<'a>,
    #[serde(rename = "input_token_count", borrow)]
    input: Field<'a>,
    #[serde(borrow)]
    stop_reason: Field<'a>,
}

impl Generated {
    pub(super) fn of(streamed: bool) -> Self {
        Self { streamed, ..Self::default() }
    }

    fn take(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        if answer.errors.is_some() {
            self.failed = true;
            call.error = body.root().and_then(|root| first_error(root, budget));
            return Ok(Carried::Data);
        }
        if answer.results.kind() != Kind::Array {
            return Err(Malformed);
        }
        self.started = true;
        if call.response.model.is_none() {
            call.response.model = answer.model_id.label(budget);
        }
        let mut carried = Carried::Data;
        answer.results.each(budget, |item, budget| {
            let Some(outcome) = item.object::<Outcome<'_>>(budget) else { return };
            let said = outcome.text.text(budget).unwrap_or_default();
            if !said.is_empty() {
                carried = Carried::Content;
                budget.append(&mut self.text, &said);
            }
            // Later events have 0 for the prompt.
            let input = outcome.input.count(budget);
            self.usage.input = self.usage.input.max(input);
            self.usage.output = outcome.output.count(budget).or(self.usage.output);
            if let Some(reason) = outcome.stop_reason.label(budget) {
                self.stop_reason = Some(reason).filter(|reason| !reason.eq_ignore_ascii_case(NOT_FINISHED));
            }
        });
        Ok(carried)
    }
}

impl Fold for Generated {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        let parameters: Parameters<'_> = body.parameters.object(budget).unwrap_or_default();
        let request = &mut call.request;
        request.model = body.model_id.label(budget);
        request.temperature = parameters.temperature.number(budget);
        request.top_p = parameters.top_p.number(budget);
        request.top_k = parameters.top_k.integer(budget);
        request.max_tokens = parameters.max_new_tokens.integer(budget);
        request.seed = parameters.random_seed.integer(budget);
        request.stop_sequences = text::stop_sequences(parameters.stop_sequences, budget);
        if let Some(text) = body.input.content(budget) {
            let parts = vec![Part::Text(text)];
            request.messages.push(Message { role: "user".to_owned(), name: None, parts });
        }
        Ok(true)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        first_error(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        self.take(body, call, budget).map(|_| ())
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        match Chunk::of(event) {
            Chunk::Data(document) => self.take(&document, call, budget),
            _ => Ok(Carried::Nothing),
        }
    }

    fn terminated(&self, _: &Call) -> bool {
        self.stop_reason.is_some() || self.failed
    }

    fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        if self.streamed {
            call.request.stream = Some(true);
        }
        if !self.started {
            return;
        }
        call.usage = self.usage;
        call.usage.partial = self.streamed && (damaged || self.stop_reason.is_none());
        let text = std::mem::take(&mut self.text);
        let is_said = !text.text.is_empty() || text.cut > 0;
        let parts = if is_said { vec![Part::Text(text)] } else { Vec::new() };
        let message = Message { role: "assistant".to_owned(), name: None, parts };
        let mut generation = Generation { message, ..Generation::default() };
        // An error in the stream is why there is no reason.
        let ending = if self.failed { Ending::Broken } else { ending };
        generation.finish(self.stop_reason.take(), ending, budget);
        call.response.generations.push(generation);
    }
}
