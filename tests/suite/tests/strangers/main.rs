//! Whoever does not belong is refused: by certificate, by role, by signature, by what they send. Each refusal says
//! what to do, and the mesh is as it was before.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod agents;
mod configs;
mod consent;
mod papers;
mod people;
mod plans;
mod record;
mod renewal;
mod standing;
mod wire;

use mesh_suite::Rig;
use standing::Standing;

#[tokio::test]
async fn whoever_does_not_belong_is_refused_and_nothing_changes() {
    let rig = Rig::raise().await;
    let before = Standing::of(&rig).await;
    people::a_certificate_that_does_not_fit_is_refused(&rig).await;
    people::a_role_may_do_what_the_table_says_and_no_more(&rig).await;
    people::a_manifest_that_is_too_large_is_refused_where_it_stands(&rig).await;
    before.still_holds(&rig, "people").await;
    wire::a_connection_without_a_certificate_of_the_mesh_gets_no_answer(&rig).await;
    wire::a_message_above_the_limit_is_refused_and_the_coordinator_lives(&rig).await;
    wire::a_path_that_the_table_does_not_list_is_refused_to_everyone(&rig).await;
    wire::nobody_but_a_coordinator_speaks_for_another(&rig).await;
    wire::health_and_reflection_answer_every_certificate_of_the_mesh(&rig).await;
    before.still_holds(&rig, "the wire").await;
    plans::an_altered_plan_is_neither_run_nor_checked(&rig).await;
    before.still_holds(&rig, "plans").await;
    record::an_export_proves_what_was_done_to_it(&rig).await;
    before.still_holds(&rig, "the audit").await;
}

#[tokio::test]
async fn consent_counts_only_from_the_key_s_owner_for_this_run_and_in_time() {
    let mut rig = Rig::raise().await;
    consent::of_the_wrong_kind_counts_for_nothing(&mut rig).await;
}

#[tokio::test]
async fn an_agent_that_does_not_belong_never_appears_and_certificates_outlive_their_first_end() {
    let mut rig = Rig::raise().await;
    let renewing = renewal::begin(&mut rig).await;
    let before = Standing::of(&rig).await;
    agents::with_foreign_papers_are_kept_out_and_say_why(&mut rig).await;
    agents::that_lie_about_themselves_are_refused(&rig).await;
    before.still_holds(&rig, "agents").await;
    renewing.outlives_its_first_certificates(&mut rig).await;
}
