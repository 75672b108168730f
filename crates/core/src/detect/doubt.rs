//! When an observer should rather doubt itself.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Lateness of its own timers beyond which an observer's time-outs say nothing about others.
pub const SLIP_MAX: Duration = Duration::from_secs(1);
/// With fewer regions to compare, the one that looks dead may be dead.
pub const PEERS_MIN: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "doubt")]
pub enum Doubt {
    TimersSlip,
    /// Of the regions that it asks about.
    PeersLookDead {
        dead: usize,
        of: usize,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimersSlip => f.write_str("its timers slip"),
            Self::PeersLookDead { dead, of } => write!(f, "{dead} of {of} regions look dead to it"),
        }
    }
}

/// What an observer says of itself with every ping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfReport {
    /// The worst lateness of a timer a moment ago.
    pub timer_slip: Duration,
    /// Regions that it asks about, its own included.
    pub peers: usize,
    /// Those of them of which nothing passes.
    pub peers_dead: usize,
}

impl SelfReport {
    pub fn doubt(&self) -> Option<Doubt> {
        if self.timer_slip >= SLIP_MAX {
            return Some(Doubt::TimersSlip);
        }
        let most = self.peers >= PEERS_MIN && self.peers_dead > self.peers / 2;
        most.then_some(Doubt::PeersLookDead { dead: self.peers_dead, of: self.peers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observer_doubts_itself_when_its_timers_slip_or_most_regions_look_dead_to_it() {
        let doubt = |slip_ms, peers_dead, peers| {
            SelfReport { timer_slip: Duration::from_millis(slip_ms), peers, peers_dead }.doubt()
        };
        assert_eq!(doubt(0, 0, 0), None);
        assert_eq!(doubt(999, 1, 2), None, "half is not most");
        assert_eq!(doubt(1000, 0, 3), Some(Doubt::TimersSlip));
        assert_eq!(doubt(0, 2, 2), Some(Doubt::PeersLookDead { dead: 2, of: 2 }));
        assert_eq!(doubt(0, 2, 3), Some(Doubt::PeersLookDead { dead: 2, of: 3 }));
        assert_eq!(doubt(0, 1, 1), None, "the only one may be dead");
    }
}
