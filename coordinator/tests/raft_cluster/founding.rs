//! A mesh is founded once, by all its founders; an empty disk under a known id takes no part.

use crate::cluster::{Cluster, wait_for};

const NO_SNAPSHOTS: u64 = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_is_not_founded_before_all_founders_are_up() {
    let mut cluster = Cluster::new(3, NO_SNAPSHOTS).await;
    cluster.start(1).await;
    cluster.start(2).await;
    wait_for("the two to answer one another", || async { cluster.standing(1, 2).await.is_ok() }).await;
    let standing = cluster.standing(1, 2).await.expect("it answers");
    assert!(!standing.admitted, "one founder has not been heard");
    assert!(standing.pristine);
    cluster.start(3).await;
    cluster.register("first").await;
    cluster.assert_agreement().await;
    assert!(cluster.standing(1, 2).await.expect("it answers").admitted);
}

/// Invariant DurableAck: a node without its votes would vote twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_that_lost_its_disk_takes_no_part() {
    let mut cluster = Cluster::started(3, NO_SNAPSHOTS).await;
    cluster.register("before").await;
    let leader = cluster.leader().await;
    let lost = cluster.ids().into_iter().find(|id| *id != leader).expect("there are three");
    cluster.stop(lost).await;
    cluster.wipe(lost);
    cluster.start(lost).await;
    let others: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != lost).collect();
    for number in 0..5 {
        cluster.register_among(&others, &format!("after-{number}")).await;
    }
    wait_for("the empty node to answer", || async { cluster.standing(leader, lost).await.is_ok() }).await;
    let standing = cluster.standing(leader, lost).await.expect("it answers");
    assert!(!standing.admitted && standing.pristine, "it holds no vote and no entry: {standing:?}");
    assert!(!cluster.knows(lost, "after-0"));
    assert!(cluster.deaths.lock().expect("no panic").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_founder_is_a_mesh_and_stays_one_over_restarts() {
    let mut cluster = Cluster::started(1, NO_SNAPSHOTS).await;
    cluster.register("a").await;
    for _ in 0..2 {
        cluster.stop(1).await;
        cluster.start(1).await;
        cluster.leader().await;
    }
    assert!(cluster.knows(1, "a"));
    cluster.register("b").await;
    cluster.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_its_log_is_refused() {
    let mut cluster = Cluster::started(1, NO_SNAPSHOTS).await;
    cluster.stop(1).await;
    std::fs::remove_dir_all(cluster.data_dir(1).join("log")).expect("removed");
    let error = cluster.try_start(1).await.expect_err("its votes are gone");
    assert!(error.to_string().contains("must not vote"), "{error}");
}
