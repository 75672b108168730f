//! What is asked of the state alone.

use std::collections::BTreeMap;

use mesh_core::access::Identity;
use mesh_core::fleet::Fleet;
use mesh_core::ids::{AgentId, RunId, ServiceId};
use mesh_core::run::Run;
use mesh_core::time::duration_millis;
use mesh_proto::v1;
use prost::Message;
use tonic::Status;

use super::{fit, refusal, why};
use crate::node::Node;

/// Signals in one status: half a message, whatever the number of agents. `why-not` counts all.
const SIGNALS_SHOWN_MAX: usize = 8_192;
const RUNS_LISTED_DEFAULT: usize = 20;
/// A thousand summaries fit one message.
const RUNS_LISTED_MAX: usize = 1000;

pub async fn get_status(node: &Node, _: &Identity, _: v1::GetStatusRequest) -> Result<v1::GetStatusResponse, Status> {
    Ok(status(node, false))
}

pub fn status(node: &Node, stale: bool) -> v1::GetStatusResponse {
    let presence = node.sessions.presence();
    let (now, freeze, services, mut agents) = node.replica.with_fleet(|fleet| {
        let services = fleet.services.iter().map(|(id, service)| v1::ServiceStatus {
            service: id.to_string(),
            entity: Some(v1::ServiceEntity::from(service)),
            judgement: why::in_short(node, id),
        });
        let open = open_intents(fleet);
        let agents = fleet.agents.iter().map(|(id, agent)| v1::AgentStatus {
            agent: id.to_string(),
            region: agent.region.to_string(),
            open_intents: open.get(id).copied().unwrap_or_default(),
            ..Default::default()
        });
        (fleet.now, fleet.freeze.as_ref().map(Into::into), services.collect(), agents.collect::<Vec<_>>())
    });
    for agent in &mut agents {
        let Some(present) = AgentId::new(agent.agent.as_str()).ok().and_then(|id| presence.get(&id).cloned()) else {
            continue;
        };
        agent.connected = present.connected;
        agent.via = present.via;
        agent.last_heard_ms_ago = Some(duration_millis(present.heard.elapsed()));
        let session = AgentId::new(agent.agent.as_str()).ok().and_then(|id| node.sessions.of(&id));
        agent.version = session.map(|session| session.version.clone()).unwrap_or_default();
    }
    let (signals, left_out) = node.signals.shown(SIGNALS_SHOWN_MAX);
    let status = v1::GetStatusResponse {
        mesh: node.mesh.clone(),
        now: now.max(mesh_runtime::clock::unix_now()).as_millis(),
        stale,
        answered_by: node.id,
        applied_index: *node.replica.applied().borrow(),
        state_hash: node.replica.state_hash().0.to_vec(),
        services,
        agents,
        membership: Some(node.replica.membership()),
        signals: signals.iter().map(v1::Signal::from).collect(),
        signals_left_out: u32::try_from(left_out).unwrap_or(u32::MAX),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        certificate_until: node.peers.certificate_until().as_millis(),
        freeze,
    };
    without_sources(status)
}

/// Hundreds of manifests as they were written need not fit one message; `GetService` has each.
fn without_sources(mut status: v1::GetStatusResponse) -> v1::GetStatusResponse {
    if status.encoded_len() > fit::ANSWER_BYTES_MAX {
        status
            .services
            .iter_mut()
            .filter_map(|service| service.entity.as_mut())
            .for_each(|entity| entity.source.clear());
    }
    status
}

/// How many intents are out with each agent that has any: only runs that have not ended can have them.
pub fn open_intents(fleet: &Fleet) -> BTreeMap<&AgentId, u32> {
    let current = fleet.services.values().filter_map(|service| fleet.runs.get(service.current_run.as_ref()?));
    let mut open: BTreeMap<&AgentId, u32> = BTreeMap::new();
    for (_, _, intent) in current.flat_map(Run::open_intents) {
        let count = open.entry(&intent.agent).or_default();
        *count = count.saturating_add(1);
    }
    open
}

pub async fn get_service(
    node: &Node,
    _: &Identity,
    request: v1::GetServiceRequest,
) -> Result<v1::GetServiceResponse, Status> {
    let id = service_id(&request.service)?;
    let entity = node.replica.with_fleet(|fleet| fleet.services.get(&id).map(v1::ServiceEntity::from));
    let entity = entity.ok_or_else(|| no_service(&id))?;
    Ok(v1::GetServiceResponse { entity: Some(entity) })
}

