//! Waiting between attempts: doubling, with jitter from a generator that the caller seeds.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Delays of at least half and at most the whole of a step that doubles from `min` up to `max`.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    step: Duration,
    rng: StdRng,
}

impl Backoff {
    pub fn new(min: Duration, max: Duration, seed: u64) -> Self {
        let max = max.max(min);
        Self { min, max, step: min, rng: StdRng::seed_from_u64(seed) }
    }

    /// With a seed from the operating system, so that processes started together do not retry together.
    pub fn seeded_by_os(min: Duration, max: Duration) -> Self {
        Self::new(min, max, os_seed())
    }

    /// How long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let step = self.step;
        self.step = step.saturating_mul(2).min(self.max);
        jittered(step, &mut self.rng)
    }

    /// An attempt succeeded: begin again with the shortest delay.
    pub fn reset(&mut self) {
        self.step = self.min;
    }
}

/// Between half of `duration` and all of it.
pub fn jittered(duration: Duration, rng: &mut impl Rng) -> Duration {
    let half = duration / 2;
    half + half.mul_f64(rng.random::<f64>())
}

/// A seed that no other process has.
pub fn os_seed() -> u64 {
    let mut bytes = [0u8; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        // Jitter needs a difference between processes, not secrecy.
        Err(_) => u64::from(std::process::id()) ^ crate::clock::unix_now().as_millis(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_stay_within_half_of_it() {
        let (min, max) = (Duration::from_millis(100), Duration::from_millis(800));
        let mut backoff = Backoff::new(min, max, 7);
        for step in [100, 200, 400, 800, 800] {
            let (delay, step) = (backoff.next_delay(), Duration::from_millis(step));
            assert!(delay >= step / 2 && delay <= step, "{delay:?} must lie in the upper half of {step:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= min, "a success begins again");
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let delays = |seed| {
            let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1), seed);
            (0..8).map(|_| backoff.next_delay()).collect::<Vec<_>>()
        };
        assert_eq!(delays(3), delays(3));
        assert_ne!(delays(3), delays(4));
    }
}
