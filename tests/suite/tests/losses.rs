//! The rows of docs/failure-model.md in which the primary's region is lost, in part or whole, or the quorum is, between
//! regions that are far apart: the service moves by itself once and only one region ever writes, or nothing happens at all.
//!
//! `make test` runs one of them; `MESH_SOAK_ROWS=all` runs the others, too.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper that finds something else fails its test")]

use std::time::{Duration, Instant};

use mesh_core::run::{Cause, RunState};
use mesh_runtime::client::CallLimits;
use mesh_suite::Wide;
use mesh_suite::fault::Fault;
use mesh_suite::rig::describe;
use mesh_suite::wide::{
    FAR, PRIMARY, Part, REGIONS, STANDBY, WITNESS, among_coordinators, around, around_part, fenced, into, out_of,
    policy,
};
use mesh_suite::writing::{WRITES, until_written};
use meshctl::demo::maip::SERVICE;
use meshctl::demo::verdict::writers_max;
use meshctl::demo::writers::Writers;

const SUSTAINED: Duration = Duration::from_secs(3);
/// Several times as long: what has not begun by then is not about to.
const QUIET: Duration = Duration::from_secs(15);
/// The policy's default, and a period of flapping that is longer.
const SUSTAINED_BY_DEFAULT: Duration = Duration::from_secs(30);
const SLOW_FLAP: Duration = Duration::from_secs(43);
const ASK: CallLimits = CallLimits { per_try: Duration::from_secs(2), total: Duration::from_secs(4) };

const fn all(ms: u64) -> [Duration; 3] {
    [Duration::from_millis(ms); 3]
}

/// A way to lose the primary.
struct Loss {
    name: &'static str,
    fault: Fault,
    /// Who leads when it begins.
    leader: &'static str,
    round_trips: [Duration; 3],
    sustained: Duration,
}

const fn loss(name: &'static str, fault: Fault) -> Loss {
    Loss { name, fault, leader: PRIMARY, round_trips: FAR, sustained: SUSTAINED }
}

impl Loss {
    const fn led_from(mut self, region: &'static str) -> Self {
        self.leader = region;
        self
    }

    const fn at(mut self, ms: u64) -> Self {
        self.round_trips = all(ms);
        self
    }

    const fn sustained(mut self, time: Duration) -> Self {
        self.sustained = time;
        self
    }
}

const ISOLATED: Loss = loss("the primary's region is isolated", Fault::Cut(|| around(PRIMARY)));

const OTHERS: &[Loss] = &[
    loss("the primary's region is isolated, at 60 ms", Fault::Cut(|| around(PRIMARY))).at(60),
    loss("the primary's region is isolated, at 100 ms", Fault::Cut(|| around(PRIMARY))).at(100).led_from(STANDBY),
    loss("the primary's region is isolated, at 150 ms", Fault::Cut(|| around(PRIMARY))).at(150).led_from(WITNESS),
    loss("nothing leaves the primary's region", Fault::Cut(|| out_of(PRIMARY))),
    loss("nothing comes to the primary's region", Fault::Cut(|| into(PRIMARY))),
    loss("the primary's workload is cut off", Fault::Cut(|| around_part(PRIMARY, Part::Workload))),
    loss("the primary flaps at 43 s", Fault::Flaps(|| around(PRIMARY), SLOW_FLAP))
        .led_from(WITNESS)
        .sustained(SUSTAINED_BY_DEFAULT),
];

/// A mesh that moves by itself, whose clients write to both databases, as far as they may.
async fn raise(round_trips: [Duration; 3], sustained: Duration) -> Option<(Wide, Writers)> {
    let wide = Wide::raise(round_trips, |ready| policy(ready, &fenced("full", sustained))).await?;
    wide.until_every_region_is_healthy().await;
    let writers = wide.writers().await;
    Some((wide, writers))
}

/// It moves by itself, and never do both regions take writes.
async fn assert_moves(wide: &Wide, writers: Writers) {
    let run = wide.rig.until_failover(SERVICE, 1).await;
    let done = wide.rig.until_settled(&run).await;
    assert_eq!(done.state, RunState::Done, "{}", describe(&done));
    assert!(matches!(done.cause, Cause::Automatic { .. }), "{:?}", done.cause);
    until_written(&writers, STANDBY, WRITES).await;
    let accepted = writers.stop().await;
    assert_eq!(writers_max(&accepted, PRIMARY, STANDBY), Some(1), "OneWriter");
}

