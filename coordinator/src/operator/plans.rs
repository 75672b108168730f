//! `MakePlan` and `StartRun`: what would be done, and doing it.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::access::Identity;
use mesh_core::decide::{self, RuleRecord};
use mesh_core::detect;
use mesh_core::fleet::{Command, Fleet, Reply, Service};
use mesh_core::ids::{Hash32, RegionId, RunId, ServiceId};
use mesh_core::plan::{Plan, PlanKind};
use mesh_core::planner::{self, Evidence, PlanError};
use mesh_core::run::{Approval, Cause};
use mesh_proto::v1;
use tonic::{Code, Status};

use super::writes::unexpected;
use super::{approvals, reads, refusal};
use crate::node::Node;
use crate::sessions::evidence::Snapshot;

pub use mesh_core::decide::WAVE_SIZE;

const ALTERED: &str = "the plan is not what the planner makes of this service: make the plan again";

/// A request, decoded.
struct Wanted {
    kind: PlanKind,
    to: Option<RegionId>,
    from: Option<RegionId>,
    services: BTreeSet<ServiceId>,
}

/// Why a service is left out.
struct Skip {
    service: ServiceId,
    code: Code,
    reason: String,
}

struct Planned {
    plan: Plan,
    hash: Hash32,
    existing_run: Option<RunId>,
}

pub async fn make_plan(
    node: &Node,
    _: &Identity,
    request: v1::MakePlanRequest,
) -> Result<v1::MakePlanResponse, Status> {
    let wanted = decode(request)?;
    let services: Vec<ServiceId> = node.replica.with_fleet(|fleet| fleet.services.keys().cloned().collect());
    let seen = seen(node, &services);
    node.replica.with_fleet(|fleet| {
        if let Some(unknown) = wanted.services.iter().find(|id| !fleet.services.contains_key(*id)) {
            return Err(reads::no_service(unknown));
        }
        if fleet.services.is_empty() {
            return Err(Status::not_found("the mesh has no services yet: `meshctl apply -f MANIFEST` adds one"));
        }
        let (mut planned, skipped) = plan_each(fleet, &wanted, &seen);
        if planned.is_empty() {
            return Err(nothing_moves(&skipped));
        }
        let moving: Vec<&Service> = planned.keys().filter_map(|id| fleet.services.get(id)).collect();
        let waves =
            planner::waves(&moving, WAVE_SIZE).map_err(|error| Status::failed_precondition(error.to_string()))?;
        let in_order = (0u32..).zip(waves).flat_map(|(wave, ids)| ids.into_iter().map(move |id| (wave, id)));
        let plans = in_order.filter_map(|(wave, id)| planned.remove(&id).map(|planned| encode(wave, &planned)));
        let plans = plans.collect();
        let skipped = skipped
            .into_iter()
            .map(|skip| v1::SkippedService { service: skip.service.to_string(), reason: skip.reason });
        Ok(v1::MakePlanResponse { plans, skipped: skipped.collect() })
    })
}

/// What this node knows of the services. Not while the state is looked at.
fn seen(node: &Node, services: &[ServiceId]) -> detect::Evidence {
    let led_since = node.judgements.led_since().unwrap_or_else(|| node.now());
    Snapshot::take(node, led_since).evidence(node, services)
}

fn plan_each(fleet: &Fleet, wanted: &Wanted, seen: &detect::Evidence) -> (BTreeMap<ServiceId, Planned>, Vec<Skip>) {
    let (mut planned, mut skipped) = (BTreeMap::new(), Vec::new());
    for (id, service) in &fleet.services {
        if !wanted.services.is_empty() && !wanted.services.contains(id) {
            continue;
        }
        match plan_one(fleet, service, wanted, seen) {
            Ok(plan) => drop(planned.insert(id.clone(), plan)),
            Err((code, reason)) => skipped.push(Skip { service: id.clone(), code, reason }),
        }
    }
    (planned, skipped)
}

