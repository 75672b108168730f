//! From manifest, target and evidence to a plan. Same arguments, same plan.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::decide::loss::{self, LagSample, Onset};
use crate::detect;
use crate::fleet::Service;
use crate::ids::{RegionId, ServiceId, StepId};
use crate::manifest::{Manifest, RdsInstance, WriterMode};
use crate::plan::{Action, Plan, PlanKind, PredictedLoss, Retry, Reversibility, SecurityGroupPurpose, Step};

mod gateways;
mod hooks;
mod postgres;
mod resources;

use postgres::Server;
pub use postgres::plan_rejoin;

/// What was seen lately, for the predicted loss.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Of the outage that is being left, or now.
    pub onset: Onset,
    pub lag: Vec<LagSample>,
}

impl Evidence {
    /// Of one service, as one leader knows it.
    pub fn of(service: &Service, known: &detect::Evidence) -> Self {
        let verdicts = detect::assess(service, known);
        let active = verdicts.get(&service.active);
        let onset = active.map_or(Onset::now(known.now), |active| loss::onset(service, active, known.now));
        Self { onset, lag: loss::samples(service, known, onset) }
    }
}

/// Why no plan can be made. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("{service} has no region {region}: its regions are {known}")]
    UnknownRegion { service: ServiceId, region: RegionId, known: String },
    #[error("{service} is active in {region} already: nothing to do")]
    AlreadyActive { service: ServiceId, region: RegionId },
    #[error("{service} has no traffic record and no database: there is nothing to move")]
    NothingToMove { service: ServiceId },
    #[error("{service} has no traffic record: there is nothing to set up")]
    NoTraffic { service: ServiceId },
    #[error("the services {services} depend on each other in a circle: break it in one of their manifests")]
    Circle { services: String },
    #[error("the plan cannot be made: {reason}")]
    Unfit { reason: String },
}

/// Retries of mutating calls. Route 53 throttles at five requests a second an account, so a second is the first pause
/// that is surely long enough.
const RETRY: Retry =
    Retry { attempts_max: 8, backoff_min: Duration::from_millis(250), backoff_max: Duration::from_secs(15) };
/// A notice is worth a few more attempts, not an hour of them.
const RETRY_NOTICE: Retry =
    Retry { attempts_max: 5, backoff_min: Duration::from_millis(250), backoff_max: Duration::from_secs(10) };
/// The grant is one commit; the step waits for nothing that could take this long.
const GRANT_TIMEOUT: Duration = Duration::from_secs(60);

/// The forced move of one service to `to`.
pub fn plan_failover(service: &Service, to: &RegionId, evidence: &Evidence) -> Result<Plan, PlanError> {
    let manifest = &service.manifest;
    let from = &service.active;
    if !manifest.regions.contains_key(to) {
        let known: Vec<&str> = manifest.regions.keys().map(RegionId::as_str).collect();
        return Err(PlanError::UnknownRegion {
            service: manifest.service.clone(),
            region: to.clone(),
            known: known.join(", "),
        });
    }
    if to == from {
        return Err(PlanError::AlreadyActive { service: manifest.service.clone(), region: to.clone() });
    }
    if manifest.traffic.is_empty() && manifest.resources.is_empty() {
        return Err(PlanError::NothingToMove { service: manifest.service.clone() });
    }
    let target_is_new = !service.authority.contains_key(to);
    let mut builder = Builder { manifest, from, to, target_is_new, steps: Vec::new() };
    let databases = builder.databases()?;
    let servers = builder.servers()?;
    let looks = builder.look(&databases, &servers)?;
    let (promoted, opened) = builder.move_databases(&databases, &servers, &looks)?;
    let mut ready = builder.make_room(&looks)?;
    ready.extend(promoted.iter().map(|ids| ids.promote.clone()));
    ready.extend(opened);
    let moved = builder.move_traffic(&ready)?;
    let verified = builder.verify(&moved)?;
    let mut before_notice: BTreeSet<StepId> = verified;
    before_notice.extend(promoted.into_iter().map(|ids| ids.retention));
    builder.notify(&before_notice)?;
    finish(
        service,
        PlanKind::Failover,
        to,
        builder.steps,
        warnings(manifest, from, to),
        loss::expected(manifest, to, evidence.onset, &evidence.lag),
    )
}

