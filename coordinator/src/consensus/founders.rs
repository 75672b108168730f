//! After a restore: one node has the state, and brings in the other founders of the new group.
//!
//! They begin with empty disks and new ids, so each comes in as any newcomer does: as a learner that takes the snapshot
//! and the history, then as a voter. Until the last has come the marker stays on this node's disk; afterwards the
//! bootstrap list means nothing again.

use std::sync::Arc;
use std::time::Duration;

use super::{Consensus, ConsensusError, Founder};
use crate::store::backup;
use crate::store::snapshot::sync_dir;

const RETRY: Duration = Duration::from_secs(1);
/// One line in the log for so many rounds of waiting.
const ROUNDS_PER_LINE: u64 = 10;

pub async fn bring_in(consensus: Arc<Consensus>) {
    let marker = backup::founding_file(&consensus.config.data_dir);
    if !marker.exists() {
        return;
    }
    tracing::warn!(
        founders = consensus.config.bootstrap.len(),
        "this group was restored from a backup: nothing is armed until people say so; the other founders are brought in"
    );
    let mut leadership = consensus.leadership();
    for round in 0_u64.. {
        if leadership.wait_for(|now| now.leader.is_some()).await.is_err() {
            return;
        }
        match missing(&consensus).await {
            Ok(None) => break,
            Ok(Some(waiting)) if round.is_multiple_of(ROUNDS_PER_LINE) => {
                tracing::info!(waiting, "bringing in the founders");
            }
            Err(error) if round.is_multiple_of(ROUNDS_PER_LINE) => {
                tracing::info!(%error, "bringing in the founders");
            }
            Ok(Some(_)) | Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
    let removed = std::fs::remove_file(&marker).and_then(|()| sync_dir(&consensus.config.data_dir));
    match removed {
        Ok(()) => tracing::info!("all founders of the restored group are in it"),
        Err(error) => tracing::warn!(%error, path = %marker.display(), "the marker of a restored group stays"),
    }
}

/// Takes the next step for every founder that is not a voter yet; says which is not.
async fn missing(consensus: &Consensus) -> Result<Option<String>, ConsensusError> {
    let members = consensus.membership().members;
    let is_voter = |founder: &&Founder| members.iter().any(|member| member.id == founder.id && member.voter);
    let mut waiting = None;
    for founder in consensus.config.bootstrap.iter().filter(|founder| !is_voter(founder)) {
        let Founder { id, address, region } = founder.clone();
        let came = match consensus.add_learner(id, address, region).await {
            Ok(()) => consensus.promote(id).await,
            Err(error) => Err(error),
        };
        match came {
            Ok(()) => {}
            Err(ConsensusError::NotLeader { .. }) => return Ok(Some("another node leads".to_owned())),
            Err(error) => waiting = Some(format!("node {id}: {error}")),
        }
    }
    Ok(waiting)
}
