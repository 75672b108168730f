//! Steps for PostgreSQL servers: look, fence, wait for the last WAL, promote.

use std::collections::BTreeSet;

use super::{Builder, PlanError, RETRY, finish, step_id};
use crate::fleet::{AuthorityState, Service};
use crate::ids::{RegionId, StepId};
use crate::manifest::{PostgresInstance, WriterMode};
use crate::plan::{Action, Plan, PlanKind, PredictedLoss, Retry, Reversibility, Step};

/// A data directory is rebuilt twice at most before a person looks.
const RETRY_REJOIN: Retry = Retry { attempts_max: 2, ..RETRY };

/// The former primaries of `region` become replicas of the active region's.
pub fn plan_rejoin(service: &Service, region: &RegionId) -> Result<Plan, PlanError> {
    let manifest = &service.manifest;
    let id = &manifest.service;
    if !manifest.regions.contains_key(region) {
        let known: Vec<&str> = manifest.regions.keys().map(RegionId::as_str).collect();
        let known = known.join(", ");
        return Err(PlanError::UnknownRegion { service: id.clone(), region: region.clone(), known });
    }
    if *region == service.active {
        return Err(PlanError::AlreadyActive { service: id.clone(), region: region.clone() });
    }
    if service.authority.get(region).is_some_and(|authority| authority.state == AuthorityState::Granted) {
        return Err(PlanError::Unfit { reason: format!("{region} has write authority: nothing is rebuilt there") });
    }
    let mut steps = Vec::new();
    for (name, instances) in manifest.postgres() {
        let (Some(instance), Some(source)) = (instances.get(region), instances.get(&service.active)) else { continue };
        let action = Action::PostgresRejoin { instance: instance.clone(), source: source.clone() };
        steps.push(Step {
            id: step_id(action.name(), name)?,
            title: format!("make {} a replica of {}", instance.address(), source.address()),
            region: region.clone(),
            action,
            after: BTreeSet::new(),
            timeout: manifest.policy.promote_timeout,
            retry: RETRY_REJOIN,
            reversibility: Reversibility::NothingToUndo,
            undo: None,
        });
    }
    if steps.is_empty() {
        return Err(PlanError::Unfit {
            reason: format!("{id} has no postgresql in {region}: there is nothing to rejoin"),
        });
    }
    finish(service, PlanKind::Rejoin, region, steps, Vec::new(), PredictedLoss::Nothing)
}

pub(super) struct Server {
    name: String,
    old: PostgresInstance,
    new: PostgresInstance,
}

