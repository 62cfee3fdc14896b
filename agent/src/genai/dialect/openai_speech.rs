//! OpenAI's speech (<https://platform.openai.com/docs/api-reference/audio/createSpeech>), whose answer is the sound itself, or a
//! stream of it.

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed, openai_responses::usage};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, OutputType, Part, Provider},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        openai::{
            answer::{self, Chunk},
            error, form, path,
        },
        provider,
    },
    wire::{RequestHead, SseEvent},
};

const PATH: &str = "/audio/speech";

/// The dialect.
pub(super) struct OpenAiSpeech;

impl Dialect for OpenAiSpeech {
    fn name(&self) -> &'static str {
        "openai.speech"
    }

    fn operation(&self) -> OperationName {
        OperationName::Speech
    }

    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        let is_path = path::ends_with(&head.path, PATH);
        Claim::of_post(head, is_path, provider::is_named)
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        let sure = self.claim(head) == Claim::Yes;
        Box::new(Speech { deployment: path::deployment(&head.path, PATH), sure, ended: false })
    }
}

struct Speech {
    /// Azure's deployment, which names the model where the body does not.
    deployment: Option<String>,
    /// It is a call, whatever its answer looks like.
    sure: bool,
    ended: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    input: Field<'a>,
    #[serde(borrow)]
    instructions: Field<'a>,
    #[serde(borrow)]
    stream_format: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
}

impl Fold for Speech {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        let request = &mut call.request;
        request.output_type = Some(OutputType::Speech);
        request.model = body.model.label(budget).or_else(|| self.deployment.take());
        request.stream = (body.stream_format.label(budget).as_deref() == Some("sse")).then_some(true);
        request.system.extend(body.instructions.content(budget).map(Part::Text));
        let fits = request.model.is_some() && body.input.kind() == Kind::Text;
        if fits {
            form::prompt(&body.input.text(budget).unwrap_or_default(), request, budget);
        }
        self.sure |= fits;
        Ok(fits)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error::read(body, budget)
    }

    /// Sound has no form that could be wrong.
    fn response(&mut self, _: &Document<'_>, _: &mut Call, _: &mut Budget) -> Result<(), Malformed> {
        if self.sure { Ok(()) } else { Err(Malformed) }
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let Chunk::Data(document) = Chunk::of(event) else { return Ok(Carried::Nothing) };
        let wire: Event<'_> = document.object(budget).ok_or(Malformed)?;
        if let Some(error) = answer::failure(event, &document, wire.error, budget) {
            self.ended = true;
            call.error = Some(error);
            return Ok(Carried::Data);
        }
        match &*wire.kind.text(budget).ok_or(Malformed)? {
            "speech.audio.delta" => Ok(Carried::Content),
            "speech.audio.done" => {
                self.ended = true;
                if let Some(usage) = usage(wire.usage, budget) {
                    call.usage = usage;
                }
                Ok(Carried::Data)
            }
            _ => {
                budget.unknown += 1;
                Ok(Carried::Nothing)
            }
        }
    }

    fn terminated(&self, _: &Call) -> bool {
        self.ended
    }

    fn finish(&mut self, _: Ending, _: bool, call: &mut Call, _: &mut Budget) {
        if call.request.model.is_none() {
            call.request.model = self.deployment.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        genai::tests::harness::{Exchange, head, stream_of},
        wire::{self, EventKind, ExchangeEnd},
    };

    fn exchange(host: &str, body: &str) -> Exchange {
        Exchange::new(head("POST", host, "/v1/audio/speech")).request(body)
    }

    fn sound(exchange: Exchange) -> Option<Call> {
        let sound = wire::Body::Bytes(vec![0xff, 0xfb, 0x90, 0].into());
        let exchange = exchange.status(200, &[("content-type", "audio/mpeg")]);
        exchange.then(EventKind::ResponseBody(sound)).run(ExchangeEnd::Complete)
    }

    const REQUEST: &str =
        r#"{"model":"gpt-4o-mini-tts","input":"hello","voice":"alloy","instructions":"be glad"}"#;

    #[test]
    fn whole_answers() {
        let call = sound(exchange("api.openai.com", REQUEST)).unwrap();
        assert_eq!((call.dialect, call.operation), ("openai.speech", OperationName::Speech));
        assert_eq!(call.request.model.as_deref(), Some("gpt-4o-mini-tts"));
        assert_eq!((call.request.output_type, call.request.stream), (Some(OutputType::Speech), None));
        assert_eq!((call.request.system.len(), call.request.messages.len()), (1, 1));
        assert!(call.error.is_none() && !call.damage.response_malformed);
    }

    #[test]
    fn streams() {
        let body = r#"{"model":"gpt-4o-mini-tts","input":"hello","voice":"alloy","stream_format":"sse"}"#;
        let events = [
            r#"{"type":"speech.audio.delta","audio":"AAAA"}"#,
            r#"{"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101,"total_tokens":115}}"#,
        ];
        let call = exchange("api.openai.com", body).stream(&stream_of(&events)).call();
        assert_eq!((call.request.stream, call.streaming.chunks), (Some(true), 2));
        assert_eq!((call.usage.input, call.usage.output, call.error), (Some(14), Some(101), None));
        let call = exchange("api.openai.com", body).stream(&stream_of(&events[..1]));
        let call = call.run(ExchangeEnd::ClosedLocally).unwrap();
        assert_eq!(call.error.unwrap().kind, "client_closed");
    }

    #[test]
    fn errors_and_what_is_none() {
        let error = r#"{"error":{"type":"invalid_request_error","message":"m"}}"#;
        let call = exchange("api.openai.com", REQUEST).json(400, error).call();
        assert_eq!(call.error.unwrap().kind, "invalid_request_error");
        assert!(sound(exchange("tts.example", REQUEST)).is_some());
        for body in [r#"{"text":"hello"}"#, "no JSON"] {
            assert!(sound(exchange("tts.example", body)).is_none(), "{body}");
        }
    }
}
