//! What the journal's records add up to: the floor of each service and the intents that are not forgotten yet.

use std::collections::btree_map::Entry::Vacant;
use std::collections::{BTreeMap, BTreeSet};

use mesh_core::execute::{CallResult, Job, Progress};
use mesh_core::ids::{Generation, IntentSeq, ServiceId};
use mesh_core::lease;
use mesh_core::lease::holder::Promise;
use mesh_core::run::Outcome;
use mesh_core::time::Timestamp;

use super::record::{Event, IntentId, Record};

/// Acknowledged intents that are remembered for each service, so that an offer that comes late is not run again. A
/// leader offers only open intents, and a run has at most a few open at once.
pub const ACKNOWLEDGED_KEPT: usize = 64;

/// One intent that this agent has taken and whose outcome is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub job: Job,
    pub accepted_at: Timestamp,
    /// Without the ages: those are for who knows the time.
    pub progress: Progress,
    /// When the last call started or ended.
    pub last_call_at: Option<Timestamp>,
    /// When a call started of which it is not certain that it was not applied: what the provider is told.
    pub doubtful_since: Option<Timestamp>,
    /// When the first call was accepted.
    pub provider_since: Option<Timestamp>,
    pub outcome: Option<Outcome>,
    /// The records that made this entry: at most two a call, and calls are bounded by the step's attempts.
    told: Vec<Record>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    floors: BTreeMap<ServiceId, Generation>,
    promises: BTreeMap<ServiceId, Promise>,
    entries: BTreeMap<IntentId, Entry>,
    acknowledged: BTreeMap<ServiceId, BTreeSet<IntentSeq>>,
}

impl Entry {
    fn new(job: Job, at: Timestamp) -> Self {
        Self {
            job,
            accepted_at: at,
            progress: Progress::default(),
            last_call_at: None,
            doubtful_since: None,
            provider_since: None,
            outcome: None,
            told: Vec::new(),
        }
    }

    fn apply(&mut self, record: Record) {
        match &record.event {
            Event::CallStarted { before, .. } => self.record_call_started(record.at, before),
            Event::CallEnded { result, .. } => self.record_call_ended(record.at, result),
            Event::Outcome { outcome, .. } => self.outcome = Some(outcome.clone()),
            Event::Accepted(_) | Event::Acknowledged { .. } | Event::Floor { .. } | Event::Promised { .. } => {}
        }
        self.told.push(record);
    }

    fn record_call_started(&mut self, at: Timestamp, before: &str) {
        self.progress.record_call_started(before);
        self.last_call_at = Some(at);
        // Until the end is recorded it may have been applied.
        self.doubtful_since.get_or_insert(at);
    }

    fn record_call_ended(&mut self, at: Timestamp, result: &CallResult) {
        if matches!(result, CallResult::Accepted { .. }) {
            self.provider_since.get_or_insert(at);
        }
        self.progress.record_call_ended(result.clone());
        self.last_call_at = Some(at);
        if !self.progress.in_doubt {
            self.doubtful_since = None;
        }
    }
}

impl Book {
    /// Nothing older than this is carried out for the service.
    pub fn floor(&self, service: &ServiceId) -> Generation {
        self.floors.get(service).copied().unwrap_or_default()
    }

    /// What has to survive a restart of the right to write: floor, promise, and a call that lets somebody write.
    pub fn lease_record(&self, service: &ServiceId) -> lease::Record {
        let writes = |entry: &&Entry| {
            let undecided = entry.outcome.is_none() && entry.progress.calls > 0;
            entry.job.service == *service && entry.job.action.lets_write() && undecided
        };
        lease::Record {
            floor: self.floor(service),
            promise: self.promises.get(service).cloned(),
            open_call: self.entries.values().filter(writes).map(|entry| entry.job.token.generation).max(),
        }
    }

    /// The services of which there is a floor.
    pub fn services(&self) -> impl Iterator<Item = &ServiceId> {
        self.floors.keys()
    }

    pub fn entry(&self, intent: &IntentId) -> Option<&Entry> {
        self.entries.get(intent)
    }

    pub fn entries(&self) -> impl Iterator<Item = (&IntentId, &Entry)> {
        self.entries.iter()
    }

    /// Was this intent finished and forgotten, as far as is remembered? One older than all that are remembered was.
    pub fn is_settled(&self, intent: &IntentId) -> bool {
        self.acknowledged.get(&intent.service).is_some_and(|seqs| {
            let forgotten = seqs.len() >= ACKNOWLEDGED_KEPT && seqs.first().is_some_and(|first| intent.seq < *first);
            forgotten || seqs.contains(&intent.seq)
        })
    }

    /// A newer intent at the same effect was taken.
    pub fn is_replaced(&self, job: &Job) -> bool {
        self.entries.values().any(|entry| entry.job.key == job.key && entry.job.token > job.token)
    }

    /// Records about an intent that is not in the book (acknowledged already) change nothing.
    pub fn apply(&mut self, record: Record) {
        match &record.event {
            Event::Accepted(job) => {
                self.raise_floor(&job.service, job.token.generation);
                if let Vacant(place) = self.entries.entry(IntentId::from(&**job)) {
                    let mut entry = Entry::new((**job).clone(), record.at);
                    entry.apply(record);
                    place.insert(entry);
                }
            }
            Event::CallStarted { intent, .. } | Event::CallEnded { intent, .. } | Event::Outcome { intent, .. } => {
                if let Some(entry) = self.entries.get_mut(intent) {
                    entry.apply(record);
                }
            }
            Event::Acknowledged { intent } => {
                self.entries.remove(intent);
                let seqs = self.acknowledged.entry(intent.service.clone()).or_default();
                seqs.insert(intent.seq);
                while seqs.len() > ACKNOWLEDGED_KEPT {
                    seqs.pop_first();
                }
            }
            Event::Floor { service, generation } => self.raise_floor(service, *generation),
            Event::Promised { service, promise } => {
                self.raise_floor(service, promise.generation);
                self.promises.insert(service.clone(), promise.clone());
            }
        }
    }

    fn raise_floor(&mut self, service: &ServiceId, generation: Generation) {
        let floor = self.floors.entry(service.clone()).or_default();
        *floor = generation.max(*floor);
    }

    /// The fewest records that make an equal book: what compaction writes.
    pub fn records(&self, now: Timestamp) -> Vec<Record> {
        let floors = self.floors.iter().map(|(service, generation)| Record {
            at: now,
            event: Event::Floor { service: service.clone(), generation: *generation },
        });
        let promises = self.promises.iter().map(|(service, promise)| Record {
            at: now,
            event: Event::Promised { service: service.clone(), promise: promise.clone() },
        });
        let acknowledged = self.acknowledged.iter().flat_map(|(service, seqs)| {
            seqs.iter().map(move |seq| Record {
                at: now,
                event: Event::Acknowledged { intent: IntentId { service: service.clone(), seq: *seq } },
            })
        });
        let entries = self.entries.values().flat_map(|entry| entry.told.iter().cloned());
        floors.chain(promises).chain(acknowledged).chain(entries).collect()
    }
}
