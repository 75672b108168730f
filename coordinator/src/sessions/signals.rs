//! The newest signal of each (observer, service, region, subject), dated by this node: soft state, in memory only.
//!
//! What an observer says of its own clock is an age at most. All times here are of this node's steady clock, which nobody
//! sets, and become the mesh's time when they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::detect::{Doubt, SelfReport, Sight};
use mesh_core::ids::{AgentId, ServiceId};
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

mod held;
mod shown;

use held::{Held, Key};

/// Signals kept of one agent: 64 services with 8 subjects.
pub const SIGNALS_PER_AGENT_MAX: usize = 512;
/// Signals kept of all agents: 10,000 agents with 12 each.
pub const SIGNALS_MAX: usize = 131_072;
/// Longest reason and subject that is kept; the rest is cut off.
pub const TEXT_MAX: usize = 256;
/// When there is no room, what was not heard again for so long goes. Lags of an hour ago are still wanted.
const KEEP: Duration = Duration::from_secs(2 * 3600);
/// Shortest time between two such rounds: each looks at all.
const CLEAR_EVERY: Duration = Duration::from_secs(10);

/// How old a signal was when it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Age {
    pub seen: Duration,
    /// Since the first failure of the present unbroken row; zero if the last answer was a pass.
    pub failing: Option<Duration>,
    pub alternations: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Recorded {
    News,
    /// Well as before: judging once a second is soon enough, however many say so.
    Again,
    NoRoom,
}

#[derive(Default)]
pub struct Signals {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    by_observer: BTreeMap<AgentId, Observed>,
    /// Who has said something of each service.
    observers: BTreeMap<ServiceId, BTreeSet<AgentId>>,
    total: usize,
    changed: BTreeSet<ServiceId>,
    cleared: Option<Instant>,
}

#[derive(Default)]
struct Observed {
    services: BTreeMap<ServiceId, BTreeMap<Key, Held>>,
    count: usize,
    report: Option<SelfReport>,
}

impl Signals {
    /// In the order in which the observer sent them.
    pub fn record(&self, mut signal: Signal, age: Age, now: Instant) {
        shorten(&mut signal.subject);
        if let Reading::Failing { reason, .. } | Reading::Unknown { reason } = &mut signal.reading {
            shorten(reason);
        }
        // Older than this machine's clock can say is older than anything that is asked.
        let Some(observed) = now.checked_sub(age.seen) else { return };
        let service = signal.service.clone();
        let mut state = self.lock();
        if state.record(signal, age, observed, now) != Recorded::News {
            return;
        }
        if !state.changed.contains(&service) {
            state.changed.insert(service);
        }
        drop(state);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What an observer says of itself; it stands until the next.
    pub fn note_self(&self, observer: &AgentId, report: SelfReport) {
        let mut state = self.lock();
        state.by_observer.entry(observer.clone()).or_default().report = Some(report);
    }

    /// Of the observers that doubt themselves.
    pub fn doubts(&self) -> BTreeMap<AgentId, Doubt> {
        let state = self.lock();
        let doubts = state.by_observer.iter().map(|(agent, of)| (agent, of.report.and_then(|report| report.doubt())));
        doubts.filter_map(|(agent, doubt)| Some((agent.clone(), doubt?))).collect()
    }

    /// Changes with every signal that may change a verdict at once.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Services of which there was such a signal since the last call.
    pub fn take_changed(&self) -> BTreeSet<ServiceId> {
        std::mem::take(&mut self.lock().changed)
    }

    /// All sights of a service, earlier lags too. `at` is the mesh's time of `now`.
    pub fn sights_of(&self, service: &ServiceId, at: Timestamp, now: Instant) -> Vec<Sight> {
        let state = self.lock();
        let held = state.of_service(service);
        held.flat_map(|held| held.sights(at, now)).collect()
    }

    pub fn all(&self) -> Vec<Signal> {
        let state = self.lock();
        let services = state.by_observer.values().flat_map(|observed| observed.services.values());
        services.flat_map(BTreeMap::values).map(|held| held.signal().clone()).collect()
    }

    pub fn of_service(&self, service: &ServiceId) -> Vec<Signal> {
        self.lock().of_service(service).map(|held| held.signal().clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of_service(&self, service: &ServiceId) -> impl Iterator<Item = &Held> {
        let observers = self.observers.get(service).into_iter().flatten();
        let of = |observer| self.by_observer.get(observer)?.services.get(service);
        observers.filter_map(of).flat_map(BTreeMap::values)
    }

    fn record(&mut self, signal: Signal, age: Age, observed: Instant, now: Instant) -> Recorded {
        let key = (signal.region.clone(), signal.subject.clone());
        let of = self.by_observer.get_mut(&signal.observer).and_then(|of| of.services.get_mut(&signal.service));
        if let Some(known) = of.and_then(|of| of.get_mut(&key)) {
            return if known.renew(signal, age, observed, now) { Recorded::News } else { Recorded::Again };
        }
        let (observer, service) = (signal.observer.clone(), signal.service.clone());
        if self.total >= SIGNALS_MAX {
            self.clear(now);
        }
        let count = self.by_observer.get(&observer).map_or(0, |of| of.count);
        if count > 0 && (count >= SIGNALS_PER_AGENT_MAX || self.total >= SIGNALS_MAX) {
            self.drop_oldest(&observer);
        }
        if self.total >= SIGNALS_MAX {
            return Recorded::NoRoom;
        }
        self.observers.entry(service.clone()).or_default().insert(observer.clone());
        let of = self.by_observer.entry(observer).or_default();
        of.services.entry(service).or_default().insert(key, Held::new(signal, age, observed, now));
        of.count += 1;
        self.total += 1;
        Recorded::News
    }

    fn drop_oldest(&mut self, observer: &AgentId) {
        let Some(of) = self.by_observer.get_mut(observer) else { return };
        let held =
            of.services.iter().flat_map(|(service, held)| held.iter().map(move |(key, held)| (service, key, held)));
        let oldest =
            held.min_by_key(|(_, _, held)| held.heard()).map(|(service, key, _)| (service.clone(), key.clone()));
        if let Some((service, key)) = oldest
            && of.services.get_mut(&service).is_some_and(|held| held.remove(&key).is_some())
        {
            of.count -= 1;
            self.total -= 1;
        }
    }

    fn clear(&mut self, now: Instant) {
        if self.cleared.is_some_and(|cleared| now.saturating_duration_since(cleared) < CLEAR_EVERY) {
            return;
        }
        self.cleared = Some(now);
        for of in self.by_observer.values_mut() {
            for held in of.services.values_mut() {
                held.retain(|_, held| now.saturating_duration_since(held.heard()) < KEEP);
            }
            of.services.retain(|_, held| !held.is_empty());
            of.count = of.services.values().map(BTreeMap::len).sum();
        }
        self.by_observer.retain(|_, of| of.count > 0);
        self.total = self.by_observer.values().map(|of| of.count).sum();
        let by_observer = &self.by_observer;
        for (service, observers) in &mut self.observers {
            observers.retain(|observer| by_observer.get(observer).is_some_and(|of| of.services.contains_key(service)));
        }
        self.observers.retain(|_, observers| !observers.is_empty());
    }
}

fn shorten(text: &mut String) {
    if text.len() > TEXT_MAX {
        *text = text.chars().take(TEXT_MAX / 4).collect();
    }
}

#[cfg(test)]
mod tests;
