//! NoFlap: one automatic transition in a cool-down.

use std::time::Duration;

use mesh_core::plan::Plan;
use mesh_core::run::Cause;
use mesh_core::time::Timestamp;

use crate::world::World;

impl World {
    pub fn judge_start(&mut self, plan: &Plan, cause: &Cause, before: Option<Timestamp>, at: Timestamp) {
        if !matches!(cause, Cause::Automatic { .. }) {
            return;
        }
        let cool_down = Duration::from_secs(self.set.cool_down_s);
        if before.is_some_and(|before| at.since(before) < cool_down) {
            self.violated("NoFlap", format!("a second automatic move within {cool_down:?}"));
        }
        if before.is_some() {
            self.reached("a second automatic move, after the cool-down");
        }
        self.judge_evidence(plan);
    }
}
