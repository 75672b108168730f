//! Asks every check about every region and measures the lag of this region's replicas, and of those that it feeds. What it finds stands on the
//! [`board`]; it decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mesh_core::ids::{AgentId, RegionId};
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Clock;

pub mod board;
pub mod hysteresis;
pub mod watched;

use board::{Board, Subject};
use hysteresis::Hysteresis;
use watched::{Ask, Question, Watched};

/// Probes under way at once: each is a connection to something that may be dead.
const AT_ONCE: usize = 32;
/// Questions of all services together; the rest is left unasked, loudly.
pub const QUESTIONS_MAX: usize = 4096;

/// How questions are asked; a test answers them itself.
#[async_trait]
pub trait Probes: Send + Sync {
    async fn http(&self, url: &str, status: u16, body: Option<&str>, timeout: Duration) -> Result<Duration, String>;
    async fn tcp(&self, address: &str, timeout: Duration) -> Result<Duration, String>;
    /// The last published lag of a replica in this region and when it was measured.
    async fn rds_lag(&self, instance: &str) -> Result<Option<(Duration, Timestamp)>, String>;
    /// The last published latency of a global table from this region to `receiving`, and when it was measured.
    async fn dynamodb_lag(&self, table: &str, receiving: &RegionId) -> Result<Option<(Duration, Timestamp)>, String>;
}

pub struct Prober {
    pub observer: AgentId,
    pub region: RegionId,
    pub probes: Arc<dyn Probes>,
    pub board: Arc<Board>,
    pub clock: Arc<dyn Clock>,
    pub seed: u64,
}

/// What one question's task needs.
struct Asker {
    signal: Signal,
    question: Question,
    probes: Arc<dyn Probes>,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    at_once: Arc<Semaphore>,
    rng: StdRng,
    /// Why the lag could not be read, as it was last logged.
    trouble: String,
}

impl Prober {
    /// Follows the watchlist until `stop`. A question that stays the same keeps its history.
    pub async fn run(self, mut watchlist: watch::Receiver<Arc<Vec<Watched>>>, stop: CancellationToken) {
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        let mut seeds = StdRng::seed_from_u64(self.seed);
        let mut asked: BTreeMap<Subject, (Question, AbortOnDropHandle<()>)> = BTreeMap::new();
        loop {
            let services = Arc::clone(&watchlist.borrow_and_update());
            let wanted = self.wanted(&services);
            asked.retain(|subject, (question, _)| {
                let stays = wanted.get(subject) == Some(question);
                if !stays {
                    self.board.retract(subject);
                }
                stays
            });
            for (subject, question) in wanted {
                asked.entry(subject).or_insert_with_key(|subject| {
                    let asker = self.asker(subject, question.clone(), &at_once, seeds.random());
                    (question, AbortOnDropHandle::new(tokio::spawn(asker.run())))
                });
            }
            tokio::select! {
                changed = watchlist.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }

    fn wanted(&self, services: &[Watched]) -> BTreeMap<Subject, Question> {
        let mut wanted: BTreeMap<Subject, Question> =
            services.iter().flat_map(|service| service.questions(&self.region)).collect();
        if wanted.len() > QUESTIONS_MAX {
            tracing::warn!(questions = wanted.len(), max = QUESTIONS_MAX, "more checks than one agent asks");
            wanted = wanted.into_iter().take(QUESTIONS_MAX).collect();
        }
        wanted
    }

    fn asker(&self, subject: &Subject, question: Question, at_once: &Arc<Semaphore>, seed: u64) -> Asker {
        Asker {
            signal: Signal {
                observer: self.observer.clone(),
                observer_region: self.region.clone(),
                service: subject.service.clone(),
                region: subject.region.clone(),
                subject: subject.name.clone(),
                reading: Reading::Unknown { reason: "not asked yet".to_owned() },
                at: self.clock.stamp().unix(),
            },
            question,
            probes: Arc::clone(&self.probes),
            board: Arc::clone(&self.board),
            clock: Arc::clone(&self.clock),
            at_once: Arc::clone(at_once),
            rng: StdRng::seed_from_u64(seed),
            trouble: String::new(),
        }
    }
}

impl Asker {
    async fn run(mut self) {
        let mut hysteresis = Hysteresis::new(self.question.fail_after, self.question.pass_after);
        // Not all at once, and not in step with the other agents.
        let mut pause = self.question.interval.mul_f64(self.rng.random_range(0.0..0.5));
        loop {
            self.clock.sleep(pause).await;
            let Ok(permit) = Arc::clone(&self.at_once).acquire_owned().await else { return };
            let seen = self.ask(&mut hysteresis).await;
            drop(permit);
            if let Some((reading, at)) = seen {
                self.board.publish(Signal { reading, at, ..self.signal.clone() });
            }
            pause = self.question.interval.mul_f64(self.rng.random_range(0.9..1.1));
        }
    }

    async fn ask(&mut self, hysteresis: &mut Hysteresis) -> Option<(Reading, Timestamp)> {
        match self.question.ask.clone() {
            Ask::Http { url, expect_status, body_contains } => {
                let (body, timeout) = (body_contains.as_deref(), self.question.timeout);
                let answer = self.bounded(self.probes.http(&url, expect_status, body, timeout)).await;
                Some(self.health(answer, hysteresis))
            }
            Ask::Tcp { address } => {
                let answer = self.bounded(self.probes.tcp(&address, self.question.timeout)).await;
                Some(self.health(answer, hysteresis))
            }
            Ask::Lag { instance } => {
                let answer = self.bounded(self.probes.rds_lag(&instance)).await;
                self.lag(&instance, answer)
            }
            Ask::TableLag { table } => {
                let answer = self.bounded(self.probes.dynamodb_lag(&table, &self.signal.region)).await;
                self.lag(&table, answer)
            }
        }
    }

    /// The probe bounds itself; this bounds one that does not.
    async fn bounded<T>(&self, asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        let timeout = self.question.timeout;
        tokio::select! {
            biased;
            answer = asked => answer,
            () = self.clock.sleep(timeout.saturating_mul(2)) => Err(format!("no answer within {timeout:?}")),
        }
    }

    fn health(&self, answer: Result<Duration, String>, hysteresis: &mut Hysteresis) -> (Reading, Timestamp) {
        let now = self.clock.stamp().unix();
        (hysteresis.record(answer, now), now)
    }

    /// Of the time when it was measured. When it cannot be read the last measurement stands, growing old: it is what
    /// the loss to expect is told from.
    fn lag(
        &mut self,
        replica: &str,
        answer: Result<Option<(Duration, Timestamp)>, String>,
    ) -> Option<(Reading, Timestamp)> {
        let trouble = match answer {
            Ok(Some((lag, at))) => {
                self.trouble.clear();
                return Some((Reading::ReplicaLag { lag }, at));
            }
            Ok(None) => "none was published lately".to_owned(),
            Err(reason) => reason,
        };
        if trouble != self.trouble {
            tracing::info!(replica, reason = trouble, "replica lag is not known");
            self.trouble = trouble;
        }
        None
    }
}

#[cfg(test)]
mod tests;
