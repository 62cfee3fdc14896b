//! Which template a prompt was made from.

use std::sync::Arc;

use crate::{account::Account, genai::Call, policy::content::Key};

/// The templates that are known.
#[derive(Debug)]
pub(super) struct Templates {
    _account: Arc<Account>,
}

impl Templates {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { _account: account }
    }

    /// The fingerprint of the call's template.
    pub(super) fn of(&mut self, call: &Call, key: &Key) -> Option<String> {
        let system = super::whole::text(call.request.system.first()?)?;
        let mut hash = key.begin("template");
        hash.field(system.text.as_bytes());
        Some(hash.finish(16))
    }
}
