//! `items-equal`: two counts, with their age, or none.

use std::sync::Arc;

use super::stand::{BROKE, NOW, Stand};
use crate::decide::RuleState;
use crate::detect::Sight;
use crate::fixtures::{EAST, WEST, agent, at, region, service};
use crate::manifest::{Resource, ResourceKind, RuleScope, SafetyRule};
use crate::signal::{Reading, Signal};

fn stand() -> Stand {
    let mut stand = Stand::outage();
    let regions = [region(EAST), region(WEST)].into();
    let kind = ResourceKind::DynamodbGlobalTable { table: "maip-sessions".to_owned(), regions };
    stand.maip().manifest.resources.push(Resource { name: "sessions".to_owned(), kind });
    let rule = "items-equal(sessions)".parse().expect("a rule");
    stand.maip().manifest.safety = vec![SafetyRule { name: "same".to_owned(), scope: RuleScope::Service, rule }];
    stand
}

fn told(observer: &str, second: u64, reading: Reading) -> Sight {
    let signal = Signal {
        observer: agent(observer),
        observer_region: region(WEST),
        service: service("maip"),
        region: region(WEST),
        subject: "items/sessions".to_owned(),
        reading,
        at: at(second),
    };
    let signal = Arc::new(signal);
    Sight { signal, observed_at: at(second), failing_since: None, heard_at: at(second), alternations: 0 }
}

fn counted(second: u64, there: u64, here: u64) -> Sight {
    told("west-a", second, Reading::Items { from: region(EAST), there, here })
}

#[test]
fn equal_counts_hold_and_the_text_has_them_and_their_age() {
    let mut stand = stand();
    stand.sights.push(counted(BROKE - 10, 120, 120));
    let (state, text) = stand.rule("safety");
    assert_eq!(state, RuleState::Held, "{text}");
    for known in ["120 items in us-east-1", "120 in us-west-2", "70 s ago", "west-a"] {
        assert!(text.contains(known), "{known}: {text}");
    }
    assert!(stand.acts(), "a count from before the outage is all that there can be");
}

#[test]
fn counts_that_differ_block_and_the_newest_of_several_observers_counts() {
    let mut stand = stand();
    stand.sights.push(counted(BROKE - 10, 120, 118));
    let (state, text) = stand.rule("safety");
    assert_eq!(state, RuleState::Blocks);
    assert!(text.contains("120") && text.contains("118"), "{text}");
    assert!(!stand.acts());
    let newer = Reading::Items { from: region(EAST), there: 121, here: 121 };
    stand.sights.push(told("west-b", BROKE - 5, newer));
    assert_eq!(stand.rule("safety").0, RuleState::Held);
}

#[test]
fn without_a_fresh_count_of_this_region_the_rule_is_missing_and_blocks() {
    let old = counted(NOW - 601, 5, 5);
    let of_another = told("west-a", BROKE, Reading::Items { from: region("eu-west-1"), there: 5, here: 5 });
    let failed = told("west-a", NOW, Reading::Unknown { reason: "AccessDenied".to_owned() });
    let cases = [
        (vec![], "nobody"),
        (vec![old], "nobody"),
        (vec![of_another], "nobody"),
        (vec![failed], "west-a: AccessDenied"),
    ];
    for (sights, words) in cases {
        let mut stand = stand();
        stand.sights.extend(sights);
        let (state, text) = stand.rule("safety");
        assert_eq!(state, RuleState::Missing, "{text}");
        assert!(text.contains(words), "{words}: {text}");
        assert!(!stand.acts());
    }
}

#[test]
fn a_count_is_no_vote_on_health() {
    let mut stand = stand();
    stand.verdicts.clear();
    stand.sights.push(counted(NOW, 1, 1));
    let known = &stand.fleet.services[&service("maip")];
    let verdicts = crate::detect::assess(known, &stand.evidence());
    assert!(verdicts.values().all(|verdict| verdict.views.is_empty()), "{verdicts:?}");
}
