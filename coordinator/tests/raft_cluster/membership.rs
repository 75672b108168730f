//! Members come and go, and leadership is handed over.

use mesh_coordinator::consensus::ConsensusError;

use crate::cluster::{Cluster, address, wait_for};

const SNAPSHOT_EVERY: u64 = 20;

async fn caught_up(cluster: &Cluster, leader: u64, id: u64) {
    wait_for("the learner to catch up", || async {
        let last = *cluster.node(leader).applied().borrow();
        let membership = cluster.node(leader).membership();
        let member = membership.members.iter().find(|member| member.id == id);
        member.is_some_and(|member| member.matched_index >= Some(last) && member.last_heard_ms_ago < Some(500))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_beyond_the_log_gets_a_snapshot_and_the_whole_audit() {
    let mut cluster = Cluster::started(3, SNAPSHOT_EVERY).await;
    for number in 0..8 * SNAPSHOT_EVERY {
        cluster.register(&format!("agent-{number}")).await;
    }
    cluster.start(4).await;
    let leader = cluster.leader().await;
    cluster.node(leader).add_learner(4, address(4), "r4".to_owned()).await.expect("it is added");
    wait_for("the learner to have everything", || async {
        cluster.knows(4, &format!("agent-{}", 8 * SNAPSHOT_EVERY - 1))
    })
    .await;
    cluster.assert_agreement().await;
    assert!(!cluster.node(4).membership().members.iter().any(|member| member.id == 4 && member.voter));
    let applied = *cluster.node(4).applied().borrow();
    cluster.stop(4).await;
    let purged = cluster.purged(4).expect("its log begins after a snapshot");
    assert!(purged + 2 * SNAPSHOT_EVERY > applied, "it came by a snapshot: {purged} of {applied} are not in its log");
    cluster.start(4).await;
    cluster.register("last").await;
    wait_for("the restarted learner to follow", || async { cluster.knows(4, "last") }).await;
    cluster.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_is_promoted_leads_and_the_old_leader_is_removed() {
    let mut cluster = Cluster::started(3, 5_000).await;
    cluster.register("before").await;
    cluster.start(4).await;
    let old = cluster.leader().await;
    cluster.node(old).add_learner(4, address(4), "r4".to_owned()).await.expect("it is added");
    caught_up(&cluster, old, 4).await;
    let unready = cluster.node(old).transfer_leader(4).await;
    assert!(matches!(unready, Err(ConsensusError::Refused(_))), "a learner cannot lead: {unready:?}");
    cluster.node(old).promote(4).await.expect("it has caught up");
    caught_up(&cluster, old, 4).await;
    cluster.node(old).transfer_leader(4).await.expect("it has caught up and answers");
    assert_eq!(cluster.leader().await, 4);
    let own = cluster.node(4).remove(4).await;
    assert!(matches!(own, Err(ConsensusError::Refused(_))), "a leader does not remove itself: {own:?}");
    cluster.node(4).remove(old).await.expect("three are left");
    let members: Vec<u64> = cluster.node(4).membership().members.iter().map(|member| member.id).collect();
    assert!(!members.contains(&old) && members.len() == 3, "{members:?}");
    cluster.stop(old).await;
    cluster.register("after").await;
    cluster.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_not_handed_to_a_node_that_does_not_answer() {
    let cluster = Cluster::started(3, 5_000).await;
    cluster.register("before").await;
    let leader = cluster.leader().await;
    let cut = cluster.ids().into_iter().find(|id| *id != leader).expect("there are three");
    cluster.isolate(cut);
    cluster.register_among(&[leader], "while-it-is-cut-off").await;
    let refused = cluster.node(leader).transfer_leader(cut).await;
    assert!(matches!(refused, Err(ConsensusError::Refused(_))), "{refused:?}");
    cluster.register_among(&[leader], "and-the-leader-leads-on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_there_is_not_added() {
    let cluster = Cluster::started(1, 5_000).await;
    let refused = cluster.node(1).add_learner(2, address(2), "r2".to_owned()).await;
    assert!(matches!(refused, Err(ConsensusError::Refused(_))), "{refused:?}");
    let promoted = cluster.node(1).promote(2).await;
    assert!(matches!(promoted, Err(ConsensusError::Refused(_))), "{promoted:?}");
    assert_eq!(cluster.node(1).membership().members.len(), 1);
}
