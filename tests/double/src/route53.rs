//! Route 53: hosted zones, change batches, health checks, and what its name servers answer.

pub mod answer;
pub mod batch;
pub mod check;
pub mod health;
pub mod list;
pub mod record;

use std::collections::{BTreeMap, VecDeque};

use crate::error::ApiError;
use crate::wire::Node;
use crate::wire::request::Call;
use crate::world::World;
use health::HealthCheck;
use record::RecordSet;

pub const NAME_SERVERS: [&str; 4] =
    ["ns-101.awsdns-12.com", "ns-702.awsdns-23.net", "ns-1303.awsdns-34.org", "ns-1904.awsdns-45.co.uk"];

#[derive(Clone, Debug)]
pub struct Change {
    pub zone: String,
    pub submitted_ms: u64,
    pub comment: Option<String>,
    pub in_sync: bool,
    /// The zone as it is once this change is everywhere.
    pub snapshot: Vec<RecordSet>,
}

#[derive(Clone, Debug)]
pub struct Zone {
    pub id: String,
    /// With its trailing dot.
    pub name: String,
    /// What the API shows: changed as soon as a batch is accepted.
    pub records: Vec<RecordSet>,
    /// What the name servers answer from: changed when a batch is INSYNC.
    pub published: Vec<RecordSet>,
    pub busy_until_ms: u64,
    pub last_insync_ms: u64,
}

#[derive(Debug, Default)]
pub struct Route53 {
    pub zones: BTreeMap<String, Zone>,
    pub changes: BTreeMap<String, Change>,
    pub health_checks: BTreeMap<String, HealthCheck>,
    recent: VecDeque<u64>,
}

impl Route53 {
    pub fn zone(&self, id: &str) -> Result<&Zone, ApiError> {
        self.zones.get(bare(id)).ok_or_else(|| no_zone(id))
    }
}

pub fn call(world: &mut World, call: &Call) -> Result<Node, ApiError> {
    let input = &call.input;
    match call.operation.as_str() {
        "ChangeResourceRecordSets" => batch::change(world, input),
        "GetChange" => batch::get_change(world, input),
        "ListResourceRecordSets" => list::record_sets(world, input),
        "ListHostedZones" => list::zones(world, input),
        "ListHostedZonesByName" => list::zones_by_name(world, input),
        "GetHostedZone" => list::zone(world, input),
        "CreateHealthCheck" => health::create(world, input),
        "UpdateHealthCheck" => health::update(world, input),
        "GetHealthCheck" => health::get(world, input),
        "ListHealthChecks" => health::list(world, input),
        "GetHealthCheckStatus" => health::status(world, input),
        "DeleteHealthCheck" => health::delete(world, input),
        other => Err(ApiError::unsupported(format!("route53 {other}"))),
    }
}

/// Five requests a second for the whole account, whatever they ask.
pub fn throttle(world: &mut World) -> Result<(), ApiError> {
    let limit = usize::try_from(world.settings.route53_requests_per_second).unwrap_or(usize::MAX);
    if limit == 0 {
        return Ok(());
    }
    let now_ms = world.now_ms;
    let recent = &mut world.route53.recent;
    while recent.front().is_some_and(|at| at + 1000 <= now_ms) {
        recent.pop_front();
    }
    if recent.len() >= limit {
        return Err(ApiError::bad("Throttling", "Rate exceeded"));
    }
    recent.push_back(now_ms);
    Ok(())
}

/// An id without the `/hostedzone/` or `/change/` that answers put before it.
pub fn bare(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

pub fn no_zone(id: &str) -> ApiError {
    ApiError::new(404, "NoSuchHostedZone", format!("No hosted zone found with ID: {}", bare(id)))
}
