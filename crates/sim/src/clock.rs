//! The clocks of one machine: they drift, the wall clock is stepped, a suspended machine's monotonic clock stands still.

use std::time::Duration;

use mesh_core::lease::Stamp;

use crate::Micros;

/// Of every machine at the beginning, so that nothing is at an epoch.
const BOOTED_BEFORE: Micros = 1_000_000 * 1_000_000;
const WALL_AT_START: Micros = 1_790_000_000 * 1_000_000;

#[derive(Clone, Debug, Default)]
pub struct Clocks {
    /// Parts in a million that it runs fast (or slow).
    drift_ppm: i64,
    /// Since when it does, and by how much it was off then.
    drift_from: Micros,
    drifted: i64,
    /// By how much the wall clock is off.
    pub wall_off: i64,
    /// Time in which the machine was suspended: its monotonic clock stood.
    pub suspended: Micros,
    /// Time in which every clock stood.
    pub frozen: Micros,
}

impl Clocks {
    pub fn drifting(drift_ppm: i64, wall_off: i64) -> Self {
        Self { drift_ppm, wall_off, ..Self::default() }
    }

    pub fn stamp(&self, now: Micros) -> Stamp {
        let awake = now.saturating_sub(self.frozen);
        let shown = awake.saturating_add_signed(self.off(awake));
        let realtime = (WALL_AT_START + shown).saturating_add_signed(self.wall_off);
        let of = Duration::from_micros;
        Stamp {
            boottime: of(BOOTED_BEFORE + shown),
            monotonic: of(BOOTED_BEFORE + shown - self.suspended),
            realtime: of(realtime),
        }
    }

    /// From now on it runs faster (or slower) by so much than it did.
    pub fn drift(&mut self, now: Micros, more_ppm: i64) {
        let awake = now.saturating_sub(self.frozen);
        self.drifted = self.off(awake);
        (self.drift_from, self.drift_ppm) = (awake, self.drift_ppm + more_ppm);
    }

    fn off(&self, awake: Micros) -> i64 {
        let since = i64::try_from(awake.saturating_sub(self.drift_from)).unwrap_or(i64::MAX);
        self.drifted + since.saturating_mul(self.drift_ppm) / 1_000_000
    }
}
