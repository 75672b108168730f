//! Why the mesh acted, or does not: verdicts, who saw what since when, and every rule.

use std::collections::BTreeMap;

use mesh_core::decide::{Conclusion, JudgementRecord, RuleState};
use mesh_core::detect::{RegionVerdict, Sees, Verdict, View};
use mesh_core::ids::RegionId;
use mesh_core::run::{Cause, Run};
use mesh_core::time::Timestamp;
use serde_json::{Value, json as value};

use crate::output::Paint;
use crate::render::table::Table;
use crate::render::text;

/// Widest reason of one observer.
const REASON_LEN_MAX: usize = 80;

/// The judgement that a run came of; none if a person asked for it.
pub fn cause(run: &Run) -> Option<&JudgementRecord> {
    match &run.cause {
        Cause::Asked | Cause::DespiteFreeze { .. } => None,
        Cause::Automatic { judgement } => Some(judgement),
    }
}

/// What an automatic run came of.
pub fn acted(judged: &JudgementRecord, paint: Paint) -> String {
    format!("The mesh acted by itself at {}, since:\n\n{}", text::time(judged.at), judgement(judged, paint))
}

pub fn asked(run: &Run) -> String {
    let despite = match &run.cause {
        Cause::DespiteFreeze { reason } => format!(" despite a freeze ({reason})"),
        Cause::Asked | Cause::Automatic { .. } => String::new(),
    };
    format!(
        "{} was asked for by {} at {}{despite}: no judgement of the mesh",
        run.id,
        text::person(&run.requested_by),
        text::time(run.started_at)
    )
}

pub fn judgement(judged: &JudgementRecord, paint: Paint) -> String {
    let mut out = format!("{}  {}\n", paint.bold(judged.service.as_str()), conclusion(&judged.conclusion, paint));
    for (region, verdict) in &judged.regions {
        out.push_str(&of_region(region, verdict, judged.at, paint));
    }
    out.push_str("\nRules\n");
    for rule in &judged.rules {
        out.push_str(&format!("  {} {:<14} {}\n", mark(rule.state, paint), rule.rule, rule.text));
    }
    if let Some(next) = judged.next_look {
        out.push_str(&format!("\nWithout any news this can change in {}\n", text::duration(next.since(judged.at))));
    }
    out
}

fn conclusion(conclusion: &Conclusion, paint: Paint) -> String {
    match conclusion {
        Conclusion::Nothing { text } => format!("nothing to do: {text}"),
        Conclusion::Blocked { text } => format!("{} {text}", paint.yellow("does not act:")),
        Conclusion::Notify { to, text } => format!("{} move it to {to}: {text}", paint.yellow("a person should")),
        Conclusion::Act { to, mode } => format!("{} to {to} (automatic: {})", paint.red("moves"), mode.name()),
    }
}

const fn sign(state: RuleState) -> &'static str {
    match state {
        RuleState::Held => "✓",
        RuleState::Blocks => "✗",
        RuleState::Missing => "?",
        RuleState::NotApplicable => "–",
    }
}

fn mark(state: RuleState, paint: Paint) -> String {
    match state {
        RuleState::Held => paint.green(sign(state)),
        RuleState::Blocks => paint.red(sign(state)),
        RuleState::Missing => paint.yellow(sign(state)),
        RuleState::NotApplicable => paint.dim(sign(state)),
    }
}

fn of_region(region: &RegionId, verdict: &RegionVerdict, at: Timestamp, paint: Paint) -> String {
    let mut out = format!("\n{region}  {}\n", in_a_line(verdict, at, paint));
    out.push_str(&views(&verdict.views, at));
    for missing in &verdict.missing {
        out.push_str(&format!("  still missing for down: {missing}\n"));
    }
    out
}

/// `use1-a is heard by way of c2 of us-west-2: it does not reach the leader itself`, a line for each.
pub fn passed_on(agents: &BTreeMap<String, String>) -> String {
    let lines = agents
        .iter()
        .map(|(agent, via)| format!("{agent} is heard by way of {via}: it does not reach the leader itself\n"));
    lines.collect()
}

