//! The newest signal of each subject. Probes publish, the session reads.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::signal::Signal;
use tokio::sync::watch;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    pub service: ServiceId,
    pub region: RegionId,
    /// Name of the check or of the resource.
    pub name: String,
}

/// At most one signal a question; those are bounded by the prober.
#[derive(Default)]
pub struct Board {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    /// With the number of the change that made it what it is.
    signals: BTreeMap<Subject, (u64, Signal)>,
    changes: u64,
}

impl Board {
    /// A signal of another kind than the last is a change; a new value of the same kind goes out with the next round.
    pub fn publish(&self, signal: Signal) {
        let subject =
            Subject { service: signal.service.clone(), region: signal.region.clone(), name: signal.subject.clone() };
        let mut state = self.lock();
        let former = state.signals.get(&subject);
        let same = former.filter(|(_, former)| discriminant(&former.reading) == discriminant(&signal.reading));
        let same = same.map(|(change, _)| *change);
        let change = same.unwrap_or_else(|| state.changes.saturating_add(1));
        state.changes = state.changes.max(change);
        state.signals.insert(subject, (change, signal));
        drop(state);
        if same.is_none() {
            self.changed.send_replace(());
        }
    }

    /// Nobody asks this any more.
    pub fn retract(&self, subject: &Subject) {
        self.lock().signals.remove(subject);
    }

    /// Signals of changes after `change`, and the number of the newest; 0 for all.
    pub fn since(&self, change: u64) -> (Vec<Signal>, u64) {
        let state = self.lock();
        let newer = state.signals.values().filter(|(at, _)| *at > change);
        (newer.map(|(_, signal)| signal.clone()).collect(), state.changes)
    }

    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
