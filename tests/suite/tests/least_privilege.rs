//! The policies of deploy/iam, evaluated by the double for every request of every agent: enough for a whole failover,
//! and not more.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mesh_core::run::RunState;
use mesh_suite::Rig;
use mesh_suite::foreign::ZONE;
use meshctl::demo::maip::{self, Plot};
use serde_json::{Value, json};

const ACCOUNT: &str = "123456789012";
/// The six agents: key name in the double's world, and region.
const AGENTS: [(&str, &str); 6] = [
    ("use1-a", "us-east-1"),
    ("use1-b", "us-east-1"),
    ("usw2-a", "us-west-2"),
    ("usw2-b", "us-west-2"),
    ("euc1-a", "eu-central-1"),
    ("euc1-b", "eu-central-1"),
];

/// The statements of a policy as an operator would fill them in.
fn statements(file: &str, region: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/iam").join(file);
    let text = std::fs::read_to_string(&path).expect("the policy is there");
    let text = text.replace("REGION", region).replace("ACCOUNT", ACCOUNT).replace("ZONE", ZONE);
    let policy: Value = serde_json::from_str(&text).expect("the policy is JSON");
    policy.get("Statement").and_then(Value::as_array).expect("statements").clone()
}

async fn limit(rig: &Rig, files: &[&str]) {
    for (agent, region) in AGENTS {
        let statements: Vec<Value> = files.iter().flat_map(|file| statements(file, region)).collect();
        let policy = json!({ "Version": "2012-10-17", "Statement": statements });
        rig.post(&format!("policies/{agent}"), &policy).await;
    }
}

/// `service:Operation` of every call that one of the agents made, with what came of it.
async fn calls(rig: &Rig) -> Vec<(String, String, Option<String>)> {
    let effects = rig.get("effects").await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    effects
        .as_array()
        .expect("effects")
        .iter()
        .map(|effect| {
            let call = format!("{}:{}", text(&effect["service"]), text(&effect["operation"]));
            (call, text(&effect["outcome"]), effect["error"].as_str().map(str::to_owned))
        })
        .collect()
}

fn denied(error: Option<&String>) -> bool {
    error.is_some_and(|error| error.contains("AccessDenied") || error.contains("AuthorizationError"))
}

#[tokio::test]
async fn the_policies_are_enough_for_a_failover_and_hold_no_call_that_it_does_not_make() {
    let rig = Rig::raise().await;
    limit(&rig, &["agent-observe.json", "agent-act.json"]).await;
    let run = rig.begin_failover().await;
    let run = rig.until_settled(&run).await;
    assert_eq!(run.state, RunState::Done, "{:?}", run.state);
    rig.judge_failover(&run).await;
    let calls = calls(&rig).await;
    let refused: BTreeSet<&String> =
        calls.iter().filter(|(_, _, error)| denied(error.as_ref())).map(|(call, _, _)| call).collect();
    assert_eq!(refused, BTreeSet::new(), "no agent asked for what its policy leaves out");

    let made: BTreeSet<String> =
        calls.iter().filter(|(_, outcome, _)| outcome == "applied").map(|(call, _, _)| call.clone()).collect();
    for statement in statements("agent-act.json", "us-west-2") {
        let actions = match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            one => vec![one.clone()],
        };
        for action in actions {
            let action = action.as_str().expect("an action").to_owned();
            assert!(made.contains(&action), "{action} is allowed, and a failover does not use it");
        }
    }
}

#[tokio::test]
async fn a_table_is_counted_with_its_own_policy_and_without_it_the_rule_says_what_is_missing() {
    let rig = Rig::raise().await;
    limit(&rig, &["agent-observe.json"]).await;
    let policy = "safety:\n  - { name: same-items, rule: items-equal(merchant-analytics) }\n".to_owned();
    let plot = Plot { asked_at: None, policy };
    let yaml = maip::manifest_with(&rig.stand.world, &rig.stand.ready, &plot).expect("a manifest");
    rig.adopt(maip::SERVICE, &yaml).await;
    let rule = |judged: &Value, state: &str, words: &str| {
        let rules = judged["rules"].as_array().cloned().unwrap_or_default();
        let text = |rule: &Value| rule["text"].as_str().unwrap_or_default().to_owned();
        rules.iter().any(|rule| rule["rule"] == "safety" && rule["state"] == state && text(rule).contains(words))
    };
    let refused = |judged: &Value| rule(judged, "missing", "not authorized") || rule(judged, "missing", "AccessDenied");
    rig.until_judged(maip::SERVICE, "no leave to count", refused).await;
    limit(&rig, &["agent-observe.json", "agent-count.json"]).await;
    rig.until_judged(maip::SERVICE, "a count", |judged| rule(judged, "held", "0 items in us-east-1, 0 in us-west-2"))
        .await;
}

#[tokio::test]
async fn with_the_observing_policy_alone_nothing_is_changed_and_the_run_says_why() {
    let rig = Rig::raise().await;
    limit(&rig, &["agent-observe.json"]).await;
    let before = rig.applied().await;
    let run = rig.begin_failover().await;
    let run = rig.until_settled(&run).await;
    let RunState::Held { reason, .. } = &run.state else { panic!("it is held: {:?}", run.state) };
    assert!(reason.contains("not authorized") || reason.contains("AccessDenied"), "{reason}");
    assert_eq!(rig.applied().await, before, "nothing was applied");
    assert!(calls(&rig).await.iter().any(|(_, _, error)| denied(error.as_ref())), "a call was refused");
}