/// `DOWN (outage) since 4.2 s ago: 4 of 4 observers outside see it fail, 3 are needed, from 2 regions`
pub fn in_a_line(verdict: &RegionVerdict, at: Timestamp, paint: Paint) -> String {
    let name = match verdict.verdict {
        Verdict::Healthy => paint.green("healthy"),
        Verdict::Suspect => paint.yellow("SUSPECT"),
        Verdict::Down => paint.red("DOWN"),
        Verdict::Unknown => paint.yellow("UNKNOWN"),
    };
    if verdict.verdict == Verdict::Healthy {
        return name;
    }
    let since = verdict.since.map(|since| format!(" since {}", text::duration(at.since(since)))).unwrap_or_default();
    let quorum = verdict.quorum;
    format!(
        "{name} ({}){since}: {} of {} observers outside see it fail, in {} regions; needed are {}, in {}",
        verdict.pattern.name(),
        quorum.failing,
        quorum.fresh,
        quorum.regions_failing,
        quorum.needed,
        quorum.regions_needed
    )
}

fn views(views: &[View], at: Timestamp) -> String {
    let mut table = Table::new(&["observer", "region", "check", "sees", "counts"]);
    for view in views {
        let sees = match &view.sees {
            Sees::Passing => "passing".to_owned(),
            Sees::Failing { since, reason } => {
                let reason = text::clip(reason, REASON_LEN_MAX);
                format!("FAILING for {}: {reason}", text::duration(at.since(*since)))
            }
            Sees::Unknown { reason } => format!("unknown: {}", text::clip(reason, REASON_LEN_MAX)),
        };
        let counts = if view.counts { "yes" } else { "no" };
        let because = if view.because.is_empty() { String::new() } else { format!(": {}", view.because) };
        table.row(vec![
            view.observer.to_string(),
            view.region.to_string(),
            view.subject.clone(),
            sees,
            format!("{counts}{because}"),
        ]);
    }
    if table.is_empty() { String::new() } else { table.render("  ") }
}

/// One line that changes only when something else is made of the service.
pub fn headline(judged: &JudgementRecord) -> String {
    let ill = judged.regions.iter().filter(|(_, region)| region.verdict != Verdict::Healthy);
    let ill: Vec<String> = ill
        .map(|(region, verdict)| format!("{region} {} ({})", verdict.verdict.name(), verdict.pattern.name()))
        .collect();
    let regions = if ill.is_empty() { "every region healthy".to_owned() } else { ill.join(", ") };
    let blocking: Vec<&str> = judged
        .rules
        .iter()
        .filter(|rule| matches!(rule.state, RuleState::Blocks | RuleState::Missing))
        .map(|rule| rule.rule.as_str())
        .collect();
    let then = match &judged.conclusion {
        Conclusion::Nothing { .. } => String::new(),
        Conclusion::Blocked { .. } => format!("; does not act: {}", blocking.join(", ")),
        Conclusion::Notify { to, .. } => format!("; a person should move it to {to}"),
        Conclusion::Act { to, .. } => format!("; moves to {to}"),
    };
    format!("{}: {regions}{then}", judged.service)
}

/// The shape of `why-not --json`. Times are Unix milliseconds.
pub fn json(judged: &JudgementRecord) -> Value {
    let (kind, to, said) = match &judged.conclusion {
        Conclusion::Nothing { text } => ("nothing", None, text.as_str()),
        Conclusion::Blocked { text } => ("blocked", None, text.as_str()),
        Conclusion::Notify { to, text } => ("notify", Some(to), text.as_str()),
        Conclusion::Act { to, .. } => ("act", Some(to), ""),
    };
    let regions: serde_json::Map<String, Value> =
        judged.regions.iter().map(|(region, verdict)| (region.to_string(), region_json(verdict))).collect();
    value!({
        "service": judged.service,
        "at": judged.at,
        "conclusion": kind,
        "to": to,
        "text": said,
        "regions": regions,
        "rules": judged.rules.iter().map(|rule| value!({
            "rule": rule.rule, "state": rule.state, "text": rule.text,
        })).collect::<Vec<_>>(),
        "next_look": judged.next_look,
    })
}

fn region_json(verdict: &RegionVerdict) -> Value {
    value!({
        "verdict": verdict.verdict,
        "pattern": verdict.pattern,
        "since": verdict.since,
        "quorum": verdict.quorum,
        "missing": verdict.missing,
        "views": verdict.views.iter().map(view_json).collect::<Vec<_>>(),
    })
}

fn view_json(view: &View) -> Value {
    let (sees, since, reason) = match &view.sees {
        Sees::Passing => ("passing", None, None),
        Sees::Failing { since, reason } => ("failing", Some(*since), Some(reason)),
        Sees::Unknown { reason } => ("unknown", None, Some(reason)),
    };
    value!({
        "observer": view.observer, "region": view.region, "subject": view.subject, "sees": sees, "since": since,
        "reason": reason, "counts": view.counts, "because": view.because,
    })
}
