//! Losing the coordinators alone stops nothing: agents of the other regions promise to want nothing newer, and the writer's
//! region goes on for as long as all of them can be asked.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::time::{Duration, Instant};

use mesh_suite::Wide;
use mesh_suite::fault::Fault;
use mesh_suite::rig::LONG;
use mesh_suite::wide::{FAR, PRIMARY, STANDBY, WITNESS, around, fenced, policy};
use meshctl::demo::writers::Writers;
use serde_json::Value;

/// Of the policy, which asks for nothing here.
const SUSTAINED: Duration = Duration::from_secs(10);
/// Longer than a lease of five seconds can last, with all that the leader would add to its wait.
const BEYOND_THE_LEASE: Duration = Duration::from_secs(12);
const POLL: Duration = Duration::from_millis(100);
/// Of the region's two clients: one write each that was on its way.
const LATE_MAX: usize = 2;
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// What the lease endpoint of one agent says: the HTTP status, and the body's `state`.
async fn ask(http: &reqwest::Client, url: &str) -> (u16, String) {
    let answer = http.get(url).send().await.unwrap_or_else(|error| panic!("GET {url}: {error}"));
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_else(|error| panic!("GET {url}: {error}"));
    (status, body["state"].as_str().unwrap_or_default().to_owned())
}

/// Until every agent of the region says so.
async fn until(http: &reqwest::Client, wide: &Wide, region: &str, status: u16, state: &str) {
    let deadline = Instant::now() + LONG;
    for url in &wide.rig.stand.leases[region] {
        loop {
            let said = ask(http, url).await;
            if said == (status, state.to_owned()) {
                break;
            }
            assert!(Instant::now() < deadline, "{url} never came to {status} {state:?}: {said:?}");
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The clients of the region have written meanwhile.
async fn until_more_is_written(writers: &Writers, region: &str) {
    let (before, deadline) = (writers.accepted_in(region), Instant::now() + LONG);
    while writers.accepted_in(region) <= before {
        assert!(Instant::now() < deadline, "nothing more is written in {region}");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn without_coordinators_a_region_writes_on_while_every_other_region_promises() {
    let Some(mut wide) = Wide::raise(FAR, |ready| policy(ready, &fenced("off", SUSTAINED))).await else { return };
    let http = reqwest::Client::builder().timeout(ASK_WITHIN).no_proxy().build().expect("an HTTP client");
    until(&http, &wide, PRIMARY, 200, "lease").await;
    until(&http, &wide, STANDBY, 503, "none").await;
    let databases: Vec<(String, String)> =
        wide.databases().into_iter().map(|(_, region, address)| (region, address)).collect();
    let writers = Writers::start_asking(&databases, &wide.rig.stand.leases);
    until_more_is_written(&writers, PRIMARY).await;
    // The newest ask list has reached the agents with one of the renewals, which come every second.
    tokio::time::sleep(BEYOND_THE_LEASE / 2).await;

    for node in 1..=3 {
        wide.rig.kill(&format!("coordinator-{node}"));
    }
    tokio::time::sleep(BEYOND_THE_LEASE).await;
    until(&http, &wide, PRIMARY, 200, "hold").await;
    until_more_is_written(&writers, PRIMARY).await;
    until(&http, &wide, STANDBY, 503, "none").await;

    // One region of those that are asked is enough: without its promise somebody may want something newer.
    for cut in [Fault::Cut(|| around(WITNESS)), Fault::Cut(|| around(STANDBY))] {
        let broken = wide.begin(cut).await;
        until(&http, &wide, PRIMARY, 503, "none").await;
        let written = writers.accepted_in(PRIMARY);
        tokio::time::sleep(BEYOND_THE_LEASE / 2).await;
        until(&http, &wide, PRIMARY, 503, "none").await;
        // A write that had its yes before the end may be answered after it.
        let late = writers.accepted_in(PRIMARY) - written;
        assert!(late <= LATE_MAX, "{late} writes were accepted after the endpoint had said no");
        assert!(wide.fired(&broken) > 0, "the cut met nothing");
        wide.mend(&broken);
        until(&http, &wide, PRIMARY, 200, "hold").await;
        until_more_is_written(&writers, PRIMARY).await;
    }

    for node in 1..=3 {
        wide.rig.restart(&format!("coordinator-{node}"));
    }
    until(&http, &wide, PRIMARY, 200, "lease").await;
    wide.rig.until_whole().await;
    until_more_is_written(&writers, PRIMARY).await;
    assert_eq!(writers.accepted_in(STANDBY), 0, "the standby's region wrote");
}
