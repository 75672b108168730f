//! Approvals and the keys that give them. Signatures are verified here, by the leader; the core counts them.

use mesh_core::access::{APPROVALS_NEEDED, Identity, enroll_subject, loss_subject, proceed_subject, revoke_subject};
use mesh_core::fleet::{Command, EnrolledKey, Fleet};
use mesh_core::ids::KeyId;
use mesh_core::run::{Approval, Need, Run, RunState};
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use mesh_runtime::pki::approval::{PUBLIC_KEY_LEN, verify};
use tonic::Status;

use super::{reads, refusal};
use crate::node::Node;

/// Longest validity that an approval may have.
const VALID_MAX: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// Approvals in one request: two are needed, and a few more do no harm.
const APPROVALS_MAX: usize = 8;

pub async fn approve(
    node: &Node,
    caller: &Identity,
    request: v1::ApproveRequest,
) -> Result<v1::ApproveResponse, Status> {
    let run = reads::run_id(&request.run)?;
    let approval = decode(request.approval)?;
    let now = node.now();
    let owner = node.replica.with_fleet(|fleet| {
        let known = fleet.runs.get(&run);
        let known = known.ok_or_else(|| Status::not_found(format!("no run {run}: see `meshctl history`")))?;
        // The core refuses what is no step of the plan, what no one may skip, and too small a loss.
        let subject = if is_skip(&approval.subject) || accepts_less(known, &approval.subject) {
            approval.subject.clone()
        } else if approval.subject.starts_with("proceed ") {
            proceed_subject(&run, &known.plan_hash, &known.loss)
        } else {
            loss_subject(&run, &known.plan_hash, &known.loss)
        };
        check(fleet, &node.mesh, &approval, &subject, now).map(|key| key.owner.clone())
    })?;
    if owner != caller.name {
        return Err(Status::permission_denied(format!(
            "key {} belongs to {owner}, the request came from {}: an approval is given by the key's owner",
            approval.key, caller.name
        )));
    }
    let subject = approval.subject.clone();
    let command = Command::Approve { run: run.clone(), approval, by: caller.to_string() };
    refusal::commit(node, command).await?;
    let missing = node
        .replica
        .with_fleet(|fleet| needed(fleet, &run, &subject).saturating_sub(owners(fleet, &run, &subject, now)));
    let missing = u32::try_from(missing).unwrap_or(u32::MAX);
    Ok(v1::ApproveResponse { run: Some(reads::run_now(node, &run)?), missing })
}

/// For this run and plan, and another loss than is expected now.
fn accepts_less(run: &Run, subject: &str) -> bool {
    ["accept-loss", "proceed"].iter().any(|word| subject.starts_with(&format!("{word} {} {} ", run.id, run.plan_hash)))
}

/// Signatures that the run wants for this subject. A run that goes on has all it wanted.
fn needed(fleet: &Fleet, run: &mesh_core::ids::RunId, subject: &str) -> usize {
    let state = fleet.runs.get(run).map(|run| &run.state);
    match state {
        Some(RunState::Held { need: Need::Approval { people, .. }, .. }) if subject.starts_with("proceed ") => {
            usize::try_from(*people).unwrap_or(APPROVALS_NEEDED)
        }
        Some(RunState::Running) if subject.starts_with("proceed ") => 0,
        _ => APPROVALS_NEEDED,
    }
}

fn is_skip(subject: &str) -> bool {
    subject.starts_with("skip-step ")
}

/// Different owners whose approval of this subject still holds.
fn owners(fleet: &Fleet, run: &mesh_core::ids::RunId, subject: &str, now: Timestamp) -> usize {
    let Some(run) = fleet.runs.get(run) else { return 0 };
    let valid = run.approvals.iter().filter(|approval| approval.subject == subject && approval.expires_at > now);
    let owners = valid.filter_map(|approval| fleet.keys.get(&approval.key)).map(|key| key.owner.as_str());
    owners.collect::<std::collections::BTreeSet<_>>().len()
}

