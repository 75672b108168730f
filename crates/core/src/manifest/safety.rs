//! Safety rules: predicates that must hold when a run is committed, and while it goes on. Each has a name, by which
//! alone two people can override it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::Step;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafetyRule {
    pub name: String,
    pub scope: RuleScope,
    pub rule: Predicate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleScope {
    /// For runs of the service whose manifest it stands in.
    #[default]
    Service,
    /// For runs of every service of the mesh.
    Mesh,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Predicate {
    /// `regions-on >= 1`: so many regions are healthy, the one that is being left not counted.
    RegionsOn { at_least: u32 },
    /// `traffic after promotion`: no step of the first kind begins before every step of the second is done. A kind is a
    /// word of [`PHASES`] or the id of a step.
    After { step: String, before: String },
    /// `lag(database) < 5s`: the expected loss of this resource.
    Lag { resource: String, below: Duration },
    /// `items-equal(sessions)`, `items-equal(database, public.orders)`: the target has as many items of this table as the
    /// region that is being left. A DynamoDB resource is a table; of a database one is named.
    ItemsEqual { resource: String, table: Option<String> },
}

/// PostgreSQL cuts longer names.
const TABLE_PART_MAX: usize = 63;

/// Kinds of steps, as gates name them; a kind of a lower rank comes before one of a higher rank in every plan. With the
/// actions that are of each.
pub const PHASES: &[(&str, u8, &[&str])] = &[
    (
        "look",
        0,
        &[
            "rds-check-replica",
            "postgres-check-replica",
            "eks-check-nodegroup",
            "kubernetes-check",
            "ecs-check",
            "msk-check",
            "dynamodb-check",
        ],
    ),
    ("fence", 1, &["rds-fence", "rds-reboot", "postgres-fence", "hook-fence", "api-gateway-close"]),
    ("promotion", 2, &["rds-promote", "postgres-promote", "hook-unfence", "api-gateway-open"]),
    ("capacity", 1, &["eks-scale-nodegroup", "kubernetes-scale", "ecs-scale"]),
    ("data", 1, &["rds-await-caught-up", "postgres-await-caught-up", "dynamodb-await-lag"]),
    ("traffic", 3, &["route53-replace"]),
    ("verify", 4, &["http-verify"]),
    ("notice", 5, &["sns-notify"]),
];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no rule: write `regions-on >= N`, `KIND after KIND`, `lag(RESOURCE) < 5s`, `items-equal(TABLE)` or `items-equal(DATABASE, TABLE)`"
)]
pub struct PredicateError {
    pub given: String,
}

impl Predicate {
    /// Does it need measurements, which a leader has and the replicated state has not?
    pub const fn is_about_data(&self) -> bool {
        match self {
            Self::RegionsOn { .. } | Self::Lag { .. } | Self::ItemsEqual { .. } => true,
            Self::After { .. } => false,
        }
    }

    /// What a count for this rule is called among the signals.
    pub fn counted(&self) -> Option<String> {
        match self {
            Self::ItemsEqual { resource, table: None } => Some(format!("items/{resource}")),
            Self::ItemsEqual { resource, table: Some(table) } => Some(format!("items/{resource}/{table}")),
            Self::RegionsOn { .. } | Self::After { .. } | Self::Lag { .. } => None,
        }
    }

    /// The resource whose data it is about.
    pub fn resource(&self) -> Option<&str> {
        match self {
            Self::Lag { resource, .. } | Self::ItemsEqual { resource, .. } => Some(resource),
            Self::RegionsOn { .. } | Self::After { .. } => None,
        }
    }
}

/// Is the step of this kind?
pub fn is_of_kind(step: &Step, kind: &str) -> bool {
    let action = step.action.name();
    let phase = PHASES.iter().find(|(name, _, _)| *name == kind);
    phase.map_or(step.id.as_str() == kind, |(_, _, actions)| actions.contains(&action))
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegionsOn { at_least } => write!(f, "regions-on >= {at_least}"),
            Self::After { step, before } => write!(f, "{step} after {before}"),
            Self::Lag { resource, below } => write!(f, "lag({resource}) < {}ms", below.as_millis()),
            Self::ItemsEqual { resource, table: None } => write!(f, "items-equal({resource})"),
            Self::ItemsEqual { resource, table: Some(table) } => write!(f, "items-equal({resource}, {table})"),
        }
    }
}

