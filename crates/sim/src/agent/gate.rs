//! May a mutating call start now? As `agent/src/gate.rs` says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::execute::Job;
use mesh_core::ids::{Generation, IntentSeq, RunId};
use mesh_core::lease::Stamp;

const PERMIT_FOR: Duration = Duration::from_secs(5);
const PINGS_MAX: usize = 16;

#[derive(Default)]
pub struct Gate {
    heard: Option<Stamp>,
    pings: BTreeMap<u64, Stamp>,
    last_nonce: u64,
    paused: BTreeSet<RunId>,
    offered: BTreeSet<IntentSeq>,
    /// Calls that are out.
    calls: BTreeMap<IntentSeq, Generation>,
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

    pub fn sent(&self, nonce: u64) -> Option<Stamp> {
        self.pings.get(&nonce).copied()
    }

    pub fn pong(&mut self, nonce: u64, paused: BTreeSet<RunId>) -> bool {
        let Some(sent) = self.pings.remove(&nonce) else { return false };
        self.pings.retain(|other, _| *other > nonce);
        self.heard = Some(sent);
        self.paused = paused;
        true
    }

    pub fn offered(&mut self, seq: IntentSeq) {
        self.offered.insert(seq);
    }

    pub fn forget(&mut self, seq: IntentSeq) {
        self.offered.remove(&seq);
    }

    pub fn permits(&self, job: &Job, now: Stamp) -> bool {
        let fresh = self.heard.is_some_and(|sent| now.since(sent) < PERMIT_FOR);
        let older_is_out = self.calls.values().any(|generation| *generation < job.token.generation);
        fresh && !older_is_out && !self.paused.contains(&job.run) && self.offered.contains(&job.token.intent)
    }

    pub fn begin(&mut self, job: &Job) {
        self.calls.insert(job.token.intent, job.token.generation);
    }

    pub fn end(&mut self, seq: IntentSeq) {
        self.calls.remove(&seq);
    }
}
