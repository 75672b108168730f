//! Several services at once: what moves, in which order, and every kind of record there and back.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use aws_sdk_route53::types::{ResourceRecordSetFailover as Role, RrType};
use mesh_core::run::{Need, RunState};
use mesh_suite::foreign::{NEW_ALB, OLD_ALB, set};
use mesh_suite::{Foreign, Rig};
use serde_json::{Value, json};

const OLD: &str = "us-east-1";
const NEW: &str = "us-west-2";

/// The names of the three services, one kind of record each.
const ALIAS: &str = "accounts.maip.example.com";
const CNAME: &str = "login.maip.example.com";
const WEIGHTED: &str = "orders.maip.example.com";
const PAIR: &str = "front.maip.example.com";

/// `front` stands on `orders`, which stands on `accounts` and on the demo's own service with its database.
const SERVICES: [(&str, &str); 3] = [("accounts", "[]"), ("orders", "[accounts, maip]"), ("front", "[orders]")];

fn alb(region: &str) -> (&'static str, &'static str) {
    if region == OLD { OLD_ALB } else { NEW_ALB }
}

fn other(region: &str) -> &'static str {
    if region == OLD { NEW } else { OLD }
}

/// What each name answers while `region` is active, as the double shows it.
fn expected(name: &str, region: &str) -> Vec<Value> {
    let set = |kind: &str, ttl: Value, values: Vec<String>, alias: Value| {
        json!({
            "name": format!("{name}."), "kind": kind, "set_identifier": null, "weight": null, "failover": null,
            "ttl": ttl, "values": values, "alias": alias, "health_check": null,
        })
    };
    let alias = |region: &str, evaluate: bool| {
        let (zone, name) = alb(region);
        json!({ "zone": zone, "name": format!("{name}."), "evaluate_target_health": evaluate })
    };
    let cname = |region: &str, ttl: u32| set("CNAME", json!(ttl), vec![alb(region).1.to_owned()], Value::Null);
    let with = |mut set: Value, key: &str, value: Value, identifier: &str| {
        set[key] = value;
        set["set_identifier"] = json!(identifier);
        set
    };
    match name {
        ALIAS => vec![set("A", Value::Null, Vec::new(), alias(region, true))],
        CNAME => vec![cname(region, 45)],
        WEIGHTED => [OLD, NEW]
            .map(|place| with(cname(place, 30), "weight", json!(if place == region { 100 } else { 0 }), place))
            .to_vec(),
        _ => [("first", region, "PRIMARY"), ("second", other(region), "SECONDARY")]
            .map(|(identifier, place, role)| {
                let set = set("A", Value::Null, Vec::new(), alias(place, false));
                with(set, "failover", json!(role), identifier)
            })
            .to_vec(),
    }
}

async fn create_records(foreign: &Foreign) {
    foreign.upsert(set(ALIAS, RrType::A).alias(OLD_ALB, true).build()).await;
    foreign.upsert(set(CNAME, RrType::Cname).values(45, &[OLD_ALB.1]).build()).await;
    foreign.upsert(set(WEIGHTED, RrType::Cname).values(30, &[OLD_ALB.1]).weight(OLD, 100).build()).await;
    foreign.upsert(set(WEIGHTED, RrType::Cname).values(30, &[NEW_ALB.1]).weight(NEW, 0).build()).await;
    foreign.upsert(set(PAIR, RrType::A).alias(OLD_ALB, false).failover("first", Role::Primary).build()).await;
    foreign.upsert(set(PAIR, RrType::A).alias(NEW_ALB, false).failover("second", Role::Secondary).build()).await;
}

