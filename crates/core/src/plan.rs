//! A plan: an immutable DAG of steps that leaves no choice to its executor.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{Generation, RegionId, ServiceId, StepId};
use crate::lease::Throttle;
use crate::manifest::{PostgresInstance, RecordSet};
use crate::time::Timestamp;

/// Most steps a plan may have: a bound on the log entry that carries it.
pub const STEPS_MAX: usize = 64;
/// How long a sent AWS call may still arrive, the longest of all. Its signature is valid for five minutes from the date
/// in it (AWS General Reference, "Signature Version 4"), and that date may be up to five minutes ahead of AWS's clock,
/// if the agent's is.
pub const CALL_LIFETIME: Duration = Duration::from_secs(600);
/// A statement to PostgreSQL names the time of the server's own clock after which it does nothing, two seconds after its
/// session began; the rest is for a clock that is being slewed.
const POSTGRES_CALL_LIFETIME: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub service: ServiceId,
    pub kind: PlanKind,
    pub from: RegionId,
    pub to: RegionId,
    /// Version of the manifest that it was made from; it can start only while that is the current one.
    pub manifest_version: u64,
    /// Generation of the run that will carry it out; it can start only while this is the next one.
    pub generation: Generation,
    /// In an order in which each stands after all that it waits for.
    pub steps: Vec<Step>,
    /// What this plan does not do, or needs that may be missing. For people.
    pub warnings: Vec<String>,
    pub loss: PredictedLoss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanKind {
    Failover,
    /// Creates the fencing token of each traffic record, adopting the records as they are.
    TrafficSetup,
    /// Makes the former primaries of a region replicas again.
    Rejoin,
}

impl fmt::Display for PlanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Failover => "failover",
            Self::TrafficSetup => "traffic-setup",
            Self::Rejoin => "rejoin",
        })
    }
}

/// What is expected to be lost if the plan runs, from the last lag measured (invariant RpoGate).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PredictedLoss {
    /// No database is promoted.
    Nothing,
    /// Accepted writes of the last `lag` may be missing; measured by `observer`, `age` before the outage began, or before
    /// the plan was made.
    Lag {
        lag: Duration,
        age: Duration,
        observer: String,
        /// What it was read from, of which resource. Empty from before it was kept.
        signal: String,
        /// Zero from before it was kept.
        measured_at: Timestamp,
    },
    /// Lag was never measured while both ends lived.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub id: StepId,
    pub title: String,
    /// Region whose agents carry it out.
    pub region: RegionId,
    pub action: Action,
    /// Steps that must be done first.
    pub after: BTreeSet<StepId>,
    /// Bound on the whole step, all attempts included.
    pub timeout: Duration,
    pub retry: Retry,
    pub reversibility: Reversibility,
    /// What undoes it, when it is reversible.
    pub undo: Option<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    pub attempts_max: u32,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversibility {
    /// It leaves nothing behind that an abort would have to undo.
    NothingToUndo,
    /// `undo` restores what was.
    Reversible,
    /// No undo: after it the run goes forward or is held.
    OneWay,
}

impl fmt::Display for Reversibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NothingToUndo => "nothing to undo",
            Self::Reversible => "reversible",
            Self::OneWay => "one-way",
        })
    }
}

