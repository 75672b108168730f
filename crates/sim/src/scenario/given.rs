//! A user's manifest as it is simulated, and what of it is not.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::lease::Fence;
use mesh_core::manifest::{self, AutomaticMode, Check, Manifest, Predicate, Probe, RegionRole, ResourceKind, Vantage};

use super::assumed::{Assumed, Range};
use crate::setting::Setting;
use crate::{Micros, SECOND};

/// Coordinators are a Raft group of three or five.
const REGIONS_MIN: usize = 3;
const REGIONS_MAX: usize = 5;
/// As `agent/src/prober/watched.rs` asks.
const LAG_EVERY: Micros = 5 * SECOND;
const REPLAY_LAG_EVERY: Micros = SECOND;
/// Before a fault begins: sessions, leases, first answers.
const SETTLED: Micros = 20 * SECOND;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// What is left of it to be simulated.
    pub manifest: Manifest,
    /// The primary first, then the standbys, then a witness.
    pub regions: Vec<RegionId>,
    pub workloads: usize,
    /// The check that is asked.
    pub check: String,
    pub timeout: Micros,
    /// The resource whose lag is measured.
    pub database: String,
    pub is_rds: bool,
    pub lag_every: Micros,
    pub assumed: Assumed,
    pub not_simulated: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(pub String);

impl Given {
    /// # Errors
    /// Why it cannot be simulated at all.
    pub fn new(manifest: Manifest, mode: Option<AutomaticMode>, assumed: Assumed) -> Result<Self, Unfit> {
        let mut manifest = manifest;
        manifest.policy.automatic = mode.unwrap_or(manifest.policy.automatic);
        let (regions, workloads) = regions(&manifest, &assumed)?;
        let mut not_simulated = Vec::new();
        let asked = keep_one_check(&mut manifest, &mut not_simulated);
        let (database, is_rds) = keep_one_database(&manifest, &mut not_simulated);
        leave_out(&mut manifest, &mut not_simulated);
        if let Some(problem) = manifest::check::check(&manifest).first() {
            return Err(Unfit(format!("{}: {}", problem.path, problem.message)));
        }
        let timeout = asked.as_ref().map_or(SECOND, |check| micros(check.timeout));
        Ok(Self {
            check: asked.map_or_else(|| "none".to_owned(), |check| check.name),
            timeout,
            database,
            is_rds,
            lag_every: if is_rds { LAG_EVERY } else { REPLAY_LAG_EVERY },
            manifest,
            regions,
            workloads,
            assumed,
            not_simulated,
        })
    }

    /// `lag` and `calendar` are drawn for each run.
    pub fn setting(self: &Arc<Self>, lag: Micros, calendar: Micros) -> Setting {
        let policy = &self.manifest.policy;
        let check = self.manifest.checks.first();
        let fence = &self.manifest.fence;
        Setting {
            regions: self.regions.len(),
            workloads: self.workloads,
            far: self.assumed.range("round-trip").from / 2,
            interval_s: check.map_or(1, |check| whole_seconds(check.interval)),
            fail_after: check.map_or(1, |check| check.fail_after),
            pass_after: check.map_or(1, |check| check.pass_after),
            sustained_s: policy.sustained.as_secs(),
            cool_down_s: policy.cool_down.as_secs(),
            lease_s: whole_seconds(fence.length),
            reaction_s: fence.dead_man().map_or(1, whole_seconds),
            rpo_s: None,
            fsync: self.assumed.range("disk-sync").from,
            given: Some(Arc::clone(self)),
            lag,
            calendar,
            ..Setting::default()
        }
    }

    pub fn service(&self) -> &ServiceId {
        &self.manifest.service
    }

    /// The mesh has run for so long when the fault begins.
    pub fn settled(&self) -> Micros {
        let check = self.manifest.checks.first();
        let turns = check.map_or(0, |check| micros(check.interval) * u64::from(check.pass_after + 2));
        SETTLED.max(turns + 5 * SECOND)
    }

    /// When what can be decided by waiting is decided.
    pub fn patience(&self) -> Micros {
        let check = self.manifest.checks.first();
        let seen = check.map_or(0, |check| micros(check.interval + check.timeout) * u64::from(check.fail_after + 2));
        2 * micros(self.manifest.policy.sustained) + seen + 30 * SECOND
    }

    /// A write cannot be at a replica before it has gone the way.
    pub fn lag(&self) -> Range {
        self.assumed.range("replication-lag")
    }
}

pub fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX).max(1)
}

