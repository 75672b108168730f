//! `meshctl simulate` as a person calls it: its text, its JSON, and what it says of bad input.

#![allow(clippy::expect_used, reason = "a test that finds something else fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn simulate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshctl"))
        .arg("simulate")
        .args(args)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples"))
        .env_remove("MESH_PROFILE")
        .env("HOME", "/nonexistent")
        .output()
        .expect("meshctl runs")
}

fn text(args: &[&str]) -> String {
    let output = simulate(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8(output.stdout).expect("text")
}

fn refused(args: &[&str], code: i32, says: &[&str]) {
    let output = simulate(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "nothing on stdout");
    says.iter().for_each(|part| assert!(said.contains(part), "{part:?} in {said}"));
}

fn fixture(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(&path, text).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; UPDATE_FIXTURES=1 rewrites it", path.display());
}

/// What does not change with every draw of the simulator: words and their order.
fn words(answer: &str) -> String {
    let drawn = |line: &&str| !line.contains('█') && !line.starts_with("postgres-fence") && !line.contains(" rpo ");
    let plain = |word: &str| {
        let number = word.trim_start_matches(['+', '<', '(']).starts_with(|c: char| c.is_ascii_digit());
        !number && !["ms", "s", "min", "%"].contains(&word)
    };
    let line = |line: &str| line.split_whitespace().filter(|word| plain(word)).collect::<Vec<_>>().join(" ");
    answer.lines().filter(drawn).map(|of| line(of) + "\n").collect()
}

#[test]
fn a_lost_region_is_answered_with_times_losses_and_steps() {
    let answer = text(&["-f", "postgres.yaml", "--scenario", "us-east-1-lost", "--runs", "60", "--second", "none"]);
    assert!(answer.contains('█'), "a histogram");
    fixture("simulate-lost.txt", &words(&answer));
}

#[test]
fn a_rule_in_the_way_is_named() {
    let answer = text(&["-f", "maip.yaml", "--scenario", "us-east-1-lost", "--runs", "20", "--second", "none"]);
    fixture("simulate-blocked.txt", &words(&answer));
}

#[test]
fn the_scenarios_are_those_of_the_manifest_s_regions() {
    let listed = text(&["-f", "minimal.yaml", "--list-scenarios", "--assume", "witness=eu-north-1"]);
    fixture("simulate-scenarios.txt", &listed);
}

#[test]
fn the_same_seed_gives_the_same_bytes_as_text_and_as_json() {
    let args = ["-f", "postgres.yaml", "--scenario", "us-east-1-isolated", "--runs", "30", "--second", "any"];
    let with = |more: &[&str]| text(&[&args, more].concat());
    assert_eq!(with(&["--threads", "1"]), with(&["--threads", "3"]));
    let json = with(&["--json"]);
    assert_eq!(json, with(&["--json"]));
    assert_ne!(json, with(&["--json", "--seed", "2"]));
    let value: serde_json::Value = serde_json::from_str(&json).expect("one JSON object");
    assert_eq!(value["alone"]["ends"]["done"], 30);
    assert_eq!(value["second"]["all"]["runs"], 30);
    let bars = value["histogram_back"].as_array().expect("bars");
    let runs: u64 = bars.iter().filter_map(|bar| bar["runs"].as_u64()).sum();
    assert_eq!(runs, 30, "every run is in one bar: {bars:?}");
}

#[test]
fn what_is_assumed_can_be_written_to_a_file_and_read_from_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("assumed.toml");
    std::fs::write(&path, text(&["-f", "postgres.yaml", "--print-assumptions", "--assume", "round-trip=150ms"]))
        .expect("written");
    let path = path.display().to_string();
    let again = text(&["-f", "postgres.yaml", "--print-assumptions", "--assumptions", &path]);
    assert!(again.contains("round-trip = \"150ms\""), "{again}");
    std::fs::write(&path, "round-trip = 70\n").expect("written");
    refused(&["-f", "postgres.yaml", "--print-assumptions", "--assumptions", &path], 2, &["round-trip"]);
}

#[test]
fn bad_input_is_refused_with_what_is_near_it() {
    let good = ["-f", "postgres.yaml"];
    let with = |more: &[&'static str]| [&good, more].concat();
    refused(&with(&["--scenario", "us-east1-lost"]), 2, &["us-east-1-lost", "--list-scenarios"]);
    refused(&with(&[]), 2, &["--scenario"]);
    refused(&with(&["--scenario", "us-east-1-lost", "--second", "agent-crsh"]), 2, &["agent-crash"]);
    refused(&with(&["--scenario", "us-east-1-lost", "--runs", "0"]), 2, &["--runs"]);
    refused(&with(&["--scenario", "us-east-1-lost", "--assume", "round-trip"]), 2, &["NAME=VALUE"]);
    refused(&with(&["--scenario", "us-east-1-lost", "--assume", "rds-promotion=10m..5m"]), 2, &["rds-promotion"]);
    refused(&with(&["--list-scenarios", "--assume", "witness=us-west-2"]), 3, &["us-west-2", "witness"]);
    let unseen = ["-f", "api-gateway.yaml", "--scenario", "us-east-1-lost", "--automatic", "full"];
    refused(&unseen, 3, &["cannot be simulated", "critical check"]);
    refused(&["-f", "missing.yaml", "--scenario", "us-east-1-lost"], 2, &["missing.yaml"]);
}
