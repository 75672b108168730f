//! The first hour: what `doctor` says of a healthy mesh and of broken ones, and the way from `import` to a failover that
//! nothing would stop.

#![allow(clippy::indexing_slicing, reason = "JSON of a failing test")]

use std::time::{Duration, Instant};

use aws_sdk_route53::types::RrType;
use mesh_suite::ctl::Said;
use mesh_suite::foreign::{NEW_ALB, OLD_ALB, set};
use mesh_suite::rig::LONG;
use mesh_suite::{Foreign, Rig};
use serde_json::Value;

const RECORD: &str = "api.maip.example.com";

/// Findings of a level, as `subject: text -> mend`.
fn of_level(report: &Value, level: &str) -> Vec<String> {
    let parts = report["parts"].as_array().cloned().unwrap_or_default();
    let findings = parts.iter().filter_map(|part| part["findings"].as_array()).flatten();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    findings
        .filter(|finding| finding["level"] == level)
        .map(|finding| format!("{}: {} -> {}", text(finding, "subject"), text(finding, "text"), text(finding, "mend")))
        .collect()
}

#[track_caller]
fn holds(findings: &[String], words: &[&str]) {
    let found = findings.iter().any(|finding| words.iter().all(|word| finding.contains(word)));
    assert!(found, "no finding holds {words:?}: {findings:#?}");
}

