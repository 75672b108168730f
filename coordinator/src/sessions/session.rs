//! One agent's session: what can be said to it, and the answers that are awaited of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::ids::{AgentId, Generation, IntentSeq, RegionId, RunId, ServiceId};
use mesh_proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use v1::to_agent::Message;

/// Messages that an agent may leave unread before its session is closed: it gets a pong a second and a few offers.
pub const OUTBOUND_MAX: usize = 256;
/// Answers awaited of one agent at a time, of each kind.
const AWAITED_MAX: usize = 256;
/// Surveys awaited of one agent at a time: each is hundreds of reads at the provider.
const SURVEYS_MAX: usize = 4;

pub type Outbound = mpsc::Sender<Result<v1::ToAgent, Status>>;

pub struct Session {
    pub agent: AgentId,
    pub region: RegionId,
    pub version: String,
    /// The coordinator that passes it on.
    pub via: Option<String>,
    outbound: Outbound,
    ended: CancellationToken,
    state: Mutex<State>,
}

struct State {
    heard: Instant,
    /// When permission was last given: the agent may start mutating calls until `PERMIT_FOR` after it.
    ponged: Option<Instant>,
    /// Why it ended.
    ending: Option<&'static str>,
    offered: BTreeSet<(ServiceId, IntentSeq)>,
    /// Ended rights that it was told of.
    told: BTreeSet<(ServiceId, Generation)>,
    halts: BTreeMap<RunId, Vec<oneshot::Sender<()>>>,
    checks: BTreeMap<u64, oneshot::Sender<v1::CheckReport>>,
    surveys: BTreeMap<u64, oneshot::Sender<v1::SurveyReport>>,
    /// Number of the next check or survey.
    next_check: u64,
}

impl Session {
    pub fn new(agent: AgentId, region: RegionId, version: String, outbound: Outbound) -> Self {
        let state = State {
            heard: Instant::now(),
            ponged: None,
            ending: None,
            offered: BTreeSet::new(),
            told: BTreeSet::new(),
            halts: BTreeMap::new(),
            checks: BTreeMap::new(),
            surveys: BTreeMap::new(),
            next_check: 1,
        };
        Self { agent, region, version, via: None, outbound, ended: CancellationToken::new(), state: Mutex::new(state) }
    }

    #[must_use]
    pub fn passed_on_by(mut self, via: Option<String>) -> Self {
        self.via = via;
        self
    }

    /// Queues a message. An agent that leaves too many unread loses its session; nothing waits for it.
    pub fn send(&self, message: Message) -> bool {
        let sent = self.outbound.try_send(Ok(v1::ToAgent { message: Some(message) })).is_ok();
        if !sent {
            self.end("the agent does not read its messages");
        }
        sent
    }

    /// The last word of an ended session, if there is room for it.
    pub fn send_last(&self, status: Status) {
        // A full queue means a dead or stuck reader: it sees the stream end instead.
        let _ = self.outbound.try_send(Err(status));
    }

    /// Whoever awaits a look of the agent learns at once that none comes from this session.
    pub fn end(&self, reason: &'static str) {
        {
            let mut state = self.lock();
            state.ending.get_or_insert(reason);
            state.checks.clear();
            state.surveys.clear();
        }
        self.ended.cancel();
    }

    pub fn has_ended(&self) -> bool {
        self.lock().ending.is_some()
    }

