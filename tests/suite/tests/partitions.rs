//! The rows of docs/failure-model.md that must move nothing, though the service would move by itself: links are cut,
//! slowed or lossy, processes stand still; the mesh answers, says what it sees, and changes nothing outside.
//!
//! `make test` runs the rows that are marked so, one mesh going through them one after the other; `MESH_SOAK_ROWS=all`, or
//! names of rows with semicolons between them, runs others, each for longer, and each with a mesh of its own: agents remember
//! for minutes what has alternated. Clients write all the time, where the lease endpoint lets them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::time::{Duration, Instant};

use mesh_runtime::client::CallLimits;
use mesh_suite::Wide;
use mesh_suite::by_itself::blocking;
use mesh_suite::clocks::{self, Clocks};
use mesh_suite::fault::{Broken, Fault};
use mesh_suite::rig::LONG;
use mesh_suite::wide::{
    AWS, DNS, FAR, PRIMARY, Part, REGIONS, STANDBY, WITNESS, around, around_agents, around_part, both, directions,
    fenced, policy_by_name,
};
use mesh_suite::writing::{Question, WRITES, assert_nothing_is_written, until_written};
use meshctl::demo::maip::SERVICE;
use meshctl::demo::writers::Writers;
use serde_json::Value;

/// The policy's `sustained`, and for how long a row is held, which is longer than that and than a lease; in `make test`,
/// and when rows are chosen.
const QUICK: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(8)];
const SOAK: [Duration; 2] = [Duration::from_secs(15), Duration::from_secs(25)];
const POLL: Duration = Duration::from_millis(200);
/// Longer than any answer of one that could answer, over the slowest link of these rows.
const ASK: CallLimits = CallLimits { per_try: Duration::from_secs(3), total: Duration::from_secs(6) };
/// Questions to an agent that has woken up and hears nobody.
const QUESTIONS: usize = 10;
/// Of a clock, either way: longer than any wait of the mesh, shorter than a certificate's life.
const STEP_SECONDS: i64 = 600;

struct Row {
    name: &'static str,
    fault: Fault,
    /// What may be said of the primary's region in the end.
    verdicts: &'static [&'static str],
    /// Where a coordinator has no quorum meanwhile.
    alone: Option<&'static str>,
    /// Where the leader is when it begins.
    led_from: &'static str,
    /// Whether those that write in the primary's region may go on.
    writes: Writes,
    /// Part of `make test`.
    always: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    GoOn,
    /// All the time, where a row is alone on its machine: their leases are renewed by way of another coordinator.
    Throughout,
    /// None of its agents has a lease.
    Stop,
    /// As it happens: they stop for as long as the leader is out of reach.
    Vary,
}

