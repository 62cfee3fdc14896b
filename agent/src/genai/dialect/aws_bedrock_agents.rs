//! Amazon Bedrock's agent runtime
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Agents_for_Amazon_Bedrock_Runtime.html>): agents,
//! knowledge bases and reranking, as far as the wire tells. Tokens are only in an agent's traces, of which each tells one of the
//! model's calls that it made.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        bedrock::{error, path},
        budget::Budget,
        call::{Call, CallError, Content, Generation, Message, OperationName, Part, Provider},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        text,
    },
    wire::{RequestHead, ResponseHead, SseEvent},
};

/// A part of it.
pub(super) struct AwsBedrockAgents {
    name: &'static str,
    operation: OperationName,
}

/// Agents that are asked.
pub(super) static AGENTS: AwsBedrockAgents =
    AwsBedrockAgents { name: "aws.bedrock.agents", operation: OperationName::InvokeAgent };

/// Answers that are made from what a knowledge base has.
pub(super) static GENERATE: AwsBedrockAgents =
    AwsBedrockAgents { name: "aws.bedrock.retrieve_and_generate", operation: OperationName::Chat };

/// Knowledge bases that are searched.
pub(super) static RETRIEVE: AwsBedrockAgents =
    AwsBedrockAgents { name: "aws.bedrock.retrieve", operation: OperationName::Retrieval };

/// Documents that are put in order.
pub(super) static RERANK: AwsBedrockAgents =
    AwsBedrockAgents { name: "aws.bedrock.rerank", operation: OperationName::Rerank };

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// `/agents/AGENT/agentAliases/ALIAS/sessions/SESSION/text`
    Agent { agent: Option<String>, session: Option<String> },
    /// `/agents/SESSION`: an agent that the request describes.
    InlineAgent { session: Option<String> },
    /// `/knowledgebases/ID/retrieve`
    Retrieve { base: Option<String> },
    /// `/retrieveAndGenerate`, and the same with `Stream` behind.
    Generate { streamed: bool },
    /// `/rerank`
    Rerank,
}

impl Asked {
    fn of(path: &str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/');
        let name = |segment: &str| text::percent_decode(segment).filter(|name| !name.is_empty());
        let asked = match segments.next()? {
            "agents" => {
                let first = segments.next()?;
                match segments.next() {
                    None | Some("") => Self::InlineAgent { session: name(first) },
                    Some("agentAliases") => {
                        let (_, "sessions", session, "text") =
                            (segments.next()?, segments.next()?, segments.next()?, segments.next()?)
                        else {
                            return None;
                        };
                        Self::Agent { agent: name(first), session: name(session) }
                    }
                    Some(_) => return None,
                }
            }
            "knowledgebases" => {
                let base = segments.next()?;
                (segments.next()? == "retrieve").then_some(Self::Retrieve { base: name(base) })?
            }
            "retrieveAndGenerate" => Self::Generate { streamed: false },
            "retrieveAndGenerateStream" => Self::Generate { streamed: true },
            "rerank" => Self::Rerank,
            _ => return None,
        };
        segments.all(str::is_empty).then_some(asked)
    }

    fn operation(&self) -> OperationName {
        match self {
            Self::Agent { .. } | Self::InlineAgent { .. } => OperationName::InvokeAgent,
            Self::Generate { .. } => OperationName::Chat,
            Self::Retrieve { .. } => OperationName::Retrieval,
            Self::Rerank => OperationName::Rerank,
        }
    }
}

impl Dialect for AwsBedrockAgents {
    fn name(&self) -> &'static str {
        self.name
    }

    fn operation(&self) -> OperationName {
        self.operation
    }

    fn provider(&self) -> Provider {
        Provider::AwsBedrock
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        // Others have such paths too: only what is asked of AWS is one of these.
        let asks = || Asked::of(&head.path).is_some_and(|asked| asked.operation() == self.operation);
        if &*head.method == "POST" && asks() && path::is_to_aws(head) { Claim::Yes } else { Claim::No }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Exchange { asked: Asked::of(&head.path), ..Exchange::default() })
    }
}

