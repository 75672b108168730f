//! What the mesh says of a loss, beside what the double and the clients count: predicted before, measured after, and an
//! approval that lapses when more is expected to be lost.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::time::{Duration, Instant};

use mesh_core::access::loss_subject;
use mesh_core::ids::RunId;
use mesh_core::plan::PredictedLoss;
use mesh_core::run::{MeasuredLoss, Need, Run, RunState};
use mesh_runtime::clock::unix_now;
use mesh_suite::Rig;
use mesh_suite::rig::{LONG, describe};
use meshctl::demo::maip::{NEW, SERVICE};
use meshctl::demo::region_loss::{LOST, POLICY};
use meshctl::demo::verdict::lost_writes;
use meshctl::demo::writers::{Writers, list};
use meshctl::mesh::Mesh;
use meshctl::signing::Signer;
use serde_json::json;

const POLL: Duration = Duration::from_millis(50);
const WARM_WRITES: usize = 50;
/// The replica is behind by this, and what is on its way when the region dies is lost.
const LAG_MS: u64 = 1_500;
/// Approvals that lapse one after the other while the loss still grows.
const ROUNDS_MAX: usize = 20;

fn databases(rig: &Rig) -> Vec<(String, String)> {
    let world = &rig.stand.world;
    let of = |region: &str| Some((region.to_owned(), world.database(&rig.stand.ready, region)?));
    world.sites().into_iter().filter_map(of).collect()
}

/// The target's database as the double counts what it lacks.
async fn counted(rig: &Rig) -> (usize, Option<u64>) {
    let state = rig.get("state").await;
    let instances = state["instances"].as_array().cloned().unwrap_or_default();
    let target = instances.iter().find(|one| one["region"] == NEW).expect("the target's database");
    let count = target["lost_writes"]["count"].as_u64().expect("a count");
    (usize::try_from(count).expect("not that many"), target["lost_writes"]["first_at_ms"].as_u64())
}

#[tokio::test]
async fn a_lost_region_s_report_states_predicted_and_measured_loss_and_the_judge_agrees() {
    let mut rig = Rig::raise_by_itself(POLICY).await;
    rig.until_judged(SERVICE, "every region is healthy", |judged| {
        judged["regions"].as_object().is_some_and(|all| all.values().all(|one| one["verdict"] == "healthy"))
    })
    .await;
    rig.post("settings", &json!({ "replication_lag_ms": LAG_MS, "lose_tail": true })).await;
    let databases = databases(&rig);
    let writers = Writers::start_asking(&databases, &rig.stand.leases);
    let deadline = Instant::now() + LONG;
    while writers.accepted_in(LOST) < WARM_WRITES {
        assert!(Instant::now() < deadline, "{LOST} took no writes");
        tokio::time::sleep(POLL).await;
    }
    rig.until_judged(SERVICE, "a lag of the replica", |judged| {
        judged["rules"].to_string().contains("ReplicaLag of database, measured")
    })
    .await;
    // Longer than the lag, so that the replica is that far behind and no farther.
    tokio::time::sleep(Duration::from_millis(LAG_MS * 3)).await;
    rig.lose(LOST).await;
    let run = rig.until_failover(SERVICE, 1).await;
    let done = rig.until_settled(&run).await;
    assert_eq!(done.state, RunState::Done, "{}", describe(&done));
    while writers.accepted_in(NEW) == 0 {
        assert!(Instant::now() < deadline, "{NEW} takes no writes");
        tokio::time::sleep(POLL).await;
    }
    let accepted = writers.stop().await;

    let (_, address) = databases.iter().find(|(region, _)| region == NEW).expect("its address");
    let survivor = list(address).await.expect("the target lists its writes");
    let lost = lost_writes(&accepted, LOST, &survivor);
    let (by_double, first_lost) = counted(&rig).await;
    assert!(lost > 0, "nothing was lost: the test shows nothing");
    // A write whose OK was under way when the region died was accepted, and no client knows.
    assert!(by_double >= lost && by_double <= lost + 8, "the double counts {by_double} lost, the clients {lost}");

    let PredictedLoss::Lag { signal, observer, measured_at, .. } = &done.plan.loss else {
        panic!("nothing was predicted: {:?}", done.plan.loss)
    };
    assert!(signal.contains("ReplicaLag of database") && !observer.is_empty(), "{:?}", done.plan.loss);
    let Some(MeasuredLoss::After { through, outage, closed, .. }) = &done.measured else {
        panic!("nothing was measured: {:?}", done.measured)
    };
    let first_lost = first_lost.expect("the first lost write has a time");
    assert!(
        through.as_millis() <= first_lost,
        "a write of {first_lost} is lost, and all up to {through} should be there"
    );
    let (outage, closed) = (outage.expect("it was seen"), closed.expect("the leases ended"));
    assert!(*measured_at <= outage && outage <= closed, "{measured_at} {outage} {closed}");
    let objective = Duration::from_secs(30);
    assert!(outage.since(*through) <= objective, "more than the objective was let go: {:?}", done.measured);

    let report = rig.ctl(&["report", run.as_str()]).await.expect(0).stdout;
    for words in
        ["predicted loss", "ReplicaLag of database", "measured loss", "not measurable to the write", "everything up to"]
    {
        assert!(report.contains(words), "{words}: {report}");
    }
    let report = rig.ctl(&["--json", "report", run.as_str()]).await.expect(0).json();
    assert_eq!(report["measured_loss"]["kind"], "after", "{report}");
    assert_eq!(report["predicted_loss"]["kind"], "lag", "{report}");
    let why = rig.ctl(&["why", run.as_str()]).await.expect(0).stdout;
    assert!(why.contains("ReplicaLag of database, measured"), "{why}");
}

