//! Fence and un-fence: exactly these security groups, in force.

use std::collections::BTreeSet;

use mesh_core::execute::Observation;
use serde_json::json;

use super::reboot::is_of_a_restart;
use super::{Readiness, passing, readiness, ready, stuck};
use crate::aws::rds::{Event, Instance};

/// `known`: what RDS listed for the instance right after it was seen so.
pub(super) fn observe(
    instance: &Instance,
    wanted: &BTreeSet<String>,
    known: Option<&[Event]>,
    accepted: bool,
) -> Observation {
    match readiness(instance) {
        Readiness::Stuck => return stuck(instance),
        Readiness::Passing => return passing(instance),
        Readiness::Available => {}
    }
    if are_active(instance, wanted) {
        let known: Option<Vec<_>> =
            known.map(|events| events.iter().filter(|event| is_of_a_restart(event)).map(|event| event.at).collect());
        let read_back = json!({
            "security_groups": wanted,
            "status": instance.status,
            "provider_time_ms": instance.seen_at,
            "known_events_ms": known,
        });
        return Observation::Satisfied { read_back: read_back.to_string() };
    }
    let unsettled: Vec<_> =
        instance.security_groups.iter().filter(|(_, state)| *state != "active").map(|(id, _)| id.as_str()).collect();
    if !unsettled.is_empty() {
        return Observation::Pending { note: format!("security groups in change: {}", unsettled.join(", ")) };
    }
    ready(&json!({ "security_groups": instance.security_groups.keys().collect::<Vec<_>>() }), accepted)
}

/// Is the step done?
pub(super) fn hold(instance: &Instance, wanted: &BTreeSet<String>) -> bool {
    matches!(readiness(instance), Readiness::Available) && are_active(instance, wanted)
}

/// Are these, and no others, the groups in force?
pub(super) fn are_active(instance: &Instance, wanted: &BTreeSet<String>) -> bool {
    instance.security_groups.keys().eq(wanted) && instance.security_groups.values().all(|state| state == "active")
}
