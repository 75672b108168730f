//! One table for the rules: each is broken alone, and then it alone is in the way.

use std::time::Duration;

use crate::detect::{Pattern, Verdict};
use crate::fixtures::{EAST, WEST, agent, at, region, service};
use crate::fleet::Freeze;
use crate::manifest::{AutomaticMode, LossPolicy, RuleScope, SafetyRule};
use crate::plan::PredictedLoss;

use super::{Conclusion, RuleState};
use stand::{BROKE, NOW, Stand, healthy, lag, verdict};

mod items;
mod losses;
pub(crate) mod stand;

#[test]
fn a_region_that_is_down_is_left_when_every_rule_holds() {
    let judgement = Stand::outage().judged();
    let unmet: Vec<_> = judgement
        .rules
        .iter()
        .filter(|rule| !matches!(rule.state, RuleState::Held | RuleState::NotApplicable))
        .collect();
    assert_eq!(unmet, Vec::<&super::RuleResult>::new());
    assert_eq!(judgement.conclusion, Conclusion::Act { to: region(WEST), mode: AutomaticMode::Full });
}

type Break = fn(&mut Stand);

/// Rule, what breaks it, its state then, and a word that its text must hold.
const BREACHES: &[(&str, Break, RuleState, &str)] = &[
    ("armed", |stand| stand.maip().armed = false, RuleState::Blocks, "meshctl arm maip"),
    (
        "automatic",
        |stand| stand.maip().manifest.policy.automatic = AutomaticMode::Off,
        RuleState::Blocks,
        "a person starts every failover",
    ),
    ("verdict", |stand| drop(stand.verdicts.insert(region(EAST), healthy())), RuleState::Blocks, "is healthy"),
    (
        "verdict",
        |stand| {
            stand.verdicts.insert(region(EAST), verdict(Verdict::Suspect, Pattern::Asymmetric, Some(BROKE)));
        },
        RuleState::Blocks,
        "asymmetric",
    ),
    (
        "verdict",
        |stand| drop(stand.verdicts.insert(region(EAST), verdict(Verdict::Unknown, Pattern::Blind, None))),
        RuleState::Missing,
        "unknown is never down",
    ),
    ("verdict", |stand| drop(stand.verdicts.remove(&region(EAST))), RuleState::Missing, "nothing was measured"),
    (
        "quorum",
        |stand| {
            let mut alone = stand::down();
            alone.quorum.regions_failing = 1;
            stand.verdicts.insert(region(EAST), alone);
        },
        RuleState::Missing,
        "4 of 4 fresh observers in 1 regions",
    ),
    (
        "most-regions",
        |stand| {
            stand.verdicts.insert(region(EAST), verdict(Verdict::Suspect, Pattern::MostRegionsDown, Some(BROKE)));
        },
        RuleState::Blocks,
        "most regions look dead",
    ),
    (
        "target",
        |stand| {
            stand.verdicts.insert(region(WEST), verdict(Verdict::Suspect, Pattern::Grey, None));
        },
        RuleState::Blocks,
        "only a healthy region takes over",
    ),
    ("target", |stand| drop(stand.verdicts.remove(&region(WEST))), RuleState::Blocks, "nothing was measured there"),
    (
        "target",
        |stand| stand.observers.values_mut().for_each(|observer| observer.heard_at = None),
        RuleState::Blocks,
        "no agent there",
    ),
    ("cool-down", |stand| stand.maip().automatic_at = Some(at(NOW - 60)), RuleState::Blocks, "meshctl ack maip"),
    (
        "window",
        |stand| stand.maip().manifest.policy.windows = vec!["mon 08:00-09:00".parse().expect("a window")],
        RuleState::Blocks,
        "opens in",
    ),
    ("freeze", |stand| stand.maip().freeze = Some(freeze()), RuleState::Blocks, "meshctl unfreeze maip"),
    ("freeze", |stand| stand.fleet.freeze = Some(freeze()), RuleState::Blocks, "the whole mesh is frozen"),
    ("rpo", |stand| stand.sights.clear(), RuleState::Missing, "never measured while both ends lived"),
    (
        "rpo",
        |stand| stand.sights = vec![lag("maip", BROKE - 1, Duration::from_secs(45))],
        RuleState::Blocks,
        "the objective is 30 s",
    ),
    (
        "safety",
        |stand| stand.maip().manifest.safety = vec![rule("fresh", "lag(database) < 3s")],
        RuleState::Blocks,
        "fresh: lag(database) < 3000ms",
    ),
    (
        "safety",
        |stand| stand.maip().manifest.safety = vec![rule("two", "regions-on >= 2")],
        RuleState::Blocks,
        "1 healthy without us-east-1",
    ),
    (
        "plan",
        |stand| {
            stand.maip().manifest.safety = vec![rule("order", "rds-promote-database after route53-replace-api")];
        },
        RuleState::Blocks,
        "cannot be obeyed",
    ),
];

