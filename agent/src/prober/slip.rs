//! How late probes begin. One that begins late, or finds no slot, says something about this agent and nothing about its
//! target.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Stamp;

/// A slip is told of for so long: the answers that it spoilt have been replaced by then.
const REMEMBERED_S: u64 = 10;
const SLOTS: usize = 10;

/// The greatest lateness of each of the last seconds.
#[derive(Debug, Default)]
pub struct Slip(Mutex<[(u64, Duration); SLOTS]>);

impl Slip {
    pub fn note(&self, late: Duration, now: Stamp) {
        let second = now.monotonic.as_secs();
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(second % REMEMBERED_S).unwrap_or_default();
        if let Some(slot) = slots.get_mut(place) {
            let before = if slot.0 == second { slot.1 } else { Duration::ZERO };
            *slot = (second, before.max(late));
        }
    }

    /// The greatest lateness of a moment ago.
    pub fn worst(&self, now: Stamp) -> Duration {
        let second = now.monotonic.as_secs();
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = slots.iter().filter(|(of, _)| second.saturating_sub(*of) < REMEMBERED_S);
        recent.map(|(_, late)| *late).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Stamp {
        let steady = Duration::from_secs(second);
        Stamp { boottime: steady, monotonic: steady, realtime: steady }
    }

    #[test]
    fn the_worst_of_the_last_seconds_is_told_and_then_forgotten() {
        let (slip, second) = (Slip::default(), Duration::from_secs(1));
        slip.note(second / 10, at(100));
        slip.note(second * 3, at(100));
        slip.note(second / 10, at(101));
        assert_eq!(slip.worst(at(105)), second * 3);
        assert_eq!(slip.worst(at(110)), second / 10);
        assert_eq!(slip.worst(at(200)), Duration::ZERO);
    }
}
