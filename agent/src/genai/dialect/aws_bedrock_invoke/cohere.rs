//! Cohere (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command.html>): Command, Command R,
//! and Embed.

use serde::Deserialize;

use super::{
    family::Family,
    words::{self, Said, Words},
};
use crate::genai::{
    budget::Budget,
    call::{Call, OperationName, Part, ToolDefinition},
    field::Field,
    openai::tool::whole,
    text,
};

pub(super) static TEXT: Family = Family {
    models: &["cohere.command"],
    members: &["generations"],
    operation: OperationName::TextCompletion,
    open: words::fold::<Text>,
};

pub(super) static CHAT: Family = Family {
    models: &["cohere.command-r"],
    members: &["chat_history", "event_type", "generation_id"],
    operation: OperationName::Chat,
    open: words::fold::<Chat>,
};

pub(super) static EMBEDDINGS: Family = Family {
    models: &["cohere.embed"],
    members: &["texts", "input_type", "response_type"],
    operation: OperationName::Embeddings,
    open: words::fold::<Embeddings>,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked<'a> {
    #[serde(borrow)]
    prompt: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
    #[serde(borrow)]
    preamble: Field<'a>,
    #[serde(borrow)]
    chat_history: Field<'a>,
    #[serde(borrow)]
    tools: Field<'a>,
    #[serde(borrow)]
    max_tokens: Field<'a>,
    #[serde(borrow)]
    num_generations: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    p: Field<'a>,
    #[serde(borrow)]
    k: Field<'a>,
    #[serde(borrow)]
    frequency_penalty: Field<'a>,
    #[serde(borrow)]
    presence_penalty: Field<'a>,
    #[serde(borrow)]
    seed: Field<'a>,
    #[serde(borrow)]
    stop_sequences: Field<'a>,
}

impl Asked<'_> {
    fn parameters(&self, call: &mut Call, budget: &mut Budget) {
        let request = &mut call.request;
        request.max_tokens = self.max_tokens.integer(budget);
        request.choice_count = self.num_generations.integer(budget);
        request.temperature = self.temperature.number(budget);
        request.top_p = self.p.number(budget);
        request.top_k = self.k.integer(budget);
        request.frequency_penalty = self.frequency_penalty.number(budget);
        request.presence_penalty = self.presence_penalty.number(budget);
        request.seed = self.seed.integer(budget);
        request.stop_sequences = text::stop_sequences(self.stop_sequences, budget);
    }
}

/// An answer of either, or a chunk of one. The last chunk repeats the whole, in `response`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered<'a> {
    #[serde(alias = "response_id", borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    generations: Field<'a>,
    #[serde(borrow)]
    index: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    finish_reason: Field<'a>,
    #[serde(borrow)]
    is_finished: Field<'a>,
    #[serde(borrow)]
    tool_calls: Field<'a>,
    #[serde(borrow)]
    response: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Generated<'a> {
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    finish_reason: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ToolCall<'a> {
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    parameters: Field<'a>,
}

impl Answered<'_> {
    fn read(&self, said: &mut Said, call: &mut Call, budget: &mut Budget) -> bool {
        let whole: Answered<'_> = self.response.object(budget).unwrap_or_default();
        if let Some(id) = self.id.or(whole.id).label(budget) {
            call.response.id = Some(id);
        }
        if self.tool_calls.is_some() {
            self.tool_calls.each(budget, |item, budget| {
                if let Some(tool) = item.object::<ToolCall<'_>>(budget) {
                    let name = tool.name.label(budget).unwrap_or_default();
                    let arguments = tool.parameters.json_content(budget);
                    said.call(Part::ToolCall { id: None, name, arguments }, budget);
                }
            });
        }
        if self.generations.is_some() {
            let mut index = 0;
            self.generations.each(budget, |item, budget| {
                let Some(generated) = item.object::<Generated<'_>>(budget) else { return };
                said.text(index, generated.text, generated.finish_reason, budget);
                index += 1;
            });
            return true;
        }
        let fits = self.text.is_some() || self.finish_reason.is_some();
        if fits {
            let index = self.index.integer(budget).unwrap_or(0);
            said.text(index, self.text, self.finish_reason, budget);
        }
        fits || self.is_finished.is_some()
    }
}

fn answered(body: Field<'_>, said: &mut Said, call: &mut Call, budget: &mut Budget) -> bool {
    body.object::<Answered<'_>>(budget).is_some_and(|body| body.read(said, call, budget))
}

struct Text;

impl Words for Text {
    fn asked(body: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(body) = body.object::<Asked<'_>>(budget) else { return };
        body.parameters(call, budget);
        words::prompt(body.prompt, call, budget);
    }

    fn answered(body: Field<'_>, said: &mut Said, call: &mut Call, budget: &mut Budget) -> bool {
        answered(body, said, call, budget)
    }
}

struct Chat;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Turn<'a> {
    #[serde(borrow)]
    role: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    description: Field<'a>,
}

impl Words for Chat {
    fn asked(body: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(body) = body.object::<Asked<'_>>(budget) else { return };
        body.parameters(call, budget);
        call.request.system.extend(body.preamble.content(budget).map(Part::Text));
        body.chat_history.each(budget, |item, budget| {
            let Some(turn) = item.object::<Turn<'_>>(budget) else { return };
            let role = match turn.role.label(budget).unwrap_or_default().to_lowercase() {
                role if role == "chatbot" => "assistant".to_owned(),
                role => role,
            };
            words::message(&role, turn.message, call, budget);
        });
        words::prompt(body.message, call, budget);
        // What they take is told in a form of its own, which is no schema.
        body.tools.each(budget, |item, budget| {
            if budget.item()
                && let Some(tool) = item.object::<Tool<'_>>(budget)
            {
                call.request.tools.push(ToolDefinition {
                    kind: "function".to_owned(),
                    name: tool.name.label(budget),
                    description: whole(tool.description, budget),
                    parameters: None,
                });
            }
        });
    }

    fn answered(body: Field<'_>, said: &mut Said, call: &mut Call, budget: &mut Budget) -> bool {
        answered(body, said, call, budget)
    }
}

struct Embeddings;

#[derive(Default, Deserialize)]
#[serde(default)]
struct ToEmbed<'a> {
    #[serde(borrow)]
    output_dimension: Field<'a>,
    #[serde(borrow)]
    embedding_types: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Embedded<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    embeddings: Field<'a>,
}

impl Words for Embeddings {
    fn asked(body: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(body) = body.object::<ToEmbed<'_>>(budget) else { return };
        call.request.dimensions = body.output_dimension.integer(budget);
        call.request.encoding_formats = text::stop_sequences(body.embedding_types, budget);
    }

    fn answered(body: Field<'_>, _: &mut Said, call: &mut Call, budget: &mut Budget) -> bool {
        let Some(body) = body.object::<Embedded<'_>>(budget) else { return false };
        call.response.id = body.id.label(budget);
        body.embeddings.is_some()
    }
}
