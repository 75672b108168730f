//! The coordinators' own membership: committed as a decision first, with its approvals, and changed in Raft then.

use mesh_core::access::{Identity, membership_subject};
use mesh_core::fleet::Command;
use mesh_core::ids::RegionId;
use mesh_proto::v1;
use tonic::Status;
use v1::change_membership_request::Change;

use super::{approvals, refusal};
use crate::node::Node;
use crate::replicated::MembershipChange;

/// Longest `host:port`: a DNS name of 253 characters.
const ADDRESS_LEN_MAX: usize = 260;

pub async fn get_membership(
    node: &Node,
    _: &Identity,
    _: v1::GetMembershipRequest,
) -> Result<v1::GetMembershipResponse, Status> {
    Ok(v1::GetMembershipResponse { membership: Some(node.replica.membership()) })
}

pub async fn change_membership(
    node: &Node,
    caller: &Identity,
    request: v1::ChangeMembershipRequest,
) -> Result<v1::ChangeMembershipResponse, Status> {
    let change = decode(request.change)?;
    // Who leads is no change of who decides: it needs no second person.
    if let Some(text) = decision(&change) {
        let approvals = approvals::check_all(node, request.approvals, &membership_subject(&text))?;
        let by = caller.to_string();
        refusal::commit(node, Command::NoteMembership { text, approvals, by }).await?;
    }
    tracing::info!(by = %caller, ?change, "membership changes");
    node.replica.change_membership(change).await.map_err(|error| refusal::of_consensus(&error))?;
    Ok(v1::ChangeMembershipResponse { membership: Some(node.replica.membership()) })
}

/// The change as its approvers sign it.
fn decision(change: &MembershipChange) -> Option<String> {
    match change {
        MembershipChange::AddLearner { id, address, .. } => Some(format!("add-learner {id} {address}")),
        MembershipChange::Promote(id) => Some(format!("promote {id}")),
        MembershipChange::Remove(id) => Some(format!("remove {id}")),
        MembershipChange::TransferLeader(_) => None,
    }
}

pub fn decode(change: Option<Change>) -> Result<MembershipChange, Status> {
    match change.ok_or_else(|| Status::invalid_argument("change is missing"))? {
        Change::AddLearner(learner) => {
            if learner.id == 0 {
                return Err(Status::invalid_argument("a node id must be at least 1"));
            }
            let host_and_port = learner.address.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic()) && port.parse::<u16>().is_ok()
            });
            if !host_and_port || learner.address.len() > ADDRESS_LEN_MAX {
                return Err(Status::invalid_argument("address must be HOST:PORT"));
            }
            let region = RegionId::new(learner.region).map_err(|error| Status::invalid_argument(error.to_string()))?;
            Ok(MembershipChange::AddLearner { id: learner.id, address: learner.address, region })
        }
        Change::Promote(id) => Ok(MembershipChange::Promote(id)),
        Change::Remove(id) => Ok(MembershipChange::Remove(id)),
        Change::TransferLeader(id) => Ok(MembershipChange::TransferLeader(id)),
    }
}
