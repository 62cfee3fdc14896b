//! Which model answers for a name, and since when another one does.

use std::collections::HashMap;

use crate::genai::Call;

/// As many names are remembered.
const NAMES: usize = 1024;

/// What is to be said of the model that answered a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Revision {
    pub(super) aliased: Option<bool>,
    pub(super) before: Option<String>,
}

/// The models that answered last.
#[derive(Debug, Default)]
pub(super) struct Revisions {
    /// By host and name: the model, and when it answered last.
    last: HashMap<(String, String), (String, u64)>,
    calls: u64,
}

impl Revisions {
    /// What is to be said of this call's, which is the last one from now on.
    pub(super) fn of(&mut self, call: &Call) -> Revision {
        let (Some(asked), Some(answered)) = (&call.request.model, &call.response.model) else {
            return Revision::default();
        };
        self.calls += 1;
        let host = call.transport.server_address.clone().unwrap_or_default();
        let before = self.last.insert((host, asked.clone()), (answered.clone(), self.calls));
        if self.last.len() > NAMES {
            self.forget();
        }
        let before = before.map(|(model, _)| model).filter(|model| model != answered);
        Revision { aliased: Some(asked != answered), before }
    }

    /// Forgets the half that was asked for least lately.
    fn forget(&mut self) {
        let mut times: Vec<u64> = self.last.values().map(|(_, time)| *time).collect();
        let (_, middle, _) = times.select_nth_unstable(NAMES / 2);
        let oldest_kept = *middle;
        self.last.retain(|_, (_, time)| *time >= oldest_kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(host: &str, asked: &str, answered: Option<&str>) -> Call {
        let mut call = Call::default();
        call.request.model = Some(asked.to_owned());
        call.response.model = answered.map(str::to_owned);
        call.transport.server_address = Some(host.to_owned());
        call
    }

    #[test]
    fn what_changes_behind_a_name_is_told_once() {
        let mut revisions = Revisions::default();
        let rows = [
            ("a", "gpt-4o", Some("gpt-4o-2024-05-13"), Some(true), None),
            ("a", "gpt-4o", Some("gpt-4o-2024-05-13"), Some(true), None),
            ("a", "gpt-4o", None, None, None),
            ("a", "gpt-4o", Some("gpt-4o-2024-08-06"), Some(true), Some("gpt-4o-2024-05-13")),
            ("a", "gpt-4o", Some("gpt-4o-2024-08-06"), Some(true), None),
            ("b", "gpt-4o", Some("gpt-4o"), Some(false), None),
            ("a", "claude-3", Some("claude-3"), Some(false), None),
        ];
        for (at, (host, asked, answered, aliased, before)) in rows.into_iter().enumerate() {
            let wanted = Revision { aliased, before: before.map(str::to_owned) };
            assert_eq!(revisions.of(&call(host, asked, answered)), wanted, "{at}");
        }
    }

    #[test]
    fn names_are_remembered_up_to_a_limit_and_the_latest_longest() {
        let mut revisions = Revisions::default();
        for n in 0..10 * NAMES {
            revisions.of(&call("a", &n.to_string(), Some("old")));
            revisions.of(&call("a", "kept", Some("old")));
            assert!(revisions.last.len() <= NAMES);
        }
        assert_eq!(revisions.of(&call("a", "kept", Some("new"))).before.as_deref(), Some("old"));
        assert_eq!(revisions.of(&call("a", "0", Some("new"))).before, None);
    }
}