pub async fn enroll_key(
    node: &Node,
    caller: &Identity,
    request: v1::EnrollKeyRequest,
) -> Result<v1::EnrollKeyResponse, Status> {
    let key = key_id(&request.key)?;
    if request.public_key.len() != PUBLIC_KEY_LEN {
        return Err(Status::invalid_argument(format!("public_key: an Ed25519 key has {PUBLIC_KEY_LEN} bytes")));
    }
    // An owner must be nameable by a certificate, or no one could ever approve with the key.
    let owner = mesh_core::ids::RegionId::new(request.owner.as_str());
    let owner = owner.map_err(|error| Status::invalid_argument(format!("owner: {}", error.rule)))?.to_string();
    let subject = enroll_subject(&key, &owner, &refusal::hex(&request.public_key));
    let approvals = check_all(node, request.approvals, &subject)?;
    let by = caller.to_string();
    refusal::commit(node, Command::EnrollKey { key, owner, public_key: request.public_key, approvals, by }).await?;
    Ok(v1::EnrollKeyResponse {})
}

pub async fn revoke_key(
    node: &Node,
    caller: &Identity,
    request: v1::RevokeKeyRequest,
) -> Result<v1::RevokeKeyResponse, Status> {
    let key = key_id(&request.key)?;
    let approvals = check_all(node, request.approvals, &revoke_subject(&key))?;
    refusal::commit(node, Command::RevokeKey { key, approvals, by: caller.to_string() }).await?;
    Ok(v1::RevokeKeyResponse {})
}

/// Decodes and verifies every approval of a request.
pub fn check_all(node: &Node, approvals: Vec<v1::Approval>, subject: &str) -> Result<Vec<Approval>, Status> {
    if approvals.len() > APPROVALS_MAX {
        return Err(Status::invalid_argument(format!("more than {APPROVALS_MAX} approvals")));
    }
    let now = node.now();
    let approvals = approvals.into_iter().map(|approval| decode(Some(approval)));
    let approvals = approvals.collect::<Result<Vec<_>, _>>()?;
    node.replica.with_fleet(|fleet| {
        approvals.iter().try_for_each(|approval| check(fleet, &node.mesh, approval, subject, now).map(drop))
    })?;
    Ok(approvals)
}

/// As [`check_all`], where each says itself what it is for; the core looks for those that it needs.
pub fn check_each(node: &Node, approvals: Vec<v1::Approval>) -> Result<Vec<Approval>, Status> {
    let mut checked = Vec::new();
    if approvals.len() > APPROVALS_MAX {
        return Err(Status::invalid_argument(format!("more than {APPROVALS_MAX} approvals")));
    }
    for approval in approvals {
        let subject = approval.subject.clone();
        checked.extend(check_all(node, vec![approval], &subject)?);
    }
    Ok(checked)
}

/// The key with which `approval` was given, if it is a valid signature over `subject` that holds now.
fn check<'a>(
    fleet: &'a Fleet,
    mesh: &str,
    approval: &Approval,
    subject: &str,
    now: Timestamp,
) -> Result<&'a EnrolledKey, Status> {
    let id = &approval.key;
    let invalid = |reason: String| Status::invalid_argument(format!("approval by {id}: {reason}"));
    let key = fleet.keys.get(id);
    let key = key.ok_or_else(|| Status::not_found(format!("key {id} is not enrolled: see `meshctl keys list`")))?;
    if approval.subject != subject {
        return Err(invalid(format!("it is for {:?}, this request needs {subject:?}", approval.subject)));
    }
    if approval.expires_at <= now {
        return Err(invalid("it has expired: sign again".to_owned()));
    }
    if approval.expires_at.since(now) > VALID_MAX {
        return Err(invalid("it is valid for more than 24 hours: sign with a nearer expiry".to_owned()));
    }
    if !verify(&key.public_key, mesh, subject, approval.expires_at, &approval.signature) {
        // As a certificate that does not verify: it is the signer who is not who they say.
        return Err(Status::permission_denied(format!(
            "approval by {id}: its signature is not by the enrolled key, or over something else: sign again with the \
             private key of {id}"
        )));
    }
    Ok(key)
}

fn decode(approval: Option<v1::Approval>) -> Result<Approval, Status> {
    let approval = approval.ok_or_else(|| Status::invalid_argument("approval is missing"))?;
    Approval::try_from(approval).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn key_id(given: &str) -> Result<KeyId, Status> {
    KeyId::new(given).map_err(|error| Status::invalid_argument(error.to_string()))
}