#[derive(Default)]
struct Exchange {
    asked: Option<Asked>,
    /// The error that the head of the answer tells.
    error: Option<String>,
    /// The session that it tells.
    session: Option<String>,
    /// What was written so far.
    written: Content,
    /// The agent asks its client to act.
    calls: Vec<Part>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    input_text: Field<'a>,
    #[serde(borrow)]
    foundation_model: Field<'a>,
    #[serde(borrow)]
    instruction: Field<'a>,
    #[serde(borrow)]
    agent_name: Field<'a>,
    #[serde(borrow)]
    session_id: Field<'a>,
    #[serde(borrow)]
    input: Field<'a>,
    #[serde(borrow)]
    retrieve_and_generate_configuration: Field<'a>,
    #[serde(borrow)]
    retrieval_configuration: Field<'a>,
    #[serde(borrow)]
    reranking_configuration: Field<'a>,
}

/// The configurations that models and knowledge bases are named in, one within the other.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "they are the wire's names")]
struct Configuration<'a> {
    #[serde(borrow)]
    knowledge_base_configuration: Field<'a>,
    #[serde(borrow)]
    external_sources_configuration: Field<'a>,
    #[serde(borrow)]
    knowledge_base_id: Field<'a>,
    #[serde(borrow)]
    vector_search_configuration: Field<'a>,
    #[serde(borrow)]
    number_of_results: Field<'a>,
    #[serde(borrow)]
    bedrock_reranking_configuration: Field<'a>,
    #[serde(borrow)]
    model_configuration: Field<'a>,
    #[serde(borrow)]
    model_arn: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow)]
    output: Field<'a>,
    #[serde(borrow)]
    session_id: Field<'a>,
    #[serde(borrow)]
    retrieval_results: Field<'a>,
    #[serde(borrow)]
    results: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    bytes: Field<'a>,
    #[serde(borrow)]
    invocation_id: Field<'a>,
}

/// The events of the streams that are not errors.
const EVENTS: [&str; 8] =
    ["chunk", "trace", "returnControl", "files", "output", "citation", "guardrail", "inlineAgentPayload"];

impl Exchange {
    /// What the path says, which stands also where the body was missed.
    fn identify(&self, call: &mut Call) {
        match &self.asked {
            Some(Asked::Agent { agent, session }) => {
                call.request.agent_id.clone_from(agent);
                call.request.conversation_id.clone_from(session);
            }
            Some(Asked::InlineAgent { session }) => call.request.conversation_id.clone_from(session),
            Some(Asked::Retrieve { base }) => call.request.knowledge_base_id.clone_from(base),
            Some(Asked::Generate { .. } | Asked::Rerank) | None => {}
        }
        if let Some(Asked::Generate { streamed: true }) = self.asked {
            call.request.stream = Some(true);
        }
    }

    fn user(text: Field<'_>, call: &mut Call, budget: &mut Budget) {
        if let Some(content) = text.content(budget)
            && budget.item()
        {
            let parts = vec![Part::Text(content)];
            call.request.messages.push(Message { role: "user".to_owned(), name: None, parts });
        }
    }
}

fn configuration<'a>(field: Field<'a>, budget: &mut Budget) -> Configuration<'a> {
    field.object(budget).unwrap_or_default()
}

