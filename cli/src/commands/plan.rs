//! `plan failover` and `failover --dry-run`: what would happen, and what would stop it.

use std::path::Path;

use mesh_core::ids::ServiceId;
use mesh_core::plan::PlanKind;
use mesh_proto::v1::CheckVerdict;
use serde_json::{Value, json};

use super::Context;
use crate::args::Target;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::mesh::{Plans, StepCheck};
use crate::output::Paint;
use crate::plan_file;
use crate::render::table::Table;
use crate::render::{json as shapes, plan as render, text};

/// Widest detail that the table shows; `--json` has all of it.
const DETAIL_LEN_MAX: usize = 120;

pub async fn failover(context: &Context, target: &Target, save: Option<&Path>) -> Outcome {
    let plans = plans(context, target).await?;
    if let Some(path) = save {
        plan_file::save(path, &plans)?;
    }
    context.output.either(&planned_json(&plans), || print_plans(&plans, context.output.paint))?;
    nothing_to_do(&plans, &target.services)?;
    Ok(Exit::Ok)
}

async fn plans(context: &Context, target: &Target) -> Result<Plans, Failure> {
    let mesh = context.mesh()?;
    mesh.plan(PlanKind::Failover, Some(&target.to), target.from.as_ref(), &target.services).await
}

/// Refuses when there is no plan, or none for a service that was named.
pub fn nothing_to_do(plans: &Plans, named: &[ServiceId]) -> Result<(), Failure> {
    let reasons = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        let skipped = plans.skipped.iter().filter(|skipped| wanted(&skipped.service));
        skipped.map(|skipped| format!("{}: {}", skipped.service, skipped.reason)).collect()
    };
    if plans.planned.is_empty() {
        return Err(Failure::refused("there is nothing to move")
            .details(reasons(&|_| true))
            .hint("`meshctl status` shows services, their regions and their runs"));
    }
    let left_out = reasons(&|service| named.iter().any(|name| name.as_str() == service));
    if left_out.is_empty() {
        return Ok(());
    }
    Err(Failure::refused("not every service that was named can move")
        .details(left_out)
        .hint("leave out those services, or remove what stops them"))
}

pub fn print_plans(plans: &Plans, paint: Paint) -> String {
    let waves = plans.planned.iter().map(|planned| planned.wave).max().unwrap_or(0);
    let several = plans.planned.iter().any(|planned| planned.wave != waves);
    let mut out = String::new();
    let mut wave = None;
    for planned in &plans.planned {
        if several && wave != Some(planned.wave) {
            out.push_str(&format!("{}\n", paint.bold(&format!("Wave {}", planned.wave.saturating_add(1)))));
        }
        wave = Some(planned.wave);
        out.push_str(&render::render(&planned.plan, &planned.hash, paint));
        if let Some(run) = &planned.existing_run {
            out.push_str(&format!("  {} {run} is doing this already\n", paint.yellow("note:")));
        }
    }
    for skipped in &plans.skipped {
        out.push_str(&format!("{} {}: {}\n", paint.yellow("left out:"), skipped.service, skipped.reason));
    }
    out
}

pub fn planned_json(plans: &Plans) -> Value {
    let planned = plans.planned.iter().map(|planned| {
        let mut value = shapes::plan(&planned.plan, &planned.hash);
        if let Value::Object(fields) = &mut value {
            fields.insert("wave".to_owned(), json!(planned.wave));
            fields.insert("existing_run".to_owned(), json!(planned.existing_run));
        }
        value
    });
    let skipped = plans.skipped.iter().map(|skipped| json!({ "service": skipped.service, "reason": skipped.reason }));
    json!({ "plans": planned.collect::<Vec<_>>(), "skipped": skipped.collect::<Vec<_>>() })
}

pub async fn dry_run(context: &Context, target: &Target) -> Outcome {
    let mesh = context.mesh()?;
    let plans = mesh.plan(PlanKind::Failover, Some(&target.to), target.from.as_ref(), &target.services).await?;
    nothing_to_do(&plans, &target.services)?;
    let mut services = Vec::new();
    let mut text = String::new();
    let mut stopped = false;
    for planned in &plans.planned {
        let checks = mesh.check(&planned.plan).await?;
        let stops = checks.iter().any(|check| stops(check.verdict));
        stopped |= stops;
        text.push_str(&render::render(&planned.plan, &planned.hash, context.output.paint));
        text.push_str(&format!("\n{}", table(&checks)));
        services.push(json!({
            "service": planned.plan.service,
            "plan_hash": planned.hash,
            "would_stop": stops,
            "steps": checks.iter().map(|check| json!({
                "step": check.step, "verdict": verdict_name(check.verdict), "detail": check.detail, "agent": check.agent,
            })).collect::<Vec<_>>(),
        }));
    }
    text.push_str(if stopped {
        "\nThis failover would be stopped.\n"
    } else {
        "\nNothing would stop this failover now.\n"
    });
    context.output.either(&json!({ "would_stop": stopped, "services": services }), || text)?;
    Ok(if stopped { Exit::Refused } else { Exit::Ok })
}

/// What could not be looked at counts as an obstacle: a rehearsal that saw nothing proves nothing.
pub const fn stops(verdict: CheckVerdict) -> bool {
    match verdict {
        CheckVerdict::Ready | CheckVerdict::Satisfied => false,
        CheckVerdict::Blocked | CheckVerdict::Unknown | CheckVerdict::Unspecified => true,
    }
}

const fn verdict_name(verdict: CheckVerdict) -> &'static str {
    match verdict {
        CheckVerdict::Ready => "ready",
        CheckVerdict::Satisfied => "done already",
        CheckVerdict::Blocked => "BLOCKED",
        CheckVerdict::Unknown | CheckVerdict::Unspecified => "UNKNOWN",
    }
}

fn table(checks: &[StepCheck]) -> String {
    let mut table = Table::new(&["step", "verdict", "asked by", "detail"]);
    for check in checks {
        let agent = if check.agent.is_empty() { "-" } else { &check.agent };
        let verdict = verdict_name(check.verdict).to_owned();
        table.row(vec![check.step.clone(), verdict, agent.to_owned(), in_words(&check.detail)]);
    }
    table.render("  ")
}

/// What an agent saw, short: the note in its evidence, if it has one.
fn in_words(detail: &str) -> String {
    let evidence = serde_json::from_str::<Value>(detail).ok();
    let note = evidence.as_ref().and_then(|evidence| evidence.get("note")).and_then(Value::as_str);
    text::clip(note.unwrap_or(detail), DETAIL_LEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_could_not_be_looked_at_counts_as_an_obstacle() {
        assert!(!stops(CheckVerdict::Ready) && !stops(CheckVerdict::Satisfied));
        assert!(stops(CheckVerdict::Blocked) && stops(CheckVerdict::Unknown));
    }

    #[test]
    fn a_named_service_that_is_left_out_is_an_error() {
        let skipped = crate::mesh::Skipped { service: "maip".to_owned(), reason: "is active there already".to_owned() };
        let plans = Plans { planned: Vec::new(), skipped: vec![skipped] };
        let failure = nothing_to_do(&plans, &[]).expect_err("nothing to move");
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(failure.details, ["maip: is active there already"]);
    }
}
