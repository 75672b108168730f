//! The batch that moves a name: token and record sets, all or nothing.

use std::collections::BTreeSet;

use mesh_core::ids::Token;
use mesh_core::manifest::{RecordData, RecordKind, RecordSet, Routing};

use super::name::{normal_set, token_name};
use super::{TOKEN_TTL_S, TxtSet};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    Delete { name: String, item: Item<'a> },
    Create { name: String, item: Item<'a> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Token { ttl_seconds: u32, values: Vec<String> },
    Set(&'a RecordSet),
}

/// What has to go and what has to come; what is the same in both is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference<'a> {
    pub surplus: Vec<&'a RecordSet>,
    pub missing: Vec<&'a RecordSet>,
}

impl<'a> Difference<'a> {
    pub(crate) fn between(observed: &'a [RecordSet], wanted: &'a [RecordSet]) -> Self {
        let normal = |sets: &[RecordSet]| sets.iter().map(normal_set).collect::<BTreeSet<_>>();
        let (there, asked) = (normal(observed), normal(wanted));
        Self {
            surplus: observed.iter().filter(|set| !asked.contains(&normal_set(set))).collect(),
            missing: wanted.iter().filter(|set| !there.contains(&normal_set(set))).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.surplus.is_empty() && self.missing.is_empty()
    }
}

/// The observed token goes and ours comes, so that the batch is refused when anything newer was there first; where none
/// was observed, when any is.
pub(crate) fn replace<'a>(
    record: &str,
    token: Token,
    observed_token: Option<&TxtSet>,
    difference: &Difference<'a>,
) -> Vec<Change<'a>> {
    let name = || record.to_owned();
    let observed = |token: &TxtSet| Item::Token { ttl_seconds: token.ttl_seconds, values: token.values.clone() };
    let gone = observed_token.map(|token| Change::Delete { name: token_name(record), item: observed(token) });
    let mut changes: Vec<Change<'_>> = gone.into_iter().collect();
    changes.extend(create_token(record, token));
    changes.extend(difference.surplus.iter().map(|set| Change::Delete { name: name(), item: Item::Set(set) }));
    changes.extend(difference.missing.iter().map(|set| Change::Create { name: name(), item: Item::Set(set) }));
    changes
}

pub(crate) fn create_token<'a>(record: &str, token: Token) -> Vec<Change<'a>> {
    let item = Item::Token { ttl_seconds: TOKEN_TTL_S, values: vec![format!("\"{token}\"")] };
    vec![Change::Create { name: token_name(record), item }]
}

/// Why these sets may not be published (invariant NeverEmpty), if so: they answer nothing.
pub(crate) fn refuse_empty(wanted: &[RecordSet]) -> Result<(), String> {
    if wanted.is_empty() {
        return Err("the name would be left without any record set".to_owned());
    }
    if wanted.iter().any(|set| matches!(&set.data, RecordData::Values { values, .. } if values.is_empty())) {
        return Err("a record set would have no value".to_owned());
    }
    for kind in [RecordKind::A, RecordKind::Aaaa, RecordKind::Cname] {
        let mut sets = wanted.iter().filter(|set| set.kind == kind).peekable();
        if sets.peek().is_some() && sets.all(|set| set.routing == Routing::Weighted(0)) {
            return Err(format!("every {} record set would have the weight 0", kind.as_str()));
        }
    }
    Ok(())
}