impl Fold for Exchange {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        self.identify(call);
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        match &self.asked {
            Some(Asked::Agent { .. } | Asked::InlineAgent { .. }) => {
                call.request.model = body.foundation_model.label(budget);
                call.request.system.extend(body.instruction.content(budget).map(Part::Text));
                call.request.agent_name = body.agent_name.label(budget);
                Self::user(body.input_text, call, budget);
            }
            Some(Asked::Generate { .. }) => {
                let outer = configuration(body.retrieve_and_generate_configuration, budget);
                let inner = outer.knowledge_base_configuration.or(outer.external_sources_configuration);
                let inner = configuration(inner, budget);
                call.request.knowledge_base_id = inner.knowledge_base_id.label(budget);
                call.request.model = inner.model_arn.label(budget);
                call.request.conversation_id = body.session_id.label(budget);
                let input: Answer<'_> = body.input.object(budget).unwrap_or_default();
                Self::user(input.text, call, budget);
            }
            Some(Asked::Retrieve { .. }) => {
                let outer = configuration(body.retrieval_configuration, budget);
                let inner = configuration(outer.vector_search_configuration, budget);
                call.request.top_k = inner.number_of_results.count(budget);
            }
            Some(Asked::Rerank) => {
                let outer = configuration(body.reranking_configuration, budget);
                let inner = configuration(outer.bedrock_reranking_configuration, budget);
                let model = configuration(inner.model_configuration, budget);
                call.request.model = model.model_arn.label(budget);
            }
            None => {}
        }
        Ok(true)
    }

    fn head(&mut self, head: &ResponseHead, budget: &mut Budget) {
        self.error = error::of_head(head, budget);
        let names = ["x-amzn-bedrock-agent-session-id", "x-amzn-bedrock-knowledge-base-session-id"];
        self.session = names.iter().find_map(|name| budget.label(head.headers.get(name)?));
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error::read(body, self.error.as_deref(), budget)
    }

    fn response(&mut self, body: &Document<'_>, _: &mut Call, budget: &mut Budget) -> Result<(), Malformed> {
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        if let Some(Asked::Generate { .. }) = self.asked {
            let output: Answer<'_> = answer.output.object(budget).ok_or(Malformed)?;
            self.session = answer.session_id.label(budget);
            self.written = output.text.content(budget).unwrap_or_default();
            return Ok(());
        }
        let results = answer.retrieval_results.or(answer.results);
        if results.kind() == Kind::Array { Ok(()) } else { Err(Malformed) }
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        if !EVENTS.contains(&&*event.event) {
            if let Some(error) = error::in_stream(event, budget) {
                call.error = Some(error);
                return Ok(Carried::Data);
            }
            budget.unknown += u64::from(!event.event.is_empty());
            return Ok(Carried::Nothing);
        }
        let document = Document::read(&event.data);
        let payload: Answer<'_> = document.object(budget).ok_or(Malformed)?;
        match &*event.event {
            "chunk" => {
                let bytes = payload.bytes.text(budget).unwrap_or_default();
                let bytes = STANDARD.decode(bytes.as_bytes()).map_err(|_| Malformed)?;
                budget.append(&mut self.written, &String::from_utf8_lossy(&bytes));
                Ok(Carried::Content)
            }
            "output" => {
                let piece = payload.text.text(budget).unwrap_or_default();
                budget.append(&mut self.written, &piece);
                Ok(Carried::Content)
            }
            "returnControl" => {
                let id = payload.invocation_id.label(budget);
                let arguments = budget.content(&String::from_utf8_lossy(&event.data));
                if budget.item() {
                    self.calls.push(Part::ToolCall { id, name: "returnControl".to_owned(), arguments });
                }
                Ok(Carried::Content)
            }
            _ => Ok(Carried::Data),
        }
    }

    /// The end of the stream is that of the answer: no event tells it.
    fn ends_with_its_body(&self) -> bool {
        true
    }

    fn finish(&mut self, _: Ending, _: bool, call: &mut Call, _: &mut Budget) {
        self.identify(call);
        error::settle(self.error.take(), &mut call.error);
        if let Some(session) = self.session.take() {
            call.request.conversation_id = Some(session);
        }
        let mut parts = Vec::new();
        let written = std::mem::take(&mut self.written);
        if !written.text.is_empty() || written.cut > 0 {
            parts.push(Part::Text(written));
        }
        parts.append(&mut self.calls);
        if !parts.is_empty() {
            let message = Message { role: "assistant".to_owned(), name: None, parts };
            call.response.generations = vec![Generation { message, ..Generation::default() }];
        }
    }
}

#[cfg(test)]
mod tests;
