//! Asks every check about every region and measures the lag of this region's replicas, and of those that it feeds. What it finds stands on the
//! [`board`]; it decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mesh_core::ids::{AgentId, RegionId};
use mesh_core::manifest::PostgresInstance;
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::Timestamp;
use mesh_providers::Count;
use mesh_providers::probe::{self, Answer};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Clock;

mod asker;
pub mod board;
pub mod schedule;
pub mod slip;
pub mod slots;
pub mod watched;

use asker::Asker;
use board::{Board, Subject};
use slip::Slip;
use slots::Slots;
use watched::{Question, Watched};

/// Questions of all services together; the rest is left unasked, loudly.
pub const QUESTIONS_MAX: usize = 4096;

/// How questions are asked; a test answers them itself.
#[async_trait]
pub trait Probes: Send + Sync {
    async fn ask(&self, question: &probe::Question, about: &RegionId, timeout: Duration) -> Answer;
    /// The last published lag of a replica in this region and when it was measured.
    async fn rds_lag(&self, instance: &str) -> Result<Option<(Duration, Timestamp)>, String>;
    /// The last published latency of a global table from this region to `receiving`, and when it was measured.
    async fn dynamodb_lag(&self, table: &str, receiving: &RegionId) -> Result<Option<(Duration, Timestamp)>, String>;
    /// How far a PostgreSQL replica is behind now; `None` while it does not stream.
    async fn postgres_lag(
        &self,
        instance: &PostgresInstance,
        primary: Option<&PostgresInstance>,
        timeout: Duration,
    ) -> Result<Option<Duration>, String>;
    /// Items in the active region, and here.
    async fn items(&self, count: &Count) -> Result<(u64, u64), String> {
        Err(format!("nobody counts {count:?}"))
    }
}

pub struct Prober {
    pub observer: AgentId,
    pub region: RegionId,
    pub probes: Arc<dyn Probes>,
    pub board: Arc<Board>,
    pub clock: Arc<dyn Clock>,
    pub slip: Arc<Slip>,
    pub seed: u64,
}

impl Prober {
    /// Follows the watchlist until `stop`. A question that stays the same keeps its history.
    pub async fn run(self, mut watchlist: watch::Receiver<Arc<Vec<Watched>>>, stop: CancellationToken) {
        let slots = Arc::new(Slots::default());
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
                    let asker = self.asker(subject, question.clone(), &slots, seeds.random());
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

    fn asker(&self, subject: &Subject, question: Question, slots: &Arc<Slots>, seed: u64) -> Asker {
        let signal = Signal {
            observer: self.observer.clone(),
            observer_region: self.region.clone(),
            service: subject.service.clone(),
            region: subject.region.clone(),
            subject: subject.name.clone(),
            reading: Reading::Unknown { reason: "not asked yet".to_owned() },
            at: self.clock.stamp().unix(),
        };
        Asker {
            signal,
            question,
            probes: Arc::clone(&self.probes),
            board: Arc::clone(&self.board),
            clock: Arc::clone(&self.clock),
            slots: Arc::clone(slots),
            slip: Arc::clone(&self.slip),
            rng: StdRng::seed_from_u64(seed),
            trouble: String::new(),
            count: asker::Counting::default(),
        }
    }
}

#[cfg(test)]
mod tests;
