//! What the answers of Chat Completions and of the older Completions have in common.

use serde::Deserialize;

use super::{
    super::{
        budget::Budget,
        call::{CallError, Generation},
        document::Document,
        field::Field,
    },
    error,
};
use crate::wire::SseEvent;

/// Sets what isn't set yet. The first value counts: Azure's first chunk has empty ones.
pub(in crate::genai) fn identify<const N: usize>(
    slots: [(&mut Option<String>, Field<'_>); N],
    budget: &mut Budget,
) {
    for (slot, field) in slots {
        if slot.is_none() {
            *slot = field.label(budget);
        }
    }
}

/// The choices of a whole answer, by their index, else in their order.
pub(in crate::genai) fn choices<'a, T: Deserialize<'a>>(
    field: Field<'a>,
    budget: &mut Budget,
    index: impl Fn(&T) -> Field<'a>,
    read: impl Fn(&T, &mut Budget) -> Generation,
) -> Vec<Generation> {
    let mut generations = Vec::new();
    field.each(budget, |item, budget| {
        if !budget.item() {
            return;
        }
        let Some(choice) = item.object::<T>(budget) else { return };
        let index = index(&choice).integer(budget).unwrap_or(generations.len() as i64);
        generations.push((index, read(&choice, budget)));
    });
    generations.sort_by_key(|(index, _)| *index);
    generations.into_iter().map(|(_, generation)| generation).collect()
}

/// What an event of a stream is.
pub(in crate::genai) enum Chunk<'a> {
    /// It keeps the connection alive.
    Nothing,
    /// It says that the stream is over.
    Done,
    /// The next chunk.
    Data(Document<'a>),
}

impl<'a> Chunk<'a> {
    pub(in crate::genai) fn of(event: &'a SseEvent) -> Self {
        match event.data.trim_ascii() {
            b"" => Self::Nothing,
            b"[DONE]" => Self::Done,
            data => Self::Data(Document::read(data)),
        }
    }
}

/// The error that a chunk, which has this `error`, or the name of its event tells.
pub(in crate::genai) fn failure(
    event: &SseEvent,
    document: &Document<'_>,
    told: Field<'_>,
    budget: &mut Budget,
) -> Option<CallError> {
    let failed = told.is_some() || &*event.event == "error";
    failed.then(|| document.root().and_then(|root| error::read(root, budget)).unwrap_or_default())
}
