//! What openraft is told about the mesh's entries, members and replies.

use std::fmt;

use bytes::Bytes;
use mesh_core::fleet::Reply;

openraft::declare_raft_types!(
    pub Types:
        D = LogBytes,
        R = Answer,
        NodeId = u64,
        Node = Member,
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
);

pub type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>;
pub type LogId = openraft::LogId<LeaderId>;
pub type Vote = openraft::Vote<LeaderId>;
pub type Membership = openraft::Membership<u64, Member>;
pub type StoredMembership = openraft::StoredMembership<LeaderId, u64, Member>;
pub type Payload = openraft::EntryPayload<LogBytes, u64, Member>;
pub type Entry = openraft::Entry<LeaderId, Payload>;
pub type SnapshotMeta = openraft::SnapshotMeta<LeaderId, u64, Member>;
pub type Snapshot = openraft::Snapshot<LeaderId, u64, Member, SnapshotData>;
pub type Raft = openraft::Raft<Types, super::machine::StateMachine>;

/// An encoded `mesh.v1.LogCommand`: the log's bytes are ours, whatever openraft does with its types.
#[derive(Clone, PartialEq, Eq)]
pub struct LogBytes(pub Bytes);

/// What `apply` answered; nothing for entries that carry no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(pub Option<Reply>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    pub address: String,
    pub region: String,
}

/// A snapshot file: one of this node, or one that has just come in.
#[derive(Debug)]
pub struct SnapshotData {
    pub path: std::path::PathBuf,
    /// Holds the file that came in until it has its final name.
    pub part: Option<crate::store::snapshot::Part>,
}

impl fmt::Debug for LogBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogBytes({})", self.0.len())
    }
}

impl fmt::Display for LogBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
