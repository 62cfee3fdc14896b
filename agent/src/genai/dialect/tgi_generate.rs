//! Hugging Face's Text Generation Inference in its own form
//! (<https://huggingface.github.io/text-generation-inference/>): `/generate` and `/generate_stream`, at any host.

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Content, Generation, Message, OperationName, Part, Provider},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        openai::{answer::Chunk, error::message, path},
        text,
    },
    wire::{RequestHead, SseEvent},
};

/// The dialect.
pub(super) struct TgiGenerate;

impl Dialect for TgiGenerate {
    fn name(&self) -> &'static str {
        "tgi.generate"
    }

    fn operation(&self) -> OperationName {
        OperationName::TextCompletion
    }

    fn provider(&self) -> Provider {
        Provider::HuggingFace
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        // A word that anything may be called by: the bodies tell.
        let is_mine = ["/generate", "/generate_stream"].iter().any(|end| path::ends_with(&head.path, end));
        if &*head.method == "POST" && is_mine { Claim::Maybe } else { Claim::No }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        let streamed = path::ends_with(&head.path, "_stream");
        Box::new(Generate { streamed, ..Generate::default() })
    }
}

/// An answer, as far as it has come. It has one choice, and no id.
#[derive(Default)]
struct Generate {
    /// The path asks for a stream.
    streamed: bool,
    started: bool,
    text: Content,
    finish_reason: Option<String>,
    failed: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    inputs: Field<'a>,
    #[serde(borrow)]
    parameters: Field<'a>,
    #[serde(borrow)]
    stream: Field<'a>,
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
    frequency_penalty: Field<'a>,
    #[serde(borrow)]
    max_new_tokens: Field<'a>,
    #[serde(borrow)]
    seed: Field<'a>,
    #[serde(borrow)]
    stop: Field<'a>,
}

/// A whole answer, or an event of a stream, whose last one repeats the whole text.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    token: Field<'a>,
    #[serde(borrow)]
    generated_text: Field<'a>,
    #[serde(borrow)]
    details: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
    #[serde(borrow)]
    error_type: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Token<'a> {
    #[serde(borrow)]
    text: Field<'a>,
    /// A mark of the model's, which is no text.
    #[serde(borrow)]
    special: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details<'a> {
    #[serde(borrow)]
    finish_reason: Field<'a>,
    #[serde(borrow)]
    generated_tokens: Field<'a>,
    #[serde(borrow)]
    input_length: Field<'a>,
    /// The tokens of the prompt, where they are asked for.
    #[serde(borrow)]
    prefill: Field<'a>,
}

/// `{"error": message, "error_type": kind}`.
fn error(body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
    let answer: Answer<'_> = body.object(budget)?;
    let kind = answer.error_type.label(budget).unwrap_or_default();
    answer.error.is_some().then(|| CallError::of_type(kind, message(answer.error, budget)))
}

impl Generate {
    fn details(&mut self, field: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(details) = field.object::<Details<'_>>(budget) else { return };
        self.finish_reason = details.finish_reason.label(budget);
        call.usage.output = details.generated_tokens.count(budget);
        call.usage.input = details.input_length.count(budget);
        if call.usage.input.is_none() && details.prefill.is_some() {
            let mut count = 0;
            details.prefill.each(budget, |_, _| count += 1);
            call.usage.input = (count > 0).then_some(count);
        }
    }
}

