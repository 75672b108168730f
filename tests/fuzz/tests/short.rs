//! The short run: each target gets its kept inputs and a fixed number of mutated ones, the same each time.
#![allow(clippy::panic, reason = "a found input fails its test")]

use std::process::Command;

use mesh_fuzz::{all, corpus, examine, find, session};

const SEED: u64 = 1;

/// Decoders that could refuse everything, or nothing, would pass every rule.
fn holds(name: &str) {
    let target = find(name).expect("the target is listed");
    let report = session::run(&target, SEED, target.inputs).unwrap_or_else(|found| panic!("{found}"));
    println!("{name}: {report:?}");
    assert!(report.accepted > 0, "nothing was accepted, so nothing was tested behind the first check: {report:?}");
    assert!(report.accepted < report.inputs, "nothing was refused, so no input was strange: {report:?}");
}

macro_rules! targets {
    ($($test:ident $name:literal)+) => {
        const NAMES: &[&str] = &[$($name),+];
        $(#[test]
        fn $test() {
            holds($name);
        })+
    };
}

targets! {
    rpc_messages_keep_their_rules "rpc"
    domain_values_keep_their_rules "domain"
    log_commands_keep_their_rules "command"
    applied_commands_keep_their_rules "apply"
    raft_messages_keep_their_rules "raft"
    requests_keep_their_rules "request"
    entities_keep_their_rules "entity"
    snapshots_keep_their_rules "snapshot"
    segments_keep_their_rules "segment"
    damaged_snapshots_are_refused "snapshot-damage"
    damaged_segments_are_refused "segment-damage"
    damaged_logs_are_refused "wal-damage"
    a_damaged_reach_is_refused "reach-damage"
    journals_keep_their_rules "journal"
    damaged_journals_are_refused "journal-damage"
    watchlists_keep_their_rules "watchlist"
    manifests_keep_their_rules "manifest"
    single_texts_keep_their_rules "text"
    configurations_keep_their_rules "config"
    command_lines_keep_their_rules "arguments"
    audit_files_keep_their_rules "audit"
    a_damaged_audit_is_found "audit-damage"
    plan_files_keep_their_rules "plan-file"
    certificates_keep_their_rules "certificate"
    dns_answers_keep_their_rules "dns"
    answers_of_others_keep_their_rules "answer"
}

#[test]
fn every_target_has_a_short_run() {
    let listed: Vec<&str> = all().iter().map(|target| target.name).collect();
    assert_eq!(listed, NAMES);
}

#[test]
fn the_corpora_stay_small() {
    for target in all() {
        let kept = corpus::files(&corpus::dir(target.name));
        let largest = kept.iter().map(Vec::len).max().unwrap_or_default();
        assert!(kept.len() <= corpus::FILES_MAX, "{}: {} files", target.name, kept.len());
        assert!(largest <= target.bytes_max, "{}: a file of {largest} bytes", target.name);
    }
}

/// Within the number of inputs that a real target gets by default.
#[test]
fn every_planted_mistake_is_found() {
    for (name, says) in [
        ("planted-panic", "out of range"),
        ("planted-allocation", "allocated at once"),
        ("planted-checksum", "a damaged record was accepted"),
        ("planted-unstable", "written otherwise"),
        ("planted-lost-field", "a field was lost"),
    ] {
        let target = find(name).expect("it is listed");
        let found = session::run(&target, SEED, target.inputs).expect_err(name);
        assert!(found.reason.contains(says), "{name}: {}", found.reason);
        assert!(examine::examine(&target, &found.input).is_err(), "{name}: the smaller input breaks the rule, too");
        std::fs::remove_file(&found.path).expect("the input was left for people");
    }
}

/// Mistakes that end the process, or never end: in a process of their own.
#[test]
fn what_does_not_come_back_leaves_its_input() {
    for (name, code) in [("planted-loop", Some(examine::ENDLESS)), ("planted-recursion", None)] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_mesh-fuzz"));
        let mut child = run.args(["run", name]).env("MESH_FUZZ_INPUT_SECONDS", "2").spawn().expect("it starts");
        let id = child.id();
        let ended = child.wait().expect("it ends");
        assert!(!ended.success() && code.is_none_or(|code| ended.code() == Some(code)), "{name}: {ended}");
        let left = examine::found_dir(name).join(format!("last-{id}"));
        assert!(left.is_file(), "{name}: {} is missing", left.display());
        std::fs::remove_file(left).expect("it can be removed");
    }
}
