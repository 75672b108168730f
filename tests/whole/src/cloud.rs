//! What the agents act on: databases, a zone and a topic. A call is on its way for a while, whatever becomes of the agent that
//! sent it; its answer may be lost, and it may not arrive at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mesh_agent::agent::Outside;
use mesh_agent::prober::Probes;
use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::{AgentId, RegionId};
use mesh_core::manifest::PostgresInstance;
use mesh_core::plan::Action;
use mesh_core::survey;
use mesh_core::time::Timestamp;
use mesh_providers::{Provider, Surveys, permit, probe};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;

use crate::planted::Planted;
use crate::site::{REGIONS, Right, Site, now, place_of};
use database::Databases;
use zone::Zone;

pub use database::Shown;
pub use zone::Published;

mod database;
mod zone;

/// How long anything is on its way, there or back.
const WAY: std::ops::Range<u64> = 5..60;
/// So much longer, of a call that is late.
const LATE: std::ops::Range<u64> = 100..4_000;
/// The caller has given up after this.
const GIVES_UP: Duration = Duration::from_secs(2);
/// What a database's statement, and a signed request, are still carried out after.
const STATEMENT_LIFETIME: Duration = Duration::from_secs(2);
const SIGNATURE_LIFETIME: Duration = Duration::from_secs(300);
/// A target that is down is not waited for longer.
const REFUSED_AFTER: Duration = Duration::from_millis(300);

/// The same for all agents.
#[derive(Clone)]
pub struct Cloud(Arc<Shared>);

struct Shared {
    site: Arc<Site>,
    state: Mutex<State>,
}

struct State {
    rng: StdRng,
    databases: Databases,
    zone: Zone,
    /// By arrival, and in the order of sending.
    on_the_way: BTreeMap<(Duration, u64), Call>,
    sent: u64,
    bad: Bad,
}

/// Regions with which something is wrong.
#[derive(Default)]
pub struct Bad {
    /// Their providers answer badly.
    pub sick: BTreeSet<RegionId>,
    /// They are down as a whole.
    pub down: BTreeSet<RegionId>,
    /// They are parted from all others.
    pub cut: BTreeSet<RegionId>,
}

struct Call {
    job: Job,
    before: String,
    until: Duration,
    /// Nobody, if the answer is lost or nobody waits for it any more.
    answer: Option<oneshot::Sender<CallResult>>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    AnswerLost,
    Late,
    NeverComes,
    TurnedAway,
}

impl Cloud {
    pub fn new(site: &Arc<Site>, seed: u64) -> Self {
        let state = State {
            rng: StdRng::seed_from_u64(seed),
            databases: Databases::default(),
            zone: Zone::default(),
            on_the_way: BTreeMap::new(),
            sent: 0,
            bad: Bad::default(),
        };
        Self(Arc::new(Shared { site: Arc::clone(site), state: Mutex::new(state) }))
    }

    /// As one agent sees it.
    pub fn outside(&self, agent: &AgentId) -> Outside {
        let hand = Arc::new(Hand { cloud: self.clone(), agent: agent.clone() });
        Outside { provider: Arc::<Hand>::clone(&hand), probes: Arc::<Hand>::clone(&hand), surveys: hand }
    }

    pub fn is_bad(&self, bad: Bad) {
        self.lock().bad = bad;
    }

    /// Brings what is due by now. `rights` are those of the agents, of whom the proxies ask.
    pub fn go_on(&self, now: Duration, rights: &[Right]) {
        let site = &self.0.site;
        let mut state = self.lock();
        state.databases.go_on(now, rights, site);
        while let Some(due) = state.on_the_way.first_entry().filter(|first| first.key().0 <= now) {
            let call = due.remove();
            state.arrive(call, now, site);
        }
        let State { databases, zone, bad, .. } = &*state;
        site.judge().shown(now, databases.shown(&bad.down), zone.shown());
    }

