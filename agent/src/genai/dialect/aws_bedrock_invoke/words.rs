//! Families that are asked with a prompt and answer with texts, whose chunks are in the form of whole answers.

use std::{collections::BTreeMap, marker::PhantomData};

use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Content, Generation, Message, Part, Usage},
        dialect::{Carried, Fold, Malformed},
        document::Document,
        field::Field,
        finish::Ending,
    },
    wire::SseEvent,
};

/// How a family says it.
pub(super) trait Words: Send + 'static {
    /// Reads a request body.
    fn asked(body: Field<'_>, call: &mut Call, budget: &mut Budget);

    /// Reads a whole answer, or a chunk of one; says whether it is what the family answers with.
    fn answered(body: Field<'_>, said: &mut Said, call: &mut Call, budget: &mut Budget) -> bool;
}

/// A reader of such a family's bodies.
pub(super) fn fold<W: Words>() -> Box<dyn Fold> {
    Box::new(Texts::<W> { said: Said::default(), streamed: false, family: PhantomData })
}

/// What was answered until now.
#[derive(Default)]
pub(super) struct Said {
    choices: BTreeMap<i64, Choice>,
    carried: bool,
    /// Tokens of the prompt.
    pub(super) input: Option<i64>,
    /// Tokens of the answer.
    pub(super) output: Option<i64>,
}

#[derive(Default)]
struct Choice {
    text: Content,
    calls: Vec<Part>,
    finish_reason: Option<String>,
}

impl Said {
    fn choice(&mut self, index: i64, budget: &mut Budget) -> Option<&mut Choice> {
        if !self.choices.contains_key(&index) && self.choices.len() >= budget.limits().choices {
            budget.omitted += 1;
            return None;
        }
        Some(self.choices.entry(index).or_default())
    }

    /// More of a choice, and why it ends here if it does.
    pub(super) fn text(&mut self, index: i64, text: Field<'_>, finish: Field<'_>, budget: &mut Budget) {
        let text = text.text(budget).unwrap_or_default();
        self.carried |= !text.is_empty();
        let reason = finish.label(budget);
        let Some(choice) = self.choice(index, budget) else { return };
        budget.append(&mut choice.text, &text);
        if reason.is_some() {
            choice.finish_reason = reason;
        }
    }

    /// A tool that the first choice calls.
    pub(super) fn call(&mut self, part: Part, budget: &mut Budget) {
        self.carried = true;
        if budget.item()
            && let Some(choice) = self.choice(0, budget)
        {
            choice.calls.push(part);
        }
    }

    /// A count; a later one stands for the whole.
    pub(super) fn count(slot: &mut Option<i64>, field: Field<'_>, budget: &mut Budget) {
        *slot = field.count(budget).or(*slot);
    }

    fn finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.finish_reason.is_some())
    }
}

struct Texts<W> {
    said: Said,
    streamed: bool,
    family: PhantomData<fn() -> W>,
}

impl<W: Words> Fold for Texts<W> {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        W::asked(body.root().ok_or(Malformed)?, call, budget);
        Ok(true)
    }

    /// Errors are Bedrock's.
    fn error(&self, _: Field<'_>, _: &mut Budget) -> Option<CallError> {
        None
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let body = body.root().ok_or(Malformed)?;
        if W::answered(body, &mut self.said, call, budget) { Ok(()) } else { Err(Malformed) }
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        self.streamed = true;
        self.said.carried = false;
        let document = Document::read(&event.data);
        let body = document.root().ok_or(Malformed)?;
        // A chunk may have nothing but what Bedrock adds.
        W::answered(body, &mut self.said, call, budget);
        Ok(if self.said.carried { Carried::Content } else { Carried::Data })
    }

    fn terminated(&self, _: &Call) -> bool {
        self.said.finished()
    }

    fn finish(&mut self, ending: Ending, _: bool, call: &mut Call, budget: &mut Budget) {
        let Said { input, output, .. } = self.said;
        let partial = self.streamed && !self.said.finished() && (input.is_some() || output.is_some());
        call.usage = Usage { input, output, partial, ..Usage::default() };
        for choice in std::mem::take(&mut self.said.choices).into_values() {
            call.response.generations.push(choice.into_generation(ending, budget));
        }
    }
}

impl Choice {
    fn into_generation(self, ending: Ending, budget: &mut Budget) -> Generation {
        let is_said = !self.text.text.is_empty() || self.text.cut > 0;
        let text = is_said.then_some(Part::Text(self.text));
        let parts = text.into_iter().chain(self.calls).collect();
        let message = Message { role: "assistant".to_owned(), name: None, parts };
        let mut generation = Generation { message, ..Generation::default() };
        generation.finish(self.finish_reason, ending, budget);
        generation
    }
}

/// A text as a message of the user's.
pub(super) fn prompt(field: Field<'_>, call: &mut Call, budget: &mut Budget) {
    message("user", field, call, budget);
}

/// A text as a message.
pub(super) fn message(role: &str, field: Field<'_>, call: &mut Call, budget: &mut Budget) {
    if let Some(text) = field.content(budget)
        && budget.item()
    {
        let parts = vec![Part::Text(text)];
        call.request.messages.push(Message { role: role.to_owned(), name: None, parts });
    }
}
