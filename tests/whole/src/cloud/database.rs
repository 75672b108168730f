//! A PostgreSQL server in each region that has a workload, and on the writers' way to it a proxy that asks its own region's
//! agents.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::RegionId;
use mesh_core::plan::Action;
use rand::Rng;
use rand::rngs::StdRng;

use crate::site::{REGIONS, Right, Site, region};

/// The manifest's `reaction`: after the last yes so long at most.
const REACTION: Duration = Duration::from_millis(900);
/// The replica is behind the primary by this.
const LAG: Duration = Duration::from_millis(40);
const PROMOTION: std::ops::Range<u64> = 200..2_500;

#[derive(Clone, Debug)]
pub struct Server {
    pub primary: bool,
    pub fenced: bool,
    pub timeline: u64,
    promoted_at: Option<Duration>,
    /// How far it has what was written.
    written: Duration,
    /// When its proxy last heard yes.
    allowed: Option<Duration>,
    pub proxy_open: bool,
}

/// What the judges see of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub primary: bool,
    pub fenced: bool,
    pub timeline: u64,
    pub writes: bool,
    pub proxy_open: bool,
}

pub struct Databases(BTreeMap<RegionId, Server>);

impl Default for Databases {
    fn default() -> Self {
        let server = |primary| Server {
            primary,
            fenced: false,
            timeline: 1,
            promoted_at: None,
            written: Duration::ZERO,
            allowed: None,
            proxy_open: false,
        };
        Self(BTreeMap::from([(region(REGIONS[0]), server(true)), (region(REGIONS[1]), server(false))]))
    }
}

impl Server {
    fn writes(&self) -> bool {
        self.primary && !self.fenced && self.proxy_open
    }
}

/// Of which region it is: `pg.us-east-1.example.com`.
fn region_of(host: &str) -> RegionId {
    region(host.split('.').nth(1).expect("the manifest names them so"))
}

impl Databases {
    pub fn writing(&self, down: &BTreeSet<RegionId>) -> Vec<&RegionId> {
        let writing = self.0.iter().filter(|(region, server)| server.writes() && !down.contains(*region));
        writing.map(|(region, _)| region).collect()
    }

    pub fn shown(&self, down: &BTreeSet<RegionId>) -> BTreeMap<RegionId, Shown> {
        let shown = |(region, server): (&RegionId, &Server)| {
            let Server { primary, fenced, timeline, proxy_open, .. } = *server;
            let writes = server.writes() && !down.contains(region);
            (region.clone(), Shown { primary, fenced, timeline, writes, proxy_open })
        };
        self.0.iter().map(shown).collect()
    }

    /// Proxies ask, what is written goes to the replicas, promotions end.
    pub fn go_on(&mut self, now: Duration, rights: &[Right], site: &Site) {
        let newest = self.0.values().map(|server| server.timeline).max().unwrap_or_default();
        for (region, server) in &mut self.0 {
            if rights.iter().any(|(_, place, _)| place == region) {
                server.allowed = Some(now);
            }
            server.proxy_open = server.allowed.is_some_and(|at| now < at + REACTION);
            if server.promoted_at.is_some_and(|at| at <= now) {
                (server.promoted_at, server.primary, server.fenced) = (None, true, false);
                server.timeline = newest + 1;
                site.judge().promoted(now, region, server.timeline);
            }
            if server.writes() {
                server.written = now;
            }
        }
        let source = self.0.values().filter(|server| server.primary).max_by_key(|server| server.timeline);
        let Some((written, timeline)) = source.map(|source| (source.written, source.timeline)) else { return };
        let behind = written.min(now.saturating_sub(LAG));
        for server in self.0.values_mut().filter(|server| !server.primary && server.timeline <= timeline) {
            server.written = server.written.max(behind);
        }
    }

    /// While it streams.
    pub fn lag(&self, host: &str, now: Duration) -> Option<Duration> {
        let server = &self.0[&region_of(host)];
        (!server.primary).then(|| now.saturating_sub(server.written).min(LAG))
    }

    pub fn observe(&self, job: &Job) -> Observation {
        let server = &self.0[&job.region];
        let satisfied = |read_back: String| Observation::Satisfied { read_back };
        let ready = || Observation::Ready { before: "{}".to_owned() };
        let timeline = || format!("{{\"timeline\":{}}}", server.timeline);
        match &job.action {
            Action::PostgresCheckReplica { promoted_ok, .. } if server.primary && !promoted_ok => {
                Observation::Blocked { reason: "it is a primary".to_owned() }
            }
            Action::PostgresCheckReplica { .. } => satisfied(timeline()),
            Action::PostgresFence { .. } if server.fenced => {
                satisfied(format!("{{\"written\":{}}}", server.written.as_millis()))
            }
            Action::PostgresFence { .. } => ready(),
            Action::PostgresUnfence { .. } if !server.fenced => satisfied("{}".to_owned()),
            Action::PostgresUnfence { .. } => ready(),
            Action::PostgresAwaitCaughtUp { .. } => {
                let last = self.0.values().filter(|other| other.primary).map(|other| other.written).max();
                match last.is_none_or(|last| server.written >= last) {
                    true => satisfied("{}".to_owned()),
                    false => Observation::Pending { note: "behind".to_owned() },
                }
            }
            Action::PostgresRejoin { source, .. } => {
                let of = &self.0[&region_of(&source.host)];
                if !of.primary || of.timeline < server.timeline {
                    return Observation::Blocked { reason: "the source is no primary, or an older one".to_owned() };
                }
                match !server.primary && server.timeline == of.timeline {
                    true => satisfied("{}".to_owned()),
                    false => ready(),
                }
            }
            Action::PostgresPromote { .. } if server.primary => satisfied(timeline()),
            Action::PostgresPromote { .. } if server.promoted_at.is_some() => {
                Observation::Pending { note: "promoting".to_owned() }
            }
            Action::PostgresPromote { .. } => ready(),
            other => panic!("the model has no {}", other.name()),
        }
    }

    pub fn apply(&mut self, job: &Job, now: Duration, rng: &mut StdRng, site: &Site) -> CallResult {
        site.judge().effect(now, job);
        let source = match &job.action {
            Action::PostgresRejoin { source, .. } => {
                let source = &self.0[&region_of(&source.host)];
                Some((source.timeline, source.written))
            }
            _ => None,
        };
        let server = self.0.get_mut(&job.region).expect("it has a server");
        match (&job.action, source) {
            (Action::PostgresFence { .. }, _) => server.fenced = true,
            (Action::PostgresUnfence { .. }, _) => server.fenced = false,
            (Action::PostgresPromote { .. }, _) if !server.primary && server.promoted_at.is_none() => {
                server.promoted_at = Some(now + Duration::from_millis(rng.random_range(PROMOTION)));
                site.judge().happens(now, job, "a promotion began");
            }
            (Action::PostgresPromote { .. }, _) => {
                return CallResult::Rejected { reason: "it is not in recovery".to_owned() };
            }
            (Action::PostgresRejoin { .. }, Some((timeline, written))) => {
                (server.primary, server.fenced) = (false, false);
                (server.timeline, server.written) = (timeline, written);
            }
            (other, _) => panic!("the model has no call {}", other.name()),
        }
        CallResult::Accepted { reference: String::new() }
    }
}
