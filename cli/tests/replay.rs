//! `meshctl replay`: a recording through a changed policy.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test that finds something else fails")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use mesh_core::decide::{self, JudgementRecord};
use mesh_core::detect::{self, Evidence, Observer, Sight};
use mesh_core::ids::{AgentId, RegionId};
use mesh_core::manifest::Manifest;
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::Timestamp;
use meshctl::recording::{FORMAT, Heard, Moment, State};

const POSTGRES: &str = include_str!("../../examples/postgres.yaml");
const STARTED: u64 = 1_790_000_000_000;
const OBSERVERS: [&str; 3] = ["us-east-1", "us-west-2", "eu-central-1"];
/// The primary fails from the tenth second on.
const FAILS_FROM: u64 = 10;
/// A lag measured later may be of a primary that is gone.
const MEASURED_UNTIL: u64 = 8;
const SECONDS: u64 = 50;

fn manifest(source: &str) -> Manifest {
    mesh_manifest::parse(source, "orders.yaml").expect("a good manifest")
}

fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a name")
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(STARTED + second * 1_000)
}

/// What a leader knew, and what it says of it.
fn moment(manifest: &Manifest, second: u64) -> Moment {
    let state = State {
        manifest: manifest.clone(),
        applied_at: at(0),
        active: region("us-east-1"),
        armed: true,
        run: None,
        automatic_at: None,
        acknowledged_at: None,
        freeze: None,
        mesh_freeze: None,
        noted: None,
    };
    let agents = OBSERVERS.iter().flat_map(|of| ["a", "b"].map(|nth| (format!("{of}-{nth}"), region(of))));
    let agents: Vec<(AgentId, RegionId)> =
        agents.map(|(agent, of)| (AgentId::new(agent).expect("a name"), of)).collect();
    let mut sights = Vec::new();
    for (agent, of) in &agents {
        for about in ["us-east-1", "us-west-2"] {
            let fails = about == "us-east-1" && second >= FAILS_FROM;
            let reading = match fails {
                true => Reading::Failing { reason: "no answer".to_owned(), since: at(FAILS_FROM) },
                false => Reading::Passing { latency: Duration::from_millis(80) },
            };
            sights.push(sight(agent, of, about, "api", reading, second, fails.then(|| at(FAILS_FROM))));
        }
        if of.as_str() == "us-west-2" {
            let reading = Reading::ReplicaLag { lag: Duration::from_millis(200) };
            sights.push(sight(agent, of, "us-west-2", "database", reading, second.min(MEASURED_UNTIL), None));
        }
    }
    let observer = |(agent, of): &(AgentId, RegionId)| {
        (agent.clone(), Observer { region: of.clone(), heard_at: Some(at(second)), doubt: None })
    };
    let observers: std::collections::BTreeMap<_, _> = agents.iter().map(observer).collect();
    let signals = sights.iter().map(|sight| Signal::clone(&sight.signal)).collect();
    let evidence = Evidence::new(at(second), Timestamp::default(), observers, sights);
    let fleet = state.fleet(manifest, None);
    let verdicts = detect::assess(&fleet.services[&manifest.service], &evidence);
    let judgement = JudgementRecord::from(&decide::judge(&fleet, &manifest.service, &verdicts, &evidence));
    let heard = |(agent, region): (AgentId, RegionId)| Heard { agent, region, ms_ago: Some(0) };
    let state = (second == 0).then_some(state);
    let agents = agents.into_iter().map(heard).collect();
    Moment { format: FORMAT.to_owned(), at: at(second), state, agents, signals, judgement }
}

fn sight(
    agent: &AgentId,
    of: &RegionId,
    about: &str,
    subject: &str,
    reading: Reading,
    second: u64,
    failing_since: Option<Timestamp>,
) -> Sight {
    let signal = Signal {
        observer: agent.clone(),
        observer_region: of.clone(),
        service: manifest(POSTGRES).service,
        region: region(about),
        subject: subject.to_owned(),
        reading,
        at: at(second),
    };
    let (observed_at, heard_at) = (at(second), at(second));
    Sight { signal: Arc::new(signal), observed_at, failing_since, heard_at, alternations: 0 }
}

fn recording(dir: &Path, source: &str) -> String {
    let manifest = manifest(source);
    let lines = (0..SECONDS).map(|second| serde_json::to_string(&moment(&manifest, second)).expect("JSON") + "\n");
    let path = dir.join("orders.jsonl");
    std::fs::write(&path, lines.collect::<String>()).expect("written");
    path.display().to_string()
}

fn replay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshctl")).arg("replay").args(args).output().expect("meshctl runs")
}

fn json(args: &[&str]) -> serde_json::Value {
    let output = replay(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn changed(dir: &Path, name: &str, from: &str, to: &str) -> String {
    assert!(POSTGRES.contains(from), "{from}");
    let path = dir.join(name);
    std::fs::write(&path, POSTGRES.replace(from, to)).expect("written");
    path.display().to_string()
}

#[test]
fn the_recorded_policy_comes_to_what_was_recorded_and_differs_from_itself_in_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let value = json(&[&recording(dir.path(), POSTGRES)]);
    assert_eq!(value["agree"], value["moments"]);
    assert_eq!(value["differences"].as_array().map(Vec::len), Some(0));
    assert_eq!(value["acts"], at(FAILS_FROM + 3).as_millis());
}

#[test]
fn a_slower_policy_would_have_waited_and_the_difference_names_the_rule() {
    let dir = tempfile::tempdir().expect("a directory");
    let recording = recording(dir.path(), POSTGRES);
    let slow = changed(dir.path(), "slow.yaml", "sustained: 3s", "sustained: 30s");
    let value = json(&[&recording, "-f", &slow]);
    assert_eq!(value["acts"], at(FAILS_FROM + 3).as_millis());
    assert_eq!(value["acts_changed"], at(FAILS_FROM + 30).as_millis());
    let first = &value["differences"][0];
    assert_eq!((&first["recorded"]["conclusion"], &first["changed"]["conclusion"]), (&"act".into(), &"nothing".into()));
    let rules = first["changed"]["rules"].as_array().expect("rules");
    assert!(rules.iter().any(|rule| rule["rule"] == "verdict" && rule["state"] != "held"), "{rules:?}");
}

#[test]
fn a_policy_that_a_rule_stops_is_shown_with_every_view() {
    let dir = tempfile::tempdir().expect("a directory");
    let recording = recording(dir.path(), POSTGRES);
    let off = changed(dir.path(), "off.yaml", "automatic: full", "automatic: \"off\"");
    let output = replay(&[&recording, "-f", &off]);
    let text = String::from_utf8(output.stdout).expect("text");
    for part in ["does not act: automatic", "us-west-2-a", "FAILING", "changed policy never"] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

#[test]
fn what_is_no_recording_is_refused_with_its_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = recording(dir.path(), POSTGRES);
    let text = std::fs::read_to_string(&path).expect("a file");
    let refused = |text: &str, says: &str| {
        std::fs::write(&path, text).expect("written");
        let output = replay(&[&path]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(says), "{says:?} in {said}");
    };
    refused("", "no moment");
    refused(&text.replacen("mesh-recording/1", "mesh-recording/9", 1), "line 1");
    refused(&format!("{}\n{{\"at\":", text.lines().next().expect("a line")), "line 2");
    let stateless: String = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
    refused(&stateless, "no state");
}
