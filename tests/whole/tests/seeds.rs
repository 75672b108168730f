//! The seeds of `make test`, and that the judges can fail.

use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Each hundredth runs twice. `MESH_WHOLE_SEEDS=n` plays more.
const SEEDS: u64 = 200;
/// A planted defect is found within so many.
const PLANTED_SEEDS: u64 = 60;

/// Each swarm has all cores to itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn swarm(seeds: u64, more: &[&str]) -> (Output, Value) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let jobs = std::thread::available_parallelism().map_or(2, usize::from);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-whole"));
    command.args(["swarm", "--seeds", &seeds.to_string(), "--jobs", &jobs.to_string()]).args(more);
    let output = command.output().expect("it starts");
    let report = serde_json::from_slice(&output.stdout).expect("one JSON object");
    (output, report)
}

#[test]
fn the_whole_system_keeps_its_word_in_every_seed_and_each_hundredth_is_the_same_twice() {
    let wanted = std::env::var("MESH_WHOLE_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number of seeds"));
    let (output, report) = swarm(wanted, &[]);
    println!("{report}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(report["seeds"], wanted);
    assert_eq!(report["same_trace_twice"], wanted / 100);
}

/// In a seed from there on, by one of these rules.
fn is_found(planted: &str, from: u64, rules: &[&str]) {
    let from = from.to_string();
    let (output, report) = swarm(PLANTED_SEEDS, &["--planted", planted, "--from", &from, "--first"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{planted} is not found: {report}");
    assert!(rules.iter().any(|rule| told.contains(rule)), "{planted}: {told}");
}

#[test]
fn disks_that_say_they_have_synced_and_have_not_are_found() {
    is_found("lying-disks", 1, &["DurableAck"]);
}

#[test]
fn journals_whose_disks_lie_are_found() {
    is_found("lying-journals", 8, &["DurableAck", "OneEffectPerKey"]);
}

#[test]
fn an_agent_that_comes_back_without_its_journal_is_found() {
    is_found("lost-journals", 8, &["DurableAck", "OneEffectPerKey"]);
}

#[test]
fn a_call_that_is_sent_before_it_is_in_the_journal_is_found() {
    is_found("journal-after-call", 1, &["IntentBeforeEffect"]);
}

#[test]
fn retries_beneath_the_step_engine_are_found() {
    is_found("hidden-retries", 2, &["IntentBeforeEffect", "OneEffectPerKey"]);
}

#[test]
fn unknown_that_is_taken_as_refused_is_found() {
    is_found("unknown-is-refused", 4, &["UnknownIsNotFailed"]);
}

#[test]
fn accepted_that_is_taken_as_done_is_found() {
    is_found("accepted-is-done", 1, &["DoneMeansReadBack"]);
}

#[test]
fn a_move_away_from_a_region_that_was_never_lost_is_found() {
    is_found("false-alarms", 1, &["ObserverQuorum"]);
}

#[test]
fn a_batch_in_two_halves_is_found() {
    is_found("batch-in-two", 1, &["NeverEmpty"]);
}
