//! Steps for what serves beside the databases: nodes, pods, tasks, brokers, tables.
//!
//! Each is looked at first, in the target region, and the look is committed: it says whether the target can serve, and
//! what an undo has to restore.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Builder, PlanError, RETRY, step_id};
use crate::ids::{RegionId, StepId};
use crate::manifest::{EcsService, EksCluster, Resource, ResourceKind};
use crate::plan::Action;

impl Builder<'_> {
    /// One look at each resource that the target region has.
    pub(super) fn look_at_resources(&mut self) -> Result<BTreeSet<StepId>, PlanError> {
        let manifest = self.manifest;
        let mut looks = BTreeSet::new();
        for Resource { name, kind } in &manifest.resources {
            match kind {
                ResourceKind::Rds { .. } | ResourceKind::Postgresql { .. } => {}
                ResourceKind::DynamodbGlobalTable { table, regions } => {
                    if regions.contains(self.to) && regions.contains(self.from) {
                        let action = Action::DynamodbCheckReplica { table: table.clone(), from: self.from.clone() };
                        looks.insert(self.look_at(name, format!("look at the replica of {table}"), action)?);
                    }
                }
                ResourceKind::Eks { clusters } => {
                    if let Some(eks) = clusters.get(self.to) {
                        looks.extend(self.look_at_cluster(name, eks)?);
                    }
                }
                ResourceKind::Ecs { services } => {
                    if let Some(EcsService { cluster, service, .. }) = services.get(self.to) {
                        let action = Action::EcsCheckService { cluster: cluster.clone(), service: service.clone() };
                        looks.insert(self.look_at(name, format!("look at service {service}"), action)?);
                    }
                }
                ResourceKind::Msk { clusters } => {
                    if let Some(cluster) = clusters.get(self.to) {
                        let action = Action::MskCheckCluster { cluster: cluster.clone() };
                        looks.insert(self.look_at(name, format!("look whether {cluster} is active"), action)?);
                    }
                }
            }
        }
        Ok(looks)
    }

    fn look_at_cluster(&mut self, name: &str, eks: &EksCluster) -> Result<[StepId; 2], PlanError> {
        let EksCluster { cluster, node_group, namespace, deployments, .. } = eks;
        let nodes = Action::EksCheckNodegroup { cluster: cluster.clone(), node_group: node_group.clone() };
        let pods = Action::KubernetesCheck {
            cluster: cluster.clone(),
            namespace: namespace.clone(),
            deployments: deployments.keys().cloned().collect(),
        };
        Ok([
            self.look_at(name, format!("look at node group {node_group}"), nodes)?,
            self.look_at(name, format!("look at the deployments of {namespace}"), pods)?,
        ])
    }

    fn look_at(&mut self, name: &str, title: String, action: Action) -> Result<StepId, PlanError> {
        let timeout = self.manifest.policy.gate_timeout;
        let id = step_id(action.name(), name)?;
        Ok(self.push(id, title, self.to.clone(), action, BTreeSet::new(), timeout, RETRY, None))
    }

    /// Capacity in the target, and data that has arrived there: what traffic waits for beside the promotions.
    pub(super) fn make_room(&mut self, looks: &BTreeSet<StepId>) -> Result<BTreeSet<StepId>, PlanError> {
        let manifest = self.manifest;
        let mut ready = looks.clone();
        for Resource { name, kind } in &manifest.resources {
            match kind {
                ResourceKind::Rds { .. } | ResourceKind::Msk { .. } | ResourceKind::Postgresql { .. } => {}
                ResourceKind::DynamodbGlobalTable { table, regions } => {
                    if regions.contains(self.to) && regions.contains(self.from) {
                        ready.insert(self.await_lag(name, table, looks)?);
                    }
                }
                ResourceKind::Eks { clusters } => {
                    if let Some(eks) = clusters.get(self.to) {
                        ready.insert(self.scale_cluster(name, eks, looks)?);
                    }
                }
                ResourceKind::Ecs { services } => {
                    if let Some(ecs) = services.get(self.to) {
                        ready.insert(self.scale_service(name, ecs, looks)?);
                    }
                }
            }
        }
        Ok(ready)
    }

    fn await_lag(&mut self, name: &str, table: &str, looks: &BTreeSet<StepId>) -> Result<StepId, PlanError> {
        let (lag_max, timeout) = (self.manifest.objectives.rpo, self.manifest.policy.gate_timeout);
        let action = Action::DynamodbAwaitLag { table: table.to_owned(), from: self.from.clone(), lag_max };
        let title = format!("wait until {table} has the writes of {}", self.from);
        let id = step_id(action.name(), name)?;
        Ok(self.push(id, title, self.to.clone(), action, looks.clone(), timeout, RETRY, None))
    }

    /// Nodes first: pods of a deployment that was raised before would only stand pending.
    fn scale_cluster(&mut self, name: &str, eks: &EksCluster, looks: &BTreeSet<StepId>) -> Result<StepId, PlanError> {
        let EksCluster { cluster, node_group, namespace, .. } = eks;
        let nodes = Action::EksScaleNodegroup {
            cluster: cluster.clone(),
            node_group: node_group.clone(),
            min: eks.nodes_min,
            max: eks.nodes_max,
            desired: eks.nodes_desired,
        };
        let undo_nodes = Action::EksRestoreNodegroup {
            cluster: cluster.clone(),
            node_group: node_group.clone(),
            as_of: step_id("eks-check-nodegroup", name)?,
        };
        let title = format!("scale node group {node_group} to {} nodes", eks.nodes_desired);
        let nodes = self.scale(name, title, nodes, looks.clone(), undo_nodes)?;
        let pods = Action::KubernetesScale {
            cluster: cluster.clone(),
            namespace: namespace.clone(),
            replicas: eks.replicas,
            deployments: eks.deployments.clone(),
        };
        let undo_pods = Action::KubernetesRestore {
            cluster: cluster.clone(),
            namespace: namespace.clone(),
            as_of: step_id("kubernetes-check", name)?,
        };
        self.scale(name, format!("scale the deployments of {namespace}"), pods, BTreeSet::from([nodes]), undo_pods)
    }

    fn scale_service(&mut self, name: &str, ecs: &EcsService, looks: &BTreeSet<StepId>) -> Result<StepId, PlanError> {
        let EcsService { cluster, service, tasks } = ecs;
        let action = Action::EcsScaleService { cluster: cluster.clone(), service: service.clone(), tasks: *tasks };
        let undo = Action::EcsRestoreService {
            cluster: cluster.clone(),
            service: service.clone(),
            as_of: step_id("ecs-check", name)?,
        };
        self.scale(name, format!("scale service {service} to {tasks} tasks"), action, looks.clone(), undo)
    }

    fn scale(
        &mut self,
        name: &str,
        title: String,
        action: Action,
        after: BTreeSet<StepId>,
        undo: Action,
    ) -> Result<StepId, PlanError> {
        let timeout: Duration = self.manifest.policy.scale_timeout;
        let id = step_id(action.name(), name)?;
        Ok(self.push(id, title, self.to.clone(), action, after, timeout, RETRY, Some(undo)))
    }
}

/// What a person should know about a resource before the plan runs.
pub(super) fn warning(resource: &Resource, to: &RegionId) -> Option<String> {
    let name = &resource.name;
    let absent = |kind: &str| Some(format!("{name}: no {kind} is named in {to}, so nothing is done for it there"));
    match &resource.kind {
        ResourceKind::Rds { .. } | ResourceKind::Postgresql { .. } => None,
        ResourceKind::DynamodbGlobalTable { regions, .. } if !regions.contains(to) => absent("replica"),
        ResourceKind::DynamodbGlobalTable { .. } => None,
        ResourceKind::Eks { clusters } => match clusters.get(to) {
            None => absent("cluster"),
            Some(eks) if eks.deployments.is_empty() => Some(format!(
                "{name}: every deployment of {} gets at least {} replicas, one that is meant to have none too; name \
                 them under `deployments` to choose",
                eks.namespace, eks.replicas
            )),
            Some(_) => None,
        },
        ResourceKind::Ecs { services } => {
            if services.contains_key(to) {
                None
            } else {
                absent("service")
            }
        }
        ResourceKind::Msk { clusters } => {
            if clusters.contains_key(to) {
                None
            } else {
                absent("cluster")
            }
        }
    }
}
