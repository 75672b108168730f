//! The history that left the state: a newcomer takes it from the others, a damaged piece comes back, and a group that
//! was restored from a backup goes on with it.

use mesh_coordinator::store::backup::{self, NewMember, Restore};
use mesh_core::fleet::Command;
use mesh_core::time::Timestamp;

use crate::cluster::{Cluster, address, wait_for};

const SNAPSHOT_EVERY: u64 = 20;

async fn fill(cluster: &Cluster, from: u64, to: u64) {
    for number in from..to {
        cluster.register(&format!("agent-{number}")).await;
    }
}

fn segments(cluster: &Cluster, id: u64) -> u64 {
    cluster.node(id).store().history().count()
}

async fn has_all(cluster: &Cluster, id: u64) {
    wait_for("the history to be whole", || async { cluster.node(id).store().history().troubled().is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_has_the_whole_history_before_it_votes() {
    let mut cluster = Cluster::started(3, SNAPSHOT_EVERY).await;
    fill(&cluster, 0, 120).await;
    let leader = cluster.leader().await;
    wait_for("segments", || async { segments(&cluster, leader) >= 2 }).await;
    cluster.start(4).await;
    let leader = cluster.leader().await;
    cluster.node(leader).add_learner(4, address(4), "r4".to_owned()).await.expect("added");
    wait_for("the newcomer to be promoted", || async { cluster.node(leader).promote(4).await.is_ok() }).await;
    assert!(cluster.node(4).store().history().troubled().is_empty(), "it votes with the whole history");
    assert!(segments(&cluster, 4) >= 2);
    cluster.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_segment_is_found_after_a_start_and_taken_from_another_node() {
    let mut cluster = Cluster::started(3, SNAPSHOT_EVERY).await;
    fill(&cluster, 0, 120).await;
    for id in 1..=3 {
        wait_for("segments", || async { segments(&cluster, id) >= 2 }).await;
    }
    let path = cluster.node(2).store().history().path(1);
    cluster.stop(2).await;
    let good = std::fs::read(&path).expect("the file");
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, damaged).expect("written");
    // The state is not in it.
    cluster.start(2).await;
    wait_for("the right file to be back", || async {
        std::fs::read(&path).is_ok_and(|bytes| bytes == good) && cluster.node(2).store().history().troubled().is_empty()
    })
    .await;
    cluster.leader().await;
    cluster.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_lost_every_disk_goes_on_from_a_backup_made_under_load() {
    let mut cluster = Cluster::started(3, SNAPSHOT_EVERY).await;
    fill(&cluster, 0, 60).await;
    let leader = cluster.leader().await;
    let file = cluster.data_dir(0).with_extension("backup");
    let (made, ()) = tokio::join!(
        async {
            cluster.node(leader).read_index().await.expect("it leads");
            let backup = cluster.node(leader).backup().await.expect("a backup");
            std::fs::copy(backup.part.path(), &file).expect("copied");
        },
        fill(&cluster, 60, 90),
    );
    let () = made;
    for id in 1..=3 {
        cluster.stop(id).await;
        cluster.wipe(id);
    }
    cluster.set_founders(&[4, 5, 6]);
    let order = Restore {
        file: &file,
        data_dir: &cluster.data_dir(4),
        mesh: "demo",
        own: NewMember { id: 4, address: address(4), region: "r4".to_owned() },
        founders: vec![4, 5, 6],
        by: "a test".to_owned(),
        now: Timestamp::from_millis(1),
        lost_at: Timestamp::from_millis(1),
        options: Cluster::store_options(),
    };
    let contents = backup::restore(&order).expect("it restores");
    for id in [4, 5, 6] {
        cluster.start(id).await;
    }
    wait_for("all three to vote", || async {
        cluster.node(4).membership().members.iter().filter(|member| member.voter).count() == 3
    })
    .await;
    for id in [4, 5, 6] {
        has_all(&cluster, id).await;
    }
    assert!((0..60).all(|number| cluster.knows(5, &format!("agent-{number}"))), "what was acknowledged before");
    cluster.register("after").await;
    cluster.assert_agreement().await;
    let audit = cluster.node(6).audit(0, usize::MAX).expect("the audit");
    let restored: Vec<_> = audit.iter().filter(|record| record.kind == "restored").collect();
    assert_eq!(restored.len(), 1, "it happened once");
    assert!(restored[0].text.contains(&contents.checksum.short()), "{}", restored[0].text);
    // The old group's ids, and the restore itself, do not come back with the next start.
    wait_for("the marker to go", || async { !backup::founding_file(&cluster.data_dir(4)).exists() }).await;
    cluster.stop(4).await;
    cluster.register_among(&[5, 6], "while-it-was-away").await;
    cluster.start(4).await;
    wait_for("it to follow", || async { cluster.knows(4, "while-it-was-away") }).await;
    cluster.assert_agreement().await;
    let named = cluster.leader().await;
    let again = cluster.node(named).propose(Command::NameMesh { mesh: "demo".to_owned() }).await;
    assert!(again.is_ok(), "{again:?}");
}
