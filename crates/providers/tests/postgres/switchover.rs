//! A planned switchover with a writer that does not stop.

use crate::rig::Rig;
use mesh_core::manifest::PostgresInstance;
use mesh_support::postgres::Pair;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_switchover_loses_no_acknowledged_write() {
    let Some(rig) = Rig::start().await else { return };
    let writer = rig.pair.writer().await;
    let mut run = rig.run(1);
    run.switch_over().await;
    writer.until_written_at(rig.pair.replica.address()).await;
    writer.until(|written| written.len() > 50).await;
    eprintln!("write gap of a planned switchover by the actions alone: {} ms", writer.gap().as_millis());
    let acknowledged = writer.stop();
    let kept = Pair::written(&rig.pair.replica).await;
    let lost: Vec<&u64> = acknowledged.0.difference(&kept.0).collect();
    assert!(lost.is_empty(), "acknowledged and not in the new primary: {lost:?}");
    assert!(acknowledged.0.len() > 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_primary_has_the_limits_of_before_and_a_newer_timeline() {
    let Some(rig) = Rig::start().await else { return };
    rig.pair.primary.sql("CREATE DATABASE narrow CONNECTION LIMIT 7").await.expect("it is made");
    let mut run = rig.run(1);
    let looked = run.look().await;
    assert_eq!((looked["timeline"].as_u64(), looked["streaming"].as_bool()), (Some(1), Some(true)));
    run.fence().await;
    run.await_caught_up().await;
    let promoted = run.promote().await;
    assert_eq!(promoted["timeline"].as_u64(), Some(2));
    assert_eq!(promoted["measured_loss_bytes"].as_u64(), Some(0));
    let limits = "SELECT string_agg(datname || '=' || datconnlimit, ' ' ORDER BY datname) FROM pg_database";
    let found = rig.pair.replica.value(limits).await.expect("it answers");
    assert_eq!(found, "narrow=7 postgres=-1 template0=-1 template1=-1");
    rig.pair.replica.sql("SET ROLE app; INSERT INTO ledger VALUES (1000000)").await.expect("it can be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_a_primary_from_a_replica_and_measures_its_lag() {
    let Some(rig) = Rig::start().await else { return };
    let look = async |at: &PostgresInstance| {
        rig.providers.postgres_look(at, Duration::from_secs(5)).await.expect("it answers")
    };
    let primary = look(&rig.east).await;
    assert!(primary.writable && !primary.in_recovery && primary.replica.is_none());
    let replica = look(&rig.west).await;
    assert!(!replica.writable && replica.in_recovery);
    assert_eq!((primary.timeline, replica.timeline), (1, 1));
    let of = replica.replica.expect("it is a replica");
    assert!(of.streaming && of.lag.is_some() && of.lag_bytes.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_its_primary_has_no_lag_to_tell() {
    let Some(mut rig) = Rig::start().await else { return };
    rig.pair.primary.kill();
    for _ in 0..1000 {
        let seen = rig.providers.postgres_look(&rig.west, Duration::from_secs(5)).await.expect("it answers");
        let replica = seen.replica.expect("it is a replica");
        if !replica.streaming {
            assert_eq!((replica.lag, replica.lag_bytes), (None, None), "a growing lag of a lost primary means nothing");
            assert!(rig.providers.postgres_look(&rig.east, Duration::from_secs(5)).await.is_err());
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the replica goes on streaming from a primary that was killed");
}
