//! What the agents should watch: every service, and where it is active.

use std::collections::BTreeMap;

use mesh_core::fleet::Fleet;
use mesh_core::ids::{RegionId, ServiceId};
use mesh_proto::v1;
use mesh_runtime::grpc::MESSAGE_MAX;
use prost::Message;
use tracing::error;

/// Version and active region of each service: the watchlist changes when this does.
pub type Edition = BTreeMap<ServiceId, (u64, RegionId)>;

pub fn edition(fleet: &Fleet) -> Edition {
    fleet.services.iter().map(|(id, service)| (id.clone(), (service.version, service.active.clone()))).collect()
}

/// The services that fit one message, in the order of their names.
pub fn watchlist(fleet: &Fleet) -> v1::Watchlist {
    let mut services = Vec::new();
    let mut room = MESSAGE_MAX - MESSAGE_MAX / 16;
    for (id, service) in &fleet.services {
        let manifest = Some(v1::Manifest::from(&service.manifest));
        let watched = v1::WatchedService { manifest, active: service.active.to_string() };
        let Some(rest) = room.checked_sub(watched.encoded_len() + 8) else {
            error!(service = %id, "the watchlist is full: this service and those after it are not watched");
            break;
        };
        room = rest;
        services.push(watched);
    }
    v1::Watchlist { services }
}
