//! Database instances: what is observed of one, for each action on it. The decisions are functions of plain values.

use std::time::Duration;

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::StepId;
use mesh_core::plan::{Action, SecurityGroupPurpose};
use mesh_core::time::Timestamp;
use serde::Deserialize;

use crate::aws::cloudwatch::{CloudWatch, LagPoint};
use crate::aws::error::ReadError;
use crate::aws::rds::{Instance, Rds};

mod caught_up;
mod check_replica;
mod promote;
mod reboot;
mod retention;
mod security_groups;
#[cfg(test)]
mod tests;

/// What the loss is told from must not keep the service waiting.
const LAG_WITHIN: Duration = Duration::from_secs(1);

pub(crate) struct Databases {
    pub rds: Rds,
    pub cloudwatch: CloudWatch,
}

impl Databases {
    pub(crate) async fn observe(&self, job: &Job, accepted: Option<&str>) -> Observation {
        self.look(job, accepted.is_some()).await.unwrap_or_else(Observation::from)
    }

    async fn look(&self, job: &Job, accepted: bool) -> Result<Observation, ReadError> {
        match &job.action {
            Action::RdsSetSecurityGroups { instance, security_groups, purpose } => {
                let found = self.rds.describe(instance).await?;
                // In this order: what happens from here on is not among them, and happened after the fence was seen.
                let known = match purpose {
                    SecurityGroupPurpose::Fence if security_groups::hold(&found, security_groups) => {
                        Some(self.rds.events(instance, found.seen_at).await?)
                    }
                    SecurityGroupPurpose::Fence | SecurityGroupPurpose::Unfence => None,
                };
                Ok(security_groups::observe(&found, security_groups, known.as_deref(), accepted))
            }
            Action::RdsReboot { instance } => {
                let found = self.rds.describe(instance).await?;
                let Some(fence) = evidence::<Fenced>(job, "rds-fence") else {
                    return Ok(waits_for("the read-back of the fence"));
                };
                // While it restarts they decide nothing.
                let events = match readiness(&found) {
                    Readiness::Available => self.rds.events(instance, fence.provider_time_ms).await?,
                    Readiness::Passing | Readiness::Stuck => Vec::new(),
                };
                Ok(reboot::observe(&found, &events, &fence, accepted))
            }
            Action::RdsCheckReplica { instance, source_instance, closed_security_group, standalone_ok } => {
                let found = self.rds.describe(instance).await?;
                Ok(check_replica::observe(&found, source_instance, closed_security_group, *standalone_ok))
            }
            Action::RdsAwaitCaughtUp { instance } => {
                let found = self.rds.describe(instance).await?;
                let rebooted = evidence::<Rebooted>(job, "rds-reboot");
                let lag = match found.source {
                    Some(_) => self.cloudwatch.replica_lag(instance, found.seen_at).await?,
                    None => Vec::new(),
                };
                Ok(caught_up::observe(&found, &lag, rebooted.as_ref()))
            }
            Action::RdsPromote { instance, .. } => {
                let found = self.rds.describe(instance).await?;
                let lag = match promote::is_done(&found) && !had_caught_up(job) {
                    true => self.lag_before(instance, found.seen_at).await,
                    false => Vec::new(),
                };
                Ok(promote::observe(&found, &lag, accepted))
            }
            Action::RdsSetBackupRetention { instance, days } => {
                Ok(retention::observe(&self.rds.describe(instance).await?, *days, accepted))
            }
            other => Ok(Observation::Blocked { reason: format!("{} is no database action", other.name()) }),
        }
    }

    pub(crate) async fn call(&self, job: &Job) -> CallResult {
        match &job.action {
            Action::RdsSetSecurityGroups { instance, security_groups, .. } => {
                self.rds.set_security_groups(instance, security_groups).await
            }
            Action::RdsReboot { instance } => self.rds.reboot(instance).await,
            Action::RdsPromote { instance, backup_retention_days } => {
                self.rds.promote(instance, *backup_retention_days).await
            }
            Action::RdsSetBackupRetention { instance, days } => self.rds.set_backup_retention(instance, *days).await,
            other => CallResult::Rejected { reason: format!("{} sends no database call", other.name()) },
        }
    }
}

impl Databases {
    /// For the loss alone, which nobody waits for.
    async fn lag_before(&self, instance: &str, now: Timestamp) -> Vec<LagPoint> {
        let points = tokio::time::timeout(LAG_WITHIN, self.cloudwatch.replica_lag(instance, now)).await;
        points.ok().and_then(Result::ok).unwrap_or_default()
    }
}

/// Nothing can be lost by its promotion.
fn had_caught_up(job: &Job) -> bool {
    job.evidence.keys().any(|step| step.as_str().starts_with("rds-await-caught-up"))
}

/// What the fence's read-back says to the reboot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Fenced {
    security_groups: std::collections::BTreeSet<String>,
    provider_time_ms: Timestamp,
    /// Times of the restart's events that RDS listed right after the fence was seen, from that second on. An agent of an
    /// older version did not ask.
    #[serde(default)]
    known_events_ms: Option<Vec<Timestamp>>,
}

/// What the reboot's read-back says to the wait for the replica.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Rebooted {
    restarted_at_ms: Timestamp,
    provider_time_ms: Timestamp,
}

/// The read-back of the step that did `action` to the same resource: step ids are `<action>-<resource>`.
fn evidence<T: for<'a> Deserialize<'a>>(job: &Job, action: &str) -> Option<T> {
    let resource = job.step.as_str().strip_prefix(job.action.name())?;
    let step = StepId::new(format!("{action}{resource}")).ok()?;
    serde_json::from_str(job.evidence.get(&step)?).ok()
}

fn waits_for(what: &str) -> Observation {
    Observation::Pending { note: format!("waits for {what}") }
}

/// What the status of an instance means to whoever wants to change it.
enum Readiness {
    Available,
    Passing,
    /// It will not become available without a person.
    Stuck,
}

fn readiness(instance: &Instance) -> Readiness {
    match instance.status.as_str() {
        "available" => Readiness::Available,
        "stopped"
        | "stopping"
        | "failed"
        | "deleting"
        | "deleted"
        | "restore-error"
        | "storage-full"
        | "insufficient-capacity"
        | "inaccessible-encryption-credentials" => Readiness::Stuck,
        status if status.starts_with("incompatible-") => Readiness::Stuck,
        _ => Readiness::Passing,
    }
}

fn stuck(instance: &Instance) -> Observation {
    Observation::Blocked {
        reason: format!("the instance is {}, which it does not leave by itself; make it available", instance.status),
    }
}

fn passing(instance: &Instance) -> Observation {
    Observation::Pending { note: format!("the instance is {}", instance.status) }
}

/// Ready, unless a call of this intent was accepted: then its effect is on the way and a second call would be one too
/// many.
fn ready(before: &serde_json::Value, accepted: bool) -> Observation {
    match accepted {
        true => Observation::Pending { note: "accepted, and not to be seen yet".to_owned() },
        false => Observation::Ready { before: before.to_string() },
    }
}
