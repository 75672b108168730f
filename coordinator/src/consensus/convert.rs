//! openraft's types and their mesh.v1 forms, both ways. What comes in is checked, never trusted to be complete.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::v1;
use mesh_proto::v1::raft_append_response::Result as AppendResult;
use mesh_proto::v1::raft_message::Message;
use openraft::EntryPayload;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse};

use super::types::{Entry, LeaderId, LogBytes, LogId, Member, Membership, SnapshotMeta, StoredMembership, Types, Vote};
use crate::store::machine::Summary;
use crate::store::position::{Ballot, LogPosition};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(String);

pub fn wrong(reason: impl ToString) -> WireError {
    WireError(reason.to_string())
}

pub fn position(id: LogId) -> LogPosition {
    LogPosition { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

pub fn log_id(position: LogPosition) -> LogId {
    LogId::new(LeaderId { term: position.term, node_id: position.node }, position.index)
}

pub fn ballot(vote: &Vote) -> Ballot {
    Ballot { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

pub fn vote(ballot: Ballot) -> Vote {
    Vote { leader_id: LeaderId { term: ballot.term, node_id: ballot.node }, committed: ballot.committed }
}

fn log_id_to(id: LogId) -> v1::RaftLogId {
    position(id).into()
}

fn log_id_from(id: v1::RaftLogId) -> Result<LogId, WireError> {
    LogPosition::try_from(id).map(log_id).map_err(wrong)
}

fn maybe_log_id(id: Option<v1::RaftLogId>) -> Result<Option<LogId>, WireError> {
    id.map(log_id_from).transpose()
}

pub fn vote_to(vote: &Vote) -> v1::RaftVote {
    ballot(vote).into()
}

pub fn vote_from(vote: Option<v1::RaftVote>) -> Result<Vote, WireError> {
    let ballot = Ballot::try_from(vote.ok_or_else(|| wrong("the vote is absent"))?).map_err(wrong)?;
    Ok(self::vote(ballot))
}

pub fn membership_to(membership: &Membership) -> v1::RaftMembership {
    let voters = |ids: &BTreeSet<u64>| v1::RaftVoters { ids: ids.iter().copied().collect() };
    let node = |member: &Member| v1::RaftNode { address: member.address.clone(), region: member.region.clone() };
    v1::RaftMembership {
        configs: membership.get_joint_config().iter().map(voters).collect(),
        nodes: membership.nodes().map(|(id, member)| (*id, node(member))).collect(),
    }
}

pub fn membership_from(membership: v1::RaftMembership) -> Result<Membership, WireError> {
    let configs = membership.configs.into_iter().map(|voters| voters.ids.into_iter().collect()).collect();
    let member = |node: v1::RaftNode| Member { address: node.address, region: node.region };
    let nodes: BTreeMap<u64, Member> = membership.nodes.into_iter().map(|(id, node)| (id, member(node))).collect();
    Membership::new(configs, nodes).map_err(wrong)
}

/// The membership of an applied state.
pub fn stored_membership(summary: &Summary) -> Result<StoredMembership, WireError> {
    let membership = membership_from(summary.membership.clone())?;
    Ok(StoredMembership::new(summary.membership_at.map(log_id), membership))
}

pub fn entry_to(entry: Entry) -> v1::RaftEntry {
    use v1::raft_entry::Payload;
    let payload = match entry.payload {
        EntryPayload::Blank => Payload::Blank(true),
        EntryPayload::Normal(LogBytes(bytes)) => Payload::Command(bytes.to_vec()),
        EntryPayload::Membership(membership) => Payload::Membership(membership_to(&membership)),
    };
    v1::RaftEntry { log_id: Some(log_id_to(entry.log_id)), payload: Some(payload) }
}

pub fn entry_from(entry: v1::RaftEntry) -> Result<Entry, WireError> {
    use v1::raft_entry::Payload;
    let log_id = log_id_from(entry.log_id.ok_or_else(|| wrong("an entry has no place"))?)?;
    let payload = match entry.payload.ok_or_else(|| wrong(format!("entry {} has no payload", log_id.index)))? {
        Payload::Blank(_) => EntryPayload::Blank,
        Payload::Command(bytes) => EntryPayload::Normal(LogBytes(bytes.into())),
        Payload::Membership(membership) => EntryPayload::Membership(membership_from(membership)?),
    };
    Ok(Entry { log_id, payload })
}

pub fn append_to(request: AppendEntriesRequest<Types>) -> v1::RaftAppendRequest {
    v1::RaftAppendRequest {
        vote: Some(vote_to(&request.vote)),
        prev_log_id: request.prev_log_id.map(log_id_to),
        entries: request.entries.into_iter().map(entry_to).collect(),
        leader_commit: request.leader_commit.map(log_id_to),
    }
}

pub fn append_from(request: v1::RaftAppendRequest) -> Result<AppendEntriesRequest<Types>, WireError> {
    Ok(AppendEntriesRequest {
        vote: vote_from(request.vote)?,
        prev_log_id: maybe_log_id(request.prev_log_id)?,
        entries: request.entries.into_iter().map(entry_from).collect::<Result<_, _>>()?,
        leader_commit: maybe_log_id(request.leader_commit)?,
    })
}

pub fn appended_to(response: AppendEntriesResponse<Types>) -> v1::RaftAppendResponse {
    let result = match response {
        AppendEntriesResponse::Success => AppendResult::Success(true),
        AppendEntriesResponse::PartialSuccess(Some(upto)) => AppendResult::PartialSuccess(log_id_to(upto)),
        AppendEntriesResponse::PartialSuccess(None) => AppendResult::PartialNone(true),
        AppendEntriesResponse::Conflict => AppendResult::Conflict(true),
        AppendEntriesResponse::HigherVote(vote) => AppendResult::HigherVote(vote_to(&vote)),
    };
    v1::RaftAppendResponse { result: Some(result) }
}

pub fn appended_from(response: v1::RaftAppendResponse) -> Result<AppendEntriesResponse<Types>, WireError> {
    Ok(match response.result.ok_or_else(|| wrong("an append response says nothing"))? {
        AppendResult::Success(_) => AppendEntriesResponse::Success,
        AppendResult::PartialSuccess(upto) => AppendEntriesResponse::PartialSuccess(Some(log_id_from(upto)?)),
        AppendResult::PartialNone(_) => AppendEntriesResponse::PartialSuccess(None),
        AppendResult::Conflict(_) => AppendEntriesResponse::Conflict,
        AppendResult::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote_from(Some(vote))?),
    })
}

pub fn vote_request_to(request: &VoteRequest<Types>) -> v1::RaftVoteRequest {
    v1::RaftVoteRequest {
        vote: Some(vote_to(&request.vote)),
        last_log_id: request.last_log_id.map(log_id_to),
        leadership_transfer: request.leadership_transfer,
    }
}

pub fn vote_request_from(request: v1::RaftVoteRequest) -> Result<VoteRequest<Types>, WireError> {
    let mut asked = VoteRequest::new(vote_from(request.vote)?, maybe_log_id(request.last_log_id)?);
    asked.leadership_transfer = request.leadership_transfer;
    Ok(asked)
}

pub fn vote_response_to(response: &VoteResponse<Types>) -> v1::RaftVoteResponse {
    v1::RaftVoteResponse {
        vote: Some(vote_to(&response.vote)),
        granted: response.vote_granted,
        last_log_id: response.last_log_id.map(log_id_to),
    }
}

pub fn vote_response_from(response: v1::RaftVoteResponse) -> Result<VoteResponse<Types>, WireError> {
    Ok(VoteResponse {
        vote: vote_from(response.vote)?,
        vote_granted: response.granted,
        last_log_id: maybe_log_id(response.last_log_id)?,
    })
}

pub fn meta_to(meta: &SnapshotMeta) -> v1::RaftSnapshotMeta {
    v1::RaftSnapshotMeta {
        last_log_id: meta.last_log_id.map(log_id_to),
        membership_log_id: meta.last_membership.log_id().map(log_id_to),
        membership: Some(membership_to(meta.last_membership.membership())),
        snapshot_id: String::new(),
    }
}

pub fn meta_from(meta: v1::RaftSnapshotMeta) -> Result<SnapshotMeta, WireError> {
    let membership = membership_from(meta.membership.ok_or_else(|| wrong("a snapshot has no membership"))?)?;
    Ok(SnapshotMeta {
        last_log_id: maybe_log_id(meta.last_log_id)?,
        last_membership: StoredMembership::new(maybe_log_id(meta.membership_log_id)?, membership),
    })
}

/// What openraft is told of a snapshot file.
pub fn meta_of(summary: &Summary) -> Result<SnapshotMeta, WireError> {
    Ok(SnapshotMeta { last_log_id: summary.applied.map(log_id), last_membership: stored_membership(summary)? })
}

pub fn transfer_to(request: &TransferLeaderRequest<Types>) -> v1::RaftTransferLeader {
    v1::RaftTransferLeader {
        from_leader: Some(vote_to(request.from_leader())),
        to: *request.to_node_id(),
        last_log_id: request.last_log_id().copied().map(log_id_to),
    }
}

pub fn transfer_from(request: v1::RaftTransferLeader) -> Result<TransferLeaderRequest<Types>, WireError> {
    let last_log_id = maybe_log_id(request.last_log_id)?;
    Ok(TransferLeaderRequest::new(vote_from(request.from_leader)?, request.to, last_log_id))
}

pub fn message(message: Message) -> v1::RaftMessage {
    v1::RaftMessage { message: Some(message) }
}

/// The message of the kind that `pick` knows.
pub fn picked<T>(message: v1::RaftMessage, pick: impl FnOnce(Message) -> Option<T>) -> Result<T, WireError> {
    message.message.and_then(pick).ok_or_else(|| wrong("a message of another kind than the call's"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(index: u64) -> LogId {
        log_id(LogPosition { term: 3, node: 2, index })
    }

    fn members() -> Membership {
        let member = |id: u64| (id, Member { address: format!("h{id}:1"), region: format!("r{id}") });
        let nodes: BTreeMap<u64, Member> = (1..=4).map(member).collect();
        Membership::new(vec![[1, 2, 3].into(), [2, 3, 4].into()], nodes).expect("every voter is a node")
    }

    #[test]
    fn entries_read_back_as_they_were() {
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(LogBytes(vec![1, 2, 3].into())),
            EntryPayload::Membership(members()),
        ];
        for payload in payloads {
            let entry = Entry { log_id: place(7), payload };
            assert_eq!(entry_from(entry_to(entry.clone())), Ok(entry));
        }
    }

    #[test]
    fn requests_and_answers_read_back_as_they_were() {
        let mut asked = VoteRequest::<Types>::new(Vote::new(4, 1), Some(place(9)));
        asked.leadership_transfer = true;
        assert_eq!(vote_request_from(vote_request_to(&asked)), Ok(asked));
        let voted = VoteResponse::<Types>::new(Vote::new(4, 1), None, true);
        assert_eq!(vote_response_from(vote_response_to(&voted)), Ok(voted));
        for response in [
            AppendEntriesResponse::<Types>::Success,
            AppendEntriesResponse::PartialSuccess(Some(place(1))),
            AppendEntriesResponse::PartialSuccess(None),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(Vote::new_committed(5, 3)),
        ] {
            assert_eq!(appended_from(appended_to(response.clone())), Ok(response));
        }
        let transfer = TransferLeaderRequest::<Types>::new(Vote::new_committed(5, 3), 2, Some(place(4)));
        assert_eq!(transfer_from(transfer_to(&transfer)), Ok(transfer));
        let meta = SnapshotMeta {
            last_log_id: Some(place(8)),
            last_membership: StoredMembership::new(Some(place(2)), members()),
        };
        assert_eq!(meta_from(meta_to(&meta)), Ok(meta));
    }

    #[test]
    fn what_is_not_complete_is_refused() {
        assert!(entry_from(v1::RaftEntry::default()).is_err());
        assert!(entry_from(v1::RaftEntry { log_id: Some(log_id_to(place(1))), payload: None }).is_err());
        assert!(append_from(v1::RaftAppendRequest::default()).is_err());
        assert!(vote_from(Some(v1::RaftVote::default())).is_err());
        assert!(appended_from(v1::RaftAppendResponse::default()).is_err());
        let voter_without_node =
            v1::RaftMembership { configs: vec![v1::RaftVoters { ids: vec![1] }], nodes: BTreeMap::new() };
        assert!(membership_from(voter_without_node).is_err());
    }
}
