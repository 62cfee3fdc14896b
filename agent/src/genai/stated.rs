//! What a request says of whom and what it is for, wherever it says it: tenant, user, session and the like.

use std::{fmt, str::FromStr};

use super::{
    document::Document,
    field::{Field, Kind},
};
use crate::wire::{Headers, is_credential_name};

/// Longest value that is believed, in bytes.
const VALUE: usize = 1024;
/// As many of a kind are kept.
const MANY: usize = 32;
/// As many steps has a path.
const STEPS: usize = 8;

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// For which tenant.
    Tenant,
    /// For which user.
    User,
    /// In which session of the application.
    Session,
    /// In which language.
    Locale,
    /// In which experiment, or which bucket of it.
    Experiment,
    /// A document that was retrieved; there may be many.
    Context,
    /// The stored prompt.
    Prompt,
    /// Its version.
    PromptVersion,
}

impl Fact {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Tenant,
        Self::User,
        Self::Session,
        Self::Locale,
        Self::Experiment,
        Self::Context,
        Self::Prompt,
        Self::PromptVersion,
    ];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::Session => "session",
            Self::Locale => "locale",
            Self::Experiment => "experiment",
            Self::Context => "context",
            Self::Prompt => "prompt",
            Self::PromptVersion => "prompt-version",
        }
    }
}

/// No name of a fact.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is none of tenant, user, session, locale, experiment, context, prompt, prompt-version")]
pub struct UnknownFact(String);

impl FromStr for Fact {
    type Err = UnknownFact;

    fn from_str(text: &str) -> Result<Self, UnknownFact> {
        let fact = Self::ALL.iter().find(|fact| fact.name() == text);
        fact.copied().ok_or_else(|| UnknownFact(text.to_owned()))
    }
}

/// Where a request says something.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// In a header, by its name in lower case.
    Header(String),
    /// In its JSON body: names of members, and `*` for each element of an array.
    Body(Vec<String>),
}

/// Where a request says a fact: `FACT=header:NAME` or `FACT=body:PATH`, with dots between the names of a path and `*` for each element
/// of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    fact: Fact,
    place: Place,
}

/// What is wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It has another form.
    #[error("it is written as 'FACT=header:NAME' or 'FACT=body:PATH'")]
    Form,
    /// It is of no fact.
    #[error(transparent)]
    Fact(#[from] UnknownFact),
    /// Such a header may be a credential, and is never read.
    #[error(
        "the header {0:?} looks like a credential by its name, and those are never kept: send the value in another one"
    )]
    Credential(String),
    /// The path has an empty step, or too many.
    #[error("{0:?} is no path of at most {STEPS} names with dots between them")]
    Path(String),
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let (fact, place) = text.split_once('=').ok_or(SourceError::Form)?;
        let fact = fact.trim().parse()?;
        let place = match place.split_once(':').ok_or(SourceError::Form)? {
            ("header", name) => {
                let name = name.trim().to_ascii_lowercase();
                if name.is_empty() {
                    return Err(SourceError::Form);
                }
                if is_credential_name(&name) {
                    return Err(SourceError::Credential(name));
                }
                Place::Header(name)
            }
            ("body", path) => {
                let steps: Vec<String> = path.split('.').map(str::to_owned).collect();
                if steps.len() > STEPS || steps.iter().any(String::is_empty) {
                    return Err(SourceError::Path(path.to_owned()));
                }
                Place::Body(steps)
            }
            _ => return Err(SourceError::Form),
        };
        Ok(Self { fact, place })
    }
}

/// Where requests say such things when nobody says otherwise: members of the providers' APIs, and headers that are common.
const USUAL: &[&str] = &[
    "tenant=header:x-tenant-id",
    "tenant=header:x-tenant",
    "tenant=body:metadata.tenant_id",
    "tenant=body:metadata.tenant",
    "tenant=body:requestMetadata.tenant_id",
    "user=header:x-user-id",
    // OpenAI's, the older and the newer one; Anthropic's; Bedrock's.
    "user=body:safety_identifier",
    "user=body:user",
    "user=body:metadata.user_id",
    "user=body:metadata.user",
    "user=body:requestMetadata.user_id",
    "session=header:x-conversation-id",
    "session=body:metadata.session_id",
    "session=body:metadata.conversation_id",
    "session=body:session_id",
    "session=body:requestMetadata.session_id",
    "locale=header:accept-language",
    "locale=body:metadata.locale",
    "experiment=header:x-experiment-id",
    "experiment=header:x-experiment",
    "experiment=body:metadata.experiment_id",
    "experiment=body:metadata.experiment",
    "experiment=body:metadata.variant",
    "experiment=body:requestMetadata.experiment",
    // Cohere's documents, OpenAI's results of a search in files, Anthropic's search results.
    "context=body:documents.*.id",
    "context=body:input.*.results.*.file_id",
    "context=body:messages.*.content.*.source",
    "context=body:metadata.document_ids",
    "prompt=body:prompt.id",
    "prompt-version=body:prompt.version",
];