    pub async fn ended(&self) -> &'static str {
        self.ended.cancelled().await;
        self.lock().ending.unwrap_or("ended")
    }

    /// False if the agent was silent for so long that its intents may be closed already: then it needs a new session, in
    /// which it is offered what is still open.
    pub fn note_heard(&self, silence_max: Duration) -> bool {
        let mut state = self.lock();
        if state.ending.is_some() || state.heard.elapsed() >= silence_max {
            return false;
        }
        state.heard = Instant::now();
        true
    }

    /// Ends the session if the agent has been silent for so long: whatever it says from here on is not heard, and no
    /// ping of it is answered. False if it was heard of after all.
    pub fn end_if_silent(&self, silence_max: Duration) -> bool {
        let silent = self.lock().heard.elapsed() >= silence_max;
        if silent {
            self.end("the agent was silent for too long");
        }
        silent
    }

    pub fn heard(&self) -> Instant {
        self.lock().heard
    }

    /// A pong follows, made from the state that is read after this: so a pause that is committed later sees its time.
    pub fn note_permission(&self) {
        self.lock().ponged = Some(Instant::now());
    }

    pub fn pong(&self, nonce: u64, paused_runs: &[String], leases: Vec<v1::LeaseNews>) {
        self.send(Message::Pong(v1::Pong { nonce, paused_runs: paused_runs.to_vec(), leases }));
    }

    pub fn ponged(&self) -> Option<Instant> {
        self.lock().ponged
    }

    /// True the first time it is asked for an intent. Forgets those that are not in `open`.
    pub fn first_offer(&self, intent: &(ServiceId, IntentSeq), open: &BTreeSet<(ServiceId, IntentSeq)>) -> bool {
        let mut state = self.lock();
        state.offered.retain(|offered| open.contains(offered));
        state.offered.insert(intent.clone())
    }

    /// Those of `ended` that it was not told of in this session.
    pub fn first_told(&self, ended: &BTreeSet<(ServiceId, Generation)>) -> Vec<(ServiceId, Generation)> {
        let mut state = self.lock();
        state.told.retain(|told| ended.contains(told));
        ended.iter().filter(|one| state.told.insert((*one).clone())).cloned().collect()
    }

    /// Asks the agent to start no mutating call of `run` any more; resolves with its acknowledgement.
    pub fn halt(&self, run: &RunId) -> oneshot::Receiver<()> {
        let (acknowledge, acknowledged) = oneshot::channel();
        {
            let mut state = self.lock();
            state.halts.retain(|_, waiting| {
                waiting.retain(|one| !one.is_closed());
                !waiting.is_empty()
            });
            if state.halts.len() < AWAITED_MAX {
                state.halts.entry(run.clone()).or_default().push(acknowledge);
            }
        }
        self.send(Message::Halt(v1::Halt { run: run.to_string() }));
        acknowledged
    }

    pub fn note_halted(&self, run: &RunId) {
        let waiting = self.lock().halts.remove(run);
        for one in waiting.into_iter().flatten() {
            // Whoever asked has given up waiting.
            let _ = one.send(());
        }
    }

    /// Has the agent evaluate a job's precondition, read-only.
    pub fn check(&self, job: v1::Job) -> oneshot::Receiver<v1::CheckReport> {
        let (report, reported) = oneshot::channel();
        let id = {
            let mut state = self.lock();
            state.checks.retain(|_, waiting| !waiting.is_closed());
            let id = state.next_check;
            state.next_check = id.wrapping_add(1);
            if state.checks.len() >= AWAITED_MAX || state.ending.is_some() {
                return reported;
            }
            state.checks.insert(id, report);
            id
        };
        self.send(Message::Check(v1::CheckRequest { id, job: Some(job) }));
        reported
    }

    pub fn note_checked(&self, report: v1::CheckReport) {
        let waiting = self.lock().checks.remove(&report.id);
        if let Some(waiting) = waiting {
            // Whoever asked has given up waiting.
            let _ = waiting.send(report);
        }
    }

    /// Has the agent look at the world, read-only. Beyond [`SURVEYS_MAX`] at a time nobody is asked.
    pub fn survey(&self, question: v1::SurveyQuestion) -> oneshot::Receiver<v1::SurveyReport> {
        let (report, reported) = oneshot::channel();
        let id = {
            let mut state = self.lock();
            state.surveys.retain(|_, waiting| !waiting.is_closed());
            if state.surveys.len() >= SURVEYS_MAX || state.ending.is_some() {
                return reported;
            }
            let id = state.next_check;
            state.next_check = id.wrapping_add(1);
            state.surveys.insert(id, report);
            id
        };
        self.send(Message::Survey(v1::SurveyDemand { id, question: Some(question) }));
        reported
    }

    pub fn note_surveyed(&self, report: v1::SurveyReport) {
        let waiting = self.lock().surveys.remove(&report.id);
        if let Some(waiting) = waiting {
            // Whoever asked has given up waiting.
            let _ = waiting.send(report);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(room: usize) -> (Session, mpsc::Receiver<Result<v1::ToAgent, Status>>) {
        let (outbound, inbound) = mpsc::channel(room);
        let name = |text: &str| text.parse().expect("a name");
        (Session::new(name("use1-a"), "us-east-1".parse().expect("a region"), "1".to_owned(), outbound), inbound)
    }

    #[tokio::test]
    async fn an_agent_that_does_not_read_loses_its_session() {
        let (session, _inbound) = session(1);
        assert!(session.send(Message::Halt(v1::Halt::default())));
        assert!(!session.send(Message::Halt(v1::Halt::default())), "a full queue must not be waited for");
        assert_eq!(session.ended().await, "the agent does not read its messages");
    }

    #[test]
    fn an_agent_that_was_silent_for_too_long_is_heard_in_a_new_session_only() {
        let (session, _inbound) = session(8);
        let long = Duration::from_secs(3600);
        assert!(session.note_heard(long));
        assert!(!session.end_if_silent(long), "it was heard a moment ago");
        assert!(!session.note_heard(Duration::ZERO), "its intents may be closed");
        assert!(session.end_if_silent(Duration::ZERO));
        assert!(!session.note_heard(long), "the session is over");
    }

    #[tokio::test]
    async fn who_awaits_a_look_learns_that_the_session_has_ended() {
        let (session, _inbound) = session(8);
        let (check, survey) = (session.check(v1::Job::default()), session.survey(v1::SurveyQuestion::default()));
        session.end("it moved");
        assert!(check.await.is_err() && survey.await.is_err());
        assert!(session.survey(v1::SurveyQuestion::default()).await.is_err(), "nobody is asked after the end");
        assert!(session.check(v1::Job::default()).await.is_err(), "nobody is asked after the end");
    }

    #[test]
    fn an_intent_is_offered_once_a_session() {
        let (session, _inbound) = session(8);
        let intent = ("maip".parse().expect("a service"), IntentSeq(3));
        let open = BTreeSet::from([intent.clone()]);
        assert!(session.first_offer(&intent, &open));
        assert!(!session.first_offer(&intent, &open));
    }

    #[tokio::test]
    async fn a_halt_is_acknowledged_by_its_own_run_only() {
        let (session, _inbound) = session(8);
        let (one, other): (RunId, RunId) = ("maip-g1".parse().expect("a run"), "maip-g2".parse().expect("a run"));
        let mut acknowledged = session.halt(&one);
        session.note_halted(&other);
        assert!(acknowledged.try_recv().is_err());
        session.note_halted(&one);
        assert!(acknowledged.await.is_ok());
    }
}
