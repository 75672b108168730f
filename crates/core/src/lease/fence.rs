//! What a manifest declares of how a region that has lost its right is kept from writing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LEASE_DEFAULT, MARGIN_DEFAULT, Terms};
use crate::ids::RegionId;

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
    /// Active, and no proof: API Gateway keeps its limits as well as it can, and says so. It stops the requests beside
    /// whatever closes the region.
    ApiGatewayThrottle { name: String, stages: BTreeMap<RegionId, ApiStage> },
    /// None, in so many words: a region that cannot be fenced counts as closed.
    Unfenced,
}

/// One stage of an HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiStage {
    pub api: String,
    pub stage: String,
    /// What an open stage has where no fence noted a limit: it was closed from the first, or had none.
    pub open: Throttle,
}

/// Both of them zero: nothing is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// Requests a second.
    pub rate: u32,
    pub burst: u32,
}

impl Fencing {
    /// Are there leases for this service?
    pub fn is_leased(&self) -> bool {
        self.fences.iter().any(Fence::closes)
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
            Fence::LeaseEndpoint { .. }
            | Fence::Watchdog { .. }
            | Fence::PostgresqlReadOnly
            | Fence::ApiGatewayThrottle { .. }
            | Fence::Unfenced => None,
        })
    }

    /// The stages that are throttled, by the name of their fence.
    pub fn throttled(&self) -> impl Iterator<Item = (&str, &BTreeMap<RegionId, ApiStage>)> {
        self.fences.iter().filter_map(|fence| match fence {
            Fence::ApiGatewayThrottle { name, stages } => Some((name.as_str(), stages)),
            Fence::LeaseEndpoint { .. }
            | Fence::Watchdog { .. }
            | Fence::PostgresqlReadOnly
            | Fence::Hook { .. }
            | Fence::Unfenced => None,
        })
    }
}

impl Fence {
    const fn dead_man(&self) -> Option<Duration> {
        match self {
            Self::LeaseEndpoint { reaction } | Self::Watchdog { reaction } => Some(*reaction),
            Self::PostgresqlReadOnly | Self::Hook { .. } | Self::ApiGatewayThrottle { .. } | Self::Unfenced => None,
        }
    }

    /// Does it count for whether the region is closed?
    const fn closes(&self) -> bool {
        !matches!(self, Self::ApiGatewayThrottle { .. })
    }
}
