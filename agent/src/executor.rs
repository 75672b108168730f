//! Carries out intents: one task each, at most [`JOBS_MAX`]. It decides nothing; `mesh_core::execute` does.
//!
//! Order of every effect: accepted in the journal, observed, permitted, call started in the journal, call, call ended in
//! the journal, observed until terminal, outcome in the journal, reported until acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::execute::Job;
use mesh_core::ids::{RegionId, RunId};
use mesh_core::run::{Outcome, OutcomeResult};
use mesh_core::time::Timestamp;
use mesh_providers::Provider;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::gate::Gate;
use crate::journal::{Event, IntentId, JournalError, Log, Record};

use since::Since;

pub mod check;
mod since;
#[cfg(test)]
mod tests;
mod work;

/// Intents that are carried out at once. A run has at most as many steps.
pub const JOBS_MAX: usize = 64;
/// Intents in the journal, the reported but unacknowledged among them.
pub const ENTRIES_MAX: usize = 256;

#[derive(Clone, Debug)]
pub struct Settings {
    pub region: RegionId,
    /// A call without an answer for this long is unknown.
    pub call_deadline: Duration,
    pub observe_deadline: Duration,
}

pub struct Executor {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    log: Arc<dyn Log>,
    gate: Arc<Gate>,
    provider: Arc<dyn Provider>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    /// Intents with a task, and what ends it early.
    running: Mutex<BTreeMap<IntentId, CancellationToken>>,
    /// The mesh's time, as the last offer said it.
    mesh_time: Mutex<Option<(Timestamp, Since)>>,
    outcomes: watch::Sender<()>,
}

/// What became of an offer.
#[derive(Debug, PartialEq, Eq)]
pub enum Offered {
    Taken,
    /// It is in hand; nothing new happens.
    Known,
    /// Its outcome is in the journal: report it again.
    Finished(Box<Report>),
    /// It was finished and acknowledged before.
    Settled,
    /// Not taken, nothing is in the journal: report this once.
    Refused(Box<Report>),
}

impl Offered {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Known => "known",
            Self::Finished(_) => "finished",
            Self::Settled => "settled",
            Self::Refused(_) => "refused",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub job: Job,
    pub outcome: Outcome,
}

impl Executor {
    /// Goes on with what the journal says is unfinished.
    pub fn start(
        log: Arc<dyn Log>,
        gate: Arc<Gate>,
        provider: Arc<dyn Provider>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let shared = Arc::new(Shared {
            log,
            gate,
            provider,
            clock,
            settings,
            running: Mutex::default(),
            mesh_time: Mutex::default(),
            outcomes: watch::Sender::new(()),
        });
        let executor = Self { shared, tasks: Mutex::default() };
        let mut unfinished = Vec::new();
        executor.shared.log.read(&mut |book| {
            unfinished =
                book.entries().filter(|(_, e)| e.outcome.is_none()).map(|(_, e)| e.job.clone()).collect::<Vec<_>>();
        });
        for job in unfinished {
            tracing::info!(run = %job.run, step = %job.step, intent = %job.token, "going on after a restart");
            executor.spawn(job);
        }
        executor
    }

    /// Takes the job unless it is known.
    pub fn offer(&self, job: Job) -> Offered {
        let intent = IntentId::from(&job);
        let (mut settled, mut finished, mut entries) = (false, None, 0);
        self.shared.log.read(&mut |book| {
            settled = book.is_settled(&intent);
            finished = book.entry(&intent).and_then(|entry| entry.outcome.clone());
            entries = book.entries().count();
        });
        if settled {
            return Offered::Settled;
        }
        if let Some(outcome) = finished {
            return Offered::Finished(Box::new(Report { job, outcome }));
        }
        if job.region != self.shared.settings.region {
            let detail = format!("this agent serves {}, not {}", self.shared.settings.region, job.region);
            return Offered::Refused(Box::new(Report { job, outcome: not_taken(detail, false) }));
        }
        self.shared.note_mesh_time(&job);
        self.shared.gate.offered(intent.clone());
        self.shared.gate.acting(&job);
        let running = self.shared.running().len();
        if self.shared.running().contains_key(&intent) {
            return Offered::Known;
        }
        if running >= JOBS_MAX || entries >= ENTRIES_MAX {
            let detail = format!("{running} intents in hand, {entries} in the journal: no more are taken");
            return Offered::Refused(Box::new(Report { job, outcome: not_taken(detail, true) }));
        }
        self.spawn(job);
        Offered::Taken
    }

    /// No mutating call of the run starts after this returns; one that was out has ended.
    pub async fn halt(&self, run: &RunId) {
        self.shared.gate.halt(run).await;
    }

    /// The outcome is committed, or the intent was closed without us: it may be forgotten.
    pub async fn acknowledge(&self, intent: &IntentId) -> Result<(), JournalError> {
        let mut known = false;
        self.shared.log.read(&mut |book| known = book.entry(intent).is_some());
        if !known {
            return Ok(());
        }
        self.shared.gate.forget(intent);
        if let Some(token) = self.shared.running().get(intent) {
            token.cancel();
        }
        self.shared.append(Event::Acknowledged { intent: intent.clone() }).await
    }

    /// Outcomes that nobody has acknowledged.
    pub fn unacknowledged(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        self.shared.log.read(&mut |book| {
            reports = book
                .entries()
                .filter_map(|(_, e)| Some(Report { job: e.job.clone(), outcome: e.outcome.clone()? }))
                .collect();
        });
        reports
    }

    /// Every intent of the journal that is not acknowledged.
    pub fn unfinished(&self) -> Vec<IntentId> {
        let mut intents = Vec::new();
        self.shared.log.read(&mut |book| intents = book.entries().map(|(intent, _)| intent.clone()).collect());
        intents
    }

    /// Changes whenever a new outcome is in the journal.
    pub fn outcomes(&self) -> watch::Receiver<()> {
        self.shared.outcomes.subscribe()
    }

    fn spawn(&self, job: Job) {
        let token = CancellationToken::new();
        let intent = IntentId::from(&job);
        self.shared.running().insert(intent.clone(), token.clone());
        let shared = Arc::clone(&self.shared);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            if let Err(error) = work::carry_out(&shared, job, &token).await {
                // The journal has told who must know; without a record nothing is called or reported.
                tracing::error!(error = &error as &dyn std::error::Error, %intent, "an intent stopped");
            }
            shared.running().remove(&intent);
        });
    }
}

impl Shared {
    async fn append(&self, event: Event) -> Result<(), JournalError> {
        self.log.append(Record { at: self.clock.stamp().unix(), event }).await
    }

    fn note_mesh_time(&self, job: &Job) {
        if let Some(at) = job.mesh_time {
            let now = Since::now(self.clock.stamp());
            *self.mesh_time.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, now));
        }
    }

    fn mesh_now(&self) -> Option<Timestamp> {
        let (at, since) = (*self.mesh_time.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(at.plus(since.age(self.clock.stamp())))
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<IntentId, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_taken(detail: String, retry: bool) -> Outcome {
    Outcome {
        result: OutcomeResult::Refused { retry },
        detail,
        read_back: String::new(),
        before: String::new(),
        calls: 0,
        provider_wait: Duration::ZERO,
    }
}
