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
    pub drift_ppm: i64,
    /// By how much the wall clock is off.
    pub wall_off: i64,
    /// Time in which the machine was suspended: its monotonic clock stood.
    pub suspended: Micros,
    /// Time in which every clock stood.
    pub frozen: Micros,
}

impl Clocks {
    pub fn stamp(&self, now: Micros) -> Stamp {
        let awake = now.saturating_sub(self.frozen);
        let boottime = BOOTED_BEFORE + self.drifted(awake);
        let monotonic = BOOTED_BEFORE + self.drifted(awake.saturating_sub(self.suspended));
        let realtime = (WALL_AT_START + self.drifted(awake)).saturating_add_signed(self.wall_off);
        let of = Duration::from_micros;
        Stamp { boottime: of(boottime), monotonic: of(monotonic), realtime: of(realtime) }
    }

    fn drifted(&self, time: Micros) -> Micros {
        let off = i64::try_from(time).unwrap_or(i64::MAX) / 1_000 * self.drift_ppm / 1_000;
        time.saturating_add_signed(off)
    }
}
