//! The runbook's failover between regions that are far apart.

#![allow(clippy::expect_used, reason = "a helper that finds something else fails its test")]

use std::time::Duration;

use mesh_suite::Wide;
use mesh_suite::wide::{PRIMARY, REGIONS, STANDBY, around, directions};
use mesh_suite::witness::Witnesses;
use meshctl::demo::maip::{Plot, SERVICE};

#[tokio::test]
async fn a_failover_by_hand_ends_at_100_ms_between_regions() {
    let far = [Duration::from_millis(100); 3];
    let Some(wide) = Wide::raise(far, |_| Plot::default()).await else { return };
    let witnesses = Witnesses::start(wide.databases());
    let run = wide.rig.begin_failover().await;
    let done = wide.rig.until_settled(&run).await;
    wide.rig.judge_failover(&done).await;
    let (old, new) = witnesses.judge(PRIMARY, STANDBY).await;
    assert!(old > 0 && new > 0, "{SERVICE}: {old} writes in {PRIMARY}, {new} in {STANDBY}");
    for (nth, from) in REGIONS.iter().enumerate() {
        for to in REGIONS.iter().skip(nth + 1) {
            let delayed = wide.sum(&directions(from, to), |counters| counters.delayed);
            assert!(delayed > 0, "nothing from {from} to {to} was delayed: the distance showed nothing");
        }
    }
    let stopped = wide.sum(&around(PRIMARY), |counters| counters.cut + counters.overflowed);
    assert_eq!(stopped, 0, "nothing was to be stopped");
    wide.rig.until_replicas_agree().await;
}
