//! One subject as one observer told of it, last and before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::detect::Sight;
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::{Timestamp, duration_millis};
use tokio::time::Instant;

use super::Age;

/// Measurements of a lag that are kept beside the newest, of another time each: about an hour of CloudWatch's.
const LAGS_MAX: usize = 64;

/// A pass that comes later than this may end a silence. A check is fresh for 3 s at least.
const AGAIN_WITHIN: Duration = Duration::from_secs(3);

#[derive(Clone)]
struct Told {
    signal: Arc<Signal>,
    observed: Instant,
    heard: Instant,
    /// First failure of the present unbroken row.
    failing_since: Option<Instant>,
    alternations: u32,
}

pub struct Held {
    newest: Told,
    /// When it was last seen not to be in a row of failures: no row began before.
    unbroken: Option<Instant>,
    /// Lags, in the order of their measurement; without the newest.
    lags: VecDeque<Told>,
}

impl Held {
    pub fn new(signal: Signal, age: Age, observed: Instant, now: Instant) -> Self {
        let unbroken = is_unbroken(&signal, age).then_some(observed);
        let failing_since = failing_since(&signal, age, None, now);
        Self { newest: told(signal, age, observed, now, failing_since), unbroken, lags: VecDeque::new() }
    }

    pub fn signal(&self) -> &Signal {
        &self.newest.signal
    }

    pub fn heard(&self) -> Instant {
        self.newest.heard
    }

    /// True if it may change a verdict at once: it is not as well as it was a moment ago.
    pub fn renew(&mut self, signal: Signal, age: Age, observed: Instant, now: Instant) -> bool {
        if is_lag(&signal) && is_lag(self.signal()) {
            self.measure(told(signal, age, observed, now, None));
            return true;
        }
        let passes = |signal: &Signal| matches!(signal.reading, Reading::Passing { .. });
        let again = passes(&signal)
            && passes(self.signal())
            && self.newest.alternations == age.alternations
            && now.saturating_duration_since(self.newest.heard) < AGAIN_WITHIN;
        if is_unbroken(&signal, age) {
            self.unbroken = Some(self.unbroken.map_or(observed, |before| before.max(observed)));
        }
        let same_row = matches!((&self.signal().reading, &signal.reading),
            (Reading::Failing { since: before, .. }, Reading::Failing { since, .. }) if before == since);
        let before = self.newest.failing_since.filter(|_| same_row);
        let since =
            failing_since(&signal, age, before, now).map(|since| self.unbroken.map_or(since, |it| since.max(it)));
        self.newest = told(signal, age, observed, now, since);
        !again
    }

    /// Measurements may come late, and again.
    fn measure(&mut self, lag: Told) {
        if lag.signal.at == self.newest.signal.at {
            self.newest.heard = lag.heard;
            return;
        }
        let older = if lag.signal.at > self.newest.signal.at { std::mem::replace(&mut self.newest, lag) } else { lag };
        let place = self.lags.partition_point(|kept| kept.signal.at < older.signal.at);
        if self.lags.get(place).is_none_or(|kept| kept.signal.at != older.signal.at) {
            self.lags.insert(place, older);
        }
        while self.lags.len() > LAGS_MAX {
            self.lags.pop_front();
        }
    }

    pub fn sights(&self, at: Timestamp, now: Instant) -> impl Iterator<Item = Sight> {
        let dated = move |instant: Instant| {
            let ago = duration_millis(now.saturating_duration_since(instant));
            Timestamp::from_millis(at.as_millis().saturating_sub(ago))
        };
        self.lags.iter().chain([&self.newest]).map(move |told| Sight {
            signal: Arc::clone(&told.signal),
            observed_at: dated(told.observed),
            failing_since: told.failing_since.map(dated),
            heard_at: dated(told.heard),
            alternations: told.alternations,
        })
    }
}

fn told(signal: Signal, age: Age, observed: Instant, heard: Instant, failing_since: Option<Instant>) -> Told {
    Told { signal: Arc::new(signal), observed, heard, failing_since, alternations: age.alternations }
}

fn is_lag(signal: &Signal) -> bool {
    matches!(signal.reading, Reading::ReplicaLag { .. })
}

/// It passed, or its last answer did.
fn is_unbroken(signal: &Signal, age: Age) -> bool {
    match signal.reading {
        Reading::Passing { .. } => true,
        Reading::Failing { .. } => age.failing == Some(Duration::ZERO),
        Reading::ReplicaLag { .. } | Reading::Items { .. } | Reading::Unknown { .. } => false,
    }
}

/// `before`: of the same row, for an observer that does not say how long it has failed.
fn failing_since(signal: &Signal, age: Age, before: Option<Instant>, now: Instant) -> Option<Instant> {
    match (&signal.reading, age.failing) {
        (Reading::Failing { .. }, Some(Duration::ZERO)) => None,
        (Reading::Failing { .. }, Some(failing)) => Some(now.checked_sub(failing).unwrap_or(now)),
        (Reading::Failing { .. }, None) => Some(before.unwrap_or(now)),
        (Reading::Passing { .. } | Reading::ReplicaLag { .. } | Reading::Items { .. } | Reading::Unknown { .. }, _) => {
            None
        }
    }
}
