//! What two people may set aside, and what a person's word is needed for: on real processes, by the command line.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use mesh_core::ids::RunId;
use mesh_core::run::RunState;
use mesh_suite::Rig;
use mesh_suite::by_itself::{WEB, policy};
use mesh_suite::rig::describe;
use meshctl::demo::maip::NEW;

/// It has two regions, and the one that is left does not count.
const RULE: &str = "safety:\n  - name: many\n    rule: regions-on >= 2\n";

async fn raise() -> Rig {
    let rig = Rig::raise_by_itself("").await;
    rig.adopt_web(&rig.stand.ready.apps, &format!("{}{RULE}", policy("off"))).await;
    rig
}

/// A signature of `person` over `subject`, in a file.
async fn sign(rig: &Rig, person: &str, subject: &str) -> String {
    let (key, file) = (rig.stand.layout.key(person), rig.path(&format!("{person}.approval")));
    let (key, file) = (key.display().to_string(), file.display().to_string());
    rig.ctl(&["approval", "sign", "--subject", subject, "--key", &key, "-o", &file, "--yes"]).await.expect(0);
    file
}

#[tokio::test]
async fn a_safety_rule_stops_people_too_until_two_of_them_set_it_aside_for_one_plan() {
    let rig = raise().await;
    let asked = rig.ctl(&["failover", "--to", NEW, "--service", WEB, "--yes"]).await;
    assert_ne!(asked.code, 0, "{}", asked.stdout);
    assert!(asked.stderr.contains("safety rule many"), "{}", asked.stderr);

    let plan = rig.path("web.plan").display().to_string();
    rig.ctl(&["plan", "failover", "--to", NEW, "--service", WEB, "--save", &plan]).await.expect(0);
    let start = ["failover", "--to", NEW, "--service", WEB, "--yes", "--no-wait", "--plan", plan.as_str()];
    let refused = rig.ctl(&start).await;
    // `meshctl approval sign --subject "…"` stands in the refusal.
    let rest = refused.stderr.split("--subject \"").nth(1).unwrap_or_default();
    let subject = rest.split('"').next().unwrap_or_default().to_owned();
    assert!(subject.starts_with("override-rule many web "), "{}", refused.stderr);

    let ann = sign(&rig, "ann", &subject).await;
    let one = rig.ctl(&[&start[..], &["--approval", ann.as_str()][..]].concat()).await;
    assert!(one.code != 0 && one.stderr.contains("safety rule many"), "one is not two: {}", one.stderr);
    let twice = rig.ctl(&[&start[..], &["--approval", ann.as_str(), "--approval", ann.as_str()][..]].concat()).await;
    assert_ne!(twice.code, 0, "one person is not two: {}", twice.stdout);
    let bob = sign(&rig, "bob", &subject).await;
    let both = rig
        .ctl(&[&["--json"][..], &start[..], &["--approval", ann.as_str(), "--approval", bob.as_str()][..]].concat())
        .await;
    let run = RunId::new(both.expect(0).json()["runs"][0].as_str().expect("a run")).expect("a name");
    let done = rig.until_settled(&run).await;
    assert_eq!(done.state, RunState::Done, "{}", describe(&done));
    assert!(done.overrides.contains("many"), "{:?}", done.overrides);
    let why = rig.ctl(&["why", run.as_str()]).await.expect(0).stdout;
    assert!(why.contains("safety rule many is set aside by two people"), "{why}");
}

#[tokio::test]
async fn ending_a_freeze_says_what_stays_frozen() {
    let rig = Rig::raise_by_itself("").await;
    rig.ctl(&["freeze", "maip", "--for", "1h", "--reason", "a release"]).await.expect(0);
    rig.ctl(&["freeze", "--for", "1h", "--reason", "an exercise"]).await.expect(0);
    let said = rig.ctl(&["unfreeze", "maip"]).await.expect(0).stdout;
    assert!(said.contains("every service is still frozen") && said.contains("`meshctl unfreeze` ends that"), "{said}");
    rig.ctl(&["freeze", "maip", "--for", "1h", "--reason", "a release"]).await.expect(0);
    let said = rig.ctl(&["unfreeze"]).await.expect(0).stdout;
    assert!(said.contains("maip is still frozen") && said.contains("`meshctl unfreeze maip` ends that"), "{said}");
    let said = rig.ctl(&["unfreeze", "maip"]).await.expect(0).stdout;
    assert!(said.contains("maip: no longer frozen") && !said.contains("still"), "{said}");
    let again = rig.ctl(&["unfreeze", "maip"]).await;
    assert!(again.code != 0 && again.stderr.contains("maip is not frozen"), "{}", again.stderr);
}
