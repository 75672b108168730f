//! Converges: with the faults over, every agent has a session, every node the same log, and no run is under way.

use std::time::Duration;

use mesh_core::run::RunState;

use crate::world::World;

/// What waited for a call that might still have arrived has its own time from then on.
const STEP: Duration = Duration::from_secs(60);
/// A commit, and the next word of the leader.
const UNTOLD: Duration = Duration::from_secs(2);

impl World {
    pub fn judge_end(&mut self) {
        self.judge_states();
        self.judge_audits();
        if !self.set.mix.finale {
            self.judge_converged();
        }
    }

    /// With the faults over, or before the last loss.
    pub fn judge_converged(&mut self) {
        let Some(leader) = self.leader() else {
            self.violated("Converges", "nobody leads".to_owned());
            return;
        };
        let (settled, newest) = (self.settled(leader), self.nodes[leader].applied);
        for node in 0..self.nodes.len() {
            let applied = self.nodes[node].applied;
            if self.nodes[node].alive && !(settled..=newest).contains(&applied) {
                let text = format!("node {node} has applied {applied}, the leader {newest}, and {settled} a while ago");
                self.violated("Converges", text);
            }
        }
        for agent in 0..self.agents.len() {
            if self.agents[agent].alive && self.agents[agent].conn.as_ref().is_none_or(|conn| !conn.welcomed) {
                self.violated("Converges", format!("agent {agent} has no session"));
            }
        }
        let now = self.nodes[leader].latest_time(self.now);
        let service = &self.judge.fleet.services[&self.names.service];
        let run = service.current_run.as_ref().and_then(|run| self.judge.fleet.runs.get(run));
        match run.map(|run| (&run.state, run.id.clone())) {
            Some((RunState::Running | RunState::Unwinding, _))
                if service.open_calls.iter().any(|call| call.until.plus(STEP) > now) =>
            {
                self.reached("a run waits at the end for a call that may still arrive");
            }
            Some((RunState::Running | RunState::Unwinding, id)) => {
                let lines: Vec<String> =
                    self.judge.fleet.runs[&id].timeline.iter().rev().take(6).map(|line| line.text.clone()).collect();
                self.violated("Converges", format!("{id} has not ended: {lines:?}"));
            }
            Some((RunState::Held { .. }, _)) => self.reached("a run is held at the end"),
            _ => {}
        }
        let may_write =
            (0..self.agents.len()).any(|agent| self.agents[agent].holder.standing(self.stamp(agent)).is_some());
        if !may_write && run_is_over(self) {
            self.violated("Converges", "nobody may write".to_owned());
        }
    }

    /// What the leader has applied, but for what it proposed a moment ago.
    fn settled(&self, leader: usize) -> usize {
        let it = &self.nodes[leader];
        let before = it.latest_time(self.now).minus(UNTOLD);
        it.log.iter().take(it.applied).filter(|entry| entry.at <= before).count()
    }
}

fn run_is_over(world: &World) -> bool {
    world.judge.fleet.services[&world.names.service].current_run.is_none()
}