async fn assert_moves_once(loss: &Loss) {
    let Some((wide, writers)) = raise(loss.round_trips, loss.sustained).await else { return };
    wide.rig.lead_from(loss.leader).await;
    let began = Instant::now();
    let broken = wide.begin(loss.fault).await;
    wide.hold(&broken, Duration::ZERO).await;
    assert_moves(&wide, writers).await;
    let fired = wide.fired(&broken);
    assert!(fired > 0, "{}: the cut met nothing", loss.name);
    wide.mend(&broken);
    wide.rig.until_whole().await;
    wide.rig.until_replicas_agree().await;
    assert_eq!(wide.rig.failovers(SERVICE).await.len(), 1, "{}: it moved again when the region came back", loss.name);
    wide.rig.ctl(&["audit", "verify"]).await.expect(0);
    eprintln!("{}: the fault met {fired}; {:?} in all", loss.name, began.elapsed());
}

fn soaked(row: &str) -> bool {
    let soaked = std::env::var("MESH_SOAK_ROWS").is_ok_and(|rows| rows == "all" || rows.contains(row));
    if !soaked {
        eprintln!("not part of `make test`: {row}; MESH_SOAK_ROWS=all runs it");
    }
    soaked
}

#[tokio::test]
async fn an_isolated_primary_stops_writing_and_the_service_moves() {
    assert_moves_once(&ISOLATED).await;
}

#[tokio::test]
async fn however_else_the_primary_is_lost_the_service_moves_once() {
    for loss in OTHERS {
        if soaked(loss.name) {
            assert_moves_once(loss).await;
        }
    }
}

#[tokio::test]
async fn the_leader_s_region_is_lost_and_the_service_moves() {
    if !soaked("the leader's region is lost") {
        return;
    }
    let Some((mut wide, writers)) = raise(FAR, SUSTAINED).await else { return };
    wide.rig.lead_from(PRIMARY).await;
    wide.rig.lose(PRIMARY).await;
    assert_moves(&wide, writers).await;
}

type Effects = std::collections::BTreeMap<(String, String), usize>;

/// Nobody has a quorum: no second region writes, nobody says what the mesh is, and nothing outside is changed.
async fn assert_nothing_moves(wide: &Wide, writers: Writers, alive: &[&str], before: &Effects) {
    tokio::time::sleep(QUIET).await;
    assert_eq!(wide.rig.applied().await, *before, "something outside was changed without a quorum");
    for region in alive {
        let alone = wide.rig.mesh_at(&wide.coordinator(region)).with_limits(ASK);
        assert!(alone.status(false).await.is_err(), "{region}: one of three tells what the mesh is");
        assert!(alone.status(true).await.expect("it tells what it knows").stale);
    }
    let accepted = writers.stop().await;
    assert!(accepted.iter().all(|write| write.region == PRIMARY), "OneWriter");
}

#[tokio::test]
async fn two_regions_are_lost_and_nothing_outside_is_changed() {
    for (lost, alive) in [([PRIMARY, WITNESS], STANDBY), ([STANDBY, WITNESS], PRIMARY)] {
        if !soaked(&format!("{} and {} are lost", lost[0], lost[1])) {
            continue;
        }
        let Some((mut wide, writers)) = raise(FAR, SUSTAINED).await else { return };
        let before = wide.rig.applied().await;
        for region in lost {
            wide.rig.lose(region).await;
        }
        assert_nothing_moves(&wide, writers, &[alive], &before).await;
    }
}

#[tokio::test]
async fn coordinators_that_do_not_reach_one_another_change_nothing_and_go_on_afterwards() {
    if !soaked("no coordinator reaches another") {
        return;
    }
    let Some((wide, writers)) = raise(FAR, SUSTAINED).await else { return };
    let before = wide.rig.applied().await;
    let broken = wide.begin(Fault::Cut(among_coordinators)).await;
    assert_nothing_moves(&wide, writers, &REGIONS, &before).await;
    assert!(wide.fired(&broken) > 0, "the cut met nothing");
    wide.mend(&broken);
    wide.rig.until_whole().await;
    wide.rig.until_replicas_agree().await;
    wide.until_every_region_is_healthy().await;
    assert!(wide.rig.failovers(SERVICE).await.is_empty(), "the service was moved");
    let _goes_on = wide.writers().await;
}
