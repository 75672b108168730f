//! Commits go on while members change, and whatever was acknowledged is there after restarts in any order.

use std::sync::Arc;
use std::time::Duration;

use mesh_coordinator::consensus::Consensus;
use mesh_core::fleet::{Command, Reply};
use mesh_core::ids::{AgentId, RegionId};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, address, wait_for};

const SNAPSHOT_EVERY: u64 = 25;

/// Registers one agent after the other through whoever leads; returns those that were acknowledged.
struct Load {
    stop: watch::Sender<bool>,
    count: watch::Receiver<usize>,
    task: JoinHandle<Vec<String>>,
}

impl Load {
    fn begin(cluster: &Cluster, ids: &[u64]) -> Self {
        let nodes: Vec<Arc<Consensus>> = ids.iter().map(|id| Arc::clone(cluster.node(*id))).collect();
        let (stop, stopped) = watch::channel(false);
        let (counted, count) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while !*stopped.borrow() {
                let name = format!("load-{}", acknowledged.len());
                let command = Command::RegisterAgent {
                    agent: AgentId::new(name.as_str()).expect("a name"),
                    region: RegionId::new("r1").expect("a name"),
                };
                for node in &nodes {
                    if let Ok(Reply::Ok) = node.propose(command.clone()).await {
                        acknowledged.push(name);
                        counted.send_replace(acknowledged.len());
                        break;
                    }
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            acknowledged
        });
        Self { stop, count, task }
    }

    /// Waits until `more` have been acknowledged from now on.
    async fn goes_on(&self, more: usize) {
        let from = *self.count.borrow();
        wait_for("commits to go on", || async { *self.count.borrow() >= from + more }).await;
    }

    async fn end(self) -> Vec<String> {
        self.stop.send_replace(true);
        self.task.await.expect("no panic")
    }
}

fn assert_all_know(cluster: &Cluster, names: &[String]) {
    for id in cluster.ids() {
        let lost: Vec<_> = names.iter().filter(|name| !cluster.knows(id, name)).collect();
        assert!(lost.is_empty(), "node {id} lost what was acknowledged: {lost:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_replaced_while_commits_go_on() {
    let mut cluster = Cluster::started(3, SNAPSHOT_EVERY).await;
    for id in [4, 5] {
        cluster.start(id).await;
    }
    let load = Load::begin(&cluster, &[1, 2, 3, 4, 5]);
    for (new, old) in [(4, 1), (5, 2)] {
        load.goes_on(10).await;
        wait_for("the newcomer to be added", || async {
            let leader = cluster.leader().await;
            cluster.node(leader).add_learner(new, address(new), format!("r{new}")).await.is_ok()
        })
        .await;
        load.goes_on(10).await;
        wait_for("the newcomer to vote", || async {
            let leader = cluster.leader().await;
            cluster.node(leader).promote(new).await.is_ok()
        })
        .await;
        wait_for("the old member to be gone", || async {
            let leader = cluster.leader().await;
            if leader == old {
                let _ = cluster.node(leader).transfer_leader(new).await;
                return false;
            }
            cluster.node(leader).remove(old).await.is_ok()
        })
        .await;
    }
    load.goes_on(10).await;
    let acknowledged = load.end().await;
    let leader = cluster.leader_among(&[3, 4, 5]).await;
    let mut voters: Vec<u64> = cluster.node(leader).membership().members.iter().map(|member| member.id).collect();
    voters.sort_unstable();
    assert_eq!(voters, [3, 4, 5]);
    for id in [1, 2] {
        cluster.stop(id).await;
    }
    cluster.register("last").await;
    cluster.assert_agreement().await;
    assert_all_know(&cluster, &acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_in_any_order_lose_nothing() {
    let mut cluster = Cluster::started(3, SNAPSHOT_EVERY).await;
    let mut acknowledged = Vec::new();
    let orders = [([1, 2, 3], [3, 2, 1]), ([2, 3, 1], [1, 3, 2]), ([3, 1, 2], [2, 1, 3])];
    for (round, (down, up)) in orders.into_iter().enumerate() {
        for number in 0..30 {
            let name = format!("round-{round}-{number}");
            cluster.register(&name).await;
            acknowledged.push(name);
        }
        for id in down {
            cluster.stop(id).await;
        }
        for id in up {
            cluster.start(id).await;
        }
        cluster.leader().await;
    }
    cluster.register("last").await;
    cluster.assert_agreement().await;
    assert_all_know(&cluster, &acknowledged);
}

/// A snapshot is of one moment, whatever is committed while it is written; and the log does not grow beyond its bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_under_load_bound_the_log_and_stop_no_commit() {
    let mut cluster = Cluster::started(3, SNAPSHOT_EVERY).await;
    let load = Load::begin(&cluster, &[1, 2, 3]);
    wait_for("many snapshots' worth of commits", || async {
        *cluster.node(1).applied().borrow() > 12 * SNAPSHOT_EVERY
    })
    .await;
    let acknowledged = load.end().await;
    cluster.assert_agreement().await;
    assert_all_know(&cluster, &acknowledged);
    let applied = *cluster.node(1).applied().borrow();
    for id in 1..=3 {
        let snapshots = std::fs::read_dir(cluster.data_dir(id).join("snapshots")).expect("there").count();
        assert!(snapshots <= 3, "node {id} keeps {snapshots} files");
        cluster.stop(id).await;
        let purged = cluster.purged(id).expect("the log begins after a snapshot");
        assert!(purged + 5 * SNAPSHOT_EVERY > applied, "node {id}: {purged} of {applied} are gone from the log");
    }
}