impl Builder<'_> {
    /// What has to be fenced and promoted.
    pub(super) fn servers(&self) -> Result<Vec<Server>, PlanError> {
        if self.manifest.writer == WriterMode::Multi {
            return Ok(Vec::new());
        }
        let mut servers = Vec::new();
        for (name, instances) in self.manifest.postgres() {
            let instance = |region: &RegionId| {
                instances
                    .get(region)
                    .cloned()
                    .ok_or_else(|| PlanError::Unfit { reason: format!("{name} has no server in {region}") })
            };
            servers.push(Server { name: name.to_owned(), old: instance(self.from)?, new: instance(self.to)? });
        }
        Ok(servers)
    }

    pub(super) fn look_at_server(&mut self, server: &Server) -> Result<StepId, PlanError> {
        let Server { name, new, .. } = server;
        let action = Action::PostgresCheckReplica { instance: new.clone(), promoted_ok: self.target_is_new };
        let title = format!("look whether {} can take over", new.address());
        let timeout = self.manifest.policy.fence_timeout;
        let id = step_id(action.name(), name)?;
        Ok(self.push(id, title, self.to.clone(), action, BTreeSet::new(), timeout, RETRY, None))
    }

    /// The step after which the old server writes no more and the new one has all of it.
    pub(super) fn close_server(&mut self, server: &Server, fit: &BTreeSet<StepId>) -> Result<StepId, PlanError> {
        let Server { name, old, new } = server;
        let policy = &self.manifest.policy;
        let (fence_timeout, catch_up_timeout) = (policy.fence_timeout, policy.catch_up_timeout);
        let fence = Action::PostgresFence { instance: old.clone() };
        let undo = Action::PostgresUnfence { instance: old.clone() };
        let id = step_id(fence.name(), name)?;
        let title = format!("fence {}: no sessions, no writes", old.address());
        let fenced = self.push(id, title, self.from.clone(), fence, fit.clone(), fence_timeout, RETRY, Some(undo));
        let wait = Action::PostgresAwaitCaughtUp { instance: new.clone() };
        let id = step_id(wait.name(), name)?;
        let title = format!("wait until {} has the last write of {}", new.address(), old.address());
        let after = BTreeSet::from([fenced]);
        Ok(self.push(id, title, self.to.clone(), wait, after, catch_up_timeout, RETRY, None))
    }

    pub(super) fn promote_server(&mut self, server: &Server, grant: &StepId) -> Result<StepId, PlanError> {
        let Server { name, new, .. } = server;
        let action = Action::PostgresPromote { instance: new.clone() };
        let id = step_id(action.name(), name)?;
        let title = format!("promote {}", new.address());
        let timeout = self.manifest.policy.promote_timeout;
        Ok(self.push(id, title, self.to.clone(), action, BTreeSet::from([grant.clone()]), timeout, RETRY, None))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use crate::fixtures::{EAST, WEST, fleet, maip, region, service};
    use crate::fleet::Service;
    use crate::ids::StepId;
    use crate::manifest::check::check;
    use crate::manifest::{Manifest, PostgresInstance, Resource, ResourceKind};
    use crate::plan::{Plan, PredictedLoss, Reversibility};
    use crate::planner::{Evidence, plan_failover, plan_rejoin};

    fn server(host: &str) -> PostgresInstance {
        PostgresInstance {
            host: host.to_owned(),
            port: 5432,
            database: "orders".to_owned(),
            user: "mesh".to_owned(),
            password_file: Some("password".to_owned()),
            ca_file: Some("ca.pem".to_owned()),
            data_directory: None,
        }
    }

    fn ledger() -> Resource {
        let instances = BTreeMap::from([(region(EAST), server("pg.east")), (region(WEST), server("pg.west"))]);
        Resource { name: "ledger".to_owned(), kind: ResourceKind::Postgresql { instances } }
    }

    fn plan(resources: Vec<Resource>) -> Plan {
        let manifest = Manifest { resources, ..maip() };
        assert_eq!(check(&manifest), Vec::new());
        let before = fleet().services[&service("maip")].clone();
        let service = Service { manifest, ..before };
        plan_failover(&service, &region(WEST), &Evidence::default()).expect("a plan")
    }

    fn after(plan: &Plan, id: &str) -> BTreeSet<String> {
        let step = plan.step(&StepId::new(id).expect("a name")).unwrap_or_else(|| panic!("no step {id}"));
        step.after.iter().map(ToString::to_string).collect()
    }

    fn set(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn a_server_is_looked_at_fenced_waited_for_granted_and_promoted_in_this_order() {
        let plan = plan(vec![ledger()]);
        assert_eq!(after(&plan, "postgres-check-replica-ledger"), set(&[]));
        assert_eq!(after(&plan, "postgres-fence-ledger"), set(&["postgres-check-replica-ledger"]));
        assert_eq!(after(&plan, "postgres-await-caught-up-ledger"), set(&["postgres-fence-ledger"]));
        assert_eq!(after(&plan, "grant"), set(&["postgres-await-caught-up-ledger"]));
        assert_eq!(after(&plan, "postgres-promote-ledger"), set(&["grant"]));
        assert!(after(&plan, "route53-replace-api").contains("postgres-promote-ledger"), "traffic waits for it");
        let step = |id: &str| plan.step(&StepId::new(id).expect("a name")).expect("it is there");
        assert_eq!(step("postgres-fence-ledger").reversibility, Reversibility::Reversible);
        assert_eq!(step("postgres-fence-ledger").region, region(EAST));
        assert_eq!(step("postgres-promote-ledger").reversibility, Reversibility::OneWay);
        assert_eq!(plan.loss, PredictedLoss::Unknown, "a database whose lag was never measured");
    }

    #[test]
    fn a_service_may_have_both_kinds_of_database_and_grants_when_both_are_closed() {
        let mut resources = maip().resources;
        resources.push(ledger());
        let plan = plan(resources);
        assert_eq!(after(&plan, "grant"), set(&["postgres-await-caught-up-ledger", "rds-await-caught-up-database"]));
        assert_eq!(after(&plan, "rds-promote-database"), set(&["grant"]));
    }

    #[test]
    fn a_region_that_may_write_is_not_rebuilt() {
        let before = fleet().services[&service("maip")].clone();
        let service = Service { manifest: Manifest { resources: vec![ledger()], ..maip() }, ..before };
        let plan = plan_rejoin(&service, &region(WEST)).expect("a plan");
        assert_eq!(after(&plan, "postgres-rejoin-ledger"), set(&[]));
        assert_eq!((plan.from, plan.to), (region(EAST), region(WEST)));
        assert!(plan_rejoin(&service, &region(EAST)).is_err(), "the active region");
        assert!(plan_rejoin(&service, &region("eu-west-1")).is_err());
        let mut two = service.clone();
        let granted =
            crate::fleet::Authority { generation: two.generation, state: crate::fleet::AuthorityState::Granted };
        two.authority.insert(region(WEST), granted);
        assert!(plan_rejoin(&two, &region(WEST)).is_err());
    }

    #[test]
    fn a_manifest_may_not_send_a_password_where_nobody_was_verified_or_name_paths() {
        let problems = |change: &dyn Fn(&mut PostgresInstance)| {
            let mut resource = ledger();
            if let ResourceKind::Postgresql { instances } = &mut resource.kind {
                instances.values_mut().for_each(change);
            }
            let manifest = Manifest { resources: vec![resource], ..maip() };
            check(&manifest).into_iter().map(|problem| problem.path).collect::<Vec<String>>()
        };
        let at = |key: &str| format!("resources[0].postgresql.instances.{EAST}.{key}");
        assert!(problems(&|_| {}).is_empty());
        assert!(problems(&|server| server.ca_file = None).contains(&at("tls")));
        assert!(problems(&|server| server.password_file = Some("../secret".to_owned())).contains(&at("password-file")));
        assert!(problems(&|server| server.ca_file = Some("/etc/ca.pem".to_owned())).contains(&at("tls.ca-file")));
        assert!(
            problems(&|server| server.data_directory = Some("/var/../etc".to_owned())).contains(&at("data-directory"))
        );
        assert!(!problems(&|server| server.host = "pg".to_owned()).is_empty(), "two regions, one server");
        assert!(problems(&|server| server.port = 0).contains(&at("port")));
    }
}
