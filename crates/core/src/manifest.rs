//! The manifest of one service: what it is made of in each region, and how it may be moved.
//!
//! This is the model. Parsing it from YAML with positions is `mesh-manifest`; [`check`] holds the rules that need no
//! position and that a coordinator checks again before it commits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{RegionId, ServiceId};
use crate::lease::Fencing;

pub mod check;
pub mod safety;
pub mod window;

pub use safety::{Predicate, PredicateError, RuleScope, SafetyRule};
pub use window::Window;
mod probe;

pub use probe::{
    Alarm, Check, Decimal, DecimalError, DnsRecord, Metric, Missing, PostgresqlRole, Probe, Threshold, Vantage,
};
pub mod postgres;

pub use postgres::PostgresInstance;

/// One service. `service` is its identity; a later `apply` with the same name is its next version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub service: ServiceId,
    pub description: String,
    pub writer: WriterMode,
    pub regions: BTreeMap<RegionId, RegionRole>,
    /// Services that must have moved before this one when several move together.
    pub depends_on: BTreeSet<ServiceId>,
    pub objectives: Objectives,
    pub checks: Vec<Check>,
    pub resources: Vec<Resource>,
    pub traffic: Vec<TrafficRecord>,
    pub verify: Vec<Verification>,
    pub notices: Vec<Notice>,
    pub policy: Policy,
    /// How a region that may not write is kept from it; empty: by the steps of a run only.
    pub fence: Fencing,
    pub safety: Vec<SafetyRule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriterMode {
    /// At most one region may write: a promoted database.
    Single,
    /// All regions write: stateless, or a DynamoDB global table.
    Multi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegionRole {
    /// Active when the service is adopted. Exactly one.
    Primary,
    /// May become active.
    Standby,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objectives {
    /// Longest acceptable outage.
    pub rto: Duration,
    /// Longest acceptable loss of accepted writes, as replication lag.
    pub rpo: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    pub name: String,
    pub kind: ResourceKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// A primary DB instance and its cross-region read replicas.
    Rds {
        instances: BTreeMap<RegionId, RdsInstance>,
        /// Automated backups of a promoted instance, in days (1 to 35). Failback needs them on.
        backup_retention_days: u32,
    },
    DynamodbGlobalTable {
        table: String,
        regions: BTreeSet<RegionId>,
    },
    Eks {
        clusters: BTreeMap<RegionId, EksCluster>,
    },
    Ecs {
        services: BTreeMap<RegionId, EcsService>,
    },
    Msk {
        /// Cluster name in each region.
        clusters: BTreeMap<RegionId, String>,
    },
    /// A primary that nobody else manages, and its streaming replicas.
    Postgresql {
        instances: BTreeMap<RegionId, PostgresInstance>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdsInstance {
    /// DB instance identifier.
    pub instance: String,
    /// The security groups of an instance that may be written: what un-fence restores.
    pub security_groups: BTreeSet<String>,
    /// A security group without ingress rules: what fence puts in their place.
    pub closed_security_group: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EksCluster {
    pub cluster: String,
    pub node_group: String,
    pub nodes_min: u32,
    pub nodes_max: u32,
    pub nodes_desired: u32,
    pub namespace: String,
    /// Replicas of each deployment while the region is active; never lowered.
    pub replicas: u32,
    /// The deployments that are scaled, each with its own number. Empty: every deployment of the namespace.
    pub deployments: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EcsService {
    pub cluster: String,
    pub service: String,
    /// Running tasks while the region is active; never lowered.
    pub tasks: u32,
}

/// One DNS name and what it answers while each region is active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficRecord {
    pub name: String,
    /// Route 53 hosted zone id, without `/hostedzone/`.
    pub zone_id: String,
    /// Fully qualified name, without the final dot, lower case.
    pub record: String,
    /// All record sets of the name, for each region that can be active.
    pub active: BTreeMap<RegionId, Vec<RecordSet>>,
}

/// One Route 53 resource record set of a [`TrafficRecord`]. Its name is the record's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordSet {
    pub kind: RecordKind,
    pub set_identifier: Option<String>,
    pub routing: Routing,
    pub health_check_id: Option<String>,
    pub data: RecordData,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecordKind {
    #[serde(rename = "A")]
    A,
    #[serde(rename = "AAAA")]
    Aaaa,
    #[serde(rename = "CNAME")]
    Cname,
}

impl RecordKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Routing {
    Simple,
    /// 0 to 255; the share is weight / sum of weights.
    Weighted(u8),
    FailoverPrimary,
    FailoverSecondary,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordData {
    Values {
        ttl_seconds: u32,
        values: Vec<String>,
    },
    /// An alias has no TTL of its own.
    Alias {
        zone_id: String,
        dns_name: String,
        evaluate_target_health: bool,
    },
}

/// A question asked after traffic has moved. `{region}` in `url` and `body_contains` stands for the target region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub name: String,
    pub url: String,
    pub expect_status: u16,
    pub body_contains: Option<String>,
    /// Passes in a row that are wanted.
    pub consecutive: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub name: String,
    /// SNS topic ARN in each region: the target region's is used, so that a notice never needs the lost one.
    pub topics: BTreeMap<RegionId, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub automatic: AutomaticMode,
    /// For how long a quorum must have seen the active region fail before it counts as down.
    pub sustained: Duration,
    /// One automatic transition in so long a time, unless a person acknowledges the last one.
    pub cool_down: Duration,
    /// When the mesh may act by itself; empty: always.
    pub windows: Vec<Window>,
    /// An expected loss above the objective, or one that was never measured.
    pub loss: LossPolicy,
    /// Observers that must agree; absent: the majority of the fresh ones.
    pub quorum: Option<u32>,
    /// How long a fence may take before its run is held for consent.
    pub fence_timeout: Duration,
    /// How long the fenced primary's replica may take to catch up before the run is held for consent to the loss.
    pub catch_up_timeout: Duration,
    pub promote_timeout: Duration,
    /// How long nodes, pods and tasks may take to be ready.
    pub scale_timeout: Duration,
    /// How long replication may take to fall below the loss objective.
    pub gate_timeout: Duration,
    pub traffic_timeout: Duration,
    pub verify_timeout: Duration,
    pub notice_timeout: Duration,
}

/// Fail over without being told to?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutomaticMode {
    Off,
    /// Say what would be done, and do nothing.
    Notify,
    /// Do what can be undone, then ask one person before the first step that cannot.
    Fence,
    Full,
}

impl AutomaticMode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Notify => "notify",
            Self::Fence => "fence",
            Self::Full => "full",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossPolicy {
    /// It blocks an automatic promotion.
    Block,
    /// The manifest's owner accepts it, whatever it is.
    Accept,
}

/// Longer than a restart or a short loss of packets, shorter than a person takes to wake up.
pub const SUSTAINED_DEFAULT: Duration = Duration::from_secs(30);
/// Long enough that a person has looked before a second automatic move.
pub const COOL_DOWN_DEFAULT: Duration = Duration::from_secs(3600);

impl Default for Policy {
    /// RDS promotion takes 5 to 10 minutes (AWS, "Promoting a read replica"), so its bound is 30. An idle PostgreSQL
    /// primary shows a lag of up to 5 minutes (AWS, "Monitoring replication lag"), published once a minute, so a
    /// caught-up replica may need 6 minutes to be seen as such. The others are what a person at the console would wait.
    fn default() -> Self {
        Self {
            automatic: AutomaticMode::Off,
            sustained: SUSTAINED_DEFAULT,
            cool_down: COOL_DOWN_DEFAULT,
            windows: Vec::new(),
            loss: LossPolicy::Block,
            quorum: None,
            fence_timeout: Duration::from_secs(300),
            catch_up_timeout: Duration::from_secs(600),
            promote_timeout: Duration::from_secs(1800),
            scale_timeout: Duration::from_secs(1800),
            gate_timeout: Duration::from_secs(300),
            traffic_timeout: Duration::from_secs(300),
            verify_timeout: Duration::from_secs(300),
            notice_timeout: Duration::from_secs(120),
        }
    }
}

impl Manifest {
    /// The region that is active when the service is adopted.
    pub fn primary(&self) -> Option<&RegionId> {
        self.regions.iter().find(|(_, role)| **role == RegionRole::Primary).map(|(region, _)| region)
    }

    /// Databases of a `single` service that have to be fenced and promoted.
    pub fn databases(&self) -> impl Iterator<Item = (&str, &BTreeMap<RegionId, RdsInstance>, u32)> {
        self.resources.iter().filter_map(|resource| match &resource.kind {
            ResourceKind::Rds { instances, backup_retention_days } => {
                Some((resource.name.as_str(), instances, *backup_retention_days))
            }
            ResourceKind::DynamodbGlobalTable { .. }
            | ResourceKind::Eks { .. }
            | ResourceKind::Ecs { .. }
            | ResourceKind::Msk { .. }
            | ResourceKind::Postgresql { .. } => None,
        })
    }

    /// PostgreSQL servers of a `single` service that have to be fenced and promoted.
    pub fn postgres(&self) -> impl Iterator<Item = (&str, &BTreeMap<RegionId, PostgresInstance>)> {
        self.resources.iter().filter_map(|resource| match &resource.kind {
            ResourceKind::Postgresql { instances } => Some((resource.name.as_str(), instances)),
            ResourceKind::Rds { .. }
            | ResourceKind::DynamodbGlobalTable { .. }
            | ResourceKind::Eks { .. }
            | ResourceKind::Ecs { .. }
            | ResourceKind::Msk { .. } => None,
        })
    }
}
