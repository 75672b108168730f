//! NoFlap: one automatic transition of a service in a cool-down, unless a person has looked.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::ids::ServiceId;
use mesh_core::plan::Plan;
use mesh_core::run::Cause;
use mesh_core::time::Timestamp;

use crate::world::World;

/// When each service last moved by itself, and when a person last looked.
#[derive(Default)]
pub struct Flaps {
    moved: BTreeMap<ServiceId, Timestamp>,
    looked: BTreeMap<ServiceId, Timestamp>,
}

impl Flaps {
    pub fn acknowledged(&mut self, service: &ServiceId, at: Timestamp) {
        self.looked.insert(service.clone(), at);
    }

    /// Does the last automatic move bar the next one at this time?
    pub fn bars(&self, service: &ServiceId, at: Timestamp, cool_down: Duration) -> bool {
        let Some(moved) = self.moved.get(service) else { return false };
        let looked = self.looked.get(service).is_some_and(|looked| looked >= moved);
        !looked && at.since(*moved) < cool_down
    }
}

impl World {
    pub fn judge_start(&mut self, plan: &Plan, cause: &Cause, at: Timestamp) {
        self.counts.failovers += 1;
        let now = self.now;
        self.judge.starts.push(now);
        if !matches!(cause, Cause::Automatic { .. }) {
            self.reached("people moved a service");
            return;
        }
        let cool_down = Duration::from_secs(self.set.cool_down_s);
        if self.judge.flaps.bars(&plan.service, at, cool_down) {
            self.violated("NoFlap", format!("a second automatic move of {} within {cool_down:?}", plan.service));
        }
        if self.judge.flaps.moved.insert(plan.service.clone(), at).is_some() {
            self.reached("a second automatic move, after the cool-down");
        }
        self.judge_evidence(plan);
        self.judge_rpo(plan);
        self.judge_cold_start();
    }
}
