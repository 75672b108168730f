//! FencedGeneration: nothing outside goes from a newer mutation to an older one.

use mesh_core::fleet::AuthorityState;
use mesh_core::plan::Action;

use crate::event::Call;
use crate::world::World;
use crate::zone::Mark;

impl World {
    pub fn judge_effect(&mut self, call: &Call, region: usize) {
        let generation = call.job.token.generation;
        let touched = self.cloud.servers[region].touched;
        if generation < touched {
            let text = format!("{} at {generation} after {touched}", call.job.action.name());
            self.violated("FencedGeneration", text);
        }
        self.judge.effects.insert(call.job.token.intent, generation);
        self.judge_arrival(&call.job.key);
        self.judge_not_refused(call);
        if call.job.action.lets_write() {
            let service = &self.judge.fleet.services[&self.names.service];
            let granted = service.authority.get(&call.job.region).is_some_and(|authority| {
                authority.state == AuthorityState::Granted && authority.generation == generation
            });
            if !granted {
                let text = format!("{} without authority at {generation}", call.job.action.name());
                self.violated("OneWriter", text);
            }
        }
        if matches!(call.job.action, Action::PostgresPromote { .. }) {
            self.reached("a promotion was called");
        }
        if call.reply_lost {
            self.reached("applied, and the reply was lost");
        }
    }

    /// A batch is applied, or a notice arrives.
    pub fn judge_outside(&mut self, call: &Call, thing: &str) {
        let (job, generation) = (&call.job, call.job.token.generation);
        self.judge.effects.insert(job.token.intent, generation);
        self.judge_arrival(&job.key);
        self.judge_not_refused(call);
        if let Action::Route53Replace { .. } = &job.action {
            if let Mark::One(token) = self.zone.names[thing].mark
                && token > job.token
            {
                self.violated("FencedGeneration", format!("{thing}: {:?} after {token:?}", job.token));
            }
            self.judge_guarded(call, thing);
            self.judge_once(&job.key, "a batch was applied");
        }
    }
}
