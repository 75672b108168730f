//! Health questions: what is asked, from where, and what passes.
//!
//! Most kinds ask the service itself. The requester-side kinds ask somebody who sees the service's requests
//! (CloudWatch, Prometheus): second-hand, but of real traffic, so that a failure which no probe meets is seen too.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Manifest, ResourceKind};
use crate::ids::RegionId;

mod decimal;

pub use decimal::{Decimal, DecimalError};

/// A declared health question, asked by agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub probe: Probe,
    pub interval: Duration,
    pub timeout: Duration,
    /// Failures in a row before the check counts as failing.
    pub fail_after: u32,
    /// Passes in a row before it counts as passing again.
    pub pass_after: u32,
    pub critical: bool,
    /// Asked and shown, and counted for nothing.
    pub observe_only: bool,
    pub from: Vantage,
}

/// Whose agents ask about a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vantage {
    /// Those in that region.
    Own,
    /// Those in all other regions.
    Others,
    #[default]
    Both,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    Http {
        /// The URL to ask about each region.
        urls: BTreeMap<RegionId, String>,
        expect_status: u16,
        body_contains: Option<String>,
        /// A later answer fails, whatever it says.
        latency_max: Option<Duration>,
        /// PEM file of the authorities to trust, in the agent's directory of credentials; none: the system's.
        ca_file: Option<String>,
    },
    Tcp {
        /// `host:port` of each region.
        addresses: BTreeMap<RegionId, String>,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// `http://` or `https://host:port` of each region.
        targets: BTreeMap<RegionId, String>,
        /// The service whose health is asked; empty: the server's as a whole.
        service: String,
        latency_max: Option<Duration>,
        ca_file: Option<String>,
    },
    Dns {
        /// The name to look up about each region.
        names: BTreeMap<RegionId, String>,
        /// `host:port` of the name server that is in question itself; without one the agent's resolvers are asked.
        servers: BTreeMap<RegionId, String>,
        record: DnsRecord,
        /// A value that has to be among those answered.
        answer: Option<String>,
    },
    /// A resource of kind `postgresql`: does it answer, and as what?
    Postgresql {
        resource: String,
        role: PostgresqlRole,
        /// On a replica: longest replay lag.
        lag_max: Option<Duration>,
        /// On a replica: most bytes of write-ahead log that are received and not replayed, or not received yet.
        lag_bytes_max: Option<u64>,
    },
    /// What AWS says of a resource of kind `rds`, `eks`, `ecs` or `msk`.
    AwsStatus {
        resource: String,
    },
    Cloudwatch {
        metrics: BTreeMap<RegionId, Metric>,
        /// `Average`, `Sum`, `Maximum`, `Minimum`, `SampleCount` or a percentile like `p99`.
        statistic: String,
        period: Duration,
        /// So many of the newest points must all be beyond the threshold.
        datapoints: u32,
        threshold: Threshold,
        missing: Missing,
    },
    Alarm {
        alarms: BTreeMap<RegionId, Alarm>,
    },
    Prometheus {
        /// The server that knows of each region.
        urls: BTreeMap<RegionId, String>,
        /// `{region}` stands for the region that is asked about.
        query: String,
        threshold: Threshold,
        missing: Missing,
        ca_file: Option<String>,
        /// A file in the agent's directory of credentials that holds the bearer token to send.
        token_file: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsRecord {
    #[serde(rename = "A")]
    A,
    #[serde(rename = "AAAA")]
    Aaaa,
    #[serde(rename = "CNAME")]
    Cname,
    #[serde(rename = "TXT")]
    Txt,
}

impl DnsRecord {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
        }
    }
}

/// What a PostgreSQL server has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PostgresqlRole {
    /// Primary or replica: it answers.
    Any,
    /// Primary where the service is active, in recovery everywhere else.
    Active,
}

/// A CloudWatch metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    pub namespace: String,
    pub metric: String,
    pub dimensions: BTreeMap<String, String>,
    /// Name of a metric of the same namespace and dimensions: what counts is the quotient of the two, as errors by requests.
    pub divided_by: Option<String>,
    /// The region whose CloudWatch has it; none: the one that it is about.
    pub published_in: Option<RegionId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    pub alarm: String,
    /// The region whose CloudWatch has it; none: the one that it is about.
    pub published_in: Option<RegionId>,
}

/// A value fails that is greater than `above` or less than `below`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    pub above: Option<Decimal>,
    pub below: Option<Decimal>,
}

impl Threshold {
    /// In words, if `value` fails.
    pub fn broken_by(self, value: f64) -> Option<String> {
        if let Some(above) = self.above.filter(|above| value > above.as_f64()) {
            return Some(format!("{value} is above {above}"));
        }
        self.below.filter(|below| value < below.as_f64()).map(|below| format!("{value} is below {below}"))
    }
}

/// What it means that there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// Nothing is known.
    Unknown,
    /// As with a count of errors that is published only where there is one.
    Passing,
}

impl Probe {
    /// As it stands in a manifest.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Tcp { .. } => "tcp",
            Self::Grpc { .. } => "grpc",
            Self::Dns { .. } => "dns",
            Self::Postgresql { .. } => "postgresql",
            Self::AwsStatus { .. } => "aws-status",
            Self::Cloudwatch { .. } => "cloudwatch",
            Self::Alarm { .. } => "alarm",
            Self::Prometheus { .. } => "prometheus",
        }
    }

    /// Does it ask those who see the requests, rather than the service?
    pub const fn is_requester_side(&self) -> bool {
        match self {
            Self::Cloudwatch { .. } | Self::Alarm { .. } | Self::Prometheus { .. } => true,
            Self::Http { .. }
            | Self::Tcp { .. }
            | Self::Grpc { .. }
            | Self::Dns { .. }
            | Self::Postgresql { .. }
            | Self::AwsStatus { .. } => false,
        }
    }
}

impl Check {
    /// The regions that it is about.
    pub fn regions<'a>(&'a self, manifest: &'a Manifest) -> Vec<&'a RegionId> {
        match &self.probe {
            Probe::Http { urls: of, .. }
            | Probe::Tcp { addresses: of }
            | Probe::Grpc { targets: of, .. }
            | Probe::Dns { names: of, .. }
            | Probe::Prometheus { urls: of, .. } => of.keys().collect(),
            Probe::Cloudwatch { metrics, .. } => metrics.keys().collect(),
            Probe::Alarm { alarms } => alarms.keys().collect(),
            Probe::Postgresql { resource, .. } | Probe::AwsStatus { resource } => {
                let named = manifest.resources.iter().find(|one| one.name == *resource);
                named.map(|one| one.kind.regions()).unwrap_or_default()
            }
        }
    }

    /// Do the agents of `observer` ask about `region`?
    pub fn is_asked_from(&self, observer: &RegionId, region: &RegionId) -> bool {
        match self.from {
            Vantage::Own => observer == region,
            Vantage::Others => observer != region,
            Vantage::Both => true,
        }
    }
}

impl ResourceKind {
    /// Where it is.
    pub fn regions(&self) -> Vec<&RegionId> {
        match self {
            Self::Rds { instances, .. } => instances.keys().collect(),
            Self::DynamodbGlobalTable { regions, .. } => regions.iter().collect(),
            Self::Eks { clusters } => clusters.keys().collect(),
            Self::Ecs { services } => services.keys().collect(),
            Self::Msk { clusters } => clusters.keys().collect(),
            Self::Postgresql { instances } => instances.keys().collect(),
        }
    }
}
