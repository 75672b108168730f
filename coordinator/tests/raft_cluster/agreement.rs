//! Leaders come and go; what was committed stays, and all agree on it.

use mesh_coordinator::consensus::ConsensusError;
use mesh_core::fleet::Command;
use mesh_core::ids::{AgentId, RegionId};

use crate::cluster::{Cluster, address, wait_for};

const NO_SNAPSHOTS: u64 = 5_000;
/// Several election timeouts.
const ELECTIONS: std::time::Duration = std::time::Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_founders_elect_a_leader_name_the_mesh_and_agree() {
    let cluster = Cluster::started(3, NO_SNAPSHOTS).await;
    for number in 0..10 {
        cluster.register(&format!("agent-{number}")).await;
    }
    wait_for("the mesh to have its name everywhere", || async {
        cluster.ids().iter().all(|id| cluster.node(*id).with_fleet(|fleet| fleet.mesh == "demo"))
    })
    .await;
    cluster.assert_agreement().await;
    let leader = cluster.leader().await;
    let membership = cluster.node(leader).membership();
    assert_eq!(membership.members.iter().filter(|member| member.voter).count(), 3);
    for id in cluster.ids() {
        wait_for("all to know the leader", || async {
            cluster.node(id).leadership().borrow().leader == Some((leader, address(leader)))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_names_the_leader_and_proposes_nothing() {
    let cluster = Cluster::started(3, NO_SNAPSHOTS).await;
    cluster.register("agent-1").await;
    let leader = cluster.leader().await;
    let follower = cluster.ids().into_iter().find(|id| *id != leader).expect("there are three");
    let command = Command::RegisterAgent {
        agent: AgentId::new("x").expect("a name"),
        region: RegionId::new("r1").expect("a name"),
    };
    wait_for("the follower to know the leader", || async {
        let refused = cluster.node(follower).propose(command.clone()).await;
        matches!(refused, Err(ConsensusError::NotLeader { leader: Some((id, _)) }) if id == leader)
    })
    .await;
    let refused = cluster.node(follower).read_index().await;
    assert!(matches!(refused, Err(ConsensusError::NotLeader { .. })), "{refused:?}");
    assert!(!cluster.knows(leader, "x"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leader_is_killed_another_goes_on_and_the_killed_one_catches_up() {
    let mut cluster = Cluster::started(3, NO_SNAPSHOTS).await;
    cluster.register("before").await;
    let old = cluster.leader().await;
    cluster.stop(old).await;
    let new = cluster.leader().await;
    assert_ne!(new, old);
    assert!(cluster.knows(new, "before"), "what was acknowledged survives its leader");
    cluster.register("after").await;
    cluster.start(old).await;
    wait_for("the old leader to catch up", || async { cluster.knows(old, "after") }).await;
    cluster.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_killed_at_once_come_back_with_everything() {
    let mut cluster = Cluster::started(3, NO_SNAPSHOTS).await;
    for number in 0..5 {
        cluster.register(&format!("agent-{number}")).await;
    }
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let leader = cluster.leader().await;
    assert!((0..5).all(|number| cluster.knows(leader, &format!("agent-{number}"))));
    cluster.register("after").await;
    cluster.assert_agreement().await;
}

/// Invariant Linearizable: being leader by one's own account is nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_confirms_no_read_and_commits_nothing() {
    let cluster = Cluster::started(3, NO_SNAPSHOTS).await;
    cluster.register("before").await;
    let old = cluster.leader().await;
    let others: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != old).collect();
    cluster.isolate(old);
    let command = Command::RegisterAgent {
        agent: AgentId::new("lost").expect("a name"),
        region: RegionId::new("r1").expect("a name"),
    };
    let proposed = cluster.node(old).propose(command).await;
    assert!(proposed.is_err(), "{proposed:?}");
    let new = cluster.leader_among(&others).await;
    cluster.register_among(&others, "after").await;
    for _ in 0..3 {
        let read = cluster.node(old).read_index().await;
        assert!(read.is_err(), "a read was confirmed by a leader that {new} has replaced");
    }
    assert!(!cluster.knows(old, "after"));
    cluster.heal(old);
    wait_for("the old leader to follow", || async { cluster.knows(old, "after") }).await;
    cluster.assert_agreement().await;
    assert!(!cluster.knows(new, "lost"), "what no quorum held is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_back_from_a_partition_does_not_unseat_the_leader() {
    let cluster = Cluster::started(3, NO_SNAPSHOTS).await;
    cluster.register("before").await;
    let leader = cluster.leader().await;
    let cut = cluster.ids().into_iter().find(|id| *id != leader).expect("there are three");
    let others: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != cut).collect();
    cluster.isolate(cut);
    // Without pre-vote it would stand for election in this time, and raise its term.
    tokio::time::sleep(ELECTIONS).await;
    let term = cluster.node(cut).leadership().borrow().term;
    let current = cluster.leader_among(&others).await;
    assert!(term <= cluster.node(current).leadership().borrow().term, "an isolated node raises no term");
    cluster.heal(cut);
    cluster.register_among(&others, "after").await;
    wait_for("the cut node to catch up", || async { cluster.knows(cut, "after") }).await;
    cluster.assert_agreement().await;
}