fn regions(manifest: &Manifest, assumed: &Assumed) -> Result<(Vec<RegionId>, usize), Unfit> {
    let of = |role| manifest.regions.iter().filter(move |(_, is)| **is == role).map(|(region, _)| region.clone());
    let mut regions: Vec<RegionId> = of(RegionRole::Primary).chain(of(RegionRole::Standby)).collect();
    let workloads = regions.len();
    if workloads < 2 {
        return Err(Unfit("the manifest has one region: there is nowhere to go".to_owned()));
    }
    if regions.len() > REGIONS_MAX {
        return Err(Unfit(format!("{workloads} regions: {REGIONS_MAX} are simulated at most")));
    }
    if regions.len() < REGIONS_MIN || regions.len().is_multiple_of(2) {
        let witness = RegionId::new(&*assumed.witness).map_err(|error| Unfit(format!("the witness: {error}")))?;
        if regions.contains(&witness) {
            return Err(Unfit(format!("{witness} has a workload and cannot be the witness")));
        }
        regions.push(witness);
    }
    Ok((regions, workloads))
}

/// The one that decides when everything in a region fails: the quickest critical one, or, where none is critical and it
/// takes all, the slowest.
fn keep_one_check(manifest: &mut Manifest, not: &mut Vec<String>) -> Option<Check> {
    let checks = std::mem::take(&mut manifest.checks);
    let counts = |check: &&Check| {
        !check.observe_only && !check.probe.is_requester_side() && check.from != Vantage::Own && is_of_service(check)
    };
    let quickness = |check: &&Check| check.interval * check.fail_after + check.timeout;
    let critical = checks.iter().filter(counts).filter(|check| check.critical).min_by_key(quickness);
    let decides = critical.or_else(|| checks.iter().filter(counts).max_by_key(quickness)).cloned();
    for check in checks.iter().filter(|check| decides.as_ref().is_none_or(|it| it.name != check.name)) {
        let why = match &decides {
            Some(_) if check.probe.is_requester_side() => "it tells of requests, and none are simulated".to_owned(),
            Some(_) if check.observe_only => "it counts for nothing".to_owned(),
            Some(decides) => format!("{} decides when the region's workload fails as a whole", decides.name),
            None => "it cannot make a region down".to_owned(),
        };
        not.push(format!("check {}: {why}", check.name));
    }
    if let Some(check) = &decides
        && check.interval.subsec_nanos() > 0
    {
        not.push(format!("check {}: its interval of {:?} counts as whole seconds", check.name, check.interval));
    }
    let mut decides = decides?;
    decides.critical = true;
    manifest.checks = vec![decides.clone()];
    Some(decides)
}

/// Asks the workload itself.
const fn is_of_service(check: &Check) -> bool {
    match check.probe {
        Probe::Http { .. } | Probe::Tcp { .. } | Probe::Grpc { .. } | Probe::Postgresql { .. } => true,
        Probe::Dns { .. }
        | Probe::AwsStatus { .. }
        | Probe::Cloudwatch { .. }
        | Probe::Alarm { .. }
        | Probe::Prometheus { .. } => false,
    }
}

/// Each region has one database in the model.
fn keep_one_database(manifest: &Manifest, not: &mut Vec<String>) -> (String, bool) {
    let of = |kind: &ResourceKind| match kind {
        ResourceKind::Rds { .. } => Some(true),
        ResourceKind::Postgresql { .. } => Some(false),
        ResourceKind::DynamodbGlobalTable { .. }
        | ResourceKind::Eks { .. }
        | ResourceKind::Ecs { .. }
        | ResourceKind::Msk { .. } => None,
    };
    let databases = manifest.resources.iter().filter_map(|one| Some((one.name.clone(), of(&one.kind)?)));
    let mut databases: Vec<(String, bool)> = databases.collect();
    if databases.len() > 1 {
        let names: Vec<&str> = databases.iter().map(|(name, _)| name.as_str()).collect();
        not.push(format!("that {} are several: they fail, lag and are promoted as one", names.join(", ")));
    }
    databases.pop().unwrap_or_else(|| ("none".to_owned(), false))
}

/// What would block for ever because nothing here can tell it.
fn leave_out(manifest: &mut Manifest, not: &mut Vec<String>) {
    if !manifest.depends_on.is_empty() {
        let names: Vec<String> = std::mem::take(&mut manifest.depends_on).iter().map(ToString::to_string).collect();
        not.push(format!("depends-on {}: nothing else moves", names.join(", ")));
    }
    manifest.safety.retain(|rule| match &rule.rule {
        Predicate::ItemsEqual { .. } => {
            not.push(format!("safety rule {}: {} counts as holding", rule.name, rule.rule));
            false
        }
        Predicate::RegionsOn { .. } | Predicate::After { .. } | Predicate::Lag { .. } => true,
    });
    for resource in &manifest.resources {
        match &resource.kind {
            ResourceKind::DynamodbGlobalTable { .. } => {
                not.push(format!("{}: the table's own replication counts as fresh", resource.name));
            }
            ResourceKind::Msk { .. } => not.push(format!("{}: it counts as active", resource.name)),
            ResourceKind::Rds { .. }
            | ResourceKind::Eks { .. }
            | ResourceKind::Ecs { .. }
            | ResourceKind::Postgresql { .. } => {}
        }
    }
    if manifest.fence.fences.iter().any(|fence| matches!(fence, Fence::Watchdog { .. })) {
        not.push("fence watchdog: it is simulated as a proxy that asks the lease endpoint".to_owned());
    }
}
