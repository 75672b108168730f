//! The one way in which the replicated state changes.

use crate::audit::AuditNote;
use crate::fleet::{Applied, Command, Entity, Fleet, Refusal, RefusalCode, Reply};
use crate::ids::{RunId, ServiceId};
use crate::time::Timestamp;

mod keys;
pub(crate) mod leases;
mod manifests;
mod measured;
mod notices;
mod orders;
mod policy;
mod release;
mod restored;
mod runs;
mod steps;
#[cfg(test)]
mod tests;

pub use policy::{FREEZE_MAX, JUDGEMENT_AGE_MAX};
pub use restored::{GENERATION_MARGIN, INTENT_MARGIN};
pub use runs::run_id;
pub use steps::{CALL_LIFETIME, writers};
pub(crate) use steps::{is_held_back, predecessors_settled};

/// Most services, agents and keys that one mesh keeps: bounds on memory and on snapshots.
pub const SERVICES_MAX: usize = 1_000;
pub const AGENTS_MAX: usize = 10_000;
pub const KEYS_MAX: usize = 100;
/// Ended runs of one service that stay in the state; with the next start the oldest leave it, for the history that the
/// store keeps. So the state is bounded by the number of services, however long they are operated.
pub const ENDED_RUNS_KEPT: usize = 3;

/// What a command that was accepted changed.
struct Change {
    reply: Reply,
    touched: Vec<Entity>,
    text: String,
}

type Outcome = Result<Change, Refusal>;

impl Fleet {
    /// Applies one committed command stamped `at`. Equal states and commands give equal results on every replica.
    pub fn apply(&mut self, at: Timestamp, command: &Command) -> Applied {
        self.now = self.now.max(at);
        let outcome = self.change(command);
        let (actor, kind, service, run) = describe(command);
        let (reply, mut touched, text, refused) = match outcome {
            Ok(change) => (change.reply, change.touched, change.text, false),
            Err(refusal) => {
                let text = refusal.message.clone();
                (Reply::Refused(refusal), Vec::new(), text, true)
            }
        };
        let retired = match &reply {
            Reply::RunStarted { run, existing: false } => self.retire_runs(run),
            Reply::RunStarted { .. }
            | Reply::Ok
            | Reply::ManifestApplied { .. }
            | Reply::IntentOpened { .. }
            | Reply::Refused(_) => Vec::new(),
        };
        touched.extend(retired.iter().map(|run| Entity::Run(run.id.clone())));
        touched.push(Entity::Mesh);
        touched.sort();
        touched.dedup();
        let run = run.or_else(|| match &reply {
            Reply::RunStarted { run, .. } => Some(run.clone()),
            _ => None,
        });
        let service =
            service.or_else(|| run.as_ref().and_then(|run| self.runs.get(run)).map(|run| run.plan.service.clone()));
        let note = AuditNote { actor, kind: kind.to_owned(), service, run, text, refused };
        Applied { reply, touched, note, retired }
    }

    fn change(&mut self, command: &Command) -> Outcome {
        match command {
            Command::NameMesh { mesh } => self.name_mesh(mesh),
            Command::ApplyManifest { manifest, source, by, expected_version } => {
                self.apply_manifest(manifest, source, by, *expected_version)
            }
            Command::SetArmed { service, armed, by: _ } => self.set_armed(service, *armed),
            Command::RegisterAgent { agent, region } => self.register_agent(agent, region),
            Command::StartRun { plan, plan_hash, by, cause, safety, approvals } => {
                self.start_run(plan, *plan_hash, by, cause, safety, approvals)
            }
            Command::OpenIntent { run, step, direction, agent } => self.open_intent(run, step, *direction, agent),
            Command::CloseIntent { run, step, direction, seq, outcome } => {
                self.close_intent(run, step, *direction, *seq, outcome)
            }
            Command::FailStep { run, step, direction, reason } => self.fail_step(run, step, *direction, reason),
            Command::Grant { run, step } => self.grant(run, step),
            Command::Revoke { run } => self.revoke(run),
            Command::ProveClosed { run, region, proof } => self.prove_closed(run, region, proof),
            Command::SetAskList { service, members } => self.set_ask_list(service, members),
            Command::RetireAskLists { service, version } => self.retire_ask_lists(service, *version),
            Command::NoteAddress { agent, address } => self.note_address(agent, address.as_deref()),
            Command::Pause { run, by } => self.pause(run, by),
            Command::Resume { run, by } => self.resume(run, by),
            Command::Abort { run, by, reason } => self.abort(run, by, reason),
            Command::Retry { run, by } => self.retry(run, by),
            Command::Approve { run, approval, by } => self.approve(run, approval, by),
            Command::EnrollKey { key, owner, public_key, approvals, by } => {
                self.enroll_key(key, owner, public_key, approvals, by)
            }
            Command::RevokeKey { key, approvals, by: _ } => self.revoke_key(key, approvals),
            Command::NoteMembership { text, approvals, by: _ } => self.note_membership(text, approvals),
            Command::Freeze { service, until, by, reason } => self.freeze(service.as_ref(), *until, by, reason),
            Command::Unfreeze { service, by } => self.unfreeze(service.as_ref(), by),
            Command::Acknowledge { service, by } => self.acknowledge(service, by),
            Command::NoteAutomatic { service, to, text } => self.note_automatic(service, to, text),
            Command::AskNotice { service, step, at, topic, agent } => self.ask_notice(service, step, *at, topic, agent),
            Command::CloseNotice { service, step, seq, outcome } => self.close_notice(service, step, *seq, outcome),
            Command::NoteLoss { run, loss } => self.note_loss(run, loss),
            Command::Restored { backup, made_at, lost_at, by: _ } => self.restored(*backup, *made_at, *lost_at),
        }
    }
}

