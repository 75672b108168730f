//! The mesh's time, which never runs backwards, and runs no faster than time passes.
//!
//! At least the last committed time; else this node's own clock, as far as it can be believed. A wall clock can be
//! stepped by minutes in either direction, and what is waited out (calls that may still arrive, approvals, time-outs of
//! steps) is counted in the mesh's time. So a clock that jumps ahead is followed slowly, and one that falls behind lets
//! the time go on at half speed until it has caught up: a wait takes longer, and hardly less.
//!
//! A start believes its clock, since nothing else is known; calls that may still arrive are waited out by another count
//! as well (`driver::late_calls`).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mesh_core::time::Timestamp;
use tokio::time::Instant;

/// Behind the mesh's time, a clock is waited for at this part of its speed.
const SLOWER_BY: u32 = 2;
/// Ahead of it, it is approached by this part of the time that passes.
const CATCH_UP_BY: u32 = 8;

#[derive(Debug, Default)]
pub struct MeshClock {
    /// The last stamp, exact, and when it was given.
    last: Mutex<Option<(Duration, Instant)>>,
}

impl MeshClock {
    /// The time to stamp now: `committed` is that of the last command, `wall` this node's clock.
    pub fn stamp(&self, committed: Timestamp, wall: Timestamp, now: Instant) -> Timestamp {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (committed, wall) = (Duration::from_millis(committed.as_millis()), Duration::from_millis(wall.as_millis()));
        let believed = match *last {
            None => wall,
            Some((before, at)) => {
                let passed = now.saturating_duration_since(at);
                let slowest = before.saturating_add(passed / SLOWER_BY);
                let fastest = before.saturating_add(passed).saturating_add(passed / CATCH_UP_BY);
                wall.clamp(slowest, fastest)
            }
        };
        let stamp = believed.max(committed);
        *last = Some((stamp, now));
        Timestamp::from_millis(u64::try_from(stamp.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
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

    /// The stamps of each second while the wall clock is off by what `step` says.
    fn stamps(seconds: u64, step: impl Fn(u64) -> i64) -> Vec<u64> {
        let (clock, start) = (MeshClock::default(), Instant::now());
        let mut stamps = Vec::new();
        for second in 0..seconds {
            let wall = (100_000 + second).saturating_add_signed(step(second));
            // Many stamps a second: none may be lost to rounding.
            for part in 0..10_000 {
                let now = start + Duration::from_secs(second) + Duration::from_micros(part * 100);
                let stamp = clock.stamp(at(0), Timestamp::from_millis(wall * 1000 + part / 10), now);
                if part == 0 {
                    // Within the millisecond that the wall clock is read to.
                    stamps.push((stamp.as_millis() + 1) / 1000);
                }
            }
        }
        stamps
    }

    #[test]
    fn a_clock_that_jumps_ahead_shortens_a_wait_by_little() {
        let stamps = stamps(700, |second| if second < 50 { 0 } else { 600 });
        assert_eq!(stamps[40], 100_040);
        let waited = |from: usize, mesh: u64| stamps[from..].iter().position(|stamp| *stamp >= stamps[from] + mesh);
        let waited = waited(49, 600).expect("600 s of the mesh pass");
        assert!((530..=600).contains(&waited), "600 s of the mesh's time took {waited} s");
    }

    #[test]
    fn a_clock_that_jumps_back_lets_time_go_on_and_no_wait_ends_early() {
        let stamps = stamps(700, |second| if second < 50 { 0 } else { -300 });
        assert!(stamps.windows(2).all(|pair| pair[0] <= pair[1]), "it ran backwards");
        assert_eq!(stamps[650] - stamps[50], 300, "half speed until the clock has caught up");
        assert!(stamps[699] <= 100_000 + 699);
    }

    #[test]
    fn a_step_of_the_clock_that_is_taken_back_leaves_nothing_behind() {
        let stamps = stamps(400, |second| if (50..60).contains(&second) { 3_600 } else { 0 });
        assert_eq!(stamps[399], 100_399);
        assert!(stamps[60] <= 100_062, "ten seconds of a wrong clock were followed for {}", stamps[60] - 100_060);
    }
}
