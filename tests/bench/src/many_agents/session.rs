//! One simulated agent, and what all of them see.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use mesh_proto::v1;
use mesh_proto::v1::agent_session_client::AgentSessionClient;
use mesh_runtime::grpc;
use mesh_runtime::tls::Identities;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use v1::from_agent::Message as Say;
use v1::signal::Reading;
use v1::to_agent::Message as Hear;

pub const SERVICE: &str = "bench";
pub const CHECK: &str = "app";
/// The region that fails.
pub const ABOUT: &str = "us-east-1";
pub const ELSEWHERE: &str = "us-west-2";
/// Between two probes of the second: the fourth failure completes it, whatever the timers' jitter.
pub const SUSTAINED: Duration = Duration::from_millis(2500);

const TOLD_EVERY: Duration = Duration::from_secs(1);
const OUTBOUND: usize = 16;

/// What happens to the service, and what the agents told of it.
pub struct Scene {
    failing: Mutex<Option<Instant>>,
    /// Agents outside the failing region.
    pub outside: AtomicU64,
    /// When they told of a failure that had lasted.
    ripe: Mutex<Vec<Instant>>,
    pongs: Mutex<Vec<Duration>>,
    started: (Instant, SystemTime),
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            failing: Mutex::default(),
            outside: AtomicU64::new(0),
            ripe: Mutex::default(),
            pongs: Mutex::default(),
            started: (Instant::now(), SystemTime::now()),
        }
    }
}

impl Scene {
    /// The check fails from now on. Times since the Unix epoch.
    pub fn fail(&self) -> Duration {
        let now = Instant::now();
        lock(&self.ripe).clear();
        *lock(&self.failing) = Some(now);
        self.unix(now)
    }

    pub fn heal(&self) {
        *lock(&self.failing) = None;
    }

    /// When the observer told that completes the majority.
    pub fn floor(&self) -> Option<Duration> {
        let mut ripe = lock(&self.ripe).clone();
        ripe.sort_unstable();
        let needed = usize::try_from(self.outside.load(Ordering::Relaxed) / 2).ok()?.max(1);
        ripe.get(needed).map(|at| self.unix(*at))
    }

    pub fn take_pongs(&self) -> Vec<Duration> {
        std::mem::take(&mut *lock(&self.pongs))
    }

    fn unix(&self, at: Instant) -> Duration {
        let started = self.started.1.duration_since(UNIX_EPOCH).unwrap_or_default();
        started + at.saturating_duration_since(self.started.0)
    }
}

/// Who it is, and when in the second it probes.
pub struct Agent {
    pub name: String,
    pub region: String,
    pub identities: Arc<Identities>,
    pub phase: Duration,
}

/// What an agent is answered.
pub enum Opened<'a> {
    Welcome(Box<Session<'a>>),
    /// The leader, if it is known.
    Elsewhere(Option<String>),
}

/// How a session ended that no error did.
pub enum Ended {
    Elsewhere(Option<String>),
}

/// A session that was welcomed.
pub struct Session<'a> {
    agent: &'a Agent,
    say: mpsc::Sender<v1::FromAgent>,
    heard: Streaming<v1::ToAgent>,
}

impl<'a> Session<'a> {
    pub async fn open(agent: &'a Agent, address: &str) -> anyhow::Result<Opened<'a>> {
        let channel = grpc::connect(address, &agent.identities)?;
        let (say, messages) = mpsc::channel(OUTBOUND);
        let hello = Say::Hello(v1::Hello {
            agent: agent.name.clone(),
            region: agent.region.clone(),
            version: "bench".to_owned(),
            ..Default::default()
        });
        say.send(v1::FromAgent { message: Some(hello) }).await?;
        let heard = AgentSessionClient::new(channel).open(ReceiverStream::new(messages)).await?.into_inner();
        let mut session = Self { agent, say, heard };
        match session.heard.message().await?.and_then(|message| message.message) {
            Some(Hear::Welcome(_)) => Ok(Opened::Welcome(Box::new(session))),
            Some(Hear::NotLeader(told)) => Ok(Opened::Elsewhere(told.leader)),
            other => bail!("{other:?} instead of a welcome"),
        }
    }

    /// Until the session ends.
    pub async fn run(mut self, scene: &Scene) -> anyhow::Result<Ended> {
        let mut ticks = interval_at(tokio::time::Instant::now() + self.agent.phase, TOLD_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut nonce, mut pinged) = (0, BTreeMap::new());
        let mut row = None;
        loop {
            tokio::select! {
                heard = self.heard.message() => match heard?.context("the coordinator ended it")?.message {
                    Some(Hear::Pong(pong)) => if let Some(at) = pinged.remove(&pong.nonce) {
                        pinged.retain(|nonce, _| *nonce > pong.nonce);
                        lock(&scene.pongs).push(Instant::now().saturating_duration_since(at));
                    },
                    Some(Hear::NotLeader(told)) => return Ok(Ended::Elsewhere(told.leader)),
                    _ => {}
                },
                _ = ticks.tick() => {
                    nonce += 1;
                    let now = Instant::now();
                    pinged.insert(nonce, now);
                    let self_report = Some(v1::SelfReport { timer_slip_ms: 0, peers: 2, peers_dead: 0 });
                    self.say(Say::Ping(v1::Ping { nonce, self_report, standings: Vec::new() })).await?;
                    row = lock(&scene.failing).map(|_| row.unwrap_or(now));
                    self.say(Say::Signals(self.signals(row.map(|since| now.saturating_duration_since(since))))).await?;
                    scene.note(self.agent, row, now);
                }
            }
        }
    }

    async fn say(&self, message: Say) -> anyhow::Result<()> {
        Ok(self.say.send(v1::FromAgent { message: Some(message) }).await?)
    }

    fn signals(&self, fails_for: Option<Duration>) -> v1::Signals {
        let signal = |about: &str, reading, failing_for_ms| v1::Signal {
            observer: self.agent.name.clone(),
            observer_region: self.agent.region.clone(),
            service: SERVICE.to_owned(),
            region: about.to_owned(),
            subject: CHECK.to_owned(),
            reading: Some(reading),
            at: 1,
            failing_for_ms,
            ..Default::default()
        };
        let lasting = fails_for.map(|lasting| u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX));
        let failing = |_| Reading::Failing(v1::Failing { reason: "no answer".to_owned(), since: 1 });
        let about = signal(ABOUT, lasting.map_or(Reading::PassingMs(5), failing), lasting);
        v1::Signals { signals: vec![about, signal(ELSEWHERE, Reading::PassingMs(5), None)] }
    }
}

impl Scene {
    fn note(&self, agent: &Agent, row: Option<Instant>, now: Instant) {
        let lasted = |since: Instant| {
            let lasting = now.saturating_duration_since(since);
            // The first time.
            lasting >= SUSTAINED && lasting < SUSTAINED + TOLD_EVERY
        };
        if agent.region != ABOUT && row.is_some_and(lasted) {
            lock(&self.ripe).push(now);
        }
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