fn plan_one(
    fleet: &Fleet,
    service: &Service,
    wanted: &Wanted,
    seen: &detect::Evidence,
) -> Result<Planned, (Code, String)> {
    if let Some(from) = wanted.from.as_ref().filter(|from| service.active != **from) {
        return Err((Code::FailedPrecondition, format!("it is active in {}, not in {from}", service.active)));
    }
    if let Some(run) = service.current_run.as_ref().and_then(|run| fleet.runs.get(run)) {
        let same = run.plan.kind == wanted.kind && wanted.to.as_ref().is_none_or(|to| run.plan.to == *to);
        if same {
            return Ok(Planned { plan: run.plan.clone(), hash: run.plan_hash, existing_run: Some(run.id.clone()) });
        }
        let text =
            format!("run {} ({} to {}) has not ended: `meshctl watch {}`", run.id, run.plan.kind, run.plan.to, run.id);
        return Err((Code::Aborted, text));
    }
    let made = match (wanted.kind, &wanted.to) {
        (PlanKind::Failover, Some(to)) => planner::plan_failover(service, to, &Evidence::of(service, seen)),
        (PlanKind::Failover, None) => return Err((Code::InvalidArgument, "no target region is given".to_owned())),
        (PlanKind::TrafficSetup, _) => planner::plan_traffic_setup(service),
        (PlanKind::Rejoin, Some(region)) => planner::plan_rejoin(service, region),
        (PlanKind::Rejoin, None) => return Err((Code::InvalidArgument, "no region is given".to_owned())),
    };
    let plan = made.map_err(|error| (code_of(&error), error.to_string()))?;
    let hash = mesh_proto::plan_hash(&plan);
    Ok(Planned { plan, hash, existing_run: None })
}

fn code_of(error: &PlanError) -> Code {
    match error {
        PlanError::UnknownRegion { .. } => Code::InvalidArgument,
        PlanError::AlreadyActive { .. }
        | PlanError::NothingToMove { .. }
        | PlanError::NoTraffic { .. }
        | PlanError::Circle { .. }
        | PlanError::Unfit { .. } => Code::FailedPrecondition,
    }
}

fn nothing_moves(skipped: &[Skip]) -> Status {
    let code = skipped.first().map_or(Code::FailedPrecondition, |first| first.code);
    match skipped {
        [only] => Status::new(only.code, only.reason.clone()),
        several => {
            let lines: Vec<String> = several.iter().map(|skip| format!("{}: {}", skip.service, skip.reason)).collect();
            Status::new(code, format!("no service can move: {}", lines.join("; ")))
        }
    }
}

fn encode(wave: u32, planned: &Planned) -> v1::PlannedService {
    v1::PlannedService {
        plan: Some(v1::Plan::from(&planned.plan)),
        plan_hash: planned.hash.0.to_vec(),
        wave,
        existing_run: planned.existing_run.as_ref().map(ToString::to_string),
    }
}

pub async fn start_run(
    node: &Node,
    caller: &Identity,
    request: v1::StartRunRequest,
) -> Result<v1::StartRunResponse, Status> {
    let plan = decode_plan(request.plan)?;
    let plan_hash = mesh_proto::plan_hash(&plan);
    if request.plan_hash != plan_hash.0 {
        return Err(Status::invalid_argument(format!(
            "plan_hash is not the hash of this plan ({}): it was altered or damaged on its way, make the plan again",
            plan_hash.short()
        )));
    }
    node.replica.with_fleet(|fleet| refuse_altered(fleet, &plan))?;
    let (safety, approvals) = measure(node, &plan, request.approvals)?;
    let by = caller.to_string();
    let cause = request.despite_freeze.map_or(Cause::Asked, |reason| Cause::DespiteFreeze { reason });
    let command = Command::StartRun { plan: Box::new(plan), plan_hash, by, cause, safety, approvals };
    match refusal::commit(node, command).await? {
        Reply::RunStarted { run, existing } => Ok(v1::StartRunResponse { run: run.to_string(), existing }),
        other => Err(unexpected(&other)),
    }
}

