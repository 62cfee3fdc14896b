//! What the span says that tells its call from others.

use super::{attributes::Attributes, names};
use crate::policy::{content::Form, fingerprint::Prints};

/// Sets what only calls of models have; names of tools are content, and a hash of them is there anyway.
pub(super) fn set(set: &mut Attributes, prints: &Prints, content: Form) {
    set.set_some(names::GEN_AI_PROMPT_NAME, prints.prompt_name.clone());
    set.set_some(names::PLAINSPAN_PROMPT_VERSION, prints.prompt_version.clone());
    set.set_some(names::PLAINSPAN_FINGERPRINT_PROMPT, prints.prompt.clone());
    set.set_some(names::PLAINSPAN_FINGERPRINT_TEMPLATE, prints.template.clone());
    set.set_some(names::PLAINSPAN_FINGERPRINT_TOOL_SET, prints.tool_set.clone());
    set.set_some(names::PLAINSPAN_FINGERPRINT_TOOL_SEQUENCE, prints.tool_sequence.clone());
    let named = some(&prints.tools_called).filter(|_| content != Form::None);
    set.set_some(names::PLAINSPAN_TOOL_SEQUENCE, named);
    set.set_some(names::PLAINSPAN_MODEL_ALIASED, prints.aliased);
    set.set_some(names::PLAINSPAN_MODEL_REVISION_PREVIOUS, prints.revision_before.clone());
    set.set_some(names::PLAINSPAN_CONTEXT_IDS, some(&prints.contexts));
}

/// Sets whose call it is.
pub(super) fn set_identity(set: &mut Attributes, prints: &Prints) {
    set.set_some(names::PLAINSPAN_IDENTITY_TENANT, prints.tenant.clone());
    set.set_some(names::PLAINSPAN_IDENTITY_USER, prints.user.clone());
    set.set_some(names::PLAINSPAN_IDENTITY_SESSION, prints.session.clone());
    set.set_some(names::PLAINSPAN_IDENTITY_LOCALE, prints.locale.clone());
    set.set_some(names::PLAINSPAN_IDENTITY_EXPERIMENT, prints.experiment.clone());
}

fn some(texts: &[String]) -> Option<Vec<String>> {
    (!texts.is_empty()).then(|| texts.to_vec())
}
