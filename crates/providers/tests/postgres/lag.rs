//! How far a replica is behind, and what a promotion shows of the loss, beside what really is lost.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::rig::Rig;
use mesh_support::postgres::Pair;

const WITHIN: Duration = Duration::from_secs(5);

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("not that late")
}

impl Rig {
    async fn lag(&self) -> Result<Option<Duration>, String> {
        self.providers.postgres_lag(&self.west, Some(&self.east), WITHIN).await
    }

    /// The replica hears nothing more of its primary.
    async fn cut_stream(&self) {
        let replica = &self.pair.replica;
        replica.sql("ALTER SYSTEM SET primary_conninfo = ''").await.expect("set");
        replica.sql("SELECT pg_reload_conf()").await.expect("reloaded");
        for _ in 0..1000 {
            if replica.value("SELECT count(*) FROM pg_stat_wal_receiver").await.is_ok_and(|count| count == "0") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the replica went on receiving");
    }

    async fn behind(&self) -> Duration {
        self.lag().await.expect("both answer").expect("it can be told")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_stream_is_cut_is_behind_though_it_believes_to_have_everything() {
    let Some(rig) = Rig::start().await else { return };
    rig.behind().await;
    rig.cut_stream().await;
    let writer = rig.pair.writer().await;
    writer.until(|written| written.len() > 20).await;
    let (mut last, mut grew) = (rig.behind().await, 0);
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = rig.behind().await;
        grew += u32::from(now > last);
        last = now;
    }
    assert_eq!(grew, 50, "what it has is of one moment, and that moment recedes");
    drop(writer.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_leaves_the_last_position_that_it_was_seen_at() {
    let Some(mut rig) = Rig::start().await else { return };
    rig.behind().await;
    rig.pair.primary.kill();
    let first = rig.behind().await;
    let later = rig.behind().await;
    assert!(later > first, "the time since the primary was last asked counts: {first:?}, {later:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_younger_than_the_moment_that_the_promotion_names() {
    let Some(mut rig) = Rig::start().await else { return };
    let writer = rig.pair.writer().await;
    writer.until(|written| written.len() > 20).await;
    rig.behind().await;
    let mut run = rig.run(1);
    run.look().await;
    // From here on the replica replays nothing, and all that is acknowledged is lost.
    rig.cut_stream().await;
    let kept_before = writer.acknowledged().0.len();
    let began = now_ms();
    writer.until(|written| written.len() > kept_before + 50).await;
    rig.behind().await;
    rig.pair.primary.kill();
    let promoted = run.promote().await;
    let acknowledged = writer.stop();
    let kept = Pair::written(&rig.pair.replica).await;
    let lost = acknowledged.0.difference(&kept.0).count();
    assert!(lost > 0, "nothing was lost: the test shows nothing");
    let through = promoted["replicated_through_ms"].as_u64().expect("the promotion names a moment");
    assert!(through <= began + 1000, "{through} is after what was lost began at {began}");
    let bytes = promoted["lost_bytes_at_least"].as_u64().expect("and how much was seen beyond it");
    assert!(bytes > 0, "{lost} writes are lost, and no bytes: {promoted}");
}
