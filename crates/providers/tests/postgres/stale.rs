//! Whoever wakes late finds that something newer was there.

use crate::rig::{Rig, call, carry_out, observe};
use mesh_core::execute::{CallResult, Observation};
use mesh_core::plan::Action;
use mesh_core::run::OutcomeResult;
use mesh_support::postgres::APP;

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_of_an_aborted_run_that_wakes_late_does_nothing() {
    let Some(rig) = Rig::start().await else { return };
    let mut old = rig.run(1);
    old.look().await;
    old.fence().await;
    old.await_caught_up().await;
    let late = old.job(Action::PostgresPromote { instance: rig.west.clone() });
    // The run is aborted: its old primary writes again, and the replica hears of it.
    rig.run(2).unfence().await;
    let received = "SELECT generation FROM mesh.fence";
    for _ in 0..1000 {
        if rig.pair.replica.value(received).await.is_ok_and(|generation| generation == "2") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let result = call(&*rig.other_providers().await, &late).await;
    assert!(matches!(result, CallResult::NotApplied { .. }), "{result:?}");
    assert!(matches!(observe(&rig.providers, &late).await, Observation::Superseded { .. }));
    assert_eq!(rig.pair.replica.value("SELECT pg_is_in_recovery()").await.expect("it answers"), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_of_an_older_generation_does_not_close_what_a_newer_one_opened() {
    let Some(rig) = Rig::start().await else { return };
    let mut old = rig.run(1);
    old.look().await;
    let late = old.job(Action::PostgresFence { instance: rig.east.clone() });
    rig.run(2).fence().await;
    rig.run(3).unfence().await;
    let result = call(&*rig.other_providers().await, &late).await;
    assert!(matches!(result, CallResult::NotApplied { .. }), "{result:?}");
    let outcome = carry_out(&rig.providers, &late).await;
    assert_eq!(outcome.result, OutcomeResult::Refused { retry: false }, "{}", outcome.detail);
    rig.pair.primary.connect(APP).await.expect("it is open");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfence_of_an_older_generation_does_not_open_what_a_newer_one_closed() {
    let Some(rig) = Rig::start().await else { return };
    rig.run(1).fence().await;
    let mut old = rig.run(2);
    let late = old.job(Action::PostgresUnfence { instance: rig.east.clone() });
    rig.run(3).fence().await;
    let result = call(&*rig.other_providers().await, &late).await;
    assert!(matches!(result, CallResult::NotApplied { .. }), "{result:?}");
    assert!(rig.pair.primary.connect(APP).await.is_err(), "it stays closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_calls_session_is_ended_before_a_newer_one_acts() {
    let Some(rig) = Rig::start().await else { return };
    let open = |name: &'static str| {
        let server = &rig.pair.primary;
        async move {
            let client = server.connect(mesh_support::postgres::MESH).await.expect("a session");
            client.simple_query(&format!("SET application_name = '{name}'")).await.expect("named");
            client
        }
    };
    let (older, newer) = (open("mesh-call 1.100").await, open("mesh-call 9.1").await);
    rig.run(2).fence().await;
    assert!(older.simple_query("ALTER SYSTEM RESET default_transaction_read_only").await.is_err());
    newer.simple_query("SELECT 1").await.expect("a newer one is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_somebody_else_promoted_is_told_apart() {
    let Some(rig) = Rig::start().await else { return };
    let mut run = rig.run(1);
    run.look().await;
    // By hand, and before the last writes of the primary are there.
    rig.pair.replica.sql("SELECT pg_promote(true)").await.expect("promoted by hand");
    let primary = &rig.pair.primary;
    primary.sql("INSERT INTO ledger SELECT generate_series(1, 50)").await.expect("written after it");
    run.fence().await;
    let job = run.job(Action::PostgresAwaitCaughtUp { instance: rig.west.clone() });
    let outcome = carry_out(&rig.providers, &job).await;
    assert_eq!(outcome.result, OutcomeResult::Refused { retry: false }, "{}", outcome.detail);
    assert!(outcome.detail.contains("somebody promoted"), "{}", outcome.detail);
    let job = run.job(Action::PostgresPromote { instance: rig.west.clone() });
    let outcome = carry_out(&rig.providers, &job).await;
    assert_eq!(outcome.result, OutcomeResult::Refused { retry: false }, "{}", outcome.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_by_hand_after_the_last_write_is_taken_over() {
    let Some(rig) = Rig::start().await else { return };
    let mut run = rig.run(1);
    run.look().await;
    run.fence().await;
    run.await_caught_up().await;
    rig.pair.replica.sql("SELECT pg_promote(true)").await.expect("promoted by hand");
    let promoted = run.promote().await;
    assert_eq!(promoted["timeline"].as_u64(), Some(2));
    rig.pair.replica.connect(APP).await.expect("its limits are those of before the fence");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_writer_with_old_data_is_no_target() {
    let Some(rig) = Rig::start().await else { return };
    rig.run(1).switch_over().await;
    let mut back = rig.run(2);
    let job = back.job(Action::PostgresCheckReplica { instance: rig.east.clone(), promoted_ok: false });
    let outcome = carry_out(&rig.providers, &job).await;
    assert_eq!(outcome.result, OutcomeResult::Refused { retry: false });
    assert!(outcome.detail.contains("was the writer before"), "{}", outcome.detail);
}
