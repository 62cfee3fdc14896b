//! Gemini Live (<https://ai.google.dev/api/live>), of the Gemini API and of Vertex AI: each answer in a session is a call.

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Content, FinishReason, Generation, Message, OperationName, Part, Provider},
        document::Document,
        field::Field,
        finish::{self, Ending},
        google::{config, error, part, tool, usage::Counts},
    },
    wire::{RequestHead, SseEvent},
};

/// The dialect.
pub(super) struct GoogleLive;

impl Dialect for GoogleLive {
    fn name(&self) -> &'static str {
        "google.live"
    }

    fn operation(&self) -> OperationName {
        OperationName::GenerateContent
    }

    fn provider(&self) -> Provider {
        Provider::GcpGenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        // `.BidiGenerateContent`, also with `Constrained` behind; after a slash on Vertex AI.
        if head.path.contains("BidiGenerateContent") { Claim::in_sessions(head) } else { Claim::No }
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Live::default())
    }
}

/// A message of either side. Those of the client may have names in snake case.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    setup: Field<'a>,
    #[serde(alias = "client_content", borrow)]
    client_content: Field<'a>,
    #[serde(alias = "realtime_input", borrow)]
    realtime_input: Field<'a>,
    #[serde(alias = "tool_response", borrow)]
    tool_response: Field<'a>,
    #[serde(borrow)]
    setup_complete: Field<'a>,
    #[serde(borrow)]
    server_content: Field<'a>,
    #[serde(borrow)]
    tool_call: Field<'a>,
    #[serde(borrow)]
    usage_metadata: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Setup<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(alias = "generation_config", borrow)]
    generation_config: Field<'a>,
    #[serde(alias = "system_instruction", borrow)]
    system_instruction: Field<'a>,
    #[serde(borrow)]
    tools: Field<'a>,
    /// Of the server's answer to it.
    #[serde(borrow)]
    session_id: Field<'a>,
}

/// The fields of the other messages.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Said<'a> {
    #[serde(borrow)]
    turns: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(alias = "function_responses", borrow)]
    function_responses: Field<'a>,
    #[serde(borrow)]
    function_calls: Field<'a>,
    #[serde(borrow)]
    model_turn: Field<'a>,
    #[serde(borrow)]
    input_transcription: Field<'a>,
    #[serde(borrow)]
    output_transcription: Field<'a>,
    #[serde(borrow)]
    interrupted: Field<'a>,
    #[serde(borrow)]
    turn_complete: Field<'a>,
    #[serde(borrow)]
    turn_complete_reason: Field<'a>,
}

#[derive(Default)]
struct Live {
    /// What the user was heard to say, in words.
    heard: Content,
    parts: Vec<Part>,
    counts: Counts,
    counted: bool,
    begun: bool,
    /// The word for how it ended.
    end: Option<String>,
    done: bool,
    failed: bool,
}

impl Live {
    fn setup(setup: &Setup<'_>, call: &mut Call, budget: &mut Budget) {
        let request = &mut call.request;
        // `models/MODEL`, or a longer path.
        if let Some(model) = setup.model.label(budget) {
            request.model = model.rsplit('/').next().map(str::to_owned);
        }
        if setup.generation_config.is_some() {
            config::read(setup.generation_config, request, budget);
        }
        if setup.system_instruction.is_some() {
            part::read(setup.system_instruction, budget, &mut request.system);
        }
        if setup.tools.is_some() {
            tool::definitions(setup.tools, budget, &mut request.tools);
        }
    }

    fn said(&mut self, said: &Said<'_>, call: &mut Call, budget: &mut Budget) {
        let messages = &mut call.request.messages;
        if said.turns.is_some() {
            said.turns.each(budget, |turn, budget| messages.extend(part::message(turn, "user", budget)));
        }
        let mut say = |role: &str, parts: Vec<Part>| {
            messages.push(Message { role: role.to_owned(), name: None, parts });
        };
        if let Some(text) = said.text.content(budget)
            && budget.item()
        {
            say("user", vec![Part::Text(text)]);
        }
        if said.function_responses.is_some() {
            let mut parts = Vec::new();
            said.function_responses.each(budget, |item, budget| part::answered(item, budget, &mut parts));
            say("tool", parts);
        }
        if said.input_transcription.is_some() {
            let words: Said<'_> = said.input_transcription.object(budget).unwrap_or_default();
            if let Some(text) = words.text.text(budget) {
                budget.append(&mut self.heard, &text);
            }
        }
    }

