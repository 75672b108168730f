//! A real PostgreSQL pair through the whole mesh: coordinators, agents, servers, proxies and applications in regions far
//! apart. What an application was told is written stays written through a planned move and back; when a region is lost, the
//! service moves by itself; and never do two regions take writes.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper that finds something else fails its test")]

use std::time::{Duration, Instant};

use mesh_core::ids::RunId;
use mesh_core::run::{Cause, Run, RunState};
use mesh_suite::orders::{Orders, PRIMARY, STANDBY, Setting};
use mesh_suite::rig::describe;
use mesh_support::postgres::{Pair, Server, Written};
use meshctl::demo::child::Programs;

const FAR: [Duration; 3] = [Duration::from_millis(60), Duration::from_millis(100), Duration::from_millis(150)];
const SETTLES_WITHIN: Duration = Duration::from_secs(120);
/// Written after each move.
const WRITES: usize = 50;

async fn raise(automatic: &'static str) -> Option<Orders> {
    if let Some(reason) = Orders::skip_reason() {
        eprintln!("SKIPPED: {reason}");
        return None;
    }
    let programs = Programs::beside(&mesh_suite::binaries().join("meshctl")).expect("the programs are built");
    let setting = Setting { round_trips: FAR, automatic, terms: Default::default(), fsync: false };
    Some(Orders::raise(&programs, &setting).await.unwrap_or_else(|why| panic!("{why}")))
}

async fn done(orders: &Orders, run: &RunId) -> Run {
    let run = orders.until_settled(run, SETTLES_WITHIN).await.unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(run.state, RunState::Done, "{}", describe(&run));
    run
}

/// Moves it as a person would, and waits until the new region has taken some writes.
async fn move_to(orders: &Orders, from: &str, to: &str) {
    let before = orders.application(to).writer.acknowledged().0.len();
    let began = Instant::now();
    orders.ctl(&["failover", "--to", to, "--yes"]).await.unwrap_or_else(|why| panic!("{why}"));
    orders.application(to).writer.until(|written| written.len() >= before + WRITES).await;
    let first = orders.application(to).first_after(began).expect("it was written there");
    let last = orders.application(from).last().expect("it was written there before");
    assert!(last < first, "OneWriter: {from} took a write {:?} after {to} had begun", last.duration_since(first));
}

async fn missing(acknowledged: &Written, server: &Server) -> Vec<u64> {
    let held = Pair::written(server).await;
    acknowledged.0.difference(&held.0).copied().collect()
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_planned_move_and_the_way_back() {
    let Some(orders) = raise("off").await else { return };
    move_to(&orders, PRIMARY, STANDBY).await;
    let there = orders.application(PRIMARY).writer.acknowledged();
    assert_eq!(missing(&there, &orders.pair.replica).await, [0u64; 0], "acknowledged in {PRIMARY}, not in {STANDBY}");
    orders.ctl(&["rejoin", PRIMARY, "--yes"]).await.unwrap_or_else(|why| panic!("{why}"));
    orders.until_well().await.unwrap_or_else(|why| panic!("{why}"));
    move_to(&orders, STANDBY, PRIMARY).await;
    let mut all = orders.application(STANDBY).writer.acknowledged();
    all.0.extend(there.0);
    assert_eq!(missing(&all, &orders.pair.primary).await, [0u64; 0], "acknowledged, and not there after the way back");
    orders.ctl(&["rejoin", STANDBY, "--yes"]).await.unwrap_or_else(|why| panic!("{why}"));
    orders.ctl(&["audit", "verify"]).await.unwrap_or_else(|why| panic!("{why}"));
}

#[tokio::test]
async fn a_lost_region_s_database_moves_by_itself_and_its_own_writers_stop_before() {
    let Some(orders) = raise("full").await else { return };
    orders.lead_from(PRIMARY).await.unwrap_or_else(|why| panic!("{why}"));
    orders.until_well().await.unwrap_or_else(|why| panic!("{why}"));
    let before = orders.application(PRIMARY).writer.acknowledged();
    let cut = Instant::now();
    orders.isolate(PRIMARY);
    orders.application(STANDBY).writer.until(|written| written.len() >= WRITES).await;
    assert!(orders.stopped(PRIMARY) > 0, "the cut met nothing");
    let first = orders.application(STANDBY).first().expect("it was written there");
    let last = orders.application(PRIMARY).last().expect("it was written there before");
    assert!(last > cut, "nobody wrote in the lost region: that it stopped would show nothing");
    assert!(
        last < first,
        "OneWriter: {PRIMARY} took a write {:?} after {STANDBY} had begun",
        last.duration_since(first)
    );
    let run = orders.newest_run().await.expect("it moved");
    let run = done(&orders, &run).await;
    assert!(matches!(run.cause, Cause::Automatic { .. }), "{:?}", run.cause);
    let lost = missing(&before, &orders.pair.replica).await;
    // What was on its way when the region was cut off; an application writes a row every 5 ms.
    assert!(lost.len() < 50, "{} of {} writes before the cut are missing", lost.len(), before.0.len());
    let held = Pair::written(&orders.pair.replica).await;
    assert!(
        !orders.application(STANDBY).writer.acknowledged().0.is_disjoint(&held.0),
        "the new primary has its writes"
    );
}
