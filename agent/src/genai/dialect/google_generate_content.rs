//! Google's generateContent (<https://ai.google.dev/api/generate-content>): the Gemini API, Vertex AI
//! (<https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference>), and Gemini Code Assist, whose bodies
//! hold those of the others.

mod answer;
mod request;

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, Provider},
        document::Document,
        field::Field,
        finish::Ending,
        google::error,
        text,
    },
    wire::{RequestHead, SseEvent},
};

/// The dialect.
pub(super) struct GoogleGenerateContent;

/// Code Assist, which has no resources in its paths.
const CODE_ASSIST: &str = "v1internal";

/// What a path like `/v1beta/models/MODEL:streamGenerateContent` asks for: the model, if it names one, and whether the
/// answer is to be a stream.
fn asked(path: &str) -> Option<(Option<String>, bool)> {
    let (model, method) = path.rsplit('/').next()?.rsplit_once(':')?;
    let streamed = match method {
        "generateContent" => false,
        "streamGenerateContent" => true,
        _ => return None,
    };
    let model = Some(model).filter(|model| !model.is_empty() && *model != CODE_ASSIST);
    Some((model.and_then(text::percent_decode), streamed))
}

impl Dialect for GoogleGenerateContent {
    fn name(&self) -> &'static str {
        "google.generate_content"
    }

    fn operation(&self) -> OperationName {
        OperationName::GenerateContent
    }

    fn provider(&self) -> Provider {
        Provider::GcpGenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        if &*head.method == "POST" && asked(&head.path).is_some() { Claim::Yes } else { Claim::No }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        let (model, streamed) = asked(&head.path).unwrap_or_default();
        Box::new(GenerateContent { model, streamed, answer: answer::Answer::default() })
    }
}

struct GenerateContent {
    /// The model of the path.
    model: Option<String>,
    streamed: bool,
    answer: answer::Answer,
}

impl GenerateContent {
    /// What the path says, which stands also where the body was missed.
    fn identify(&mut self, call: &mut Call) {
        if let Some(model) = self.model.take() {
            call.request.model = Some(model);
        }
        if self.streamed {
            call.request.stream = Some(true);
        }
    }
}

impl Fold for GenerateContent {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        self.identify(call);
        request::read(body, call, budget).map(|()| true)
    }

    /// Without `alt=sse` the responses of a stream are the elements of an array.
    fn streams_array(&self) -> bool {
        self.streamed
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
        self.answer.take(body, call, budget)?;
        if self.answer.is_some() { Ok(()) } else { Err(Malformed) }
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let data = event.data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            return Ok(Carried::Nothing);
        }
        self.answer.take(&Document::read(data), call, budget)
    }

    fn terminated(&self, call: &Call) -> bool {
        self.answer.terminated(call)
    }

    fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        self.identify(call);
        self.answer.finish(ending, damaged, call, budget);
    }
}

#[cfg(test)]
mod tests;
