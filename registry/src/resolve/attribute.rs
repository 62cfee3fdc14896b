//! One attribute's definition.

use std::collections::BTreeSet;

use super::{Attributes, Scope, check_name, deprecated, one_line};
use crate::{
    error::{Rule, ensure},
    model::{Attribute, Kind, Member, Values},
    source::{self, AttributeNotes, EnumType, MemberValue},
};

/// Checks an attribute by itself.
pub(super) fn resolve(raw: &source::Attribute, scope: &Scope) -> Result<Attribute, Rule> {
    check_name(&raw.key)?;
    let (kind, mut members) = kind(&raw.r#type)?;
    let notes: Option<AttributeNotes> = source::notes(&raw.annotations)?;
    let notes = notes.ok_or(Rule::NoAnnotations("privacy, cardinality, since"))?;

    ensure(notes.items.is_empty() || kind == Kind::Strings, || Rule::Items)?;
    members.extend(notes.items.iter().map(|item| Member {
        id: item.clone(),
        value: item.clone(),
        brief: String::new(),
    }));
    ensure(members.is_empty() == notes.values.is_none(), || Rule::Values)?;
    check_members(&members)?;

    let free = kind.is_text() && notes.values != Some(Values::Closed);
    ensure(free || notes.max_bytes.is_none(), || Rule::MaxBytes)?;
    ensure(kind.is_array() || notes.max_items.is_none(), || Rule::MaxItems)?;
    ensure(kind.is_number() || notes.unit.is_none(), || Rule::Unit)?;
    let since = scope.since(&notes.since)?;
    Ok(Attribute {
        key: raw.key.clone(),
        kind,
        brief: one_line(&raw.brief),
        note: raw.note.as_deref().map(one_line),
        examples: raw.examples.iter().map(example).collect::<Result<_, _>>()?,
        stability: raw.stability.clone(),
        members,
        values: notes.values,
        unit: notes.unit,
        privacy: notes.privacy,
        cardinality: notes.cardinality,
        since,
        max_bytes: notes.max_bytes,
        max_items: notes.max_items,
        deprecated: deprecated(raw.deprecated.as_ref(), notes.until.as_deref(), since)?,
        upstream: scope.upstream(&raw.key, notes.upstream.as_ref())?,
    })
}

fn kind(raw: &serde_yaml_ng::Value) -> Result<(Kind, Vec<Member>), Rule> {
    if let Some(name) = raw.as_str() {
        let kind = Kind::of_name(name).ok_or_else(|| Rule::UnknownType(name.to_owned()))?;
        return Ok((kind, Vec::new()));
    }
    let listed: EnumType = serde_yaml_ng::from_value(raw.clone()).map_err(Rule::Type)?;
    let ints = listed.members.iter().filter(|m| matches!(m.value, MemberValue::Int(_))).count();
    let kind = match ints {
        _ if listed.members.is_empty() => return Err(Rule::NoMembers),
        0 => Kind::String,
        all if all == listed.members.len() => Kind::Int,
        _ => return Err(Rule::MixedMembers),
    };
    let members = listed.members.into_iter().map(|member| Member {
        id: member.id,
        value: match member.value {
            MemberValue::Int(number) => number.to_string(),
            MemberValue::Text(text) => text,
        },
        brief: member.brief.as_deref().map(one_line).unwrap_or_default(),
    });
    Ok((kind, members.collect()))
}

fn check_members(members: &[Member]) -> Result<(), Rule> {
    let mut ids = BTreeSet::new();
    let mut values = BTreeSet::new();
    for member in members {
        ensure(ids.insert(&member.id), || Rule::MemberIdTwice(member.id.clone()))?;
        ensure(values.insert(&member.value), || Rule::MemberValueTwice(member.value.clone()))?;
    }
    Ok(())
}

/// Checks that an older name leads to a current one of the same type.
pub(super) fn check_rename(attribute: &Attribute, attributes: &Attributes) -> Result<(), Rule> {
    super::check_rename(attribute.deprecated.as_ref(), |name| {
        let target = &attributes.get(name)?.value;
        let same = target.kind == attribute.kind && target.unit == attribute.unit;
        Some((target.deprecated.as_ref(), same))
    })
}

fn example(value: &serde_yaml_ng::Value) -> Result<String, Rule> {
    serde_json::to_string(value).map_err(|_| Rule::Example)
}