fn freeze() -> Freeze {
    Freeze { until: at(NOW + 600), by: "ann".to_owned(), reason: "a migration".to_owned(), at: at(NOW - 1) }
}

fn rule(name: &str, text: &str) -> SafetyRule {
    SafetyRule { name: name.to_owned(), scope: RuleScope::Service, rule: text.parse().expect("a rule") }
}

#[test]
fn each_rule_alone_keeps_the_mesh_from_acting_and_says_why() {
    for (name, breach, state, word) in BREACHES {
        let mut stand = Stand::outage();
        breach(&mut stand);
        let judgement = stand.judged();
        let broken = judgement.rules.iter().filter(|rule| rule.rule == *name).find(|rule| rule.state == *state);
        let Some(broken) = broken else { panic!("{name} must be {state:?}: {:#?}", judgement.rules) };
        assert!(broken.text.contains(word), "{name}: {:?} must say {word:?}", broken.text);
        let (Conclusion::Nothing { text } | Conclusion::Blocked { text }) = &judgement.conclusion else {
            panic!("{name} is broken, and yet: {:?}", judgement.conclusion)
        };
        assert!(!text.is_empty());
        assert_eq!(stand.starts(), Vec::new(), "{name}: nothing is started");
    }
}

#[test]
fn every_rule_is_in_the_table() {
    let asked: Vec<&str> = Stand::outage().judged().rules.iter().map(|rule| rule.rule).collect();
    let elsewhere = ["idle", "wave", "order"];
    for rule in asked {
        let tabled = BREACHES.iter().any(|(name, ..)| *name == rule);
        assert!(tabled || elsewhere.contains(&rule), "{rule} is tested nowhere");
    }
}

#[test]
fn a_cool_down_ends_by_time_or_by_a_persons_word() {
    let mut stand = Stand::outage();
    stand.maip().automatic_at = Some(at(0));
    stand.maip().manifest.policy.cool_down = Duration::from_secs(NOW + 1);
    assert_eq!(stand.rule("cool-down").0, RuleState::Blocks);
    assert_eq!(stand.judged().next_look, Some(at(NOW + 1)), "it is looked at again when it ends");
    stand.maip().manifest.policy.cool_down = Duration::from_secs(NOW);
    assert_eq!(stand.rule("cool-down").0, RuleState::Held);
    stand.maip().manifest.policy.cool_down = Duration::from_secs(2 * NOW);
    stand.maip().acknowledged_at = Some(at(NOW - 1));
    assert!(stand.acts());
    stand.maip().automatic_at = Some(at(NOW));
    assert!(!stand.acts(), "the word was about the move before");
}

#[test]
fn a_freeze_that_has_expired_holds_nothing_back() {
    let mut stand = Stand::outage();
    stand.maip().freeze = Some(Freeze { until: at(NOW), ..freeze() });
    assert!(stand.acts());
}