/// Waits until the leader has sessions with so many agents.
async fn until_connected(rig: &Rig, wanted: usize) {
    let mesh = rig.mesh();
    let deadline = Instant::now() + LONG;
    loop {
        let connected = mesh.status(false).await.map(|status| status.agents.iter().filter(|a| a.connected).count());
        if connected.as_ref().is_ok_and(|connected| *connected == wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{wanted} agents are never connected: {connected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What `doctor` finds once nobody was too late to tell, as an agent of a busy machine may be.
async fn examined(rig: &Rig, service: &str) -> Said {
    let deadline = Instant::now() + LONG;
    loop {
        let said = rig.ctl(&["--json", "doctor", service]).await;
        if of_level(&said.json(), "unknown").is_empty() || Instant::now() > deadline {
            return said;
        }
    }
}

/// Drafts a manifest once every region has told what is there.
async fn imported(rig: &Rig, file: &str) -> Said {
    let deadline = Instant::now() + LONG;
    loop {
        let said = rig.ctl(&["import", "--service", "maip", "-o", file]).await;
        if said.code == 0 && !said.stderr.contains("not seen") || Instant::now() > deadline {
            return said;
        }
        // A draft of a part of the world is no draft of this one.
        let _ = std::fs::remove_file(file);
    }
}

#[tokio::test]
async fn a_healthy_mesh_has_nothing_wrong_and_each_thing_that_is_broken_is_named_with_what_mends_it() {
    let mut rig = Rig::raise().await;
    let healthy = examined(&rig, "maip").await;
    let report = healthy.json();
    assert_eq!(of_level(&report, "problem"), Vec::<String>::new(), "{report:#}");
    assert_eq!(of_level(&report, "unknown"), Vec::<String>::new(), "{report:#}");
    assert_eq!((healthy.code, &report["ok"]), (0, &Value::Bool(true)));
    let well = of_level(&report, "ok");
    for words in [
        &["rds maip-prod-postgres-replica", "replicates from maip-prod-postgres"][..],
        &["rds maip-prod-postgres", "security groups of the manifest"],
        &["route53 api.maip.example.com", "answers what the manifest says for us-east-1"],
        &["route53 api.maip.example.com", "fencing token"],
        &["agent use1-a", "AWS account 123456789012"],
        &["sns maip-prod-alerts.fifo"],
    ] {
        holds(&well, words);
    }

    let foreign = Foreign::new(&rig).await;
    foreign.remove_token(&rig, RECORD).await;
    foreign.upsert(set(RECORD, RrType::A).alias(NEW_ALB, true).build()).await;
    rig.kill("agent-usw2-a");
    rig.kill("coordinator-3");
    until_connected(&rig, 5).await;
    let broken = rig.ctl(&["--json", "doctor", "maip"]).await.expect(1).json();
    let problems = of_level(&broken, "problem");
    holds(&problems, &["no fencing token", "meshctl traffic setup --service maip"]);
    holds(&problems, &["the manifest says for us-west-2", "us-east-1 is the active region"]);
    holds(&problems, &["coordinator 127.", "start it"]);
    let warnings = of_level(&broken, "warning");
    holds(&warnings, &["us-west-2 agents", "one is connected"]);
    let text = rig.ctl(&["doctor", "maip"]).await.expect(1).stdout;
    assert!(text.contains("✗") && text.contains("→ meshctl traffic setup --service maip"), "{text}");
}

#[tokio::test]
async fn half_a_mesh_is_still_told_what_is_wrong_with_it() {
    let mut rig = Rig::raise().await;
    rig.kill("coordinator-2");
    rig.kill("coordinator-3");
    let report = rig.ctl(&["--json", "--timeout", "5", "doctor"]).await.expect(1).json();
    holds(&of_level(&report, "problem"), &["quorum", "1 of 3", "majority"]);
    holds(&of_level(&report, "ok"), &["your certificate", "admin"]);
    holds(&of_level(&report, "ok"), &["manifest", "version 1 is stored"]);
}

#[tokio::test]
async fn a_manifest_with_the_runbook_s_wrong_alias_zone_is_found_before_it_is_applied() {
    let rig = Rig::raise().await;
    let good = std::fs::read_to_string(rig.stand.layout.manifest()).expect("the rig's manifest");
    let path = rig.path("draft.yaml");
    std::fs::write(&path, good.replace(NEW_ALB.0, OLD_ALB.0)).expect("a manifest");
    let file = path.display().to_string();
    let report = rig.ctl(&["--json", "doctor", "-f", &file]).await.expect(1).json();
    holds(&of_level(&report, "problem"), &["write `zone-id: Z1H1FL5HABSF5` for the alias of us-west-2"]);
    holds(&of_level(&report, "warning"), &["differs from version 1"]);
    // An operator's draft is examined, and its endpoints are not asked.
    let report = rig.ctl_as("operator", &["--json", "doctor", "-f", &file]).await.expect(1).json();
    holds(&of_level(&report, "warning"), &["checks", "its endpoints were not asked"]);
}

#[tokio::test]
async fn from_import_to_a_failover_that_nothing_would_stop() {
    let rig = Rig::raise_empty().await;
    let report = rig.ctl(&["--json", "doctor"]).await.expect(1).json();
    holds(&of_level(&report, "problem"), &["approval keys", "meshctl keys generate"]);
    holds(&of_level(&report, "warning"), &["services", "meshctl import"]);

    let path = rig.path("drafted.yaml");
    let file = path.display().to_string();
    let said = imported(&rig, &file).await.expect(0);
    assert!(said.stdout.contains("3 blanks to fill"), "{} {}", said.stdout, said.stderr);
    rig.ctl(&["import", "--service", "maip", "-o", &file]).await.expect(2);
    let draft = std::fs::read_to_string(&path).expect("the draft");
    let open = rig.ctl(&["--json", "validate", "-f", &file]).await.expect(1).json();
    let diagnostics = open["diagnostics"].as_array().expect("diagnostics");
    let lines: Vec<u64> = diagnostics.iter().filter_map(|one| one["line"].as_u64()).collect();
    let blanks: Vec<u64> =
        draft.lines().zip(1..).filter(|(line, _)| line.contains("\"<")).map(|(_, number)| number).collect();
    assert_eq!(lines, blanks, "{draft}");
    rig.ctl(&["apply", "-f", &file, "--yes"]).await.expect(3);

    let filled = draft
        .replace("\"<closed security group in us-east-1>\"", "sg-closed-us-east-1")
        .replace("\"<closed security group in us-west-2>\"", "sg-closed-us-west-2")
        .replace("\"<DNS name of the load balancer in us-west-2>\"", NEW_ALB.1);
    std::fs::write(&path, &filled).expect("the manifest");
    rig.ctl(&["validate", "-f", &file]).await.expect(0);
    let applied = rig.ctl(&["apply", "-f", &file, "--yes"]).await.expect(0);
    assert!(applied.stderr.contains("meshctl arm maip"), "{}", applied.stderr);
    assert!(rig.ctl(&["status"]).await.expect(0).stdout.contains("observing"));
    rig.ctl(&["traffic", "setup", "--service", "maip", "--yes"]).await.expect(3);
    let records = rig.records(RECORD).await;

    let report = rig.ctl(&["--json", "doctor", "maip"]).await.json();
    holds(&of_level(&report, "warning"), &["observing", "meshctl arm maip"]);
    let of_service: Vec<String> =
        of_level(&report, "problem").into_iter().filter(|finding| !finding.contains("approval keys")).collect();
    assert_eq!(of_service, Vec::<String>::new(), "{filled}");
    rig.ctl(&["arm", "maip"]).await.expect(2);
    let armed = rig.ctl(&["--json", "arm", "maip", "--yes"]).await.expect(0).json();
    assert_eq!((&armed["armed"], &armed["changed"]), (&Value::Bool(true), &Value::Bool(true)));
    rig.ctl(&["traffic", "setup", "--service", "maip", "--yes"]).await.expect(0);
    assert_eq!(rig.records(RECORD).await, records, "adoption changes no record");
    let dry = rig.ctl(&["--json", "failover", "--to", "us-west-2", "--dry-run"]).await;
    assert_eq!(dry.code, 0, "{}\n{}", dry.stdout, dry.stderr);
    rig.ctl(&["disarm", "maip", "--yes"]).await.expect(0);
    rig.ctl(&["failover", "--to", "us-west-2", "--yes"]).await.expect(3);
}

#[tokio::test]
async fn a_stranger_without_a_profile_is_told_the_first_step() {
    let nowhere = tempfile::tempdir().expect("a directory");
    let said = mesh_suite::ctl::meshctl(&nowhere.path().join("none.toml"), &["--json", "doctor"]).await.expect(1);
    let report = said.json();
    holds(&of_level(&report, "problem"), &["profile", "meshctl pki init"]);
}
