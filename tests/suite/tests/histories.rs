//! Linearizability of real coordinators: what clients were answered under faults, judged by two independent checkers, and
//! what was acknowledged, looked up in the log.
//!
//! One history by default; `make soak` makes many. A seed decides what is asked and which faults come; what the machine's
//! scheduler adds, no seed repeats, so a history that is wrong is kept as a file.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a helper that finds something else fails its test, and a soak says what it did"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesh_history::tally::Tally;
use mesh_history::{Line, Op, Outcome, committed, judge};
use mesh_proto::v1;
use mesh_suite::histories::door::{Answer, Doors, ask};
use mesh_suite::histories::log::Log;
use mesh_suite::histories::nemesis::{ALL, Fault};
use mesh_suite::histories::objects::{manifest, manifest_of, shown};
use mesh_suite::histories::{Course, Recorded, keep};
use mesh_suite::rig::LONG;
use mesh_suite::{Rig, relay::Relays};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

const SEED: &str = "MESH_SOAK_SEED";
const SEED_DEFAULT: u64 = 20_261_121;
const HISTORIES: &str = "MESH_SOAK_HISTORIES";
const SERVICES: usize = 4;
const CLIENTS: usize = 6;
/// Of one history. Those that come first in `ALL` are in the short form's.
const FAULTS: usize = 6;
/// The mesh is raised anew after so many: it keeps a thousand services, and its log is read whole.
const HISTORIES_PER_MESH: u64 = 50;

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

#[derive(Default)]
struct Total {
    histories: usize,
    tally: Tally,
    faults: BTreeMap<Fault, usize>,
    leader_changes: usize,
    refused_in_log: usize,
}

