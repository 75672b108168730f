//! One intent from its offer to its outcome.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::execute::{self, CallResult, Job, Next, Observation, POLL_MIN, Progress};
use mesh_core::run::{Outcome, OutcomeResult};
use mesh_providers::permit::while_permitted;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::since::Since;
use crate::journal::{Entry, Event, IntentId, JournalError};

/// What the task knows beside the journal.
struct Work<'a> {
    shared: &'a Shared,
    job: Job,
    intent: IntentId,
    started: Since,
    last_call: Option<Since>,
    /// Since the first accepted call, or since the thing was first seen changing.
    provider_wait: Option<Since>,
    unreadable: u32,
    look_took: Duration,
}

pub async fn carry_out(shared: &Shared, job: Job, ended: &CancellationToken) -> Result<(), JournalError> {
    let intent = IntentId::from(&job);
    if entry(shared, &intent).is_none() {
        shared.append(Event::Accepted(Box::new(job.clone()))).await?;
    }
    let Some(entry) = entry(shared, &intent) else { return Ok(()) };
    let now = shared.clock.stamp();
    let mut work = Work {
        shared,
        job,
        intent,
        started: Since::journalled(entry.accepted_at, now),
        last_call: entry.last_call_at.map(|at| Since::journalled(at, now)),
        provider_wait: entry.provider_since.map(|at| Since::journalled(at, now)),
        unreadable: 0,
        look_took: Duration::ZERO,
    };
    work.run(ended).await
}