/// The creation of the fencing token of each traffic record.
pub fn plan_traffic_setup(service: &Service) -> Result<Plan, PlanError> {
    let manifest = &service.manifest;
    if manifest.traffic.is_empty() {
        return Err(PlanError::NoTraffic { service: manifest.service.clone() });
    }
    let mut steps = Vec::new();
    for record in &manifest.traffic {
        let action = Action::Route53CreateToken { zone_id: record.zone_id.clone(), record: record.record.clone() };
        steps.push(Step {
            id: step_id(action.name(), &record.name)?,
            title: format!("create the fencing token of {} and adopt its records", record.record),
            region: service.active.clone(),
            action,
            after: BTreeSet::new(),
            timeout: manifest.policy.traffic_timeout,
            retry: RETRY,
            reversibility: Reversibility::NothingToUndo,
            undo: None,
        });
    }
    finish(service, PlanKind::TrafficSetup, &service.active, steps, Vec::new(), PredictedLoss::Nothing)
}

/// Is this plan what the planner makes of the service now? Loss and warnings are for people and may have moved on.
pub fn is_genuine(service: &Service, plan: &Plan) -> Result<bool, PlanError> {
    let made = match plan.kind {
        PlanKind::Failover => plan_failover(service, &plan.to, &Evidence::default())?,
        PlanKind::TrafficSetup => plan_traffic_setup(service)?,
        PlanKind::Rejoin => plan_rejoin(service, &plan.to)?,
    };
    Ok(made.steps == plan.steps && made.from == plan.from && made.to == plan.to)
}

/// Sorts services into waves: each stands in a later wave than all it depends on. Dependencies that are not among
/// them do not count. At most `wave_max` services move at a time.
pub fn waves(services: &[&Service], wave_max: usize) -> Result<Vec<Vec<ServiceId>>, PlanError> {
    let mut left: BTreeMap<&ServiceId, &BTreeSet<ServiceId>> =
        services.iter().map(|service| (&service.manifest.service, &service.manifest.depends_on)).collect();
    let mut waves = Vec::new();
    while !left.is_empty() {
        let ready: Vec<ServiceId> = left
            .iter()
            .filter(|(_, needs)| !needs.iter().any(|need| left.contains_key(need)))
            .map(|(id, _)| (*id).clone())
            .take(wave_max.max(1))
            .collect();
        if ready.is_empty() {
            let circle: Vec<&str> = left.keys().map(|id| id.as_str()).collect();
            return Err(PlanError::Circle { services: circle.join(", ") });
        }
        for id in &ready {
            left.remove(id);
        }
        waves.push(ready);
    }
    Ok(waves)
}

struct Builder<'a> {
    manifest: &'a Manifest,
    from: &'a RegionId,
    to: &'a RegionId,
    /// It never had write authority, so a standalone instance there is one that was promoted by hand. One that did is
    /// the old primary with the old data.
    target_is_new: bool,
    steps: Vec<Step>,
}

struct Database {
    name: String,
    old: RdsInstance,
    new: RdsInstance,
    days: u32,
}

struct Promoted {
    promote: StepId,
    retention: StepId,
}

