//! OpenAI's older Completions (<https://platform.openai.com/docs/api-reference/completions>), which servers of open
//! models still speak.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Content, Generation, Message, OperationName, Part, Provider, Usage},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        openai::{
            answer::{self, Chunk},
            error, path, usage,
        },
        text,
    },
    wire::{RequestHead, SseEvent},
};

const PATH: &str = "/completions";

/// The dialect.
pub(super) struct OpenAiCompletions;

impl Dialect for OpenAiCompletions {
    fn name(&self) -> &'static str {
        "openai.completions"
    }

    fn operation(&self) -> OperationName {
        OperationName::TextCompletion
    }

    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        let is_mine = path::ends_with(&head.path, PATH) && !path::ends_with(&head.path, "chat/completions");
        // Others have such a path too: the body tells.
        if &*head.method == "POST" && is_mine { Claim::Maybe } else { Claim::No }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Completions { deployment: path::deployment(&head.path, PATH), ..Completions::default() })
    }
}

/// A fold for bodies that came by another path.
pub(super) fn fold() -> Box<dyn Fold> {
    Box::new(Completions::default())
}

#[derive(Default)]
struct Completions {
    /// Azure's deployment, which names the model where the body does not.
    deployment: Option<String>,
    /// Of a stream.
    choices: BTreeMap<i64, Partial>,
    usage: Option<Usage>,
    done: bool,
    failed: bool,
    /// It is of bare values, which nothing ends.
    bare: bool,
}

/// A choice of a stream.
#[derive(Default)]
struct Partial {
    text: Content,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    prompt: Field<'a>,
    #[serde(borrow)]
    stream: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    /// vLLM and others.
    #[serde(borrow)]
    top_k: Field<'a>,
    #[serde(borrow)]
    frequency_penalty: Field<'a>,
    #[serde(borrow)]
    presence_penalty: Field<'a>,
    #[serde(borrow)]
    max_tokens: Field<'a>,
    #[serde(borrow)]
    n: Field<'a>,
    #[serde(borrow)]
    seed: Field<'a>,
    #[serde(borrow)]
    stop: Field<'a>,
}

/// An answer, or a chunk of one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    choices: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    system_fingerprint: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
    /// Writer's chunks are nothing but the next words.
    #[serde(borrow)]
    value: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice<'a> {
    #[serde(borrow)]
    index: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    finish_reason: Field<'a>,
    /// DeepSeek's name of it at Bedrock. Others (vLLM) have both.
    #[serde(borrow)]
    stop_reason: Field<'a>,
}

impl<'a> Choice<'a> {
    fn reason(&self) -> Field<'a> {
        self.finish_reason.or(self.stop_reason)
    }
}

impl Answer<'_> {
    fn identify(&self, call: &mut Call, budget: &mut Budget) {
        let response = &mut call.response;
        let slots = [
            (&mut response.id, self.id),
            (&mut response.model, self.model),
            (&mut response.system_fingerprint, self.system_fingerprint),
        ];
        answer::identify(slots, budget);
    }
}

/// A prompt is a text, or several; tokens are numbers, which say nothing to a reader.
fn prompts(field: Field<'_>, messages: &mut Vec<Message>, budget: &mut Budget) {
    let mut push = |field: Field<'_>, budget: &mut Budget| {
        if field.kind() == Kind::Text
            && let Some(text) = field.content(budget)
            && budget.item()
        {
            let parts = vec![Part::Text(text)];
            messages.push(Message { role: "user".to_owned(), name: None, parts });
        }
    };
    match field.kind() {
        Kind::Array => field.each(budget, push),
        _ => push(field, budget),
    }
}

fn generation(text: Content, reason: Option<String>, ending: Ending, budget: &mut Budget) -> Generation {
    let is_said = !text.text.is_empty() || text.cut > 0;
    let parts = if is_said { vec![Part::Text(text)] } else { Vec::new() };
    let message = Message { role: "assistant".to_owned(), name: None, parts };
    let mut generation = Generation { message, ..Generation::default() };
    generation.finish(reason, ending, budget);
    generation
}

