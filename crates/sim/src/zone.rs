//! What is published: a zone whose control plane takes batches, all or nothing, and shows them later everywhere; and
//! topics that drop a repeated notice for five minutes. What the agents make of it is modelled after
//! `crates/providers/src/{route53,sns}`.

use std::collections::BTreeMap;

use mesh_core::execute::{CallResult, Job, Observation, repeat};
use mesh_core::fleet::Fleet;
use mesh_core::ids::Token;
use mesh_core::manifest::RecordSet;
use mesh_core::plan::Action;

use crate::agent::Steady;
use crate::event::{Call, Event};
use crate::plant::Bug;
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

const LOOK_MIN: Micros = 30 * MILLI;
const LOOK_MAX: Micros = 200 * MILLI;
const SYNC_MIN: Micros = SECOND;
const SYNC_MAX: Micros = 40 * SECOND;
/// A topic drops a repeat for so long.
const DEDUPLICATED: Micros = 300 * SECOND;
/// Of a thousand looks and calls, so many are turned away.
const THROTTLED: u64 = 10;

/// The fencing token of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Missing,
    /// Somebody else wrote there.
    Odd,
    One(Token),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub mark: Mark,
    pub sets: Vec<RecordSet>,
    /// From then on every name server shows it.
    pub in_sync_at: Micros,
}

#[derive(Clone, Debug, Default)]
pub struct Zone {
    pub names: BTreeMap<String, Published>,
    /// Looks that a call may refer to.
    looks: Vec<Published>,
    /// When each accepted batch is in sync.
    changes: Vec<Micros>,
    /// First arrival of each notice, by its key, and the messages that came of it.
    pub notices: BTreeMap<String, (Micros, u32)>,
}

#[derive(Clone, Debug)]
pub enum Step {
    Meddle,
    /// The second half of a batch that somebody made in two.
    Second {
        name: String,
        mark: Mark,
        sets: Vec<RecordSet>,
    },
}

impl Step {
    pub const fn code(&self) -> u64 {
        match self {
            Self::Meddle => 0,
            Self::Second { .. } => 1,
        }
    }
}

impl Zone {
    /// As the services were taken over: what the primary answers, and a token.
    pub fn of(fleet: &Fleet) -> Self {
        let records = fleet.services.values().flat_map(|service| {
            let active = service.active.clone();
            service.manifest.traffic.iter().map(move |record| (record.record.clone(), record.active[&active].clone()))
        });
        let token = Token { generation: mesh_core::ids::Generation(0), intent: mesh_core::ids::IntentSeq(0) };
        let published = |sets| Published { mark: Mark::One(token), sets, in_sync_at: 0 };
        Self { names: records.map(|(name, sets)| (name, published(sets))).collect(), ..Self::default() }
    }
}

impl World {
    pub fn observe_zone(&mut self, agent: usize, job: &Job, accepted: Option<&str>) -> (Observation, Micros) {
        if let Some(seen) = self.observe_given(agent, job) {
            return seen;
        }
        let took = self.rng.between(LOOK_MIN, LOOK_MAX);
        if self.rng.per_mille(THROTTLED) {
            return (Observation::Unreadable { reason: "throttled".to_owned() }, took);
        }
        if accepted.is_some() && self.bug(Bug::AcceptedIsDone) {
            return (Observation::Satisfied { read_back: "{}".to_owned() }, took);
        }
        let seen = match &job.action {
            Action::Route53Replace { record, sets, .. } => self.observe_record(job, record, sets, accepted),
            Action::SnsNotify { .. } => self.observe_topic(agent, job, accepted),
            other => panic!("the model has no {}", other.name()),
        };
        (seen, took)
    }

    fn observe_record(&mut self, job: &Job, record: &str, wanted: &[RecordSet], accepted: Option<&str>) -> Observation {
        let blocked = |reason: &str| Observation::Blocked { reason: reason.to_owned() };
        let pending = || Observation::Pending { note: "PENDING".to_owned() };
        if wanted.is_empty() {
            return blocked("nothing would be published");
        }
        let change = accepted.and_then(|id| id.parse::<usize>().ok()).and_then(|id| self.zone.changes.get(id));
        if change.is_some_and(|in_sync| *in_sync > self.now) && !self.bug(Bug::PendingIsDone) {
            return pending();
        }
        let seen = self.zone.names[record].clone();
        let token = match seen.mark {
            Mark::Missing if !job.retried_by_person && !self.bug(Bug::TokenForgotten) => {
                return blocked("no token guards it");
            }
            Mark::Odd => return blocked("the token is not one"),
            Mark::Missing => None,
            Mark::One(token) => Some(token),
        };
        if token.is_some_and(|token| token > job.token) {
            return Observation::Superseded { found: format!("{token:?}") };
        }
        if token.is_some_and(|token| token.generation == job.token.generation) {
            return match same(&seen.sets, wanted) {
                true if seen.in_sync_at > self.now && !self.bug(Bug::PendingIsDone) => pending(),
                true => Observation::Satisfied { read_back: "{}".to_owned() },
                false => blocked("it was changed by someone after this run had moved it"),
            };
        }
        self.zone.looks.push(seen);
        Observation::Ready { before: (self.zone.looks.len() - 1).to_string() }
    }

    fn observe_topic(&self, agent: usize, job: &Job, accepted: Option<&str>) -> Observation {
        if accepted.is_some() {
            return Observation::Satisfied { read_back: "{}".to_owned() };
        }
        let sent = self.agents[agent].published_at.get(&job.key);
        let sent_ago = sent.map(|at| self.stamp(agent).since_steady(*at));
        let wall = self.stamp(agent).unix();
        let reach = if self.bug(Bug::DoubtIsYoung) { Ok(true) } else { repeat::within_reach(job, sent_ago, wall) };
        match reach {
            Ok(_) => Observation::Ready { before: "{}".to_owned() },
            Err(reason) => Observation::Ambiguous { reason },
        }
    }

