//! Which services changed in the state since they were judged last: a run that ended, a freeze, a new manifest.

use std::collections::BTreeMap;

use mesh_core::fleet::{Fleet, Freeze, Service};
use mesh_core::ids::{Generation, RegionId, RunId, ServiceId};
use mesh_core::time::Timestamp;

/// Whatever a judgement reads of a service, signals apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edition {
    version: u64,
    generation: Generation,
    active: RegionId,
    current_run: Option<RunId>,
    armed: bool,
    automatic_at: Option<Timestamp>,
    acknowledged_at: Option<Timestamp>,
    freeze: Option<Freeze>,
}

#[derive(Debug, Default)]
pub struct Editions {
    known: BTreeMap<ServiceId, Edition>,
    freeze: Option<Freeze>,
    /// Runs that are going: their number bounds what may move beside them.
    going: usize,
}

impl Editions {
    /// The services that are to be judged again, those that are gone included.
    pub fn take_changed(&mut self, fleet: &Fleet) -> Vec<ServiceId> {
        let going = fleet.services.values().filter(|service| service.current_run.is_some()).count();
        let all = self.freeze != fleet.freeze || self.going != going;
        (self.freeze, self.going) = (fleet.freeze.clone(), going);
        let mut changed: Vec<ServiceId> = Vec::new();
        for (id, service) in &fleet.services {
            let same = self.known.get(id).is_some_and(|known| is_of(known, service));
            if !same {
                self.known.insert(id.clone(), edition(service));
            }
            if all || !same {
                changed.push(id.clone());
            }
        }
        self.known.retain(|id, _| {
            let stays = fleet.services.contains_key(id);
            if !stays {
                changed.push(id.clone());
            }
            stays
        });
        changed
    }
}

fn edition(service: &Service) -> Edition {
    Edition {
        version: service.version,
        generation: service.generation,
        active: service.active.clone(),
        current_run: service.current_run.clone(),
        armed: service.armed,
        automatic_at: service.automatic_at,
        acknowledged_at: service.acknowledged_at,
        freeze: service.freeze.clone(),
    }
}

/// Without copying: this is asked of every service with every commit.
fn is_of(known: &Edition, service: &Service) -> bool {
    let Edition { version, generation, active, current_run, armed, automatic_at, acknowledged_at, freeze } = known;
    *version == service.version
        && *generation == service.generation
        && *active == service.active
        && *current_run == service.current_run
        && *armed == service.armed
        && *automatic_at == service.automatic_at
        && *acknowledged_at == service.acknowledged_at
        && *freeze == service.freeze
}
