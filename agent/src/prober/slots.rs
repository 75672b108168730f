//! Probes that are under way at once. No region may take all slots: the probes of a dead one each last until their
//! time-out, and the others have to be asked meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_core::ids::RegionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Each is a connection to something that may be dead, and a file descriptor (1,024 where nobody raised the limit).
pub const AT_ONCE: usize = 512;
/// About one region. A probe lasts a second by default and is asked every ten: room for 2,560 of a dead region.
pub const AT_ONCE_A_REGION: usize = 256;
/// Regions of all services together; beyond them all share one.
const REGIONS_MAX: usize = 256;

#[derive(Debug)]
pub struct Slots {
    all: Arc<Semaphore>,
    by_region: Mutex<BTreeMap<RegionId, Arc<Semaphore>>>,
    rest: Arc<Semaphore>,
}

pub struct Share(#[allow(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// While it is held the probe counts.
pub struct Slot {
    _share: Share,
    _of_all: OwnedSemaphorePermit,
}

impl Default for Slots {
    fn default() -> Self {
        let rest = Arc::new(Semaphore::new(AT_ONCE_A_REGION));
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), by_region: Mutex::default(), rest }
    }
}

impl Slots {
    /// A place in the region's share. That there is none is no wonder when the region is dead.
    ///
    /// `None` only if the slots were closed, which nobody does.
    pub async fn share(&self, about: &RegionId) -> Option<Share> {
        self.of(about).acquire_owned().await.ok().map(Share)
    }

    /// That there is none, with a share in hand, means that this agent is overloaded.
    pub async fn slot(&self, share: Share) -> Option<Slot> {
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Slot { _share: share, _of_all: of_all })
    }

    fn of(&self, region: &RegionId) -> Arc<Semaphore> {
        let mut by_region = self.by_region.lock().unwrap_or_else(PoisonError::into_inner);
        if by_region.len() >= REGIONS_MAX && !by_region.contains_key(region) {
            return Arc::clone(&self.rest);
        }
        let made = by_region.entry(region.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_A_REGION)));
        Arc::clone(made)
    }
}
