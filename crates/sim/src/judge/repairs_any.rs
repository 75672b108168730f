//! RepairsAny: whatever somebody else has made of the outside, the mesh reconciles it or holds. It never takes over what it
//! does not guard, and never tries the same again and again.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::ids::{IntentSeq, RunId, StepId};
use mesh_core::run::{Direction, Outcome, OutcomeResult};

use crate::event::Call;
use crate::world::World;
use crate::zone::Mark;

/// Attempts in a row of which none could even call.
const TRIES_MAX: usize = 5;
/// Intents of one step, whatever came of them.
const INTENTS_MAX: usize = 64;

#[derive(Default)]
pub struct Tries(BTreeMap<(RunId, StepId, Direction), BTreeSet<IntentSeq>>);

impl World {
    pub fn judge_meddled(&mut self, name: String) {
        self.reached("somebody else edited a name");
        self.judge.names.meddled.insert(name, self.now);
        self.judge_undone();
    }

    pub fn judge_guarded(&mut self, call: &Call, name: &str) {
        let unguarded = !matches!(self.zone.names[name].mark, Mark::One(_));
        if unguarded && !call.job.retried_by_person {
            self.violated("RepairsAny", format!("{name} has no token, and was changed without a person's word"));
        }
        if unguarded {
            self.reached("a person had an unguarded name taken over");
        }
    }

    pub fn judge_tries(&mut self, run: &RunId, step: &StepId, direction: Direction, seq: IntentSeq, outcome: &Outcome) {
        let key = (run.clone(), step.clone(), direction);
        let futile = outcome.result == OutcomeResult::Refused { retry: true } && outcome.calls == 0;
        if !futile {
            self.judge.tries.0.remove(&key);
            return;
        }
        // An outcome that is told twice is of one attempt.
        let tries = self.judge.tries.0.entry(key).or_default();
        tries.insert(seq);
        if tries.len() > TRIES_MAX {
            let text = format!("{run}/{step} was tried {} times: {}", tries.len(), outcome.detail);
            self.violated("RepairsAny", text);
        }
    }

    pub fn judge_intents(&mut self, run: &RunId, step: &StepId) {
        let intents = self.judge.fleet.runs.get(run).and_then(|run| run.steps.get(step));
        let count = intents.map_or(0, |step| step.forward.intents.len());
        if count > INTENTS_MAX {
            self.violated("RepairsAny", format!("{run}/{step} has had {count} intents"));
        }
    }
}
