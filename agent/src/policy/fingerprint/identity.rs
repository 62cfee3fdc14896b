//! Whose call it is, and what for, in a form in which it may be known.

use super::Prints;
use crate::{
    genai::{Call, Fact},
    policy::content::Key,
};

/// Sets what the request says of that: as it is if it may be, else as a keyed hash.
pub(super) fn set(prints: &mut Prints, call: &Call, plain: &[Fact], key: &Key) {
    let shown = |fact: Fact, value: &str| {
        if plain.contains(&fact) {
            return value.to_owned();
        }
        let mut hash = key.begin(fact.name());
        hash.field(value.as_bytes());
        format!("hmac:{}", hash.finish(16))
    };
    let one = |fact: Fact| Some(shown(fact, call.stated.get(fact)?));
    prints.tenant = one(Fact::Tenant);
    prints.user = one(Fact::User);
    prints.session = one(Fact::Session);
    prints.locale = call.stated.get(Fact::Locale).and_then(preferred).map(|tag| shown(Fact::Locale, tag));
    prints.experiment = one(Fact::Experiment);
    prints.contexts = call.stated.all(Fact::Context).map(|id| shown(Fact::Context, id)).collect();
    let of_model = || call.request.model.as_deref().and_then(stored_prompt);
    (prints.prompt_name, prints.prompt_version) = match call.stated.get(Fact::Prompt) {
        Some(name) => (Some(name.to_owned()), call.stated.get(Fact::PromptVersion).map(str::to_owned)),
        None => of_model().map_or((None, None), |(name, version)| (Some(name), version)),
    };
}

/// The language that `Accept-Language` prefers (RFC 9110, section 12.5.4), by clients' habit the one that comes first.
fn preferred(languages: &str) -> Option<&str> {
    let tag = languages.split([',', ';']).next()?.trim();
    (!tag.is_empty() && tag != "*").then_some(tag)
}

/// Id and version of a prompt of Bedrock's prompt management: `arn:aws:bedrock:REGION:ACCOUNT:prompt/ID:VERSION` (Amazon Bedrock User Guide,
/// "Test a prompt using Prompt management").
fn stored_prompt(model: &str) -> Option<(String, Option<String>)> {
    let mut parts = model.strip_prefix("arn:")?.split(':');
    let service = parts.nth(1)?;
    let id = parts.nth(2)?.strip_prefix("prompt/").filter(|id| !id.is_empty() && service == "bedrock")?;
    Some((id.to_owned(), parts.next().filter(|version| !version.is_empty()).map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages() {
        for (languages, wanted) in [
            ("de-DE,de;q=0.9", Some("de-DE")),
            ("fr;q=0.5", Some("fr")),
            ("*", None),
            ("", None),
            ("en", Some("en")),
        ] {
            assert_eq!(preferred(languages), wanted, "{languages}");
        }
    }

    #[test]
    fn stored_prompts() {
        let rows = [
            ("arn:aws:bedrock:us-east-1:123456789012:prompt/PROMPT12345:2", Some(("PROMPT12345", Some("2")))),
            ("arn:aws-us-gov:bedrock:r:1:prompt/P", Some(("P", None))),
            ("arn:aws:bedrock:r:1:inference-profile/us.m", None),
            ("arn:aws:sagemaker:r:1:prompt/P:1", None),
            ("arn:aws:bedrock:r:1:prompt/", None),
            ("arn:", None),
            ("gpt-4o", None),
        ];
        for (model, wanted) in rows {
            let wanted =
                wanted.map(|(id, version): (&str, Option<&str>)| (id.to_owned(), version.map(str::to_owned)));
            assert_eq!(stored_prompt(model), wanted, "{model}");
        }
    }
}
