//! The newest signal of each (observer, service, region, subject), dated by this node: soft state, in memory only.
//!
//! What an observer says of its own clock is an age at most. All times here are of this node's steady clock, which nobody
//! sets, and become the mesh's time when they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::detect::{Doubt, SelfReport, Sight};
use mesh_core::ids::{AgentId, RegionId, ServiceId};
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

mod held;
pub mod ripening;
mod shown;

use held::Held;
use ripening::Ripening;

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
    /// Observers of whom one may complete a quorum.
    pub ripening: Ripening,
}

type Subjects = BTreeMap<RegionId, BTreeMap<String, Subject>>;

#[derive(Default)]
struct State {
    /// In the order in which they are judged: of a subject, all observers'.
    services: BTreeMap<ServiceId, Subjects>,
    by_observer: BTreeMap<AgentId, Observed>,
    total: usize,
    changed: BTreeSet<ServiceId>,
    cleared: Option<Instant>,
}

struct Subject {
    place: Arc<Place>,
    by_observer: BTreeMap<AgentId, Held>,
}

/// Where signals of one subject are.
struct Place {
    service: ServiceId,
    region: RegionId,
    subject: String,
}

#[derive(Default)]
struct Observed {
    /// Of what it has told.
    places: Vec<Arc<Place>>,
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
        self.ripening.note(&signal, age);
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
        match state.by_observer.get_mut(observer) {
            Some(of) => of.report = Some(report),
            None => state.by_observer.entry(observer.clone()).or_default().report = Some(report),
        }
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
        let subjects = state.services.get(service).into_iter().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
        subjects.flat_map(|subject| subject.by_observer.values()).flat_map(|held| held.sights(at, now)).collect()
    }

    pub fn all(&self) -> Vec<Signal> {
        let state = self.lock();
        state.subjects().flat_map(|it| it.by_observer.values()).map(|held| held.signal().clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.services.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values)
    }

    fn at(&mut self, place: &Place) -> Option<&mut Subject> {
        self.services.get_mut(&place.service)?.get_mut(&place.region)?.get_mut(&place.subject)
    }

    fn record(&mut self, signal: Signal, age: Age, observed: Instant, now: Instant) -> Recorded {
        let of = self.services.get_mut(&signal.service).and_then(|of| of.get_mut(&signal.region));
        let of = of.and_then(|of| of.get_mut(&signal.subject));
        if let Some(known) = of.and_then(|of| of.by_observer.get_mut(&signal.observer)) {
            return if known.renew(signal, age, observed, now) { Recorded::News } else { Recorded::Again };
        }
        if self.total >= SIGNALS_MAX {
            self.clear(now);
        }
        let count = self.by_observer.get(&signal.observer).map_or(0, |of| of.places.len());
        if count > 0 && (count >= SIGNALS_PER_AGENT_MAX || self.total >= SIGNALS_MAX) {
            self.drop_oldest(&signal.observer);
        }
        if self.total >= SIGNALS_MAX {
            return Recorded::NoRoom;
        }
        let of = self.services.entry(signal.service.clone()).or_default().entry(signal.region.clone()).or_default();
        let subject = of.entry(signal.subject.clone()).or_insert_with(|| Subject::of(&signal));
        self.by_observer.entry(signal.observer.clone()).or_default().places.push(Arc::clone(&subject.place));
        subject.by_observer.insert(signal.observer.clone(), Held::new(signal, age, observed, now));
        self.total += 1;
        Recorded::News
    }

    fn drop_oldest(&mut self, observer: &AgentId) {
        let Some(of) = self.by_observer.get(observer) else { return };
        let heard = |place: &Place| {
            let subject = self.services.get(&place.service)?.get(&place.region)?.get(&place.subject)?;
            subject.by_observer.get(observer).map(Held::heard)
        };
        let oldest = (0..).zip(&of.places).min_by_key(|(_, place)| heard(place)).map(|(nth, _)| nth);
        let Some(nth) = oldest else { return };
        let Some(place) = self.by_observer.get_mut(observer).map(|of| of.places.swap_remove(nth)) else { return };
        if let Some(subject) = self.at(&place) {
            subject.by_observer.remove(observer);
        }
        self.total -= 1;
        self.forget_empty(&place);
    }

    /// An agent that makes up ever new subjects leaves none of them behind.
    fn forget_empty(&mut self, place: &Place) {
        let Some(regions) = self.services.get_mut(&place.service) else { return };
        let Some(subjects) = regions.get_mut(&place.region) else { return };
        if subjects.get(&place.subject).is_some_and(|subject| subject.by_observer.is_empty()) {
            subjects.remove(&place.subject);
        }
        if subjects.is_empty() {
            regions.remove(&place.region);
        }
        if regions.is_empty() {
            self.services.remove(&place.service);
        }
    }

    fn clear(&mut self, now: Instant) {
        if self.cleared.is_some_and(|cleared| now.saturating_duration_since(cleared) < CLEAR_EVERY) {
            return;
        }
        self.cleared = Some(now);
        for subject in self.services.values_mut().flat_map(BTreeMap::values_mut).flat_map(BTreeMap::values_mut) {
            subject.by_observer.retain(|_, held| now.saturating_duration_since(held.heard()) < KEEP);
        }
        self.services.retain(|_, regions| {
            regions.retain(|_, subjects| {
                subjects.retain(|_, subject| !subject.by_observer.is_empty());
                !subjects.is_empty()
            });
            !regions.is_empty()
        });
        self.by_observer.values_mut().for_each(|of| of.places.clear());
        self.total = 0;
        let subjects = self.services.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
        for (subject, observer) in subjects.flat_map(|it| it.by_observer.keys().map(move |observer| (it, observer))) {
            self.by_observer.entry(observer.clone()).or_default().places.push(Arc::clone(&subject.place));
            self.total += 1;
        }
        self.by_observer.retain(|_, of| !of.places.is_empty());
    }
}

impl Subject {
    fn of(signal: &Signal) -> Self {
        let (service, region) = (signal.service.clone(), signal.region.clone());
        let place = Place { service, region, subject: signal.subject.clone() };
        Self { place: Arc::new(place), by_observer: BTreeMap::new() }
    }
}

fn shorten(text: &mut String) {
    if text.len() > TEXT_MAX {
        *text = text.chars().take(TEXT_MAX / 4).collect();
    }
}

#[cfg(test)]
mod tests;
