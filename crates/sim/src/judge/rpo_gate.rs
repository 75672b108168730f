//! RpoGate: where the policy blocks a loss, nothing moves by itself of which more would really be lost than the objective
//! allows, counted to the first failure that anybody saw.

use mesh_core::plan::Plan;

use crate::world::World;
use crate::{Micros, SECOND};

/// Lags are read now and then, and clocks run apart.
const ROUNDING: Micros = 3 * SECOND;

impl World {
    pub fn judge_rpo(&mut self, plan: &Plan) {
        let Some(objective) = self.set.rpo_s else { return };
        if plan.service != self.names.service || self.set.mix.asks_first {
            return;
        }
        let (from, to) = (self.names.region(&plan.from), self.names.region(&plan.to));
        let rows = self.saw_it_fail(from).into_iter().filter_map(|agent| self.row_of(agent, from));
        let Some(onset) = rows.map(|(first, _)| first).min() else { return };
        let lost = onset.min(self.cloud.servers[from].written).saturating_sub(self.cloud.servers[to].written);
        self.reached("a loss was within the objective");
        if lost > objective * SECOND + ROUNDING {
            let text = format!("moved though {} s are lost, and {objective} s are accepted", lost / SECOND);
            self.violated("RpoGate", text);
        }
    }

    /// Would more be lost than is accepted, if it moved now?
    pub fn would_lose(&self, from: usize, to: usize) -> bool {
        let lost = self.cloud.servers[from].written.saturating_sub(self.cloud.servers[to].written);
        self.set.rpo_s.is_some_and(|objective| lost > objective * SECOND)
    }
}
