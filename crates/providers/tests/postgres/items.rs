//! The rows of a table, counted at a primary and at its replica.

use crate::rig::Rig;
use mesh_providers::Count;

fn rows(rig: &Rig, table: &str) -> Count {
    Count::Rows { table: table.to_owned(), there: Box::new(rig.east.clone()), here: Box::new(rig.west.clone()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_and_its_replica_have_as_many_rows_and_one_that_is_cut_off_has_fewer() {
    let Some(rig) = Rig::start().await else { return };
    let primary = &rig.pair.primary;
    primary.sql("CREATE TABLE public.orders AS SELECT generate_series(1, 1000) AS id").await.expect("made");
    let counted = async || rig.providers.count(&rows(&rig, "public.orders")).await;
    let mut last = Err("nothing was counted".to_owned());
    for _ in 0..50 {
        last = counted().await;
        if last == Ok((1000, 1000)) {
            break;
        }
    }
    assert_eq!(last, Ok((1000, 1000)));
    assert_eq!(rig.providers.count(&rows(&rig, "orders")).await, Ok((1000, 1000)), "the schema public is meant");
    rig.pair.replica.sql("SELECT pg_wal_replay_pause()").await.expect("paused");
    primary.sql("INSERT INTO public.orders SELECT generate_series(1, 7)").await.expect("written");
    assert_eq!(counted().await, Ok((1007, 1000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_counted_has_a_reason_and_no_number() {
    let Some(mut rig) = Rig::start().await else { return };
    let missing = rig.providers.count(&rows(&rig, "public.nothing")).await.expect_err("there is no such table");
    assert!(missing.contains("nothing"), "{missing}");
    rig.pair.primary.sql("CREATE TABLE public.orders (id int)").await.expect("made");
    rig.pair.primary.kill();
    let dead = rig.providers.count(&rows(&rig, "public.orders")).await.expect_err("the primary is dead");
    assert!(dead.contains(&rig.east.address()), "{dead}");
}
