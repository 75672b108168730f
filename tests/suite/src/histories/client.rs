//! A client: asks one thing after another, at one coordinator or another, and has each recorded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mesh_history::{Op, Outcome, Recorder};
use mesh_proto::v1;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tonic::Code;

use super::Numbers;
use super::door::{Answer, Doors, ask};
use super::objects::{freeze_of, manifest, manifest_of, reason, shown};
use crate::rig::LONG;

const THINK_MS: std::ops::Range<u64> = 5..60;
const THINK_AFTER_FAILURE_MS: std::ops::Range<u64> = 50..250;
/// A checker's bound: what one client asks in one history.
const OPERATIONS_MAX: usize = 4_000;
const FREEZE: Duration = Duration::from_secs(3600);

/// What all clients of a history have in common.
pub struct Shared {
    pub recorder: Recorder,
    services: Vec<String>,
    processes: Numbers,
    values: Numbers,
    unexpected: Mutex<Vec<String>>,
}

impl Shared {
    pub fn new(services: Vec<String>) -> Self {
        let (recorder, unexpected) = (Recorder::default(), Mutex::default());
        Self { recorder, services, processes: Numbers::default(), values: Numbers::default(), unexpected }
    }

    pub fn unexpected(&self) -> Vec<String> {
        self.unexpected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn complain(&self, what: String) {
        self.recorder.note(&what);
        self.unexpected.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

pub struct Client {
    shared: Arc<Shared>,
    doors: Doors,
    rng: StdRng,
    process: u64,
    at: usize,
    /// The newest version of each service that it met.
    known: BTreeMap<String, u64>,
    /// What it has no answer to: service, expected version and value.
    unanswered: Option<(String, u64, u64)>,
}

impl Client {
    pub fn new(shared: &Arc<Shared>, doors: Doors, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let (process, at) = (shared.processes.take(), rng.random_range(0..doors.len()));
        Self { shared: Arc::clone(shared), doors, rng, process, at, known: BTreeMap::new(), unanswered: None }
    }

    /// Stores every service for the first time.
    pub async fn found(mut self) {
        let deadline = Instant::now() + LONG;
        for service in self.shared.services.clone() {
            let value = self.shared.values.take();
            while !self.apply(&service, 0, value).await {
                assert!(Instant::now() < deadline, "{service} was never stored");
                self.rest(false).await;
            }
        }
    }

    pub async fn ask_until(mut self, over: Arc<AtomicBool>) {
        for _ in 0..OPERATIONS_MAX {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let well = self.ask_something().await;
            self.rest(well).await;
        }
    }

    /// At each coordinator.
    pub async fn read_everything(mut self) {
        let deadline = Instant::now() + LONG;
        for at in 0..self.doors.len() {
            self.at = at;
            while !self.read_all().await {
                assert!(Instant::now() < deadline, "coordinator {at} never answered");
                self.at = at;
                self.rest(false).await;
            }
        }
    }

    async fn rest(&mut self, well: bool) {
        let pause = self.rng.random_range(if well { THINK_MS } else { THINK_AFTER_FAILURE_MS });
        tokio::time::sleep(Duration::from_millis(pause)).await;
        // Most stay where they were answered; some stay where they were not.
        if self.rng.random_bool(if well { 0.1 } else { 0.7 }) {
            self.at = self.rng.random_range(0..self.doors.len());
        }
    }

    /// Was it answered?
    async fn ask_something(&mut self) -> bool {
        if self.rng.random_bool(0.5)
            && let Some((service, expected, value)) = self.unanswered.take()
        {
            return self.apply(&service, expected, value).await;
        }
        let services = &self.shared.services;
        let service = services[self.rng.random_range(0..services.len())].clone();
        match self.rng.random_range(0..100) {
            0..30 => self.read(&service).await,
            30..42 => self.read_all().await,
            42..75 => {
                let known = self.known.get(&service).copied().unwrap_or(1);
                let expected = if self.rng.random_bool(0.9) { known } else { known.saturating_sub(1) };
                let value = self.shared.values.take();
                self.apply(&service, expected, value).await
            }
            _ => self.freeze(&service).await,
        }
    }

    async fn apply(&mut self, service: &str, expected: u64, value: u64) -> bool {
        let (stored, source) = manifest(service, value);
        let request = v1::ApplyManifestRequest { manifest: Some(stored), source, expected_version: expected };
        let object = manifest_of(service);
        self.shared.recorder.invoke(self.process, &object, Op::Apply { expected, value });
        let mut door = self.doors.at(self.at);
        let outcome = match ask(door.apply_manifest(request)).await {
            Answer::Ok(answer) => {
                self.met(service, answer.version);
                Some(Outcome::Applied { version: answer.version })
            }
            Answer::Said(status) if status.code() == Code::Aborted => Some(Outcome::Refused),
            other => self.rest_of(other, &object),
        };
        if outcome.is_none() {
            self.unanswered = Some((service.to_owned(), expected, value));
        }
        if outcome == Some(Outcome::Refused) {
            // It looks again.
            self.known.remove(service);
        }
        self.end(&[(object, outcome)])
    }

    async fn freeze(&mut self, service: &str) -> bool {
        let value = self.shared.values.take();
        let lasting_ms = u64::try_from(FREEZE.as_millis()).expect("an hour");
        let request = v1::FreezeRequest { service: service.to_owned(), lasting_ms, reason: reason(value) };
        let object = freeze_of(service);
        self.shared.recorder.invoke(self.process, &object, Op::Write { value });
        let mut door = self.doors.at(self.at);
        let outcome = match ask(door.freeze(request)).await {
            Answer::Ok(_) => Some(Outcome::Written),
            other => self.rest_of(other, &object),
        };
        self.end(&[(object, outcome)])
    }

    async fn read(&mut self, service: &str) -> bool {
        self.invoke_reads(std::slice::from_ref(&service.to_owned()));
        let mut door = self.doors.at(self.at);
        let answer = match ask(door.get_service(v1::GetServiceRequest { service: service.to_owned() })).await {
            Answer::Said(status) if status.code() == Code::NotFound => Answer::Ok(v1::GetServiceResponse::default()),
            answer => answer,
        };
        let answer = match answer {
            Answer::Ok(answer) => vec![(service.to_owned(), answer.entity)],
            other => {
                self.rest_of(other, service);
                Vec::new()
            }
        };
        self.end_reads(answer)
    }

    async fn read_all(&mut self) -> bool {
        let services = self.shared.services.clone();
        self.invoke_reads(&services);
        let mut door = self.doors.at(self.at);
        let answer = match ask(door.get_status(v1::GetStatusRequest { stale: false })).await {
            Answer::Ok(answer) => {
                let mut all: BTreeMap<String, Option<v1::ServiceEntity>> =
                    answer.services.into_iter().map(|one| (one.service, one.entity)).collect();
                services.iter().map(|service| (service.clone(), all.remove(service).flatten())).collect()
            }
            other => {
                self.rest_of(other, "the status");
                Vec::new()
            }
        };
        self.end_reads(answer)
    }

    fn invoke_reads(&self, services: &[String]) {
        for object in services.iter().flat_map(|service| [manifest_of(service), freeze_of(service)]) {
            self.shared.recorder.invoke(self.process, &object, Op::Read);
        }
    }

    fn end_reads(&mut self, answer: Vec<(String, Option<v1::ServiceEntity>)>) -> bool {
        let mut ends = Vec::new();
        for (service, entity) in answer {
            if let Some(entity) = &entity {
                self.met(&service, entity.version);
            }
            match shown(&service, entity.as_ref()) {
                Ok(objects) => ends.extend(objects.map(|(object, outcome)| (object, Some(outcome)))),
                Err(wrong) => {
                    self.shared.complain(wrong);
                    ends.push((service, None));
                }
            }
        }
        if ends.is_empty() {
            ends.push((String::new(), None));
        }
        self.end(&ends)
    }

    /// What is left when the answers that belong to the operation are taken away.
    fn rest_of<T>(&self, answer: Answer<T>, object: &str) -> Option<Outcome> {
        match answer {
            Answer::NotSent => Some(Outcome::NotSent),
            Answer::Unknown | Answer::Ok(_) => None,
            Answer::Said(status) => {
                self.shared.complain(format!("{object}: {:?}: {}", status.code(), status.message()));
                None
            }
        }
    }

    fn met(&mut self, service: &str, version: u64) {
        let known = self.known.entry(service.to_owned()).or_default();
        *known = version.max(*known);
    }

    /// Records how it ended. Whoever has no answer goes on as another.
    fn end(&mut self, ends: &[(String, Option<Outcome>)]) -> bool {
        let mut answered = true;
        for (object, outcome) in ends {
            match outcome {
                Some(outcome) => self.shared.recorder.answer(self.process, object, *outcome),
                None => answered = false,
            }
            answered &= *outcome != Some(Outcome::NotSent);
        }
        if ends.iter().any(|(_, outcome)| outcome.is_none()) {
            self.process = self.shared.processes.take();
        }
        answered
    }
}
