//! A history is recorded while a region dies, and judged again by the policy of then and by others.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use mesh_suite::Rig;
use mesh_suite::by_itself::{WEB, policy};
use mesh_suite::ctl::meshctl;
use mesh_suite::rig::LONG;
use meshctl::demo::maip::{NEW, WITNESS};
use meshctl::demo::region_loss::LOST;
use serde_json::Value;

/// Of a region that is well, before it dies.
const BEFORE: usize = 5;
const POLL: Duration = Duration::from_millis(100);
/// The policy sustains for 3 s; a later one for so much longer.
const LATER_S: u64 = 8;
/// The recording goes on for longer than that.
const LASTS: &str = "28s";
/// Of ten moments: between two of them the leader may have seen more.
const AGREE_OF_TEN: u64 = 8;

async fn until_lines(path: &Path, lines: usize) {
    let deadline = Instant::now() + LONG;
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= lines {
            return;
        }
        assert!(Instant::now() < deadline, "{} has too few moments", path.display());
        tokio::time::sleep(POLL).await;
    }
}

async fn replayed(rig: &Rig, recording: &str, changed: Option<&str>) -> Value {
    let file = changed.map(|yaml| {
        let path = rig.path("changed.yaml");
        std::fs::write(&path, yaml).expect("a manifest");
        path.display().to_string()
    });
    let mut args = vec!["--json", "replay", recording];
    if let Some(file) = &file {
        args.extend(["-f", file]);
    }
    rig.ctl(&args).await.expect(0).json()
}

#[tokio::test]
async fn what_another_policy_would_have_done_is_told_from_a_recording() {
    let mut rig = Rig::raise_by_itself("").await;
    rig.adopt_web(&rig.stand.ready.apps, &policy("notify")).await;
    rig.lead_from(WITNESS).await;
    let (path, profile) = (rig.path("web.jsonl"), rig.stand.layout.profile());
    let recording = path.display().to_string();
    let recorder = tokio::spawn({
        let recording = recording.clone();
        async move { meshctl(&profile, &["record", WEB, "-o", &recording, "--for", LASTS]).await }
    });
    until_lines(&path, BEFORE).await;
    rig.lose(LOST).await;
    let said = recorder.await.expect("it ends").expect(0);
    assert!(said.stderr.contains("moments of"), "{}", said.stderr);

    let same = replayed(&rig, &recording, None).await;
    let (moments, agree) = (same["moments"].as_u64().expect("a count"), same["agree"].as_u64().expect("a count"));
    assert!(agree * 10 >= moments * AGREE_OF_TEN, "{same}");
    assert_eq!(same["differences"], Value::Array(Vec::new()), "a policy differs from itself: {same}");
    assert_eq!(same["acts"], Value::Null, "it only notified: {same}");

    let yaml = std::fs::read_to_string(rig.path(&format!("{WEB}.yaml"))).expect("its manifest");
    let full = yaml.replace("automatic: notify", "automatic: full");
    let sooner = replayed(&rig, &recording, Some(&full)).await;
    let differences = sooner["differences"].as_array().expect("a list");
    let last = differences.last().unwrap_or_else(|| panic!("nothing differs: {sooner}"));
    assert_eq!(last["recorded"]["conclusion"], "notify", "{last}");
    assert_eq!(last["changed"]["conclusion"], "act", "{last}");
    assert_eq!(last["changed"]["to"], NEW, "{last}");
    assert_eq!(last["changed"]["regions"][LOST]["verdict"], "down", "{last}");
    let later =
        replayed(&rig, &recording, Some(&full.replace("sustained: 3s", &format!("sustained: {LATER_S}s")))).await;
    let at =
        |replayed: &Value| replayed["acts_changed"].as_u64().unwrap_or_else(|| panic!("it never acts: {replayed}"));
    assert!(at(&sooner) < at(&later), "{sooner} {later}");

    let other = replayed_refused(&rig, &recording).await;
    assert!(other.contains("is of"), "{other}");
}

/// The demo's own service is another one.
async fn replayed_refused(rig: &Rig, recording: &str) -> String {
    let demo = rig.stand.layout.dir.join("maip.yaml");
    let said = rig.ctl(&["replay", recording, "-f", &demo.display().to_string()]).await;
    assert_ne!(said.code, 0, "{said:?}");
    said.stderr
}
