//! Ages that a decision waits for: monotonic time, plus what passed before a restart by the wall clock.

use std::time::Duration;

use mesh_core::time::Timestamp;

use crate::clock::Stamp;

#[derive(Clone, Copy, Debug)]
pub struct Since {
    carried: Duration,
    from: Duration,
}

impl Since {
    pub const fn now(now: Stamp) -> Self {
        Self { carried: Duration::ZERO, from: now.monotonic }
    }

    /// Since a time in the journal.
    pub fn journalled(at: Timestamp, now: Stamp) -> Self {
        Self { carried: now.unix().since(at), from: now.monotonic }
    }

    pub fn age(self, now: Stamp) -> Duration {
        self.carried.saturating_add(now.monotonic.saturating_sub(self.from))
    }
}