    fn content(&mut self, said: &Said<'_>, budget: &mut Budget) -> Carried {
        let mut carried = Carried::Data;
        if said.model_turn.is_some() {
            let mut parts = Vec::new();
            part::read(said.model_turn, budget, &mut parts);
            for part in parts {
                carried = Carried::Content;
                self.add(part);
            }
        }
        if said.output_transcription.is_some() {
            let words: Said<'_> = said.output_transcription.object(budget).unwrap_or_default();
            if let Some(content) = words.text.content(budget) {
                carried = Carried::Content;
                self.add(Part::Text(content));
            }
        }
        if said.interrupted.flag(budget) == Some(true) {
            self.end = Some("interrupted".to_owned());
        }
        if said.turn_complete.flag(budget) == Some(true) {
            self.done = true;
            let reason = said.turn_complete_reason.label(budget);
            if reason.is_some() || self.end.is_none() {
                self.end = Some(reason.unwrap_or_else(|| "turnComplete".to_owned()));
            }
        }
        carried
    }

    /// Texts and sounds come in pieces, and mixed.
    fn add(&mut self, part: Part) {
        for before in self.parts.iter_mut().rev() {
            match (before, &part) {
                (Part::Text(before), Part::Text(more)) | (Part::Reasoning(before), Part::Reasoning(more)) => {
                    return before.join(more);
                }
                (
                    Part::Blob { mime_type: before, encoded_len: len, digest, .. },
                    Part::Blob { mime_type, encoded_len, .. },
                ) if before == mime_type => {
                    *len += encoded_len;
                    // Of what came in pieces there is none: each was only seen by itself.
                    *digest = None;
                    return;
                }
                (Part::ToolCall { .. }, _) => break,
                _ => {}
            }
        }
        self.parts.push(part);
    }
}

impl Fold for Live {
    /// What an answer is asked with are messages.
    fn request(&mut self, body: &Document<'_>, _: &mut Call, _: &mut Budget) -> Result<bool, Malformed> {
        if body.is_empty() { Ok(true) } else { Err(Malformed) }
    }

    fn asked(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let wire: Wire<'_> = body.object(budget).ok_or(Malformed)?;
        let setup = wire.setup.or(wire.setup_complete);
        if setup.is_some() {
            let setup: Setup<'_> = setup.object(budget).unwrap_or_default();
            Self::setup(&setup, call, budget);
            if let Some(id) = setup.session_id.label(budget) {
                call.request.conversation_id = Some(id);
            }
            return Ok(true);
        }
        let said = wire.client_content.or(wire.realtime_input).or(wire.tool_response).or(wire.server_content);
        let said: Said<'_> = said.object(budget).ok_or(Malformed)?;
        self.said(&said, call, budget);
        Ok(true)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error::read(body, budget)
    }

    /// All of an answer is events.
    fn response(&mut self, _: &Document<'_>, _: &mut Call, _: &mut Budget) -> Result<(), Malformed> {
        Err(Malformed)
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let document = Document::read(&event.data);
        let wire: Wire<'_> = document.object(budget).ok_or(Malformed)?;
        self.begun = true;
        let mut carried = Carried::Data;
        if wire.server_content.is_some() {
            let said: Said<'_> = wire.server_content.object(budget).unwrap_or_default();
            self.said(&said, call, budget);
            carried = self.content(&said, budget);
        }
        if wire.tool_call.is_some() {
            let called: Said<'_> = wire.tool_call.object(budget).unwrap_or_default();
            if called.function_calls.is_some() {
                called
                    .function_calls
                    .each(budget, |item, budget| part::called(item, budget, &mut self.parts));
                carried = Carried::Content;
            }
        }
        if wire.usage_metadata.is_some() {
            self.counted = true;
            if let Some(tier) = self.counts.update(wire.usage_metadata, budget) {
                call.response.service_tier = Some(tier);
            }
        }
        if wire.error.is_some() {
            (self.done, self.failed) = (true, true);
            call.error = error::detail(wire.error, budget).or_else(|| Some(CallError::default()));
        }
        Ok(carried)
    }

    fn terminated(&self, _: &Call) -> bool {
        self.done
    }

    fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        call.request.stream = Some(true);
        if self.counted {
            call.usage = self.counts.usage();
            call.usage.partial = damaged || !self.done;
        }
        let heard = std::mem::take(&mut self.heard);
        if !heard.text.is_empty() && budget.item() {
            let parts = vec![Part::Text(heard)];
            call.request.messages.push(Message { role: "user".to_owned(), name: None, parts });
        }
        if !self.begun {
            return;
        }
        let parts = std::mem::take(&mut self.parts);
        let calls = matches!(parts.last(), Some(Part::ToolCall { .. }));
        let word = self.end.take();
        let finish_reason = match word.as_deref() {
            Some("turnComplete") if calls => Some(FinishReason::ToolCall),
            Some("turnComplete") => Some(FinishReason::Stop),
            // The user spoke into it.
            Some("interrupted") => Some(FinishReason::Error),
            Some(word) => Some(finish::normalise(word, budget)),
            None => (self.failed || ending == Ending::Broken).then_some(FinishReason::Error),
        };
        let message = Message { role: "assistant".to_owned(), name: None, parts };
        call.response.generations.push(Generation { finish_reason, provider_finish_reason: word, message });
    }
}

#[cfg(test)]
mod tests;
