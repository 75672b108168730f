//! The mesh's time, which never runs backwards: at least the last committed time, at least this node's own clock.
//!
//! A leader whose clock was ahead leaves its successors a committed time in their future. Were the mesh's time to stand
//! still until their clocks have reached it, no pause would end and no run go on for so long. So it goes on from there
//! at half speed: what is waited for takes longer, never less, and the clocks catch up.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use mesh_core::time::Timestamp;

const SLOWER_BY: u32 = 2;

#[derive(Debug, Default)]
pub struct MeshClock {
    /// A committed time ahead of ours, and when it was first seen.
    ahead: Mutex<Option<(Timestamp, Instant)>>,
}

impl MeshClock {
    /// The time to stamp now: `committed` is that of the last command, `wall` this node's clock.
    pub fn stamp(&self, committed: Timestamp, wall: Timestamp, now: Instant) -> Timestamp {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if wall >= committed {
            *ahead = None;
            return wall;
        }
        let (from, since) = *ahead.get_or_insert((committed, now));
        let slowly = from.plus(now.saturating_duration_since(since) / SLOWER_BY);
        if slowly < committed {
            *ahead = Some((committed, now));
        }
        slowly.max(committed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn time_goes_on_after_a_leader_whose_clock_was_ahead_and_the_clocks_catch_up() {
        let (clock, start) = (MeshClock::default(), Instant::now());
        let (mut committed, mut at_second, mut behind) = (at(3_600), 0, None);
        for second in 0..8_000 {
            let (wall, now) = (at(second), start + Duration::from_secs(second));
            let stamped = clock.stamp(committed, wall, now);
            assert!(stamped >= committed && stamped >= wall, "it never runs backwards");
            assert!(
                stamped.since(committed) <= Duration::from_secs(second - at_second),
                "what is waited for takes less"
            );
            if wall >= stamped {
                behind.get_or_insert(second);
            }
            // Commands come now and then.
            if second % 7 == 0 {
                assert!(second == 0 || stamped > committed, "it stood still at {second} s");
                (committed, at_second) = (stamped, second);
            }
        }
        assert!(behind.is_some_and(|second| second <= 7_201), "{behind:?}");
    }
}
