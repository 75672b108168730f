//! What a coordinator was told of one subject by one observer, dated by its own steady clock, as
//! `coordinator/src/sessions/signals/held.rs` does.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::detect::Sight;
use mesh_core::ids::ServiceId;
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::{Timestamp, duration_millis};

/// As it is told: ages at the time of sending.
#[derive(Clone, Debug)]
pub struct Told {
    pub signal: Arc<Signal>,
    pub region: usize,
    pub age: Duration,
    pub failing: Option<Duration>,
    pub alternations: u32,
}

/// A measured lag, as it is told.
#[derive(Clone, Debug)]
pub struct ToldLag {
    pub region: usize,
    pub lag: Duration,
    /// When it was measured, by its observer's wall clock.
    pub at: Timestamp,
    pub age: Duration,
}

/// A measured lag that was told, by the coordinator's steady clock.
#[derive(Clone, Debug)]
pub struct HeldLag {
    pub lag: Duration,
    pub at: Timestamp,
    observed: Duration,
    heard: Duration,
    /// Made when somebody looks.
    signal: OnceCell<Arc<Signal>>,
}

impl HeldLag {
    pub fn new(told: &ToldLag, now: Duration) -> Self {
        Self { lag: told.lag, at: told.at, observed: now.saturating_sub(told.age), heard: now, signal: OnceCell::new() }
    }

    /// `of` is any signal of its observer about its region.
    pub fn sight(&self, of: &Signal, at: Timestamp, now: Duration) -> Sight {
        let reading = Reading::ReplicaLag { lag: self.lag };
        let signal = self.signal.get_or_init(|| Arc::new(Signal { reading, at: self.at, ..of.clone() }));
        Sight {
            signal: Arc::clone(signal),
            observed_at: dated(at, self.observed, now),
            failing_since: None,
            heard_at: dated(at, self.heard, now),
            alternations: 0,
        }
    }
}

fn dated(at: Timestamp, then: Duration, now: Duration) -> Timestamp {
    at.minus(Duration::from_millis(duration_millis(now.saturating_sub(then))))
}

#[derive(Clone, Debug)]
pub struct Held {
    pub signal: Arc<Signal>,
    observed: Duration,
    heard: Duration,
    failing_since: Option<Duration>,
    unbroken: Option<Duration>,
    alternations: u32,
    /// The same, said of the other services; made when somebody looks.
    of_others: OnceCell<Vec<Arc<Signal>>>,
}

impl Held {
    pub fn new(told: Told, now: Duration) -> Self {
        let observed = now.saturating_sub(told.age);
        let mut held = Self {
            signal: Arc::clone(&told.signal),
            observed,
            heard: now,
            failing_since: None,
            unbroken: None,
            alternations: 0,
            of_others: OnceCell::new(),
        };
        held.renew(told, now);
        held
    }

    pub fn renew(&mut self, told: Told, now: Duration) {
        let observed = now.saturating_sub(told.age);
        if is_unbroken(&told) {
            self.unbroken = Some(self.unbroken.map_or(observed, |before| before.max(observed)));
        }
        let since = match (&told.signal.reading, told.failing) {
            (Reading::Failing { .. }, Some(failing)) if !failing.is_zero() => Some(now.saturating_sub(failing)),
            _ => None,
        };
        self.failing_since = since.map(|since| self.unbroken.map_or(since, |unbroken| since.max(unbroken)));
        self.alternations = told.alternations;
        if !Arc::ptr_eq(&self.signal, &told.signal) {
            self.signal = told.signal;
            self.of_others = OnceCell::new();
        }
        self.observed = observed;
        self.heard = now;
    }

    pub fn fails(&self) -> bool {
        matches!(self.signal.reading, Reading::Failing { .. })
    }

    /// From the first to the last failure of the present row.
    pub fn row(&self) -> Duration {
        self.failing_since.map_or(Duration::ZERO, |since| self.observed.saturating_sub(since))
    }

    /// As said of one of the services, of which the first is its own.
    pub fn sight_of(&self, nth: usize, services: &[ServiceId], at: Timestamp, now: Duration) -> Sight {
        let said = |service: &ServiceId| Arc::new(Signal { service: service.clone(), ..(*self.signal).clone() });
        let others = || self.of_others.get_or_init(|| services.iter().skip(1).map(said).collect());
        let signal = nth.checked_sub(1).and_then(|other| others().get(other)).unwrap_or(&self.signal);
        Sight { signal: Arc::clone(signal), ..self.sight(at, now) }
    }

    pub fn sight(&self, at: Timestamp, now: Duration) -> Sight {
        Sight {
            signal: Arc::clone(&self.signal),
            observed_at: dated(at, self.observed, now),
            failing_since: self.failing_since.map(|since| dated(at, since, now)),
            heard_at: dated(at, self.heard, now),
            alternations: self.alternations,
        }
    }
}

/// It passed, or its last answer did.
fn is_unbroken(told: &Told) -> bool {
    let failing = matches!(told.signal.reading, Reading::Failing { .. });
    matches!(told.signal.reading, Reading::Passing { .. }) || (failing && told.failing == Some(Duration::ZERO))
}
