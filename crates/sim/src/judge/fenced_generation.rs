//! FencedGeneration: nothing outside goes from a newer mutation to an older one.

use mesh_core::fleet::AuthorityState;
use mesh_core::plan::Action;

use crate::event::Call;
use crate::world::World;

impl World {
    pub fn judge_effect(&mut self, call: &Call, region: usize) {
        let generation = call.job.token.generation;
        let touched = self.cloud.servers[region].touched;
        if generation < touched {
            let text = format!("{} at {generation} after {touched}", call.job.action.name());
            self.violated("FencedGeneration", text);
        }
        self.judge.effects.insert(call.job.token.intent, generation);
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
}
