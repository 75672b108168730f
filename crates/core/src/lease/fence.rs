//! What a manifest declares of how a region that has lost its right is kept from writing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LEASE_DEFAULT, MARGIN_DEFAULT, Terms};

/// The `fence` list of a manifest and the terms of the leases. A service without fences has no leases: its old region
/// is closed by the fence steps of a run, or by the consent of two people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fencing {
    pub fences: Vec<Fence>,
    /// Of a lease, and of a promise.
    pub length: Duration,
    pub margin: Duration,
}

impl Default for Fencing {
    fn default() -> Self {
        Self { fences: Vec::new(), length: LEASE_DEFAULT, margin: MARGIN_DEFAULT }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fence")]
pub enum Fence {
    /// Dead-man: what stands on the writer's path (a proxy, a load balancer) asks an agent of its own region whether the
    /// region may write, and cuts open sessions within `reaction` of the first no or missing answer.
    LeaseEndpoint { reaction: Duration },
    /// Dead-man: a unit on the writer's own host that stops the writer within `reaction` of the lease's end.
    Watchdog { reaction: Duration },
    /// Active: the fence step of a `postgresql` resource.
    PostgresqlReadOnly,
    /// Active: an operation that the operator allowed the agents to run.
    Hook { name: String },
    /// None, in so many words: a region that cannot be fenced counts as closed.
    Unfenced,
}

impl Fencing {
    /// Are there leases for this service?
    pub const fn is_leased(&self) -> bool {
        !self.fences.is_empty()
    }

    pub const fn terms(&self) -> Terms {
        Terms { length: self.length, margin: self.margin }
    }

    /// The time that the slowest of the fences which close by themselves needs, from the end of the right to write.
    pub fn dead_man(&self) -> Option<Duration> {
        self.fences.iter().filter_map(Fence::dead_man).max()
    }

    pub fn accepts_unfenced(&self) -> bool {
        self.fences.contains(&Fence::Unfenced)
    }

    pub fn hooks(&self) -> impl Iterator<Item = &str> {
        self.fences.iter().filter_map(|fence| match fence {
            Fence::Hook { name } => Some(name.as_str()),
            Fence::LeaseEndpoint { .. } | Fence::Watchdog { .. } | Fence::PostgresqlReadOnly | Fence::Unfenced => None,
        })
    }
}

impl Fence {
    const fn dead_man(&self) -> Option<Duration> {
        match self {
            Self::LeaseEndpoint { reaction } | Self::Watchdog { reaction } => Some(*reaction),
            Self::PostgresqlReadOnly | Self::Hook { .. } | Self::Unfenced => None,
        }
    }
}