/// Where all facts are looked for; of one fact the first place that has it counts.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// These places, and after them the usual ones.
    pub fn with(own: &[Source]) -> Self {
        let usual = USUAL.iter().filter_map(|text| text.parse().ok());
        Self(own.iter().cloned().chain(usual).collect())
    }

    /// What the headers of a request say.
    pub(super) fn read_head(&self, headers: &Headers, stated: &mut Stated) {
        for (rank, source) in self.0.iter().enumerate() {
            if let Place::Header(name) = &source.place
                && let Some(value) = headers.get(name)
            {
                stated.add(rank, source.fact, value.trim());
            }
        }
    }

    /// What its body says. What is no JSON says nothing.
    pub(super) fn read_body(&self, body: &Document<'_>, stated: &mut Stated) {
        let places = self.0.iter().enumerate().filter_map(|(rank, source)| match &source.place {
            Place::Body(path) => Some(Wanted { rank, fact: source.fact, path }),
            Place::Header(_) => None,
        });
        let wanted: Vec<_> = places.collect();
        if let Some(root) = body.root() {
            stated.take(root, &wanted);
        }
    }
}

/// What a request says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated(Vec<(usize, Fact, String)>);

impl Stated {
    /// What it says of one fact.
    pub fn get(&self, wanted: Fact) -> Option<&str> {
        let all = self.0.iter().filter(|(_, fact, _)| *fact == wanted);
        all.min_by_key(|(rank, _, _)| *rank).map(|(_, _, value)| value.as_str())
    }

    /// Everything that it says of one fact.
    pub fn all(&self, wanted: Fact) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(_, fact, _)| *fact == wanted).map(|(_, _, value)| value.as_str())
    }

    /// Takes what is wanted of a value, and of what stands in it.
    fn take(&mut self, value: Field<'_>, wanted: &[Wanted<'_>]) {
        match value.kind() {
            Kind::Object => {
                let mut members = value.walk();
                while let Some(name) = members.name()
                    && let Some(value) = members.take()
                {
                    let wanted = name.text().map(|name| below(wanted, &name)).unwrap_or_default();
                    if !wanted.is_empty() {
                        self.take(value, &wanted);
                    }
                }
            }
            Kind::Array => {
                let each = below(wanted, "*");
                // A list of values may stand where one is wanted, but no list of lists.
                let ends = wanted.iter().filter(|wanted| wanted.path.is_empty());
                let all: Vec<_> = each.iter().chain(ends).copied().collect();
                let mut elements = value.walk();
                while !all.is_empty()
                    && let Some(element) = elements.element()
                {
                    self.take(element, if element.kind() == Kind::Array { &each } else { &all });
                }
            }
            // What is longer than that is too long, and be all of it escapes.
            Kind::Text if value.json().len() <= 6 * VALUE + 2 => {
                self.found(wanted, &value.string().unwrap_or_default());
            }
            Kind::Number | Kind::Bool => self.found(wanted, value.json()),
            Kind::Text | Kind::Absent => {}
        }
    }

    fn found(&mut self, wanted: &[Wanted<'_>], value: &str) {
        for wanted in wanted.iter().filter(|wanted| wanted.path.is_empty()) {
            self.add(wanted.rank, wanted.fact, value);
        }
    }

    fn add(&mut self, rank: usize, fact: Fact, value: &str) {
        let is_known = || self.0.iter().any(|(_, known, text)| *known == fact && text == value);
        let many = self.0.iter().filter(|(_, known, _)| *known == fact).count();
        if !value.is_empty() && value.len() <= VALUE && many < MANY && !is_known() {
            self.0.push((rank, fact, value.to_owned()));
        }
    }
}

#[derive(Clone, Copy)]
struct Wanted<'a> {
    rank: usize,
    fact: Fact,
    /// What is left of the path.
    path: &'a [String],
}

/// What is wanted below this step.
fn below<'a>(wanted: &[Wanted<'a>], step: &str) -> Vec<Wanted<'a>> {
    let fits = |wanted: &Wanted<'a>| {
        let (first, path) = wanted.path.split_first()?;
        (first == step).then_some(Wanted { path, ..*wanted })
    };
    wanted.iter().filter_map(fits).collect()
}

