//! A coordinator that is cut off from the others, in both directions or in one, while agents and people still reach it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::time::{Duration, Instant};

use mesh_core::ids::{RunId, ServiceId};
use mesh_core::run::RunState;
use mesh_runtime::client::CallLimits;
use mesh_suite::Rig;
use mesh_suite::relay::Relays;
use mesh_suite::rig::{LONG, describe};

/// For so long after its last answered ping an agent may begin a call.
const PERMIT: Duration = Duration::from_secs(5);
/// How long nothing must happen: an agent asks, and would act, every second.
const QUIET: Duration = Duration::from_secs(4);
/// Long enough for one that could answer.
const ASK: CallLimits = CallLimits { per_try: Duration::from_secs(2), total: Duration::from_secs(4) };
const POLL: Duration = Duration::from_millis(50);

fn others(name: &str) -> Vec<String> {
    (1..=3).map(|node| format!("coordinator-{node}")).filter(|one| one != name).collect()
}

/// Waits for a leader other than `old`, as the others see it.
async fn until_other_leader(rig: &Rig, relays: &Relays, old: &str) -> String {
    let addresses: Vec<String> = others(old).iter().map(|name| relays.behind(name)).collect();
    let path = rig.profile_with("others", &addresses);
    let profile = meshctl::profile::load(Some(&path)).expect("just written");
    let mesh = meshctl::mesh::Mesh::open(&profile).expect("a good profile").with_limits(ASK);
    let deadline = Instant::now() + LONG;
    loop {
        if let Ok(membership) = mesh.membership().await {
            let leader = format!("coordinator-{}", membership.leader);
            if membership.leader != 0 && leader != old {
                return leader;
            }
        }
        assert!(Instant::now() < deadline, "nobody but {old} ever led: {:?}", relays.delayed());
        tokio::time::sleep(POLL).await;
    }
}

/// Whatever needs a quorum is refused by the one that has none; what it knows it says only as stale.
async fn assert_answers_nothing(rig: &Rig, relays: &Relays, name: &str, run: &RunId) {
    let alone = rig.mesh_at(&relays.behind(name)).with_limits(ASK);
    let service = ServiceId::new("maip").expect("a name");
    assert!(alone.status(false).await.is_err(), "{name} tells what the mesh is");
    assert!(alone.run(run).await.is_err(), "{name} tells of a run");
    assert!(alone.set_armed(&service, false).await.is_err(), "{name} takes a decision");
    let stale = alone.status(true).await.unwrap_or_else(|failure| panic!("{name} says nothing at all: {failure}"));
    assert!(stale.stale, "what it knows by itself is no truth");
}

/// Cuts the leader's links in the middle of a promotion; the run must end without it, and nothing must happen twice.
async fn a_leader_is_cut_off(cut: impl Fn(&Relays, &str, &str)) {
    let mut rig = Rig::raise().await;
    let relays = rig.behind_relays().await;
    let hold = rig.fault("rds", "us-west-2", "PromoteReadReplica", "hold-after").await;
    let run = rig.begin_failover().await;
    rig.until_fired(&hold).await;
    let old = rig.leader().await;
    for other in others(&old) {
        cut(&relays, &old, &other);
    }
    let leader = until_other_leader(&rig, &relays, &old).await;
    assert_answers_nothing(&rig, &relays, &old, &run).await;
    assert!(!relays.delayed().is_empty(), "nothing was held up: the cut showed nothing");
    rig.release(&hold).await;
    let alone = rig.mesh_at(&relays.behind(&leader));
    let deadline = Instant::now() + LONG;
    let done = loop {
        match alone.run(&run).await {
            Ok(run) if run.state.is_terminal() || matches!(run.state, RunState::Held { .. }) => break run,
            other => assert!(Instant::now() < deadline, "{:?}", other.map(|run| describe(&run)).ok()),
        }
        tokio::time::sleep(POLL).await;
    };
    rig.judge_failover(&done).await;
    relays.heal();
    rig.until_replicas_agree().await;
    rig.until_whole().await;
    rig.ctl(&["audit", "verify"]).await.expect(0);
    rig.judge_failover(&done).await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_answers_nothing_and_the_run_goes_on_without_it() {
    a_leader_is_cut_off(|relays, leader, other| relays.part(leader, other)).await;
}

#[tokio::test]
async fn a_leader_that_nobody_hears_is_replaced() {
    a_leader_is_cut_off(|relays, leader, other| relays.cut(leader, other)).await;
}

#[tokio::test]
async fn a_leader_that_hears_nobody_is_replaced() {
    a_leader_is_cut_off(|relays, leader, other| relays.cut(other, leader)).await;
}

#[tokio::test]
async fn a_follower_that_is_cut_off_disturbs_nobody_and_catches_up() {
    let mut rig = Rig::raise().await;
    let relays = rig.behind_relays().await;
    let leader = rig.leader().await;
    let follower = others(&leader)[0].clone();
    for other in others(&follower) {
        relays.part(&follower, &other);
    }
    let term = rig.mesh().membership().await.expect("a membership").term;
    let run = rig.begin_failover().await;
    assert_answers_nothing(&rig, &relays, &follower, &run).await;
    let done = rig.until_settled(&run).await;
    rig.judge_failover(&done).await;
    relays.heal();
    rig.until_replicas_agree().await;
    let after = rig.mesh().membership().await.expect("a membership");
    assert_eq!(after.term, term, "it came back without an election");
}

/// The agents of the target hear the old leader only, and it hears no other coordinator: they stop by themselves.
#[tokio::test]
async fn a_leader_that_is_cut_off_permits_nothing() {
    let mut rig = Rig::raise().await;
    let relays = rig.behind_relays().await;
    // Refused for ever: its agent would try it again and again, as long as it may.
    let refused = serde_json::json!({
        "service": "rds", "region": "us-west-2", "operation": "PromoteReadReplica", "kind": "throttle", "count": 0,
    });
    let fault = rig.post("faults", &refused).await["id"].to_string();
    let run = rig.begin_failover().await;
    let deadline = Instant::now() + LONG;
    while rig.fired(&fault).await < 2 {
        assert!(Instant::now() < deadline, "the promotion was never tried twice");
        tokio::time::sleep(POLL).await;
    }
    let old = rig.leader().await;
    for other in others(&old) {
        relays.part(&old, &other);
        for agent in ["agent-usw2-a", "agent-usw2-b"] {
            relays.part(agent, &other);
        }
    }
    until_other_leader(&rig, &relays, &old).await;
    tokio::time::sleep(PERMIT).await;
    let before = rig.fired(&fault).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(rig.fired(&fault).await, before, "a call was begun on the word of a leader without a quorum");
    rig.release(&fault).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(rig.applied().await.get(&("PromoteReadReplica".to_owned(), "us-west-2".to_owned())), None);
    relays.heal();
    let done = rig.until_settled(&run).await;
    rig.judge_failover(&done).await;
    rig.until_replicas_agree().await;
}