impl Fold for Generate {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        let parameters: Parameters<'_> = body.parameters.object(budget).unwrap_or_default();
        let request = &mut call.request;
        request.stream = self.streamed.then_some(true).or_else(|| body.stream.flag(budget));
        request.temperature = parameters.temperature.number(budget);
        request.top_p = parameters.top_p.number(budget);
        request.top_k = parameters.top_k.integer(budget);
        request.frequency_penalty = parameters.frequency_penalty.number(budget);
        request.max_tokens = parameters.max_new_tokens.integer(budget);
        request.seed = parameters.seed.integer(budget);
        request.stop_sequences = text::stop_sequences(parameters.stop, budget);
        let fits = body.inputs.kind() == Kind::Text;
        let parts = if fits { body.inputs.content(budget) } else { None };
        let parts = parts.map(Part::Text).into_iter().collect();
        request.messages.push(Message { role: "user".to_owned(), name: None, parts });
        Ok(fits)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let root = body.root().ok_or(Malformed)?;
        let mut first = None;
        // Some servers answer with a list of one.
        match root.kind() {
            Kind::Array => root.each(budget, |item, _| _ = first.get_or_insert(item)),
            _ => first = Some(root),
        }
        let first = first.filter(|field| field.kind() == Kind::Object).ok_or(Malformed)?;
        let answer: Answer<'_> = first.object(budget).ok_or(Malformed)?;
        if answer.generated_text.kind() != Kind::Text {
            return Err(Malformed);
        }
        self.started = true;
        self.text = answer.generated_text.content(budget).unwrap_or_default();
        self.details(answer.details, call, budget);
        Ok(())
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let Chunk::Data(document) = Chunk::of(event) else { return Ok(Carried::Nothing) };
        let answer: Answer<'_> = document.object(budget).ok_or(Malformed)?;
        if answer.error.is_some() {
            (self.started, self.failed) = (true, true);
            call.error = document.root().and_then(|root| error(root, budget));
            return Ok(Carried::Data);
        }
        let token: Token<'_> = match answer.token.kind() {
            Kind::Object => answer.token.object(budget).ok_or(Malformed)?,
            _ => return Err(Malformed),
        };
        self.started = true;
        let said = token.text.text(budget).unwrap_or_default();
        let is_said = token.special.flag(budget) != Some(true) && !said.is_empty();
        if is_said {
            budget.append(&mut self.text, &said);
        }
        if answer.details.is_some() {
            self.details(answer.details, call, budget);
        }
        Ok(if is_said { Carried::Content } else { Carried::Data })
    }

    fn terminated(&self, _: &Call) -> bool {
        self.finish_reason.is_some() || self.failed
    }

    fn finish(&mut self, ending: Ending, _: bool, call: &mut Call, budget: &mut Budget) {
        if !self.started {
            return;
        }
        let text = std::mem::take(&mut self.text);
        let is_said = !text.text.is_empty() || text.cut > 0;
        let parts = if is_said { vec![Part::Text(text)] } else { Vec::new() };
        let message = Message { role: "assistant".to_owned(), name: None, parts };
        let mut generation = Generation { message, ..Generation::default() };
        // An error in the stream is why there is no reason.
        let ending = if self.failed { Ending::Broken } else { ending };
        generation.finish(self.finish_reason.take(), ending, budget);
        call.response.generations.push(generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        genai::{
            FinishReason,
            tests::harness::{Exchange, head, stream_of},
        },
        wire::ExchangeEnd,
    };

    fn exchange(path: &str, body: &str) -> Exchange {
        Exchange::new(head("POST", "tgi.example", path)).request(body)
    }

    fn said(call: &Call) -> (String, Option<FinishReason>) {
        let generation = &call.response.generations[0];
        match &generation.message.parts[..] {
            [Part::Text(content)] => (content.text.clone(), generation.finish_reason.clone()),
            parts => (format!("{parts:?}"), generation.finish_reason.clone()),
        }
    }

    const REQUEST: &str = r#"{"inputs":"Tell me","parameters":{"temperature":0.5,"max_new_tokens":20,"top_k":3,"stop":["x"],"details":true}}"#;

    #[test]
    fn whole_answers() {
        let answer = r#"{"generated_text":" a joke","details":{"finish_reason":"eos_token","generated_tokens":7,"prefill":[{"id":1},{"id":2}]}}"#;
        for answer in [answer.to_owned(), format!("[{answer}]")] {
            let call = exchange("/generate", REQUEST).json(200, &answer).call();
            assert_eq!((call.dialect, call.provider), ("tgi.generate", Provider::HuggingFace));
            assert_eq!((call.request.temperature, call.request.max_tokens), (Some(0.5), Some(20)));
            assert_eq!((call.request.top_k, call.request.stream), (Some(3), None));
            assert_eq!((call.usage.input, call.usage.output), (Some(2), Some(7)));
            assert_eq!(said(&call), (" a joke".to_owned(), Some(FinishReason::Stop)));
        }
        let call = exchange("/generate", REQUEST).json(200, r#"{"generated_text":"a"}"#).call();
        assert_eq!((call.usage.output, said(&call)), (None, ("a".to_owned(), None)));
    }

    #[test]
    fn streams() {
        let events = [
            r#"{"index":1,"token":{"id":5,"text":" a","logprob":-0.1,"special":false},"generated_text":null,"details":null}"#,
            r#"{"index":2,"token":{"id":6,"text":" joke","logprob":-0.1,"special":false},"generated_text":null,"details":null}"#,
            r#"{"index":3,"token":{"id":2,"text":"</s>","logprob":-0.1,"special":true},"generated_text":" a joke","details":{"finish_reason":"length","generated_tokens":3,"input_length":2}}"#,
        ];
        let call = exchange("/generate_stream", REQUEST).stream(&stream_of(&events)).call();
        assert_eq!(said(&call), (" a joke".to_owned(), Some(FinishReason::Length)));
        assert_eq!(
            (call.usage.input, call.usage.output, call.request.stream),
            (Some(2), Some(3), Some(true))
        );
        assert_eq!((call.streaming.chunks, call.error), (3, None));
        let call = exchange("/generate_stream", REQUEST).stream(&stream_of(&events[..2]));
        let call = call.run(ExchangeEnd::ClosedRemotely).unwrap();
        assert_eq!(said(&call), (" a joke".to_owned(), Some(FinishReason::Error)));
        let failed = r#"{"error":"overloaded","error_type":"overloaded"}"#;
        let call = exchange("/generate_stream", REQUEST).stream(&stream_of(&[events[0], failed])).call();
        assert_eq!(call.error.as_ref().map(|error| &*error.kind), Some("overloaded"));
        assert_eq!(said(&call), (" a".to_owned(), Some(FinishReason::Error)));
    }

    #[test]
    fn errors_and_what_is_none() {
        let error = r#"{"error":"`inputs` must have less than 1000 tokens","error_type":"validation"}"#;
        let call = exchange("/generate", REQUEST).json(422, error).call();
        assert_eq!(call.error.unwrap().kind, "validation");
        for body in [r#"{"report":7}"#, r#"{"inputs":["a"]}"#, "no JSON"] {
            let none = exchange("/reports/generate", body).json(200, r#"{"ok":true}"#);
            assert!(none.run(ExchangeEnd::Complete).is_none(), "{body}");
        }
    }
}