/// What one step does to one resource. All parameters are fixed when the plan is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Action {
    /// Looks whether the target can take over, before anything is touched: an available replica of `source_instance`
    /// (or, with `standalone_ok`, one that was promoted already), and not fenced itself.
    RdsCheckReplica { instance: String, source_instance: String, closed_security_group: String, standalone_ok: bool },
    /// ModifyDBInstance: exactly these security groups, applied at once. Fence and un-fence are both this.
    RdsSetSecurityGroups { instance: String, security_groups: BTreeSet<String>, purpose: SecurityGroupPurpose },
    /// RebootDBInstance: ends the sessions that outlived a fence.
    RdsReboot { instance: String },
    /// Waits until the replica reports no lag, measured after the fence.
    RdsAwaitCaughtUp { instance: String },
    /// Committed by the coordinators: `to` gets write authority once every older region is closed.
    Grant,
    /// PromoteReadReplica, until the instance is available and has no source.
    RdsPromote { instance: String, backup_retention_days: u32 },
    /// ModifyDBInstance: automated backups on, as failback needs.
    RdsSetBackupRetention { instance: String, days: u32 },
    /// Replaces all record sets of a name in one batch that also moves the fencing token.
    Route53Replace { zone_id: String, record: String, sets: Vec<RecordSet> },
    /// Creates the fencing token of a name if it has none; leaves its records alone.
    Route53CreateToken { zone_id: String, record: String },
    /// Looks whether the node group can be scaled, and records how it stands.
    EksCheckNodegroup { cluster: String, node_group: String },
    /// UpdateNodegroupConfig: at least these sizes, until the group is active with them and healthy.
    EksScaleNodegroup { cluster: String, node_group: String, min: u32, max: u32, desired: u32 },
    /// UpdateNodegroupConfig: the sizes that step `as_of` recorded.
    EksRestoreNodegroup { cluster: String, node_group: String, as_of: StepId },
    /// Looks whether the deployments are there, and records their replicas. No names: every deployment.
    KubernetesCheck { cluster: String, namespace: String, deployments: BTreeSet<String> },
    /// Patches each deployment that has fewer replicas, and waits until all are ready. No names: every deployment has
    /// at least `replicas`.
    KubernetesScale { cluster: String, namespace: String, replicas: u32, deployments: BTreeMap<String, u32> },
    /// Patches each deployment back to the replicas that step `as_of` recorded.
    KubernetesRestore { cluster: String, namespace: String, as_of: StepId },
    /// Looks whether the service is there, and records its desired count.
    EcsCheckService { cluster: String, service: String },
    /// UpdateService: at least this desired count, until the service is steady.
    EcsScaleService { cluster: String, service: String, tasks: u32 },
    /// UpdateService: the desired count that step `as_of` recorded.
    EcsRestoreService { cluster: String, service: String, as_of: StepId },
    /// Looks whether the cluster is active.
    MskCheckCluster { cluster: String },
    /// Looks whether the table is active in the step's region, as a replica beside `from`.
    DynamodbCheckReplica { table: String, from: RegionId },
    /// Waits until the replication latency from `from` is at most `lag_max`. CloudWatch of `from` alone has it: when
    /// that does not answer, there is nothing to wait for.
    DynamodbAwaitLag { table: String, from: RegionId, lag_max: Duration },
    /// Looks whether the target can take over: in recovery, of a known timeline, and how far it is (or, with
    /// `promoted_ok`, promoted already).
    PostgresCheckReplica { instance: PostgresInstance, promoted_ok: bool },
    /// No database takes sessions any more but a superuser's, new transactions are read-only, open sessions are ended.
    PostgresFence { instance: PostgresInstance },
    /// What the fence noted before it changed it, exactly.
    PostgresUnfence { instance: PostgresInstance },
    /// Waits until the replica has replayed the last WAL of the fenced primary.
    PostgresAwaitCaughtUp { instance: PostgresInstance },
    /// pg_promote on the timeline that the look saw, until the server can be written on a newer one.
    PostgresPromote { instance: PostgresInstance },
    /// Makes a former primary a replica of `source`, by pg_rewind or a base backup, on its own host.
    PostgresRejoin { instance: PostgresInstance, source: PostgresInstance },
    /// The operator's own command on the agent's host that closes the region, by its name in the agent's configuration.
    HookFence { hook: String },
    /// The command that opens it again.
    HookUnfence { hook: String },
    /// UpdateStage of an HTTP API: no request of any route is let through. The former limits are noted on the stage.
    ApiGatewayClose { api: String, stage: String },
    /// What the close noted, exactly; `open` where it noted nothing.
    ApiGatewayOpen { api: String, stage: String, open: Throttle },
    /// GET `url` through the public name until it passes `consecutive` times in a row.
    HttpVerify { url: String, expect_status: u16, body_contains: Option<String>, consecutive: u32 },
    /// Publish to an SNS topic; on a FIFO topic the intent's key is the deduplication id.
    SnsNotify { topic_arn: String, subject: String, message: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecurityGroupPurpose {
    Fence,
    Unfence,
}

impl Action {
    /// Stable name of the action's type, as used in logs, JSON and the audit.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RdsSetSecurityGroups { purpose: SecurityGroupPurpose::Fence, .. } => "rds-fence",
            Self::RdsSetSecurityGroups { purpose: SecurityGroupPurpose::Unfence, .. } => "rds-unfence",
            Self::RdsCheckReplica { .. } => "rds-check-replica",
            Self::RdsReboot { .. } => "rds-reboot",
            Self::RdsAwaitCaughtUp { .. } => "rds-await-caught-up",
            Self::Grant => "grant",
            Self::RdsPromote { .. } => "rds-promote",
            Self::RdsSetBackupRetention { .. } => "rds-backup-retention",
            Self::Route53Replace { .. } => "route53-replace",
            Self::Route53CreateToken { .. } => "route53-create-token",
            Self::EksCheckNodegroup { .. } => "eks-check-nodegroup",
            Self::EksScaleNodegroup { .. } => "eks-scale-nodegroup",
            Self::EksRestoreNodegroup { .. } => "eks-restore-nodegroup",
            Self::KubernetesCheck { .. } => "kubernetes-check",
            Self::KubernetesScale { .. } => "kubernetes-scale",
            Self::KubernetesRestore { .. } => "kubernetes-restore",
            Self::EcsCheckService { .. } => "ecs-check",
            Self::EcsScaleService { .. } => "ecs-scale",
            Self::EcsRestoreService { .. } => "ecs-restore",
            Self::MskCheckCluster { .. } => "msk-check",
            Self::DynamodbCheckReplica { .. } => "dynamodb-check",
            Self::DynamodbAwaitLag { .. } => "dynamodb-await-lag",
            Self::PostgresCheckReplica { .. } => "postgres-check-replica",
            Self::PostgresFence { .. } => "postgres-fence",
            Self::PostgresUnfence { .. } => "postgres-unfence",
            Self::PostgresAwaitCaughtUp { .. } => "postgres-await-caught-up",
            Self::PostgresPromote { .. } => "postgres-promote",
            Self::PostgresRejoin { .. } => "postgres-rejoin",
            Self::HookFence { .. } => "hook-fence",
            Self::HookUnfence { .. } => "hook-unfence",
            Self::ApiGatewayClose { .. } => "api-gateway-close",
            Self::ApiGatewayOpen { .. } => "api-gateway-open",
            Self::HttpVerify { .. } => "http-verify",
            Self::SnsNotify { .. } => "sns-notify",
        }
    }

    /// Does it change anything outside?
    pub const fn mutates(&self) -> bool {
        match self {
            Self::RdsCheckReplica { .. }
            | Self::RdsAwaitCaughtUp { .. }
            | Self::EksCheckNodegroup { .. }
            | Self::KubernetesCheck { .. }
            | Self::EcsCheckService { .. }
            | Self::MskCheckCluster { .. }
            | Self::DynamodbCheckReplica { .. }
            | Self::DynamodbAwaitLag { .. }
            | Self::PostgresCheckReplica { .. }
            | Self::PostgresAwaitCaughtUp { .. }
            | Self::Grant
            | Self::HttpVerify { .. } => false,
            Self::RdsSetSecurityGroups { .. }
            | Self::RdsReboot { .. }
            | Self::RdsPromote { .. }
            | Self::RdsSetBackupRetention { .. }
            | Self::EksScaleNodegroup { .. }
            | Self::EksRestoreNodegroup { .. }
            | Self::KubernetesScale { .. }
            | Self::KubernetesRestore { .. }
            | Self::EcsScaleService { .. }
            | Self::EcsRestoreService { .. }
            | Self::Route53Replace { .. }
            | Self::Route53CreateToken { .. }
            | Self::PostgresFence { .. }
            | Self::PostgresUnfence { .. }
            | Self::PostgresPromote { .. }
            | Self::PostgresRejoin { .. }
            | Self::HookFence { .. }
            | Self::HookUnfence { .. }
            | Self::ApiGatewayClose { .. }
            | Self::ApiGatewayOpen { .. }
            | Self::SnsNotify { .. } => true,
        }
    }

    /// Does it make a region one that can write, or let it write again?
    pub const fn lets_write(&self) -> bool {
        self.is_promotion()
            || matches!(
                self,
                Self::RdsSetSecurityGroups { purpose: SecurityGroupPurpose::Unfence, .. }
                    | Self::PostgresUnfence { .. }
                    | Self::HookUnfence { .. }
                    | Self::ApiGatewayOpen { .. }
            )
    }

    /// Does it make a region's database one that can be written?
    pub const fn is_promotion(&self) -> bool {
        matches!(self, Self::RdsPromote { .. } | Self::PostgresPromote { .. })
    }

    /// Is it carried out by a PostgreSQL server or on its host?
    pub const fn is_postgres(&self) -> bool {
        matches!(
            self,
            Self::PostgresCheckReplica { .. }
                | Self::PostgresFence { .. }
                | Self::PostgresUnfence { .. }
                | Self::PostgresAwaitCaughtUp { .. }
                | Self::PostgresPromote { .. }
                | Self::PostgresRejoin { .. }
        )
    }

    /// How long a sent call may still arrive.
    pub const fn call_lifetime(&self) -> Duration {
        if self.is_postgres() { POSTGRES_CALL_LIFETIME } else { CALL_LIFETIME }
    }

    /// Does the provider itself refuse it when it is older than what is there? Otherwise an outstanding call must be
    /// waited out before the next one on the same resource.
    pub const fn provider_checked(&self) -> bool {
        matches!(self, Self::Route53Replace { .. } | Self::Route53CreateToken { .. })
    }

    /// The thing it acts on, for outstanding calls: `rds/us-east-1/maip-prod-postgres`.
    pub fn resource(&self, region: &RegionId) -> String {
        match self {
            Self::RdsSetSecurityGroups { instance, .. }
            | Self::RdsCheckReplica { instance, .. }
            | Self::RdsReboot { instance }
            | Self::RdsAwaitCaughtUp { instance }
            | Self::RdsPromote { instance, .. }
            | Self::RdsSetBackupRetention { instance, .. } => format!("rds/{region}/{instance}"),
            Self::EksCheckNodegroup { cluster, node_group }
            | Self::EksScaleNodegroup { cluster, node_group, .. }
            | Self::EksRestoreNodegroup { cluster, node_group, .. } => format!("eks/{region}/{cluster}/{node_group}"),
            Self::KubernetesCheck { cluster, namespace, .. }
            | Self::KubernetesScale { cluster, namespace, .. }
            | Self::KubernetesRestore { cluster, namespace, .. } => {
                format!("kubernetes/{region}/{cluster}/{namespace}")
            }
            Self::EcsCheckService { cluster, service }
            | Self::EcsScaleService { cluster, service, .. }
            | Self::EcsRestoreService { cluster, service, .. } => format!("ecs/{region}/{cluster}/{service}"),
            Self::MskCheckCluster { cluster } => format!("msk/{region}/{cluster}"),
            Self::DynamodbCheckReplica { table, .. } | Self::DynamodbAwaitLag { table, .. } => {
                format!("dynamodb/{region}/{table}")
            }
            Self::Grant => "grant".to_owned(),
            Self::Route53Replace { zone_id, record, .. } | Self::Route53CreateToken { zone_id, record } => {
                format!("route53/{zone_id}/{record}")
            }
            Self::PostgresCheckReplica { instance, .. }
            | Self::PostgresFence { instance }
            | Self::PostgresUnfence { instance }
            | Self::PostgresAwaitCaughtUp { instance }
            | Self::PostgresPromote { instance }
            | Self::PostgresRejoin { instance, .. } => format!("postgres/{region}/{}", instance.address()),
            Self::HookFence { hook } | Self::HookUnfence { hook } => format!("hook/{region}/{hook}"),
            Self::ApiGatewayClose { api, stage } | Self::ApiGatewayOpen { api, stage, .. } => {
                format!("api-gateway/{region}/{api}/{stage}")
            }
            Self::HttpVerify { url, .. } => url.clone(),
            Self::SnsNotify { topic_arn, .. } => topic_arn.clone(),
        }
    }

    /// What must be true before the call, in words.
    pub const fn precondition(&self) -> &'static str {
        match self {
            Self::RdsSetSecurityGroups { .. } => "the instance exists and is available",
            Self::RdsCheckReplica { .. } => "none",
            Self::RdsReboot { .. } => "the instance is available and its security groups are the closed one",
            Self::RdsAwaitCaughtUp { .. } => "the instance is a replica that replicates",
            Self::Grant => "every region with older write authority is closed, by proof or by two-person consent",
            Self::RdsPromote { .. } => "the instance is an available replica, or already promoted",
            Self::RdsSetBackupRetention { .. } => "the instance is available and is no replica",
            Self::EksCheckNodegroup { .. } => "none",
            Self::EksScaleNodegroup { .. } => "the node group is active",
            Self::EksRestoreNodegroup { .. } => "the node group is active, and its former sizes are known",
            Self::KubernetesCheck { .. } => "none",
            Self::KubernetesScale { .. } => "the deployments exist, and none carries a newer token",
            Self::KubernetesRestore { .. } => {
                "the deployments' former replicas are known, and none carries a newer token"
            }
            Self::EcsCheckService { .. } => "none",
            Self::EcsScaleService { .. } => "the service is active",
            Self::EcsRestoreService { .. } => "the service is active, and its former count is known",
            Self::MskCheckCluster { .. } | Self::DynamodbCheckReplica { .. } => "none",
            Self::DynamodbAwaitLag { .. } => "none",
            Self::Route53Replace { .. } => "the token of the name is there and not newer than this run's",
            Self::Route53CreateToken { .. } => "the zone exists and the name has records",
            Self::PostgresCheckReplica { .. } => "none",
            Self::PostgresFence { .. } | Self::PostgresUnfence { .. } => {
                "the server is a primary, and no newer fence or un-fence was there"
            }
            Self::PostgresAwaitCaughtUp { .. } => "the fence's read-back names the last WAL of the primary",
            Self::PostgresPromote { .. } => {
                "the server is in recovery on the timeline that the look saw, or was promoted from it"
            }
            Self::PostgresRejoin { .. } => {
                "the agent runs on the server's host and may rebuild the data directory; the source is a primary"
            }
            Self::HookFence { .. } | Self::HookUnfence { .. } => "the agent's configuration has a hook of this name",
            Self::ApiGatewayClose { .. } | Self::ApiGatewayOpen { .. } => {
                "the stage of an HTTP API exists, and no newer close or open was there"
            }
            Self::HttpVerify { .. } => "none",
            Self::SnsNotify { .. } => "the topic exists",
        }
    }

    /// What is read from the provider before the step counts as done, in words.
    pub const fn read_back(&self) -> &'static str {
        match self {
            Self::RdsSetSecurityGroups { .. } => "the instance is available and its active groups are exactly these",
            Self::RdsCheckReplica { .. } => {
                "the instance is available, replicates from the old primary, and is not fenced"
            }
            Self::RdsReboot { .. } => "a restart event later than the fence, and the instance is available",
            Self::RdsAwaitCaughtUp { .. } => "a lag of zero, measured after the fence",
            Self::Grant => "the commit itself",
            Self::RdsPromote { .. } => "the instance is available and names no source",
            Self::RdsSetBackupRetention { .. } => "the retention in force is this one",
            Self::EksCheckNodegroup { .. } => "the node group is active; its sizes are recorded",
            Self::EksScaleNodegroup { .. } => "the node group is active and healthy with at least these sizes",
            Self::EksRestoreNodegroup { .. } => "the node group is active with its former sizes",
            Self::KubernetesCheck { .. } => "the deployments are there; their replicas are recorded",
            Self::KubernetesScale { .. } => "every deployment has at least these replicas, updated and ready",
            Self::KubernetesRestore { .. } => "every deployment has its former replicas",
            Self::EcsCheckService { .. } => "the service is active; its desired count is recorded",
            Self::EcsScaleService { .. } => "the service is steady with at least this many running tasks",
            Self::EcsRestoreService { .. } => "the service has its former desired count",
            Self::MskCheckCluster { .. } => "the cluster is active",
            Self::DynamodbCheckReplica { .. } => "the table and its replica here are active",
            Self::DynamodbAwaitLag { .. } => "the newest latency, or that none can be read",
            Self::Route53Replace { .. } => "the change is INSYNC, the token and every record set are ours",
            Self::Route53CreateToken { .. } => "the change is INSYNC and the token is there",
            Self::PostgresCheckReplica { .. } => "in recovery, with its timeline, its lag and whether it streams",
            Self::PostgresFence { .. } => {
                "no database takes sessions, none is open, a write is refused; the last WAL is recorded"
            }
            Self::PostgresUnfence { .. } => "the former limits and settings are in force",
            Self::PostgresAwaitCaughtUp { .. } => "the replayed WAL reaches the fenced primary's last",
            Self::PostgresPromote { .. } => "out of recovery, on a newer timeline, sessions admitted, writable",
            Self::PostgresRejoin { .. } => "in recovery, streaming from the source on its timeline",
            Self::HookFence { .. } => "the hook's check ends with exit code 0: closed",
            Self::HookUnfence { .. } => "the hook's check ends with exit code 1: open",
            Self::ApiGatewayClose { .. } => "rate and burst of the stage and of each route of its own are 0",
            Self::ApiGatewayOpen { .. } => "the former limits are in force, and the stage lets requests through",
            Self::HttpVerify { .. } => "the answers themselves",
            Self::SnsNotify { .. } => "the message id (SNS has no read-back)",
        }
    }
}

impl Plan {
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// Why this plan may not be committed, if anything: a bound, an unknown or later predecessor, a doubled id.
    pub fn check(&self) -> Result<(), String> {
        if self.steps.is_empty() {
            return Err("a plan needs at least one step".to_owned());
        }
        if self.steps.len() > STEPS_MAX {
            return Err(format!("a plan has at most {STEPS_MAX} steps, this one has {}", self.steps.len()));
        }
        let mut seen: BTreeMap<&StepId, &Step> = BTreeMap::new();
        for step in &self.steps {
            if let Some(missing) = step.after.iter().find(|id| !seen.contains_key(id)) {
                return Err(format!("step {} waits for {missing}, which does not stand before it", step.id));
            }
            if seen.insert(&step.id, step).is_some() {
                return Err(format!("step {} stands in the plan twice", step.id));
            }
            if (step.reversibility == Reversibility::Reversible) != step.undo.is_some() {
                return Err(format!("step {}: a reversible step, and no other, names what undoes it", step.id));
            }
        }
        Ok(())
    }
}
