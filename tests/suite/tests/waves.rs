//! The loss of a region moves its services by themselves, those first on which others depend; and what is held back there
//! holds back the rest.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::time::Duration;

use mesh_core::run::{Cause, Run, RunState};
use mesh_suite::Rig;
use mesh_suite::by_itself::{blocking, policy};
use mesh_suite::foreign::{Foreign, ZONE, set};
use mesh_suite::rig::describe;
use meshctl::demo::maip::NEW;
use meshctl::demo::region_loss::LOST;
use serde_json::Value;

/// Several times the policy's `sustained`: what has not begun by then is not about to.
const QUIET: Duration = Duration::from_secs(8);
/// `front` stands on the two others.
const SERVICES: [(&str, &str); 3] = [("accounts", "[]"), ("orders", "[]"), ("front", "[accounts, orders]")];

fn record(service: &str) -> String {
    format!("{service}.maip.example.com")
}

fn manifest(rig: &Rig, service: &str, needs: &str) -> String {
    let apps = &rig.stand.ready.apps;
    let urls: String = apps.iter().map(|(region, address)| format!("        {region}: http://{address}/\n")).collect();
    let active: String = [LOST, NEW]
        .map(|region| format!("      {region}: [{{ type: CNAME, ttl: 30s, values: [{region}.example.net] }}]\n"))
        .concat();
    format!(
        "apiVersion: mesh/v1\nservice: {service}\nwriter: multi\nregions: {{ {LOST}: primary, {NEW}: standby }}\n\
         depends-on: {needs}\nobjectives: {{ rto: 2m, rpo: 0s }}\nchecks:\n  - name: app\n    http:\n      urls:\n{urls}    \
         interval: 1s\n    timeout: 1s\n    fail-after: 2\n    pass-after: 2\ntraffic:\n  - name: www\n    zone-id: {ZONE}\n    \
         record: {}\n    active:\n{active}{}",
        record(service),
        policy("full")
    )
}

async fn raise() -> Rig {
    let rig = Rig::raise_by_itself("").await;
    let foreign = Foreign::new(&rig).await;
    for (service, needs) in SERVICES {
        let records = set(&record(service), aws_sdk_route53::types::RrType::Cname);
        foreign.upsert(records.values(30, &[&format!("{LOST}.example.net")]).build()).await;
        rig.adopt(service, &manifest(&rig, service, needs)).await;
        rig.ctl(&["traffic", "setup", "--service", service, "--yes"]).await.expect(0);
    }
    for (service, _) in SERVICES {
        rig.until_judged(service, "every region is healthy", |judged| {
            judged["regions"].as_object().is_some_and(|all| all.values().all(|one| one["verdict"] == "healthy"))
        })
        .await;
    }
    rig
}

async fn moved(rig: &Rig, service: &str) -> Run {
    let run = rig.until_failover(service, 1).await;
    let done = rig.until_settled(&run).await;
    assert_eq!(done.state, RunState::Done, "{}", describe(&done));
    assert!(matches!(done.cause, Cause::Automatic { .. }), "{:?}", done.cause);
    done
}

fn rule(judged: &Value, name: &str) -> String {
    let rules = judged["rules"].as_array().cloned().unwrap_or_default();
    let found = rules.iter().find(|rule| rule["rule"] == name);
    found.and_then(|rule| rule["text"].as_str()).unwrap_or_else(|| panic!("no rule {name}: {judged}")).to_owned()
}

#[tokio::test]
async fn what_others_depend_on_leaves_a_lost_region_first_and_a_blocked_first_wave_blocks_the_second() {
    let mut rig = raise().await;
    rig.ctl(&["freeze", "accounts", "--for", "30m", "--reason", "its tables are being rebuilt"]).await.expect(0);
    rig.lose(LOST).await;

    let orders = moved(&rig, "orders").await;
    let judged = rig
        .until_judged("front", "down, and waiting for accounts", |judged| {
            judged["regions"][LOST]["verdict"] == "down" && blocking(judged) == ["order"]
        })
        .await;
    assert_eq!(judged["conclusion"], "blocked", "{judged}");
    let why = rule(&judged, "order");
    assert!(why.contains("accounts") && why.contains("has not moved"), "{why}");
    let said = rig.ctl(&["why-not", "front"]).await.expect(0);
    assert!(said.stdout.contains("accounts, which it depends on"), "{}", said.stdout);
    let first = rig.until_judged("accounts", "frozen", |judged| blocking(judged) == ["freeze"]).await;
    assert!(rule(&first, "freeze").contains("its tables are being rebuilt"), "{first}");
    tokio::time::sleep(QUIET).await;
    assert!(rig.failovers("front").await.is_empty(), "it moved before what it depends on");
    assert!(rig.failovers("accounts").await.is_empty(), "it moved though it is frozen");

    rig.ctl(&["unfreeze", "accounts"]).await.expect(0);
    let accounts = moved(&rig, "accounts").await;
    let front = moved(&rig, "front").await;
    for first in [&orders, &accounts] {
        let ended = first.ended_at.expect("it is done");
        assert!(front.started_at >= ended, "{} began before {} had ended", front.id, first.id);
    }
    rig.ctl(&["audit", "verify"]).await.expect(0);
}

#[tokio::test]
async fn a_lost_region_s_services_move_in_two_waves_without_a_command() {
    let mut rig = raise().await;
    rig.lose(LOST).await;
    let first = [moved(&rig, "accounts").await, moved(&rig, "orders").await];
    let front = moved(&rig, "front").await;
    for one in &first {
        assert!(
            front.started_at >= one.ended_at.expect("it is done"),
            "{} began before {} had ended",
            front.id,
            one.id
        );
    }
}
