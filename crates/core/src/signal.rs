//! What agents report about the world. Soft state: it lives in the leader's memory only.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, RegionId, ServiceId};
use crate::time::Timestamp;

/// One agent's present view of one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    pub observer: AgentId,
    pub observer_region: RegionId,
    pub service: ServiceId,
    /// The region that it is about.
    pub region: RegionId,
    /// Name of the check, or of the resource whose lag it is.
    pub subject: String,
    pub reading: Reading,
    /// Wall time of the observation at the observer.
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reading")]
pub enum Reading {
    Passing {
        latency: Duration,
    },
    Failing {
        reason: String,
        since: Timestamp,
    },
    ReplicaLag {
        lag: Duration,
    },
    /// A table was counted at both ends, `from` first.
    Items {
        from: RegionId,
        there: u64,
        here: u64,
    },
    /// The observer could not find out.
    Unknown {
        reason: String,
    },
}
