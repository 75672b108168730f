//! The rules, each by its name. Those of the first half need the replicated state alone, and are evaluated again when a
//! run is committed.

use std::collections::BTreeMap;

use super::loss::{Onset, words};
use super::{RuleResult, RuleState, order, safety, target};
use crate::detect::{self, Evidence, Pattern, RegionVerdict, Verdict};
use crate::fleet::{Fleet, Service};
use crate::ids::RegionId;
use crate::manifest::{AutomaticMode, LossPolicy};
use crate::plan::PredictedLoss;
use crate::planner;
use crate::time::Timestamp;

fn result(rule: &'static str, state: RuleState, text: impl Into<String>) -> RuleResult {
    RuleResult { rule, state, text: text.into() }
}

/// Everything that the replicated state alone can say, at `now`.
pub(crate) fn replicated(fleet: &Fleet, service: &Service, now: Timestamp) -> Vec<RuleResult> {
    vec![
        armed(service),
        automatic(service),
        idle(fleet, service),
        freeze(fleet, service, now),
        window(service, now),
        cool_down(service, now),
        wave(fleet, service),
    ]
}

fn armed(service: &Service) -> RuleResult {
    let id = &service.manifest.service;
    if service.armed {
        return result("armed", RuleState::Held, format!("{id} is armed"));
    }
    let text = format!("{id} is only observed so far: look at `meshctl doctor {id}`, then `meshctl arm {id}`");
    result("armed", RuleState::Blocks, text)
}

fn automatic(service: &Service) -> RuleResult {
    let mode = service.manifest.policy.automatic;
    let text = match mode {
        AutomaticMode::Off => {
            let text =
                "`policy.automatic: off`: a person starts every failover; `notify`, `fence` or `full` would change it";
            return result("automatic", RuleState::Blocks, text);
        }
        AutomaticMode::Notify => "`policy.automatic: notify`: a person is told, nothing is done",
        AutomaticMode::Fence => {
            "`policy.automatic: fence`: what can be undone is done, then a person approves with `meshctl approve`"
        }
        AutomaticMode::Full => "`policy.automatic: full`: the whole failover is carried out",
    };
    result("automatic", RuleState::Held, text)
}

fn idle(fleet: &Fleet, service: &Service) -> RuleResult {
    match service.current_run.as_ref().and_then(|run| fleet.runs.get(run)) {
        None => result("idle", RuleState::Held, "no run of it is going"),
        Some(run) => {
            let text = format!(
                "run {} ({} to {}) is {}: `meshctl watch {}`",
                run.id,
                run.plan.kind,
                run.plan.to,
                run.state.name(),
                run.id
            );
            result("idle", RuleState::Blocks, text)
        }
    }
}

fn freeze(fleet: &Fleet, service: &Service, now: Timestamp) -> RuleResult {
    let id = &service.manifest.service;
    let Some(freeze) = fleet.frozen(id, now) else { return result("freeze", RuleState::Held, "nothing is frozen") };
    let (what, whose) = match &service.freeze {
        Some(own) if own == freeze => (id.to_string(), format!(" {id}")),
        Some(_) | None => ("the whole mesh".to_owned(), String::new()),
    };
    let text = format!(
        "{what} is frozen for another {} by {}: {}. `meshctl unfreeze{whose}` ends it",
        words(freeze.until.since(now)),
        freeze.by,
        freeze.reason
    );
    result("freeze", RuleState::Blocks, text)
}

fn window(service: &Service, now: Timestamp) -> RuleResult {
    let windows = &service.manifest.policy.windows;
    if windows.is_empty() {
        return result("window", RuleState::Held, "it may act at any time");
    }
    let listed = windows.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if windows.iter().any(|window| window.contains(now)) {
        return result("window", RuleState::Held, format!("now is within {listed} (UTC)"));
    }
    let opens = windows.iter().filter_map(|window| window.next_opening(now)).min();
    let when = opens.map_or_else(|| "never".to_owned(), |at| format!("in {}", words(at.since(now))));
    result("window", RuleState::Blocks, format!("now is outside {listed} (UTC): the next window opens {when}"))
}

