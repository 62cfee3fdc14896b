//! Requests that are forms (RFC 7578), as those with files are.

use super::super::{
    budget::Budget,
    call::{Message, Part, Request},
};
use crate::wire;

/// Fields that are kept of one form.
const FIELDS: usize = 64;

/// The fields of a form, and the names of its files.
#[derive(Default)]
pub(in crate::genai) struct Form {
    fields: Vec<(Box<str>, Box<str>)>,
    files: Vec<Box<str>>,
}

impl Form {
    /// Takes the next part. What a file holds is never kept.
    pub(in crate::genai) fn take(&mut self, part: &wire::Part, budget: &mut Budget) {
        if self.fields.len() + self.files.len() >= FIELDS {
            budget.omitted += 1;
        } else if part.file_name.is_some() {
            self.files.push(part.name.clone());
        } else if let Some(value) = &part.value {
            if let (Ok(text), true) = (std::str::from_utf8(value), budget.hold(value.len() as u64)) {
                self.fields.push((part.name.clone(), text.into()));
            } else {
                budget.omitted += 1;
            }
        }
    }

    /// Has nothing come of a form?
    pub(in crate::genai) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.files.is_empty()
    }

    /// Is there a file of this name, alone or among several (`name[]`)?
    pub(in crate::genai) fn has_file(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.strip_suffix("[]").unwrap_or(file) == name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| &**found == name).map(|(_, text)| &**text)
    }

    /// A name or id.
    pub(in crate::genai) fn label(&self, name: &str, budget: &mut Budget) -> Option<String> {
        budget.label(self.text(name)?)
    }

    /// A number.
    pub(in crate::genai) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.trim().parse().ok()
    }

    /// `true` or `false`.
    pub(in crate::genai) fn flag(&self, name: &str) -> Option<bool> {
        self.text(name)?.trim().to_ascii_lowercase().parse().ok()
    }

    /// Puts the prompt into the request, if there is one.
    pub(in crate::genai) fn prompt(&self, request: &mut Request, budget: &mut Budget) -> bool {
        let Some(text) = self.text("prompt") else { return false };
        prompt(text, request, budget);
        true
    }
}

/// A prompt is a message of the user.
pub(in crate::genai) fn prompt(text: &str, request: &mut Request, budget: &mut Budget) {
    if !text.is_empty() && budget.item() {
        let parts = vec![Part::Text(budget.content(text))];
        request.messages.push(Message { role: "user".to_owned(), name: None, parts });
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::budget::tests::budget, *};
    use crate::genai::tests::harness::{field, file};

    #[test]
    fn forms() {
        let (mut form, mut budget) = (Form::default(), budget());
        assert!(form.is_empty());
        for part in [
            file("image[]", "a.png"),
            field("model", "m"),
            field("model", "second"),
            field("n", " 3 "),
            field("temperature", "0.5"),
            field("stream", "True"),
        ] {
            form.take(&part, &mut budget);
        }
        assert!(!form.is_empty() && form.has_file("image") && !form.has_file("mask"));
        assert_eq!(form.label("model", &mut budget).as_deref(), Some("m"));
        assert_eq!((form.number::<i64>("n"), form.number("temperature")), (Some(3), Some(0.5)));
        assert_eq!((form.flag("stream"), form.number::<i64>("model")), (Some(true), None));
        let mut request = Request::default();
        assert!(!form.prompt(&mut request, &mut budget));
        form.take(&field("prompt", "p"), &mut budget);
        assert!(form.prompt(&mut request, &mut budget) && request.messages.len() == 1);
    }

    #[test]
    fn fields_are_limited() {
        let (mut form, mut budget) = (Form::default(), budget());
        for _ in 0..FIELDS + 3 {
            form.take(&field("a", "b"), &mut budget);
        }
        assert_eq!((form.fields.len(), budget.omitted), (FIELDS, 3));
    }
}
