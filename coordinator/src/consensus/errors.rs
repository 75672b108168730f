//! openraft's refusals in the coordinator's words.

use openraft::errors::{Fatal, ForwardToLeader};

use super::types::Types;

/// Why a call to consensus came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConsensusError {
    #[error("this coordinator does not lead")]
    NotLeader { leader: Option<(u64, String)> },
    /// Nothing is known of the outcome: what was asked for may still happen.
    #[error("no answer from a quorum: {0}")]
    Unavailable(String),
    /// The request breaks a rule, and nothing was done.
    #[error("{0}")]
    Refused(String),
    #[error("storage failed: {0}")]
    Storage(String),
}

pub fn forwarded(to: ForwardToLeader<Types>) -> ConsensusError {
    let leader = to.leader_id.zip(to.leader_node.map(|member| member.address));
    ConsensusError::NotLeader { leader }
}

pub fn stopped(fatal: Fatal<Types>) -> ConsensusError {
    match fatal {
        Fatal::StorageError(error) => ConsensusError::Storage(error.to_string()),
        Fatal::Panicked => ConsensusError::Storage("consensus panicked".to_owned()),
        Fatal::Stopped => ConsensusError::Unavailable("consensus is stopped".to_owned()),
    }
}
