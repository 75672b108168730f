//! What AWS says of a resource. Its API is not the resource: only an answer counts, and silence does not.

use std::time::Duration;

use mesh_core::ids::RegionId;

use super::deadline::Deadline;
use super::elsewhere::{Clients, Elsewhere, unread};
use super::trouble::Trouble;
use crate::aws::ecs::Service;
use crate::aws::eks::NodeGroup;
use crate::aws::error::ReadError;
use crate::aws::rds::Instance;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsResource {
    Rds { instance: String },
    Eks { cluster: String, node_group: String },
    Ecs { cluster: String, service: String },
    Msk { cluster: String },
}

impl Elsewhere {
    pub(crate) async fn status(
        &self,
        resource: &AwsResource,
        region: &RegionId,
        timeout: Duration,
    ) -> Result<Duration, Trouble> {
        let deadline = Deadline::after(timeout);
        let clients = self.of(region);
        let looked = async { look(&clients, resource).await };
        deadline.of_another(&format!("AWS in {region} gave no answer"), looked).await?;
        Ok(deadline.elapsed())
    }
}

async fn look(clients: &Clients, resource: &AwsResource) -> Result<(), Trouble> {
    match resource {
        AwsResource::Rds { instance } => rds(&clients.rds.describe(instance).await.map_err(failed)?),
        AwsResource::Eks { cluster, node_group } => {
            let status = clients.eks.cluster_status(cluster).await.map_err(failed)?;
            let status = serving(&status, &["ACTIVE", "UPDATING"]);
            status.map_err(|status| Trouble::Target(format!("the cluster is {status}")))?;
            eks(&clients.eks.node_group(cluster, node_group).await.map_err(failed)?)
        }
        AwsResource::Ecs { cluster, service } => ecs(&clients.ecs.service(cluster, service).await.map_err(failed)?),
        AwsResource::Msk { cluster } => {
            let found = clients.kafka.cluster(cluster).await.map_err(failed)?;
            // It serves while it heals a broker, is updated or maintained.
            let status = serving(&found.state, &["ACTIVE", "HEALING", "UPDATING", "MAINTENANCE"]);
            status.map_err(|state| Trouble::Target(format!("the cluster is {state}")))
        }
    }
}

/// That it is not there is an answer, too.
fn failed(error: ReadError) -> Trouble {
    match error {
        ReadError::NotFound(reason) => Trouble::Target(reason),
        ReadError::Denied(_) | ReadError::Unreadable(_) => unread(error),
    }
}

fn serving<'a>(status: &'a str, well: &[&str]) -> Result<(), &'a str> {
    if well.contains(&status) { Ok(()) } else { Err(status) }
}

/// The statuses in which an instance answers (AWS, "Viewing Amazon RDS DB instance status"). That its replication stopped does
/// not count: it does when the primary dies, and then the replica is needed.
fn rds(found: &Instance) -> Result<(), Trouble> {
    let well = [
        "available",
        "backing-up",
        "configuring-associations",
        "configuring-enhanced-monitoring",
        "configuring-iam-database-auth",
        "configuring-log-exports",
        "modifying",
        "moving-to-vpc",
        "renaming",
        "resetting-master-credentials",
        "storage-config-upgrade",
        "storage-initialization",
        "storage-optimization",
    ];
    serving(&found.status, &well).map_err(|status| Trouble::Target(format!("the instance is {status}")))
}

fn eks(group: &NodeGroup) -> Result<(), Trouble> {
    let issues: Vec<_> = group.issues.iter().map(|issue| format!("{}: {}", issue.code, issue.message)).collect();
    match serving(&group.status, &["ACTIVE", "UPDATING"]) {
        Err(status) => Err(Trouble::Target(format!("the node group is {status}; {}", issues.join("; ")))),
        Ok(()) if !issues.is_empty() => {
            Err(Trouble::Target(format!("the node group has issues: {}", issues.join("; "))))
        }
        Ok(()) => Ok(()),
    }
}

/// A rolling deployment may stop half of the tasks; fewer are too few. A standby may want none.
fn ecs(service: &Service) -> Result<(), Trouble> {
    serving(&service.status, &["ACTIVE"]).map_err(|status| Trouble::Target(format!("the service is {status}")))?;
    if service.running.saturating_mul(2) < service.desired {
        let said = service.newest_event.as_deref().unwrap_or("it does not say why");
        let Service { running, desired, .. } = service;
        return Err(Trouble::Target(format!("{running} of {desired} tasks run; {said}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_core::time::Timestamp;

    use super::*;
    use crate::aws::eks::{Issue, Sizes};
    use crate::aws::rds::Replication;

    fn instance(status: &str, normal: bool) -> Instance {
        let replication = Replication { status: "error".to_owned(), normal, message: "slot is gone".to_owned() };
        Instance {
            status: status.to_owned(),
            security_groups: BTreeMap::new(),
            source: None,
            replication: vec![replication],
            backup_retention_days: 7,
            backup_retention_pending: false,
            seen_at: Timestamp::default(),
        }
    }

    #[test]
    fn an_instance_that_is_changed_still_answers_and_one_that_reboots_does_not() {
        for (status, passes) in
            [("available", true), ("modifying", true), ("backing-up", true), ("rebooting", false), ("failed", false)]
        {
            assert_eq!(rds(&instance(status, true)).is_ok(), passes, "{status}");
        }
    }

    #[test]
    fn a_replica_whose_primary_died_is_well() {
        assert!(rds(&instance("available", false)).is_ok());
    }

    #[test]
    fn half_of_the_tasks_are_enough_and_a_standby_may_want_none() {
        let service = |running, desired| Service {
            status: "ACTIVE".to_owned(),
            desired,
            running,
            pending: 0,
            daemon: false,
            deployments: Vec::new(),
            newest_event: Some("unable to place a task".to_owned()),
        };
        for (running, desired, passes) in [(4, 4, true), (2, 4, true), (1, 4, false), (0, 1, false), (0, 0, true)] {
            assert_eq!(ecs(&service(running, desired)).is_ok(), passes, "{running} of {desired}");
        }
        let inactive = Service { status: "DRAINING".to_owned(), ..service(4, 4) };
        assert!(ecs(&inactive).is_err());
    }

    #[test]
    fn a_node_group_with_issues_is_not_well() {
        let group = |status: &str, issues: usize| NodeGroup {
            status: status.to_owned(),
            sizes: Sizes { min: 1, max: 2, desired: 1 },
            issues: vec![Issue { code: "AsgInstanceLaunchFailures".to_owned(), message: "no room".to_owned() }; issues],
        };
        assert!(eks(&group("ACTIVE", 0)).is_ok() && eks(&group("UPDATING", 0)).is_ok());
        assert!(eks(&group("ACTIVE", 1)).is_err() && eks(&group("DEGRADED", 0)).is_err());
    }
}
