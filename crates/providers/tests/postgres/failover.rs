//! The primary is lost.

use crate::rig::{Rig, carry_out};
use mesh_core::plan::Action;
use mesh_core::run::OutcomeResult;
use mesh_support::postgres::{APP, Pair};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primarys_replica_takes_over_and_keeps_what_it_had() {
    let Some(mut rig) = Rig::start().await else { return };
    let writer = rig.pair.writer().await;
    writer.until(|written| written.len() > 20).await;
    rig.pair.primary.kill();
    let had = Pair::written(&rig.pair.replica).await;
    let mut run = rig.run(1);
    // The fence cannot be done; how the run gets past it (a lease that ended, consent) is not the provider's business.
    run.look().await;
    run.promote().await;
    writer.until_written_at(rig.pair.replica.address()).await;
    let acknowledged = writer.stop();
    let kept = Pair::written(&rig.pair.replica).await;
    assert!(had.0.is_subset(&kept.0), "what the replica had is kept");
    let lost = acknowledged.0.difference(&kept.0).count();
    eprintln!("acknowledged writes lost with the killed primary: {lost} of {}", acknowledged.0.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_cannot_be_fenced_and_nobody_says_that_it_was() {
    let Some(mut rig) = Rig::start().await else { return };
    rig.pair.primary.kill();
    let mut run = rig.run(1);
    let mut job = run.job(Action::PostgresFence { instance: rig.east.clone() });
    job.time_left = std::time::Duration::from_millis(300);
    let outcome = carry_out(&rig.providers, &job).await;
    assert_eq!(outcome.result, OutcomeResult::Refused { retry: true }, "{}", outcome.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_hangs_is_unknown_and_not_fenced() {
    let Some(rig) = Rig::start().await else { return };
    let mut run = rig.run(1);
    let mut job = run.job(Action::PostgresFence { instance: rig.east.clone() });
    job.time_left = std::time::Duration::from_secs(3);
    rig.pair.primary.freeze();
    let outcome = carry_out(&rig.providers, &job).await;
    rig.pair.primary.thaw();
    assert_ne!(outcome.result, OutcomeResult::Done, "{}", outcome.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_run_opens_the_old_primary_again_and_the_replica_is_one_still() {
    let Some(rig) = Rig::start().await else { return };
    let writer = rig.pair.writer().await;
    let mut run = rig.run(1);
    run.look().await;
    run.fence().await;
    let before = writer.acknowledged().0.len();
    rig.run(2).unfence().await;
    writer.until(|written| written.len() > before + 10).await;
    assert_eq!(rig.pair.replica.value("SELECT pg_is_in_recovery()").await.expect("it answers"), "t");
    rig.pair.primary.connect(APP).await.expect("a session");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_the_last_write_ends_only_when_the_replica_has_it() {
    let Some(rig) = Rig::start().await else { return };
    let writer = rig.pair.writer().await;
    let mut run = rig.run(1);
    run.look().await;
    rig.pair.replica.sql("SELECT pg_wal_replay_pause()").await.expect("paused");
    writer.until(|written| written.len() > 30).await;
    run.fence().await;
    let mut job = run.job(Action::PostgresAwaitCaughtUp { instance: rig.west.clone() });
    job.time_left = std::time::Duration::from_millis(300);
    let outcome = carry_out(&rig.providers, &job).await;
    assert_ne!(outcome.result, OutcomeResult::Done, "replay stands still");
    rig.pair.replica.sql("SELECT pg_wal_replay_resume()").await.expect("resumed");
    run.await_caught_up().await;
    let kept = Pair::written(&rig.pair.replica).await;
    assert!(writer.stop().0.is_subset(&kept.0));
}