impl Fold for Completions {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        let request = &mut call.request;
        request.model = body.model.label(budget).or_else(|| self.deployment.take());
        request.stream = body.stream.flag(budget);
        request.temperature = body.temperature.number(budget);
        request.top_p = body.top_p.number(budget);
        request.top_k = body.top_k.integer(budget);
        request.frequency_penalty = body.frequency_penalty.number(budget);
        request.presence_penalty = body.presence_penalty.number(budget);
        request.max_tokens = body.max_tokens.integer(budget);
        request.choice_count = body.n.integer(budget);
        request.seed = body.seed.integer(budget);
        request.stop_sequences = text::stop_sequences(body.stop, budget);
        prompts(body.prompt, &mut request.messages, budget);
        Ok(request.model.is_some() && body.prompt.is_some())
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error::read(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        answer.identify(call, budget);
        if answer.error.is_some() {
            call.error = body.root().and_then(|root| error::read(root, budget));
        } else if !answer.choices.is_some() {
            return Err(Malformed);
        }
        if let Some(usage) = usage::read(answer.usage, budget) {
            call.usage = usage;
        }
        call.response.generations = answer::choices(
            answer.choices,
            budget,
            |choice: &Choice<'_>| choice.index,
            |choice, budget| {
                let text = choice.text.content(budget).unwrap_or_default();
                let reason = choice.reason().label(budget);
                generation(text, reason, Ending::Whole, budget)
            },
        );
        Ok(())
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let document = match Chunk::of(event) {
            Chunk::Data(document) => document,
            Chunk::Nothing => return Ok(Carried::Nothing),
            Chunk::Done => {
                self.done = true;
                return Ok(Carried::Nothing);
            }
        };
        let chunk: Answer<'_> = document.object(budget).ok_or(Malformed)?;
        if let Some(error) = answer::failure(event, &document, chunk.error, budget) {
            self.failed = true;
            call.error = Some(error);
        }
        chunk.identify(call, budget);
        let mut carried = Carried::Data;
        if !chunk.choices.is_some()
            && let Some(words) = chunk.value.text(budget)
        {
            self.bare = true;
            carried = Carried::Content;
            budget.append(&mut self.choices.entry(0).or_default().text, &words);
        }
        chunk.choices.each(budget, |item, budget| {
            let Some(wire) = item.object::<Choice<'_>>(budget) else { return };
            let index = wire.index.integer(budget).unwrap_or(0);
            if !self.choices.contains_key(&index) && self.choices.len() >= budget.limits().choices {
                budget.omitted += 1;
                return;
            }
            let choice = self.choices.entry(index).or_default();
            if let Some(text) = wire.text.text(budget).filter(|text| !text.is_empty()) {
                carried = Carried::Content;
                budget.append(&mut choice.text, &text);
            }
            if let Some(reason) = wire.reason().label(budget) {
                choice.finish_reason = Some(reason);
            }
        });
        if let Some(usage) = usage::read(chunk.usage, budget) {
            self.usage = Some(usage);
        }
        Ok(carried)
    }

    fn terminated(&self, call: &Call) -> bool {
        let asked = call.request.choice_count.unwrap_or(1);
        let finished = self.choices.values().filter(|choice| choice.finish_reason.is_some()).count();
        self.done || (finished == self.choices.len() && finished > 0 && finished as i64 >= asked)
    }

    fn ends_with_its_body(&self) -> bool {
        self.bare
    }

    fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        if let Some(mut usage) = self.usage {
            usage.partial = damaged || !self.terminated(call);
            call.usage = usage;
        }
        // An error in the stream is why a choice has no finish reason.
        let ending = if self.failed { Ending::Broken } else { ending };
        for choice in std::mem::take(&mut self.choices).into_values() {
            call.response.generations.push(generation(choice.text, choice.finish_reason, ending, budget));
        }
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

    fn exchange(body: &str) -> Exchange {
        Exchange::new(head("POST", "localhost:8000", "/v1/completions")).request(body)
    }

    fn texts(call: &Call) -> Vec<(String, Option<FinishReason>)> {
        let text = |generation: &Generation| match &generation.message.parts[..] {
            [Part::Text(content)] => content.text.clone(),
            parts => format!("{parts:?}"),
        };
        call.response.generations.iter().map(|g| (text(g), g.finish_reason.clone())).collect()
    }