#[tokio::test]
async fn a_failover_with_a_fenced_primary_lost_nothing_and_the_double_counts_nothing() {
    let rig = Rig::raise().await;
    let writers = Writers::start(&databases(&rig));
    let run = rig.begin_failover().await;
    let done = rig.until_settled(&run).await;
    rig.judge_failover(&done).await;
    writers.stop().await;
    assert!(matches!(done.measured, Some(MeasuredLoss::Nothing { .. })), "{:?}", done.measured);
    assert_eq!(counted(&rig).await.0, 0);
}

fn waits_for_consent(run: &Run) -> bool {
    matches!(run.state, RunState::Held { need: Need::Consent { .. }, .. })
}

/// Signs what the run shows now, again while more is expected before it arrives: how many are still missing, and what
/// the person was shown.
async fn approve(rig: &Rig, person: &str, run: &RunId) -> (u64, String) {
    let key = rig.stand.layout.key(person).display().to_string();
    for _ in 0..ROUNDS_MAX {
        let said = rig.ctl_as(person, &["--json", "approve", run.as_str(), "--key", &key, "--yes"]).await;
        if said.code == 0 {
            return (said.json()["missing"].as_u64().expect("a number"), said.stderr);
        }
        assert!(said.stderr.contains("more is expected to be lost"), "{said:?}");
    }
    panic!("{person} never approved what was expected");
}

async fn now(rig: &Rig, run: &RunId) -> Run {
    rig.until(run, "anything", |_| true).await
}

#[tokio::test]
async fn an_approval_lapses_when_more_is_expected_to_be_lost_from_grpc_to_the_command_line() {
    let mut rig = Rig::raise().await;
    rig.until_judged(SERVICE, "a lag of the replica", |judged| {
        judged["rules"].to_string().contains("ReplicaLag of database, measured")
    })
    .await;
    rig.kill("agent-use1-a");
    rig.kill("agent-use1-b");
    let said = rig.ctl_as("operator", &["--json", "failover", "--to", NEW, "--yes"]).await.expect(6);
    let run: RunId = said.json()["runs"][0]["run"].as_str().expect("a run").parse().expect("its name");
    let held = rig.until(&run, "consent", waits_for_consent).await;
    let signer = Signer::load(&rig.stand.layout.key("ann")).expect("her key");
    let subject = loss_subject(&held.id, &held.plan_hash, &held.loss);
    let early = signer.sign(rig.mesh().name(), &subject, unix_now(), Duration::from_secs(3600)).expect("signed");
    let (missing, shown) = approve(&rig, "ann", &run).await;
    assert_eq!(missing, 1);
    assert!(shown.contains("expected loss") && shown.contains("ReplicaLag of database, measured"), "{shown}");

    // The old primary writes on, and the replica falls behind.
    rig.post("settings", &json!({ "replication_lag_ms": 20_000 })).await;
    let enough = Duration::from_secs(15);
    rig.until(&run, "more to be lost", |run| run.loss.total().is_some_and(|loss| loss >= enough)).await;
    let profile = meshctl::profile::load(Some(&rig.stand.layout.profile_of("ann"))).expect("her profile");
    let refused = Mesh::open(&profile).expect("a mesh").approve(&run, &early).await.expect_err("it accepts less");
    assert!(refused.to_string().contains("more is expected to be lost"), "{refused}");

    let (missing, shown) = approve(&rig, "bob", &run).await;
    assert_eq!(missing, 1, "ann's approval accepted less; bob was shown: {shown}");
    assert!(waits_for_consent(&now(&rig, &run).await), "one valid approval is not two");
    for _ in 0..ROUNDS_MAX {
        for person in ["ann", "bob"] {
            let (missing, _) = approve(&rig, person, &run).await;
            if missing == 0 {
                rig.until(&run, "two people's word to count", |run| !waits_for_consent(run)).await;
                return;
            }
        }
    }
    panic!("two people who look at the same number never let it go on");
}
