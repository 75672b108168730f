//! The right of a region to write, as a lease that each of its agents holds for itself.
//!
//! ```text
//! agent: nonce ──▶ leader: ReadIndex, then the lease ──▶ agent: counts L from the sending of the nonce
//! agent out of lease: asks every agent of its ask list for a promise; with all of them it holds for P from the asking
//! revoke: "g ends, h wanted" is committed, told, acknowledged on disk; closed once nobody of the region can write at g
//! ```
//! Who holds counts the greatest advance of its clocks, from the earliest moment that may count. Who waits counts the
//! least advance, from the latest, and longer by [`DRIFT_PERCENT`] and a margin. Nothing here reads a clock: [`Holder`]
//! is an agent's side, [`Ledger`] and [`closing`] the leader's. `tests/models` drives exactly these.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, Generation};
use crate::time::{Timestamp, duration_millis};

pub mod closing;
pub mod due;
pub mod fence;
pub mod holder;
pub mod ledger;

pub use closing::{Case, Closing, closing};
pub use fence::{ApiStage, Fence, Fencing, Throttle};
pub use holder::{Holder, NoRight, Record, Refused, Standing, StandingKind};
pub use ledger::{Ledger, Mono};

/// How much faster or slower than another clock one may run: a hundred times what the kernel's clock discipline slews
/// by itself (500 ppm, adjtimex(2)), and more than a quartz drifts.
pub const DRIFT_PERCENT: u32 = 1;
pub const LEASE_DEFAULT: Duration = Duration::from_secs(15);
/// Covers pauses that stop every clock of a machine at once (`pause_max`, of which nobody can tell the agent) and what
/// drifts more than [`DRIFT_PERCENT`].
pub const MARGIN_DEFAULT: Duration = Duration::from_secs(2);
/// Ask lists of one service that a region may still use. Beyond it the list does not change until the next grant.
pub const ASK_LISTS_MAX: usize = 16;
/// Agents on one ask list: all of them are asked for each promise.
pub const ASK_MEMBERS_MAX: usize = 64;

/// One reading of CLOCK_BOOTTIME, CLOCK_MONOTONIC and CLOCK_REALTIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    pub boottime: Duration,
    pub monotonic: Duration,
    pub realtime: Duration,
}

impl Stamp {
    /// The greatest time that any of the clocks says has passed since `earlier`: for whoever holds a right.
    pub fn since(self, earlier: Self) -> Duration {
        let boottime = self.boottime.saturating_sub(earlier.boottime);
        let monotonic = self.monotonic.saturating_sub(earlier.monotonic);
        boottime.max(monotonic).max(self.realtime.saturating_sub(earlier.realtime))
    }

    /// The time that has certainly passed since `earlier`, for whoever waits for another's right to end: a suspended
    /// machine's monotonic clock stands still, and the wall clock proves nothing.
    pub fn certainly_since(self, earlier: Self) -> Duration {
        self.monotonic.saturating_sub(earlier.monotonic)
    }
}

impl Stamp {
    pub fn unix(self) -> Timestamp {
        Timestamp::from_millis(duration_millis(self.realtime))
    }
}

/// As long as `duration` by any clock that drifts within [`DRIFT_PERCENT`].
pub fn stretched(duration: Duration) -> Duration {
    duration.saturating_add(duration.saturating_mul(DRIFT_PERCENT) / 100)
}

/// What has certainly passed where another clock, that drifts within [`DRIFT_PERCENT`], says `duration`.
pub fn shrunk(duration: Duration) -> Duration {
    duration.saturating_sub(duration.saturating_mul(DRIFT_PERCENT) / 100)
}

/// Length of a lease, and of the promises that prolong it, with what its waits add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    pub length: Duration,
    pub margin: Duration,
}

impl Terms {
    /// From the answering of a lease until it has certainly ended.
    pub fn waited_out(self) -> Duration {
        stretched(self.length).saturating_add(self.margin)
    }
}

/// The agents whose promises together are a hold. Committed; those of the asker's own region are not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AskList {
    /// From 1, one higher with every change.
    pub version: u64,
    pub members: BTreeSet<AgentId>,
}

/// What the leader says of one service to one agent, after ReadIndex.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct News {
    /// The highest generation that was granted or is wanted: nothing older may write any more.
    pub floor: Generation,
    pub lease: Option<Lease>,
}

/// For the agent that it is told to, counted from the sending of its nonce.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub generation: Generation,
    pub length: Duration,
    /// Whom to ask when no leader answers: the list without the agents of this region.
    pub asks: AskList,
}

/// An agent's standing report, on disk before it is sent. With `floor` at a wanted generation it is the acknowledgement
/// of the revocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ack {
    pub floor: Generation,
    /// How long its promises to holders of generations below `floor` still run, by its own clock.
    pub promise_left: Duration,
    /// For how long, by its own clock, none of its promises has run; [`Duration::MAX`] if it never gave one.
    pub free_for: Duration,
    /// The generation at which it may write, or has a call out that lets somebody write.
    pub writes: Option<Generation>,
    /// Newest ask list that it knows; 0 without one.
    pub asks: u64,
}

/// A request for a promise not to take anything newer than `generation` for `length`, from its giving.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    pub generation: Generation,
    pub length: Duration,
    /// The asker's number for this round: answers to another one do not count.
    pub round: u64,
}

/// Why a region counts as closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "proof")]
pub enum Proof {
    /// Every one of these agents, all of the region that could write, gave its right up on disk, and the fence was seen.
    Fenced { agents: BTreeSet<AgentId> },
    /// Its leases have ended, the agents `promises` prolong none any more, and the dead-man fence has had its time.
    LeaseEnded { waited: Duration, promises: BTreeSet<AgentId> },
    /// The manifest says `unfenced: accepted`.
    Accepted,
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |agents: &BTreeSet<AgentId>| agents.iter().map(AgentId::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::Fenced { agents } if agents.is_empty() => f.write_str("its fence was seen"),
            Self::Fenced { agents } => write!(f, "{} gave up its lease and its fence was seen", names(agents)),
            Self::LeaseEnded { waited, promises } => {
                write!(f, "its lease ended {:.1} s after the last renewal", waited.as_secs_f64())?;
                if promises.is_empty() { Ok(()) } else { write!(f, ", and {} prolong it no more", names(promises)) }
            }
            Self::Accepted => f.write_str("not proven: the manifest says `unfenced: accepted`"),
        }
    }
}

#[cfg(test)]
mod tests;
