//! The leader's soft state as the engine wants it.

use std::collections::BTreeMap;

use mesh_core::engine::{self, AgentPresence};
use mesh_core::fleet::{Command, Fleet};
use mesh_core::ids::AgentId;
use mesh_core::time::Timestamp;

use crate::node::Node;
use crate::operator::reads::open_intents;

/// Two views. An agent whose connection broke a moment ago may still act, so its intents are not lost yet: `all` has
/// it. But it must not be given new ones: `connected` leaves it out.
pub struct View {
    pub all: engine::View,
    pub connected: engine::View,
}

pub fn of(node: &Node, led_since: Timestamp) -> View {
    let now = node.now();
    let presence = node.sessions.presence();
    let (mut all, mut connected) = (BTreeMap::new(), BTreeMap::new());
    node.replica.with_fleet(|fleet| {
        let open = open_intents(fleet);
        for (agent, present) in presence {
            let since = mesh_core::time::duration_millis(present.heard.elapsed());
            let seen = AgentPresence {
                region: present.region,
                last_heard: Timestamp::from_millis(now.as_millis().saturating_sub(since)),
                load: open.get(&agent).copied().unwrap_or_default(),
            };
            if present.connected {
                connected.insert(agent.clone(), seen.clone());
            }
            all.insert(agent, seen);
        }
    });
    let agent_silence = node.timing.agent_silence;
    let view = |agents: BTreeMap<AgentId, AgentPresence>| engine::View { now, agents, agent_silence, led_since };
    View { all: view(all), connected: view(connected) }
}

impl View {
    pub fn due(&self, fleet: &Fleet) -> Vec<Command> {
        let opens = |command: &Command| matches!(command, Command::OpenIntent { .. });
        let mut due: Vec<Command> =
            engine::next(fleet, &self.all).into_iter().filter(|command| !opens(command)).collect();
        due.extend(engine::next(fleet, &self.connected).into_iter().filter(opens));
        due
    }
}
