//! How many services move at once, and which of them first (invariant BlastCap). The loss of a region is one event:
//! its services move in waves, in the order of their dependencies, and nothing else moves by itself meanwhile.

use std::collections::BTreeSet;

use super::WAVE_SIZE;
use crate::fleet::{Fleet, Service};
use crate::ids::{RegionId, RunId, ServiceId};
use crate::plan::PlanKind;
use crate::run::{Cause, Run, RunState};

/// Automatic runs that are moving something now. One that is held or paused waits for a person, and must not keep
/// others from being moved.
pub fn moving(fleet: &Fleet) -> Vec<&Run> {
    let current = fleet.services.values().filter_map(|service| fleet.runs.get(service.current_run.as_ref()?));
    current
        .filter(|run| matches!(run.cause, Cause::Automatic { .. }) && run.paused.is_none())
        .filter(|run| matches!(run.state, RunState::Running | RunState::Unwinding))
        .collect()
}

/// Why no further automatic run that leaves `from` may begin now, if anything.
pub fn full(fleet: &Fleet, from: &RegionId) -> Option<String> {
    let moving = moving(fleet);
    if let Some(other) = moving.iter().find(|run| run.plan.from != *from) {
        return Some(format!(
            "run {} is leaving {} already, and the loss of a second region is no event to handle without a person: wait \
             for it, or move by hand",
            other.id, other.plan.from
        ));
    }
    (moving.len() >= WAVE_SIZE).then(|| {
        let names: Vec<&str> = moving.iter().map(|run| run.id.as_str()).collect();
        format!("{} services move already, {WAVE_SIZE} at a time: {}", moving.len(), names.join(", "))
    })
}

/// The first of the services that this one depends on whose run out of `from` has not ended.
pub fn dependency_moving<'f>(
    fleet: &'f Fleet,
    service: &'f Service,
    from: &RegionId,
) -> Option<(&'f ServiceId, &'f RunId)> {
    service.manifest.depends_on.iter().find_map(|id| {
        let run = fleet.runs.get(fleet.services.get(id)?.current_run.as_ref()?)?;
        (run.plan.kind == PlanKind::Failover && run.plan.from == *from).then_some((id, &run.id))
    })
}

/// Services it depends on, directly or not, that are active in `from`; itself among them if they stand in a circle.
pub fn dependencies_in(fleet: &Fleet, service: &Service, from: &RegionId) -> BTreeSet<ServiceId> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&ServiceId> = service.manifest.depends_on.iter().collect();
    while let Some(id) = open.pop() {
        let Some(other) = fleet.services.get(id) else { continue };
        if other.active == *from && found.insert(id.clone()) {
            open.extend(&other.manifest.depends_on);
        }
    }
    found
}
