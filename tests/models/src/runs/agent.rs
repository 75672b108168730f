//! An agent's process and what it has on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::execute::{Job, Progress};
use mesh_core::ids::{AgentId, Generation, IntentSeq, RegionId};
use mesh_core::run::Outcome;

/// Without the leader's word for so long no call may start.
pub const PERMIT_FOR: u64 = 5_000;

/// An intent as the journal has it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub job: Job,
    pub progress: Progress,
    pub outcome: Option<Outcome>,
    /// When the first call was sent that may have been applied.
    pub doubtful_since: Option<u64>,
}

/// The task of one intent.
#[derive(Clone, Debug)]
pub struct Work {
    pub started: u64,
    pub last_call: Option<u64>,
    pub due: u64,
    /// A call is out whose answer has not come: it is unknown at this time.
    pub unanswered: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Agent {
    pub id: AgentId,
    pub region: RegionId,
    /// The process is not there before.
    pub up_at: u64,
    /// It stands still until then, with all that it has in memory.
    pub wakes_at: u64,
    pub connected_at: u64,
    pub heard: Option<u64>,
    pub offered: BTreeSet<IntentSeq>,
    pub works: BTreeMap<IntentSeq, Work>,
    pub journal: BTreeMap<IntentSeq, Entry>,
    pub settled: BTreeSet<IntentSeq>,
    pub floor: Generation,
}

impl Agent {
    pub fn new(id: AgentId, region: RegionId) -> Self {
        Self {
            id,
            region,
            up_at: 0,
            wakes_at: 0,
            connected_at: 0,
            heard: None,
            offered: BTreeSet::new(),
            works: BTreeMap::new(),
            journal: BTreeMap::new(),
            settled: BTreeSet::new(),
            floor: Generation::default(),
        }
    }

    pub fn runs(&self, now: u64) -> bool {
        now >= self.up_at && now >= self.wakes_at
    }

    pub fn is_connected(&self, now: u64) -> bool {
        self.runs(now) && now >= self.connected_at
    }

    pub fn crash(&mut self, up_at: u64) {
        self.up_at = up_at;
        self.connected_at = up_at + 100;
        self.works.clear();
        self.lose_session();
        for (seq, entry) in self.journal.iter().filter(|(_, entry)| entry.outcome.is_none()) {
            let called = entry.progress.calls > 0;
            let work = Work { started: up_at, last_call: called.then_some(up_at), due: up_at, unanswered: None };
            self.works.insert(*seq, work);
        }
    }

    pub fn lose_session(&mut self) {
        self.heard = None;
        self.offered.clear();
    }

    pub fn accept(&mut self, job: Job, now: u64) {
        let seq = job.token.intent;
        self.offered.insert(seq);
        if self.settled.contains(&seq) || self.journal.contains_key(&seq) {
            return;
        }
        self.floor = self.floor.max(job.token.generation);
        self.journal.insert(seq, Entry { job, progress: Progress::default(), outcome: None, doubtful_since: None });
        self.works.insert(seq, Work { started: now, last_call: None, due: now + 1, unanswered: None });
    }

    pub fn permits(&self, seq: IntentSeq, now: u64) -> bool {
        let fresh = self.heard.is_some_and(|at| now.saturating_sub(at) < PERMIT_FOR);
        let generation = self.journal.get(&seq).map(|entry| entry.job.token.generation);
        let older_is_out = self.works.iter().any(|(other, work)| {
            let older = self.journal.get(other).is_some_and(|entry| Some(entry.job.token.generation) < generation);
            work.unanswered.is_some() && older
        });
        fresh && !older_is_out && self.offered.contains(&seq)
    }

    pub fn is_stale(&self, job: &Job) -> bool {
        let replaced = |entry: &Entry| entry.job.key == job.key && entry.job.token > job.token;
        self.floor > job.token.generation || self.journal.values().any(replaced)
    }

    pub fn progress(&self, seq: IntentSeq, now: u64) -> Option<Progress> {
        let (entry, work) = (self.journal.get(&seq)?, self.works.get(&seq)?);
        let since = |at: u64| Duration::from_millis(now.saturating_sub(at));
        Some(Progress {
            since_call: work.last_call.map(since).unwrap_or_default(),
            elapsed: since(work.started),
            ..entry.progress.clone()
        })
    }
}