/// The safety rules that need measurements, as they stand now; and the verified overrides of any.
fn measure(node: &Node, plan: &Plan, given: Vec<v1::Approval>) -> Result<(Vec<RuleRecord>, Vec<Approval>), Status> {
    let approvals = approvals::check_each(node, given)?;
    let seen = seen(node, std::slice::from_ref(&plan.service));
    let safety = node.replica.with_fleet(|fleet| {
        let Some(service) = fleet.services.get(&plan.service).filter(|_| plan.kind == PlanKind::Failover) else {
            return Vec::new();
        };
        let verdicts = detect::assess(service, &seen);
        let onset = Evidence::of(service, &seen).onset;
        decide::safety::evaluate(fleet, service, &plan.to, onset, &verdicts, &seen)
    });
    Ok((safety, approvals))
}

/// Steps that nobody planned are neither carried out nor looked at, whatever their hash: they would point the agents
/// and their credentials wherever the sender likes. A plan of the past is for the commit to judge: versions and
/// generations only grow, so it can never start. One of a state to come could, were that state reached between here and
/// the commit: it is looked at as one of now, whether the service is moving or not.
fn refuse_altered(fleet: &Fleet, plan: &Plan) -> Result<(), Status> {
    let service = fleet.services.get(&plan.service).ok_or_else(|| reads::no_service(&plan.service))?;
    let next = service.generation.next();
    if plan.manifest_version < service.version || plan.generation < next {
        return Ok(());
    }
    if plan.manifest_version > service.version || plan.generation > next || plan.from != service.active {
        return Err(Status::aborted("the plan is of a state that the service is not in: make the plan again"));
    }
    match planner::is_genuine(service, plan) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Status::invalid_argument(ALTERED)),
        // What the planner does not plan at all cannot be a plan of it.
        Err(error) => Err(Status::new(code_of(&error), error.to_string())),
    }
}

fn is_of_now(service: &Service, plan: &Plan) -> bool {
    service.current_run.is_none()
        && service.version == plan.manifest_version
        && service.generation.next() == plan.generation
        && service.active == plan.from
}

/// As [`refuse_altered`], where no commit follows: the plan must be that of now, or of the run that is going.
pub fn refuse_unplanned(service: &Service, fleet: &Fleet, plan: &Plan) -> Result<(), Status> {
    let going = service.current_run.as_ref().and_then(|run| fleet.runs.get(run));
    if going.is_some_and(|run| run.plan == *plan) {
        return Ok(());
    }
    if !is_of_now(service, plan) {
        return Err(Status::aborted("the plan is stale: the service has changed since, make the plan again"));
    }
    refuse_altered(fleet, plan)
}

pub fn decode_plan(plan: Option<v1::Plan>) -> Result<Plan, Status> {
    let plan = plan.ok_or_else(|| Status::invalid_argument("plan is missing"))?;
    let plan = Plan::try_from(plan).map_err(|error| Status::invalid_argument(error.to_string()))?;
    plan.check().map_err(Status::invalid_argument)?;
    Ok(plan)
}

fn decode(request: v1::MakePlanRequest) -> Result<Wanted, Status> {
    let invalid = |error: mesh_core::ids::NameError| Status::invalid_argument(error.to_string());
    let kind = PlanKind::try_from(request.kind()).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let region = |given: &str| -> Result<Option<RegionId>, Status> {
        if given.is_empty() { Ok(None) } else { RegionId::new(given).map(Some).map_err(invalid) }
    };
    let to = match kind {
        PlanKind::Failover if request.to.is_empty() => {
            return Err(Status::invalid_argument("a failover needs a target region"));
        }
        PlanKind::Rejoin if request.to.is_empty() => {
            return Err(Status::invalid_argument("a rejoin needs the region that is to be rebuilt"));
        }
        PlanKind::Failover | PlanKind::Rejoin => region(&request.to)?,
        PlanKind::TrafficSetup if !request.to.is_empty() => {
            return Err(Status::invalid_argument("traffic-setup has no target region"));
        }
        PlanKind::TrafficSetup => None,
    };
    let services = request.services.into_iter().map(ServiceId::new).collect::<Result<_, _>>().map_err(invalid)?;
    Ok(Wanted { kind, to, from: region(&request.from)?, services })
}
