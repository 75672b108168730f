//! Which telling may complete a quorum. Passes of judging rest for long when there are many observers; this one is not to
//! wait: each pass says how many observers more must have seen a region fail for the whole of the time, and they are counted
//! here as they tell it.
//!
//! It only says when to look. That an observer is counted twice, or one whose vote does not count, costs a look.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::detect::wanted_for;
use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::signal::{Reading, Signal};
use tokio::sync::Notify;

use super::Age;

/// Regions that fail and are not down yet; few, and no more than the services have.
#[derive(Default)]
pub struct Ripening {
    waiting: Mutex<BTreeMap<ServiceId, BTreeMap<RegionId, Wait>>>,
    complete: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    pub sustained: Duration,
    /// Observers that are missing.
    pub short: usize,
}

impl Ripening {
    /// What the newest judgement waits for; nothing for a service where all is well or decided.
    pub fn expect(&self, service: &ServiceId, regions: BTreeMap<RegionId, Wait>) {
        let mut waiting = self.lock();
        if regions.is_empty() {
            waiting.remove(service);
        } else {
            waiting.insert(service.clone(), regions);
        }
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Resolves when as many have told as were missing, once for each time.
    pub async fn complete(&self) {
        self.complete.notified().await;
    }

    pub(super) fn note(&self, signal: &Signal, age: Age) {
        let Reading::Failing { .. } = signal.reading else { return };
        let Some(failing) = age.failing else { return };
        let mut waiting = self.lock();
        let Some(wait) = waiting.get_mut(&signal.service).and_then(|regions| regions.get_mut(&signal.region)) else {
            return;
        };
        let seen = failing.saturating_sub(age.seen);
        if wait.short == 0 || seen < wanted_for(wait.sustained, age.alternations) {
            return;
        }
        wait.short -= 1;
        if wait.short == 0 {
            self.complete.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServiceId, BTreeMap<RegionId, Wait>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