impl Builder<'_> {
    /// What has to be fenced and promoted.
    fn databases(&self) -> Result<Vec<Database>, PlanError> {
        if self.manifest.writer == WriterMode::Multi {
            return Ok(Vec::new());
        }
        let database = |(name, instances, days): (&str, &BTreeMap<RegionId, RdsInstance>, u32)| {
            let instance = |region: &RegionId| {
                instances
                    .get(region)
                    .cloned()
                    .ok_or_else(|| PlanError::Unfit { reason: format!("{name} has no instance in {region}") })
            };
            Ok(Database { name: name.to_owned(), old: instance(self.from)?, new: instance(self.to)?, days })
        };
        self.manifest.databases().map(database).collect()
    }

    /// Before anything is touched: can the target take over, and how does it stand? Nothing is fenced for a target
    /// that could not serve, and what was there is committed before it is changed.
    fn look(&mut self, databases: &[Database], servers: &[Server]) -> Result<BTreeSet<StepId>, PlanError> {
        let mut looks = BTreeSet::new();
        for Database { name, old, new, .. } in databases {
            looks.insert(self.check_target(name, old, new)?);
        }
        for server in servers {
            looks.insert(self.look_at_server(server)?);
        }
        looks.extend(self.look_at_resources()?);
        Ok(looks)
    }

    /// Fence every database of the old region, then grant, then promote every replica.
    fn move_databases(
        &mut self,
        databases: &[Database],
        servers: &[Server],
        looks: &BTreeSet<StepId>,
    ) -> Result<(Vec<Promoted>, Vec<StepId>), PlanError> {
        let leased = self.manifest.fence.is_leased() && self.manifest.writer == WriterMode::Single;
        if databases.is_empty() && servers.is_empty() && !leased {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut closed = BTreeSet::new();
        for Database { name, old, new, .. } in databases {
            closed.insert(self.fence(name, old, new, looks)?);
        }
        for server in servers {
            closed.insert(self.close_server(server, looks)?);
        }
        let hooks: Vec<String> = self.manifest.fence.hooks().map(str::to_owned).collect();
        for hook in hooks.iter().filter(|_| leased) {
            closed.insert(self.close_by_hook(hook, looks)?);
        }
        let stopped = self.stop_requests(looks)?;
        // Where it closes by itself, the throttle is still not what is waited for alone.
        if closed.is_empty() {
            closed.clone_from(looks);
        }
        closed.extend(stopped);
        let grant = self.push(
            StepId::new("grant").map_err(unfit)?,
            format!("give {} write authority", self.to),
            self.to.clone(),
            Action::Grant,
            closed,
            self.grant_timeout(),
            RETRY,
            None,
        );
        let mut promoted = Vec::new();
        for Database { name, new, days, .. } in databases {
            promoted.push(self.promote(name, new, *days, &grant)?);
        }
        let mut opened = Vec::new();
        for server in servers {
            opened.push(self.promote_server(server, &grant)?);
        }
        let mut written: BTreeSet<StepId> = promoted.iter().map(|ids| ids.promote.clone()).collect();
        written.extend(opened.iter().cloned());
        written.insert(grant.clone());
        for hook in hooks.iter().filter(|_| leased) {
            opened.push(self.open_by_hook(hook, &written)?);
        }
        opened.extend(self.admit_requests(&written)?);
        if promoted.is_empty() && opened.is_empty() {
            opened.push(grant);
        }
        Ok((promoted, opened))
    }

    /// With leases it waits for the proof that the old region is closed: at most for two leases (the last one, and the
    /// promises that prolong it) and for the fence that closes by itself.
    fn grant_timeout(&self) -> Duration {
        let fencing = &self.manifest.fence;
        if !fencing.is_leased() {
            return GRANT_TIMEOUT;
        }
        GRANT_TIMEOUT + fencing.terms().waited_out() * 2 + fencing.dead_man().unwrap_or_default() * 2
    }

    /// Nothing is fenced for a target that could not take over.
    fn check_target(&mut self, name: &str, old: &RdsInstance, new: &RdsInstance) -> Result<StepId, PlanError> {
        let action = Action::RdsCheckReplica {
            instance: new.instance.clone(),
            source_instance: old.instance.clone(),
            closed_security_group: new.closed_security_group.clone(),
            standalone_ok: self.target_is_new,
        };
        let timeout = self.manifest.policy.fence_timeout;
        Ok(self.push(
            step_id(action.name(), name)?,
            format!("look whether {} can take over", new.instance),
            self.to.clone(),
            action,
            BTreeSet::new(),
            timeout,
            RETRY,
            None,
        ))
    }

    fn fence(
        &mut self,
        name: &str,
        old: &RdsInstance,
        new: &RdsInstance,
        fit: &BTreeSet<StepId>,
    ) -> Result<StepId, PlanError> {
        let policy = &self.manifest.policy;
        let (fence_timeout, catch_up_timeout) = (policy.fence_timeout, policy.catch_up_timeout);
        let fence = Action::RdsSetSecurityGroups {
            instance: old.instance.clone(),
            security_groups: BTreeSet::from([old.closed_security_group.clone()]),
            purpose: SecurityGroupPurpose::Fence,
        };
        let undo = Action::RdsSetSecurityGroups {
            instance: old.instance.clone(),
            security_groups: old.security_groups.clone(),
            purpose: SecurityGroupPurpose::Unfence,
        };
        let fenced = self.push(
            step_id(fence.name(), name)?,
            format!("fence {}: only the closed security group", old.instance),
            self.from.clone(),
            fence,
            fit.clone(),
            fence_timeout,
            RETRY,
            Some(undo),
        );
        let reboot = Action::RdsReboot { instance: old.instance.clone() };
        let rebooted = self.push(
            step_id(reboot.name(), name)?,
            format!("reboot {}: end the sessions that are still open", old.instance),
            self.from.clone(),
            reboot,
            BTreeSet::from([fenced]),
            fence_timeout,
            RETRY,
            None,
        );
        let wait = Action::RdsAwaitCaughtUp { instance: new.instance.clone() };
        Ok(self.push(
            step_id(wait.name(), name)?,
            format!("wait until {} has every write of {}", new.instance, old.instance),
            self.to.clone(),
            wait,
            BTreeSet::from([rebooted]),
            catch_up_timeout,
            RETRY,
            None,
        ))
    }

    fn promote(&mut self, name: &str, new: &RdsInstance, days: u32, grant: &StepId) -> Result<Promoted, PlanError> {
        let timeout = self.manifest.policy.promote_timeout;
        let action = Action::RdsPromote { instance: new.instance.clone(), backup_retention_days: days };
        let promote = self.push(
            step_id(action.name(), name)?,
            format!("promote {}", new.instance),
            self.to.clone(),
            action,
            BTreeSet::from([grant.clone()]),
            timeout,
            RETRY,
            None,
        );
        let action = Action::RdsSetBackupRetention { instance: new.instance.clone(), days };
        let retention = self.push(
            step_id(action.name(), name)?,
            format!("keep {days} days of backups of {}", new.instance),
            self.to.clone(),
            action,
            BTreeSet::from([promote.clone()]),
            timeout,
            RETRY,
            None,
        );
        Ok(Promoted { promote, retention })
    }

    fn move_traffic(&mut self, after: &BTreeSet<StepId>) -> Result<BTreeSet<StepId>, PlanError> {
        let mut moved = BTreeSet::new();
        for record in &self.manifest.traffic {
            let sets = |region: &RegionId| {
                record.active.get(region).cloned().ok_or_else(|| PlanError::Unfit {
                    reason: format!("{} has no record sets for {region}", record.record),
                })
            };
            let replace =
                |sets| Action::Route53Replace { zone_id: record.zone_id.clone(), record: record.record.clone(), sets };
            let action = replace(sets(self.to)?);
            let undo = replace(sets(self.from)?);
            moved.insert(self.push(
                step_id(action.name(), &record.name)?,
                format!("point {} at {}", record.record, self.to),
                self.to.clone(),
                action,
                after.clone(),
                self.manifest.policy.traffic_timeout,
                RETRY,
                Some(undo),
            ));
        }
        Ok(moved)
    }

    fn verify(&mut self, after: &BTreeSet<StepId>) -> Result<BTreeSet<StepId>, PlanError> {
        let mut verified = after.clone();
        for verification in &self.manifest.verify {
            let fill = |text: &str| text.replace("{region}", self.to.as_str());
            let action = Action::HttpVerify {
                url: fill(&verification.url),
                expect_status: verification.expect_status,
                body_contains: verification.body_contains.as_deref().map(fill),
                consecutive: verification.consecutive,
            };
            let url = fill(&verification.url);
            verified.insert(self.push(
                step_id(action.name(), &verification.name)?,
                format!("see {url} answer from {}", self.to),
                self.to.clone(),
                action,
                after.clone(),
                self.manifest.policy.verify_timeout,
                RETRY,
                None,
            ));
        }
        Ok(verified)
    }

    fn notify(&mut self, after: &BTreeSet<StepId>) -> Result<(), PlanError> {
        for notice in &self.manifest.notices {
            let topic_arn = notice.topics.get(self.to).cloned().ok_or_else(|| PlanError::Unfit {
                reason: format!("notice {} has no topic in {}", notice.name, self.to),
            })?;
            let service = &self.manifest.service;
            let action = Action::SnsNotify {
                topic_arn,
                subject: format!("{service} now runs in {}", self.to),
                message: format!(
                    "{service} was moved from {} to {}. Its writes and traffic are in {} now.",
                    self.from, self.to, self.to
                ),
            };
            self.push(
                step_id(action.name(), &notice.name)?,
                format!("tell {}", notice.name),
                self.to.clone(),
                action,
                after.clone(),
                self.manifest.policy.notice_timeout,
                RETRY_NOTICE,
                None,
            );
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one argument for each column of a step")]
    fn push(
        &mut self,
        id: StepId,
        title: String,
        region: RegionId,
        action: Action,
        after: BTreeSet<StepId>,
        timeout: Duration,
        retry: Retry,
        undo: Option<Action>,
    ) -> StepId {
        let reversibility = match (&action, &undo) {
            (_, Some(_)) => Reversibility::Reversible,
            (Action::RdsPromote { .. } | Action::PostgresPromote { .. } | Action::SnsNotify { .. }, None) => {
                Reversibility::OneWay
            }
            (_, None) => Reversibility::NothingToUndo,
        };
        self.steps.push(Step { id: id.clone(), title, region, action, after, timeout, retry, reversibility, undo });
        id
    }
}

fn finish(
    service: &Service,
    kind: PlanKind,
    to: &RegionId,
    steps: Vec<Step>,
    warnings: Vec<String>,
    loss: PredictedLoss,
) -> Result<Plan, PlanError> {
    let plan = Plan {
        service: service.manifest.service.clone(),
        kind,
        from: service.active.clone(),
        to: to.clone(),
        manifest_version: service.version,
        generation: service.generation.next(),
        steps,
        warnings,
        loss,
    };
    plan.check().map_err(|reason| PlanError::Unfit { reason })?;
    Ok(plan)
}

fn warnings(manifest: &Manifest, from: &RegionId, to: &RegionId) -> Vec<String> {
    let mut warnings = Vec::new();
    if !manifest.traffic.is_empty() {
        let lost = if from.as_str() == "us-east-1" { ", the region this plan leaves" } else { "" };
        warnings.push(format!(
            "changing Route 53 records needs the Route 53 control plane in us-east-1{lost}: while it is down, the \
             traffic steps wait"
        ));
    }
    warnings.extend(gateways::warnings(manifest, from));
    warnings.extend(manifest.resources.iter().filter_map(|resource| resources::warning(resource, to)));
    warnings
}

/// `<action>-<name of the resource>`.
fn step_id(action: &str, name: &str) -> Result<StepId, PlanError> {
    StepId::new(format!("{action}-{name}")).map_err(unfit)
}

fn unfit(error: crate::ids::NameError) -> PlanError {
    PlanError::Unfit { reason: error.to_string() }
}
