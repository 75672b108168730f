//! What a fence stops, and that an un-fence leaves nothing of it.

use crate::rig::{Rig, carry_out};
use mesh_core::plan::Action;
use mesh_core::run::OutcomeResult;
use mesh_support::postgres::APP;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_stops_a_writer_that_does_not_stop_by_itself() {
    let Some(rig) = Rig::start().await else { return };
    let writer = rig.pair.writer().await;
    let read_back = rig.run(1).fence().await;
    assert_eq!(read_back["sessions"].as_u64(), Some(0));
    let count = "SELECT count(*) FROM ledger";
    let at_the_fence = rig.pair.primary.value(count).await.expect("it answers");
    let (acknowledged, refused) = (writer.acknowledged().0.len(), writer.refused());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(writer.acknowledged().0.len(), acknowledged, "nothing is acknowledged after the read-back");
    assert_eq!(rig.pair.primary.value(count).await.expect("it answers"), at_the_fence);
    assert!(refused > 0, "the writer was cut off");
    assert!(rig.pair.primary.connect(APP).await.is_err(), "no new session of an application");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_is_ended_and_not_committed() {
    let Some(rig) = Rig::start().await else { return };
    let app = rig.pair.primary.connect(APP).await.expect("a session");
    app.simple_query("BEGIN; INSERT INTO ledger VALUES (77)").await.expect("a row");
    rig.run(1).fence().await;
    assert!(app.simple_query("COMMIT").await.is_err());
    let rows = rig.pair.primary.value("SELECT count(*) FROM ledger WHERE id = 77").await.expect("it answers");
    assert_eq!(rows, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superusers_transaction_is_read_only_unless_it_asks() {
    let Some(rig) = Rig::start().await else { return };
    rig.run(1).fence().await;
    let refused = rig.pair.primary.sql("INSERT INTO ledger VALUES (1)").await;
    assert!(refused.is_err(), "by default nothing can be written");
    // Said in the documentation: a superuser who asks is not stopped.
    rig.pair.primary.sql("BEGIN READ WRITE; INSERT INTO ledger VALUES (1); COMMIT").await.expect("a superuser may");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfence_restores_exactly_what_was() {
    let Some(rig) = Rig::start().await else { return };
    let primary = &rig.pair.primary;
    primary.sql("CREATE DATABASE narrow CONNECTION LIMIT 3").await.expect("made");
    primary.sql("CREATE DATABASE shut CONNECTION LIMIT 0").await.expect("made");
    let stand = "SELECT string_agg(datname || '=' || datconnlimit, ' ' ORDER BY datname) || ' ' || \
                 coalesce((SELECT setting FROM pg_file_settings WHERE name = 'default_transaction_read_only'), 'unset') \
                 FROM pg_database";
    let before = primary.value(stand).await.expect("it answers");
    rig.run(1).fence().await;
    assert_ne!(primary.value(stand).await.expect("it answers"), before);
    // Twice fenced is not twice noted.
    rig.run(2).fence().await;
    rig.run(3).unfence().await;
    assert_eq!(primary.value(stand).await.expect("it answers"), before);
    let app = primary.connect(APP).await.expect("a session again");
    app.simple_query("INSERT INTO ledger VALUES (5)").await.expect("it can be written again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_was_there_before_the_fence_is_there_after_it() {
    let Some(rig) = Rig::start().await else { return };
    let primary = &rig.pair.primary;
    primary.sql("ALTER SYSTEM SET default_transaction_read_only = off").await.expect("set");
    rig.run(1).fence().await;
    rig.run(2).unfence().await;
    let kept = "SELECT setting FROM pg_file_settings WHERE name = 'default_transaction_read_only'";
    assert_eq!(primary.value(kept).await.expect("it answers"), "off");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_fenced_is_unfenced_already_and_refuses_the_fence_that_comes_late() {
    let Some(rig) = Rig::start().await else { return };
    let mut older = rig.run(1);
    let late = older.job(Action::PostgresFence { instance: rig.east.clone() });
    rig.run(2).unfence().await;
    let outcome = carry_out(&rig.providers, &late).await;
    assert_eq!(outcome.result, OutcomeResult::Refused { retry: false }, "{}", outcome.detail);
    rig.pair.primary.connect(APP).await.expect("it is open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_not_fenced_in_the_place_of_a_primary() {
    let Some(rig) = Rig::start().await else { return };
    let mut run = rig.run(1);
    let job = run.job(Action::PostgresFence { instance: rig.west.clone() });
    let outcome = carry_out(&rig.providers, &job).await;
    assert_eq!(outcome.result, OutcomeResult::Refused { retry: false });
    assert!(outcome.detail.contains("replica"), "{}", outcome.detail);
}
