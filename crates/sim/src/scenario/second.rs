//! A second thing that fails while the first is being dealt with.

use super::{Given, Scenario};
use crate::event::Who;
use crate::fault::Fault;
use crate::rng::Rng;
use crate::setting::AGENTS_PER_REGION;
use crate::{MILLI, Micros};

/// Kinds of single things; beside these every scenario can be a second.
pub const KINDS: [(&str, &str); 7] = [
    ("agent-crash", "one agent stops"),
    ("agent-pause", "one agent stands still"),
    ("coordinator-crash", "one coordinator stops"),
    ("coordinator-disk-slow", "one coordinator's disk takes 0.5 s a write"),
    ("clock-jump", "one machine's clock jumps ten minutes ahead"),
    ("replies-lost", "half of all answers to calls are lost"),
    ("name-servers-lost", "no agent can resolve a name"),
];

/// What else fails, and when after the first at the latest.
#[derive(Clone, Debug)]
pub struct Second {
    /// Those of which one is drawn.
    pub of: Vec<String>,
    pub within: Micros,
}

impl Second {
    /// Every kind, and every scenario but the first.
    pub fn any(given: &Given, first: &str) -> Vec<String> {
        let kinds = KINDS.iter().map(|(name, _)| (*name).to_owned());
        kinds.chain(Scenario::all(given).into_iter().map(|it| it.name).filter(|name| name != first)).collect()
    }

    pub fn draw(&self, given: &Given, rng: &mut Rng) -> (String, Micros, Vec<Fault>) {
        let name = self.of[rng.index(self.of.len())].clone();
        let after = rng.below(self.within.max(1));
        let faults = faults(given, &name, rng);
        (name, after, faults)
    }
}

fn faults(given: &Given, name: &str, rng: &mut Rng) -> Vec<Fault> {
    let regions = given.regions.len();
    let agent = Who::Agent(rng.index(regions * AGENTS_PER_REGION));
    let node = Who::Node(rng.index(regions));
    let one = match name {
        "agent-crash" => Fault::Crash(agent),
        "agent-pause" => Fault::Pause(agent),
        "coordinator-crash" => Fault::Crash(node),
        "coordinator-disk-slow" => Fault::SlowDisk(node, 500 * MILLI),
        "clock-jump" => Fault::Step(if rng.per_mille(500) { agent } else { node }, 600_000),
        "replies-lost" => Fault::RepliesLost(500),
        "name-servers-lost" => return (0..regions).map(Fault::NoNames).collect(),
        scenario => return Scenario::find(given, scenario).map(|it| it.faults).unwrap_or_default(),
    };
    vec![one]
}
