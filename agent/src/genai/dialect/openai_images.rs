//! OpenAI's Images (<https://platform.openai.com/docs/api-reference/images>): made, edited and varied.

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed, openai_responses::usage};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Generation, Message, OperationName, OutputType, Part, Provider, Request},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        media,
        openai::{
            answer::{self, Chunk},
            error,
            form::{self, Form},
            path,
        },
        provider,
    },
    wire::{self, RequestHead, SseEvent},
};

const PATHS: [&str; 3] = ["/images/generations", "/images/edits", "/images/variations"];

/// The dialect.
pub(super) struct OpenAiImages;

impl Dialect for OpenAiImages {
    fn name(&self) -> &'static str {
        "openai.images"
    }

    fn operation(&self) -> OperationName {
        OperationName::ImageGeneration
    }

    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        // A gallery may have such paths.
        let is_path = PATHS.iter().any(|end| path::ends_with(&head.path, end));
        Claim::of_post(head, is_path, provider::is_named)
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        let deployment = PATHS.iter().find_map(|end| path::deployment(&head.path, end));
        Box::new(Images { deployment, ..Images::default() })
    }
}

#[derive(Default)]
struct Images {
    /// Azure's deployment, which names the model where the body does not.
    deployment: Option<String>,
    form: Form,
    ended: bool,
    made: Vec<Generation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    prompt: Field<'a>,
    #[serde(borrow)]
    n: Field<'a>,
    #[serde(borrow)]
    stream: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Field<'a>,
    #[serde(borrow)]
    output_format: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
}

/// An image, or an event of a stream that brings one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Image<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    b64_json: Field<'a>,
    #[serde(borrow)]
    url: Field<'a>,
    #[serde(borrow)]
    output_format: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
}

/// An image is a choice of its own. What is not sent is named by its address.
fn image(image: &Image<'_>, format: Field<'_>, budget: &mut Budget) -> Option<Generation> {
    let part = if image.b64_json.is_some() {
        let mime_type = format.label(budget).map(|format| format!("image/{format}"));
        media::of_base64("image", mime_type, image.b64_json, budget)?
    } else {
        let url = image.url.text(budget)?;
        Part::Uri { modality: "image", mime_type: None, uri: budget.whole(&url)? }
    };
    let message = Message { role: "assistant".to_owned(), name: None, parts: vec![part] };
    Some(Generation { message, ..Generation::default() })
}

impl Images {
    /// What a form or a JSON body has asked for; is it anything?
    fn asked(&mut self, prompted: bool, request: &mut Request) -> bool {
        request.output_type = Some(OutputType::Image);
        if request.model.is_none() {
            request.model = self.deployment.take();
        }
        prompted || self.form.has_file("image")
    }
}

