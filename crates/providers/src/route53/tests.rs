//! Rules of the batch and of what a listing means.

use mesh_core::execute::Observation;
use mesh_core::ids::Token;
use mesh_core::manifest::{RecordData, RecordKind, RecordSet, Routing};

use super::batch::{Change, Difference, Item, refuse_empty, replace};
use super::decide::{self, Decision};
use super::{Before, Listing, TxtSet};

const RECORD: &str = "api.example.com";

fn token(text: &str) -> Token {
    text.parse().expect("a token")
}

fn txt(text: &str) -> TxtSet {
    TxtSet { ttl_seconds: 60, values: vec![format!("\"{text}\"")], is_simple: true }
}

fn alias(name: &str) -> RecordSet {
    RecordSet {
        kind: RecordKind::A,
        set_identifier: None,
        routing: Routing::Simple,
        health_check_id: None,
        data: RecordData::Alias {
            zone_id: "Z35SXDOTRQ7X7K".to_owned(),
            dns_name: name.to_owned(),
            evaluate_target_health: true,
        },
    }
}

fn weighted(id: &str, weight: u8) -> RecordSet {
    RecordSet {
        kind: RecordKind::A,
        set_identifier: Some(id.to_owned()),
        routing: Routing::Weighted(weight),
        health_check_id: None,
        data: RecordData::Values { ttl_seconds: 60, values: vec!["10.0.0.1".to_owned()] },
    }
}

fn listing(tokens: &[&str], sets: Vec<RecordSet>) -> Listing {
    Listing { tokens: tokens.iter().map(|text| txt(text)).collect(), sets, foreign: Vec::new() }
}

fn kind(decision: &Decision) -> &'static str {
    match decision {
        Decision::OnceInSync { .. } => "once-in-sync",
        Decision::Now(Observation::Ready { .. }) => "ready",
        Decision::Now(Observation::Blocked { .. }) => "blocked",
        Decision::Now(Observation::Superseded { .. }) => "superseded",
        Decision::Now(_) => "other",
    }
}

#[test]
fn a_listing_means_what_its_token_says() {
    let (old, new) = (alias("use1.elb.amazonaws.com."), alias("usw2.elb.amazonaws.com"));
    let same = alias("USW2.elb.amazonaws.com.");
    for (tokens, sets, expected) in [
        (vec![], vec![old.clone()], "blocked"),
        (vec!["6.40"], vec![old.clone()], "ready"),
        (vec!["6.40"], vec![], "ready"),
        (vec!["6.40"], vec![same.clone()], "ready"),
        (vec!["7.12"], vec![same.clone()], "once-in-sync"),
        (vec!["7.11"], vec![same.clone()], "once-in-sync"),
        (vec!["7.12"], vec![old.clone()], "blocked"),
        (vec!["7.11"], vec![old.clone()], "blocked"),
        (vec!["7.13"], vec![same.clone()], "superseded"),
        (vec!["8.1"], vec![old.clone()], "superseded"),
        (vec!["not a token"], vec![old.clone()], "blocked"),
        (vec!["6.40", "6.41"], vec![old.clone()], "blocked"),
    ] {
        let listing = listing(&tokens, sets);
        let decision = decide::replace(token("7.12"), RECORD, std::slice::from_ref(&new), &listing, false);
        assert_eq!(kind(&decision), expected, "{listing:?}");
    }
}

#[test]
fn a_missing_token_is_created_by_the_move_itself_once_a_person_says_so() {
    let (old, new) = (alias("a."), alias("b."));
    let told = |tokens: &[&str], sets| {
        decide::replace(token("7.12"), RECORD, std::slice::from_ref(&new), &listing(tokens, sets), true)
    };
    assert_eq!(kind(&told(&["junk"], vec![old.clone()])), "blocked", "what is there is not overwritten");
    assert_eq!(kind(&told(&["8.1"], vec![old.clone()])), "superseded");
    assert_eq!(kind(&told(&["7.11"], vec![old.clone()])), "blocked");
    let Decision::Now(Observation::Ready { before }) = told(&[], vec![old.clone()]) else {
        panic!("it can be moved");
    };
    let before: Before = serde_json::from_str(&before).expect("the call reads it");
    assert_eq!(before.token, None);
    let difference = Difference::between(&before.sets, std::slice::from_ref(&new));
    let token_set = Item::Token { ttl_seconds: 60, values: vec!["\"7.12\"".to_owned()] };
    assert_eq!(
        replace(RECORD, token("7.12"), None, &difference),
        vec![
            Change::Create { name: "_mesh.api.example.com".to_owned(), item: token_set },
            Change::Delete { name: RECORD.to_owned(), item: Item::Set(&old) },
            Change::Create { name: RECORD.to_owned(), item: Item::Set(&new) },
        ]
    );
}