    /// Somebody can write, and nobody but one.
    pub fn is_written(&self) -> bool {
        self.lock().databases.writing(&BTreeSet::new()).len() == 1
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bad {
    /// Does one region not answer another, or not even itself?
    fn hides(&self, about: &RegionId, from: &RegionId) -> bool {
        self.down.contains(about) || (about != from && (self.cut.contains(about) || self.cut.contains(from)))
    }
}

impl State {
    fn fate(&mut self, region: &RegionId) -> Fate {
        let bad = self.bad.sick.contains(region);
        match self.rng.random_range(0..if bad { 10 } else { 40 }) {
            0 | 1 => Fate::AnswerLost,
            2 => Fate::NeverComes,
            3 => Fate::TurnedAway,
            4 => Fate::Late,
            _ => Fate::Answered,
        }
    }

    fn way(&mut self) -> Duration {
        Duration::from_millis(self.rng.random_range(WAY))
    }

    fn arrive(&mut self, call: Call, now: Duration, site: &Site) {
        let Call { job, before, until, answer } = call;
        if now > until || (job.action.is_postgres() && self.bad.down.contains(&job.region)) {
            return;
        }
        let result = match &job.action {
            action if action.is_postgres() => self.databases.apply(&job, now, &mut self.rng, site),
            Action::Route53Replace { record, sets, .. } => {
                self.zone.replace(&job, record, sets, &before, now, &mut self.rng, site)
            }
            Action::SnsNotify { .. } => self.zone.notify(&job, now, site),
            other => panic!("the model has no call {}", other.name()),
        };
        if let Some(answer) = answer {
            // Whoever sent it may be gone.
            let _ = answer.send(result);
        }
    }
}

struct Hand {
    cloud: Cloud,
    agent: AgentId,
}

impl Hand {
    fn site(&self) -> &Site {
        &self.cloud.0.site
    }

    async fn way(&self) {
        let takes = self.cloud.lock().way();
        tokio::time::sleep(takes).await;
    }

    async fn send(&self, job: &Job, before: &str) -> CallResult {
        if !permit::holds() {
            return CallResult::NotApplied { reason: "permission ended before it was sent".to_owned() };
        }
        self.site().called(&self.agent, job);
        let no_answer = || CallResult::Unknown { reason: "no answer".to_owned() };
        let (fate, answer) = self.put_on_the_way(job, before);
        match fate {
            Fate::TurnedAway => {
                self.way().await;
                return CallResult::NotApplied { reason: "throttled".to_owned() };
            }
            Fate::NeverComes => {
                tokio::time::sleep(GIVES_UP).await;
                return no_answer();
            }
            Fate::Answered | Fate::AnswerLost | Fate::Late => {}
        }
        let answered = tokio::time::timeout(GIVES_UP, answer).await;
        self.way().await;
        answered.ok().and_then(Result::ok).unwrap_or_else(no_answer)
    }

    fn put_on_the_way(&self, job: &Job, before: &str) -> (Fate, oneshot::Receiver<CallResult>) {
        let (answer, answered) = oneshot::channel();
        let mut state = self.cloud.lock();
        let fate = state.fate(&job.region);
        self.site().judge().count(match fate {
            Fate::Answered => "call",
            Fate::AnswerLost => "answer lost",
            Fate::Late => "call late",
            Fate::NeverComes => "call lost",
            Fate::TurnedAway => "throttled",
        });
        if matches!(fate, Fate::NeverComes | Fate::TurnedAway) {
            return (fate, answered);
        }
        let late = if fate == Fate::Late { state.rng.random_range(LATE) } else { 0 };
        let arrives = now() + state.way() + Duration::from_millis(late);
        let lifetime = if job.action.is_postgres() { STATEMENT_LIFETIME } else { SIGNATURE_LIFETIME };
        let answer = (fate != Fate::AnswerLost).then_some(answer);
        let call = Call { job: job.clone(), before: before.to_owned(), until: now() + lifetime, answer };
        state.sent += 1;
        let number = state.sent;
        state.on_the_way.insert((arrives, number), call);
        (fate, answered)
    }

    fn observed(&self, job: &Job, accepted: Option<&str>) -> Observation {
        let mut state = self.cloud.lock();
        let State { databases, zone, .. } = &mut *state;
        match &job.action {
            action if action.is_postgres() => databases.observe(job),
            Action::Route53Replace { record, sets, .. } => zone.observe(job, record, sets, accepted, now()),
            Action::SnsNotify { .. } => zone.observe_notice(job, accepted, self.site().wall(None)()),
            other => panic!("the model has no {}", other.name()),
        }
    }
}

#[async_trait]
impl Provider for Hand {
    async fn observe(&self, job: &Job, accepted: Option<&str>) -> Observation {
        self.way().await;
        let (down, bad) = {
            let mut state = self.cloud.lock();
            let often = if state.bad.sick.contains(&job.region) { 0.3 } else { 0.02 };
            (job.action.is_postgres() && state.bad.down.contains(&job.region), state.rng.random_bool(often))
        };
        if down {
            tokio::time::sleep(REFUSED_AFTER).await;
        }
        if down || bad {
            return Observation::Unreadable { reason: "no answer".to_owned() };
        }
        if self.site().planted == Planted::AcceptedIsDone && accepted.is_some() {
            return Observation::Satisfied { read_back: "{}".to_owned() };
        }
        self.observed(job, accepted)
    }

    async fn call(&self, job: &Job, before: &str) -> CallResult {
        let result = self.send(job, before).await;
        match (self.site().planted, &result) {
            (Planted::HiddenRetries, CallResult::Unknown { .. }) => self.send(job, before).await,
            (Planted::UnknownIsRefused, CallResult::Unknown { reason }) => {
                CallResult::Rejected { reason: reason.clone() }
            }
            _ => result,
        }
    }
}

#[async_trait]
impl Probes for Hand {
    async fn ask(&self, _: &probe::Question, about: &RegionId, timeout: Duration) -> probe::Answer {
        let (unreachable, latency) = {
            let mut state = self.cloud.lock();
            (state.bad.hides(about, &place_of(&self.agent)), state.way())
        };
        let false_alarm = self.site().planted == Planted::FalseAlarms && about.as_str() == REGIONS[0];
        if unreachable || false_alarm {
            tokio::time::sleep(timeout).await;
            return probe::Answer::Failed { reason: "no answer".to_owned() };
        }
        tokio::time::sleep(latency).await;
        probe::Answer::Passed { latency }
    }

    async fn rds_lag(&self, _: &str) -> Result<Option<(Duration, Timestamp)>, String> {
        Ok(None)
    }

    async fn dynamodb_lag(&self, _: &str, _: &RegionId) -> Result<Option<(Duration, Timestamp)>, String> {
        Ok(None)
    }

    async fn postgres_lag(
        &self,
        instance: &PostgresInstance,
        _: Option<&PostgresInstance>,
        _: Duration,
    ) -> Result<Option<Duration>, String> {
        self.way().await;
        Ok(self.cloud.lock().databases.lag(&instance.host, now()))
    }
}

#[async_trait]
impl Surveys for Hand {
    async fn survey(&self, _: &survey::Question) -> Result<survey::Answer, String> {
        Err("nobody surveys this cloud".to_owned())
    }
}
