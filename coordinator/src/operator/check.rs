//! `CheckPlan`: asks an agent of each step's region whether the step could run now. Nothing is committed or changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mesh_core::access::Identity;
use mesh_core::execute::Job;
use mesh_core::fleet::Service;
use mesh_core::fleet::apply::run_id;
use mesh_core::ids::{IntentSeq, RegionId, StepId, Token};
use mesh_core::plan::{Action, Plan, SecurityGroupPurpose, Step};
use mesh_core::run::{Direction, effect_key};
use mesh_proto::v1;
use tokio::time::Instant;
use tonic::Status;
use v1::CheckVerdict as Verdict;

use super::looking::{Silence, look, settle};
use super::plans::{decode_plan, refuse_unplanned};
use super::reads;
use crate::node::Node;
use crate::sessions::Session;

/// How long an agent may take to look at one thing.
const CHECK_WITHIN: Duration = Duration::from_secs(10);
/// An agent between two sessions is waited for, and whoever fails over at night waits for no more.
const SETTLED_WITHIN: Duration = Duration::from_secs(3);

pub async fn check_plan(
    node: &Node,
    _: &Identity,
    request: v1::CheckPlanRequest,
) -> Result<v1::CheckPlanResponse, Status> {
    let plan = decode_plan(request.plan)?;
    let service = node.replica.with_fleet(|fleet| {
        let service = fleet.services.get(&plan.service).ok_or_else(|| reads::no_service(&plan.service))?;
        refuse_unplanned(service, fleet, &plan)?;
        Ok::<_, Status>(service.clone())
    })?;
    settle(node, SETTLED_WITHIN).await;
    let asked = plan.steps.iter().enumerate().map(|(position, step)| {
        let plan = &plan;
        let service = &service;
        async move {
            match step.action {
                Action::Grant => check_grant(plan, step, service),
                _ => ask(node, plan, step, position).await,
            }
        }
    });
    Ok(v1::CheckPlanResponse { steps: join_all(asked).await })
}

async fn ask(node: &Node, plan: &Plan, step: &Step, position: usize) -> v1::StepCheck {
    let Some(session) = pick(node.sessions.in_region(&step.region), position) else {
        return answer(step, Verdict::Unknown, no_agents(&step.region), String::new());
    };
    let agent = session.agent.to_string();
    let job = match job(plan, step) {
        Ok(job) => job,
        Err(reason) => return answer(step, Verdict::Unknown, reason, agent),
    };
    let job = v1::Job::from(&job);
    match look(node, session, Instant::now() + CHECK_WITHIN, |session| session.check(job.clone())).await {
        Ok(report) => {
            let verdict = match report.verdict() {
                Verdict::Unspecified => Verdict::Unknown,
                verdict => verdict,
            };
            answer(step, verdict, report.detail, agent)
        }
        Err(Silence::Busy) => answer(step, Verdict::Unknown, format!("{agent} is busy with other checks"), agent),
        Err(Silence::Gone) => answer(step, Verdict::Unknown, format!("the session of {agent} ended"), agent),
        Err(Silence::Late) => {
            let text = format!("{agent} did not answer within {} s", CHECK_WITHIN.as_secs());
            answer(step, Verdict::Unknown, text, agent)
        }
    }
}

/// Spreads the steps of a region over its agents.
fn pick(mut sessions: Vec<Arc<Session>>, position: usize) -> Option<Arc<Session>> {
    if sessions.is_empty() {
        return None;
    }
    let at = position % sessions.len();
    Some(sessions.swap_remove(at))
}

/// The step as an agent would be offered it, without an intent.
fn job(plan: &Plan, step: &Step) -> Result<Job, String> {
    let run = run_id(&plan.service, plan.generation).map_err(|error| error.to_string())?;
    Ok(Job {
        service: plan.service.clone(),
        key: effect_key(&run, &step.id, Direction::Forward),
        run,
        step: step.id.clone(),
        direction: Direction::Forward,
        token: Token { generation: plan.generation, intent: IntentSeq(0) },
        region: step.region.clone(),
        action: step.action.clone(),
        time_left: CHECK_WITHIN,
        retry: step.retry,
        maybe_sent_since: None,
        mesh_time: None,
        retried_by_person: false,
        evidence: BTreeMap::new(),
    })
}

/// The grant is the coordinators' own: it can be given once every region that may write is closed, which the plan's
/// own fence steps have to do.
fn check_grant(plan: &Plan, step: &Step, service: &Service) -> v1::StepCheck {
    let open = service.authority.iter().filter(|(region, authority)| {
        **region != plan.to && authority.generation < plan.generation && authority.state.may_write()
    });
    let leased = service.manifest.fence.is_leased();
    let (fenced, not_fenced): (Vec<&RegionId>, Vec<&RegionId>) =
        open.map(|(region, _)| region).partition(|region| leased || !fences(plan, step, region).is_empty());
    let names = |regions: &[&RegionId]| regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (verdict, detail) = if !not_fenced.is_empty() {
        let text = format!("{} may write, and no step before this one closes it", names(&not_fenced));
        (Verdict::Blocked, text)
    } else if fenced.is_empty() {
        (Verdict::Ready, "no other region may write".to_owned())
    } else {
        (Verdict::Ready, format!("once the steps before it have closed {}", names(&fenced)))
    };
    answer(step, verdict, detail, String::new())
}

/// Fence steps of `region` that stand before `step`.
fn fences<'a>(plan: &'a Plan, step: &Step, region: &RegionId) -> Vec<&'a StepId> {
    let before = plan.steps.iter().take_while(|other| other.id != step.id);
    let fences = before.filter(|other| {
        let fence = matches!(
            &other.action,
            Action::RdsSetSecurityGroups { purpose: SecurityGroupPurpose::Fence, .. }
                | Action::PostgresFence { .. }
                | Action::HookFence { .. }
        );
        fence && other.region == *region
    });
    fences.map(|fence| &fence.id).collect()
}

fn no_agents(region: &RegionId) -> String {
    format!("no agent of {region} is connected to the leader")
}

fn answer(step: &Step, verdict: Verdict, detail: String, agent: String) -> v1::StepCheck {
    v1::StepCheck { step: step.id.to_string(), verdict: verdict.into(), detail, agent }
}