#[test]
fn record_sets_that_could_not_be_restored_stop_the_move() {
    let mut found = listing(&["6.1"], vec![alias("a.")]);
    found.foreign.push("A use1: latency routing".to_owned());
    assert_eq!(kind(&decide::replace(token("7.1"), RECORD, &[alias("b.")], &found, false)), "blocked");
}

#[test]
fn a_token_is_created_only_for_a_name_that_has_records() {
    for (tokens, sets, expected) in [
        (vec![], vec![alias("a.")], "ready"),
        (vec![], vec![], "blocked"),
        (vec!["3.1"], vec![alias("a.")], "once-in-sync"),
        (vec!["junk"], vec![alias("a.")], "blocked"),
    ] {
        assert_eq!(kind(&decide::create_token(RECORD, &listing(&tokens, sets))), expected, "{tokens:?}");
    }
}

#[test]
fn a_batch_deletes_exactly_what_was_observed_and_leaves_out_what_stays() {
    let stays = weighted("stays", 10);
    let observed = vec![stays.clone(), weighted("goes", 90), weighted("changes", 5)];
    let wanted = vec![weighted("changes", 80), stays, weighted("comes", 10)];
    let found = listing(&["6.40"], observed);
    let Decision::Now(Observation::Ready { before }) = decide::replace(token("7.12"), RECORD, &wanted, &found, false)
    else {
        panic!("it can be moved");
    };
    let before: Before = serde_json::from_str(&before).expect("the call reads it");
    let observed_token = before.token.expect("the token was observed");
    let difference = Difference::between(&before.sets, &wanted);
    let token_name = || "_mesh.api.example.com".to_owned();
    let item = |text: &str| Item::Token { ttl_seconds: 60, values: vec![text.to_owned()] };
    let (goes, changed, changes, comes) =
        (weighted("goes", 90), weighted("changes", 5), weighted("changes", 80), weighted("comes", 10));
    assert_eq!(
        replace(RECORD, token("7.12"), Some(&observed_token), &difference),
        vec![
            Change::Delete { name: token_name(), item: item("\"6.40\"") },
            Change::Create { name: token_name(), item: item("\"7.12\"") },
            Change::Delete { name: RECORD.to_owned(), item: Item::Set(&goes) },
            Change::Delete { name: RECORD.to_owned(), item: Item::Set(&changed) },
            Change::Create { name: RECORD.to_owned(), item: Item::Set(&changes) },
            Change::Create { name: RECORD.to_owned(), item: Item::Set(&comes) },
        ]
    );
}

#[test]
fn nothing_that_would_answer_nobody_is_published() {
    let empty = RecordSet { data: RecordData::Values { ttl_seconds: 60, values: Vec::new() }, ..alias("a.") };
    let aaaa = RecordSet { kind: RecordKind::Aaaa, ..weighted("six", 0) };
    for (wanted, accepted) in [
        (vec![], false),
        (vec![empty], false),
        (vec![weighted("a", 0), weighted("b", 0)], false),
        (vec![weighted("a", 1), aaaa], false),
        (vec![weighted("a", 0), weighted("b", 1)], true),
        (vec![alias("a.")], true),
    ] {
        assert_eq!(refuse_empty(&wanted).is_ok(), accepted, "{wanted:?}");
        let observed = listing(&["6.1"], vec![alias("z.")]);
        assert_eq!(kind(&decide::replace(token("7.1"), RECORD, &wanted, &observed, false)) == "ready", accepted);
    }
}