fn cool_down(service: &Service, now: Timestamp) -> RuleResult {
    let (id, period) = (&service.manifest.service, service.manifest.policy.cool_down);
    let Some(last) = service.automatic_at else {
        return result("cool-down", RuleState::Held, "it has not been moved automatically yet");
    };
    if service.acknowledged_at.is_some_and(|at| at >= last) {
        return result("cool-down", RuleState::Held, "a person has acknowledged the last automatic move");
    }
    let since = now.since(last);
    if since >= period {
        let text = format!("the last automatic move began {} ago, the cool-down is {}", words(since), words(period));
        return result("cool-down", RuleState::Held, text);
    }
    let text = format!(
        "an automatic move began {} ago and the cool-down is {}: {} are left. See what happened, then `meshctl ack {id}`",
        words(since),
        words(period),
        words(period.saturating_sub(since))
    );
    result("cool-down", RuleState::Blocks, text)
}

fn wave(fleet: &Fleet, service: &Service) -> RuleResult {
    match order::full(fleet, &service.active) {
        Some(text) => result("wave", RuleState::Blocks, text),
        None => {
            let text = format!("{} of {} places of the wave are taken", order::moving(fleet).len(), super::WAVE_SIZE);
            result("wave", RuleState::Held, text)
        }
    }
}

// ---- rules that need evidence ----

pub(super) fn verdict(service: &Service, active: Option<&RegionVerdict>, now: Timestamp) -> RuleResult {
    let region = &service.active;
    let Some(verdict) = active else {
        let text = format!("nothing was measured in {region}: it needs a critical check, and agents that ask it");
        return result("verdict", RuleState::Missing, text);
    };
    let since = verdict.since.map(|since| format!(" for {}", words(now.since(since)))).unwrap_or_default();
    let wanted = words(service.manifest.policy.sustained);
    let missing = match verdict.missing.as_slice() {
        [] => String::new(),
        several => format!("; still missing: {}", several.join("; ")),
    };
    let pattern = verdict.pattern.name();
    match verdict.verdict {
        Verdict::Down => result("verdict", RuleState::Held, format!("{region} is down{since}; {wanted} are needed")),
        Verdict::Healthy => result("verdict", RuleState::Blocks, format!("{region} is healthy ({pattern})")),
        Verdict::Suspect => {
            let text = format!("{region} is suspect{since} ({pattern}), which is not down{missing}");
            result("verdict", RuleState::Blocks, text)
        }
        Verdict::Unknown => {
            let text = format!("{region} is unknown ({pattern}), and unknown is never down{missing}");
            result("verdict", RuleState::Missing, text)
        }
    }
}

pub(super) fn quorum(service: &Service, active: Option<&RegionVerdict>) -> RuleResult {
    let Some(verdict) = active else { return result("quorum", RuleState::Missing, "nobody observes it") };
    let quorum = &verdict.quorum;
    let needed = format!("{} in {} other regions are needed", quorum.needed, quorum.regions_needed);
    if verdict.verdict == Verdict::Down {
        let text = format!(
            "{} of {} fresh observers in {} regions see {} fail; {needed}",
            quorum.failing, quorum.fresh, quorum.regions_failing, service.active
        );
        let enough = quorum.failing >= quorum.needed && quorum.regions_failing >= quorum.regions_needed;
        return result("quorum", if enough { RuleState::Held } else { RuleState::Missing }, text);
    }
    let text = format!("{} observers of {} are fresh; {needed}", quorum.fresh, service.active);
    if quorum.fresh >= quorum.needed {
        result("quorum", RuleState::Held, text)
    } else {
        result("quorum", RuleState::Missing, format!("{text}: start agents in the other regions"))
    }
}

pub(super) fn most_regions(verdicts: &BTreeMap<RegionId, RegionVerdict>) -> RuleResult {
    let lost = verdicts.iter().find(|(_, verdict)| verdict.pattern == Pattern::MostRegionsDown);
    match lost {
        Some((region, _)) => {
            let text = format!(
                "most regions look dead, {region} among them: more likely is that the observers are cut off. Nothing is \
                 done until that ends"
            );
            result("most-regions", RuleState::Blocks, text)
        }
        None => result("most-regions", RuleState::Held, "most regions are seen to live"),
    }
}

