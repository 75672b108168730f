//! What the agents should watch: every service, and where it is active. Made once for all sessions, when it changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_core::fleet::Fleet;
use mesh_core::ids::{RegionId, ServiceId};
use mesh_proto::v1;
use mesh_runtime::grpc::MESSAGE_MAX;
use prost::Message;
use tokio::sync::watch;
use tracing::error;

use crate::node::Node;

/// Version and active region of each service: the watchlist changes when this does.
type Edition = BTreeMap<ServiceId, (u64, RegionId)>;

/// The newest watchlist. A commit that does not change it wakes no session: otherwise each would cost as many looks at
/// the state as there are agents.
#[derive(Debug)]
pub struct Watchlists {
    /// None before the first look at the state.
    newest: watch::Sender<Option<Arc<v1::Watchlist>>>,
}

impl Default for Watchlists {
    fn default() -> Self {
        Self { newest: watch::channel(None).0 }
    }
}

impl Watchlists {
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<v1::Watchlist>>> {
        self.newest.subscribe()
    }
}

/// Keeps the watchlist as the state has it, until the node drains. Started once a node.
pub async fn run(node: Arc<Node>) {
    let mut applied = node.replica.applied();
    let mut shown = None;
    loop {
        applied.mark_unchanged();
        let news = node.replica.with_fleet(|fleet| {
            let changed = !shown.as_ref().is_some_and(|shown| is_of(shown, fleet));
            changed.then(|| (edition(fleet), watchlist(fleet)))
        });
        if let Some((edition, watchlist)) = news {
            shown = Some(edition);
            node.sessions.watchlists.newest.send_replace(Some(Arc::new(watchlist)));
        }
        tokio::select! {
            () = node.draining.cancelled() => return,
            changed = applied.changed() => if changed.is_err() { return },
        }
    }
}

fn edition(fleet: &Fleet) -> Edition {
    fleet.services.iter().map(|(id, service)| (id.clone(), (service.version, service.active.clone()))).collect()
}

/// Without copying: this is asked with every commit.
fn is_of(edition: &Edition, fleet: &Fleet) -> bool {
    let same = |((shown, (version, active)), (id, service)): ((&ServiceId, &(u64, RegionId)), (&ServiceId, _))| {
        let service: &mesh_core::fleet::Service = service;
        shown == id && *version == service.version && *active == service.active
    };
    edition.len() == fleet.services.len() && edition.iter().zip(&fleet.services).all(same)
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
