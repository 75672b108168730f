//! IntentBeforeEffect: no mutating call without a committed intent for this agent that its journal has on disk.

use mesh_core::execute::Job;

use crate::aim::Moment;
use crate::world::World;

impl World {
    pub fn judge_call(&mut self, agent: usize, job: &Job) {
        self.judge_static(job);
        self.judge_human(job);
        self.judge_declared(agent, job);
        self.aim(Moment::Called { agent }, &job.run);
        let run = self.judge.fleet.runs.get(&job.run);
        let work = run.and_then(|run| run.work(&job.step, job.direction));
        let intent = work.and_then(|work| work.intents.iter().find(|intent| intent.seq == job.token.intent));
        let committed = intent.is_some_and(|intent| intent.agent == self.names.agents[agent]);
        let closed = intent.is_some_and(|intent| intent.outcome.is_some());
        if !committed {
            self.violated("IntentBeforeEffect", format!("{}: its intent is not committed", job.action.name()));
        }
        let entry = self.agents[agent].disk.entries.get(&job.token.intent);
        if entry.is_none_or(|entry| entry.progress.calls == 0) {
            self.violated("IntentBeforeEffect", format!("{}: the journal does not have the call", job.action.name()));
        }
        if closed {
            self.violated("IntentBeforeEffect", format!("{}: its intent was closed before", job.action.name()));
        }
        if job.action.lets_write() && self.set.is_leased() {
            let right = self.agents[agent].holder.standing(self.stamp(agent));
            if right.is_none_or(|right| right.generation != job.token.generation) {
                self.violated("OneWriter", format!("{} without a lease", job.action.name()));
            }
        }
    }
}
