//! A service without a database, closed by commands of the operator's own and, beside them, at API Gateway: there and
//! back, on real processes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::path::PathBuf;

use aws_sdk_route53::types::RrType;
use mesh_core::ids::RunId;
use mesh_core::run::{Run, RunState};
use mesh_suite::Rig;
use mesh_suite::foreign::{Foreign, ZONE, set};
use mesh_suite::rig::describe;
use serde_json::{Value, json};

const SHOP: &str = "shop";
const NAME: &str = "shop.maip.example.com";
const TTL: u32 = 60;
const EAST: &str = "us-east-1";
const WEST: &str = "us-west-2";
const AGENTS: [&str; 6] = ["use1-a", "use1-b", "usw2-a", "usw2-b", "euc1-a", "euc1-b"];

/// Its gate is a file for each region, which is there while the region is closed. Each command writes down what it did,
/// when, and for which generation; an older one is refused.
fn hook(rig: &Rig) -> Value {
    let dir = rig.path("gates").display().to_string();
    let act = |what: &str, verb: &str| {
        let script = format!(
            "cd {dir} || exit 3; last=$(cat last-$MESH_REGION 2>/dev/null || echo 0); \
             [ \"$MESH_GENERATION\" -ge \"$last\" ] || {{ echo too old >&2; exit 4; }}; \
             echo $MESH_GENERATION > last-$MESH_REGION; {what} closed-$MESH_REGION; \
             echo {verb} $MESH_REGION $MESH_GENERATION $(date +%s%3N) >> log"
        );
        json!(["/bin/sh", "-c", script])
    };
    let check = format!("if [ -e {dir}/closed-$MESH_REGION ]; then exit 0; else exit 1; fi");
    json!({ "fence": act("touch", "fence"), "unfence": act("rm -f", "unfence"), "check": ["/bin/sh", "-c", check] })
}

fn manifest() -> String {
    let active: String = [EAST, WEST]
        .map(|region| format!("      {region}: [{{ type: CNAME, ttl: {TTL}s, values: [{region}.example.net] }}]\n"))
        .concat();
    format!(
        "apiVersion: mesh/v1\nservice: {SHOP}\nwriter: single\nregions: {{ {EAST}: primary, {WEST}: standby }}\n\
         objectives: {{ rto: 2m, rpo: 0s }}\ntraffic:\n  - name: www\n    zone-id: {ZONE}\n    record: {NAME}\n    \
         active:\n{active}fence:\n  - hook: gate\n  - api-gateway-throttle:\n      name: web\n      stages:\n        \
         {EAST}: {{ api: aeast12345, stage: prod, rate: 900, burst: 450 }}\n        \
         {WEST}: {{ api: awest12345, stage: prod, rate: 900, burst: 450 }}\nlease: {{ length: 5s, margin: 500ms }}\n"
    )
}

/// With the hook in every agent's configuration, the policies that deploy/ has, and the service adopted.
async fn raise() -> Rig {
    let mut rig = Rig::raise_empty().await;
    std::fs::create_dir_all(rig.path("gates")).expect("a directory");
    std::fs::write(rig.path("gates").join(format!("closed-{WEST}")), "").expect("the standby is closed");
    let hook = hook(&rig);
    for agent in AGENTS {
        let path = rig.path(&format!("agent-{agent}")).join("agent.toml");
        let text = std::fs::read_to_string(&path).expect("its configuration");
        // An array of texts is written alike in JSON and TOML.
        let table: String = ["fence", "unfence", "check"].map(|key| format!("{key} = {}\n", hook[key])).concat();
        std::fs::write(&path, format!("{text}\n[hooks.gate]\n{table}")).expect("it can be written");
        rig.kill(&format!("agent-{agent}"));
        rig.restart(&format!("agent-{agent}"));
        rig.post(&format!("policies/{agent}"), &policy(agent)).await;
    }
    rig.until_whole().await;
    let value = format!("{EAST}.example.net");
    Foreign::new(&rig).await.upsert(set(NAME, RrType::Cname).values(TTL.into(), &[&value]).build()).await;
    rig.adopt(SHOP, &manifest()).await;
    rig.ctl(&["traffic", "setup", "--service", SHOP, "--yes"]).await.expect(0);
    rig
}

/// What the agent's own region needs, as an operator would fill it in; the acting policy names another record.
fn policy(agent: &str) -> Value {
    let (region, api) = match &agent[..4] {
        "use1" => (EAST, "aeast12345"),
        "usw2" => (WEST, "awest12345"),
        _ => ("eu-central-1", "none"),
    };
    let read = |file: &str| -> Vec<Value> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/iam").join(file);
        let text = std::fs::read_to_string(&path).expect("the policy is there");
        let text = text.replace("REGION", region).replace("ACCOUNT", "123456789012").replace("ZONE", ZONE);
        let text = text.replace("API", api).replace("STAGE", "prod").replace("api.maip.example.com", NAME);
        let policy: Value = serde_json::from_str(&text).expect("the policy is JSON");
        policy["Statement"].as_array().expect("statements").clone()
    };
    let files = ["agent-observe.json", "agent-act.json", "agent-throttle.json"];
    json!({ "Version": "2012-10-17", "Statement": files.iter().flat_map(|file| read(file)).collect::<Vec<_>>() })
}

