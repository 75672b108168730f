//! Time as the agent may trust it. What bounds a permission is the greatest advance of three clocks, so that neither a
//! suspended machine nor a clock set back makes it look younger than it is.

use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

pub use mesh_core::lease::Stamp;

/// Where the agent's time comes from; a test has its own.
pub trait Clock: Send + Sync {
    fn stamp(&self) -> Stamp;
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn stamp(&self) -> Stamp {
        let read = |id| {
            let now = clock_gettime(id);
            // A clock before its epoch reads as the epoch.
            Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
        };
        Stamp {
            boottime: read(ClockId::Boottime),
            monotonic: read(ClockId::Monotonic),
            realtime: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_that_advanced_most_counts() {
        let second = Duration::from_secs(1);
        let start = Stamp { boottime: second, monotonic: second, realtime: second * 100 };
        let suspended = Stamp { boottime: second * 61, ..start };
        assert_eq!(suspended.since(start), second * 60);
        let set_back = Stamp { monotonic: second * 3, realtime: Duration::ZERO, ..start };
        assert_eq!(set_back.since(start), second * 2);
    }

    #[test]
    fn the_system_clocks_go_forward() {
        let first = SystemClock.stamp();
        let second = SystemClock.stamp();
        assert!(second.monotonic >= first.monotonic);
        assert!(second.unix().as_millis() > 0);
    }
}
