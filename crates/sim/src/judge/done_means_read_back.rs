//! DoneMeansReadBack: a promotion that is done has made a primary.

use mesh_core::execute::CallResult;
use mesh_core::ids::{IntentSeq, RunId, StepId};
use mesh_core::run::{Direction, Outcome, OutcomeResult};

use crate::world::World;

impl World {
    pub fn judge_done(&mut self, run: &RunId, step: &StepId, direction: Direction) {
        let Some(step) = self.judge.fleet.runs.get(run).and_then(|run| run.plan.step(step)) else { return };
        if direction == Direction::Forward && step.action.is_promotion() {
            let region = self.names.region(&step.region);
            if !self.cloud.servers[region].primary {
                self.violated("DoneMeansReadBack", format!("{run}: promoted, and region {region} has a replica"));
            }
        }
    }

    /// Before it is told: a refusal must not hide a call that may be out.
    pub fn judge_outcome(&mut self, agent: usize, seq: IntentSeq, outcome: &Outcome) {
        let Some(entry) = self.agents[agent].disk.entries.get(&seq) else { return };
        let doubtful = matches!(entry.progress.last_call, Some(CallResult::Unknown { .. }));
        if doubtful && matches!(outcome.result, OutcomeResult::Refused { .. }) {
            self.violated("UnknownIsNotFailed", format!("intent {seq:?} is refused after a doubtful call"));
        }
    }
}
