//! The only place where the programs read a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_core::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Wall time now. A clock before 1970 reads as 1970.
pub fn unix_now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(mesh_core::time::duration_millis(since_epoch))
}

/// A point of monotonic time until which something may go on.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }

    pub fn instant(self) -> Instant {
        self.0
    }
}

/// Counts time that may have passed: the greatest advance of BOOTTIME, MONOTONIC and REALTIME, so that neither a
/// suspended machine nor a clock that someone sets makes a permission last longer.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    started: [Duration; 3],
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { started: read_all() }
    }

    pub fn elapsed(&self) -> Duration {
        let advances = read_all().into_iter().zip(self.started).map(|(now, then)| now.saturating_sub(then));
        advances.max().unwrap_or_default()
    }
}

fn read_all() -> [Duration; 3] {
    [ClockId::Boottime, ClockId::Monotonic, ClockId::Realtime].map(|clock| {
        let time = clock_gettime(clock);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanos)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopwatch_counts_at_least_monotonic_time() {
        let (stopwatch, before) = (Stopwatch::start(), Instant::now());
        std::thread::sleep(Duration::from_millis(2));
        let monotonic = before.elapsed();
        assert!(stopwatch.elapsed() >= monotonic, "time that passed must be counted");
    }

    #[test]
    fn a_deadline_in_the_past_has_nothing_left() {
        let deadline = Deadline::after(Duration::ZERO);
        assert!(deadline.is_over());
        assert_eq!(deadline.left(), Duration::ZERO);
    }
}
