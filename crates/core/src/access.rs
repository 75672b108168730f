//! Who may call what. One table; whatever it does not allow is refused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{Hash32, KeyId, NameError, RegionId, RunId, ServiceId, StepId};
use crate::plan::PredictedLoss;
use crate::time::Timestamp;

/// Roles in certificates. People: viewer, operator, approver, admin. Programs: agent, coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Viewer,
    Operator,
    Approver,
    Admin,
    Agent,
    Coordinator,
}

impl Role {
    pub const ALL: [Self; 6] =
        [Self::Viewer, Self::Operator, Self::Approver, Self::Admin, Self::Agent, Self::Coordinator];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
            Self::Agent => "agent",
            Self::Coordinator => "coordinator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = NameError;

    fn from_str(given: &str) -> Result<Self, NameError> {
        Self::ALL.into_iter().find(|role| role.as_str() == given).ok_or_else(|| NameError {
            what: "role",
            given: given.chars().take(crate::ids::NAME_LEN_MAX).collect(),
            rule: "must be viewer, operator, approver, admin, agent or coordinator",
        })
    }
}

/// `spiffe://<mesh>/region/<region>/<role>/<name>`: what a certificate's URI SAN says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    pub mesh: String,
    pub region: RegionId,
    pub role: Role,
    pub name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/region/{}/{}/{}", self.mesh, self.region, self.role, self.name)
    }
}

impl FromStr for Identity {
    type Err = NameError;

    fn from_str(given: &str) -> Result<Self, NameError> {
        let refuse = || NameError {
            what: "identity",
            given: given.chars().take(256).collect(),
            rule: "must be spiffe://MESH/region/REGION/ROLE/NAME",
        };
        let path = given.strip_prefix("spiffe://").ok_or_else(refuse)?;
        let mut parts = path.split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or_else(refuse);
        let (mesh, word, region, role, name) = (next()?, next()?, next()?, next()?, next()?);
        if word != "region" || parts.next().is_some() {
            return Err(refuse());
        }
        // Mesh and name obey the rules of every other name.
        let mesh = RegionId::new(mesh)?.to_string();
        let name = RegionId::new(name)?.to_string();
        Ok(Self { mesh, region: RegionId::new(region)?, role: role.parse()?, name })
    }
}

const AGENT_SESSION: &str = "/mesh.v1.AgentSession/Open";

/// Every RPC of the mesh, as `/mesh.v1.SERVICE/METHOD`, and the roles that may call it. A coordinator passes on what
/// people ask, and agents' sessions, with the rights of the one who asked: its own certificate asks for none of it, and it
/// speaks for nobody in anything else ([`may_pass_on`]).
/// Health and reflection are open to every certificate of the mesh.
pub const TABLE: &[(&str, &[Role])] = {
    use Role::{Admin, Agent, Approver, Coordinator, Operator, Viewer};
    const READ: &[Role] = &[Viewer, Operator, Approver, Admin];
    const OPERATE: &[Role] = &[Operator, Admin];
    const APPROVE: &[Role] = &[Approver, Admin];
    const ADMINISTER: &[Role] = &[Admin];
    &[
        ("/mesh.v1.Operator/GetStatus", READ),
        ("/mesh.v1.Operator/GetService", READ),
        ("/mesh.v1.Operator/MakePlan", READ),
        ("/mesh.v1.Operator/CheckPlan", OPERATE),
        ("/mesh.v1.Operator/Survey", READ),
        ("/mesh.v1.Operator/ApplyManifest", ADMINISTER),
        ("/mesh.v1.Operator/SetArmed", OPERATE),
        ("/mesh.v1.Operator/StartRun", OPERATE),
        ("/mesh.v1.Operator/ControlRun", OPERATE),
        ("/mesh.v1.Operator/GetRun", READ),
        ("/mesh.v1.Operator/ListRuns", READ),
        ("/mesh.v1.Operator/WatchRun", READ),
        ("/mesh.v1.Operator/Approve", APPROVE),
        ("/mesh.v1.Operator/ListKeys", READ),
        ("/mesh.v1.Operator/EnrollKey", ADMINISTER),
        ("/mesh.v1.Operator/RevokeKey", ADMINISTER),
        ("/mesh.v1.Operator/ExportAudit", READ),
        ("/mesh.v1.Operator/GetMembership", READ),
        ("/mesh.v1.Operator/ChangeMembership", ADMINISTER),
        ("/mesh.v1.Operator/Backup", ADMINISTER),
        ("/mesh.v1.Operator/Why", READ),
        ("/mesh.v1.Operator/WhyNot", READ),
        ("/mesh.v1.Operator/Freeze", OPERATE),
        ("/mesh.v1.Operator/Unfreeze", OPERATE),
        ("/mesh.v1.Operator/Acknowledge", OPERATE),
        (AGENT_SESSION, &[Agent]),
        ("/mesh.v1.AgentPeer/Promise", &[Agent]),
        ("/mesh.v1.Pki/Renew", &[Agent, Coordinator]),
        ("/mesh.v1.Raft/Append", &[Coordinator]),
        ("/mesh.v1.Raft/AppendStream", &[Coordinator]),
        ("/mesh.v1.Raft/Vote", &[Coordinator]),
        ("/mesh.v1.Raft/PreVote", &[Coordinator]),
        ("/mesh.v1.Raft/Snapshot", &[Coordinator]),
        ("/mesh.v1.Raft/TransferLeader", &[Coordinator]),
        ("/mesh.v1.Raft/Standing", &[Coordinator]),
        ("/mesh.v1.Raft/Segment", &[Coordinator]),
        ("/grpc.health.v1.Health/Check", &Role::ALL),
        ("/grpc.health.v1.Health/Watch", &Role::ALL),
        ("/grpc.health.v1.Health/List", &Role::ALL),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &Role::ALL),
    ]
};

