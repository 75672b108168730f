//! May a mutating call start now? As `agent/src/gate.rs` says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::execute::Job;
use mesh_core::ids::{Generation, IntentSeq, RunId, ServiceId};
use mesh_core::lease::Stamp;

pub const PERMIT_FOR: Duration = Duration::from_secs(5);
const PINGS_MAX: usize = 16;

#[derive(Default)]
pub struct Gate {
    heard: Option<Stamp>,
    pings: BTreeMap<u64, Stamp>,
    last_nonce: u64,
    paused: BTreeSet<RunId>,
    offered: BTreeSet<IntentSeq>,
    /// Halted runs, with the last nonce before the halt: only a later ping's answer can lift it.
    halted: BTreeMap<RunId, u64>,
    /// Who waits until no call of a run is out.
    halting: Vec<(u64, RunId)>,
    /// Calls that are out.
    calls: BTreeMap<IntentSeq, (RunId, ServiceId, Generation)>,
}

impl Gate {
    pub fn session_started(&mut self) {
        self.heard = None;
        self.offered.clear();
        self.pings.clear();
    }

    pub fn ping(&mut self, now: Stamp) -> u64 {
        self.last_nonce += 1;
        self.pings.insert(self.last_nonce, now);
        while self.pings.len() > PINGS_MAX {
            self.pings.pop_first();
        }
        self.last_nonce
    }

    /// All pings but the last have been answered.
    pub fn is_answered(&self) -> bool {
        self.pings.len() <= 1
    }

    pub fn sent(&self, nonce: u64) -> Option<Stamp> {
        self.pings.get(&nonce).copied()
    }

    pub fn pong(&mut self, nonce: u64, paused: BTreeSet<RunId>) -> bool {
        let Some(sent) = self.pings.remove(&nonce) else { return false };
        self.pings.retain(|other, _| *other > nonce);
        self.heard = Some(sent);
        self.halted.retain(|run, mark| nonce <= *mark || paused.contains(run));
        self.paused = paused;
        true
    }

    pub fn offered(&mut self, seq: IntentSeq) {
        self.offered.insert(seq);
    }

    pub fn forget(&mut self, seq: IntentSeq) {
        self.offered.remove(&seq);
    }

    pub fn permits(&self, job: &Job, now: Stamp, permit_for: Duration) -> bool {
        let fresh = self.heard.is_some_and(|sent| now.since(sent) < permit_for);
        let older_is_out = self
            .calls
            .values()
            .any(|(_, service, generation)| *service == job.service && *generation < job.token.generation);
        let stopped = self.paused.contains(&job.run) || self.halted.contains_key(&job.run);
        fresh && !older_is_out && !stopped && self.offered.contains(&job.token.intent)
    }

    pub fn begin(&mut self, job: &Job) {
        let call = (job.run.clone(), job.service.clone(), job.token.generation);
        self.calls.insert(job.token.intent, call);
    }

    /// No call of the run starts from here on.
    pub fn halt(&mut self, asking: u64, run: RunId) {
        self.halted.insert(run.clone(), self.last_nonce);
        self.halting.push((asking, run));
    }

    /// Halts of runs of which no call is out any more.
    pub fn take_halted(&mut self) -> Vec<(u64, RunId)> {
        let is_out = |run: &RunId| self.calls.values().any(|(calling, _, _)| calling == run);
        let (out, halted) = std::mem::take(&mut self.halting).into_iter().partition(|(_, run)| is_out(run));
        self.halting = out;
        halted
    }

    pub fn end(&mut self, seq: IntentSeq) {
        self.calls.remove(&seq);
    }
}
