//! The decision to act: replicated state, verdicts and evidence in; a judgement, rule by rule, and commands out.
//!
//! Every rule is evaluated every time, also while nothing is wrong, so that `why-not` can say what would be in the way.
//! What a leader decides here is checked again when it is committed ([`crate::fleet::apply`]), as far as it stands in the
//! replicated state. Whatever blocks is in that state and expires, or is evidence that a new leader gathers itself:
//! a leader that dies with the primary blocks nobody.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::loss::Onset;
use crate::detect::{Evidence, RegionVerdict, Verdict};
use crate::fleet::{Fleet, Service};
use crate::ids::{RegionId, ServiceId};
use crate::manifest::AutomaticMode;
use crate::notice::About;
use crate::plan::PredictedLoss;
use crate::time::Timestamp;

pub mod loss;
pub mod next;
pub mod order;
mod record;
pub(crate) mod rules;
pub mod safety;
mod target;
#[cfg(test)]
pub(crate) mod tests;

pub use next::{commands, may_command, next};
pub use record::{JudgementRecord, RuleRecord};

/// Automatic runs that move at a time, and services of one wave of a plan: as many as a person can watch, and few enough
/// that their calls stay below Route 53's five requests a second.
pub const WAVE_SIZE: usize = 4;

/// What the mesh makes of one service now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub service: ServiceId,
    pub at: Timestamp,
    pub regions: BTreeMap<RegionId, RegionVerdict>,
    /// In the order in which they were asked.
    pub rules: Vec<RuleResult>,
    pub conclusion: Conclusion,
    /// When it could change without any news.
    pub next_look: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleResult {
    pub rule: &'static str,
    pub state: RuleState,
    /// What was measured, against what, and what to do: for a person at three in the morning.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleState {
    /// It holds: nothing is in the way.
    Held,
    Blocks,
    /// It could not be evaluated: blocks, until it can.
    Missing,
    NotApplicable,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "conclusion")]
pub enum Conclusion {
    /// There is nothing to do, and why.
    Nothing {
        text: String,
    },
    /// It would act, were it not for this.
    Blocked {
        text: String,
    },
    /// Mode `notify`: a person is told.
    Notify {
        to: RegionId,
        text: String,
    },
    Act {
        to: RegionId,
        mode: AutomaticMode,
    },
}

/// What should be done about one service, by its present verdicts. Pure.
pub fn judge(
    fleet: &Fleet,
    service: &ServiceId,
    verdicts: &BTreeMap<RegionId, RegionVerdict>,
    evidence: &Evidence,
) -> Judgement {
    judge_to(fleet, service, None, verdicts, evidence)
}

/// As [`judge`], for a given target.
pub fn judge_to(
    fleet: &Fleet,
    id: &ServiceId,
    to: Option<&RegionId>,
    verdicts: &BTreeMap<RegionId, RegionVerdict>,
    evidence: &Evidence,
) -> Judgement {
    let now = evidence.now;
    let judged = |rules, conclusion, next_look| Judgement {
        service: id.clone(),
        at: now,
        regions: verdicts.clone(),
        rules,
        conclusion,
        next_look,
    };
    let Some(service) = fleet.services.get(id) else {
        let text = format!("no service {id}: see `meshctl status`");
        return judged(Vec::new(), Conclusion::Nothing { text }, None);
    };
    let case = Case::of(fleet, service, to, verdicts, evidence);
    let rules = case.rules();
    let conclusion = case.conclude(&rules);
    judged(rules, conclusion, case.next_look())
}

/// One service, what is known of it, and where it would go.
struct Case<'a> {
    fleet: &'a Fleet,
    service: &'a Service,
    verdicts: &'a BTreeMap<RegionId, RegionVerdict>,
    evidence: &'a Evidence,
    active: Option<&'a RegionVerdict>,
    to: Option<RegionId>,
    onset: Onset,
    loss: PredictedLoss,
}

impl<'a> Case<'a> {
    fn of(
        fleet: &'a Fleet,
        service: &'a Service,
        to: Option<&RegionId>,
        verdicts: &'a BTreeMap<RegionId, RegionVerdict>,
        evidence: &'a Evidence,
    ) -> Self {
        let active = verdicts.get(&service.active);
        let onset = active.map_or(Onset::now(evidence.now), |active| loss::onset(service, active, evidence.now));
        let wanted = to.filter(|to| **to != service.active && service.manifest.regions.contains_key(*to)).cloned();
        let samples = loss::samples(service, evidence, onset);
        let to = wanted.or_else(|| target::choose(fleet, service, onset, verdicts, evidence, &samples));
        let loss = match &to {
            Some(to) => loss::expected(&service.manifest, to, onset, &samples),
            None => PredictedLoss::Unknown,
        };
        Self { fleet, service, verdicts, evidence, active, to, onset, loss }
    }

