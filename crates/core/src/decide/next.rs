//! The commands that judgements make due: starts, as many as the wave has room for and out of one region at a time;
//! notes of what a person should do; and what has to be known of held runs before anybody approves them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::loss::{Onset, expected, onset, samples};
use super::{Conclusion, Judgement, JudgementRecord, WAVE_SIZE, judge, order, safety};
use crate::detect::{self, Evidence, Verdict};
use crate::fleet::{Command, Fleet, Service};
use crate::ids::{Hash32, RegionId, ServiceId};
use crate::manifest::AutomaticMode;
use crate::notice::About;
use crate::plan::{Plan, PlanKind, PredictedLoss};
use crate::planner;
use crate::run::{Cause, Need, Run, RunState};

/// Who starts an automatic run, in the audit and in the run.
pub const BY_ITSELF: &str = "mesh";
/// What blocks for less than so many times `sustained` is not worth waking anybody: a wave, a dependency, a new leader.
const BLOCKED_FOR: u32 = 2;
/// A growth of the expected loss below this is not worth an entry of the log.
const GROWTH_MIN: Duration = Duration::from_secs(1);

/// What is due now. `hash` names a plan, as in approvals and in the log.
pub fn next(fleet: &Fleet, evidence: &Evidence, hash: &dyn Fn(&Plan) -> Hash32) -> Vec<Command> {
    let judged: Vec<Judgement> = fleet
        .services
        .values()
        .filter(|service| needs_a_look(fleet, service))
        .map(|service| {
            let verdicts = detect::assess(service, evidence);
            judge(fleet, &service.manifest.service, &verdicts, evidence)
        })
        .collect();
    commands(fleet, &judged.iter().collect::<Vec<_>>(), evidence, hash)
}

/// Can anything come of judging it?
pub fn needs_a_look(fleet: &Fleet, service: &Service) -> bool {
    match service.current_run.as_ref().and_then(|run| fleet.runs.get(run)) {
        // While one is under way nothing begins; only who approves has to know more.
        Some(run) => awaits_approval(run),
        None => service.manifest.policy.automatic != AutomaticMode::Off,
    }
}

/// Can a command come of this judgement?
pub fn may_command(fleet: &Fleet, judgement: &Judgement) -> bool {
    let held = || {
        let run = fleet.services.get(&judgement.service).and_then(|service| service.current_run.as_ref());
        run.and_then(|run| fleet.runs.get(run)).is_some_and(awaits_approval)
    };
    match judgement.conclusion {
        Conclusion::Act { .. } | Conclusion::Notify { .. } => true,
        Conclusion::Nothing { .. } | Conclusion::Blocked { .. } => held() || blocked(fleet, judgement).is_some(),
    }
}

/// As [`next`], of judgements that are at hand.
pub fn commands(
    fleet: &Fleet,
    judgements: &[&Judgement],
    evidence: &Evidence,
    hash: &dyn Fn(&Plan) -> Hash32,
) -> Vec<Command> {
    let mut commands: Vec<Command> = judgements.iter().filter_map(|one| grown_loss(fleet, one, evidence)).collect();
    commands.extend(judgements.iter().filter_map(|one| match &one.conclusion {
        Conclusion::Notify { to, text } => Some(Command::NoteAutomatic {
            service: one.service.clone(),
            to: to.clone(),
            text: super::record::clip(text),
        }),
        Conclusion::Blocked { .. } => blocked(fleet, one),
        Conclusion::Nothing { .. } | Conclusion::Act { .. } => None,
    }));
    commands.extend(starts(fleet, judgements, evidence, hash));
    commands
}

/// It was due to act long ago, and nobody was told yet that a rule keeps it from that.
fn blocked(fleet: &Fleet, judgement: &Judgement) -> Option<Command> {
    let Conclusion::Blocked { text } = &judgement.conclusion else { return None };
    let service = fleet.services.get(&judgement.service)?;
    let policy = &service.manifest.policy;
    let acts = matches!(policy.automatic, AutomaticMode::Fence | AutomaticMode::Full);
    if !acts || !service.armed || service.current_run.is_some() {
        return None;
    }
    let active = judgement.regions.get(&service.active).filter(|active| active.verdict == Verdict::Down)?;
    if judgement.at.since(active.since?) < policy.sustained.saturating_mul(BLOCKED_FOR) {
        return None;
    }
    let known = service.noted.as_ref().filter(|note| note.about == About::Blocked);
    if known.is_some_and(|note| judgement.at.since(note.at) < policy.cool_down) {
        return None;
    }
    let to = service.manifest.regions.keys().find(|region| **region != service.active)?.clone();
    Some(Command::NoteAutomatic { service: judgement.service.clone(), to, text: super::record::clip(text) })
}

