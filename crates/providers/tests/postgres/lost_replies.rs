//! The statement is carried out and its reply is lost, once for each statement that changes something.

use crate::rig::{Rig, Run};
use mesh_core::manifest::PostgresInstance;
use mesh_support::postgres::{APP, Pair, Relay, Server};

/// A part of each mutating statement of a fence.
const FENCE: [&str; 5] = [
    "VALUES ('closed'",
    "SET default_transaction_read_only = on",
    "pg_reload_conf",
    "pg_terminate_backend(a.pid)",
    "SET sealed = true",
];
const OPEN: [&str; 4] =
    ["VALUES ('open'", "RESET default_transaction_read_only", "pg_reload_conf", "UPDATE mesh.fence SET state = 'open'"];
/// Of an un-fence, which finds the row of the fence.
const MARK: &str = "UPDATE mesh.fence SET generation";

fn through(relay: &Relay, instance: &PostgresInstance) -> PostgresInstance {
    PostgresInstance { host: relay.address.ip().to_string(), port: relay.address.port(), ..instance.clone() }
}

async fn limits(server: &Server) -> String {
    let statement = "SELECT string_agg(datname || '=' || datconnlimit, ' ' ORDER BY datname) FROM pg_database";
    server.value(statement).await.expect("it answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_survives_the_loss_of_any_reply() {
    let Some(rig) = Rig::start().await else { return };
    let relay = Relay::start(rig.pair.primary.address()).await;
    let before = limits(&rig.pair.primary).await;
    for (round, statement) in (0u32..).zip(FENCE) {
        let generation = u64::from(round) * 2 + 1;
        let _app = rig.pair.primary.connect(APP).await.expect("a session that the fence ends");
        let mut run = Run { from: through(&relay, &rig.east), ..rig.run(generation) };
        relay.lose_reply_to(statement);
        run.fence().await;
        assert_eq!(relay.lost(), round + 1, "the reply to {statement} was lost");
        assert!(rig.pair.primary.connect(APP).await.is_err(), "{statement}");
        rig.run(generation + 1).unfence().await;
        assert_eq!(limits(&rig.pair.primary).await, before, "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfence_survives_the_loss_of_any_reply() {
    let Some(rig) = Rig::start().await else { return };
    let relay = Relay::start(rig.pair.primary.address()).await;
    let before = limits(&rig.pair.primary).await;
    let statements = [MARK, OPEN[1], OPEN[2], OPEN[3]];
    for (round, statement) in (0u32..).zip(statements) {
        let generation = u64::from(round) * 2 + 1;
        rig.run(generation).fence().await;
        let mut run = Run { from: through(&relay, &rig.east), ..rig.run(generation + 1) };
        relay.lose_reply_to(statement);
        run.unfence().await;
        assert_eq!(relay.lost(), round + 1, "the reply to {statement} was lost");
        assert_eq!(limits(&rig.pair.primary).await, before, "{statement}");
        rig.pair.primary.connect(APP).await.expect("it is open");
    }
}

async fn promoted_though_lost(statement: &str, fenced: bool) {
    let Some(rig) = Rig::start().await else { return };
    let relay = Relay::start(rig.pair.replica.address()).await;
    let writer = rig.pair.writer().await;
    let mut run = Run { to: through(&relay, &rig.west), ..rig.run(1) };
    run.look().await;
    if fenced {
        run.fence().await;
        run.await_caught_up().await;
    }
    relay.lose_reply_to(statement);
    let promoted = run.promote().await;
    assert_eq!(relay.lost(), 1, "the reply to {statement} was lost");
    assert_eq!(promoted["timeline"].as_u64(), Some(2), "promoted once");
    rig.pair.replica.connect(APP).await.expect("it takes sessions");
    if fenced {
        writer.until_written_at(rig.pair.replica.address()).await;
        let acknowledged = writer.stop();
        assert!(acknowledged.0.is_subset(&Pair::written(&rig.pair.replica).await.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_survives_the_loss_of_its_own_reply() {
    promoted_though_lost("pg_promote(false)", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_survives_the_loss_of_the_tokens_reply() {
    promoted_though_lost(MARK, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_survives_the_loss_of_the_limits_reply() {
    promoted_though_lost(OPEN[3], true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_without_a_fence_survives_the_loss_of_the_first_notes_reply() {
    promoted_though_lost(OPEN[0], false).await;
}
