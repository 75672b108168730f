//! Places in the log and votes, in the order that Raft gives them.

use mesh_proto::v1;

/// An entry's place: terms first, since only they say which of two logs is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    pub term: u64,
    pub node: u64,
    pub index: u64,
}

/// A vote; a committed one stands for an elected leader and is newer than the same vote uncommitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ballot {
    pub term: u64,
    pub node: u64,
    pub committed: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} is absent")]
pub struct Absent(pub &'static str);

impl From<LogPosition> for v1::RaftLogId {
    fn from(position: LogPosition) -> Self {
        let leader_id = v1::RaftLeaderId { term: position.term, node: position.node };
        Self { leader_id: Some(leader_id), index: position.index }
    }
}

impl TryFrom<v1::RaftLogId> for LogPosition {
    type Error = Absent;

    fn try_from(id: v1::RaftLogId) -> Result<Self, Absent> {
        let leader = id.leader_id.ok_or(Absent("RaftLogId.leader_id"))?;
        Ok(Self { term: leader.term, node: leader.node, index: id.index })
    }
}

impl From<Ballot> for v1::RaftVote {
    fn from(ballot: Ballot) -> Self {
        let leader_id = v1::RaftLeaderId { term: ballot.term, node: ballot.node };
        Self { leader_id: Some(leader_id), committed: ballot.committed }
    }
}

impl TryFrom<v1::RaftVote> for Ballot {
    type Error = Absent;

    fn try_from(vote: v1::RaftVote) -> Result<Self, Absent> {
        let leader = vote.leader_id.ok_or(Absent("RaftVote.leader_id"))?;
        Ok(Self { term: leader.term, node: leader.node, committed: vote.committed })
    }
}

/// The place of an entry as it stands on disk or came over the wire.
pub fn of_entry(entry: &v1::RaftEntry) -> Result<LogPosition, Absent> {
    entry.log_id.ok_or(Absent("RaftEntry.log_id"))?.try_into()
}