/// May `role` call `path`? An RPC that the table does not list is refused to everyone.
pub fn is_allowed(role: Role, path: &str) -> bool {
    TABLE.iter().any(|(listed, roles)| *listed == path && roles.contains(&role))
}

/// May a coordinator call `path` in the name of `role`? What people ask, and an agent's session, and nothing else: neither
/// an agent's promises nor a certificate's renewal, and nothing of what coordinators say to each other.
pub fn may_pass_on(role: Role, path: &str) -> bool {
    let passed_on = match role {
        Role::Viewer | Role::Operator | Role::Approver | Role::Admin => path.starts_with("/mesh.v1.Operator/"),
        Role::Agent => path == AGENT_SESSION,
        Role::Coordinator => false,
    };
    passed_on && is_allowed(role, path)
}

/// Fewest owners of enrolled keys from which on a further enrolment or a change of membership needs two of them.
pub const OWNERS_BEFORE_TWO_PERSON: usize = 2;
/// Signatures that a two-person decision needs, of different owners.
pub const APPROVALS_NEEDED: usize = 2;

/// Signatures that let a run of mode `fence` go on, where nothing beyond the objective is expected to be lost.
pub const APPROVALS_TO_PROCEED: usize = 1;

/// What two people sign to accept that a run's old region is not proven closed and may lose its last writes. It holds
/// for a loss up to this one.
pub fn loss_subject(run: &RunId, plan_hash: &Hash32, loss: &PredictedLoss) -> String {
    format!("accept-loss {run} {plan_hash} {}", loss.bound())
}

/// What is signed to let a run of mode `fence` take its first one-way step. It holds for a loss up to this one.
pub fn proceed_subject(run: &RunId, plan_hash: &Hash32, loss: &PredictedLoss) -> String {
    format!("proceed {run} {plan_hash} {}", loss.bound())
}

/// What two people sign to start exactly this plan although the safety rule of this name does not hold.
pub fn override_subject(rule: &str, service: &ServiceId, plan_hash: &Hash32) -> String {
    format!("override-rule {rule} {service} {plan_hash}")
}

/// What two people sign to let a held run go on without one of its steps.
pub fn skip_subject(run: &RunId, step: &StepId, plan_hash: &Hash32) -> String {
    format!("skip-step {run} {step} {plan_hash}")
}

pub fn enroll_subject(key: &KeyId, owner: &str, public_key_hex: &str) -> String {
    format!("enroll-key {key} {owner} {public_key_hex}")
}

pub fn revoke_subject(key: &KeyId) -> String {
    format!("revoke-key {key}")
}

/// `change` as the CLI writes it: `add-learner 4 https://…`, `promote 4`, `remove 4`.
pub fn membership_subject(change: &str) -> String {
    format!("membership {change}")
}

/// The bytes that an approval's signature covers.
pub fn approval_message(mesh: &str, subject: &str, expires_at: Timestamp) -> Vec<u8> {
    format!("mesh-approval-v1\n{mesh}\n{subject}\n{}\n", expires_at.as_millis()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unlisted_rpc_is_refused_to_everyone() {
        assert!(Role::ALL.iter().all(|role| !is_allowed(*role, "/mesh.v1.Operator/Unheard")));
    }

    #[test]
    fn a_viewer_changes_nothing() {
        for (path, roles) in TABLE {
            let changes = [
                "Apply",
                "Start",
                "Control",
                "Approve",
                "Enroll",
                "Revoke",
                "Change",
                "Raft",
                "Renew",
                "reeze",
                "Acknowledge",
            ];
            if changes.iter().any(|word| path.contains(word)) {
                assert!(!roles.contains(&Role::Viewer), "{path} must be closed to viewers");
            }
        }
    }

    #[test]
    fn a_program_asks_nothing_of_what_people_ask() {
        for (path, roles) in TABLE.iter().filter(|(path, _)| path.starts_with("/mesh.v1.Operator/")) {
            let program = roles.iter().find(|role| matches!(role, Role::Agent | Role::Coordinator));
            assert_eq!(program, None, "{path} is for people");
        }
    }

    #[test]
    fn a_coordinator_passes_on_what_people_ask_and_agents_sessions_and_nothing_else() {
        for (path, roles) in TABLE {
            for role in Role::ALL {
                let is_person = !matches!(role, Role::Agent | Role::Coordinator);
                let of_person = is_person && path.starts_with("/mesh.v1.Operator/") && roles.contains(&role);
                let of_agent = role == Role::Agent && *path == "/mesh.v1.AgentSession/Open";
                assert_eq!(may_pass_on(role, path), of_person || of_agent, "{path} for {role}");
            }
        }
    }

    #[test]
    fn an_identity_reads_back_as_it_was_written() {
        let text = "spiffe://demo/region/us-east-1/agent/agent-1";
        assert_eq!(text.parse::<Identity>().expect("an identity").to_string(), text);
        for bad in [
            "",
            "https://demo/region/us-east-1/agent/a",
            "spiffe://demo/region/us-east-1/agent",
            "spiffe://demo/region/us-east-1/king/a",
            "spiffe://demo/region/us-east-1/agent/a/b",
            "spiffe:///region/us-east-1/agent/a",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad:?} must be refused");
        }
    }
}
