//! When an observer should rather doubt itself.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hysteresis::Seen;
use crate::lease::Stamp;

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
        self.most_look_dead().then_some(Doubt::PeersLookDead { dead: self.peers_dead, of: self.peers })
    }

    pub const fn most_look_dead(&self) -> bool {
        self.peers >= PEERS_MIN && self.peers_dead > self.peers / 2
    }
}

/// When most regions looked dead to an observer last. What failed then may have been its own isolation, so a failure
/// counts from the end of it on: without that, the first region that answers again would give its word on all others back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Isolation {
    lasts: bool,
    seen: Option<Stamp>,
}

impl Isolation {
    /// What the newest answer, of `at`, makes of it. A question that could not be asked has the time of the answer before.
    pub fn note(&mut self, lasts: bool, at: Stamp) {
        if self.lasts || lasts {
            let later = self.seen.filter(|seen| seen.monotonic > at.monotonic);
            self.seen = Some(later.unwrap_or(at));
        }
        self.lasts = lasts;
    }

    /// For how long something has failed while other regions answered.
    pub fn failing_for(&self, seen: &Seen, now: Stamp) -> Duration {
        let since = self.seen.map(|end| now.monotonic.saturating_sub(end.monotonic));
        since.map_or(seen.failing_for(now), |since| seen.failing_for(now).min(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_an_isolation_count_from_its_end_on() {
        let at = |secs| Stamp { monotonic: Duration::from_secs(secs), ..Stamp::default() };
        let seen = Seen { failing_from: Some(at(10)), at: at(30), ..Seen::default() };
        let failing_for = |isolation: &Isolation, now| isolation.failing_for(&seen, at(now)).as_secs();
        let mut isolation = Isolation::default();
        assert_eq!(failing_for(&isolation, 31), 21, "never isolated");
        isolation.note(true, at(12));
        isolation.note(true, at(29));
        isolation.note(true, at(20));
        assert_eq!(failing_for(&isolation, 30), 1, "it lasts");
        isolation.note(false, at(30));
        assert_eq!(failing_for(&isolation, 31), 1, "the answer that ends it is its end");
        isolation.note(false, at(40));
        assert_eq!(failing_for(&isolation, 45), 15, "and no answer after it");
        let later = Seen { failing_from: Some(at(35)), at: at(44), ..Seen::default() };
        assert_eq!(isolation.failing_for(&later, at(45)).as_secs(), 10, "a row that began after it is whole");
    }

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
