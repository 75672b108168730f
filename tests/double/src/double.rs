use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::faults::Faults;
use crate::log::EffectLog;
use crate::world::World;

/// The running double: the world and what stands around it.
pub struct Double {
    world: Mutex<World>,
    faults: Mutex<Faults>,
    log: Mutex<EffectLog>,
    /// Changes whenever some database server or region went down, so that its sessions look up.
    cuts: watch::Sender<u64>,
}

impl Double {
    pub fn new(world: World) -> Self {
        Self { world: Mutex::new(world), faults: Mutex::default(), log: Mutex::default(), cuts: watch::Sender::new(0) }
    }

    /// The world, brought to the present.
    pub fn world<T>(&self, see: impl FnOnce(&mut World) -> T) -> T {
        let mut world = lock(&self.world);
        world.advance(now_ms());
        let seen = see(&mut world);
        let boots = world.rds.instances.values().map(|instance| instance.boot).sum();
        drop(world);
        self.cuts.send_if_modified(|last| std::mem::replace(last, boots) != boots);
        seen
    }

    pub fn faults<T>(&self, see: impl FnOnce(&mut Faults) -> T) -> T {
        see(&mut lock(&self.faults))
    }

    pub fn log<T>(&self, see: impl FnOnce(&mut EffectLog) -> T) -> T {
        see(&mut lock(&self.log))
    }

    pub fn cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }
}

/// A panic elsewhere leaves the state as it was between two calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
