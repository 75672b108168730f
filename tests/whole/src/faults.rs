//! What goes wrong in a seed, and when. Which kinds occur is drawn first; every fault is taken back by itself, and all of
//! them when the time of faults is over.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::site::{AGENTS, AGENTS_AFTER};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Messages between two coordinators are lost in both directions.
    Partition,
    /// As [`Kind::Partition`], in one direction.
    OneWay,
    /// Messages wait, and arrive when it is over.
    Hold,
    /// One coordinator is parted from everybody, people included.
    Isolate,
    /// A link becomes slow.
    Slow,
    /// One coordinator loses its power.
    Crash,
    /// Most of them do.
    CrashMost,
    /// A disk takes long to sync.
    Stall,
    /// A wall clock is set.
    Clock,
    /// An agent's machine loses its power.
    AgentCrash,
    /// An agent is parted from every coordinator.
    AgentCut,
    /// An agent's disk takes long to sync.
    AgentStall,
    /// All of a region is parted from all others, people included.
    RegionCut,
    /// All of a region loses its power, its database included.
    RegionLost,
    /// The providers of a region lose answers and calls, are late, and turn away.
    Provider,
}

pub const KINDS: [Kind; 15] = [
    Kind::Partition,
    Kind::OneWay,
    Kind::Hold,
    Kind::Isolate,
    Kind::Slow,
    Kind::Crash,
    Kind::CrashMost,
    Kind::Stall,
    Kind::Clock,
    Kind::AgentCrash,
    Kind::AgentCut,
    Kind::AgentStall,
    Kind::RegionCut,
    Kind::RegionLost,
    Kind::Provider,
];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::OneWay => "one-way",
            Self::Hold => "hold",
            Self::Isolate => "isolate",
            Self::Slow => "slow",
            Self::Crash => "crash",
            Self::CrashMost => "crash-most",
            Self::Stall => "stall",
            Self::Clock => "clock",
            Self::AgentCrash => "agent-crash",
            Self::AgentCut => "agent-cut",
            Self::AgentStall => "agent-stall",
            Self::RegionCut => "region-cut",
            Self::RegionLost => "region-lost",
            Self::Provider => "provider",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub kind: Kind,
    pub at: Duration,
    pub lasts: Duration,
    /// Which coordinators or regions, which agent, and a number for what else there is to choose.
    pub one: u64,
    pub other: u64,
    pub agent: u64,
    pub much: u64,
}

/// The region that is active first is out of reach of all others, for longer than a move by itself needs.
pub fn loss(rng: &mut StdRng, to: Duration) -> Fault {
    let kind = if rng.random() { Kind::RegionLost } else { Kind::RegionCut };
    let at = Duration::from_millis(rng.random_range(4_500..6_500));
    Fault { kind, at, lasts: to - at, one: 1, other: 2, agent: AGENTS_AFTER + 1, much: 0 }
}

/// Of `count` coordinators, between `from` and `to`.
pub fn draw(rng: &mut StdRng, count: u64, from: Duration, to: Duration) -> Vec<Fault> {
    let mut kinds = KINDS;
    kinds.shuffle(rng);
    let kinds = &kinds[..rng.random_range(1..=6)];
    let faults = (0..rng.random_range(3..=7)).map(|_| {
        let kind = kinds[rng.random_range(0..kinds.len())];
        let one = rng.random_range(1..=count);
        let other = (one + rng.random_range(1..count) - 1) % count + 1;
        let at = rng.random_range(from..to);
        // A lease has run out, and its region is taken as closed, after eight seconds.
        let longest = if matches!(kind, Kind::AgentCut | Kind::RegionCut | Kind::RegionLost) { 12_000 } else { 5_000 };
        let lasts = Duration::from_millis(rng.random_range(200..longest)).min(to - at);
        let agent = AGENTS_AFTER + rng.random_range(1..=AGENTS.len() as u64);
        Fault { kind, at, lasts, one, other, agent, much: rng.random_range(0..1_000) }
    });
    let mut faults: Vec<Fault> = faults.collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}
