//! The old primary comes back as a replica, and takes over again.

use crate::rig::{Rig, Run, carry_out, providers};
use mesh_core::plan::Action;
use mesh_core::run::OutcomeResult;
use mesh_providers::PostgresConfig;
use mesh_support::postgres::{Pair, bin_dir, wrappers};

/// Of an agent on the old primary's host.
async fn allowed(rig: &Rig) -> PostgresConfig {
    let installed = bin_dir().expect("it is installed, or the pair had not started");
    PostgresConfig {
        bin_dir: Some(wrappers(&installed, rig.pair.directory.path()).expect("scripts")),
        data_directories: vec![rig.pair.primary.data.clone()],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_rejoins_by_pg_rewind_and_takes_over_again() {
    let Some(mut rig) = Rig::start().await else { return };
    let writer = rig.pair.writer().await;
    let mut run = rig.run(1);
    run.look().await;
    // What only the old primary has makes a rewind necessary.
    rig.pair.replica.freeze();
    rig.pair.primary.sql("INSERT INTO ledger SELECT generate_series(900001, 900050)").await.expect("written");
    rig.pair.primary.kill();
    rig.pair.replica.thaw();
    run.promote().await;
    writer.until_written_at(rig.pair.replica.address()).await;
    run.providers = providers(&rig.credentials, allowed(&rig).await).await;
    let rejoined = run.rejoin().await;
    assert_eq!(rejoined["how"].as_str(), Some("pg_rewind"));
    assert_eq!(rejoined["timeline"].as_u64(), Some(2));
    // And back, with no write lost.
    let mut back = Run { from: rig.west.clone(), to: rig.east.clone(), ..rig.run(2) };
    back.switch_over().await;
    writer.until_written_at(rig.pair.primary.address()).await;
    let acknowledged = writer.stop();
    let kept = Pair::written(&rig.pair.primary).await;
    let lost: Vec<&u64> = acknowledged.0.difference(&kept.0).collect();
    assert!(lost.len() <= 1, "only what was lost with the killed primary: {lost:?}");
    assert_eq!(rig.pair.primary.value("SELECT pg_is_in_recovery()").await.expect("it answers"), "f");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rewound_is_made_anew_and_the_old_data_kept_aside() {
    let Some(mut rig) = Rig::start().await else { return };
    let mut run = rig.run(1);
    run.switch_over().await;
    rig.pair.primary.stop();
    let control = rig.pair.primary.data.join("global/pg_control");
    std::fs::write(&control, b"damaged").expect("damaged");
    run.providers = providers(&rig.credentials, allowed(&rig).await).await;
    let rejoined = run.rejoin().await;
    assert_eq!(rejoined["how"].as_str(), Some("base backup"));
    let aside = format!("{}.before-rejoin", rig.pair.primary.data.display());
    assert!(std::path::Path::new(&aside).exists(), "nothing is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejoin_is_refused_where_the_agents_own_configuration_does_not_allow_it() {
    let Some(rig) = Rig::start().await else { return };
    let mut run = rig.run(1);
    run.switch_over().await;
    let action = || Action::PostgresRejoin { instance: rig.east.clone(), source: rig.west.clone() };
    let off = carry_out(&rig.providers, &run.job(action())).await;
    assert_eq!(off.result, OutcomeResult::Refused { retry: false });
    assert!(off.detail.contains("rejoining is off"), "{}", off.detail);
    let elsewhere = PostgresConfig { data_directories: vec!["/nowhere".into()], ..allowed(&rig).await };
    let refused = carry_out(&*providers(&rig.credentials, elsewhere).await, &run.job(action())).await;
    assert!(refused.detail.contains("data_directories"), "{}", refused.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_is_not_made_a_replica_of_its_own_replica() {
    let Some(rig) = Rig::start().await else { return };
    let mut run = rig.run(1);
    run.providers = providers(&rig.credentials, allowed(&rig).await).await;
    let job = run.job(Action::PostgresRejoin { instance: rig.east.clone(), source: rig.west.clone() });
    let outcome = carry_out(&run.providers, &job).await;
    assert_eq!(outcome.result, OutcomeResult::Refused { retry: false });
    assert_eq!(rig.pair.primary.value("SELECT pg_is_in_recovery()").await.expect("it answers"), "f");
}