fn starts(
    fleet: &Fleet,
    judgements: &[&Judgement],
    evidence: &Evidence,
    hash: &dyn Fn(&Plan) -> Hash32,
) -> Vec<Command> {
    let moving = order::moving(fleet);
    let places = WAVE_SIZE.saturating_sub(moving.len());
    let mut due: BTreeMap<&RegionId, Vec<Command>> = BTreeMap::new();
    let acting: BTreeSet<&ServiceId> = judgements.iter().filter(|one| acts(one)).map(|one| &one.service).collect();
    for judgement in judgements {
        let Some(service) = fleet.services.get(&judgement.service) else { continue };
        // What it depends on begins first, and its run holds it back until it is done.
        if order::dependencies_in(fleet, service, &service.active).iter().any(|other| acting.contains(other)) {
            continue;
        }
        if let Some(command) = start(fleet, service, judgement, evidence, hash) {
            due.entry(&service.active).or_default().push(command);
        }
    }
    let event = match moving.first() {
        Some(run) => due.remove(&run.plan.from),
        // One region at a time: first the one whose loss hits most.
        None => due.into_values().rev().max_by_key(Vec::len),
    };
    event.into_iter().flatten().take(places).collect()
}

fn acts(judgement: &Judgement) -> bool {
    match judgement.conclusion {
        Conclusion::Act { .. } => true,
        Conclusion::Nothing { .. } | Conclusion::Blocked { .. } | Conclusion::Notify { .. } => false,
    }
}

fn start(
    fleet: &Fleet,
    service: &Service,
    judgement: &Judgement,
    evidence: &Evidence,
    hash: &dyn Fn(&Plan) -> Hash32,
) -> Option<Command> {
    let Conclusion::Act { to, .. } = &judgement.conclusion else { return None };
    let active = judgement.regions.get(&service.active)?;
    let onset = onset(service, active, evidence.now);
    let seen = planner::Evidence { onset, lag: samples(service, evidence, onset) };
    let plan = planner::plan_failover(service, to, &seen).ok()?;
    Some(Command::StartRun {
        plan_hash: hash(&plan),
        plan: Box::new(plan),
        by: BY_ITSELF.to_owned(),
        cause: Cause::Automatic { judgement: Box::new(JudgementRecord::from(judgement)) },
        safety: safety::evaluate(fleet, service, to, onset, &judgement.regions, evidence),
        approvals: Vec::new(),
    })
}

/// More is expected to be lost than a person who approves now would be shown.
fn grown_loss(fleet: &Fleet, judgement: &Judgement, evidence: &Evidence) -> Option<Command> {
    let service = fleet.services.get(&judgement.service)?;
    let run = fleet.runs.get(service.current_run.as_ref()?)?;
    if !awaits_approval(run) {
        return None;
    }
    let from = judgement.regions.get(&run.plan.from)?;
    let onset = match from.verdict {
        Verdict::Down => onset(service, from, evidence.now),
        // It may be accepting writes all the time that people take.
        Verdict::Healthy | Verdict::Suspect => Onset::now(evidence.now),
        Verdict::Unknown => return None,
    };
    let loss = expected(&service.manifest, &run.plan.to, onset, &samples(service, evidence, onset));
    let (known, now) = (run.loss.total()?, loss.total()?);
    let grown = now > known.saturating_add(GROWTH_MIN.max(known / 10));
    grown.then(|| Command::NoteLoss { run: run.id.clone(), loss })
}

fn awaits_approval(run: &Run) -> bool {
    let asked = |need: &Need| match need {
        Need::Consent { .. } | Need::Approval { .. } => true,
        Need::Decision { .. } => false,
    };
    run.plan.kind == PlanKind::Failover
        && run.loss != PredictedLoss::Nothing
        && matches!(&run.state, RunState::Held { need, .. } if asked(need))
}
