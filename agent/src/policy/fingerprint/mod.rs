//! What tells one kind of call from another: its prompt, its template, its tools, the revision of its model, and whose it is.
//!
//! These are made before anything is taken out of content, and have nothing of it: all that could be tried out is a hash under the
//! installation's key. They go on spans, never on metrics.

mod identity;
mod revision;
mod template;
mod tools;
mod whole;

use std::sync::Arc;

use self::{revision::Revisions, template::Templates};
use super::content::Key;
use crate::{
    account::Account,
    genai::{Call, Fact},
};

/// What tells a call from others, and whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prints {
    /// Keyed hash of all that it asks with: 32 hexadecimal digits.
    pub prompt: Option<String>,
    /// Which template the prompt was made from: 16 hexadecimal digits.
    pub template: Option<String>,
    /// Keyed hash of the tools that the model may call, in whatever order: 16 hexadecimal digits.
    pub tool_set: Option<String>,
    /// Keyed hash of the tools that the model called, in their order: 16 hexadecimal digits.
    pub tool_sequence: Option<String>,
    /// The names of those, the last ones of many.
    pub tools_called: Vec<String>,
    /// Another model answered than the one whose name was asked for.
    pub aliased: Option<bool>,
    /// The model that answered for this name until now, if this call was answered by another one.
    pub revision_before: Option<String>,
    /// Name of the stored prompt that it is asked with.
    pub prompt_name: Option<String>,
    /// Version of that.
    pub prompt_version: Option<String>,
    /// The tenant: a keyed hash, unless the value may be known, as with all that follows.
    pub tenant: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The application's session.
    pub session: Option<String>,
    /// The language that is preferred.
    pub locale: Option<String>,
    /// The experiment or its bucket.
    pub experiment: Option<String>,
    /// Ids of the documents that were retrieved for the prompt.
    pub contexts: Vec<String>,
}

/// Makes the prints of one call after another: what a template is, and which revision is new, takes knowing what was before.
#[derive(Debug)]
pub struct Fingerprinter {
    /// None: no prints are made.
    key: Option<Key>,
    plain: Vec<Fact>,
    templates: Templates,
    revisions: Revisions,
}

impl Fingerprinter {
    /// One whose hashes are under this key; without one it makes no prints. The facts of `plain` are told as they are.
    pub fn new(key: Option<Key>, plain: Vec<Fact>, account: Arc<Account>) -> Self {
        Self { key, plain, templates: Templates::new(account), revisions: Revisions::default() }
    }

    /// The prints of a call.
    pub fn prints(&mut self, call: &Call) -> Prints {
        let Some(key) = &self.key else { return Prints::default() };
        let (tool_sequence, tools_called) = tools::sequence(call, key);
        let revision = self.revisions.of(call);
        let mut prints = Prints {
            prompt: whole::print(call, key),
            template: self.templates.of(call, key),
            tool_set: tools::set(call, key),
            tool_sequence,
            tools_called,
            aliased: revision.aliased,
            revision_before: revision.before,
            ..Prints::default()
        };
        identity::set(&mut prints, call, &self.plain, key);
        prints
    }

    /// From now on hashes are under this key, and these facts are told as they are. What is known of templates stays.
    pub fn configure(&mut self, key: Option<Key>, plain: Vec<Fact>) {
        self.key = key;
        self.plain = plain;
    }
}

#[cfg(test)]
mod tests;
