//! UnknownIsNotFailed, DoneMeansReadBack: what is committed of an intent is what became of it outside.

use mesh_core::ids::{IntentSeq, RunId, StepId};
use mesh_core::run::{Direction, Outcome, OutcomeResult};

use crate::event::Call;
use crate::world::World;

impl World {
    pub fn judge_closed(
        &mut self,
        run: &RunId,
        step: &StepId,
        direction: Direction,
        seq: IntentSeq,
        outcome: &Outcome,
    ) {
        let applied = self.judge.effects.contains_key(&seq);
        match outcome.result {
            OutcomeResult::Refused { .. } if applied => {
                self.violated("UnknownIsNotFailed", format!("{run}/{step}: told as refused, and it was applied"));
            }
            OutcomeResult::Unknown => self.reached("an intent was closed as unknown"),
            OutcomeResult::Done => self.judge_done(run, step, direction),
            OutcomeResult::Refused { .. } => {
                self.judge.refused.insert(seq);
            }
        }
    }

    /// A call is carried out.
    pub fn judge_not_refused(&mut self, call: &Call) {
        if self.judge.refused.contains(&call.job.token.intent) {
            let text = format!("{} is carried out, and was told as refused", call.job.key);
            self.violated("UnknownIsNotFailed", text);
        }
    }
}
