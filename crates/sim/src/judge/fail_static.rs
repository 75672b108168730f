//! FailStatic: without a quorum nothing outside changes.

use mesh_core::execute::Job;

use crate::consensus::coordinator;
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

/// The last permission that a leader can have given runs out, on a clock that is slow, or stood for as long as is assumed.
const PERMITTED: Micros = 5 * SECOND + 2 * SECOND + 100 * MILLI;
/// Long enough that something could have happened.
const LONG: Micros = 10 * SECOND;

#[derive(Default)]
pub struct Quorum {
    lost_since: Option<Micros>,
}

impl World {
    /// Links or processes have changed.
    pub fn judge_quorum(&mut self) {
        let needed = self.nodes.len() / 2 + 1;
        let runs: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].runs()).collect();
        let joined =
            |one: usize, other: usize| one == other || self.net.is_joined(coordinator(one), coordinator(other));
        let there = runs.iter().any(|one| runs.iter().filter(|other| joined(*one, **other)).count() >= needed);
        let lost = self.judge.quorum.lost_since;
        match (there, lost) {
            (false, None) => self.judge.quorum.lost_since = Some(self.now),
            (true, Some(since)) => {
                self.judge.quorum.lost_since = None;
                if self.now - since > LONG {
                    let busy = crate::coordinator::running(&self.judge.fleet).next().is_some();
                    self.reached(if busy { "a run was under way without a quorum" } else { "no quorum for long" });
                }
            }
            _ => {}
        }
    }

    pub fn judge_static(&mut self, job: &Job) {
        if let Some(since) = self.judge.quorum.lost_since.filter(|since| self.now - *since > PERMITTED) {
            let lost = (self.now - since) / MILLI;
            self.violated(
                "FailStatic",
                format!("{} was called {lost} ms after the quorum was lost", job.action.name()),
            );
        }
    }
}
