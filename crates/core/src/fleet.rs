//! The replicated state: services, runs, agents, keys; and the commands that change it.
//!
//! `apply` is a pure function of state and command. It either changes the state by a rule of design.md 4 or refuses
//! and changes nothing but the time. Every replica that applies the same commands holds the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::audit::AuditNote;
use crate::decide::RuleRecord;
use crate::ids::{AgentId, Generation, Hash32, IntentSeq, KeyId, RegionId, RunId, ServiceId, StepId};
use crate::lease::{AskList, Proof};
use crate::manifest::Manifest;
pub use crate::notice::AutomaticNote;
use crate::notice::Telling;
use crate::plan::{Plan, PredictedLoss};
use crate::run::{Approval, Cause, Direction, Outcome, Run};
use crate::time::Timestamp;

pub mod apply;
#[cfg(test)]
mod tests;

/// Everything that the coordinators agree on, Raft's own membership apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// Name of the mesh, set once at bootstrap.
    pub mesh: String,
    /// Time of the last command.
    pub now: Timestamp,
    pub services: BTreeMap<ServiceId, Service>,
    pub runs: BTreeMap<RunId, Run>,
    pub agents: BTreeMap<AgentId, AgentRecord>,
    pub keys: BTreeMap<KeyId, EnrolledKey>,
    /// Holds back the whole mesh.
    pub freeze: Option<Freeze>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub manifest: Manifest,
    /// Counts `apply`s of the manifest, from 1.
    pub version: u64,
    /// The YAML as it was given.
    pub source: String,
    pub applied_by: String,
    pub applied_at: Timestamp,
    /// Highest generation given out.
    pub generation: Generation,
    /// Highest intent given out.
    pub intent: IntentSeq,
    /// The region that serves.
    pub active: RegionId,
    /// Write authority of each region of a `single` service that ever had it.
    pub authority: BTreeMap<RegionId, Authority>,
    /// The run that has not ended, if any (invariant BlastCap).
    pub current_run: Option<RunId>,
    /// Calls of ended runs that may still arrive at a provider which cannot refuse them.
    pub open_calls: Vec<OpenCall>,
    /// May anything outside be changed for it? A new service is only observed until a person arms it.
    pub armed: bool,
    /// The ask lists that a region which may write can still use, oldest first. Empty where there are no leases.
    pub asks: Vec<AskList>,
    /// Longest lease that can have been answered since the last grant.
    pub lease_longest: Duration,
    /// When the last automatic run began (invariant NoFlap).
    pub automatic_at: Option<Timestamp>,
    /// When a person last said that they have looked.
    pub acknowledged_at: Option<Timestamp>,
    pub freeze: Option<Freeze>,
    /// What was last decided automatically, or was blocked.
    pub noted: Option<AutomaticNote>,
}

/// A person's word that nothing is to be changed, until then. An expired one stays until the next, so that the time in
/// which nothing could be done is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    pub until: Timestamp,
    pub by: String,
    pub reason: String,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Authority {
    pub generation: Generation,
    pub state: AuthorityState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum AuthorityState {
    /// It may write.
    Granted,
    /// Revoked: `wanted` is to write next, and nobody may until this region is closed.
    Ending { wanted: Generation },
    /// Nothing of it can write any more.
    Proven { run: RunId, proof: Proof },
    /// Proven by the fence steps of `run`.
    Closed { run: RunId },
    /// Two people accepted that it is not proven.
    ClosedByConsent { run: RunId, keys: Vec<KeyId> },
}

/// A mutating call whose fate is unknown: nothing newer goes to `resource` before `until`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCall {
    pub resource: String,
    pub generation: Generation,
    pub until: Timestamp,
}

impl OpenCall {
    /// Stands for whatever a service has: after a restore nobody knows what was sent.
    pub const ANYTHING: &str = "*";

