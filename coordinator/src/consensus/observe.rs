//! What follows from openraft's metrics: who leads, whether consensus has failed, and the naming of a new mesh.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::fleet::Command;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal as RaftFatal;
use openraft::metrics::RaftMetrics;
use tokio::sync::watch;

use super::types::{Raft, Types};
use super::{Consensus, Leadership};
use crate::store::fatal::Fatal;

const NAMING_RETRY: Duration = Duration::from_secs(1);

fn leadership(metrics: &RaftMetrics<Types>) -> Leadership {
    let leader = metrics.current_leader.and_then(|id| {
        let member = metrics.membership_config.get_node(&id)?;
        Some((id, member.address.clone()))
    });
    Leadership { term: metrics.current_term, leader, is_self: metrics.state == ServerState::Leader }
}

/// Publishes each change of leadership until consensus stops; a failure of consensus is a failure of storage.
pub async fn publish(raft: Raft, leadership: watch::Sender<Leadership>, fatal: Fatal) {
    let mut metrics = raft.metrics();
    loop {
        let (now, running) = {
            let metrics = metrics.borrow_and_update();
            (self::leadership(&metrics), metrics.running_state.clone())
        };
        leadership.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                tracing::info!(term = now.term, leader = ?now.leader, is_self = now.is_self, "leadership");
                *before = now;
            }
            changed
        });
        match running {
            Ok(()) => {}
            Err(RaftFatal::Stopped) => return,
            Err(failed) => return fatal.call(&format!("consensus stopped: {failed}")),
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// The first leader of a new mesh gives it its name.
pub async fn name_mesh(consensus: Arc<Consensus>) {
    let mut leadership = consensus.leadership();
    while leadership.wait_for(|now| now.is_self).await.is_ok() {
        if consensus.read_index().await.is_ok() {
            if consensus.with_fleet(|fleet| !fleet.mesh.is_empty()) {
                return;
            }
            let named = consensus.propose(Command::NameMesh { mesh: consensus.config.mesh.clone() }).await;
            tracing::info!(mesh = consensus.config.mesh, ?named, "naming the mesh");
        }
        tokio::time::sleep(NAMING_RETRY).await;
    }
}
