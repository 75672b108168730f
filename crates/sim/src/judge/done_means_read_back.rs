//! DoneMeansReadBack: a promotion that is done has made a primary.

use mesh_core::execute::CallResult;
use mesh_core::ids::{IntentSeq, RunId, StepId, Token};
use mesh_core::manifest::RecordSet;
use mesh_core::plan::Action;
use mesh_core::run::{Direction, Outcome, OutcomeResult};

use crate::world::World;
use crate::zone::{Mark, same};
use crate::{Micros, SECOND};

/// From the last look to the commit, at most.
const MEDDLED: Micros = 900 * SECOND;

impl World {
    pub fn judge_done(&mut self, run: &RunId, step: &StepId, direction: Direction) {
        let Some(of) = self.judge.fleet.runs.get(run) else { return };
        let Some(step) = of.plan.step(step) else { return };
        let (action, generation) = match direction {
            Direction::Forward => (Some(step.action.clone()), of.plan.generation),
            Direction::Undo => (step.undo.clone(), of.generation()),
        };
        // The word of an agent that was silent for long may come after the next run's call.
        let newest = Token { generation, intent: IntentSeq(u64::MAX) };
        if action.as_ref().is_some_and(|action| self.is_superseded(action, newest)) {
            self.reached("it is told late that a name was moved");
            return;
        }
        if let Some(Action::Route53Replace { record, sets, .. }) = action {
            self.judge_published(run, &record, &sets);
            return;
        }
        if direction == Direction::Forward && step.action.is_promotion() {
            let region = self.names.region(&step.region);
            if !self.cloud.servers[region].primary {
                self.violated("DoneMeansReadBack", format!("{run}: promoted, and region {region} has a replica"));
            }
        }
    }

    fn judge_published(&mut self, run: &RunId, record: &str, wanted: &[RecordSet]) {
        // What somebody else edits in between is no mistake of the step.
        if self.judge.names.meddled.get(record).is_some_and(|at| self.now - at < MEDDLED) {
            return;
        }
        let published = &self.zone.names[record];
        let text = if !same(&published.sets, wanted) {
            format!("{run}: {record} is done, and shows something else")
        } else if published.in_sync_at > self.now {
            format!("{run}: {record} is done, and not in sync")
        } else {
            return;
        };
        self.violated("DoneMeansReadBack", text);
    }

    /// Before it is told: a refusal must not hide a call that may be out.
    pub fn judge_outcome(&mut self, agent: usize, seq: IntentSeq, outcome: &Outcome) {
        let Some(entry) = self.agents[agent].disk.entries.get(&seq) else { return };
        let doubtful = matches!(entry.progress.last_call, Some(CallResult::Unknown { .. }));
        // A later token than its own: it was not applied, or something newer was since.
        let later = match &entry.job.action {
            Action::Route53Replace { record, .. } => {
                matches!(self.zone.names[record].mark, Mark::One(token) if token > entry.job.token)
            }
            _ => false,
        };
        let doubtful = doubtful && !later;
        if doubtful && matches!(outcome.result, OutcomeResult::Refused { .. }) {
            self.violated("UnknownIsNotFailed", format!("intent {seq:?} is refused after a doubtful call"));
        }
    }

    /// A newer batch is there, which no older one can follow.
    pub fn is_superseded(&self, action: &Action, by_more_than: Token) -> bool {
        let Action::Route53Replace { record, .. } = action else { return false };
        matches!(self.zone.names[record].mark, Mark::One(token) if token > by_more_than)
    }
}
