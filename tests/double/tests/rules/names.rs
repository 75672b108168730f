use mesh_double::error::ApiError;
use mesh_double::route53::answer::{Outcome, answer};
use mesh_double::route53::throttle;
use mesh_double::wire::Node;
use mesh_double::wire::request::Service;
use mesh_double::world::{RegionState, World};

use crate::asking::{EAST, START_MS, ask, code, world};

const ZONE: &str = "ZMAIP0000000000";
const API: &str = "api.maip.example.com";

fn set(name: &str, value: &str) -> Node {
    let records = Node::List("ResourceRecord", vec![Node::map().with("Value", value)]);
    Node::map().with("Name", name).with("Type", "A").with("TTL", 60i64).with("ResourceRecords", records)
}

fn weighted(identifier: &str, weight: i64, value: &str) -> Node {
    set("w.maip.example.com", value).with("SetIdentifier", identifier).with("Weight", weight)
}

fn change(world: &mut World, after_ms: u64, changes: Vec<(&str, Node)>) -> Result<String, ApiError> {
    let changes = changes
        .into_iter()
        .map(|(action, set)| Node::map().with("Action", action).with("ResourceRecordSet", set))
        .collect();
    let batch = Node::map().with("Changes", Node::List("Change", changes));
    let input = Node::map().with("Id", ZONE).with("ChangeBatch", batch);
    let reply = ask(world, after_ms, (Service::Route53, EAST), "ChangeResourceRecordSets", input)?;
    Ok(reply.get("ChangeInfo").and_then(|info| info.str("Id")).expect("an accepted change has an id"))
}

fn status(world: &mut World, after_ms: u64, id: &str) -> String {
    let reply = ask(world, after_ms, (Service::Route53, EAST), "GetChange", Node::map().with("Id", id));
    let reply = reply.expect("the change is known");
    reply.get("ChangeInfo").and_then(|info| info.str("Status")).expect("it has a status")
}

fn addresses(world: &mut World, name: &str) -> Vec<String> {
    match answer(world, name, "A") {
        Outcome::Found(answers) => answers.into_iter().map(|answer| answer.value).collect(),
        Outcome::Empty(_) | Outcome::NoSuchName(_) | Outcome::Refused => Vec::new(),
    }
}

#[test]
fn a_change_is_answered_by_the_name_servers_from_insync_on() {
    let mut world = world();
    let id = change(&mut world, 0, vec![("CREATE", set("www.maip.example.com", "192.0.2.1"))]).expect("accepted");
    assert_eq!(status(&mut world, 1499, &id), "PENDING");
    assert!(addresses(&mut world, "www.maip.example.com").is_empty());
    assert_eq!(status(&mut world, 1500, &id), "INSYNC");
    assert_eq!(addresses(&mut world, "www.maip.example.com"), ["192.0.2.1"]);
}

#[test]
fn a_refused_batch_leaves_nothing_behind() {
    let mut world = world();
    let before = world.route53.zones[ZONE].records.clone();
    let outside = set("www.example.org", "192.0.2.1");
    let batch = vec![("CREATE", set("www.maip.example.com", "192.0.2.1")), ("CREATE", outside)];
    assert_eq!(change(&mut world, 0, batch).expect_err("refused").code, "InvalidChangeBatch");
    assert_eq!(world.route53.zones[ZONE].records, before);
    assert!(world.route53.changes.is_empty());
}

#[test]
fn a_delete_has_to_match_every_field() {
    let mut world = world();
    change(&mut world, 0, vec![("CREATE", weighted("a", 10, "192.0.2.1"))]).expect("accepted");
    let wrong = [
        weighted("a", 11, "192.0.2.1"),
        weighted("a", 10, "192.0.2.2"),
        weighted("b", 10, "192.0.2.1"),
        weighted("a", 10, "192.0.2.1").with("HealthCheckId", "x"),
    ];
    for set in wrong {
        assert_eq!(change(&mut world, 1, vec![("DELETE", set)]).expect_err("stale").code, "InvalidChangeBatch");
    }
    change(&mut world, 1, vec![("DELETE", weighted("A", 10, "192.0.2.1"))]).expect_err("identifiers have a case");
    change(&mut world, 1, vec![("DELETE", weighted("a", 10, "192.0.2.1"))]).expect("exact");
}

#[test]
fn changes_are_insync_in_the_order_in_which_they_were_accepted() {
    let mut world = world();
    let first = change(&mut world, 0, vec![("CREATE", set("x.maip.example.com", "192.0.2.1"))]).expect("accepted");
    world.settings.route53_insync_ms = 0;
    let second = change(&mut world, 10, vec![("UPSERT", set("x.maip.example.com", "192.0.2.2"))]).expect("accepted");
    assert_eq!(status(&mut world, 1499, &second), "PENDING");
    assert_eq!(status(&mut world, 1500, &second), "INSYNC");
    assert_eq!(status(&mut world, 1500, &first), "INSYNC");
    assert_eq!(addresses(&mut world, "x.maip.example.com"), ["192.0.2.2"]);
}

#[test]
fn a_batch_during_the_acceptance_of_another_is_refused() {
    let mut world = world();
    world.settings.route53_accept_ms = 100;
    change(&mut world, 0, vec![("CREATE", weighted("a", 1, "192.0.2.1"))]).expect("accepted");
    let second = vec![("CREATE", weighted("b", 1, "192.0.2.2"))];
    assert_eq!(change(&mut world, 99, second.clone()).expect_err("busy").code, "PriorRequestNotComplete");
    change(&mut world, 100, second).expect("the first is complete");
}

#[test]
fn five_calls_fit_in_any_second() {
    let mut world = world();
    for _ in 0..5 {
        throttle(&mut world).expect("within the limit");
    }
    assert_eq!(throttle(&mut world).expect_err("the sixth").code, "Throttling");
    world.advance(START_MS + 999);
    assert!(throttle(&mut world).is_err());
    world.advance(START_MS + 1000);
    throttle(&mut world).expect("a second later");
}

#[test]
fn an_unknown_change_is_no_change() {
    let mut world = world();
    let unknown = ask(&mut world, 0, (Service::Route53, EAST), "GetChange", Node::map().with("Id", "C2682N5HXP0BZ4"));
    assert_eq!(code(unknown), "NoSuchChange");
}

#[test]
fn the_drawing_of_weights_is_repeatable() {
    let draw = || {
        let mut world = world();
        let sets = vec![("CREATE", weighted("a", 3, "192.0.2.1")), ("CREATE", weighted("b", 1, "192.0.2.2"))];
        change(&mut world, 0, sets).expect("accepted");
        world.advance(START_MS + 1500);
        (0..200).flat_map(|_| addresses(&mut world, "w.maip.example.com")).collect::<Vec<_>>()
    };
    let answers = draw();
    assert_eq!(answers, draw());
    let first = answers.iter().filter(|one| *one == "192.0.2.1").count();
    assert!((120..180).contains(&first), "{first} of 200 at a weight of 3 to 1");
}

#[test]
fn dns_fails_open_when_the_only_target_is_dead() {
    let mut world = world();
    for (at, app) in (1u8..).zip(world.apps.values_mut()) {
        app.address = Some(([127, 1, 1, at], 80).into());
    }
    assert_eq!(addresses(&mut world, API), ["127.1.1.1"]);
    world.set_region(EAST, RegionState::Down);
    assert_eq!(addresses(&mut world, API), ["127.1.1.1"]);
}