impl FromStr for Predicate {
    type Err = PredicateError;

    fn from_str(given: &str) -> Result<Self, PredicateError> {
        parse(given.trim()).ok_or_else(|| PredicateError { given: given.chars().take(128).collect() })
    }
}

impl TryFrom<String> for Predicate {
    type Error = PredicateError;

    fn try_from(given: String) -> Result<Self, PredicateError> {
        given.parse()
    }
}

impl From<Predicate> for String {
    fn from(predicate: Predicate) -> Self {
        predicate.to_string()
    }
}

fn parse(text: &str) -> Option<Predicate> {
    if let Some(number) = text.strip_prefix("regions-on") {
        let at_least = number.trim().strip_prefix(">=")?.trim().parse().ok()?;
        return Some(Predicate::RegionsOn { at_least });
    }
    if let Some(rest) = text.strip_prefix("lag(") {
        let (resource, rest) = rest.split_once(')')?;
        let below = duration(rest.trim().strip_prefix('<')?.trim())?;
        return Some(Predicate::Lag { resource: name(resource)?, below });
    }
    if let Some(rest) = text.strip_prefix("items-equal(").or_else(|| text.strip_prefix("items_equal(")) {
        let inside = rest.strip_suffix(')')?;
        let (resource, table) = match inside.split_once(',') {
            Some((resource, table)) => (resource, Some(table_name(table)?)),
            None => (inside, None),
        };
        return Some(Predicate::ItemsEqual { resource: name(resource)?, table });
    }
    let (step, before) = text.split_once(" after ")?;
    let (step, before) = (name(step)?, name(before)?);
    (step != before).then_some(Predicate::After { step, before })
}

fn name(text: &str) -> Option<String> {
    let text = text.trim();
    crate::ids::StepId::new(text).ok().map(|name| name.to_string())
}

/// `orders` or `public.orders`, in the letters that PostgreSQL takes without quotes.
fn table_name(text: &str) -> Option<String> {
    let text = text.trim();
    let plain = |part: &str| {
        part.len() <= TABLE_PART_MAX
            && part.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    (text.split('.').count() <= 2 && text.split('.').all(plain)).then(|| text.to_owned())
}

/// `500ms`, `5s`, `2m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(factor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_back_as_it_was_written() {
        for (given, written) in [
            ("regions-on >= 2", "regions-on >= 2"),
            ("regions-on>=1", "regions-on >= 1"),
            ("traffic after promotion", "traffic after promotion"),
            ("lag(database) < 5s", "lag(database) < 5000ms"),
            ("lag( database )<250ms", "lag(database) < 250ms"),
            ("items_equal(sessions)", "items-equal(sessions)"),
            ("items-equal( database,public.orders )", "items-equal(database, public.orders)"),
        ] {
            let rule: Predicate = given.parse().expect("a rule");
            assert_eq!(rule.to_string(), written);
            assert_eq!(written.parse::<Predicate>(), Ok(rule));
        }
    }

    #[test]
    fn a_rule_that_would_be_read_in_two_ways_is_refused() {
        for bad in [
            "",
            "regions-on > 1",
            "regions-on >= -1",
            "lag(database) <= 5s",
            "lag(database) < 5",
            "lag() < 5s",
            "items-equal(a) or lag(b) < 1s",
            "items-equal(database, )",
            "items-equal(database, a.b.c)",
            "items-equal(database, orders; DROP TABLE orders)",
            "items-equal(database, \"Orders\")",
            "traffic after traffic",
            "after promotion",
            "a after b after c",
        ] {
            assert!(bad.parse::<Predicate>().is_err(), "{bad:?} must be refused");
        }
    }
}
