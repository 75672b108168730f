//! What agents are asked about the world as it is, and what they answer. Nothing here is committed: a survey is looked
//! at by a person and forgotten.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::RegionId;
use crate::manifest::{Manifest, RecordSet};

pub mod elb;

/// Bounds of one answer. What is beyond them is left out, and a finding says so.
pub const DATABASES_MAX: usize = 256;
pub const TABLES_MAX: usize = 256;
pub const CLUSTERS_MAX: usize = 64;
pub const NODE_GROUPS_MAX: usize = 16;
pub const NAMESPACES_MAX: usize = 32;
pub const DEPLOYMENTS_MAX: usize = 64;
pub const TASK_SERVICES_MAX: usize = 256;
pub const TOPICS_MAX: usize = 256;
pub const ZONES_MAX: usize = 32;
pub const NAMES_MAX: usize = 256;
pub const SETS_MAX: usize = 16;
pub const FINDINGS_MAX: usize = 256;
/// One text of a finding.
pub const FINDING_TEXT_MAX: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// What is there in the agent's region? With `names`, also what is the same for all regions: Route 53.
    Discover { names: bool },
    /// Could this service fail over as the world is now?
    Examine(Box<Examination>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    pub manifest: Manifest,
    /// The region that serves.
    pub active: RegionId,
    pub depth: Depth,
    /// Judge the traffic records, too: one agent does so for all.
    pub names: bool,
    /// A new service that is only observed has no fencing tokens yet.
    pub armed: bool,
    /// Ask the check endpoints. Only what somebody was allowed to apply is asked for.
    pub probe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// The agent itself: its credentials, its clock.
    Agent,
    /// That, and the service's resources in the agent's region.
    Region,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Inventory(Box<Inventory>),
    Findings(Vec<Finding>),
}

/// One line of `meshctl doctor`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    pub level: Level,
    /// What it is about: `us-west-2 rds maip-prod-postgres-replica`.
    pub subject: String,
    pub text: String,
    /// The command or sentence that mends it; empty when nothing has to be done.
    pub mend: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Ok,
    /// A failover would work, worse than it could.
    Warning,
    /// A failover would fail or be held.
    Problem,
    /// It could not be looked at.
    Unknown,
}

impl Level {
    pub const ALL: [Self; 4] = [Self::Ok, Self::Warning, Self::Problem, Self::Unknown];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
            Self::Unknown => "unknown",
        }
    }

    /// Does it stand in the way? What could not be looked at does: a look that saw nothing proves nothing.
    pub const fn stands_in_the_way(self) -> bool {
        match self {
            Self::Ok | Self::Warning => false,
            Self::Problem | Self::Unknown => true,
        }
    }
}

impl Finding {
    pub fn ok(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, subject: subject.into(), text: text.into(), mend: String::new() }
    }

    pub fn warning(subject: impl Into<String>, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Warning, subject: subject.into(), text: text.into(), mend: mend.into() }
    }

    pub fn problem(subject: impl Into<String>, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Problem, subject: subject.into(), text: text.into(), mend: mend.into() }
    }

    pub fn unknown(subject: impl Into<String>, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Unknown, subject: subject.into(), text: text.into(), mend: mend.into() }
    }
}

/// What exists in one region, as far as the agent's role may see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub account: String,
    pub databases: Vec<Database>,
    pub tables: Vec<Table>,
    pub clusters: Vec<Cluster>,
    pub task_services: Vec<TaskService>,
    pub kafka: Vec<Kafka>,
    /// ARNs of SNS topics.
    pub topics: Vec<String>,
    pub zones: Vec<Zone>,
    /// What could not be looked at, or was more than fits.
    pub gaps: Vec<Finding>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    pub instance: String,
    pub arn: String,
    pub engine: String,
    pub status: String,
    /// Instance or, across regions, its ARN.
    pub source: Option<String>,
    pub security_groups: Vec<String>,
    /// `host:port`.
    pub endpoint: Option<String>,
    pub backup_retention_days: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    pub status: String,
    /// Status of each replica of a global table, this region's own among them.
    pub replicas: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    pub name: String,
    pub status: String,
    pub node_groups: Vec<NodeGroup>,
    /// Deployments with their replicas, by namespace; empty when the cluster's API could not be reached.
    pub namespaces: BTreeMap<String, BTreeMap<String, u32>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeGroup {
    pub name: String,
    pub status: String,
    pub min: u32,
    pub max: u32,
    pub desired: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskService {
    pub cluster: String,
    pub service: String,
    pub status: String,
    pub desired: u32,
    pub running: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kafka {
    pub name: String,
    pub state: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Without `/hostedzone/`.
    pub id: String,
    /// Without the final dot.
    pub name: String,
    pub private: bool,
    pub names: Vec<ZoneName>,
}

/// The record sets of one name that carry an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneName {
    /// Lower case, without the final dot.
    pub record: String,
    pub sets: Vec<RecordSet>,
    /// Sets that a manifest cannot say, and why.
    pub foreign: Vec<String>,
}
