//! UnknownIsNotFailed, DoneMeansReadBack: what is committed of an intent is what became of it outside.

use mesh_core::ids::{IntentSeq, RunId, StepId, Token};
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
        // Something newer is there: of a later run, or another agent's of this one, where somebody had removed the token.
        let superseded = |token| action.as_ref().is_some_and(|action| self.is_superseded(action, token));
        let applied = effect.is_some_and(|generation| !superseded(Token { generation, intent: seq }));
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
