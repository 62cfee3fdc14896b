//! OpenAI's transcriptions and translations of speech
//! (<https://platform.openai.com/docs/api-reference/audio/createTranscription>). Requests are forms; answers are JSON, plain text
//! or events.

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed, openai_responses::usage};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Content, Generation, Message, OperationName, OutputType, Part, Provider},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        openai::{
            answer::{self, Chunk},
            error,
            form::Form,
            path,
        },
        provider,
    },
    wire::{self, RequestHead, SseEvent},
};

const PATHS: [&str; 2] = ["/audio/transcriptions", "/audio/translations"];

/// The dialect.
pub(super) struct OpenAiTranscriptions;

impl Dialect for OpenAiTranscriptions {
    fn name(&self) -> &'static str {
        "openai.transcriptions"
    }

    fn operation(&self) -> OperationName {
        OperationName::Transcription
    }

    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        let is_path = PATHS.iter().any(|end| path::ends_with(&head.path, end));
        Claim::of_post(head, is_path, provider::is_named)
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        let deployment = PATHS.iter().find_map(|end| path::deployment(&head.path, end));
        let sure = self.claim(head) == Claim::Yes;
        Box::new(Transcription { deployment, sure, ..Transcription::default() })
    }
}

#[derive(Default)]
struct Transcription {
    /// Azure's deployment, which names the model where the form does not.
    deployment: Option<String>,
    /// It is a call, whatever its answer looks like.
    sure: bool,
    form: Form,
    started: bool,
    text: Content,
    ended: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    delta: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
}

