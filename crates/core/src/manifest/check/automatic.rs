//! What a manifest must say before the mesh may act on it by itself, and which safety rules make sense.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{ITEMS_MAX, Problems};
use crate::manifest::safety::{PHASES, Predicate};
use crate::manifest::{AutomaticMode, Manifest, ResourceKind};

pub(super) fn check_automatic(manifest: &Manifest, found: &mut Problems) {
    let policy = &manifest.policy;
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    found.unless(
        policy.sustained >= second && policy.sustained <= hour,
        "policy.sustained",
        "out of range",
        "1s to 1h; 30s waits out a restart",
    );
    found.unless(
        policy.cool_down >= 60 * second && policy.cool_down <= 30 * 24 * hour,
        "policy.cool-down",
        "out of range",
        "1m to 30d; a person ends it early with `meshctl ack`",
    );
    found.unless(policy.windows.len() <= ITEMS_MAX, "policy.windows", "too many", format!("at most {ITEMS_MAX}"));
    if let Some(quorum) = policy.quorum {
        found.unless((1..=100).contains(&quorum), "policy.quorum", "out of range", "1 to 100 observers");
    }
    found.unless(
        policy.automatic == AutomaticMode::Off || manifest.checks.iter().any(|check| check.critical),
        "policy.automatic",
        format!("`{}` without a critical check: nothing could ever be seen to be down", policy.automatic.name()),
        "add a check with `critical: true`, or say `off`",
    );
}

pub(super) fn check_safety(manifest: &Manifest, found: &mut Problems) {
    found.unless(manifest.safety.len() <= ITEMS_MAX, "safety", "too many", format!("at most {ITEMS_MAX} rules"));
    let mut names = BTreeSet::new();
    for (i, rule) in manifest.safety.iter().enumerate() {
        let path = format!("safety[{i}]");
        let name = &rule.name;
        let short = name.len() <= 32 && crate::ids::StepId::new(name.as_str()).is_ok();
        found.unless(short, &format!("{path}.name"), format!("{name:?} is no name"), "1 to 32 of a-z, 0-9, '-'");
        found.unless(
            names.insert(name),
            &format!("{path}.name"),
            format!("{name:?} stands in safety twice"),
            "give each its own name: it is overridden by it",
        );
        check_predicate(manifest, &rule.rule, &format!("{path}.rule"), found);
    }
}

fn check_predicate(manifest: &Manifest, rule: &Predicate, path: &str, found: &mut Problems) {
    match rule {
        Predicate::RegionsOn { at_least } => found.unless(
            *at_least >= 1 && usize::try_from(*at_least).is_ok_and(|least| least < manifest.regions.len()),
            path,
            format!("{at_least} of {} regions, of which one is being left", manifest.regions.len()),
            "from 1 to one less than the regions of the service, or it would block for ever",
        ),
        Predicate::Lag { resource, .. } => found.unless(
            manifest.resources.iter().any(|known| known.name == *resource),
            path,
            format!("{resource:?} is no resource of this service"),
            "name an entry of resources",
        ),
        Predicate::ItemsEqual { resource, table } => {
            let kind = manifest.resources.iter().find(|known| known.name == *resource).map(|known| &known.kind);
            let countable = matches!(
                (kind, table),
                (Some(ResourceKind::DynamodbGlobalTable { .. }), None)
                    | (Some(ResourceKind::Postgresql { .. }), Some(_))
            );
            found.unless(
                countable,
                path,
                format!("{rule} names nothing that an agent can count"),
                "items-equal(NAME) of a dynamodb-global-table, or items-equal(NAME, TABLE) of a postgresql resource",
            );
        }
        Predicate::After { step, before } => {
            let order = |kind: &str| PHASES.iter().find(|(name, _, _)| *name == kind).map(|(_, rank, _)| *rank);
            let words = || PHASES.iter().map(|(name, _, _)| *name).collect::<Vec<_>>().join(", ");
            for kind in [step, before] {
                // The id of a step is `<action>-<name>`.
                found.unless(
                    order(kind).is_some() || kind.contains('-'),
                    path,
                    format!("{kind:?} is no kind of step"),
                    format!("{}, or the id of a step as `meshctl plan` shows it", words()),
                );
            }
            if let (Some(step_at), Some(before_at)) = (order(step), order(before)) {
                found.unless(
                    step_at >= before_at,
                    path,
                    format!("{step} comes before {before} in every plan, so it would wait for ever"),
                    "a gate holds back what comes later",
                );
            }
        }
    }
}
