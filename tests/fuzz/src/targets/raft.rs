//! What coordinators say to each other, and what people and agents ask of them.

use mesh_coordinator::consensus::convert;
use mesh_coordinator::operator::{membership, plans};
use mesh_coordinator::sessions::outcome;
use mesh_proto::v1;
use mesh_proto::v1::raft_message::Message as Said;
use prost::Message;

use super::values;
use crate::target::{Shape, Target};

pub fn target() -> Target {
    let reads = "calls of the Raft group, as openraft gets them";
    Target::new("raft", reads, Shape::Message, seeds, check).inputs(60_000)
}

pub fn requests() -> Target {
    let reads = "what the handlers make of plans, outcomes and changes of membership";
    Target::new("request", reads, Shape::ChosenMessage, request_seeds, request)
        .words(super::domain::WORDS)
        .inputs(30_000)
}

fn check(input: &[u8]) -> bool {
    let Some(message) = v1::RaftMessage::decode(input).ok().and_then(|message| message.message) else { return false };
    match message {
        Said::Append(request) => same(request, convert::append_from, convert::append_to),
        Said::AppendResponse(response) => same(response, convert::appended_from, convert::appended_to),
        Said::Vote(request) => same(request, convert::vote_request_from, |asked| convert::vote_request_to(&asked)),
        Said::VoteResponse(response) => {
            same(response, convert::vote_response_from, |said| convert::vote_response_to(&said))
        }
        Said::TransferLeader(request) => same(request, convert::transfer_from, |asked| convert::transfer_to(&asked)),
        _ => false,
    }
}

fn same<W: Message + Default + Clone, C, E>(wire: W, from: fn(W) -> Result<C, E>, to: fn(C) -> W) -> bool {
    let Ok(value) = from(wire) else { return false };
    let written = to(value);
    let bytes = written.encode_to_vec();
    let again = from(written).ok().map(|value| to(value).encode_to_vec());
    assert_eq!(again, Some(bytes), "what was understood is said otherwise");
    true
}

fn seeds() -> Vec<Vec<u8>> {
    let leader_id = Some(v1::RaftLeaderId { term: 3, node: 2 });
    let place = |index| v1::RaftLogId { leader_id, index };
    let vote = v1::RaftVote { leader_id, committed: true };
    let membership = v1::RaftMembership {
        configs: vec![v1::RaftVoters { ids: vec![1, 2] }, v1::RaftVoters { ids: vec![2] }],
        nodes: [1, 2].map(|id| (id, v1::RaftNode { address: format!("h{id}:1"), region: "r1".into() })).into(),
    };
    use v1::raft_entry::Payload;
    let payloads = [Payload::Blank(true), Payload::Command(vec![1, 2, 3]), Payload::Membership(membership)];
    let entries = payloads.into_iter().zip(7..);
    let entries = entries.map(|(payload, index)| v1::RaftEntry { log_id: Some(place(index)), payload: Some(payload) });
    let append = v1::RaftAppendRequest {
        vote: Some(vote),
        prev_log_id: Some(place(6)),
        entries: entries.collect(),
        leader_commit: Some(place(5)),
    };
    use v1::raft_append_response::Result as Appended;
    let appended = [
        Appended::Success(true),
        Appended::PartialSuccess(place(4)),
        Appended::PartialNone(true),
        Appended::Conflict(true),
        Appended::HigherVote(vote),
    ];
    let mut said = vec![
        Said::Append(append),
        Said::Vote(v1::RaftVoteRequest { vote: Some(vote), last_log_id: Some(place(9)), leadership_transfer: true }),
        Said::VoteResponse(v1::RaftVoteResponse { vote: Some(vote), granted: true, last_log_id: None }),
        Said::TransferLeader(v1::RaftTransferLeader { from_leader: Some(vote), to: 2, last_log_id: Some(place(4)) }),
    ];
    said.extend(appended.map(|result| Said::AppendResponse(v1::RaftAppendResponse { result: Some(result) })));
    said.into_iter().map(|said| convert::message(said).encode_to_vec()).collect()
}

fn request(input: &[u8]) -> bool {
    let Some((choice, bytes)) = input.split_first() else { return false };
    match choice % 3 {
        0 => v1::ChangeMembershipRequest::decode(bytes).is_ok_and(|wire| membership::decode(wire.change).is_ok()),
        1 => v1::OutcomeReport::decode(bytes).is_ok_and(|wire| outcome::decode(wire).is_ok()),
        _ => {
            let Some(plan) =
                v1::StartRunRequest::decode(bytes).ok().and_then(|wire| plans::decode_plan(wire.plan).ok())
            else {
                return false;
            };
            assert_eq!(plan.check(), Ok(()), "a plan that is started keeps its own rules");
            true
        }
    }
}

fn request_seeds() -> Vec<Vec<u8>> {
    use v1::change_membership_request::Change;
    let learner = v1::AddLearner { id: 4, address: "10.0.0.4:7001".into(), region: "us-east-1".into() };
    let changes = [Change::AddLearner(learner), Change::Promote(4), Change::Remove(1), Change::TransferLeader(2)];
    let changes = changes.map(|change| v1::ChangeMembershipRequest { change: Some(change), ..Default::default() });
    let mut seeds: Vec<Vec<u8>> =
        changes.iter().map(|change| [&[0], change.encode_to_vec().as_slice()].concat()).collect();
    for outcome in values::outcomes() {
        let report = v1::OutcomeReport {
            service: "maip".into(),
            run: "maip-g7".into(),
            step: "step-1".into(),
            direction: 1,
            intent: 4,
            outcome: Some((&outcome).into()),
        };
        seeds.push([&[1], report.encode_to_vec().as_slice()].concat());
    }
    for plan in values::plans() {
        let request = v1::StartRunRequest { plan: Some((&plan).into()), ..Default::default() };
        seeds.push([&[2], request.encode_to_vec().as_slice()].concat());
    }
    seeds
}
