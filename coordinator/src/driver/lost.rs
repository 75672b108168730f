//! Intents that this leader gives up as unknown, because their agent has been silent.
//!
//! From the moment of that decision the agent must never start a call for them: their calls are waited out from there,
//! and another agent takes over. So its session has ended before the proposal is made, and no later session is offered
//! the intent again, whether the proposal has committed yet or not.

use std::collections::BTreeMap;

use mesh_core::fleet::{Command, Fleet};
use mesh_core::ids::{AgentId, IntentSeq, RunId};

use crate::node::Node;

/// No more than the open intents.
#[derive(Default)]
pub struct Lost(BTreeMap<(RunId, IntentSeq), Command>);

impl Lost {
    /// What is to be proposed: of `due` all but the loss of an agent that was heard of after all, and every loss that
    /// was decided earlier and has not been committed.
    pub fn take_up(&mut self, node: &Node, due: Vec<Command>) -> Vec<Command> {
        let mut others = Vec::new();
        for command in due {
            let Command::CloseIntent { run, seq, .. } = &command else {
                others.push(command);
                continue;
            };
            let key = (run.clone(), *seq);
            let agent = node.replica.with_fleet(|fleet| agent_of_open(fleet, &key));
            let session = agent.and_then(|agent| node.sessions.of(&agent));
            if session.is_none_or(|session| session.end_if_silent(node.timing.agent_silence)) {
                self.0.insert(key, command);
            }
        }
        node.replica.with_fleet(|fleet| self.0.retain(|key, _| agent_of_open(fleet, key).is_some()));
        self.0.values().cloned().chain(others).collect()
    }

    pub fn holds(&self, run: &RunId, intent: IntentSeq) -> bool {
        self.0.contains_key(&(run.clone(), intent))
    }
}

fn agent_of_open(fleet: &Fleet, (run, seq): &(RunId, IntentSeq)) -> Option<AgentId> {
    let mut open = fleet.runs.get(run)?.open_intents();
    open.find(|(_, _, intent)| intent.seq == *seq).map(|(_, _, intent)| intent.agent.clone())
}