pub(super) fn fitness(
    fleet: &Fleet,
    to: Option<&RegionId>,
    verdicts: &BTreeMap<RegionId, RegionVerdict>,
    evidence: &Evidence,
) -> RuleResult {
    let Some(to) = to else {
        return result("target", RuleState::Blocks, "the service has no other region");
    };
    let against = target::unfit(fleet, to, verdicts, evidence);
    if against.is_empty() {
        let text = format!(
            "{to} is healthy, {} agents of it are connected; its capacity is looked at by the run's first steps, before \
             anything is changed",
            target::agents(to, evidence)
        );
        return result("target", RuleState::Held, text);
    }
    result("target", RuleState::Blocks, format!("{to} cannot take over: {}", against.join("; ")))
}

/// Invariant RpoGate.
pub(super) fn rpo(service: &Service, loss: &PredictedLoss, onset: Onset, now: Timestamp) -> RuleResult {
    if *loss == PredictedLoss::Nothing {
        return result("rpo", RuleState::NotApplicable, "no database is promoted");
    }
    let policy = &service.manifest.policy;
    let objective = service.manifest.objectives.rpo;
    let text = format!(
        "expected to be lost: {}; counted to {} ago; the objective is {}",
        loss.in_words(),
        words(now.since(onset.at)),
        words(objective)
    );
    if loss.within(objective) {
        return result("rpo", RuleState::Held, text);
    }
    match (policy.automatic, policy.loss) {
        (_, LossPolicy::Accept) => result("rpo", RuleState::Held, format!("{text}. `policy.loss: accept` accepts it")),
        (AutomaticMode::Fence, LossPolicy::Block) => {
            result("rpo", RuleState::Held, format!("{text}. Two people must approve the promotion"))
        }
        (AutomaticMode::Off | AutomaticMode::Notify | AutomaticMode::Full, LossPolicy::Block) => {
            let state = if loss.total().is_none() { RuleState::Missing } else { RuleState::Blocks };
            let id = &service.manifest.service;
            let text = format!(
                "{text}. A person may accept it with `meshctl failover {id}`; `policy.loss: accept` would do so always"
            );
            result("rpo", state, text)
        }
    }
}

/// Services that it depends on leave a lost region first.
pub(super) fn dependencies(fleet: &Fleet, service: &Service, evidence: &Evidence) -> RuleResult {
    let (id, from) = (&service.manifest.service, &service.active);
    if let Some((other, run)) = order::dependency_moving(fleet, service, from) {
        let text = format!("{other}, which it depends on, is leaving {from}: run {run} has not ended");
        return result("order", RuleState::Blocks, text);
    }
    let dependencies = order::dependencies_in(fleet, service, from);
    if dependencies.contains(id) {
        let text = format!("{id} depends on itself through others: break the circle in one of their manifests");
        return result("order", RuleState::Blocks, text);
    }
    for other in &dependencies {
        let Some(known) = fleet.services.get(other) else { continue };
        let verdicts = detect::assess(known, evidence);
        let Some(verdict) = verdicts.get(from) else { continue };
        let falling = match verdict.verdict {
            Verdict::Down => true,
            Verdict::Suspect => verdict.pattern == Pattern::Outage,
            Verdict::Healthy | Verdict::Unknown => false,
        };
        if falling {
            let text = format!(
                "{other}, which it depends on, is {} in {from} too and has not moved: `meshctl why-not {other}`",
                verdict.verdict.name()
            );
            return result("order", RuleState::Blocks, text);
        }
    }
    if service.manifest.depends_on.is_empty() {
        return result("order", RuleState::Held, "it depends on no other service");
    }
    result("order", RuleState::Held, format!("nothing that it depends on has to leave {from} first"))
}

/// Can it be planned, in an order that the safety rules allow?
pub(super) fn plan(fleet: &Fleet, service: &Service, to: &RegionId) -> RuleResult {
    let plan = match planner::plan_failover(service, to, &planner::Evidence::default()) {
        Ok(plan) => plan,
        Err(error) => return result("plan", RuleState::Blocks, error.to_string()),
    };
    match safety::contradicted(fleet, service, &plan).first() {
        Some((rule, why)) => {
            let text = format!("safety rule {} (`{}`) cannot be obeyed: {why}", rule.name, rule.rule);
            result("plan", RuleState::Blocks, text)
        }
        None => result("plan", RuleState::Held, format!("{} steps", plan.steps.len())),
    }
}