const fn row(name: &'static str, fault: Fault) -> Row {
    Row { name, fault, verdicts: &["healthy"], alone: None, led_from: WITNESS, writes: Writes::GoOn, always: false }
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

    /// The primary's region is parted from the leader's alone.
    const fn parted_from_leader_in(mut self, region: &'static str) -> Self {
        self.verdicts = DISPUTED;
        self.led_from = region;
        self.writes = Writes::Throughout;
        self
    }

    const fn writes(mut self, writes: Writes) -> Self {
        self.writes = writes;
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
/// Nobody knows.
const UNSEEN: &[&str] = &["unknown"];

const ROWS: &[Row] = &[
    row("the standby's region is isolated", Fault::Cut(|| around(STANDBY))).alone(STANDBY).always(),
    row("the witness's region is isolated", Fault::Cut(|| around(WITNESS))).alone(WITNESS),
    row("primary and standby are parted", Fault::Cut(|| both(directions(PRIMARY, STANDBY)))).seen(DISPUTED),
    row("primary and witness are parted", Fault::Cut(|| both(directions(PRIMARY, WITNESS))))
        .parted_from_leader_in(WITNESS)
        .always(),
    row("primary and standby are parted, and the leader is there", Fault::Cut(|| both(directions(PRIMARY, STANDBY))))
        .parted_from_leader_in(STANDBY),
    row("primary to standby is cut, and the leader is there", Fault::Cut(|| directions(PRIMARY, STANDBY)))
        .parted_from_leader_in(STANDBY),
    row("standby to primary is cut, and the leader is there", Fault::Cut(|| directions(STANDBY, PRIMARY)))
        .parted_from_leader_in(STANDBY),
    row("standby and witness are parted", Fault::Cut(|| both(directions(STANDBY, WITNESS)))),
    row("primary to standby is cut", Fault::Cut(|| directions(PRIMARY, STANDBY))).seen(DISPUTED).always(),
    row("standby to primary is cut", Fault::Cut(|| directions(STANDBY, PRIMARY))).seen(DISPUTED),
    row("primary to witness is cut", Fault::Cut(|| directions(PRIMARY, WITNESS))).parted_from_leader_in(WITNESS),
    row("witness to primary is cut", Fault::Cut(|| directions(WITNESS, PRIMARY))).parted_from_leader_in(WITNESS),
    row("standby to witness is cut", Fault::Cut(|| directions(STANDBY, WITNESS))),
    row("witness to standby is cut", Fault::Cut(|| directions(WITNESS, STANDBY))),
    row("the primary's coordinator is cut off", Fault::Cut(|| around_part(PRIMARY, Part::Coordinator))).alone(PRIMARY),
    row("the primary's agents are cut off", Fault::Cut(|| around_part(PRIMARY, Part::Agents))).writes(Writes::Stop),
    row(
        "the primary's coordinator and agents are cut off",
        Fault::Cut(|| [Part::Coordinator, Part::Agents].iter().flat_map(|part| around_part(PRIMARY, *part)).collect()),
    )
    .alone(PRIMARY)
    .writes(Writes::Stop),
    row("the standby's workload is cut off", Fault::Cut(|| around_part(STANDBY, Part::Workload))),
    row("the primary's links are slow", Fault::Slow(|| around(PRIMARY), Duration::from_millis(100))),
    row("the primary's agents have no name server", Fault::Cut(|| around_agents(&[PRIMARY], DNS))),
    row("no agent has a name server", Fault::Cut(|| around_agents(&REGIONS, DNS))).seen(UNSEEN),
    row("the primary's agents do not reach AWS", Fault::Cut(|| around_agents(&[PRIMARY], AWS))),
    row("no agent reaches AWS", Fault::Cut(|| around_agents(&REGIONS, AWS))),
    row("the primary's agents stand still", Fault::Stopped(agents_of_primary)).writes(Writes::Stop).always(),
    row("the leader stands still", Fault::Stopped(|_, leader| vec![leader.to_owned()])),
    row("the primary's links lose a tenth", Fault::Lossy(|| around(PRIMARY), 100)).seen(UNSTEADY).writes(Writes::Vary),
    row("the primary flaps at 1 s", Fault::Flaps(|| around(PRIMARY), Duration::from_secs(1)))
        .seen(UNSTEADY)
        .writes(Writes::Vary),
    row("the primary flaps at 10 s", Fault::Flaps(|| around(PRIMARY), Duration::from_secs(10)))
        .seen(UNSTEADY)
        .writes(Writes::Vary),
];

const CLOCKS: &[Row] = &[
    row("the leader's clock goes ahead", Fault::Stepped(|_, leader| vec![leader.to_owned()], STEP_SECONDS)),
    row("the leader's clock goes back", Fault::Stepped(|_, leader| vec![leader.to_owned()], -STEP_SECONDS)),
    row("the clocks of the primary's agents go ahead", Fault::Stepped(agents_of_primary, STEP_SECONDS)),
    row("the clocks of the primary's agents go back", Fault::Stepped(agents_of_primary, -STEP_SECONDS)),
    row("the clocks of the standby's agents go ahead", Fault::Stepped(agents_of_standby, STEP_SECONDS)),
    row("the clocks of the standby's agents go back", Fault::Stepped(agents_of_standby, -STEP_SECONDS)),
];

fn agents_of_primary(wide: &Wide, _leader: &str) -> Vec<String> {
    wide.processes(PRIMARY).split_off(1)
}

fn agents_of_standby(wide: &Wide, _leader: &str) -> Vec<String> {
    wide.processes(STANDBY).split_off(1)
}

/// Which of these rows, those that share a mesh together; the policy's `sustained`, and how long each row is held.
fn chosen(rows: &'static [Row]) -> (Vec<Vec<&'static Row>>, [Duration; 2]) {
    let alone = |wanted: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| wanted(row)).map(|row| vec![row]).collect();
    let named = |names: &str| {
        let names: Vec<&str> = names.split(';').map(str::trim).collect();
        let exists = |name: &&str| ROWS.iter().chain(CLOCKS).any(|row| row.name == *name);
        assert!(names.iter().all(exists), "no such row: {names:?}");
        alone(&|row| names.contains(&row.name))
    };
    match std::env::var("MESH_SOAK_ROWS").as_deref() {
        Err(_) => (vec![rows.iter().filter(|row| row.always).collect()], QUICK),
        Ok("all") => (alone(&|_| true), SOAK),
        Ok(names) => (named(names), SOAK),
    }
}

/// What is made of it, and that a rule says so.
async fn assert_seen(wide: &Wide, row: &Row) -> Value {
    let of = |judged: &Value| judged["regions"][PRIMARY]["verdict"].as_str().unwrap_or_default().to_owned();
    let what = format!("{}: {:?} of {PRIMARY}", row.name, row.verdicts);
    let seen = wide.rig.until_judged(SERVICE, &what, |judged| row.verdicts.contains(&of(judged).as_str())).await;
    assert!(blocking(&seen).contains(&"verdict".to_owned()), "{}: {seen}", row.name);
    seen
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

async fn assert_writes(writers: &Writers, row: &Row) {
    match row.writes {
        Writes::GoOn | Writes::Throughout => until_written(writers, PRIMARY, WRITES).await,
        Writes::Stop => assert_nothing_is_written(writers, PRIMARY, row.name).await,
        Writes::Vary => {}
    }
    assert_eq!(writers.accepted_in(STANDBY), 0, "OneWriter: {}", row.name);
}

/// Agents that stood still for longer than their lease wake up and hear nobody: every answer is no, from the first, also
/// to what was asked while they stood still, and whatever word of the leader waited for them.
async fn assert_woken_without_a_right(wide: &Wide, row: &Row, broken: &Broken) {
    let mut asked = Vec::new();
    for url in &wide.rig.stand.leases[PRIMARY] {
        asked.push(Question::ask(url).await.expect("the kernel of one that stands still takes questions"));
    }
    let unheard = wide.begin(Fault::Cut(|| around_part(PRIMARY, Part::Agents))).await;
    wide.mend(broken);
    for question in asked {
        let (status, text) = question.answer().await.expect("an answer");
        assert_eq!(status, 503, "{}: {text}", row.name);
    }
    for url in wide.rig.stand.leases[PRIMARY].iter().cycle().take(QUESTIONS) {
        let (status, text) = Question::ask(url).await.expect("asked").answer().await.expect("an answer");
        assert_eq!(status, 503, "{}: {text}", row.name);
    }
    assert!(wide.fired(&unheard) > 0, "{}: they asked nobody", row.name);
    wide.mend(&unheard);
}

/// Its lease endpoints are asked all the time where they must never say no: one at least says yes to each round. On a machine
/// that plays other meshes beside this one a lease may end before the other way is found, so there it is enough that they
/// write again while the link is still cut ([`assert_writes`]).
async fn hold_row(wide: &Wide, row: &Row, broken: &Broken, hold: Duration) {
    if row.writes != Writes::Throughout {
        return wide.hold(broken, hold).await;
    }
    let (mut asked, mut refused) = (0u32, 0u32);
    let asking = async {
        loop {
            asked += 1;
            refused += u32::from(!has_lease(wide).await);
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        () = asking => {}
        () = wide.hold(broken, hold) => {}
    }
    let is_alone = std::env::var_os("MESH_SOAK_ROWS").is_some();
    let text = format!("{}: no agent of {PRIMARY} has a lease at {refused} of {asked} times", row.name);
    eprintln!("{text}");
    assert!(asked > 0 && (refused == 0 || !is_alone), "{text}");
    let status = wide.rig.mesh().status(false).await.expect("there is a quorum");
    let passed_on = status.agents.iter().filter(|agent| agent.region == PRIMARY && agent.via.is_some()).count();
    // Another may lead by now, where processors are scarce, and then nobody has to.
    assert!(passed_on > 0 || !is_alone, "{}: nobody passes anything on: {:?}", row.name, status.agents);
}

/// Does one of the primary's agents let its region write?
async fn has_lease(wide: &Wide) -> bool {
    for url in &wide.rig.stand.leases[PRIMARY] {
        let (status, _) = Question::ask(url).await.expect("asked").answer().await.expect("an answer");
        if status == 200 {
            return true;
        }
    }
    false
}

async fn go_through(wide: &Wide, rows: &[&Row], hold: Duration) {
    wide.until_every_region_is_healthy().await;
    let writers = wide.writers().await;
    let before = wide.rig.applied().await;
    for row in rows {
        wide.rig.lead_from(row.led_from).await;
        let began = Instant::now();
        let broken = wide.begin(row.fault).await;
        hold_row(wide, row, &broken, hold).await;
        assert_answers(wide, row).await;
        let seen = assert_seen(wide, row).await;
        assert_writes(&writers, row).await;
        let fired = wide.fired(&broken);
        assert!(fired > 0, "{}: the fault met nothing", row.name);
        match row.fault {
            Fault::Stopped(_) if row.writes == Writes::Stop => assert_woken_without_a_right(wide, row, &broken).await,
            _ => wide.mend(&broken),
        }
        wide.rig.until_whole().await;
        wide.rig.until_replicas_agree().await;
        until_written(&writers, PRIMARY, WRITES).await;
        assert_eq!(wide.rig.failovers(SERVICE).await, [], "{}: the service was moved", row.name);
        assert_eq!(wide.rig.applied().await, before, "{}: something outside was changed", row.name);
        assert!(wide.rig.writes(PRIMARY).await && !wide.rig.writes(STANDBY).await, "{}: who writes", row.name);
        eprintln!("{}: the fault met {fired}; {}; {:?} in all", row.name, seen["text"], began.elapsed());
    }
    let accepted = writers.stop().await;
    assert!(accepted.iter().all(|write| write.region == PRIMARY), "OneWriter");
    wide.rig.ctl(&["audit", "verify"]).await.expect(0);
}

async fn go_through_all(rows: &'static [Row], clocks: Clocks) {
    let (meshes, [sustained, hold]) = chosen(rows);
    for rows in meshes {
        let policy = |ready: &_| policy_by_name(ready, &fenced("full", sustained));
        let Some(wide) = Wide::raise_with(FAR, clocks, policy).await else { return };
        go_through(&wide, &rows, hold).await;
    }
}

#[tokio::test]
async fn what_is_no_loss_of_the_primary_moves_nothing() {
    go_through_all(ROWS, Clocks::Ours).await;
}

#[tokio::test]
async fn a_clock_that_is_stepped_moves_nothing() {
    if std::env::var_os("MESH_SOAK_ROWS").is_none() {
        eprintln!("not part of `make test`: clocks that are stepped; MESH_SOAK_ROWS=all runs them");
    } else if let Some(reason) = clocks::skip_reason() {
        eprintln!("SKIPPED: clocks that are stepped: {reason}");
    } else {
        go_through_all(CLOCKS, Clocks::Own).await;
    }
}