/// Who asked, what it is called, and what it is about.
fn describe(command: &Command) -> (String, &'static str, Option<ServiceId>, Option<RunId>) {
    let mesh = || "mesh".to_owned();
    match command {
        Command::NameMesh { .. } => (mesh(), "name-mesh", None, None),
        Command::ApplyManifest { manifest, by, .. } => {
            (by.clone(), "apply-manifest", Some(manifest.service.clone()), None)
        }
        Command::SetArmed { service, armed, by } => {
            (by.clone(), if *armed { "arm" } else { "disarm" }, Some(service.clone()), None)
        }
        Command::RegisterAgent { .. } => (mesh(), "register-agent", None, None),
        Command::StartRun { plan, by, .. } => (by.clone(), "start-run", Some(plan.service.clone()), None),
        Command::OpenIntent { run, .. } => (mesh(), "open-intent", None, Some(run.clone())),
        Command::CloseIntent { run, .. } => (mesh(), "close-intent", None, Some(run.clone())),
        Command::FailStep { run, .. } => (mesh(), "fail-step", None, Some(run.clone())),
        Command::Grant { run, .. } => (mesh(), "grant", None, Some(run.clone())),
        Command::Revoke { run } => (mesh(), "revoke", None, Some(run.clone())),
        Command::ProveClosed { run, .. } => (mesh(), "prove-closed", None, Some(run.clone())),
        Command::SetAskList { service, .. } => (mesh(), "set-ask-list", Some(service.clone()), None),
        Command::RetireAskLists { service, .. } => (mesh(), "retire-ask-lists", Some(service.clone()), None),
        Command::NoteAddress { .. } => (mesh(), "note-address", None, None),
        Command::Pause { run, by } => (by.clone(), "pause", None, Some(run.clone())),
        Command::Resume { run, by } => (by.clone(), "resume", None, Some(run.clone())),
        Command::Abort { run, by, .. } => (by.clone(), "abort", None, Some(run.clone())),
        Command::Retry { run, by } => (by.clone(), "retry", None, Some(run.clone())),
        Command::Approve { run, by, .. } => (by.clone(), "approve", None, Some(run.clone())),
        Command::EnrollKey { by, .. } => (by.clone(), "enroll-key", None, None),
        Command::RevokeKey { by, .. } => (by.clone(), "revoke-key", None, None),
        Command::NoteMembership { by, .. } => (by.clone(), "membership", None, None),
        Command::Freeze { service, by, .. } => (by.clone(), "freeze", service.clone(), None),
        Command::Unfreeze { service, by } => (by.clone(), "unfreeze", service.clone(), None),
        Command::Acknowledge { service, by } => (by.clone(), "acknowledge", Some(service.clone()), None),
        Command::NoteAutomatic { service, .. } => (mesh(), "note-automatic", Some(service.clone()), None),
        Command::AskNotice { service, .. } => (mesh(), "ask-notice", Some(service.clone()), None),
        Command::CloseNotice { service, .. } => (mesh(), "close-notice", Some(service.clone()), None),
        Command::NoteLoss { run, .. } => (mesh(), "note-loss", None, Some(run.clone())),
        Command::Restored { by, .. } => (by.clone(), "restored", None, None),
    }
}

fn refuse(code: RefusalCode, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into() }
}

fn invalid(message: impl Into<String>) -> Refusal {
    refuse(RefusalCode::Invalid, message)
}

fn not_found(message: impl Into<String>) -> Refusal {
    refuse(RefusalCode::NotFound, message)
}

fn conflict(message: impl Into<String>) -> Refusal {
    refuse(RefusalCode::Conflict, message)
}

fn precondition(message: impl Into<String>) -> Refusal {
    refuse(RefusalCode::Precondition, message)
}