#[test]
fn of_several_targets_the_fit_one_that_loses_least_is_chosen() {
    let mut stand = Stand::outage();
    let eu = region("eu-west-1");
    let replica = stand.maip().clone();
    stand.maip().manifest.regions.insert(eu.clone(), crate::manifest::RegionRole::Standby);
    if let Some(crate::manifest::ResourceKind::Rds { instances, .. }) =
        stand.maip().manifest.resources.first_mut().map(|resource| &mut resource.kind)
    {
        let west = instances[&region(WEST)].clone();
        instances.insert(eu.clone(), west);
    }
    let sets = replica.manifest.traffic[0].active[&region(WEST)].clone();
    stand.maip().manifest.traffic[0].active.insert(eu.clone(), sets);
    let topic = "arn:aws:sns:eu-west-1:1:alerts".to_owned();
    stand.maip().manifest.notices[0].topics.insert(eu.clone(), topic);
    stand.verdicts.insert(eu.clone(), healthy());
    let observer = crate::detect::Observer { region: eu.clone(), heard_at: Some(at(NOW)), doubt: None };
    stand.observers.insert(agent("eu-a"), observer);
    let mut closer = lag("maip", BROKE - 1, Duration::from_millis(100));
    let mut signal = (*closer.signal).clone();
    signal.region = eu.clone();
    closer.signal = signal.into();
    stand.sights.push(closer);
    let target = |stand: &Stand| match stand.judged().conclusion {
        Conclusion::Act { to, .. } => Some(to),
        _ => None,
    };
    assert_eq!(target(&stand), Some(eu.clone()));
    stand.verdicts.insert(eu, verdict(Verdict::Unknown, Pattern::Blind, None));
    assert_eq!(target(&stand), Some(region(WEST)), "a fit one before a close one");
}

#[test]
fn mode_notify_says_what_it_would_do_once_a_cool_down_and_what_is_in_the_way() {
    let mut stand = Stand::outage();
    stand.maip().manifest.policy.automatic = AutomaticMode::Notify;
    let Conclusion::Notify { to, text } = stand.judged().conclusion else { panic!("{:?}", stand.judged()) };
    assert_eq!(to, region(WEST));
    assert!(text.contains("meshctl failover maip --to us-west-2") && !text.contains("In the way"), "{text}");
    stand.maip().armed = false;
    let Conclusion::Notify { text, .. } = stand.judged().conclusion else { panic!("an outage is told all the same") };
    assert!(text.contains("In the way: armed"), "{text}");
    let due = stand.due();
    let [command] = due.as_slice() else { panic!("{due:?}") };
    let applied = stand.fleet.apply(at(NOW), command);
    assert_eq!(applied.reply, crate::fleet::Reply::Ok);
    assert_eq!(applied.note.kind, "note-automatic");
    assert!(matches!(stand.judged().conclusion, Conclusion::Nothing { .. }), "told once");
    assert!(stand.due().is_empty());
    let ack = crate::fleet::Command::Acknowledge { service: service("maip"), by: "ann".to_owned() };
    stand.fleet.apply(at(NOW + 1), &ack);
    assert!(matches!(stand.judged().conclusion, Conclusion::Notify { .. }), "told again once it was acknowledged");
}

#[test]
fn a_person_may_ask_about_another_target() {
    let stand = Stand::outage();
    let judge = |to: &str| {
        super::judge_to(&stand.fleet, &service("maip"), Some(&region(to)), &stand.verdicts, &stand.evidence())
    };
    assert!(matches!(judge(WEST).conclusion, Conclusion::Act { .. }));
    assert!(
        matches!(judge(EAST).conclusion, Conclusion::Act { to, .. } if to == region(WEST)),
        "the active one is none"
    );
}

#[test]
fn a_multi_writer_loses_nothing_by_moving() {
    let mut stand = Stand::outage();
    stand.maip().manifest.resources.clear();
    stand.sights.clear();
    assert_eq!(stand.rule("rpo").0, RuleState::NotApplicable);
    assert!(stand.acts());
}

#[test]
fn a_rule_of_the_mesh_binds_every_service_that_has_such_a_resource() {
    let mut stand = Stand::outage().with(&["other"]);
    stand.of("other").manifest.safety =
        vec![SafetyRule { scope: RuleScope::Mesh, ..rule("fresh", "lag(database) < 3s") }];
    assert!(!stand.acts(), "maip has a database");
    stand.of("other").manifest.safety =
        vec![SafetyRule { scope: RuleScope::Mesh, ..rule("fresh", "lag(elsewhere) < 3s") }];
    assert!(stand.acts(), "and nothing called elsewhere");
}

#[test]
fn an_accepted_loss_does_not_block() {
    let mut stand = Stand::outage();
    stand.sights.clear();
    stand.maip().manifest.policy.loss = LossPolicy::Accept;
    assert!(stand.acts());
    assert_eq!(stand.starts().iter().map(stand::loss_of).collect::<Vec<_>>(), [PredictedLoss::Unknown]);
}
