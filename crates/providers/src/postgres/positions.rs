//! What a replica's primary had on its disk, at moments of this agent's own clock. A replica that has replayed such a
//! position has everything that was acknowledged before the question was asked, whatever either server's clock says and
//! whether or not anything was written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mesh_core::manifest::PostgresInstance;
use mesh_core::time::Timestamp;

/// Of each replica: some minutes, at one a second.
const KEPT: usize = 512;
/// Replicas: no manifest has as many.
const REPLICAS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Before the question was sent.
    pub asked: Instant,
    pub asked_at: Timestamp,
    pub timeline: u32,
    /// On the primary's disk.
    pub flushed: u64,
}

/// In the order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct History(VecDeque<Position>);

impl History {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The newest that a replica of this timeline has, which replayed up to `lsn`.
    pub(super) fn reached(&self, timeline: u32, lsn: u64) -> Option<&Position> {
        self.0.iter().rev().find(|known| known.timeline == timeline && known.flushed <= lsn)
    }

    /// The primary's last known position on the timeline.
    pub(super) fn last(&self, timeline: u32) -> Option<&Position> {
        self.0.iter().rev().find(|known| known.timeline == timeline)
    }

    pub(super) fn note(&mut self, position: Position) {
        while self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(position);
    }
}

/// By the replica.
#[derive(Default)]
pub(super) struct Positions(Mutex<BTreeMap<PostgresInstance, History>>);

impl Positions {
    pub(super) fn of(&self, replica: &PostgresInstance) -> History {
        self.lock().get(replica).cloned().unwrap_or_default()
    }

    pub(super) fn note(&self, replica: &PostgresInstance, position: Position) {
        let mut all = self.lock();
        if all.len() >= REPLICAS_MAX && !all.contains_key(replica) {
            all.clear();
        }
        all.entry(replica.clone()).or_default().note(position);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PostgresInstance, History>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn history(known: &[(u64, u32, u64)]) -> History {
        let (began, mut history) = (Instant::now(), History::default());
        for (second, timeline, flushed) in known {
            history.note(Position {
                asked: began + Duration::from_secs(*second),
                asked_at: Timestamp::from_millis(second * 1000),
                timeline: *timeline,
                flushed: *flushed,
            });
        }
        history
    }

    #[test]
    fn a_replica_has_what_was_acknowledged_before_the_newest_position_that_it_replayed() {
        let history = history(&[(1, 1, 100), (2, 1, 200), (3, 1, 200), (4, 1, 900)]);
        let reached = |lsn| history.reached(1, lsn).map(|known| known.asked_at.as_millis());
        assert_eq!(reached(99), None);
        assert_eq!(reached(199), Some(1_000));
        assert_eq!(reached(200), Some(3_000), "nothing was written in between");
        assert_eq!(reached(u64::MAX), Some(4_000));
        assert_eq!(history.last(1).map(|known| known.flushed), Some(900));
    }

    #[test]
    fn positions_of_another_timeline_say_nothing() {
        let history = history(&[(1, 1, 100), (2, 2, 50)]);
        assert_eq!(history.reached(1, 500).map(|known| known.asked_at.as_millis()), Some(1_000));
        assert_eq!(history.reached(3, 500), None);
        assert!(history.last(3).is_none());
    }

    #[test]
    fn no_more_than_a_bounded_number_is_kept() {
        let known: Vec<_> = (0..KEPT as u64 + 10).map(|n| (n, 1, n)).collect();
        let history = history(&known);
        assert_eq!(history.0.len(), KEPT);
        assert_eq!(history.reached(1, 9), None, "the oldest are gone");
    }
}
