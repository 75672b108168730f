//! What changed between two views of a run: one line each, so that it reads the same on a terminal and in a log.

use mesh_core::plan::{Action, Step};
use mesh_core::run::{Need, Run, RunState, StepRun, Work, WorkState};
use mesh_core::time::Timestamp;

use crate::output::Paint;
use crate::render::text;

/// Widest part of a reason that one line shows.
const REASON_LEN_MAX: usize = 200;

/// Lines for everything that differs between `before` (none at first) and `now`.
pub fn changes(before: Option<&Run>, now: &Run, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &now.plan.steps {
        let Some(current) = now.steps.get(&step.id) else { continue };
        let former = before.and_then(|run| run.steps.get(&step.id));
        lines.extend(step_changes(now, step, former, current, paint));
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    lines.extend(pause_change(before, now, paint));
    lines.extend(state_change(before, now, paint));
    lines
}

fn step_changes(
    run: &Run,
    step: &Step,
    former: Option<&StepRun>,
    current: &StepRun,
    paint: Paint,
) -> Vec<(Timestamp, String)> {
    let forward = work_changes(run, step, "", former.map(|former| &former.forward), &current.forward, paint);
    let undo = current
        .undo
        .as_ref()
        .map(|undo| work_changes(run, step, "undo ", former.and_then(|former| former.undo.as_ref()), undo, paint))
        .unwrap_or_default();
    forward.into_iter().chain(undo).collect()
}

fn work_changes(
    run: &Run,
    step: &Step,
    direction: &str,
    former: Option<&Work>,
    current: &Work,
    paint: Paint,
) -> Vec<(Timestamp, String)> {
    let mut lines = Vec::new();
    let seen = former.map_or(0, |former| former.intents.len());
    let line = |at: Timestamp, mark: String, said: String| {
        let since = text::offset(at.since(run.started_at));
        (at, format!("  {since:>9}  {mark} {direction}{}  {said}", paint.bold(step.id.as_str())))
    };
    for intent in current.intents.iter().skip(seen) {
        lines.push(line(
            intent.opened_at,
            paint.dim("▸"),
            format!("{}  {}", step.title, paint.dim(intent.agent.as_str())),
        ));
    }
    if former.map(|former| &former.state) == Some(&current.state) {
        return lines;
    }
    let took = |end: Timestamp| current.started_at.map(|start| text::duration(end.since(start))).unwrap_or_default();
    match &current.state {
        WorkState::Waiting | WorkState::Open => {}
        WorkState::Backoff { reason, .. } => {
            let at = current.intents.last().and_then(|intent| intent.closed_at).unwrap_or(run.started_at);
            lines.push(line(
                at,
                paint.yellow("…"),
                format!("will be tried again: {}", text::clip(reason, REASON_LEN_MAX)),
            ));
        }
        WorkState::Done => {
            let at = current.ended_at.unwrap_or(run.started_at);
            lines.push(line(at, paint.green("✔"), format!("{}{}", took(at), read_back(current))));
        }
        WorkState::Skipped { reason } => {
            let at = current.ended_at.unwrap_or(run.started_at);
            lines.push(line(at, paint.yellow("–"), format!("skipped: {}", text::clip(reason, REASON_LEN_MAX))));
        }
        WorkState::Failed { reason } => {
            let at = current.ended_at.unwrap_or(run.started_at);
            lines.push(line(at, paint.red("✘"), text::clip(reason, REASON_LEN_MAX)));
        }
    }
    lines
}

fn read_back(work: &Work) -> String {
    let outcome = work.intents.last().and_then(|intent| intent.outcome.as_ref());
    match outcome {
        Some(outcome) if !outcome.detail.is_empty() && outcome.detail != "done" => {
            format!("  {}", text::clip(&outcome.detail, REASON_LEN_MAX))
        }
        Some(_) | None => String::new(),
    }
}

fn pause_change(before: Option<&Run>, now: &Run, paint: Paint) -> Option<String> {
    let was = before.is_some_and(|run| run.paused.is_some());
    match (&now.paused, was) {
        (Some(pause), false) => Some(format!(
            "  {} by {}; `meshctl resume {}` goes on",
            paint.yellow("paused"),
            text::person(&pause.by),
            now.id
        )),
        (None, true) => Some("  resumed".to_owned()),
        (Some(_), true) | (None, false) => None,
    }
}

fn state_change(before: Option<&Run>, now: &Run, paint: Paint) -> Option<String> {
    if before.is_some_and(|run| run.state == now.state) {
        return None;
    }
    let took = now.ended_at.map(|end| text::duration(end.since(now.started_at))).unwrap_or_default();
    match &now.state {
        RunState::Running => before.is_some().then(|| "  running again".to_owned()),
        RunState::Unwinding => Some(format!("  {}: undoing what is reversible", paint.yellow("unwinding"))),
        RunState::Done => Some(format!("  {} {} in {took}", paint.green("done:"), now.id)),
        RunState::Compensated => {
            Some(format!("  {} {} in {took}; the service is where it was", paint.yellow("compensated:"), now.id))
        }
        RunState::Refused { reason } => Some(format!("  {} {reason}", paint.red("refused:"))),
        RunState::Held { reason, need } => {
            Some(format!("  {} {reason}\n{}", paint.yellow("held:"), need_text(now, need)))
        }
    }
}

/// What a person can do about a held run.
pub fn need_text(run: &Run, need: &Need) -> String {
    match need {
        Need::Consent { region } => format!(
            "    {region} is not proven closed: it may still accept writes, and its last writes may be lost.\n    \
             Two enrolled keys of different people go on:  meshctl approve {0} --key FILE\n    \
             A new attempt at the proof:                   meshctl retry {0}\n    \
             Going back:                                   meshctl abort {0} --reason TEXT",
            run.id
        ),
        Need::Approval { step, people } => format!(
            "    Everything before {step} is done; {step} cannot be undone.\n    \
             {people} enrolled key(s) let it go on:  meshctl approve {0} --key FILE\n    \
             Going back:                    meshctl abort {0} --reason TEXT",
            run.id
        ),
        Need::Decision { step } => {
            let promoted = is_done(run, |action| action.is_promotion());
            let moved = is_done(run, |action| matches!(action, Action::Route53Replace { .. }));
            let back = match (promoted, moved) {
                (false, _) => format!("    or go back:           meshctl abort {} --reason TEXT", run.id),
                (true, true) => format!("    or leave it undone:   meshctl abort {} --reason TEXT", run.id),
                (true, false) => "    There is no way back: a database is promoted.".to_owned(),
            };
            let skip =
                format!("    or go on without it:  meshctl approve {} --skip {step} --key FILE (two people)", run.id);
            format!(
                "    Look at step {step}:  meshctl report {0}\n    \
                 Then try it again:    meshctl retry {0}\n{skip}\n{back}",
                run.id
            )
        }
    }
}

/// Are all steps of this kind done, and is there one?
fn is_done(run: &Run, kind: impl Fn(&Action) -> bool) -> bool {
    let mut steps = run.plan.steps.iter().filter(|step| kind(&step.action)).peekable();
    let done = |step: &Step| run.steps.get(&step.id).is_some_and(|work| work.forward.state == WorkState::Done);
    steps.peek().is_some() && steps.all(done)
}
