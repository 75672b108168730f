//! `failover` and `traffic setup`: plan, ask, start wave by wave, watch.

use std::collections::BTreeSet;

use mesh_core::ids::{RegionId, RunId, ServiceId};
use mesh_core::plan::PlanKind;
use mesh_core::run::{Approval, Run};
use serde_json::json;

use super::Context;
use super::follow::{Followed, come_back, exit_of, follow};
use super::plan::{nothing_to_do, planned_json, print_plans};
use crate::args::Failover;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::mesh::{Despite, Mesh, Planned, Plans};
use crate::plan_file;
use crate::prompt::confirm;
use crate::render::{json, report};

pub async fn failover(context: &Context, args: &Failover) -> Outcome {
    let mesh = context.mesh()?;
    let target = &args.target;
    let approvals: Vec<Approval> =
        args.approvals.iter().map(|path| crate::signing::load_approval(path)).collect::<Result<_, _>>()?;
    let plans = match &args.plan {
        Some(path) => plan_file::load(path, &target.to, &target.services)?,
        None => mesh.plan(PlanKind::Failover, Some(&target.to), target.from.as_ref(), &target.services).await?,
    };
    nothing_to_do(&plans, &target.services)?;
    let what = format!("fail over to {}", target.to);
    let despite = Despite { approvals: &approvals, freeze: args.despite_freeze.as_deref() };
    let how = How { yes: args.yes, no_wait: args.no_wait, despite };
    run_plans(context, &mesh, &plans, &what, &how).await
}

/// What the person has said beforehand.
struct How<'a> {
    yes: bool,
    no_wait: bool,
    despite: Despite<'a>,
}

impl How<'_> {
    fn asking(yes: bool) -> Self {
        Self { yes, no_wait: false, despite: Despite::default() }
    }
}

pub async fn traffic_setup(context: &Context, services: &[ServiceId], yes: bool) -> Outcome {
    let mesh = context.mesh()?;
    let plans = mesh.plan(PlanKind::TrafficSetup, None, None, services).await?;
    nothing_to_do(&plans, services)?;
    run_plans(context, &mesh, &plans, "set up traffic records", &How::asking(yes)).await
}

pub async fn rejoin(context: &Context, region: &RegionId, services: &[ServiceId], yes: bool) -> Outcome {
    let mesh = context.mesh()?;
    let plans = mesh.plan(PlanKind::Rejoin, Some(region), None, services).await?;
    nothing_to_do(&plans, services)?;
    let what = format!("rebuild the PostgreSQL servers of {region}");
    run_plans(context, &mesh, &plans, &what, &How::asking(yes)).await
}

async fn run_plans(context: &Context, mesh: &Mesh, plans: &Plans, what: &str, how: &How<'_>) -> Outcome {
    let output = &context.output;
    // The plan is what the person decides on: not data, so it never mixes with `--json`.
    output.note(&print_plans(plans, output.paint));
    if plans.planned.iter().any(|planned| planned.existing_run.is_none()) {
        ask(plans, what, how.yes)?;
    }
    let waves: BTreeSet<u32> = plans.planned.iter().map(|planned| planned.wave).collect();
    let several = waves.len() > 1;
    let mut ended: Vec<Run> = Vec::new();
    for (wave, nth) in waves.iter().zip(1u32..) {
        let of_wave: Vec<&Planned> = plans.planned.iter().filter(|planned| planned.wave == *wave).collect();
        if several {
            output.note(&format!("{} {nth} of {}", output.paint.bold("wave"), waves.len()));
        }
        let runs = start(context, mesh, &of_wave, &how.despite).await?;
        if how.no_wait {
            return started_only(context, plans, *wave, &runs);
        }
        match follow(mesh, output, &runs).await? {
            Followed::Settled(settled) => ended.extend(settled),
            Followed::Interrupted => return interrupted(context, plans, *wave),
        }
        if exit_of(&ended) != Exit::Ok {
            break;
        }
    }
    finish(context, plans, &ended)
}

fn ask(plans: &Plans, what: &str, yes: bool) -> Result<(), Failure> {
    let names: Vec<&str> = plans.planned.iter().map(|planned| planned.plan.service.as_str()).collect();
    let (question, accepted) = match names.as_slice() {
        [one] => (format!("Type {one} or yes to {what}:"), vec!["yes", one]),
        many => (format!("Type yes to {what} ({} services):", many.len()), vec!["yes"]),
    };
    confirm(&question, &accepted, yes, what)
}

async fn start(
    context: &Context,
    mesh: &Mesh,
    planned: &[&Planned],
    despite: &Despite<'_>,
) -> Result<Vec<RunId>, Failure> {
    let mut runs = Vec::new();
    for planned in planned {
        let started = match &planned.existing_run {
            Some(run) => Ok((run.clone(), true)),
            None => mesh.start_run(&planned.plan, &planned.hash, despite).await,
        };
        let (run, existing) = started.map_err(|failure| explain_start(failure, &runs))?;
        let word = if existing { "attached to" } else { "started" };
        context.output.note(&format!("{word} {}", context.output.paint.bold(run.as_str())));
        runs.push(run);
    }
    Ok(runs)
}

fn explain_start(mut failure: Failure, started: &[RunId]) -> Failure {
    if !started.is_empty() {
        let names: Vec<&str> = started.iter().map(RunId::as_str).collect();
        failure.details.push(format!("already started, and going on: {}", names.join(", ")));
    }
    failure
}

fn started_only(context: &Context, plans: &Plans, wave: u32, runs: &[RunId]) -> Outcome {
    let later = later_services(plans, wave);
    let value = json!({ "runs": runs, "not_started": later });
    context.output.either(&value, || {
        let lines: Vec<String> = runs.iter().map(RunId::to_string).collect();
        lines.join("\n")
    })?;
    note_later(context, &later);
    context.output.note(&come_back(runs));
    Ok(Exit::Ok)
}

fn interrupted(context: &Context, plans: &Plans, wave: u32) -> Outcome {
    note_later(context, &later_services(plans, wave));
    Ok(Exit::Interrupted)
}

fn later_services(plans: &Plans, wave: u32) -> Vec<ServiceId> {
    plans.planned.iter().filter(|planned| planned.wave > wave).map(|planned| planned.plan.service.clone()).collect()
}

fn note_later(context: &Context, later: &[ServiceId]) {
    if !later.is_empty() {
        let names: Vec<&str> = later.iter().map(ServiceId::as_str).collect();
        context.output.note(&format!(
            "Later waves are not started: {}. Give the same command again once this wave is done.",
            names.join(", ")
        ));
    }
}

fn finish(context: &Context, plans: &Plans, ended: &[Run]) -> Outcome {
    let exit = exit_of(ended);
    let not_started: Vec<&ServiceId> = plans
        .planned
        .iter()
        .map(|planned| &planned.plan.service)
        .filter(|service| !ended.iter().any(|run| run.plan.service == **service))
        .collect();
    let value = json!({
        "ok": exit == Exit::Ok,
        "runs": ended.iter().map(json::run).collect::<Vec<_>>(),
        "not_started": not_started,
        "skipped": planned_json(plans).get("skipped"),
    });
    context.output.either(&value, || ended.iter().map(report::summary).collect::<Vec<_>>().join("\n"))?;
    if !not_started.is_empty() {
        let names: Vec<&str> = not_started.iter().map(|service| service.as_str()).collect();
        context.output.note(&format!("not started, since an earlier wave is not done: {}", names.join(", ")));
    }
    Ok(exit)
}
