//! May a mutating call start now? One lock decides, so that a halt and the start of a call cannot pass each other.
//!
//! A call may start only while the leader was heard a moment ago, the intent was offered in the present session, its run
//! is neither paused nor halted, and no older call of the same service is still out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::execute::Job;
use mesh_core::ids::{RunId, ServiceId, Token};
use tokio::sync::watch;

use crate::clock::{Clock, Stamp};
use crate::journal::IntentId;
use crate::lease::Leases;

/// How long an answered ping permits calls, from its sending. The leader counts on it: `agent.proto`, Ping.
pub const PERMIT_FOR: Duration = Duration::from_secs(5);
/// Pings that may be out at once: more than a session outlives.
const PINGS_MAX: usize = 16;

pub struct Gate {
    clock: Arc<dyn Clock>,
    leases: Option<Arc<Leases>>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    /// When the newest answered ping was sent.
    heard: Option<Stamp>,
    /// Pings of this session without an answer, and when they were sent.
    pings: BTreeMap<u64, Stamp>,
    last_nonce: u64,
    /// Runs that the newest answer called paused.
    paused: BTreeSet<RunId>,
    /// Halted runs, with the last nonce before the halt: only a later ping's answer can lift it.
    halted: BTreeMap<RunId, u64>,
    /// Intents offered in this session. Others may have been closed while nobody could tell us.
    offered: BTreeSet<IntentId>,
    calls: BTreeMap<u64, (RunId, ServiceId, Token)>,
    last_call: u64,
    draining: bool,
}

/// A call that may be out. Dropping it says that it has ended and its end is in the journal.
pub struct OpenCall {
    gate: Arc<Gate>,
    number: u64,
    /// The service that it lets somebody write.
    opens: Option<ServiceId>,
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.gate.lock().calls.remove(&self.number);
        if let (Some(leases), Some(service)) = (&self.gate.leases, &self.opens) {
            leases.end_call(service);
        }
        self.gate.changed.send_replace(());
    }
}

