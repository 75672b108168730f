//! Is this process woken when it asked to be? If not, its time-outs say nothing about others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Stamp};

const SLEEP: Duration = Duration::from_millis(250);
/// A slip is told of for so long: the answers that it spoilt have been replaced by then.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Slips of this much and less are the machine's everyday, and are not kept.
const EVERYDAY: Duration = Duration::from_millis(50);

/// The latenesses of a moment ago; at most one for each sleep of that time.
#[derive(Default)]
pub struct Timers(Mutex<VecDeque<(Stamp, Duration)>>);

impl Timers {
    pub async fn run(self: Arc<Self>, clock: Arc<dyn Clock>) {
        loop {
            let before = clock.stamp();
            clock.sleep(SLEEP).await;
            self.note(before, clock.stamp());
        }
    }

    /// The greatest lateness of a moment ago.
    pub fn worst(&self, now: Stamp) -> Duration {
        let slips = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slips.iter().filter(|(at, _)| steady(*at, now) < REMEMBERED).map(|(_, late)| *late).max().unwrap_or_default()
    }

    fn note(&self, before: Stamp, now: Stamp) {
        let late = steady(before, now).saturating_sub(SLEEP);
        let mut slips = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slips.retain(|(at, _)| steady(*at, now) < REMEMBERED);
        if late > EVERYDAY {
            slips.push_back((now, late));
        }
    }
}

/// A sleep of the whole machine counts, a clock that was set does not.
fn steady(from: Stamp, to: Stamp) -> Duration {
    to.boottime.saturating_sub(from.boottime).max(to.monotonic.saturating_sub(from.monotonic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64, wall: u64) -> Stamp {
        let steady = Duration::from_millis(millis);
        Stamp { boottime: steady, monotonic: steady, realtime: Duration::from_secs(wall) }
    }

    #[test]
    fn a_late_timer_is_told_of_until_its_answers_are_replaced() {
        let timers = Timers::default();
        timers.note(at(0, 0), at(260, 0));
        assert_eq!(timers.worst(at(260, 0)), Duration::ZERO, "the everyday");
        timers.note(at(260, 0), at(20_510, 0));
        assert_eq!(timers.worst(at(21_000, 0)), Duration::from_secs(20), "it was stopped for twenty seconds");
        assert_eq!(timers.worst(at(30_600, 0)), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_is_set_is_no_late_timer() {
        let timers = Timers::default();
        timers.note(at(0, 0), at(250, 100_000));
        assert_eq!(timers.worst(at(250, 0)), Duration::ZERO);
    }

    #[test]
    fn a_machine_that_slept_was_late() {
        let timers = Timers::default();
        let slept = Stamp { boottime: Duration::from_secs(60), ..at(250, 0) };
        timers.note(at(0, 0), slept);
        assert!(timers.worst(slept) > Duration::from_secs(59));
    }
}