#[cfg(test)]
impl Stated {
    /// What a body says in the usual places.
    pub(crate) fn of_body(body: &str) -> Self {
        let mut stated = Self::default();
        Sources::with(&[]).read_body(&Document::read(body.as_bytes()), &mut stated);
        stated
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Header;

    fn of_body(own: &[&str], body: &str) -> Stated {
        let own: Vec<Source> = own.iter().map(|source| source.parse().unwrap()).collect();
        let mut stated = Stated::default();
        Sources::with(&own).read_body(&Document::read(body.as_bytes()), &mut stated);
        stated
    }

    #[test]
    fn usual_places() {
        #[rustfmt::skip]
        let rows: &[(&str, Fact, &[&str])] = &[
            (r#"{"user":"u1","messages":[{"role":"user"}]}"#, Fact::User, &["u1"]),
            (r#"{"messages":[{"role":"user","content":"user"}]}"#, Fact::User, &[]),
            (r#"{"metadata" : {"user_id": "u2", "tenant":7}}"#, Fact::User, &["u2"]),
            (r#"{"metadata" : {"user_id": "u2", "tenant":7}}"#, Fact::Tenant, &["7"]),
            (r#"{"user":"old","safety_identifier":"new"}"#, Fact::User, &["new"]),
            (r#"{"user":{"name":"u"},"input":{"user":"inner"}}"#, Fact::User, &[]),
            (r#"{"user":null}"#, Fact::User, &[]),
            (r#"{"user":""}"#, Fact::User, &[]),
            (r#"{"documents":[{"id":"a","text":"t"},{"text":"u"},{"id":"b"},{"id":"a"}]}"#, Fact::Context, &["a", "b"]),
            (r#"{"documents":["plain"],"input":[{"results":[{"file_id":"f"}]},{"results":null}]}"#, Fact::Context, &["f"]),
            (r#"{"messages":[{"content":[{"source":{"data":"x"}},{"source":"s"}]},{"content":"c"}]}"#, Fact::Context, &["s"]),
            (r#"{"metadata":{"document_ids":["a","b"]}}"#, Fact::Context, &["a", "b"]),
            (r#"{"prompt":{"id":"pmpt_1","version":"2"}}"#, Fact::Prompt, &["pmpt_1"]),
            (r#"{"prompt":{"id":"pmpt_1","version":"2"}}"#, Fact::PromptVersion, &["2"]),
            (r#"{"prompt":"Once upon a time"}"#, Fact::Prompt, &[]),
            (r#"{"\u0075ser":"u\u0031","user2":1.50}"#, Fact::User, &["u1"]),
            (r#"{"metadata":{"tenant":1.50,"user":[true,["v"],{}]}}"#, Fact::Tenant, &["1.50"]),
            (r#"{"metadata":{"tenant":1.50,"user":[true,["v"],{}]}}"#, Fact::User, &["true"]),
            (r#"{"metadata":{"document_ids":["a",["b"]]}}"#, Fact::Context, &["a"]),
            (r#"{"user":"u1""#, Fact::User, &[]),
            ("user", Fact::User, &[]),
        ];
        for (body, fact, wanted) in rows {
            let stated = of_body(&[], body);
            if *fact == Fact::Context {
                assert_eq!(stated.all(*fact).collect::<Vec<_>>(), *wanted, "{body}");
            } else {
                assert_eq!(stated.get(*fact), wanted.first().copied(), "{body}");
            }
        }
    }

    #[test]
    fn own_places_count_first() {
        let stated =
            of_body(&["user=body:extra.people.*.id"], r#"{"user":"u","extra":{"people":[{"id":"v"}]}}"#);
        assert_eq!(stated.get(Fact::User), Some("v"));
        let mut stated = Stated::default();
        let sources = Sources::with(&["tenant=header:X-Customer".parse().unwrap()]);
        let header = |name: &str, value: &str| Header { name: name.into(), value: value.into() };
        sources.read_head(
            &Headers(vec![
                header("x-tenant-id", "usual"),
                header("x-customer", " own "),
                header("other", "o"),
            ]),
            &mut stated,
        );
        assert_eq!(stated.get(Fact::Tenant), Some("own"));
    }

    #[test]
    fn what_is_said_is_bounded() {
        let long = "x".repeat(VALUE + 1);
        assert_eq!(of_body(&[], &format!(r#"{{"user":"{long}"}}"#)).get(Fact::User), None);
        let ids: Vec<String> = (0..100).map(|n| format!(r#"{{"id":{n}}}"#)).collect();
        let stated = of_body(&[], &format!(r#"{{"documents":[{}]}}"#, ids.join(",")));
        assert_eq!(stated.all(Fact::Context).count(), MANY);
        let deep = format!(r#"{{"metadata":{}"#, r#"{"metadata":"#.repeat(10_000));
        assert_eq!(of_body(&[], &deep), Stated::default());
    }

    #[test]
    fn sources_are_read_and_wrong_ones_say_what_is_wrong() {
        for text in USUAL {
            text.parse::<Source>().unwrap();
        }
        for (text, wanted) in [
            ("tenant", "it is written as"),
            ("tenant=x-tenant", "it is written as"),
            ("tenant=cookie:x", "it is written as"),
            ("tenant=header:", "it is written as"),
            ("colour=header:x-colour", "\"colour\" is none of tenant"),
            ("tenant=header:Authorization", "looks like a credential"),
            ("session=header:x-session-id", "looks like a credential"),
            ("tenant=body:", "is no path"),
            ("tenant=body:a..b", "is no path"),
            ("tenant=body:a.b.c.d.e.f.g.h.i", "is no path"),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_body_can_be_read(body in proptest::collection::vec(any::<u8>(), 0..300), json in "[\\[\\]{}:,\" a-z0-9*]{0,200}") {
            let mut stated = Stated::default();
            let sources = Sources::with(&[]);
            sources.read_body(&Document::read(&body), &mut stated);
            sources.read_body(&Document::read(json.as_bytes()), &mut stated);
        }
    }
}
