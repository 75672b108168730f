//! Refusals as gRPC statuses.

use mesh_core::access::{enroll_subject, membership_subject, revoke_subject};
use mesh_core::fleet::{Command, Refusal, RefusalCode, Reply};
use tonic::{Code, Status};

use crate::consensus::ConsensusError;
use crate::driver::ahead;
use crate::node::Node;

/// Metadata of a refusal for want of approvals: what has to be signed.
pub const NEEDS_APPROVAL: &str = "mesh-needs-approval";

pub fn of(refusal: &Refusal) -> Status {
    let code = match refusal.code {
        RefusalCode::Invalid => Code::InvalidArgument,
        RefusalCode::NotFound => Code::NotFound,
        RefusalCode::Conflict => Code::Aborted,
        RefusalCode::Precondition | RefusalCode::NeedsApproval => Code::FailedPrecondition,
    };
    Status::new(code, refusal.message.clone())
}

pub fn of_consensus(error: &ConsensusError) -> Status {
    match error {
        ConsensusError::NotLeader { .. } => Status::unavailable(
            "the leader has changed, and whether the request was carried out is not known: ask again",
        ),
        ConsensusError::Unavailable(_) | ConsensusError::Storage(_) => Status::unavailable(error.to_string()),
        ConsensusError::Refused(_) => Status::failed_precondition(error.to_string()),
    }
}

/// Commits a command; a refusal comes back as the status to answer with.
pub async fn commit(node: &Node, command: Command) -> Result<Reply, Status> {
    let subject = subject(&command);
    match ahead::commit(node, command).await {
        Err(error) => Err(of_consensus(&error)),
        Ok(Reply::Refused(refusal)) => {
            let mut status = of(&refusal);
            let subject = subject.filter(|_| refusal.code == RefusalCode::NeedsApproval);
            if let Some(subject) = subject.and_then(|subject| subject.parse().ok()) {
                status.metadata_mut().insert(NEEDS_APPROVAL, subject);
            }
            Err(status)
        }
        Ok(reply) => Ok(reply),
    }
}

/// What two people would have to sign for this command.
fn subject(command: &Command) -> Option<String> {
    match command {
        Command::EnrollKey { key, owner, public_key, .. } => Some(enroll_subject(key, owner, &hex(public_key))),
        Command::RevokeKey { key, .. } => Some(revoke_subject(key)),
        Command::NoteMembership { text, .. } => Some(membership_subject(text)),
        Command::Approve { approval, .. } => Some(approval.subject.clone()),
        Command::NameMesh { .. }
        | Command::ApplyManifest { .. }
        | Command::SetArmed { .. }
        | Command::Restored { .. }
        | Command::RegisterAgent { .. }
        | Command::StartRun { .. }
        | Command::OpenIntent { .. }
        | Command::CloseIntent { .. }
        | Command::FailStep { .. }
        | Command::Grant { .. }
        | Command::Revoke { .. }
        | Command::ProveClosed { .. }
        | Command::SetAskList { .. }
        | Command::RetireAskLists { .. }
        | Command::NoteAddress { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Abort { .. }
        | Command::Retry { .. }
        | Command::Freeze { .. }
        | Command::Unfreeze { .. }
        | Command::Acknowledge { .. }
        | Command::NoteAutomatic { .. }
        | Command::AskNotice { .. }
        | Command::CloseNotice { .. }
        | Command::NoteLoss { .. } => None,
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
