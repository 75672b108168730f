//! Runs: watch, pause, resume, retry, abort, history, report.

use std::time::Duration;

use mesh_core::ids::{RunId, ServiceId};
use serde_json::json;

use super::Context;
use super::follow::{Followed, exit_of, follow};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::mesh::Order;
use crate::prompt::confirm;
use crate::render::table::Table;
use crate::render::{json as shapes, report as render, text};

pub async fn watch(context: &Context, run: &RunId) -> Outcome {
    let mesh = context.mesh()?;
    match follow(&mesh, &context.output, std::slice::from_ref(run)).await? {
        Followed::Interrupted => Ok(Exit::Interrupted),
        Followed::Settled(runs) => {
            for run in &runs {
                context.output.either(&shapes::run(run), || render::summary(run))?;
            }
            Ok(exit_of(&runs))
        }
    }
}

pub async fn pause(context: &Context, run: &RunId) -> Outcome {
    let answer = context.mesh()?.control(run, Order::Pause).await?;
    let value = json!({
        "run": shapes::run(&answer.run),
        "unacknowledged": answer.unacknowledged,
        "silent_after_ms": answer.silent_after_ms,
    });
    context.output.either(&value, || {
        if answer.unacknowledged.is_empty() {
            return format!("{run} is paused: no executor sends another change. `meshctl resume {run}` goes on.");
        }
        format!(
            "{run} is paused, but not confirmed yet by {}. Their permission ends {} from now at the latest; until then \
             they may still send a change. `meshctl pause {run}` asks again.",
            answer.unacknowledged.join(", "),
            text::duration(Duration::from_millis(answer.silent_after_ms))
        )
    })?;
    Ok(Exit::Ok)
}

pub async fn resume(context: &Context, run: &RunId) -> Outcome {
    order(context, run, Order::Resume, "goes on").await
}

pub async fn retry(context: &Context, run: &RunId) -> Outcome {
    order(context, run, Order::Retry, "tries its failed steps again").await
}

pub async fn abort(context: &Context, run: &RunId, reason: &str, yes: bool) -> Outcome {
    let mesh = context.mesh()?;
    if !yes {
        let now = mesh.run(run).await?;
        context.output.note(&render::render(&now, context.output.paint));
    }
    let question = format!("Type yes to abort {run} and undo what can be undone:");
    confirm(&question, &["yes", run.as_str()], yes, "abort")?;
    let answer = mesh.control(run, Order::Abort(reason.to_owned())).await?;
    said(context, &answer.run, "is being aborted")
}

async fn order(context: &Context, run: &RunId, order: Order, what: &str) -> Outcome {
    let answer = context.mesh()?.control(run, order).await?;
    said(context, &answer.run, what)
}

fn said(context: &Context, run: &mesh_core::run::Run, what: &str) -> Outcome {
    context.output.either(&shapes::run(run), || {
        format!("{} {what} (now {}). `meshctl watch {}` follows it.", run.id, run.state.name(), run.id)
    })?;
    Ok(Exit::Ok)
}

pub async fn history(context: &Context, service: Option<&ServiceId>, limit: u32) -> Outcome {
    let runs = context.mesh()?.runs(service, limit).await?;
    let values: Vec<_> = runs
        .iter()
        .map(|run| {
            json!({
                "run": run.run, "service": run.service, "kind": run.kind, "from": run.from, "to": run.to,
                "state": run.state, "paused": run.paused, "requested_by": run.requested_by,
                "started_at": run.started_at, "ended_at": run.ended_at,
            })
        })
        .collect();
    context.output.either(&values, || {
        let mut table = Table::new(&["run", "what", "from", "to", "state", "started", "took", "by"]);
        for run in &runs {
            let took = run.ended_at.map(|end| text::duration(end.since(run.started_at)));
            let state = if run.paused { format!("{} (paused)", run.state) } else { run.state.clone() };
            table.row(vec![
                run.run.clone(),
                run.kind.clone(),
                run.from.clone(),
                run.to.clone(),
                state,
                text::time(run.started_at),
                took.unwrap_or_else(|| "-".to_owned()),
                text::person(&run.requested_by),
            ]);
        }
        if table.is_empty() { "no runs yet".to_owned() } else { table.render("") }
    })?;
    Ok(Exit::Ok)
}

pub async fn report(context: &Context, run: &RunId) -> Outcome {
    let (run, left_out) = context.mesh()?.run_with_gaps(run).await?;
    if left_out > 0 {
        context.output.note(&format!(
            "{left_out} of the oldest attempts and lines are left out: the run is larger than a message. \
             `meshctl audit export` has them."
        ));
    }
    context.output.either(&shapes::run(&run), || render::render(&run, context.output.paint))?;
    Ok(Exit::Ok)
}
