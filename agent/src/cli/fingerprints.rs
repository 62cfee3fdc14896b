//! What the command line says about fingerprints, and about whose calls they are.

use std::sync::Arc;

use clap::ValueEnum;

use super::content::ContentArgs;
use crate::{
    account::Account,
    genai::{Fact, Source, Sources},
    policy::{
        content::{Key, KeyError},
        fingerprint::Fingerprinter,
    },
};

/// Options of every verb that makes spans.
#[derive(Debug, clap::Args)]
pub(super) struct FingerprintArgs {
    /// What spans have by which calls can be told apart: keyed for hashes of prompts, templates and tools,
    /// and for whom the call was made; or none.
    #[arg(long, value_enum, value_name = "FORM", default_value = "keyed")]
    fingerprints: Form,
    /// Where requests say for whom or what they are, before the usual places: 'FACT=header:NAME' or
    /// 'FACT=body:PATH', as 'tenant=body:metadata.customer'; a fact is one of tenant, user, session, locale,
    /// experiment, context, prompt, prompt-version; may be given more than once, the first place that says it
    /// counts.
    #[arg(long, value_name = "SOURCE")]
    identity: Vec<Source>,
    /// Tell this fact as the request says it, not as a hash; may be given more than once.
    #[arg(long, value_name = "FACT", default_value = "locale")]
    identity_plain: Vec<Fact>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Keyed,
    None,
}

impl FingerprintArgs {
    /// Where it is looked for what requests say.
    pub(super) fn sources(&self) -> Sources {
        if self.fingerprints == Form::None { Sources::default() } else { Sources::with(&self.identity) }
    }

    /// Who makes the fingerprints.
    pub(super) fn fingerprinter(
        &self,
        content: &ContentArgs,
        account: &Arc<Account>,
    ) -> Result<Fingerprinter, KeyError> {
        let (key, plain) = self.key_and_plain(content)?;
        Ok(Fingerprinter::new(key, plain, Arc::clone(account)))
    }

    /// The key of the fingerprints, if any are wanted, and what needs none.
    pub(super) fn key_and_plain(&self, content: &ContentArgs) -> Result<(Option<Key>, Vec<Fact>), KeyError> {
        if self.fingerprints == Form::None {
            return Ok((None, Vec::new()));
        }
        let key = match content.key() {
            // Who replays a file as nobody in particular has no place for a secret.
            Err(error @ KeyError::File { .. }) => {
                tracing::warn!(
                    %error,
                    "fingerprints are under a key of this run, and can't be compared with others: --secret names a file that can be made or read"
                );
                Key::random()?
            }
            key => key?,
        };
        Ok((Some(key), self.identity_plain.clone()))
    }
}
