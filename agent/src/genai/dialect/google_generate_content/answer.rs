//! Answers: a whole one is a stream of one.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::genai::{
    budget::Budget,
    call::{Call, CallError, FinishReason, Generation, Message, Part, Provider},
    dialect::{Carried, Malformed},
    document::Document,
    field::{Field, Kind},
    finish::Ending,
    google::{error, part, usage::Counts, word},
};

/// A response, or one of a stream.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    candidates: Field<'a>,
    #[serde(borrow)]
    prompt_feedback: Field<'a>,
    #[serde(borrow)]
    usage_metadata: Field<'a>,
    #[serde(borrow)]
    model_version: Field<'a>,
    #[serde(borrow)]
    response_id: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
    /// All of the above, in Code Assist.
    #[serde(borrow)]
    response: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireCandidate<'a> {
    #[serde(borrow)]
    index: Field<'a>,
    #[serde(borrow)]
    content: Field<'a>,
    #[serde(borrow)]
    finish_reason: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Feedback<'a> {
    #[serde(borrow)]
    block_reason: Field<'a>,
}

/// One choice, as far as it has come.
#[derive(Default)]
struct Candidate {
    parts: Vec<Part>,
    finish_reason: Option<String>,
}

/// What has come of an answer.
#[derive(Default)]
pub(super) struct Answer {
    candidates: BTreeMap<i64, Candidate>,
    /// Why the prompt was not answered at all.
    blocked: Option<String>,
    counts: Counts,
    counted: bool,
    failed: bool,
}

impl Answer {
    /// Takes a response, or the next one of a stream.
    pub(super) fn take(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let mut wire: Wire<'_> = body.object(budget).ok_or(Malformed)?;
        if wire.response.kind() == Kind::Object && !wire.candidates.is_some() {
            wire = wire.response.object(budget).ok_or(Malformed)?;
        }
        if wire.error.is_some() {
            self.failed = true;
            call.error = error::detail(wire.error, budget).or_else(|| Some(CallError::default()));
        }
        let response = &mut call.response;
        for (slot, field) in [(&mut response.id, wire.response_id), (&mut response.model, wire.model_version)]
        {
            if let Some(value) = field.label(budget) {
                *slot = Some(value);
            }
        }
        if wire.usage_metadata.is_some() {
            self.counted = true;
            if let Some(tier) = self.counts.update(wire.usage_metadata, budget) {
                call.response.service_tier = Some(tier);
            }
        }
        if let Some(feedback) = wire.prompt_feedback.object::<Feedback<'_>>(budget)
            && let Some(reason) = word::read(feedback.block_reason, &word::BLOCK_REASONS, budget)
        {
            self.blocked = Some(reason);
        }
        let mut carried = Carried::Data;
        if wire.candidates.is_some() {
            let mut position = 0;
            wire.candidates.each(budget, |item, budget| {
                if self.candidate(item, position, call.provider, budget) {
                    carried = Carried::Content;
                }
                position += 1;
            });
        }
        Ok(carried)
    }

    /// Has anything come that only an answer has?
    pub(super) fn is_some(&self) -> bool {
        !self.candidates.is_empty() || self.blocked.is_some() || self.counted || self.failed
    }

    /// Folds a candidate in; says whether it brought content.
    fn candidate(&mut self, item: Field<'_>, position: i64, provider: Provider, budget: &mut Budget) -> bool {
        let Some(wire) = item.object::<WireCandidate<'_>>(budget) else { return false };
        let index = wire.index.integer(budget).unwrap_or(position);
        if !self.candidates.contains_key(&index) && self.candidates.len() >= budget.limits().choices {
            budget.omitted += 1;
            return false;
        }
        let candidate = self.candidates.entry(index).or_default();
        let words = match provider {
            Provider::GcpVertexAi => &word::VERTEX_FINISH_REASONS[..],
            _ => &word::GEMINI_FINISH_REASONS[..],
        };
        if let Some(reason) = word::read(wire.finish_reason, words, budget) {
            candidate.finish_reason = Some(reason);
        }
        let mut parts = Vec::new();
        if wire.content.is_some() {
            part::read(wire.content, budget, &mut parts);
        }
        let some = !parts.is_empty();
        let mut parts = parts.into_iter();
        // A stream cuts texts anywhere.
        match (candidate.parts.last_mut(), parts.next()) {
            (Some(Part::Text(before)), Some(Part::Text(more)))
            | (Some(Part::Reasoning(before)), Some(Part::Reasoning(more))) => before.join(&more),
            (_, Some(part)) => candidate.parts.push(part),
            (_, None) => {}
        }
        candidate.parts.extend(parts);
        some
    }

    /// Has each choice said why it ended?
    pub(super) fn terminated(&self, call: &Call) -> bool {
        let asked = call.request.choice_count.unwrap_or(1);
        let all = self.candidates.values().all(|candidate| candidate.finish_reason.is_some());
        self.failed || self.blocked.is_some() || (all && self.candidates.len() as i64 >= asked)
    }

    /// Puts the choices and the usage into the call.
    pub(super) fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        let terminated = self.terminated(call);
        if self.counted {
            call.usage = self.counts.usage();
            call.usage.partial = damaged || (ending != Ending::Whole && !terminated);
        }
        let message = |parts| Message { role: "assistant".to_owned(), name: None, parts };
        if self.candidates.is_empty()
            && let Some(reason) = self.blocked.take()
        {
            call.response.generations.push(Generation {
                finish_reason: Some(FinishReason::ContentFilter),
                provider_finish_reason: Some(reason),
                message: message(Vec::new()),
            });
        }
        // An error in the stream is why a choice has no finish reason.
        let ending = if self.failed { Ending::Broken } else { ending };
        for Candidate { parts, finish_reason } in std::mem::take(&mut self.candidates).into_values() {
            let mut generation = Generation { message: message(parts), ..Generation::default() };
            generation.finish(finish_reason, ending, budget);
            call.response.generations.push(generation);
        }
    }
}