impl Work<'_> {
    /// Ends early, but never in the middle of a call, when the intent was closed without us: then its entry is gone.
    async fn run(&mut self, ended: &CancellationToken) -> Result<(), JournalError> {
        loop {
            let Some(entry) = entry(self.shared, &self.intent) else { return Ok(()) };
            if self.is_stale() && entry.progress.calls == 0 {
                let outcome = execute::give_up(&self.job, &entry.progress, "stale generation");
                return self.finish(outcome).await;
            }
            let offered = self.shared.gate.permits(&self.job);
            let looked_at = self.shared.clock.stamp();
            let observation = tokio::select! {
                biased;
                observation = self.observe(&entry) => observation,
                () = ended.cancelled() => return Ok(()),
            };
            self.look_took = Since::now(looked_at).age(self.shared.clock.stamp());
            self.note(&observation);
            let progress = self.progress(&entry);
            let permitted = self.permitted(&entry, offered);
            let next = execute::next(&self.job, &progress, &observation, permitted);
            tracing::debug!(run = %self.job.run, step = %self.job.step, ?observation, ?next, permitted, "looked");
            match next {
                Next::Finish(outcome) => return self.finish(outcome).await,
                Next::Wait(_) | Next::Call { .. } if self.is_stale() => {
                    let outcome = execute::give_up(&self.job, &progress, "stale generation: a newer one is at work");
                    return self.finish(outcome).await;
                }
                Next::Wait(pause) => tokio::select! {
                    () = self.pause(pause, permitted) => {}
                    () = ended.cancelled() => return Ok(()),
                },
                Next::Call { before } => self.call(&entry, &before).await?,
            }
        }
    }

    /// A newer generation of the service, or a newer intent at the same effect, was taken.
    fn is_stale(&self) -> bool {
        let mut stale = false;
        self.shared.log.read(&mut |book| {
            stale = book.floor(&self.job.service) > self.job.token.generation || book.is_replaced(&self.job);
        });
        stale
    }

    async fn observe(&self, entry: &Entry) -> Observation {
        let job = self.as_the_provider_sees_it(entry);
        tokio::select! {
            biased;
            observation = self.shared.provider.observe(&job, entry.progress.accepted.as_deref()) => observation,
            () = self.shared.clock.sleep(self.shared.settings.observe_deadline) => Observation::Unreadable {
                reason: format!("no answer within {:?}", self.shared.settings.observe_deadline),
            },
        }
    }

    fn note(&mut self, observation: &Observation) {
        match observation {
            Observation::Unreadable { .. } => self.unreadable = self.unreadable.saturating_add(1),
            Observation::Pending { .. } => {
                self.unreadable = 0;
                self.provider_wait.get_or_insert(Since::now(self.shared.clock.stamp()));
            }
            Observation::Satisfied { .. }
            | Observation::Ready { .. }
            | Observation::Blocked { .. }
            | Observation::Superseded { .. }
            | Observation::Ambiguous { .. } => self.unreadable = 0,
        }
    }

    fn progress(&self, entry: &Entry) -> Progress {
        let now = self.shared.clock.stamp();
        Progress {
            since_call: self.last_call.map(|since| since.age(now)).unwrap_or_default(),
            elapsed: self.started.age(now),
            look_took: self.look_took,
            unreadable: self.unreadable,
            ..entry.progress.clone()
        }
    }

    async fn pause(&self, pause: Duration, permitted: bool) {
        let sleep = self.shared.clock.sleep(pause);
        if permitted {
            return sleep.await;
        }
        tokio::select! {
            () = sleep => {}
            () = self.shared.gate.until_permitted(&self.job) => {}
        }
    }

    async fn call(&mut self, entry: &Entry, before: &str) -> Result<(), JournalError> {
        let Some(open) = self.shared.gate.begin(&self.job) else {
            self.shared.clock.sleep(POLL_MIN).await;
            return Ok(());
        };
        // Asked after `begin`: a newer generation that is taken from here on waits for this call.
        if self.is_stale() {
            return Ok(());
        }
        self.shared.append(Event::CallStarted { intent: self.intent.clone(), before: before.to_owned() }).await?;
        let result = if self.shared.gate.permits(&self.job) && !self.is_stale() {
            self.send(entry, before).await
        } else {
            CallResult::NotApplied { reason: "permission ended before it was sent".to_owned() }
        };
        let now = self.shared.clock.stamp();
        self.last_call = Some(Since::now(now));
        if matches!(result, CallResult::Accepted { .. }) {
            self.provider_wait.get_or_insert(Since::now(now));
        }
        tracing::info!(run = %self.job.run, step = %self.job.step, intent = %self.job.token, ?result, "call ended");
        self.shared.append(Event::CallEnded { intent: self.intent.clone(), result }).await?;
        drop(open);
        Ok(())
    }

    /// A process that was stopped just before it signs must not sign with permission that ended meanwhile.
    fn permit(&self) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let (gate, job) = (Arc::clone(&self.shared.gate), self.job.clone());
        Arc::new(move || gate.permits(&job))
    }

    async fn send(&self, entry: &Entry, before: &str) -> CallResult {
        let job = self.as_the_provider_sees_it(entry);
        tracing::info!(run = %job.run, step = %job.step, intent = %job.token, "calling");
        let longest = self.shared.settings.call_deadline;
        let deadline = self.shared.gate.call_deadline(&job).map_or(longest, |leased| leased.min(longest));
        tokio::select! {
            biased;
            result = while_permitted(self.permit(), self.shared.provider.call(&job, before)) => result,
            () = self.shared.clock.sleep(deadline) => CallResult::Unknown {
                reason: format!("no answer within {deadline:?}"),
            },
        }
    }

    /// A call that may be out already is repeated only while it is young, and its age is told by the mesh's time, which an
    /// offer says: a look that began before the offer came, as after a restart, did not know it.
    fn permitted(&self, entry: &Entry, before_the_look: bool) -> bool {
        self.shared.gate.permits(&self.job) && (before_the_look || entry.doubtful_since.is_none())
    }

    fn as_the_provider_sees_it(&self, entry: &Entry) -> Job {
        entry.job.for_provider(entry.doubtful_since, self.shared.mesh_now())
    }

    async fn finish(&self, mut outcome: Outcome) -> Result<(), JournalError> {
        if outcome.result == OutcomeResult::Done {
            let now = self.shared.clock.stamp();
            outcome.provider_wait = self.provider_wait.map(|since| since.age(now)).unwrap_or_default();
        }
        tracing::info!(
            run = %self.job.run, step = %self.job.step, intent = %self.job.token,
            result = ?outcome.result, detail = outcome.detail, calls = outcome.calls, "intent ended"
        );
        self.shared.append(Event::Outcome { intent: self.intent.clone(), outcome }).await?;
        self.shared.outcomes.send_replace(());
        Ok(())
    }
}

fn entry(shared: &Shared, intent: &IntentId) -> Option<Entry> {
    let mut entry = None;
    shared.log.read(&mut |book| entry = book.entry(intent).cloned());
    entry
}
