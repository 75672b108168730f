//! Bugs of the core's own functions: what goes into them, or what comes out, is changed on every replica.

use mesh_core::fleet::{Applied, Command, Fleet};
use mesh_core::run::{Cause, Pause};
use mesh_core::time::Timestamp;

use super::Bug;
use crate::world::World;

impl World {
    /// The first entry of a term.
    pub fn spoil_term(&self, fleet: &mut Fleet) {
        if self.bug(Bug::CoolDownInMemory) {
            fleet.services.values_mut().for_each(|service| service.automatic_at = None);
        }
    }

    pub fn spoil_apply(&self, fleet: &mut Fleet, command: &Command, at: Timestamp) -> Applied {
        match (self.plant, command) {
            (Some(Bug::NoWaves), Command::StartRun { cause: Cause::Automatic { .. }, .. }) => {
                without_others(fleet, |fleet| fleet.apply(at, command))
            }
            _ => fleet.apply(at, command),
        }
    }
}

/// As if nothing else moved.
pub fn without_others<T>(fleet: &mut Fleet, then: impl FnOnce(&mut Fleet) -> T) -> T {
    let moving: Vec<_> = fleet
        .runs
        .values_mut()
        .filter(|run| run.ended_at.is_none() && run.paused.is_none())
        .map(|run| {
            run.paused = Some(Pause { by: String::new(), at: Timestamp::default() });
            run.id.clone()
        })
        .collect();
    let result = then(fleet);
    for id in moving {
        if let Some(run) = fleet.runs.get_mut(&id) {
            run.paused = None;
        }
    }
    result
}