/// One set of a name while a region is active, as a line of the manifest.
fn line(set: &Value) -> String {
    let mut fields = vec![format!("type: {}", set["kind"].as_str().expect("a kind"))];
    match &set["alias"] {
        Value::Null => {
            fields.push(format!("ttl: {}s", set["ttl"]));
            fields.push(format!("values: [{}]", set["values"][0].as_str().expect("a value")));
        }
        alias => fields.push(format!(
            "alias: {{ zone-id: {}, dns-name: {}, evaluate-target-health: {} }}",
            alias["zone"].as_str().expect("a zone"),
            alias["name"].as_str().expect("a name").trim_end_matches('.'),
            alias["evaluate_target_health"]
        )),
    }
    for (key, name) in [("set_identifier", "set-identifier"), ("failover", "failover")] {
        if let Some(value) = set[key].as_str() {
            fields.push(format!("{name}: {}", if key == "failover" { value.to_lowercase() } else { value.to_owned() }));
        }
    }
    if let Some(weight) = set["weight"].as_u64() {
        fields.push(format!("weight: {weight}"));
    }
    format!("        - {{ {} }}\n", fields.join(", "))
}

fn manifest(service: &str, needs: &str, port: u16) -> String {
    let names: &[&str] = match service {
        "accounts" => &[ALIAS, CNAME],
        "orders" => &[WEIGHTED],
        _ => &[PAIR],
    };
    let (mut traffic, mut verify) = (String::new(), String::new());
    for (name, nth) in names.iter().zip(1..) {
        traffic.push_str(&format!(
            "  - name: record-{nth}\n    zone-id: ZMAIP0000000000\n    record: {name}\n    active:\n"
        ));
        for region in [OLD, NEW] {
            let sets: String = expected(name, region).iter().map(line).collect();
            traffic.push_str(&format!("      {region}:\n{sets}"));
        }
        verify.push_str(&format!(
            "  - name: record-{nth}\n    url: http://{name}:{port}/\n    body-contains: '\"region\":\"{{region}}\"'\n"
        ));
    }
    format!(
        "apiVersion: mesh/v1\nservice: {service}\nwriter: multi\nregions: {{ {OLD}: primary, {NEW}: standby }}\n\
         depends-on: {needs}\nobjectives: {{ rto: 2m, rpo: 0s }}\ntraffic:\n{traffic}verify:\n{verify}"
    )
}

/// The three services, stored and set up.
async fn raise() -> Rig {
    let rig = Rig::raise().await;
    create_records(&Foreign::new(&rig).await).await;
    let port = meshctl::demo::maip::app_port(&rig.stand.ready).expect("the double runs applications");
    for (service, needs) in SERVICES {
        rig.adopt(service, &manifest(service, needs, port)).await;
    }
    let setup = ["traffic", "setup", "--service", "accounts", "--service", "orders", "--service", "front", "--yes"];
    rig.ctl(&setup).await.expect(0);
    for name in [ALIAS, CNAME, WEIGHTED, PAIR] {
        assert_eq!(rig.records(name).await, expected(name, OLD), "the set-up adopts the records as they are");
    }
    rig
}

