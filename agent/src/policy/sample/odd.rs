//! What is odd about a call, as far as it tells itself.

use crate::{
    genai::{Call, FinishReason, Generation, Part},
    wire::ExchangeEnd,
};

/// Why a call is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The provider or the HTTP status says that it failed.
    Error,
    /// The model refused to answer.
    Refusal,
    /// The model stopped for another reason than that it was done or calls a tool.
    FinishReason,
    /// The answer did not come to its end.
    Truncated,
    /// The stream stood still.
    Stalled,
    /// The model wrote in a loop.
    Repetition,
    /// Something of it was not captured, or could not be read.
    Damaged,
    /// It took longer than nearly all of its cohort lately.
    Slow,
    /// The first of its prompt template.
    NewTemplate,
    /// The first answer of a model revision.
    NewModelRevision,
    /// The first with this set of tools.
    NewToolSet,
    /// The first of a tenant.
    NewTenant,
    /// A call of the same trace was kept before that could not have been dropped.
    Trace,
    /// One of the first of its cohort in this minute.
    Floor,
    /// Nothing speaks for it: chance.
    Rate,
}

impl Reason {
    /// Its name, on spans and in the account.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Refusal => "refusal",
            Self::FinishReason => "finish_reason",
            Self::Truncated => "truncated",
            Self::Stalled => "stalled",
            Self::Repetition => "repetition",
            Self::Damaged => "damaged",
            Self::Slow => "slow",
            Self::NewTemplate => "new_template",
            Self::NewModelRevision => "new_model_revision",
            Self::NewToolSet => "new_tool_set",
            Self::NewTenant => "new_tenant",
            Self::Trace => "trace",
            Self::Floor => "floor",
            Self::Rate => "rate",
        }
    }
}

/// What can make a call odd: each stands for one reason, or for a few of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oddities(u16);

impl Oddities {
    /// Their names in the configuration, and what each stands for.
    const NAMES: [(&'static str, &'static [Reason]); 9] = [
        ("error", &[Reason::Error]),
        ("refusal", &[Reason::Refusal]),
        ("finish_reason", &[Reason::FinishReason]),
        ("truncated", &[Reason::Truncated]),
        ("stalled", &[Reason::Stalled]),
        ("repetition", &[Reason::Repetition]),
        ("damaged", &[Reason::Damaged]),
        ("slow", &[Reason::Slow]),
        ("new", &[Reason::NewTemplate, Reason::NewModelRevision, Reason::NewToolSet, Reason::NewTenant]),
    ];

    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(u16::MAX);

    /// The names that they have.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|(name, _)| *name)
    }

    /// Those of before, and the one of this name.
    pub fn with(self, name: &str) -> Option<Self> {
        let (_, reasons) = Self::NAMES.iter().find(|(known, _)| *known == name)?;
        Some(reasons.iter().fold(self, |all, reason| Self(all.0 | 1 << *reason as u8)))
    }

    /// Is it one of them?
    pub fn has(self, reason: Reason) -> bool {
        self.0 >> reason as u8 & 1 == 1
    }
}

/// What of `wanted` is odd about the call by itself; the first that is, in the order of [`Reason`].
pub(super) fn of(call: &Call, wanted: Oddities) -> Option<Reason> {
    let found = [
        (Reason::Error, failed(call)),
        (Reason::Refusal, call.response.generations.iter().any(refused)),
        (Reason::FinishReason, call.response.generations.iter().any(stopped_oddly)),
        (Reason::Truncated, truncated(call)),
        (Reason::Stalled, call.streaming.stalled == Some(true)),
        (Reason::Repetition, call.response.repetition.is_some()),
        (Reason::Damaged, damaged(call)),
    ];
    found.into_iter().find(|(reason, is_so)| *is_so && wanted.has(*reason)).map(|(reason, _)| reason)
}

fn failed(call: &Call) -> bool {
    call.error.is_some()
        || call.transport.status.is_some_and(|status| status >= 400)
        || call.mcp.as_ref().is_some_and(|mcp| mcp.error_code.is_some())
}

fn refused(generation: &Generation) -> bool {
    let word = generation.provider_finish_reason.as_deref();
    word.is_some_and(|word| word.eq_ignore_ascii_case("refusal"))
        || generation.message.parts.iter().any(|part| matches!(part, Part::Refusal(_)))
}

fn stopped_oddly(generation: &Generation) -> bool {
    !matches!(generation.finish_reason, None | Some(FinishReason::Stop | FinishReason::ToolCall))
}

fn truncated(call: &Call) -> bool {
    call.streaming.stopped_by.is_some()
        || call.usage.partial
        || !matches!(call.ended, None | Some(ExchangeEnd::Complete | ExchangeEnd::Unreadable))
}

fn damaged(call: &Call) -> bool {
    let damage = &call.damage;
    damage.request.any()
        || damage.response.any()
        || damage.request_malformed
        || damage.response_malformed
        || call.ended == Some(ExchangeEnd::Unreadable)
}