impl Fold for Transcription {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        if self.form.is_empty() && !body.is_empty() {
            return Err(Malformed);
        }
        let request = &mut call.request;
        request.model = self.form.label("model", budget).or_else(|| self.deployment.take());
        request.temperature = self.form.number("temperature");
        request.stream = self.form.flag("stream");
        request.output_type = Some(OutputType::Text);
        self.form.prompt(request, budget);
        let fits = request.model.is_some() && self.form.has_file("file");
        self.sure |= fits;
        Ok(fits)
    }

    fn part(&mut self, part: &wire::Part, budget: &mut Budget) -> Result<(), Malformed> {
        self.form.take(part, budget);
        Ok(())
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
        let said = std::str::from_utf8(body.bytes()).ok().filter(|_| self.sure).ok_or(Malformed)?;
        self.started = true;
        // Subtitles are asked for as such, and come as they are.
        if !said.trim_start().starts_with('{') {
            self.text = budget.content(said);
            return Ok(());
        }
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        if answer.text.kind() != Kind::Text {
            return Err(Malformed);
        }
        self.text = answer.text.content(budget).unwrap_or_default();
        if let Some(usage) = usage(answer.usage, budget) {
            call.usage = usage;
        }
        Ok(())
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
        let carried = match &*wire.kind.text(budget).ok_or(Malformed)? {
            "transcript.text.delta" => {
                let more = wire.delta.text(budget).unwrap_or_default();
                budget.append(&mut self.text, &more);
                Carried::Content
            }
            "transcript.text.done" => {
                self.ended = true;
                if let Some(whole) = wire.text.content(budget) {
                    self.text = whole;
                }
                if let Some(usage) = usage(wire.usage, budget) {
                    call.usage = usage;
                }
                Carried::Data
            }
            // Who said what, which the text has as well.
            "transcript.text.segment" => Carried::Data,
            _ => {
                budget.unknown += 1;
                return Ok(Carried::Nothing);
            }
        };
        self.started = true;
        Ok(carried)
    }

    fn terminated(&self, _: &Call) -> bool {
        self.ended
    }

    fn finish(&mut self, ending: Ending, _: bool, call: &mut Call, budget: &mut Budget) {
        if call.request.model.is_none() {
            call.request.model = self.deployment.take();
        }
        if !self.started {
            return;
        }
        let parts = vec![Part::Text(std::mem::take(&mut self.text))];
        let message = Message { role: "assistant".to_owned(), name: None, parts };
        let mut generation = Generation { message, ..Generation::default() };
        generation.finish(None, ending, budget);
        call.response.generations.push(generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        genai::{
            FinishReason,
            tests::harness::{Exchange, field, file, head, stream_of},
        },
        wire::{Body, EventKind, ExchangeEnd},
    };

    fn exchange(host: &str, path: &str, fields: &[(&str, &str)]) -> Exchange {
        let mut exchange = Exchange::new(head("POST", host, path))
            .then(EventKind::RequestBody(Body::Part(file("file", "speech.mp3"))));
        for (name, value) in fields {
            exchange = exchange.then(EventKind::RequestBody(Body::Part(field(name, value))));
        }
        exchange.then(EventKind::RequestEnd)
    }

    const FIELDS: [(&str, &str); 3] = [("model", "whisper-1"), ("temperature", "0.2"), ("prompt", "names")];

    fn said(call: &Call) -> String {
        format!("{:?}", call.response.generations[0].message.parts)
    }

    #[test]
    fn whole_answers() {
        let json = r#"{"text":"hello","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":5,"total_tokens":19}}"#;
        for path in ["/v1/audio/transcriptions", "/v1/audio/translations"] {
            let call = exchange("api.openai.com", path, &FIELDS).json(200, json).call();
            assert_eq!(
                (call.dialect, call.operation),
                ("openai.transcriptions", OperationName::Transcription)
            );
            assert_eq!(
                (call.request.model.as_deref(), call.request.temperature),
                (Some("whisper-1"), Some(0.2))
            );
            assert_eq!((call.request.messages.len(), call.damage.request_malformed), (1, false));
            assert_eq!((call.usage.input, call.usage.audio_input), (Some(14), Some(14)));
            assert_eq!(said(&call), r#"[Text(Content { text: "hello", cut: 0 })]"#);
        }
        let call =
            exchange("api.openai.com", "/v1/audio/transcriptions", &FIELDS).json(200, "1\n00:00 hello\n");
        assert_eq!(said(&call.call()), r#"[Text(Content { text: "1\n00:00 hello\n", cut: 0 })]"#);
        let path = "/openai/deployments/whisper/audio/transcriptions";
        let call = exchange("me.openai.azure.com", path, &[]).json(200, r#"{"text":""}"#).call();
        assert_eq!(call.request.model.as_deref(), Some("whisper"));
    }

    #[test]
    fn streams() {
        let events = [
            r#"{"type":"transcript.text.delta","delta":"hel"}"#,
            r#"{"type":"transcript.text.delta","delta":"lo"}"#,
            r#"{"type":"transcript.text.done","text":"hello","usage":{"input_tokens":14,"output_tokens":5}}"#,
        ];
        let streamed = |n: usize| {
            let exchange =
                exchange("api.openai.com", "/v1/audio/transcriptions", &[("model", "m"), ("stream", "true")]);
            exchange.stream(&stream_of(&events[..n]))
        };
        let call = streamed(3).call();
        assert_eq!(
            (call.request.stream, call.usage.output, call.error.is_none()),
            (Some(true), Some(5), true)
        );
        assert_eq!(said(&call), r#"[Text(Content { text: "hello", cut: 0 })]"#);
        let call = streamed(1).run(ExchangeEnd::ClosedRemotely).unwrap();
        assert_eq!(said(&call), r#"[Text(Content { text: "hel", cut: 0 })]"#);
        assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Error));
    }

    #[test]
    fn errors_and_what_is_none() {
        let error = r#"{"error":{"type":"invalid_request_error","message":"m"}}"#;
        let call = exchange("api.openai.com", "/v1/audio/transcriptions", &FIELDS).json(400, error).call();
        assert_eq!(call.error.unwrap().kind, "invalid_request_error");
        let made = |exchange: Exchange| exchange.json(200, r#"{"text":"a"}"#).run(ExchangeEnd::Complete);
        assert!(made(exchange("asr.example", "/v1/audio/transcriptions", &FIELDS)).is_some());
        assert!(made(exchange("asr.example", "/v1/audio/transcriptions", &[("title", "t")])).is_none());
        let json =
            Exchange::new(head("POST", "asr.example", "/v1/audio/transcriptions")).request(r#"{"a":1}"#);
        assert!(made(json).is_none());
    }
}
