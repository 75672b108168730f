//! What a watched service makes an agent ask.

use std::time::Duration;

use mesh_core::ids::RegionId;
use mesh_core::manifest::safety::Predicate;
use mesh_core::manifest::{Check, Manifest, PostgresInstance, Resource, ResourceKind};
use mesh_proto::v1;
use mesh_providers::{Count, probe};

use super::board::Subject;

/// How often replication lag is looked at.
const LAG_EVERY: Duration = Duration::from_secs(5);
/// A replica of PostgreSQL is asked itself, and tells the present: the age of the last answer counts as loss.
const REPLAY_LAG_EVERY: Duration = Duration::from_secs(1);
const LAG_TIMEOUT: Duration = Duration::from_secs(5);
/// A count is repeated so often at most; a long one makes longer pauses.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// The largest table that is counted takes two sides of 16 s, at two pages a second.
const COUNT_TIMEOUT: Duration = Duration::from_secs(50);
/// Whatever a manifest says, nothing is asked more often than this.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub manifest: Manifest,
    pub active: RegionId,
}

/// One thing to ask again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub ask: Ask,
    pub interval: Duration,
    pub timeout: Duration,
    pub fail_after: u32,
    pub pass_after: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Health(Box<probe::Question>),
    Lag {
        instance: String,
    },
    /// From the asking agent's region to the one that it is about.
    TableLag {
        table: String,
    },
    PostgresqlLag {
        instance: Box<PostgresInstance>,
        /// Asked too: a replica may not know that it hears nothing any more.
        primary: Option<Box<PostgresInstance>>,
    },
    /// For a safety rule that wants as many items here as in the active region.
    Items {
        count: Count,
        from: RegionId,
    },
}

impl TryFrom<v1::WatchedService> for Watched {
    type Error = String;

    fn try_from(service: v1::WatchedService) -> Result<Self, String> {
        let manifest = service.manifest.ok_or("it has no manifest")?;
        let manifest = Manifest::try_from(manifest).map_err(|error| error.to_string())?;
        Ok(Self { manifest, active: RegionId::new(service.active).map_err(|error| error.to_string())? })
    }
}

impl Watched {
    /// Every check of every region, the lag of `here`'s own replicas, and, where `here` is active, how far the other
    /// replicas of its tables are behind: only the sending side publishes that.
    pub fn questions(&self, here: &RegionId) -> Vec<(Subject, Question)> {
        let checks = self.manifest.checks.iter().flat_map(|check| self.about_each_region(check, here));
        let databases = self.manifest.databases().filter(|_| self.active != *here);
        let lags = databases.filter_map(|(name, instances, _)| {
            let ask = Ask::Lag { instance: instances.get(here)?.instance.clone() };
            Some((self.subject(here, name), lag_question(ask, LAG_EVERY)))
        });
        let servers = self.manifest.postgres().filter(|_| self.active != *here);
        let replays = servers.filter_map(|(name, instances)| {
            let primary = instances.get(&self.active).cloned().map(Box::new);
            let ask = Ask::PostgresqlLag { instance: Box::new(instances.get(here)?.clone()), primary };
            Some((self.subject(here, name), lag_question(ask, REPLAY_LAG_EVERY)))
        });
        checks.chain(lags).chain(replays).chain(self.table_lags(here)).chain(self.counts(here)).collect()
    }

    /// What safety rules want counted, if a service may come here.
    fn counts(&self, here: &RegionId) -> Vec<(Subject, Question)> {
        let rules =
            self.manifest.safety.iter().filter(|_| self.active != *here && self.manifest.regions.contains_key(here));
        rules
            .filter_map(|rule| Some((self.subject(here, &rule.rule.counted()?), self.count(&rule.rule, here)?)))
            .collect()
    }

    fn count(&self, rule: &Predicate, here: &RegionId) -> Option<Question> {
        let Predicate::ItemsEqual { resource, table } = rule else { return None };
        let kind = &self.manifest.resources.iter().find(|known| known.name == *resource)?.kind;
        let count = match (kind, table) {
            (ResourceKind::DynamodbGlobalTable { table, regions }, None) if regions.contains(here) => {
                Count::Table { table: table.clone(), from: self.active.clone() }
            }
            (ResourceKind::Postgresql { instances }, Some(table)) => Count::Rows {
                table: table.clone(),
                there: Box::new(instances.get(&self.active)?.clone()),
                here: Box::new(instances.get(here)?.clone()),
            },
            _ => return None,
        };
        let ask = Ask::Items { count, from: self.active.clone() };
        Some(Question { ask, interval: COUNT_EVERY, timeout: COUNT_TIMEOUT, fail_after: 1, pass_after: 1 })
    }

    fn table_lags(&self, here: &RegionId) -> Vec<(Subject, Question)> {
        let mut lags = Vec::new();
        for Resource { name, kind } in self.manifest.resources.iter().filter(|_| self.active == *here) {
            let ResourceKind::DynamodbGlobalTable { table, regions } = kind else { continue };
            for receiving in regions.iter().filter(|region| *region != here) {
                let ask = Ask::TableLag { table: table.clone() };
                lags.push((self.subject(receiving, name), lag_question(ask, LAG_EVERY)));
            }
        }
        lags
    }

    fn about_each_region(&self, check: &Check, here: &RegionId) -> Vec<(Subject, Question)> {
        let asked = check.regions(&self.manifest).into_iter().filter(|region| check.is_asked_from(here, region));
        let asks = asked.filter_map(|region| {
            let question = probe::Question::of(check, &self.manifest, region, &self.active)?;
            Some((region, Ask::Health(Box::new(question))))
        });
        let question = |ask| Question {
            ask,
            interval: check.interval.max(INTERVAL_MIN),
            timeout: check.timeout,
            fail_after: check.fail_after,
            pass_after: check.pass_after,
        };
        asks.map(|(region, ask)| (self.subject(region, &check.name), question(ask))).collect()
    }

    fn subject(&self, region: &RegionId, name: &str) -> Subject {
        Subject { service: self.manifest.service.clone(), region: region.clone(), name: name.to_owned() }
    }
}

fn lag_question(ask: Ask, interval: Duration) -> Question {
    Question { ask, interval, timeout: LAG_TIMEOUT, fail_after: 1, pass_after: 1 }
}