fn names(value: &Value) -> Vec<String> {
    let all = value.as_array().cloned().unwrap_or_default();
    all.iter().map(|one| one["service"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn services_move_in_dependency_order_and_back_with_every_kind_of_record() {
    let rig = raise().await;
    let plan = async |extra: &[&str]| {
        let args = [&["--json", "plan", "failover", "--to", NEW], extra].concat();
        rig.ctl(&args).await
    };
    let all = plan(&[]).await.expect(0).json();
    let waves: Vec<(String, u64)> = all["plans"]
        .as_array()
        .expect("plans")
        .iter()
        .map(|plan| (plan["service"].as_str().unwrap_or_default().to_owned(), plan["wave"].as_u64().unwrap_or(99)))
        .collect();
    let wave = |service: &str| waves.iter().find(|(name, _)| name == service).map(|(_, wave)| *wave);
    assert_eq!(wave("accounts"), wave("maip"), "{waves:?}");
    assert!(wave("accounts") < wave("orders") && wave("orders") < wave("front"), "{waves:?}");

    // Only what is named.
    rig.ctl(&["failover", "--to", NEW, "--service", "accounts", "--yes"]).await.expect(0);
    for (name, region) in [(ALIAS, NEW), (CNAME, NEW), (WEIGHTED, OLD), (PAIR, OLD)] {
        assert_eq!(rig.records(name).await, expected(name, region));
    }
    let from = plan(&["--from", OLD]).await.expect(0).json();
    assert_eq!(names(&from["plans"]).len(), 3, "{from}");
    assert_eq!(names(&from["skipped"]), ["accounts"], "{from}");
    let nothing = plan(&["--from", NEW]).await.expect(3);
    assert!(nothing.stderr.contains("it is active in us-east-1, not in us-west-2"), "{}", nothing.stderr);
    let twice = rig.ctl(&["failover", "--to", NEW, "--service", "accounts", "--service", "orders", "--yes"]).await;
    assert!(twice.expect(3).stderr.contains("accounts"));

    // The rest, each after what it stands on.
    let said = rig.ctl(&["--json", "failover", "--to", NEW, "--yes"]).await.expect(0);
    let moved = said.json();
    assert_eq!(names(&moved["skipped"]), ["accounts"], "{moved}");
    assert!(moved["skipped"][0]["reason"].as_str().is_some_and(|why| why.contains("active in us-west-2 already")));
    let run = |service: &str| {
        let runs = moved["runs"].as_array().expect("runs");
        runs.iter().find(|run| run["service"] == service).cloned().unwrap_or_else(|| panic!("{service}: {moved}"))
    };
    let (began, ended) =
        (|service: &str| run(service)["started_at"].as_u64(), |service: &str| run(service)["ended_at"].as_u64());
    assert!(began("maip").is_some() && ended("front").is_some(), "{moved}");
    assert!(ended("maip") <= began("orders") && ended("orders") <= began("front"), "{moved}");
    for name in [ALIAS, CNAME, WEIGHTED, PAIR] {
        assert_eq!(rig.records(name).await, expected(name, NEW));
    }
    assert!(rig.writes(NEW).await && !rig.writes(OLD).await);

    // A multi-writer service goes back as it came; the database stays.
    let back = ["--service", "accounts", "--service", "orders", "--service", "front", "--yes"];
    rig.ctl(&[&["failover", "--to", OLD], &back[..]].concat()).await.expect(0);
    for name in [ALIAS, CNAME, WEIGHTED, PAIR] {
        assert_eq!(rig.records(name).await, expected(name, OLD));
    }
    assert!(rig.writes(NEW).await && !rig.writes(OLD).await);
    rig.ctl(&["audit", "verify"]).await.expect(0);
}

#[tokio::test]
async fn a_wave_that_is_held_lets_no_later_one_begin_and_an_abort_puts_it_back() {
    let rig = raise().await;
    let foreign = Foreign::new(&rig).await;
    foreign.remove_token(&rig, WEIGHTED).await;
    let said = rig
        .ctl(&["--json", "failover", "--to", NEW, "--service", "orders", "--service", "front", "--yes"])
        .await
        .expect(6);
    let held = said.json();
    assert_eq!(held["not_started"], json!(["front"]), "{held}");
    assert!(said.stderr.contains("not started, since an earlier wave is not done: front"), "{}", said.stderr);
    let id = held["runs"][0]["run"].as_str().expect("a run").parse().expect("its name");
    let run = rig.mesh().run(&id).await.expect("the run");
    assert!(matches!(&run.state, RunState::Held { need: Need::Decision { .. }, .. }), "{:?}", run.state);
    assert_eq!(rig.records(WEIGHTED).await, expected(WEIGHTED, OLD));

    // Nothing was changed, so an abort has nothing to fear; then the token is set up again and the service moves.
    rig.ctl(&["abort", id.as_str(), "--reason", "the token is gone", "--yes"]).await.expect(0);
    let ended = rig.until_settled(&id).await;
    assert_eq!(ended.state, RunState::Compensated, "{}", mesh_suite::rig::describe(&ended));
    rig.ctl(&["traffic", "setup", "--service", "orders", "--yes"]).await.expect(0);
    rig.ctl(&["failover", "--to", NEW, "--service", "orders", "--service", "front", "--yes"]).await.expect(0);
    assert_eq!(rig.records(WEIGHTED).await, expected(WEIGHTED, NEW));
    assert_eq!(rig.records(PAIR).await, expected(PAIR, NEW));
}