    pub fn way_to_zone(&mut self, agent: usize, job: &Job) -> (Option<Micros>, bool) {
        if self.set.given.is_some() {
            return (Some(self.provider_takes(job)), self.rng.per_mille(self.cloud.replies_lost));
        }
        if matches!(job.action, Action::SnsNotify { .. }) {
            let now = self.stamp(agent);
            self.agents[agent].published_at.entry(job.key.clone()).or_insert(now);
        }
        let took = self.rng.between(LOOK_MIN, LOOK_MAX);
        let lost = self.rng.per_mille(self.cloud.replies_lost);
        self.counts.replies_lost += u64::from(lost);
        if self.rng.per_mille(self.cloud.calls_late) {
            self.counts.calls_late += 1;
            let late = if matches!(job.action, Action::SnsNotify { .. }) { 40 } else { 90 };
            return (Some(took + self.rng.below(late * SECOND)), lost);
        }
        (Some(took), lost)
    }

    pub fn effect_outside(&mut self, call: Call) {
        if self.set.given.is_some() {
            return self.effect_given(&call);
        }
        let throttled = self.rng.per_mille(THROTTLED);
        let result = if throttled {
            CallResult::NotApplied { reason: "throttled".to_owned() }
        } else {
            match call.job.action.clone() {
                Action::Route53Replace { record, sets, .. } => self.apply_batch(&call, &record, &sets),
                Action::SnsNotify { .. } => self.publish(&call),
                other => panic!("the model has no call {}", other.name()),
            }
        };
        if !call.reply_lost {
            let back = self.rng.between(LOOK_MIN, LOOK_MAX);
            self.answer_call(&call, back, result);
        }
    }

    /// All or nothing: the token goes as it was observed, so do the sets that are surplus; then ours come.
    fn apply_batch(&mut self, call: &Call, record: &str, wanted: &[RecordSet]) -> CallResult {
        let seen = call.before.parse().ok().and_then(|look: usize| self.zone.looks.get(look).cloned());
        let Some(seen) = seen else { return CallResult::Rejected { reason: "nothing was observed".to_owned() } };
        let now = &self.zone.names[record];
        let held = |set: &RecordSet| now.sets.contains(set);
        let stale = seen.mark != now.mark
            || seen.sets.iter().filter(|set| !wanted.contains(set)).any(|set| !held(set))
            || wanted.iter().filter(|set| !seen.sets.contains(set)).any(held);
        if stale && !self.bug(Bug::LaxDelete) {
            return CallResult::NotApplied { reason: "it was not found".to_owned() };
        }
        let mark = Mark::One(call.job.token);
        let wanted = if self.bug(Bug::EmptyAnswers) { &[] } else { wanted };
        let kept = now.sets.iter().filter(|set| !seen.sets.contains(set)).cloned();
        let mut sets: Vec<RecordSet> = wanted.to_vec();
        sets.extend(kept.filter(|set| !wanted.contains(set)));
        self.judge_outside(call, record);
        let in_sync_at = self.now + self.rng.between(SYNC_MIN, SYNC_MAX);
        self.zone.changes.push(in_sync_at);
        if self.bug(Bug::BatchInTwo) {
            let name = record.to_owned();
            let pause = self.rng.between(20, 400) * MILLI;
            self.after(pause, Event::Zone(Step::Second { name, mark, sets }));
            sets = Vec::new();
        }
        self.zone.names.insert(record.to_owned(), Published { mark, sets, in_sync_at });
        self.judge_answers(record, Some(&call.job));
        CallResult::Accepted { reference: (self.zone.changes.len() - 1).to_string() }
    }

    fn publish(&mut self, call: &Call) -> CallResult {
        let (now, mut key) = (self.now, call.job.key.clone());
        if self.bug(Bug::KeyOfIntent) {
            key = format!("{key}#{}", call.job.token.intent.0);
        }
        self.judge_outside(call, &key);
        let known = self.zone.notices.entry(key.clone()).or_insert((now, 0));
        let repeated = known.1 > 0 && now - known.0 < DEDUPLICATED;
        if !repeated {
            *known = (now, known.1 + 1);
            self.judge_notice(&call.job.key);
        }
        CallResult::Accepted { reference: "message".to_owned() }
    }

    // Others.

    pub fn zone_step(&mut self, step: Step) {
        match step {
            Step::Meddle => self.meddle(),
            Step::Second { name, mark, sets } => {
                let in_sync_at = self.zone.names[&name].in_sync_at;
                self.zone.names.insert(name, Published { mark, sets, in_sync_at });
            }
        }
    }

    /// Somebody edits what is published by hand.
    fn meddle(&mut self) {
        let names: Vec<String> = self.zone.names.keys().cloned().collect();
        let name = &names[self.rng.index(names.len())];
        let kind = self.rng.below(5);
        let in_sync_at = self.now + self.rng.between(SYNC_MIN, SYNC_MAX);
        let Some(of) = self.zone.names.get_mut(name) else { return };
        match kind {
            0 => of.mark = Mark::Missing,
            1 => of.mark = Mark::Odd,
            2 => of.sets.clear(),
            3 => {
                of.sets.pop();
            }
            _ => of.sets.reverse(),
        }
        of.in_sync_at = in_sync_at;
        *self.counts.faults.entry("foreign-edit").or_default() += 1;
        self.judge_meddled(name.clone());
    }
}

pub fn same(one: &[RecordSet], other: &[RecordSet]) -> bool {
    one.len() == other.len() && one.iter().all(|set| other.contains(set))
}