    fn rules(&self) -> Vec<RuleResult> {
        let now = self.evidence.now;
        let mut rules = vec![
            rules::verdict(self.service, self.active, now),
            rules::quorum(self.service, self.active),
            rules::most_regions(self.verdicts),
        ];
        rules.extend(rules::replicated(self.fleet, self.service, now));
        rules.push(rules::fitness(self.fleet, self.to.as_ref(), self.verdicts, self.evidence));
        rules.push(rules::rpo(self.service, &self.loss, self.onset, now));
        rules.push(rules::dependencies(self.fleet, self.service, self.evidence));
        rules.extend(self.to.as_ref().map(|to| rules::plan(self.fleet, self.service, to)));
        if let Some(to) = &self.to {
            let safety =
                safety::evaluate(self.fleet, self.service, to, self.onset, self.verdicts, self.evidence).into_iter();
            rules.extend(safety.map(|record| RuleResult {
                rule: "safety",
                state: record.state,
                text: format!("{}: {}", record.rule, record.text),
            }));
        }
        rules
    }

    fn conclude(&self, rules: &[RuleResult]) -> Conclusion {
        let stops = |rule: &&RuleResult| matches!(rule.state, RuleState::Blocks | RuleState::Missing);
        let seen = ["verdict", "quorum", "most-regions"];
        if let Some(rule) = rules.iter().filter(|rule| seen.contains(&rule.rule)).find(stops) {
            let text = rule.text.clone();
            // Down, but not to be believed, is something else than well.
            let down = self.active.is_some_and(|active| active.verdict == Verdict::Down);
            return if down { Conclusion::Blocked { text } } else { Conclusion::Nothing { text } };
        }
        let blocking: Vec<String> =
            rules.iter().filter(stops).map(|rule| format!("{}: {}", rule.rule, rule.text)).collect();
        let mode = self.service.manifest.policy.automatic;
        match &self.to {
            Some(to) if mode == AutomaticMode::Notify => self.notify(to, &blocking),
            Some(to) if blocking.is_empty() => Conclusion::Act { to: to.clone(), mode },
            Some(_) | None => Conclusion::Blocked { text: blocking.join(". ") },
        }
    }

    fn notify(&self, to: &RegionId, blocking: &[String]) -> Conclusion {
        let (service, now) = (self.service, self.evidence.now);
        let id = &service.manifest.service;
        if let Some(run) = &service.current_run {
            return Conclusion::Nothing { text: format!("run {run} of {id} is going already") };
        }
        let told = service.noted.as_ref().filter(|note| note.about == About::ShouldMove);
        let told = told.filter(|note| now.since(note.at) < service.manifest.policy.cool_down);
        if let Some(note) = told {
            let ago = loss::words(now.since(note.at));
            let text = format!("it was noted {ago} ago: {}. {}", note.text, note.telling());
            return Conclusion::Nothing { text };
        }
        let mut text = format!(
            "{} is down: `meshctl failover {id} --to {to}` would move {id}, and lose {}",
            service.active,
            self.loss.in_words()
        );
        if !blocking.is_empty() {
            text.push_str(&format!(". In the way: {}", blocking.join(". ")));
        }
        Conclusion::Notify { to: to.clone(), text }
    }

    fn next_look(&self) -> Option<Timestamp> {
        let (service, policy, now) = (self.service, &self.service.manifest.policy, self.evidence.now);
        let id = &service.manifest.service;
        let mut times: Vec<Timestamp> = policy.windows.iter().filter_map(|window| window.next_opening(now)).collect();
        times.extend(service.automatic_at.map(|at| at.plus(policy.cool_down)));
        times.extend(service.noted.as_ref().map(|note| note.at.plus(policy.cool_down)));
        times.extend(self.fleet.frozen(id, now).map(|freeze| freeze.until));
        times.extend(self.active.and_then(|active| active.since).map(|since| since.plus(policy.sustained)));
        times.into_iter().filter(|time| *time > now).min()
    }
}