    const REQUEST: &str =
        r#"{"model":"m","prompt":["Say a","Say b"],"max_tokens":5,"temperature":0.5,"n":1,"stop":"x"}"#;

    #[test]
    fn whole_answers() {
        let answer = r#"{"id":"cmpl-1","object":"text_completion","model":"m-1","choices":[
            {"index":1,"text":"b","finish_reason":"length","logprobs":null},{"index":0,"text":"a","finish_reason":"stop"}],
            "usage":{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6}}"#;
        let call = exchange(REQUEST).json(200, answer).call();
        assert_eq!((call.operation, call.dialect), (OperationName::TextCompletion, "openai.completions"));
        assert_eq!((call.request.model.as_deref(), call.request.max_tokens), (Some("m"), Some(5)));
        assert_eq!((call.request.messages.len(), &*call.request.stop_sequences), (2, &["x".to_owned()][..]));
        assert_eq!(
            (call.response.id.as_deref(), call.response.model.as_deref()),
            (Some("cmpl-1"), Some("m-1"))
        );
        assert_eq!((call.usage.input, call.usage.output), (Some(4), Some(2)));
        let expected = [("a", FinishReason::Stop), ("b", FinishReason::Length)];
        assert_eq!(texts(&call), expected.map(|(text, reason)| (text.to_owned(), Some(reason))));
    }

    #[test]
    fn streams() {
        let chunk = |text: &str, reason: &str| {
            format!(
                r#"{{"id":"cmpl-1","model":"m","choices":[{{"index":0,"text":"{text}","finish_reason":{reason}}}]}}"#
            )
        };
        let usage = r#"{"id":"cmpl-1","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}"#;
        let all = [
            chunk("a", "null"),
            chunk("b", "null"),
            chunk("", "\"stop\""),
            usage.to_owned(),
            "[DONE]".to_owned(),
        ];
        let request = r#"{"model":"m","prompt":"p","stream":true}"#;
        let call = exchange(request).stream(&stream_of(&all)).call();
        assert_eq!(texts(&call), [("ab".to_owned(), Some(FinishReason::Stop))]);
        assert_eq!((call.usage.input, call.usage.output, call.usage.partial), (Some(4), Some(2), false));
        assert_eq!((call.streaming.chunks, call.request.stream), (4, Some(true)));
        // It breaks off.
        let call = exchange(request).stream(&stream_of(&all[..2])).run(ExchangeEnd::ClosedLocally).unwrap();
        assert_eq!(texts(&call), [("ab".to_owned(), Some(FinishReason::Error))]);
        // Of bare words, of which none says that it is the last.
        let bare = [r#"{"value":"a"}"#, r#"{"value":"b"}"#];
        let call = exchange(request).stream(&stream_of(&bare)).call();
        assert_eq!((texts(&call), call.error), (vec![("ab".to_owned(), None)], None));
        let call = exchange(request).stream(&stream_of(&bare)).run(ExchangeEnd::ClosedLocally).unwrap();
        assert_eq!(call.error.map(|error| error.kind).as_deref(), Some("client_closed"));
        // It fails.
        let error = r#"{"error":{"message":"overloaded","type":"server_error"}}"#.to_owned();
        let call = exchange(request).stream(&stream_of(&[all[0].clone(), error])).call();
        assert_eq!(call.error.as_ref().map(|error| &*error.kind), Some("server_error"));
    }

    #[test]
    fn what_is_none() {
        let run = |path, body: &str| {
            let answer = r#"{"choices":[{"text":"a","index":0,"finish_reason":"stop"}]}"#;
            let head = head("POST", "example.com", path);
            Exchange::new(head).request(body).json(200, answer).run(ExchangeEnd::Complete).is_some()
        };
        assert!(run("/v1/completions", r#"{"model":"m","prompt":"p"}"#));
        assert!(run("/openai/deployments/d/completions", r#"{"prompt":[1,2]}"#));
        assert!(!run("/v1/completions", r#"{"model":"m","query":"p"}"#));
        assert!(!run("/v1/code_completions", r#"{"model":"m","prompt":"p"}"#));
        assert!(!run("/v1/completions", r#"{"prompt":"p"}"#));
    }
}
