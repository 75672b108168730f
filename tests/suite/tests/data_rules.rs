//! Safety rules about data on real processes: what agents count and measure holds a run back, whoever asks for it, until
//! two people set the rule aside by its name, for one plan and a time.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::path::PathBuf;
use std::time::Duration;

use mesh_core::run::RunState;
use mesh_runtime::clock::unix_now;
use mesh_suite::Rig;
use mesh_suite::ctl::Said;
use mesh_suite::foreign::Foreign;
use mesh_suite::rig::describe;
use meshctl::demo::maip::{NEW, SERVICE};
use meshctl::demo::region_loss::LOST;
use meshctl::signing::{Signer, save_approval};
use serde_json::{Value, json};

const TABLE: &str = "maip-prod-merchant-analytics";
const RULES: &str = "safety:\n  - { name: same-items, rule: items-equal(merchant-analytics) }\n  \
                     - { name: fresh, rule: lag(database) < 20s }\n  - { name: others-on, rule: regions-on >= 1 }\n  \
                     - { name: database-first, rule: traffic after promotion }\n";

/// The rule as `why-not` has it: its state, and its text.
fn rule(judged: &Value, name: &str) -> Option<(String, String)> {
    let rules = judged["rules"].as_array()?;
    let text = |rule: &Value| rule["text"].as_str().unwrap_or_default().to_owned();
    let found = rules.iter().find(|rule| rule["rule"] == "safety" && text(rule).starts_with(&format!("{name}: ")))?;
    Some((found["state"].as_str()?.to_owned(), text(found)))
}

async fn until_rule(rig: &Rig, name: &str, state: &str, words: &str) -> String {
    let holds = |judged: &Value| rule(judged, name).is_some_and(|(is, text)| is == state && text.contains(words));
    let judged = rig.until_judged(SERVICE, &format!("{name} {state} with {words:?}"), holds).await;
    rule(&judged, name).expect("it was found").1
}

/// A plan as two people would look at it: its file, and its hash.
async fn plan(rig: &Rig, name: &str) -> (String, String) {
    let file = rig.path(name).display().to_string();
    let args = ["--json", "plan", "failover", "--to", NEW, "--service", SERVICE, "--save", &file];
    let said = rig.ctl(&args).await.expect(0).json();
    let hash = said["plans"][0]["hash"].as_str().unwrap_or_else(|| panic!("no hash: {said}")).to_owned();
    (file, hash)
}

struct People<'a>(&'a Rig);

impl People<'_> {
    /// A person's approval that sets the rule aside for a plan, as `meshctl` makes it.
    async fn sign(&self, person: &str, file: &str, rule: &str, hash: &str) -> String {
        let (path, key) =
            (self.0.path(file).display().to_string(), self.0.stand.layout.key(person).display().to_string());
        let subject = format!("override-rule {rule} {SERVICE} {hash}");
        let args = ["approval", "sign", "--subject", &subject, "--key", &key, "--minutes", "30", "-o", &path, "--yes"];
        self.0.ctl_as(person, &args).await.expect(0);
        path
    }

    /// As [`Self::sign`], over already.
    fn sign_expired(&self, person: &str, file: &str, rule: &str, hash: &str) -> String {
        let path: PathBuf = self.0.path(file);
        let signer = Signer::load(&self.0.stand.layout.key(person)).expect("the key");
        let subject = format!("override-rule {rule} {SERVICE} {hash}");
        let past = unix_now().minus(Duration::from_secs(120));
        let approval = signer.sign(self.0.mesh().name(), &subject, past, Duration::from_secs(60)).expect("signed");
        save_approval(&approval, &path).expect("a file");
        path.display().to_string()
    }

    async fn start(&self, plan: &str, approvals: &[&str]) -> Said {
        let mut args =
            vec!["--json", "failover", "--to", NEW, "--service", SERVICE, "--plan", plan, "--yes", "--no-wait"];
        args.extend(approvals.iter().flat_map(|file| ["--approval", *file]));
        self.0.ctl(&args).await
    }
}