/// Of all histories the first has the same faults, so that the short form shows each time the same; others draw theirs.
fn faults(nth: u64, rng: &mut StdRng) -> Vec<Fault> {
    let mut all = ALL;
    if nth > 0 {
        all.shuffle(rng);
    }
    all[..FAULTS].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_one_order_explains_every_answer() {
    let (seed, histories) = (number(SEED, SEED_DEFAULT), number(HISTORIES, 1));
    let mut rng = StdRng::seed_from_u64(seed);
    let mut total = Total::default();
    let mut nth = 0;
    while nth < histories {
        let (mut rig, relays) = Rig::raise_for_histories().await;
        let mut log = Log::default();
        for _ in 0..HISTORIES_PER_MESH.min(histories - nth) {
            let services = (1..=SERVICES).map(|service| format!("h{nth}-s{service}")).collect();
            let course = Course { seed: rng.random(), services, clients: CLIENTS, faults: faults(nth, &mut rng) };
            one(&mut rig, &relays, &course, &mut log, &mut total).await;
            nth += 1;
        }
        total.refused_in_log += log.refused;
        rig.until_replicas_agree().await;
        rig.ctl(&["audit", "verify"]).await.expect(0);
    }
    let Total { histories, tally, faults, leader_changes, refused_in_log } = total;
    println!(
        "{SEED}={seed}: {histories} histories, {tally}; {refused_in_log} refusals in the log; the leader changed \
         {leader_changes} times; faults: {faults:?}"
    );
    assert!(leader_changes >= histories * 2, "the leader hardly ever changed: this showed little");
    assert!(tally.overlapping > 0 && tally.refused > 0 && tally.unknown > 0, "one kind never came about: {tally}");
    assert!(tally.written > 0 && tally.applied > 0, "{tally}");
}

async fn one(rig: &mut Rig, relays: &Relays, course: &Course, log: &mut Log, total: &mut Total) {
    let recorded = rig.history(relays, course).await;
    log.read(rig).await;
    let (tally, wrong) = examine(&recorded, log);
    println!("{}: {tally}; the leader changed {} times", course.services[0], recorded.leader_changes);
    if !wrong.is_empty() {
        let path = keep(env!("CARGO_TARGET_TMPDIR"), &format!("history-{}", course.seed), &recorded.lines);
        panic!("{}\nthe history is kept: {}", wrong.join("\n"), path.display());
    }
    total.histories += 1;
    total.tally += tally;
    total.leader_changes += recorded.leader_changes;
    for fault in &course.faults {
        *total.faults.entry(*fault).or_default() += 1;
    }
}

/// What it consists of, and what is wrong with it.
fn examine(recorded: &Recorded, log: &Log) -> (Tally, Vec<String>) {
    let mut wrong = recorded.unexpected.clone();
    let mut tally = Tally::default();
    let judged = judge(&recorded.lines).unwrap_or_else(|malformed| panic!("the recording is at fault: {malformed}"));
    for (object, judged) in judged {
        if !judged.is_linearizable() {
            wrong.push(format!("{object}: {judged}"));
        }
        let entries = log.entries.get(&object).map(Vec::as_slice).unwrap_or_default();
        wrong.extend(committed::check(&judged.operations, entries).into_iter().map(|why| format!("{object}: {why}")));
        tally += Tally::of(&judged.operations);
    }
    (tally, wrong)
}

/// The same recording with a reading that may be stale in it, as if it had promised more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_reading_of_an_old_leader_is_told_from_one_that_is_not() {
    const SERVICE: &str = "planted";
    let (rig, relays) = Rig::raise_for_histories().await;
    let object = manifest_of(SERVICE);
    let leader = rig.leader().await;
    let node: usize = leader.trim_start_matches("coordinator-").parse().expect("a coordinator's number");
    let old = node - 1;
    let recorder = mesh_history::Recorder::default();
    apply(&rig.doors(&relays), &recorder, &[old], 0, 1).await;
    for other in (1..=3).map(|node| format!("coordinator-{node}")).filter(|name| *name != leader) {
        relays.part(&leader, &other);
    }
    let others: Vec<usize> = (0..3).filter(|at| *at != old).collect();
    apply(&rig.doors(&relays), &recorder, &others, 1, 2).await;
    assert!(!relays.delayed().is_empty(), "nothing was held up: the cut showed nothing");
    let mut door = rig.doors(&relays).at(old);
    let honest = ask(door.get_service(v1::GetServiceRequest { service: SERVICE.to_owned() })).await;
    assert!(matches!(honest, Answer::Unknown), "it has no quorum and answers");
    let sound = recorder.take();
    let stale = ask(door.get_status(v1::GetStatusRequest { stale: true })).await;
    let Answer::Ok(status) = stale else { panic!("{leader} says nothing at all") };
    let entity = status.services.into_iter().find(|one| one.service == SERVICE).and_then(|one| one.entity);
    let [(_, outcome), _] = shown(SERVICE, entity.as_ref()).expect("a manifest of ours");
    assert_ne!(outcome, Outcome::Found { version: 2, value: Some(2) }, "{leader} was cut off before that");
    relays.heal();
    let process = u64::MAX;
    let reading = [
        Line::Invoke { process, object: object.clone(), op: Op::Read },
        Line::Return { process, object: object.clone(), outcome },
    ];
    let planted: Vec<Line> = sound.iter().cloned().chain(reading).collect();
    let [sound, planted] = [sound, planted].map(|lines| judge(&lines).expect("a sound recording").remove(&object));
    let (sound, planted) = (sound.expect("it was asked"), planted.expect("it was asked"));
    assert!(sound.is_linearizable(), "{sound}");
    assert!(planted.is_refuted(), "a stale reading passes for a good one: {planted}");
}

/// Asks these in turn until it is stored.
async fn apply(doors: &Doors, recorder: &mesh_history::Recorder, at: &[usize], expected: u64, value: u64) {
    let (stored, source) = manifest("planted", value);
    let object = manifest_of("planted");
    let deadline = Instant::now() + LONG;
    for process in 1000 * value.. {
        let at = at[usize::try_from(process).expect("small") % at.len()];
        let request = v1::ApplyManifestRequest {
            manifest: Some(stored.clone()),
            source: source.clone(),
            expected_version: expected,
        };
        recorder.invoke(process, &object, Op::Apply { expected, value });
        if let Answer::Ok(answer) = ask(doors.at(at).apply_manifest(request)).await {
            return recorder.answer(process, &object, Outcome::Applied { version: answer.version });
        }
        assert!(Instant::now() < deadline, "{value} was never stored");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
