//! The rows of docs/failure-model.md that must move nothing, though the service would move by itself: links are cut,
//! slowed or lossy, processes stand still; the mesh answers, says what it sees, and changes nothing outside. One mesh goes
//! through them one after the other.
//!
//! `make test` runs the rows that are marked so; `MESH_SOAK_ROWS=all`, or names of rows with commas between them, runs
//! others, each for longer.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::time::{Duration, Instant};

use mesh_runtime::client::CallLimits;
use mesh_suite::Wide;
use mesh_suite::fault::Fault;
use mesh_suite::rig::LONG;
use mesh_suite::wide::{
    DNS, Direction, FAR, PRIMARY, Part, REGIONS, STANDBY, WITNESS, around, around_part, both, directions, fenced,
    party, policy,
};
use meshctl::demo::maip::SERVICE;
use serde_json::Value;

/// The policy's `sustained`, and for how long a row is held, which is longer; in `make test`, and when rows are chosen.
const QUICK: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(8)];
const SOAK: [Duration; 2] = [Duration::from_secs(15), Duration::from_secs(25)];
const POLL: Duration = Duration::from_millis(200);
/// Longer than any answer of one that could answer, over the slowest link of these rows.
const ASK: CallLimits = CallLimits { per_try: Duration::from_secs(3), total: Duration::from_secs(6) };

struct Row {
    name: &'static str,
    fault: Fault,
    /// What may be said of the primary's region in the end.
    verdicts: &'static [&'static str],
    /// Where a coordinator has no quorum meanwhile.
    alone: Option<&'static str>,
    /// Part of `make test`.
    always: bool,
}

const fn row(name: &'static str, fault: Fault) -> Row {
    Row { name, fault, verdicts: &["healthy"], alone: None, always: false }
}

impl Row {
    const fn seen(mut self, verdicts: &'static [&'static str]) -> Self {
        self.verdicts = verdicts;
        self
    }

    const fn alone(mut self, region: &'static str) -> Self {
        self.alone = Some(region);
        self
    }

    const fn always(mut self) -> Self {
        self.always = true;
        self
    }
}

/// Some see it fail, and others see it well.
const DISPUTED: &[&str] = &["suspect"];
/// As it happens to look in the end.
const UNSTEADY: &[&str] = &["healthy", "suspect"];

const ROWS: &[Row] = &[
    row("the standby's region is isolated", Fault::Cut(|| around(STANDBY))).alone(STANDBY).always(),
    row("the witness's region is isolated", Fault::Cut(|| around(WITNESS))).alone(WITNESS),
    row("primary and standby are parted", Fault::Cut(|| both(directions(PRIMARY, STANDBY)))).seen(DISPUTED),
    row("primary and witness are parted", Fault::Cut(|| both(directions(PRIMARY, WITNESS)))).seen(DISPUTED),
    row("standby and witness are parted", Fault::Cut(|| both(directions(STANDBY, WITNESS)))),
    row("primary to standby is cut", Fault::Cut(|| directions(PRIMARY, STANDBY))).seen(DISPUTED).always(),
    row("standby to primary is cut", Fault::Cut(|| directions(STANDBY, PRIMARY))).seen(DISPUTED),
    row("primary to witness is cut", Fault::Cut(|| directions(PRIMARY, WITNESS))).seen(DISPUTED),
    row("witness to primary is cut", Fault::Cut(|| directions(WITNESS, PRIMARY))).seen(DISPUTED),
    row("standby to witness is cut", Fault::Cut(|| directions(STANDBY, WITNESS))),
    row("witness to standby is cut", Fault::Cut(|| directions(WITNESS, STANDBY))),
    row("the primary's coordinator is cut off", Fault::Cut(|| around_part(PRIMARY, Part::Coordinator))).alone(PRIMARY),
    row("the primary's agents are cut off", Fault::Cut(|| around_part(PRIMARY, Part::Agents))),
    row("the standby's workload is cut off", Fault::Cut(|| around_part(STANDBY, Part::Workload))),
    row("the primary flaps at 1 s", Fault::Flaps(|| around(PRIMARY), Duration::from_secs(1))).seen(UNSTEADY),
    row("the primary flaps at 10 s", Fault::Flaps(|| around(PRIMARY), Duration::from_secs(10))).seen(UNSTEADY),
    row("the primary's links are slow", Fault::Slow(|| around(PRIMARY), Duration::from_millis(100))),
    row("the primary's links lose a tenth", Fault::Lossy(|| around(PRIMARY), 100)).seen(UNSTEADY),
    row("the primary's agents have no name server", Fault::Cut(|| no_names(&[PRIMARY]))),
    row("no agent has a name server", Fault::Cut(|| no_names(&REGIONS))),
    row("the primary's agents stand still", Fault::Stopped(|wide, _| wide.processes(PRIMARY).split_off(1))),
    row("the leader stands still", Fault::Stopped(|_, leader| vec![leader.to_owned()])),
];

