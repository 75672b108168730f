//! The safety rules of a service and of the mesh, evaluated.

use std::collections::BTreeMap;

use super::loss::{Onset, of_resource, samples, words};
use super::{RuleRecord, RuleState};
use crate::detect::{Evidence, RegionVerdict, Verdict};
use crate::fleet::{Fleet, Service};
use crate::ids::{RegionId, ServiceId, StepId};
use crate::manifest::RuleScope;
use crate::manifest::safety::{Predicate, SafetyRule, is_of_kind};
use crate::plan::{Plan, Step};
use crate::run::{Run, WorkState};
use crate::signal::Reading;

/// A count of items is believed for so long. The longest count that an agent makes is repeated within it.
pub const ITEMS_FRESH: std::time::Duration = std::time::Duration::from_secs(600);

/// The rules that runs of the service must obey: its own, and those of the mesh, whoever's manifest they stand in.
pub fn rules_of<'f>(fleet: &'f Fleet, service: &'f Service) -> Vec<&'f SafetyRule> {
    let own = service.manifest.safety.iter();
    let others = fleet.services.values().filter(|other| other.manifest.service != service.manifest.service);
    let of_mesh = others
        .flat_map(|other| &other.manifest.safety)
        .filter(|rule| rule.scope == RuleScope::Mesh && fits(rule, service));
    own.chain(of_mesh).collect()
}

/// A rule of the mesh about a resource binds the services that have one of this name.
fn fits(rule: &SafetyRule, service: &Service) -> bool {
    rule.rule.resource().is_none_or(|name| service.manifest.resources.iter().any(|resource| resource.name == name))
}

/// Every rule that needs measurements, as it stands for a move to `to`.
pub fn evaluate(
    fleet: &Fleet,
    service: &Service,
    to: &RegionId,
    onset: Onset,
    verdicts: &BTreeMap<RegionId, RegionVerdict>,
    evidence: &Evidence,
) -> Vec<RuleRecord> {
    let about_data = rules_of(fleet, service).into_iter().filter(|rule| rule.rule.is_about_data());
    about_data
        .map(|rule| {
            let (state, text) = measured(service, to, onset, verdicts, evidence, &rule.rule);
            RuleRecord { rule: rule.name.clone(), state, text: format!("{}: {text}", rule.rule) }
        })
        .collect()
}

fn measured(
    service: &Service,
    to: &RegionId,
    onset: Onset,
    verdicts: &BTreeMap<RegionId, RegionVerdict>,
    evidence: &Evidence,
    rule: &Predicate,
) -> (RuleState, String) {
    match rule {
        Predicate::RegionsOn { at_least } => regions_on(service, verdicts, *at_least),
        Predicate::Lag { resource, below } => {
            let loss = of_resource(resource, to, onset, &samples(service, evidence, onset));
            match loss.total() {
                Some(total) if total < *below => (RuleState::Held, loss.in_words()),
                Some(_) => (RuleState::Blocks, format!("{}, {} is allowed", loss.in_words(), words(*below))),
                None => (RuleState::Missing, loss.in_words()),
            }
        }
        Predicate::ItemsEqual { .. } => items_equal(service, to, evidence, rule),
        Predicate::After { .. } => (RuleState::NotApplicable, "a rule about the order of steps".to_owned()),
    }
}

fn regions_on(service: &Service, verdicts: &BTreeMap<RegionId, RegionVerdict>, at_least: u32) -> (RuleState, String) {
    let healthy = |region: &&RegionId| verdicts.get(*region).is_some_and(|known| known.verdict == Verdict::Healthy);
    let on: Vec<&str> = service
        .manifest
        .regions
        .keys()
        .filter(|region| **region != service.active)
        .filter(healthy)
        .map(RegionId::as_str)
        .collect();
    let enough = u32::try_from(on.len()).unwrap_or(u32::MAX) >= at_least;
    let text = format!("{} healthy without {}: {}", on.len(), service.active, on.join(", "));
    (if enough { RuleState::Held } else { RuleState::Blocks }, text)
}

/// An agent of the target counts both ends, and says so about the subject that the rule is called by. Of a region that is
/// lost nothing can be counted any more: what was counted before it stands, with its age.
fn items_equal(service: &Service, to: &RegionId, evidence: &Evidence, rule: &Predicate) -> (RuleState, String) {
    let subject = rule.counted().unwrap_or_default();
    let table = rule.resource().unwrap_or_default();
    let told = evidence.of_service(&service.manifest.service);
    let told = || told.iter().filter(|sight| sight.signal.region == *to && sight.signal.subject == subject);
    let counts = told().filter_map(|sight| match &sight.signal.reading {
        Reading::Items { from, there, here } if *from == service.active => {
            Some((sight.observed_at, &sight.signal.observer, *there, *here))
        }
        _ => None,
    });
    let fresh = counts.filter(|(at, ..)| evidence.now.since(*at) <= ITEMS_FRESH);
    if let Some((at, observer, there, here)) = fresh.max_by_key(|(at, ..)| *at) {
        let state = if there == here { RuleState::Held } else { RuleState::Blocks };
        let age = words(evidence.now.since(at));
        return (
            state,
            format!("{there} items in {}, {here} in {to}, counted {age} ago by {observer}", service.active),
        );
    }
    let why = told().find_map(|sight| match &sight.signal.reading {
        Reading::Unknown { reason } => Some(format!("{}: {reason}", sight.signal.observer)),
        _ => None,
    });
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    (RuleState::Missing, format!("nobody has counted {table} at both ends in the last {}{why}", words(ITEMS_FRESH)))
}

/// Rules about the order of steps that this plan cannot obey: what is held back stands before what it waits for.
pub fn contradicted<'f>(fleet: &'f Fleet, service: &'f Service, plan: &Plan) -> Vec<(&'f SafetyRule, String)> {
    let mut found = Vec::new();
    for rule in rules_of(fleet, service) {
        let Predicate::After { step, before } = &rule.rule else { continue };
        let firsts: Vec<&Step> = plan.steps.iter().filter(|known| is_of_kind(known, before)).collect();
        let held = plan.steps.iter().filter(|known| is_of_kind(known, step));
        for (held, first) in held.flat_map(|held| firsts.iter().map(move |first| (held, *first))) {
            if waits_for(plan, first, &held.id) {
                let text = format!("in this plan {} waits for {}, which the rule holds back", first.id, held.id);
                found.push((rule, text));
            }
        }
    }
    found
}

fn waits_for(plan: &Plan, step: &Step, id: &StepId) -> bool {
    let mut before = step.after.clone();
    // Each stands after all that it waits for.
    for known in plan.steps.iter().rev() {
        if before.contains(&known.id) {
            before.extend(known.after.iter().cloned());
        }
    }
    before.contains(id)
}

/// The rule that holds a step of the run back now, with what it waits for.
pub fn gate<'f>(fleet: &'f Fleet, run: &'f Run, step: &Step) -> Option<(&'f SafetyRule, &'f Step)> {
    let service: &ServiceId = &run.plan.service;
    let rules = rules_of(fleet, fleet.services.get(service)?);
    rules.into_iter().find_map(|rule| {
        let Predicate::After { step: held, before } = &rule.rule else { return None };
        if !is_of_kind(step, held) || run.overrides.contains(&rule.name) {
            return None;
        }
        let undone = |first: &&Step| {
            is_of_kind(first, before)
                && !matches!(
                    run.steps.get(&first.id).map(|work| &work.forward.state),
                    Some(WorkState::Done | WorkState::Skipped { .. })
                )
        };
        run.plan.steps.iter().find(undone).map(|first| (rule, first))
    })
}
