//! The report of a run: what took how long, what was read back, what was lost, who decided.

use mesh_core::run::{Intent, Run, RunState, Work};

use crate::output::Paint;
use crate::render::progress::need_text;
use crate::render::table::Table;
use crate::render::text;

/// Widest evidence shown; `--json` has all of it.
const READ_BACK_LEN_MAX: usize = 120;

pub fn render(run: &Run, paint: Paint) -> String {
    let mut out = heading(run, paint);
    out.push_str(&steps(run));
    out.push_str(&evidence(run));
    out.push('\n');
    out.push_str(&timeline(run));
    out
}

pub fn timeline(run: &Run) -> String {
    let mut out = "Timeline\n".to_owned();
    for entry in &run.timeline {
        let step = entry.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
        let offset = text::offset(entry.at.since(run.started_at));
        out.push_str(&format!("  {} {offset:>10}  {step}{}\n", text::time(entry.at), entry.text));
    }
    out
}

fn heading(run: &Run, paint: Paint) -> String {
    let state = match &run.state {
        RunState::Done => paint.green("done"),
        RunState::Running | RunState::Unwinding => run.state.name().to_owned(),
        RunState::Held { .. } | RunState::Compensated => paint.yellow(run.state.name()),
        RunState::Refused { .. } => paint.red("refused"),
    };
    let took = run.ended_at.map(|end| format!(" after {}", text::duration(end.since(run.started_at))));
    let mut out = format!(
        "{}  {} of {}: {} → {}\n",
        paint.bold(run.id.as_str()),
        run.plan.kind,
        run.plan.service,
        run.plan.from,
        run.plan.to
    );
    out.push_str(&format!("  state           {state}{}\n", took.unwrap_or_default()));
    if let RunState::Held { reason, need } = &run.state {
        out.push_str(&format!("  held because    {reason}\n{}\n", need_text(run, need)));
    }
    if let RunState::Refused { reason } = &run.state {
        out.push_str(&format!("  refused because {reason}\n"));
    }
    out.push_str(&format!("  asked by        {} at {}\n", text::person(&run.requested_by), text::time(run.started_at)));
    out.push_str(&format!("  plan            {}, generation {}\n", run.plan_hash, run.generation()));
    out.push_str(&format!("  predicted loss  {}\n", text::loss(&run.plan.loss)));
    if run.loss != run.plan.loss {
        out.push_str(&format!("  expected since  {}\n", text::loss(&run.loss)));
    }
    if let Some(measured) = &run.measured {
        out.push_str(&format!("  measured loss   {}\n", text::measured(measured)));
    }
    for rule in &run.overrides {
        out.push_str(&format!("  set aside       safety rule {rule}, by two people\n"));
    }
    if let Some(unwind) = &run.unwind {
        out.push_str(&format!("  aborted by      {}: {}\n", text::person(&unwind.by), unwind.reason));
    }
    for approval in &run.approvals {
        out.push_str(&format!(
            "  approved        {} at {}: {}\n",
            approval.key,
            text::time(approval.at),
            approval.subject
        ));
    }
    out
}

fn steps(run: &Run) -> String {
    let mut table = Table::new(&["step", "region", "state", "began", "took", "provider", "calls", "agents"]);
    for step in &run.plan.steps {
        let Some(done) = run.steps.get(&step.id) else { continue };
        table.row(row(run, step.id.as_str(), step.region.as_str(), &done.forward));
        if let Some(undo) = &done.undo {
            table.row(row(run, &format!("undo {}", step.id), step.region.as_str(), undo));
        }
    }
    format!("\nSteps\n{}", table.render("  "))
}

fn row(run: &Run, name: &str, region: &str, work: &Work) -> Vec<String> {
    let outcomes = || work.intents.iter().filter_map(|intent| intent.outcome.as_ref());
    let began = work.started_at.map(|at| text::offset(at.since(run.started_at)));
    let took = work.ended_at.zip(work.started_at).map(|(end, start)| text::duration(end.since(start)));
    let mut agents: Vec<&str> = work.intents.iter().map(|intent| intent.agent.as_str()).collect();
    agents.dedup();
    let calls: u32 = outcomes().map(|outcome| outcome.calls).fold(0, u32::saturating_add);
    vec![
        name.to_owned(),
        region.to_owned(),
        work.state.name().to_owned(),
        began.unwrap_or_else(|| "-".to_owned()),
        took.unwrap_or_else(|| "-".to_owned()),
        text::duration(outcomes().map(|outcome| outcome.provider_wait).sum()),
        calls.to_string(),
        agents.join(" "),
    ]
}

fn evidence(run: &Run) -> String {
    let of = |work: &Work| -> Option<String> {
        let outcome = work.intents.last().and_then(|intent: &Intent| intent.outcome.as_ref())?;
        (!outcome.read_back.is_empty()).then(|| text::clip(&outcome.read_back, READ_BACK_LEN_MAX))
    };
    let lines: Vec<String> = run
        .plan
        .steps
        .iter()
        .filter_map(|step| Some(format!("  {}  {}\n", step.id, of(&run.steps.get(&step.id)?.forward)?)))
        .collect();
    if lines.is_empty() { String::new() } else { format!("\nRead back\n{}", lines.concat()) }
}

/// One line, and where the whole report is.
pub fn summary(run: &Run) -> String {
    let took = run.ended_at.map(|end| format!(" in {}", text::duration(end.since(run.started_at)))).unwrap_or_default();
    format!(
        "{}: {} {} → {} {}{took}   (meshctl report {})",
        run.plan.service,
        run.plan.kind,
        run.plan.from,
        run.plan.to,
        run.state.name(),
        run.id
    )
}