fn no_names(regions: &[&str]) -> Vec<Direction> {
    both(regions.iter().map(|region| (party(region, Part::Agents), DNS.to_owned())).collect())
}

/// Which rows, the policy's `sustained`, and how long each is held.
fn chosen() -> (Vec<&'static Row>, [Duration; 2]) {
    let named = |names: &str| {
        let find = |name: &str| ROWS.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name:?}"));
        names.split(',').map(|name| find(name.trim())).collect()
    };
    match std::env::var("MESH_SOAK_ROWS").as_deref() {
        Err(_) => (ROWS.iter().filter(|row| row.always).collect(), QUICK),
        Ok("all") => (ROWS.iter().collect(), SOAK),
        Ok(names) => (named(names), SOAK),
    }
}

async fn assert_seen(wide: &Wide, row: &Row) {
    let of = |judged: &Value| judged["regions"][PRIMARY]["verdict"].as_str().unwrap_or_default().to_owned();
    let what = format!("{}: {:?} of {PRIMARY}", row.name, row.verdicts);
    wide.rig.until_judged(SERVICE, &what, |judged| row.verdicts.contains(&of(judged).as_str())).await;
}

/// Whoever has a quorum answers; whoever has none says nothing but what it calls stale.
async fn assert_answers(wide: &Wide, row: &Row) {
    let deadline = Instant::now() + LONG;
    while let Err(failure) = wide.rig.mesh().with_limits(ASK).status(false).await {
        assert!(Instant::now() < deadline, "{}: nobody answers: {failure}", row.name);
        tokio::time::sleep(POLL).await;
    }
    let Some(region) = row.alone else { return };
    let alone = wide.rig.mesh_at(&wide.coordinator(region)).with_limits(ASK);
    assert!(alone.status(false).await.is_err(), "{}: one without a quorum tells what the mesh is", row.name);
    let stale = alone.status(true).await;
    let stale = stale.unwrap_or_else(|failure| panic!("{}: it says nothing at all: {failure}", row.name));
    assert!(stale.stale, "{}: what it knows by itself is no truth", row.name);
}

#[tokio::test]
async fn what_is_no_loss_of_the_primary_moves_nothing() {
    let (rows, [sustained, hold]) = chosen();
    let raised = Wide::raise(FAR, |ready| policy(ready, &fenced("full", sustained))).await;
    let Some(wide) = raised else { return };
    let before = wide.rig.applied().await;
    for row in rows {
        wide.rig.lead_from(WITNESS).await;
        let began = Instant::now();
        let broken = wide.begin(row.fault).await;
        wide.hold(&broken, hold).await;
        assert_answers(&wide, row).await;
        assert_seen(&wide, row).await;
        let fired = wide.fired(&broken);
        assert!(fired > 0, "{}: the fault met nothing", row.name);
        wide.mend(&broken);
        wide.rig.until_whole().await;
        wide.rig.until_replicas_agree().await;
        assert_eq!(wide.rig.failovers(SERVICE).await, [], "{}: the service was moved", row.name);
        assert_eq!(wide.rig.applied().await, before, "{}: something outside was changed", row.name);
        assert!(wide.rig.writes(PRIMARY).await && !wide.rig.writes(STANDBY).await, "{}: who writes", row.name);
        eprintln!("{}: the fault met {fired}; {:?} in all", row.name, began.elapsed());
    }
    wide.rig.ctl(&["audit", "verify"]).await.expect(0);
}