    /// Must a call of `generation` to `resource` wait for this one?
    pub fn bars(&self, resource: &str, generation: Generation) -> bool {
        (self.resource == resource || self.resource == Self::ANYTHING) && self.generation < generation
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    pub region: RegionId,
    pub registered_at: Timestamp,
    /// Where other agents ask it for promises, if it gives any.
    pub address: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledKey {
    /// The person, as in their certificate.
    pub owner: String,
    /// Ed25519, 32 bytes.
    pub public_key: Vec<u8>,
    pub enrolled_by: String,
    pub enrolled_at: Timestamp,
}

/// A state change to be committed. `by` is the SPIFFE id of who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "command")]
pub enum Command {
    /// Names the mesh. Refused once it has a name.
    NameMesh {
        mesh: String,
    },
    /// `expected_version` is that which the difference was shown against; 0 for a new service.
    ApplyManifest {
        manifest: Box<Manifest>,
        source: String,
        by: String,
        expected_version: u64,
    },
    /// Lets the mesh change things outside for a service, or no longer.
    SetArmed {
        service: ServiceId,
        armed: bool,
        by: String,
    },
    RegisterAgent {
        agent: AgentId,
        region: RegionId,
    },
    StartRun {
        plan: Box<Plan>,
        plan_hash: Hash32,
        by: String,
        cause: Cause,
        /// The safety rules that need measurements, as the leader evaluated them.
        safety: Vec<RuleRecord>,
        /// Overrides of safety rules, each by its name.
        approvals: Vec<Approval>,
    },
    /// Leader: give one direction of one step to an agent.
    OpenIntent {
        run: RunId,
        step: StepId,
        direction: Direction,
        agent: AgentId,
    },
    /// The outcome as the agent reported it, or unknown from a leader that lost the agent.
    CloseIntent {
        run: RunId,
        step: StepId,
        direction: Direction,
        seq: IntentSeq,
        outcome: Outcome,
    },
    /// Leader: a step that no attempt can finish in time.
    FailStep {
        run: RunId,
        step: StepId,
        direction: Direction,
        reason: String,
    },
    /// Leader: give write authority to the run's target.
    Grant {
        run: RunId,
        step: StepId,
    },
    /// Leader: the old region's write authority ends, and this run's generation is wanted.
    Revoke {
        run: RunId,
    },
    /// Leader: nothing of `region` can write any more. While a run unwinds, its old region has the authority again with
    /// this.
    ProveClosed {
        run: RunId,
        region: RegionId,
        proof: Proof,
    },
    /// Leader: whom holders of leases ask for promises from here on.
    SetAskList {
        service: ServiceId,
        members: BTreeSet<AgentId>,
    },
    /// Leader: nobody uses an ask list below `version` any more.
    RetireAskLists {
        service: ServiceId,
        version: u64,
    },
    /// Where an agent is asked for promises.
    NoteAddress {
        agent: AgentId,
        address: Option<String>,
    },
    Pause {
        run: RunId,
        by: String,
    },
    Resume {
        run: RunId,
        by: String,
    },
    Abort {
        run: RunId,
        by: String,
        reason: String,
    },
    /// Gives every failed step of a held run a new chance.
    Retry {
        run: RunId,
        by: String,
    },
    /// The leader has verified the signature against the enrolled key.
    Approve {
        run: RunId,
        approval: Approval,
        by: String,
    },
    EnrollKey {
        key: KeyId,
        owner: String,
        public_key: Vec<u8>,
        approvals: Vec<Approval>,
        by: String,
    },
    RevokeKey {
        key: KeyId,
        approvals: Vec<Approval>,
        by: String,
    },
    /// A change of the coordinators' membership, for the audit; Raft itself makes it.
    NoteMembership {
        text: String,
        approvals: Vec<Approval>,
        by: String,
    },
    /// Nothing is changed outside for the service, or for any, until then.
    Freeze {
        service: Option<ServiceId>,
        until: Timestamp,
        by: String,
        reason: String,
    },
    Unfreeze {
        service: Option<ServiceId>,
        by: String,
    },
    /// A person has looked at what was done automatically: the cool-down ends.
    Acknowledge {
        service: ServiceId,
        by: String,
    },
    /// Leader: what would have been done (mode `notify`), or is blocked (modes `fence` and `full`).
    NoteAutomatic {
        service: ServiceId,
        to: RegionId,
        text: String,
    },
    /// Leader: an agent may publish this notice.
    AskNotice {
        service: ServiceId,
        step: StepId,
        /// Time of the note.
        at: Timestamp,
        topic: String,
        agent: AgentId,
    },
    /// What came of it.
    CloseNotice {
        service: ServiceId,
        step: StepId,
        seq: IntentSeq,
        outcome: Telling,
    },
    /// Leader: more is expected to be lost than when the run's approvals were given.
    NoteLoss {
        run: RunId,
        loss: PredictedLoss,
    },
    /// First command of a group that was founded from a backup: whatever followed the backup is unknown.
    Restored {
        /// Checksum of the backup.
        backup: Hash32,
        made_at: Timestamp,
        /// Since when the old group had no majority, so that no call was sent any more.
        lost_at: Timestamp,
        by: String,
    },
}

/// The entities that one command changed, so that a store can write exactly those.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    Mesh,
    Service(ServiceId),
    Run(RunId),
    Agent(AgentId),
    Key(KeyId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub reply: Reply,
    /// Sorted, without doubles. [`Entity::Mesh`] (the time) is always among them.
    pub touched: Vec<Entity>,
    pub note: AuditNote,
    /// Ended runs that left the state, for whoever keeps the history.
    pub retired: Vec<Run>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reply")]
pub enum Reply {
    Ok,
    ManifestApplied {
        version: u64,
    },
    /// `existing`: the same command was given before and its run is still going.
    RunStarted {
        run: RunId,
        existing: bool,
    },
    IntentOpened {
        seq: IntentSeq,
    },
    Refused(Refusal),
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: RefusalCode,
    /// What is wrong and what to do.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// The request itself is wrong.
    Invalid,
    /// It names something that does not exist.
    NotFound,
    /// The state changed since the request was made, or a run is in the way.
    Conflict,
    /// A rule forbids it now.
    Precondition,
    /// It needs approvals that are not there.
    NeedsApproval,
}