pub async fn get_run(node: &Node, _: &Identity, request: v1::GetRunRequest) -> Result<v1::GetRunResponse, Status> {
    let id = run_id(&request.run)?;
    whole_run(node, &id).await
}

/// The run as it stands, or as it stood when it left the state for the history.
pub async fn whole_run(node: &Node, id: &RunId) -> Result<v1::GetRunResponse, Status> {
    let run = node.replica.with_fleet(|fleet| fleet.runs.get(id).map(v1::Run::from));
    let run = match run {
        Some(run) => Some(run),
        None => node.replica.retired_run(id).await.map_err(|error| refusal::of_consensus(&error))?,
    };
    let (run, left_out) = fit::fit(run.ok_or_else(|| no_run(id))?);
    Ok(v1::GetRunResponse { run: Some(run), left_out })
}

/// A run of the state, as it fits an answer.
pub fn run_now(node: &Node, id: &RunId) -> Result<v1::Run, Status> {
    let run = node.replica.with_fleet(|fleet| fleet.runs.get(id).map(v1::Run::from));
    run.map(|run| fit::fit(run).0).ok_or_else(|| no_run(id))
}

fn no_run(id: &RunId) -> Status {
    Status::not_found(format!("no run {id}: `meshctl history` lists them"))
}

pub async fn list_runs(
    node: &Node,
    _: &Identity,
    request: v1::ListRunsRequest,
) -> Result<v1::ListRunsResponse, Status> {
    let limit = match usize::try_from(request.limit).unwrap_or(usize::MAX) {
        0 => RUNS_LISTED_DEFAULT,
        limit if limit > RUNS_LISTED_MAX => {
            return Err(Status::invalid_argument(format!("limit {limit}: at most {RUNS_LISTED_MAX}")));
        }
        limit => limit,
    };
    let service = if request.service.is_empty() { None } else { Some(service_id(&request.service)?) };
    let known: Result<Vec<v1::RunSummary>, Status> = node.replica.with_fleet(|fleet| {
        if let Some(service) = service.as_ref().filter(|service| !fleet.services.contains_key(*service)) {
            return Err(no_service(service));
        }
        let wanted = |run: &&Run| service.as_ref().is_none_or(|service| run.plan.service == *service);
        Ok(fleet.runs.values().filter(wanted).map(summary).collect())
    });
    let mut runs = known?;
    // Whatever left the state began before what its service still has there; others may be older than both.
    let retired = node.replica.retired_runs(service.as_ref(), limit).await;
    runs.extend(retired.map_err(|error| refusal::of_consensus(&error))?);
    runs.sort_by(|a, b| (b.started_at, &b.run).cmp(&(a.started_at, &a.run)));
    runs.truncate(limit);
    Ok(v1::ListRunsResponse { runs })
}

fn summary(run: &Run) -> v1::RunSummary {
    v1::RunSummary {
        run: run.id.to_string(),
        service: run.plan.service.to_string(),
        kind: v1::PlanKind::from(run.plan.kind).into(),
        from: run.plan.from.to_string(),
        to: run.plan.to.to_string(),
        state: Some(v1::RunState::from(&run.state)),
        paused: run.paused.is_some(),
        requested_by: run.requested_by.clone(),
        started_at: run.started_at.as_millis(),
        ended_at: run.ended_at.map(|at| at.as_millis()),
    }
}

pub async fn list_keys(node: &Node, _: &Identity, _: v1::ListKeysRequest) -> Result<v1::ListKeysResponse, Status> {
    let named = |(name, key): (&mesh_core::ids::KeyId, &mesh_core::fleet::EnrolledKey)| v1::NamedKey {
        name: name.to_string(),
        key: Some(v1::KeyEntity::from(key)),
    };
    let keys = node.replica.with_fleet(|fleet| fleet.keys.iter().map(named).collect());
    Ok(v1::ListKeysResponse { keys })
}

pub fn service_id(given: &str) -> Result<ServiceId, Status> {
    ServiceId::new(given).map_err(|error| Status::invalid_argument(error.to_string()))
}

pub fn run_id(given: &str) -> Result<RunId, Status> {
    RunId::new(given).map_err(|error| Status::invalid_argument(error.to_string()))
}

pub fn no_service(id: &ServiceId) -> Status {
    Status::not_found(format!("no service {id}: `meshctl status` lists them"))
}