impl Fold for Images {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let request = &mut call.request;
        if !self.form.is_empty() {
            let prompted = self.form.prompt(request, budget);
            request.model = self.form.label("model", budget);
            request.choice_count = self.form.number("n");
            request.stream = self.form.flag("stream");
            return Ok(self.asked(prompted, request));
        }
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        request.model = body.model.label(budget);
        request.choice_count = body.n.integer(budget);
        request.stream = body.stream.flag(budget);
        let prompted = body.prompt.kind() == Kind::Text;
        if prompted {
            form::prompt(&body.prompt.text(budget).unwrap_or_default(), request, budget);
        }
        Ok(self.asked(prompted, request))
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
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        if answer.error.is_some() {
            call.error = body.root().and_then(|root| error::read(root, budget));
        } else if answer.data.kind() != Kind::Array {
            return Err(Malformed);
        }
        if let Some(usage) = usage(answer.usage, budget) {
            call.usage = usage;
        }
        if answer.data.is_some() {
            answer.data.each(budget, |item, budget| {
                if budget.item()
                    && let Some(wire) = item.object::<Image<'_>>(budget)
                {
                    self.made.extend(image(&wire, answer.output_format, budget));
                }
            });
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
        let wire: Image<'_> = document.object(budget).ok_or(Malformed)?;
        if let Some(error) = answer::failure(event, &document, wire.error, budget) {
            self.ended = true;
            call.error = Some(error);
            return Ok(Carried::Data);
        }
        match &*wire.kind.text(budget).ok_or(Malformed)? {
            // How far it has come.
            "image_generation.partial_image" | "image_edit.partial_image" => Ok(Carried::Content),
            "image_generation.completed" | "image_edit.completed" => {
                self.ended = true;
                if budget.item() {
                    self.made.extend(image(&wire, wire.output_format, budget));
                }
                if let Some(usage) = usage(wire.usage, budget) {
                    call.usage = usage;
                }
                Ok(Carried::Content)
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
        call.response.generations.append(&mut self.made);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        genai::tests::harness::{Exchange, field, file, head, stream_of},
        wire::{Body, EventKind, ExchangeEnd},
    };

    fn exchange(host: &str, path: &str) -> Exchange {
        Exchange::new(head("POST", host, path))
    }

    fn parts(call: &Call) -> Vec<String> {
        let all = call.response.generations.iter().flat_map(|generation| &generation.message.parts);
        all.map(|part| format!("{part:?}")).collect()
    }

    const REQUEST: &str = r#"{"model":"gpt-image-1","prompt":"a cat","n":2}"#;
    const USAGE: &str = r#""usage":{"input_tokens":9,"output_tokens":272,"total_tokens":281,"input_tokens_details":{"text_tokens":9,"image_tokens":0}}"#;

    #[test]
    fn images_are_made() {
        let answer = format!(
            r#"{{"created":1,"output_format":"png","data":[{{"b64_json":"AAAA"}},{{"url":"https://x.example/a.png"}}],{USAGE}}}"#
        );
        let call = exchange("api.openai.com", "/v1/images/generations").request(REQUEST).json(200, &answer);
        let call = call.call();
        assert_eq!((call.dialect, call.operation), ("openai.images", OperationName::ImageGeneration));
        assert_eq!(
            (call.request.model.as_deref(), call.request.choice_count),
            (Some("gpt-image-1"), Some(2))
        );
        assert_eq!((call.request.output_type, call.request.messages.len()), (Some(OutputType::Image), 1));
        assert_eq!((call.usage.input, call.usage.output), (Some(9), Some(272)));
        let blob =
            r#"Blob { modality: "image", mime_type: Some("image/png"), encoded_len: 4, digest: None }"#;
        let uri = r#"Uri { modality: "image", mime_type: None, uri: "https://x.example/a.png" }"#;
        assert_eq!(parts(&call), [blob, uri]);
        let path = "/openai/deployments/my-image/images/generations";
        let call = exchange("me.openai.azure.com", path).request(r#"{"prompt":"a cat"}"#);
        let call = call.json(200, r#"{"data":[]}"#).call();
        assert_eq!(call.request.model.as_deref(), Some("my-image"));
    }

    #[test]
    fn images_are_edited() {
        let form = || {
            exchange("api.openai.com", "/v1/images/edits")
                .then(EventKind::RequestBody(Body::Part(file("image[]", "a.png"))))
                .then(EventKind::RequestBody(Body::Part(field("prompt", "with a hat"))))
                .then(EventKind::RequestBody(Body::Part(field("model", "gpt-image-1"))))
                .then(EventKind::RequestBody(Body::Part(field("n", "3"))))
                .then(EventKind::RequestEnd)
        };
        let call = form().json(200, r#"{"data":[{"b64_json":"AA"}]}"#).call();
        assert!(!call.damage.request_malformed && !call.damage.response_malformed);
        assert_eq!(
            (call.request.model.as_deref(), call.request.choice_count),
            (Some("gpt-image-1"), Some(3))
        );
        assert_eq!((call.request.messages.len(), parts(&call).len()), (1, 1));
        let error = r#"{"error":{"code":"moderation_blocked","message":"m"}}"#;
        let call = form().json(400, error).call();
        assert_eq!(call.error.unwrap().kind, "moderation_blocked");
    }

    #[test]
    fn streams() {
        let partial = r#"{"type":"image_generation.partial_image","b64_json":"AA","partial_image_index":0}"#;
        let last = format!(
            r#"{{"type":"image_generation.completed","b64_json":"AAAA","output_format":"webp",{USAGE}}}"#
        );
        let streamed = |list: &[&str]| {
            exchange("api.openai.com", "/v1/images/generations").request(REQUEST).stream(&stream_of(list))
        };
        let call = streamed(&[partial, &last]).call();
        assert_eq!((call.usage.output, call.error.is_none(), call.streaming.chunks), (Some(272), true, 2));
        assert_eq!(
            parts(&call),
            [r#"Blob { modality: "image", mime_type: Some("image/webp"), encoded_len: 4, digest: None }"#]
        );
        let call = streamed(&[partial]).run(ExchangeEnd::ClosedRemotely).unwrap();
        assert_eq!(
            (call.error.unwrap().kind.as_str(), call.response.generations.len()),
            ("server_closed", 0)
        );
        let call = streamed(&[r#"{"type":"error","error":{"code":"rate_limited"}}"#]).call();
        assert_eq!(call.error.unwrap().kind, "rate_limited");
    }

    #[test]
    fn what_is_none() {
        let made = |body| {
            let exchange =
                exchange("gallery.example", "/images/edits").request(body).json(200, r#"{"data":[]}"#);
            exchange.run(ExchangeEnd::Complete).is_some()
        };
        assert!(made(REQUEST));
        assert!(!made(r#"{"title":"a cat"}"#));
    }
}