impl Gate {
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, leases: None, state: Mutex::default(), changed: watch::Sender::new(()) })
    }

    /// One that lets a region write only while this agent's own right to it lasts.
    pub fn with_leases(clock: Arc<dyn Clock>, leases: Arc<Leases>) -> Arc<Self> {
        Arc::new(Self { clock, leases: Some(leases), state: Mutex::default(), changed: watch::Sender::new(()) })
    }

    /// The job was taken: what is older ends here, and for what lets somebody write a right is wanted at once.
    pub fn acting(&self, job: &Job) {
        let Some(leases) = &self.leases else { return };
        if job.action.mutates() {
            leases.raise(&job.service, job.token.generation);
        }
        if job.action.lets_write() {
            leases.want_renewal();
        }
    }

    /// How long a call for this job may take.
    pub fn call_deadline(&self, job: &Job) -> Option<Duration> {
        self.leases.as_ref().filter(|_| job.action.lets_write()).map(|leases| leases.call_deadline(&job.service))
    }

    /// A new session: its leader must be heard, and what an earlier one offered must be offered again, before a call.
    pub fn session_started(&self) {
        let mut state = self.lock();
        state.heard = None;
        state.offered.clear();
        state.pings.clear();
    }

    /// The nonce of a ping that is sent now.
    pub fn ping(&self) -> u64 {
        let sent = self.clock.stamp();
        let mut state = self.lock();
        state.last_nonce = state.last_nonce.saturating_add(1);
        let nonce = state.last_nonce;
        state.pings.insert(nonce, sent);
        while state.pings.len() > PINGS_MAX {
            state.pings.pop_first();
        }
        nonce
    }

    /// When the ping of this session was sent, if it has not been answered.
    pub fn sent(&self, nonce: u64) -> Option<Stamp> {
        self.lock().pings.get(&nonce).copied()
    }

    /// An answer that is of no ping of this session changes nothing and is told by `false`.
    pub fn pong(&self, nonce: u64, paused: BTreeSet<RunId>) -> bool {
        let mut state = self.lock();
        let Some(sent) = state.pings.remove(&nonce) else { return false };
        state.pings.retain(|other, _| *other > nonce);
        state.heard = Some(sent);
        state.halted.retain(|run, mark| nonce <= *mark || paused.contains(run));
        state.paused = paused;
        drop(state);
        self.changed.send_replace(());
        true
    }

    pub fn offered(&self, intent: IntentId) {
        self.lock().offered.insert(intent);
        self.changed.send_replace(());
    }

    /// The intent is over: nothing of it may be called.
    pub fn forget(&self, intent: &IntentId) {
        self.lock().offered.remove(intent);
    }

    /// No call of `run` starts from here on; returns when none is out.
    pub async fn halt(&self, run: &RunId) {
        let mut changed = self.changed.subscribe();
        {
            let mut state = self.lock();
            let mark = state.last_nonce;
            state.halted.insert(run.clone(), mark);
        }
        while self.lock().calls.values().any(|(calling, _, _)| calling == run) {
            // The sender lives in self.
            let _ = changed.changed().await;
        }
    }

    /// No call of any run starts from here on; returns when none is out.
    pub async fn drain(&self) {
        let mut changed = self.changed.subscribe();
        self.lock().draining = true;
        while !self.lock().calls.is_empty() {
            let _ = changed.changed().await;
        }
    }

    pub fn permits(&self, job: &Job) -> bool {
        let now = self.clock.stamp();
        self.lock().permits(job, now) && self.has_right(job)
    }

    fn has_right(&self, job: &Job) -> bool {
        let Some(leases) = self.leases.as_ref().filter(|_| job.action.lets_write()) else { return true };
        leases.permits_call(&job.service, job.token.generation).is_ok()
    }

    /// Returns once the job may call, whatever else happens.
    pub async fn until_permitted(&self, job: &Job) {
        let mut changed = self.changed.subscribe();
        let mut rights = self.leases.as_ref().map(|leases| leases.changes());
        while !self.permits(job) {
            match &mut rights {
                Some(rights) => tokio::select! {
                    _ = changed.changed() => {}
                    _ = rights.changed() => {}
                },
                None => {
                    let _ = changed.changed().await;
                }
            }
        }
    }

    /// Takes the right to send one call, if there is one now.
    pub fn begin(self: &Arc<Self>, job: &Job) -> Option<OpenCall> {
        let now = self.clock.stamp();
        let mut state = self.lock();
        if !state.permits(job, now) {
            return None;
        }
        let opens = self.leases.as_ref().filter(|_| job.action.lets_write());
        if opens.is_some_and(|leases| !leases.begin_call(&job.service, job.token.generation)) {
            return None;
        }
        let opens = opens.map(|_| job.service.clone());
        state.last_call = state.last_call.saturating_add(1);
        let number = state.last_call;
        state.calls.insert(number, (job.run.clone(), job.service.clone(), job.token));
        Some(OpenCall { gate: Arc::clone(self), number, opens })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn permits(&self, job: &Job, now: Stamp) -> bool {
        let fresh = self.heard.is_some_and(|sent| now.since(sent) < PERMIT_FOR);
        let stopped = self.draining || self.paused.contains(&job.run) || self.halted.contains_key(&job.run);
        let older_is_out = self
            .calls
            .values()
            .any(|(_, service, token)| *service == job.service && token.generation < job.token.generation);
        fresh && !stopped && !older_is_out && self.offered.contains(&IntentId::from(job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{FakeClock, job};

    fn heard(gate: &Gate, paused: &[&RunId]) -> bool {
        let nonce = gate.ping();
        gate.pong(nonce, paused.iter().map(|run| (*run).clone()).collect())
    }

    fn open_gate(clock: &Arc<FakeClock>, job: &Job) -> Arc<Gate> {
        let gate = Gate::new(Arc::clone(clock) as Arc<dyn Clock>);
        gate.session_started();
        gate.offered(IntentId::from(job));
        heard(&gate, &[]);
        gate
    }

    #[test]
    fn permission_counts_from_the_sending_of_the_ping() {
        let (clock, job) = (FakeClock::new(), job(3, 7));
        let gate = open_gate(&clock, &job);
        let nonce = gate.ping();
        clock.advance(PERMIT_FOR - Duration::from_millis(1));
        assert!(gate.permits(&job));
        assert!(gate.pong(nonce, BTreeSet::new()), "the answer came late");
        clock.advance(Duration::from_millis(1));
        assert!(!gate.permits(&job), "the answer's own lateness is not permission");
    }

    #[test]
    fn a_pause_of_the_machine_ends_permission() {
        let (clock, job) = (FakeClock::new(), job(3, 7));
        let gate = open_gate(&clock, &job);
        clock.suspend(PERMIT_FOR);
        assert!(!gate.permits(&job));
    }

    #[test]
    fn an_answer_to_no_ping_of_ours_permits_nothing() {
        let (clock, job) = (FakeClock::new(), job(3, 7));
        let gate = open_gate(&clock, &job);
        clock.advance(PERMIT_FOR);
        let nonce = gate.ping();
        gate.session_started();
        gate.offered(IntentId::from(&job));
        assert!(!gate.pong(nonce, BTreeSet::new()), "it was asked in an earlier session");
        assert!(!gate.permits(&job));
    }

    #[test]
    fn a_new_session_must_offer_again() {
        let (clock, job) = (FakeClock::new(), job(3, 7));
        let gate = open_gate(&clock, &job);
        gate.session_started();
        heard(&gate, &[]);
        assert!(!gate.permits(&job), "the intent may have been closed meanwhile");
        gate.offered(IntentId::from(&job));
        assert!(gate.permits(&job));
        gate.session_started();
        gate.offered(IntentId::from(&job));
        assert!(!gate.permits(&job), "the new leader has not answered yet: it may know of a pause");
    }

    #[tokio::test]
    async fn a_halt_waits_for_the_call_and_only_a_later_answer_lifts_it() {
        let (clock, job) = (FakeClock::new(), job(3, 7));
        let gate = open_gate(&clock, &job);
        let call = gate.begin(&job).expect("permitted");
        let asked_before = gate.ping();
        let halting = tokio::spawn({
            let (gate, run) = (Arc::clone(&gate), job.run.clone());
            async move { gate.halt(&run).await }
        });
        while gate.permits(&job) {
            tokio::task::yield_now().await;
        }
        assert!(!halting.is_finished(), "a call is out");
        drop(call);
        halting.await.expect("the halt ends");
        gate.pong(asked_before, BTreeSet::new());
        assert!(!gate.permits(&job), "that answer may be older than the pause");
        heard(&gate, &[&job.run]);
        assert!(!gate.permits(&job), "still paused");
        heard(&gate, &[]);
        assert!(gate.permits(&job));
    }

    #[test]
    fn a_newer_generation_waits_for_the_older_call() {
        let (clock, old, new) = (FakeClock::new(), job(3, 7), job(4, 8));
        let gate = open_gate(&clock, &old);
        gate.offered(IntentId::from(&new));
        let call = gate.begin(&old).expect("permitted");
        assert!(gate.begin(&new).is_none());
        drop(call);
        assert!(gate.begin(&new).is_some());
    }

    #[tokio::test]
    async fn a_draining_agent_starts_no_call() {
        let (clock, job) = (FakeClock::new(), job(3, 7));
        let gate = open_gate(&clock, &job);
        gate.drain().await;
        assert!(gate.begin(&job).is_none());
    }
}
