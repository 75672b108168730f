//! The rows of docs/failure-model.md in which the primary's region is lost, in part or whole, between regions that are far
//! apart: the service moves by itself and only one region ever writes, or nothing happens at all.
//!
//! `make test` runs one of them; `MESH_SOAK_ROWS=all` runs the others, too.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper that finds something else fails its test")]

use std::time::{Duration, Instant};

use mesh_core::run::{Cause, RunState};
use mesh_runtime::client::CallLimits;
use mesh_suite::Wide;
use mesh_suite::fault::Fault;
use mesh_suite::rig::{LONG, describe};
use mesh_suite::wide::{FAR, PRIMARY, Part, STANDBY, WITNESS, around, around_part, fenced, policy};
use meshctl::demo::maip::SERVICE;
use meshctl::demo::verdict::writers_max;
use meshctl::demo::writers::Writers;

const SUSTAINED: Duration = Duration::from_secs(3);
/// Several times as long: what has not begun by then is not about to.
const QUIET: Duration = Duration::from_secs(15);
/// Written before anything is broken, so that a second writer would be seen.
const WARM_WRITES: usize = 50;
const POLL: Duration = Duration::from_millis(100);
const ASK: CallLimits = CallLimits { per_try: Duration::from_secs(2), total: Duration::from_secs(4) };

/// A mesh that moves by itself, whose clients write to both databases, as far as they may.
async fn raise() -> Option<(Wide, Writers)> {
    let wide = Wide::raise(FAR, |ready| policy(ready, &fenced("full", SUSTAINED))).await?;
    wide.rig
        .until_judged(SERVICE, "every region is healthy", |judged| {
            judged["regions"].as_object().is_some_and(|all| all.values().all(|one| one["verdict"] == "healthy"))
        })
        .await;
    let databases: Vec<(String, String)> =
        wide.databases().into_iter().map(|(_, region, address)| (region, address)).collect();
    let writers = Writers::start_asking(&databases, &wide.rig.stand.leases);
    until_written(&writers, PRIMARY, WARM_WRITES).await;
    Some((wide, writers))
}

async fn until_written(writers: &Writers, region: &str, count: usize) {
    let deadline = Instant::now() + LONG;
    while writers.accepted_in(region) < count {
        assert!(Instant::now() < deadline, "{region} took {} writes", writers.accepted_in(region));
        tokio::time::sleep(POLL).await;
    }
}

/// It moves by itself, and never do both regions take writes.
async fn assert_moves(wide: &Wide, writers: Writers) {
    let run = wide.rig.until_failover(SERVICE, 1).await;
    let done = wide.rig.until_settled(&run).await;
    assert_eq!(done.state, RunState::Done, "{}", describe(&done));
    assert!(matches!(done.cause, Cause::Automatic { .. }), "{:?}", done.cause);
    until_written(&writers, STANDBY, WARM_WRITES).await;
    let accepted = writers.stop().await;
    assert_eq!(writers_max(&accepted, PRIMARY, STANDBY), Some(1), "OneWriter");
}

fn soaked(row: &str) -> bool {
    let soaked = std::env::var_os("MESH_SOAK_ROWS").is_some();
    if !soaked {
        eprintln!("not part of `make test`: {row}; MESH_SOAK_ROWS=all runs it");
    }
    soaked
}

#[tokio::test]
async fn an_isolated_primary_stops_writing_and_the_service_moves() {
    let Some((wide, writers)) = raise().await else { return };
    wide.rig.lead_from(PRIMARY).await;
    let broken = wide.begin(Fault::Cut(|| around(PRIMARY))).await;
    assert_moves(&wide, writers).await;
    assert!(wide.fired(&broken) > 0, "the cut met nothing");
    wide.mend(&broken);
    wide.rig.until_whole().await;
    wide.rig.until_replicas_agree().await;
    assert_eq!(wide.rig.failovers(SERVICE).await.len(), 1, "it moved again when the region came back");
    wide.rig.ctl(&["audit", "verify"]).await.expect(0);
}

#[tokio::test]
async fn a_primary_whose_workload_nobody_reaches_is_fenced_and_the_service_moves() {
    if !soaked("the primary's workload is cut off") {
        return;
    }
    let Some((wide, writers)) = raise().await else { return };
    let broken = wide.begin(Fault::Cut(|| around_part(PRIMARY, Part::Workload))).await;
    assert_moves(&wide, writers).await;
    assert!(wide.fired(&broken) > 0, "the cut met nothing");
}

#[tokio::test]
async fn the_leader_s_region_is_lost_and_the_service_moves() {
    if !soaked("the leader's region is lost") {
        return;
    }
    let Some((mut wide, writers)) = raise().await else { return };
    wide.rig.lead_from(PRIMARY).await;
    wide.rig.lose(PRIMARY).await;
    assert_moves(&wide, writers).await;
}

#[tokio::test]
async fn two_regions_are_lost_and_nothing_outside_is_changed() {
    if !soaked("two regions are lost") {
        return;
    }
    let Some((mut wide, _writers)) = raise().await else { return };
    let before = wide.rig.applied().await;
    for region in [PRIMARY, WITNESS] {
        wide.rig.lose(region).await;
    }
    tokio::time::sleep(QUIET).await;
    assert_eq!(wide.rig.applied().await, before, "something outside was changed without a quorum");
    let alone = wide.rig.mesh_at(&wide.coordinator(STANDBY)).with_limits(ASK);
    assert!(alone.status(false).await.is_err(), "one of three tells what the mesh is");
    assert!(alone.status(true).await.expect("it tells what it knows").stale);
}
