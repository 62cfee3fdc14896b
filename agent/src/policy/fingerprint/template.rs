//! Which template a prompt was made from.
//!
//! A template is what prompts have in common: system instructions, and what a message of the user says around the values that are filled in.
//! One prompt alone can't tell which is which. So the first prompts of a template are held against each other, and what they share is the template
//! from then on; later ones are made from it if they have nearly all of that. System instructions are a template by themselves, and that of messages
//! of which nothing comes again.
//!
//! The names of templates follow from their text alone, and are the same after a restart, and of other agents with the same key, as long as nothing is filled
//! in where the template begins.

mod index;
mod section;
mod tokens;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use self::{
    index::{Entry, Index},
    section::{Asks, Likeness, Section},
    tokens::Tokens,
};
use crate::{
    account::{Account, Counter},
    genai::{Call, OperationName, Part},
    policy::content::Key,
};

/// As many system instructions, and as many messages, are remembered.
const MOST: usize = 1024;
/// A message that comes again so often, as the only one of its call, is a template with nothing to fill in.
const REPEATED: u8 = 2;

/// The templates that are known.
#[derive(Debug)]
pub(super) struct Templates {
    systems: Index,
    /// Entries of system instructions by the hash of their whole text, for most come again as they are.
    by_text: HashMap<u64, u32>,
    messages: Index,
    account: Arc<Account>,
}

impl Templates {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { systems: Index::new(MOST), by_text: HashMap::new(), messages: Index::new(MOST), account }
    }

    /// The fingerprint of the call's template; none if nothing tells yet that there is one.
    pub(super) fn of(&mut self, call: &Call, key: &Key) -> Option<String> {
        use OperationName::{Chat, GenerateContent, InvokeAgent, TextCompletion};
        if !matches!(call.operation, Chat | TextCompletion | GenerateContent | InvokeAgent) {
            return None;
        }
        let Opening { system, message, alone } = opening(call);
        let parent = self.system(&system, key);
        let known = self.message(parent, &message, alone, key);
        // Where all messages are of one template, if of any, the instructions name it from the first call on.
        let only = parent != 0 && self.systems.children(parent) < 2;
        known.filter(|_| !only).or_else(|| self.systems.id(parent))
    }

    /// The entry of the system instructions; 0 if there are none.
    fn system(&mut self, texts: &[&str], key: &Key) -> u32 {
        let mut hasher = DefaultHasher::new();
        texts.hash(&mut hasher);
        let hash = hasher.finish();
        if let Some(number) = self.by_text.get(&hash).copied()
            && self.systems.used(number).is_some()
        {
            return number;
        }
        let number = self.new_system(texts, key);
        if self.by_text.len() >= 4 * MOST {
            self.by_text.clear();
        }
        self.by_text.insert(hash, number);
        number
    }

    /// The same of a text that was not seen lately.
    fn new_system(&mut self, texts: &[&str], key: &Key) -> u32 {
        let section = Section::of_system(texts);
        if section.is_empty() {
            return 0;
        }
        if let Some((number, likeness)) = self.systems.find(0, &section, is_system) {
            if likeness.is_same() {
                self.systems.used(number);
            } else {
                let is_first = self.systems.learn(number, &section);
                // Only now is it known what of it is filled in, and can't be in its name.
                if let Some(tokens) = is_first {
                    let id = self.name(key, "", texts, tokens);
                    self.systems.rename(number, id);
                }
            }
            return number;
        }
        let id = self.name(key, "", texts, (usize::MAX, 0));
        let (number, forgotten) = self.systems.insert(0, section, Some(id));
        self.account.add(Counter::TemplatesForgotten, forgotten);
        number
    }

    /// The fingerprint of the template of a message, which stands `alone` if nothing has been said after it.
    fn message(&mut self, parent: u32, texts: &[&str], alone: bool, key: &Key) -> Option<String> {
        let section = Section::of_message(texts);
        if section.is_empty() {
            return None;
        }
        let Some((number, likeness)) = self.messages.find(parent, &section, is_message) else {
            let (_, forgotten) = self.messages.insert(parent, section, None);
            self.account.add(Counter::TemplatesForgotten, forgotten);
            return None;
        };
        if !likeness.is_same() {
            self.messages.learn(number, &section);
        } else if alone {
            // The next turn of a conversation tells nothing.
            self.messages.repeat(number);
        }
        let entry = self.messages.used(number)?;
        if entry.id.is_some() || !(entry.is_learnt() || entry.repeated >= REPEATED) {
            return entry.id.clone();
        }
        let tokens = entry.section.named_by();
        let system = self.systems.id(parent).unwrap_or_default();
        let id = self.name(key, &system, texts, tokens);
        self.messages.rename(number, id.clone());
        self.systems.bear(parent);
        Some(id)
    }

    /// A name that no other template has: by that of the system instructions, and so many tokens of the text, from its beginning and
    /// before its end.
    fn name(&self, key: &Key, system: &str, texts: &[&str], (first, last): (usize, usize)) -> String {
        let tokens = || texts.iter().flat_map(|text| Tokens::new(text));
        let before_last = if last == 0 { 0 } else { tokens().count().saturating_sub(last) };
        for again in 0_u32.. {
            let mut hash = key.begin("template");
            hash.field(system.as_bytes());
            for token in tokens().take(first).chain(tokens().skip(before_last).take(last)) {
                hash.field(&[token.kind as u8]);
                hash.field(token.text.as_bytes());
            }
            hash.field(&again.to_be_bytes());
            let name = hash.finish(16);
            if !self.systems.has(&name) && !self.messages.has(&name) {
                return name;
            }
        }
        String::new()
    }
}

/// Were these system instructions made from that template?
fn is_system(entry: &Entry, section: &Section, likeness: &Likeness) -> bool {
    is_of(entry, section, likeness, Asks { words: 8, no_sentences: true })
}

/// Was this message made from that template, or from the same as that message?
fn is_message(entry: &Entry, section: &Section, likeness: &Likeness) -> bool {
    is_of(entry, section, likeness, Asks { words: 3, no_sentences: false })
}

fn is_of(entry: &Entry, section: &Section, likeness: &Likeness, asks: Asks) -> bool {
    likeness.is_same()
        || entry.is_learnt() && entry.is_in(section, likeness)
        || entry.learns() && entry.section.pairs_with(section, likeness, asks)
}

/// What a call begins with.
struct Opening<'a> {
    system: Vec<&'a str>,
    /// The first message that is the user's.
    message: Vec<&'a str>,
    /// Nothing follows it.
    alone: bool,
}

fn opening(call: &Call) -> Opening<'_> {
    let mut system: Vec<&str> = call.request.system.iter().filter_map(said).collect();
    for (at, message) in call.request.messages.iter().enumerate() {
        let texts = message.parts.iter().filter_map(said);
        match message.role.as_str() {
            "system" | "developer" => system.extend(texts),
            "assistant" | "tool" => {}
            _ => {
                let alone = at + 1 == call.request.messages.len();
                return Opening { system, message: texts.collect(), alone };
            }
        }
    }
    Opening { system, message: Vec::new(), alone: true }
}

fn said(part: &Part) -> Option<&str> {
    match part {
        Part::Text(content) => Some(content.text.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
