//! Who is told by SNS of what the mesh decided, or was kept from.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::time::{Duration, Instant};

use mesh_suite::Rig;
use mesh_suite::by_itself::{WEB, policy};
use mesh_suite::rig::LONG;
use meshctl::demo::maip::NEW;
use meshctl::demo::region_loss::LOST;
use serde_json::Value;

const POLL: Duration = Duration::from_millis(100);
/// Several times the policy's `sustained`: what has not been sent again by then is not about to.
const QUIET: Duration = Duration::from_secs(10);

/// The service without a database, with the notices of the demo's.
async fn raise(mode: &str) -> Rig {
    let rig = Rig::raise_by_itself("").await;
    let demo = std::fs::read_to_string(rig.path("maip.yaml")).expect("the demo's manifest");
    let topics: String = demo
        .lines()
        .skip_while(|line| *line != "    sns:")
        .skip(1)
        .take_while(|line| line.starts_with("      "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(topics.contains("arn:aws:sns:"), "{demo}");
    let policy = format!("{}notices:\n  - name: oncall\n    sns:\n{topics}", policy(mode));
    rig.adopt_web(&rig.stand.ready.apps, &policy).await;
    rig
}

/// What has arrived in the on-call queue, about the service.
async fn arrived(rig: &Rig) -> Vec<String> {
    let queue = rig.stand.world.queue().expect("the world has a queue");
    let queue = rig.get(&format!("queues/{queue}")).await;
    let messages = queue.as_array().or_else(|| queue["messages"].as_array()).cloned().unwrap_or_default();
    messages.iter().map(Value::to_string).filter(|message| message.contains(WEB)).collect()
}

async fn until_told(rig: &Rig, what: &str) -> Value {
    let deadline = Instant::now() + LONG;
    loop {
        let judged = rig.ctl(&["--json", "why-not", WEB]).await;
        let noted = if judged.code == 0 { judged.json()["noted"].clone() } else { Value::Null };
        if noted["told"]["sns-notify-oncall"]["state"] == "published" {
            return noted;
        }
        assert!(Instant::now() < deadline, "{what}: nobody was told: {noted}");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn mode_notify_publishes_once_and_moves_nothing() {
    let mut rig = raise("notify").await;
    rig.lose(LOST).await;
    let noted = until_told(&rig, "notify").await;
    assert_eq!((noted["about"].as_str(), noted["to"].as_str()), (Some("should-move"), Some(NEW)), "{noted}");
    tokio::time::sleep(QUIET).await;
    let arrived = arrived(&rig).await;
    assert_eq!(arrived.len(), 1, "{arrived:?}");
    assert!(arrived[0].contains("should be moved to us-west-2"), "{arrived:?}");
    assert!(rig.failovers(WEB).await.is_empty());
    let said = rig.ctl(&["why-not", WEB]).await.expect(0).stdout;
    assert!(said.contains("has published it to arn:aws:sns:us-west-2:"), "{said}");
    let file = rig.path("audit.bin");
    rig.ctl(&["audit", "export", "-o", &file.display().to_string()]).await.expect(0);
    // Length-delimited protobuf, whose texts are as they are.
    let audit = std::fs::read(&file).expect("exported");
    assert!(String::from_utf8_lossy(&audit).contains("has published a notice about web"));
}

#[tokio::test]
async fn what_a_freeze_blocks_is_told_and_so_is_the_move_that_follows() {
    let mut rig = raise("full").await;
    rig.ctl(&["freeze", WEB, "--for", "1h", "--reason", "a release"]).await.expect(0);
    rig.lose(LOST).await;
    let noted = until_told(&rig, "blocked").await;
    assert_eq!(noted["about"], "blocked", "{noted}");
    assert!(noted["text"].as_str().is_some_and(|text| text.contains("a release")), "{noted}");
    // A person who knows of the freeze moves it all the same.
    let refused = rig.ctl(&["failover", "--to", NEW, "--service", WEB, "--yes"]).await;
    assert!(refused.code != 0 && refused.stderr.contains("meshctl unfreeze web"), "{}", refused.stderr);
    let args = ["failover", "--to", NEW, "--service", WEB, "--yes", "--despite-freeze", "the region burns"];
    rig.ctl(&args).await.expect(0);
    let run = rig.failovers(WEB).await.remove(0);
    let why = rig.ctl(&["why", run.as_str()]).await.expect(0).stdout;
    assert!(why.contains("despite a freeze (the region burns)"), "{why}");
}

#[tokio::test]
async fn an_automatic_move_is_told_when_it_begins_and_when_it_is_done() {
    let mut rig = raise("full").await;
    rig.lose(LOST).await;
    let run = rig.until_failover(WEB, 1).await;
    rig.until_settled(&run).await;
    let noted = until_told(&rig, "began").await;
    assert_eq!(noted["about"], "began", "{noted}");
    let deadline = Instant::now() + LONG;
    while arrived(&rig).await.len() < 2 {
        assert!(Instant::now() < deadline, "{:?}", arrived(&rig).await);
        tokio::time::sleep(POLL).await;
    }
    let arrived = arrived(&rig).await;
    assert!(arrived.iter().any(|message| message.contains("is being moved to us-west-2")), "{arrived:?}");
    assert!(arrived.iter().any(|message| message.contains("now runs in us-west-2")), "{arrived:?}");
}
