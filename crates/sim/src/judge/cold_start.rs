//! ColdStart: after everything was without power at once there is soon a leader with everybody's session, nobody asks
//! more often than the pauses between attempts allow, and nothing moves that was well.

use crate::world::World;
use crate::{Micros, SECOND};

/// An attempt takes a round trip at least, and every third is followed by a pause of half a second.
const SEEKS_MAX: u32 = 20;
/// Attempts are counted for so long.
const COUNTED: Micros = 10 * SECOND;

pub struct Cold {
    last: Micros,
    seeks: Vec<u32>,
    over: bool,
}

impl World {
    pub fn judge_cold_back(&mut self, last: Micros) {
        self.reached("a cold start");
        self.judge.cold = Some(Cold { last, seeks: vec![0; self.agents.len()], over: false });
    }

    pub fn judge_seek(&mut self, agent: usize) {
        let now = self.now;
        let Some(cold) = self.judge.cold.as_mut().filter(|cold| now < cold.last + COUNTED) else { return };
        cold.seeks[agent] += 1;
        if cold.seeks[agent] == SEEKS_MAX + 1 {
            self.violated("ColdStart", format!("agent {agent} asked {SEEKS_MAX} times within seconds"));
        }
    }

    pub fn judge_cold_look(&mut self) {
        if self.leader().is_none() {
            self.violated("ColdStart", "nobody leads".to_owned());
        }
        let without = (0..self.agents.len())
            .filter(|agent| self.agents[*agent].conn.as_ref().is_none_or(|conn| !conn.welcomed))
            .collect::<Vec<_>>();
        if !without.is_empty() {
            self.violated("ColdStart", format!("agents {without:?} have no session"));
        }
    }

    /// Something begins by itself.
    pub fn judge_cold_start(&mut self) {
        if self.judge.cold.as_ref().is_some_and(|cold| !cold.over) {
            self.violated("ColdStart", "a failover of what was well".to_owned());
        }
    }

    pub fn judge_cold_over(&mut self) {
        if let Some(cold) = &mut self.judge.cold {
            cold.over = true;
        }
    }
}