#[tokio::test]
async fn counts_that_differ_hold_a_failover_back_until_two_people_set_the_rule_aside_for_that_plan() {
    let rig = Rig::raise_by_itself(RULES).await;
    let foreign = Foreign::new(&rig).await;
    foreign.put_item(LOST, TABLE, "merchant_id", "m-1").await;
    until_rule(&rig, "same-items", "held", &format!("1 items in {LOST}, 1 in {NEW}, counted")).await;
    until_rule(&rig, "fresh", "held", "ReplicaLag of database").await;
    until_rule(&rig, "others-on", "held", "1 healthy").await;

    // What is written from now on does not arrive.
    rig.post("settings", &json!({ "dynamodb_replication_lag_ms": 3_600_000 })).await;
    foreign.put_item(LOST, TABLE, "merchant_id", "m-2").await;
    until_rule(&rig, "same-items", "blocks", &format!("2 items in {LOST}, 1 in {NEW}, counted")).await;

    let (file, hash) = plan(&rig, "looked-at.plan").await;
    let (_, other) = plan(&rig, "another.plan").await;
    assert_ne!(hash, other, "a plan of another moment expects another loss");
    let people = People(&rig);
    let [ann, bob] =
        [people.sign("ann", "ann", "same-items", &hash).await, people.sign("bob", "bob", "same-items", &hash).await];
    let ann_again = people.sign("ann", "ann-again", "same-items", &hash).await;
    let ann_other = people.sign("ann", "ann-other", "same-items", &other).await;
    let bob_other = people.sign("bob", "bob-other", "same-items", &other).await;
    let bob_rule = people.sign("bob", "bob-rule", "fresh", &hash).await;
    let bob_late = people.sign_expired("bob", "bob-late", "same-items", &hash);
    let refused: [(&str, Vec<&str>, &str); 6] = [
        ("nobody", vec![], "2 items in"),
        ("one person alone", vec![&ann], "same-items"),
        ("the same person twice", vec![&ann, &ann_again], "same-items"),
        ("another plan's hash", vec![&ann_other, &bob_other], "same-items"),
        ("another rule's name", vec![&ann, &bob_rule], "same-items"),
        ("one that has expired", vec![&ann, &bob_late], "expired"),
    ];
    for (who, approvals, words) in refused {
        let said = people.start(&file, &approvals).await;
        assert_ne!(said.code, 0, "{who} set it aside: {said:?}");
        assert!(said.stderr.contains(words), "{who}: {said:?}");
    }
    assert!(rig.failovers(SERVICE).await.is_empty(), "a refused start left a run behind");

    let started = people.start(&file, &[&ann, &bob]).await.expect(0).json();
    let run = started["runs"][0].as_str().expect("a run").parse().expect("its name");
    // The lag gate of the plan is another matter: it waits until the table is replicated.
    rig.post("settings", &json!({ "dynamodb_replication_lag_ms": 300 })).await;
    let done = rig.until_settled(&run).await;
    assert_eq!(done.state, RunState::Done, "{}", describe(&done));
    assert_eq!(done.overrides.iter().collect::<Vec<_>>(), ["same-items"]);
    let report = rig.ctl(&["report", run.as_str()]).await.expect(0).stdout;
    assert!(report.contains("safety rule same-items, by two people"), "{report}");
    rig.ctl(&["audit", "verify"]).await.expect(0);
}

#[tokio::test]
async fn a_lag_above_the_rule_and_a_region_too_few_hold_a_failover_back() {
    let rig = Rig::raise_by_itself(
        "safety:\n  - { name: fresh, rule: lag(database) < 5s }\n  - { name: others-on, rule: regions-on >= 1 }\n",
    )
    .await;
    until_rule(&rig, "fresh", "held", "ReplicaLag of database").await;
    rig.post("settings", &json!({ "replication_lag_ms": 60_000 })).await;
    // Not only late: what is measured is more than the rule allows, and grows.
    let is_behind = |judged: &Value| {
        rule(judged, "fresh").is_some_and(|(state, text)| {
            let lag = text.split("(lag ").nth(1).and_then(|rest| rest.split(" s by").next()?.parse::<f64>().ok());
            state == "blocks" && text.contains("5.0 s is allowed") && lag.is_some_and(|lag| lag > 6.0)
        })
    };
    rig.until_judged(SERVICE, "fresh blocks, by the lag alone", is_behind).await;
    let said = rig.ctl(&["failover", "--to", NEW, "--service", SERVICE, "--yes"]).await;
    assert_ne!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("safety rule fresh"), "{said:?}");
    rig.region(NEW, "down").await;
    until_rule(&rig, "others-on", "blocks", "0 healthy").await;
}
