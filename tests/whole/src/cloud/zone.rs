//! What is published: a zone that takes batches all or nothing and shows them later, and a topic that drops repeats.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::execute::{CallResult, Job, Observation, repeat};
use mesh_core::ids::{Generation, IntentSeq, Token};
use mesh_core::manifest::RecordSet;
use mesh_core::time::Timestamp;
use rand::Rng;
use rand::rngs::StdRng;

use crate::planted::Planted;
use crate::service::{MOVED, RECORD, manifest};
use crate::site::{REGIONS, Site, region};

const SYNC: std::ops::Range<u64> = 100..3_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub token: Token,
    pub sets: Vec<RecordSet>,
    /// From then on every name server shows it.
    pub in_sync: Duration,
}

pub struct Zone {
    names: BTreeMap<String, Published>,
    /// What was observed, for the calls that refer to it; and when each accepted batch is in sync.
    looks: Vec<Published>,
    changes: Vec<Duration>,
    notices: BTreeSet<String>,
}

impl Default for Zone {
    /// As the service was taken over.
    fn default() -> Self {
        let sets = manifest(MOVED, false).traffic[0].active[&region(REGIONS[0])].clone();
        let token = Token { generation: Generation(0), intent: IntentSeq(0) };
        let names = BTreeMap::from([(RECORD.to_owned(), Published { token, sets, in_sync: Duration::ZERO })]);
        Self { names, looks: Vec::new(), changes: Vec::new(), notices: BTreeSet::new() }
    }
}

impl Zone {
    pub fn shown(&self) -> &BTreeMap<String, Published> {
        &self.names
    }

    pub fn observe(
        &mut self,
        job: &Job,
        record: &str,
        wanted: &[RecordSet],
        accepted: Option<&str>,
        now: Duration,
    ) -> Observation {
        let pending = || Observation::Pending { note: "PENDING".to_owned() };
        let change = accepted.and_then(|id| id.parse::<usize>().ok()).and_then(|id| self.changes.get(id));
        if change.is_some_and(|in_sync| *in_sync > now) {
            return pending();
        }
        let seen = self.names[record].clone();
        if seen.token > job.token {
            return Observation::Superseded { found: seen.token.to_string() };
        }
        if seen.token.generation == job.token.generation {
            return match same(&seen.sets, wanted) {
                true if seen.in_sync > now => pending(),
                true => Observation::Satisfied { read_back: "{}".to_owned() },
                false => Observation::Blocked { reason: "it was changed by someone".to_owned() },
            };
        }
        self.looks.push(seen);
        Observation::Ready { before: (self.looks.len() - 1).to_string() }
    }

    /// The token goes as it was observed, so do the sets; then ours come.
    #[allow(clippy::too_many_arguments)]
    pub fn replace(
        &mut self,
        job: &Job,
        record: &str,
        wanted: &[RecordSet],
        before: &str,
        now: Duration,
        rng: &mut StdRng,
        site: &Site,
    ) -> CallResult {
        let seen = before.parse().ok().and_then(|look: usize| self.looks.get(look));
        let Some(seen) = seen else { return CallResult::Rejected { reason: "nothing was observed".to_owned() } };
        let published = self.names.get_mut(record).expect("it was observed");
        if (seen.token, &seen.sets) != (published.token, &published.sets) {
            return CallResult::NotApplied { reason: "it was not found".to_owned() };
        }
        if site.planted == Planted::BatchInTwo {
            published.sets.clear();
            site.judge().answers(now, record, &[], job);
        }
        let in_sync = now + Duration::from_millis(rng.random_range(SYNC));
        *published = Published { token: job.token, sets: wanted.to_vec(), in_sync };
        let mut judge = site.judge();
        judge.effect(now, job);
        judge.happens(now, job, "a batch was applied");
        judge.answers(now, record, &published.sets, job);
        self.changes.push(in_sync);
        CallResult::Accepted { reference: (self.changes.len() - 1).to_string() }
    }

    pub fn observe_notice(&self, job: &Job, accepted: Option<&str>, wall: Timestamp) -> Observation {
        if accepted.is_some() {
            return Observation::Satisfied { read_back: "{}".to_owned() };
        }
        match repeat::within_reach(job, None, wall) {
            Ok(_) => Observation::Ready { before: "{}".to_owned() },
            Err(reason) => Observation::Ambiguous { reason },
        }
    }

    pub fn notify(&mut self, job: &Job, now: Duration, site: &Site) -> CallResult {
        let mut judge = site.judge();
        judge.effect(now, job);
        if self.notices.insert(job.key.clone()) {
            judge.happens(now, job, "a notice was delivered");
        }
        CallResult::Accepted { reference: "message".to_owned() }
    }
}

fn same(one: &[RecordSet], other: &[RecordSet]) -> bool {
    one.len() == other.len() && one.iter().all(|set| other.contains(set))
}