async fn move_to(rig: &Rig, region: &str) -> Run {
    let begin = ["--json", "failover", "--to", region, "--yes", "--no-wait"];
    let said = rig.ctl(&begin).await.expect(0);
    let run = RunId::new(said.json()["runs"][0].as_str().expect("a run was started")).expect("a name");
    let run = rig.until_settled(&run).await;
    assert_eq!(run.state, RunState::Done, "{}", describe(&run));
    run
}

async fn stage(rig: &Rig, api: &str) -> Value {
    let state = rig.get("state").await;
    let all = state["apis"].as_array().expect("stages").clone();
    all.into_iter().find(|one| one["api"] == api && one["stage"] == "prod").expect("it is there")
}

fn is_closed(stage: &Value) -> bool {
    let shut = |of: &Value| of["rate"] == 0.0 && of["burst"] == 0;
    shut(&stage["default"]) && stage["routes"].as_object().expect("routes").values().all(shut)
}

/// When each change of a stage was applied: region and milliseconds.
async fn changes(rig: &Rig) -> Vec<(String, u64)> {
    let effects = rig.get("effects").await;
    let applied = effects.as_array().expect("effects").iter().filter(|one| one["outcome"] == "applied");
    let changes = applied.filter(|one| one["operation"] == "UpdateStage");
    changes.map(|one| (one["region"].as_str().expect("text").to_owned(), one["at_ms"].as_u64().expect("ms"))).collect()
}

/// What the hooks did: verb, region, generation, milliseconds.
fn hooks(rig: &Rig) -> Vec<(String, String, u64, u64)> {
    let log = std::fs::read_to_string(rig.path("gates").join("log")).unwrap_or_default();
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |nth: usize| words[nth].parse().expect("a number");
        (words[0].to_owned(), words[1].to_owned(), number(2), number(3))
    };
    log.lines().map(line).collect()
}

#[tokio::test]
async fn requests_stop_beside_the_fence_and_come_back_with_their_limits_there_and_back() {
    let rig = raise().await;
    let (east, west) = (stage(&rig, "aeast12345").await, stage(&rig, "awest12345").await);
    assert!(!is_closed(&east) && is_closed(&west));
    let lost = rig.fault("apigateway", EAST, "UpdateStage", "timeout-applied").await;

    let there = move_to(&rig, WEST).await;
    assert_eq!(rig.fired(&lost).await, 1, "the reply to the close was lost");
    let closed = stage(&rig, "aeast12345").await;
    assert!(is_closed(&closed), "{closed}");
    assert_eq!(closed["default"]["metrics"], true, "what is no limit stays: {closed}");
    let opened = stage(&rig, "awest12345").await;
    assert_eq!((opened["default"]["rate"].as_f64(), opened["default"]["burst"].as_i64()), (Some(900.0), Some(450)));
    let (applied, ran) = (changes(&rig).await, hooks(&rig));
    let [(first, stopped), (second, admitted)] = applied.as_slice() else { panic!("each once: {applied:?}") };
    assert_eq!((first.as_str(), second.as_str()), (EAST, WEST));
    let [fence, unfence] = ran.as_slice() else { panic!("each once: {ran:?}") };
    assert_eq!(
        (fence.0.as_str(), fence.1.as_str(), unfence.0.as_str(), unfence.1.as_str()),
        ("fence", EAST, "unfence", WEST)
    );
    assert_eq!(fence.2, there.plan.generation.0);
    assert!(stopped.max(&fence.3) <= admitted.min(&unfence.3), "open before closed: {applied:?} {ran:?}");
    assert!(!rig.path("gates").join(format!("closed-{WEST}")).exists());

    let back = move_to(&rig, EAST).await;
    assert_eq!(stage(&rig, "aeast12345").await, east, "its limits are back, and nothing is left of the note");
    let closed = stage(&rig, "awest12345").await;
    assert!(is_closed(&closed), "{closed}");
    assert_eq!(changes(&rig).await.len(), 4);
    let ran = hooks(&rig);
    let told: Vec<(&str, &str)> = ran.iter().map(|(verb, region, _, _)| (verb.as_str(), region.as_str())).collect();
    assert_eq!(told, [("fence", EAST), ("unfence", WEST), ("fence", WEST), ("unfence", EAST)]);
    assert!(ran[2].3 <= ran[3].3 && ran[3].2 == back.plan.generation.0, "{ran:?}");
    let effects = rig.get("effects").await;
    let denied = |one: &&Value| one["error"].as_str().is_some_and(|error| error.contains("Denied"));
    let denied: Vec<&Value> = effects.as_array().expect("effects").iter().filter(denied).collect();
    assert!(denied.is_empty(), "the policies of deploy/ are enough: {denied:?}");
}
