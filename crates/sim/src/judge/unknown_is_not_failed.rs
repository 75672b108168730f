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
        let effect = self.judge.effects.get(&seq).copied();
        let action = self.judge.fleet.runs.get(run).and_then(|run| run.plan.step(step)).map(|step| step.action.clone());
        let superseded = |generation| action.as_ref().is_some_and(|action| self.is_superseded(action, generation));
        let applied = effect.is_some_and(|generation| !superseded(generation));
        match outcome.result {
            OutcomeResult::Refused { .. } if applied => {
                self.violated("UnknownIsNotFailed", format!("{run}/{step}: told as refused, and it was applied"));
            }
            OutcomeResult::Unknown => self.reached("an intent was closed as unknown"),
            // An outcome may be told again, when others have gone on since.
            OutcomeResult::Done if self.judge.done.insert(seq) => self.judge_done(run, step, direction),
            OutcomeResult::Done => {}
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
