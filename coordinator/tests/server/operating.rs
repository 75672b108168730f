use mesh_coordinator::replicated::MembershipChange;
use mesh_core::access::Role;
use mesh_core::fleet::Command;
use mesh_core::plan::Action;
use mesh_proto::v1;
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;
use v1::from_agent::Message as Say;
use v1::to_agent::Message as Hear;

use crate::fixture::{EAST, FIRST, WEST, failover, region, run, start_failover};
use crate::world::World;

fn to_west() -> v1::MakePlanRequest {
    v1::MakePlanRequest {
        kind: v1::PlanKind::Failover.into(),
        to: WEST.to_owned(),
        services: Vec::new(),
        from: String::new(),
    }
}

#[tokio::test]
async fn a_plan_is_made_started_and_the_same_request_is_the_same_run() {
    let world = World::start(1).await;
    let mut operator = world.operator(1, Role::Operator, "olga");
    let made = operator.make_plan(to_west()).await.expect("a plan").into_inner();
    let [planned] = made.plans.as_slice() else { panic!("{made:?}") };
    assert_eq!(planned.existing_run, None);
    let start =
        v1::StartRunRequest { plan: planned.plan.clone(), plan_hash: planned.plan_hash.clone(), ..Default::default() };
    let first = operator.start_run(start.clone()).await.expect("started").into_inner();
    let second = operator.start_run(start).await.expect("known").into_inner();
    assert_eq!((first.run.as_str(), first.existing), ("maip-g1", false));
    assert_eq!((second.run.as_str(), second.existing), ("maip-g1", true));
    let again = operator.make_plan(to_west()).await.expect("a plan").into_inner();
    assert_eq!(again.plans[0].existing_run.as_deref(), Some("maip-g1"));
    assert_eq!(again.plans[0].plan_hash, planned.plan_hash);
}

#[tokio::test]
async fn a_plan_whose_hash_does_not_match_is_refused() {
    let world = World::start(1).await;
    let plan = world.shared.with_fleet(failover);
    let mut request = v1::StartRunRequest {
        plan_hash: mesh_proto::plan_hash(&plan).0.to_vec(),
        plan: Some(v1::Plan::from(&plan)),
        ..Default::default()
    };
    request.plan_hash[0] ^= 1;
    let status = world.operator(1, Role::Operator, "olga").start_run(request).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(world.shared.with_fleet(|fleet| fleet.runs.is_empty()), "nothing is committed");
}

#[tokio::test]
async fn a_plan_that_the_planner_would_not_make_is_refused_whatever_its_hash() {
    let world = World::start(1).await;
    let mut plan = world.shared.with_fleet(failover);
    let promote = plan.steps.iter_mut().find(|step| matches!(step.action, Action::RdsPromote { .. }));
    promote.expect("a promotion").after.clear();
    let request = v1::StartRunRequest {
        plan_hash: mesh_proto::plan_hash(&plan).0.to_vec(),
        plan: Some(v1::Plan::from(&plan)),
        ..Default::default()
    };
    let status = world.operator(1, Role::Operator, "olga").start_run(request).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

#[tokio::test]
async fn a_target_that_is_unknown_or_active_already_is_refused_with_the_reason() {
    let world = World::start(1).await;
    let mut operator = world.operator(1, Role::Viewer, "vic");
    for (to, code) in [("mars-1", Code::InvalidArgument), (EAST, Code::FailedPrecondition), ("", Code::InvalidArgument)]
    {
        let request = v1::MakePlanRequest { to: to.to_owned(), ..to_west() };
        let status = operator.make_plan(request).await.expect_err("refused");
        assert_eq!(status.code(), code, "{to:?}: {status}");
    }
    let request = v1::MakePlanRequest { services: vec!["unheard".to_owned()], ..to_west() };
    assert_eq!(operator.make_plan(request).await.expect_err("refused").code(), Code::NotFound);
}

#[tokio::test]
async fn a_check_asks_an_agent_of_each_region_and_says_where_there_is_none() {
    let world = World::start(1).await;
    let mut agent = world.agent(1, WEST, "usw2-a").await;
    let answering = tokio::spawn(async move {
        while let Ok(Some(message)) = agent.next().await {
            if let Hear::Check(check) = message {
                let verdict = v1::CheckVerdict::Ready.into();
                let report = v1::CheckReport { id: check.id, verdict, detail: "as wanted".to_owned() };
                agent.say(Say::Check(report)).await;
            }
        }
    });
    let plan = world.shared.with_fleet(failover);
    let request = v1::CheckPlanRequest { plan: Some(v1::Plan::from(&plan)) };
    let checked = world.operator(1, Role::Operator, "olga").check_plan(request).await.expect("checked").into_inner();
    assert_eq!(checked.steps.len(), plan.steps.len());
    for (step, check) in plan.steps.iter().zip(&checked.steps) {
        let expected = if step.region.as_str() == EAST { v1::CheckVerdict::Unknown } else { v1::CheckVerdict::Ready };
        assert_eq!(check.verdict(), expected, "{check:?}");
    }
    answering.abort();
}

#[tokio::test]
async fn an_oversized_message_is_refused() {
    let world = World::start(1).await;
    let request = v1::ApplyManifestRequest { manifest: None, source: "x".repeat(5 << 20), expected_version: 0 };
    let status = world.operator(1, Role::Admin, "ann").apply_manifest(request).await.expect_err("refused");
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
}

#[tokio::test]
async fn a_pause_names_the_agents_that_have_not_acknowledged_it() {
    let world = World::start(1).await;
    let mut agent = world.agent(1, FIRST, "first-a").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let job = agent.offer().await;
    let mut operator = world.operator(1, Role::Operator, "olga");
    let order = |order| v1::ControlRunRequest { run: "maip-g1".to_owned(), order: Some(order) };
    use v1::control_run_request::Order;
    let silent = operator.control_run(order(Order::Pause(v1::Nothing {}))).await.expect("paused").into_inner();
    assert_eq!(silent.unacknowledged, ["first-a"]);
    assert!(silent.silent_after_ms <= 5000, "{}", silent.silent_after_ms);
    assert!(silent.run.expect("a run").paused.is_some());
    operator.control_run(order(Order::Resume(v1::Nothing {}))).await.expect("resumed");
    let acknowledge = tokio::spawn(async move {
        while let Ok(Some(message)) = agent.next().await {
            if let Hear::Halt(halt) = message {
                agent.say(Say::HaltAck(v1::HaltAck { run: halt.run })).await;
            }
        }
    });
    let heard = operator.control_run(order(Order::Pause(v1::Nothing {}))).await.expect("paused").into_inner();
    assert!(heard.unacknowledged.is_empty(), "{} has acknowledged", job.run);
    assert_eq!(heard.silent_after_ms, 0);
    acknowledge.abort();
}

#[tokio::test]
async fn an_order_to_a_run_that_does_not_exist_is_refused() {
    let world = World::start(1).await;
    let request = v1::ControlRunRequest {
        run: "maip-g9".to_owned(),
        order: Some(v1::control_run_request::Order::Resume(v1::Nothing {})),
    };
    let status = world.operator(1, Role::Operator, "olga").control_run(request).await.expect_err("refused");
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn runs_are_listed_newest_first_within_the_limit() {
    let world = World::start(1).await;
    for generation in [1, 3, 5] {
        world.shared.apply(&world.shared.with_fleet(start_failover));
        let id = run(&format!("maip-g{generation}"));
        world.shared.apply(&Command::Abort { run: id.clone(), by: "ann".to_owned(), reason: "test".to_owned() });
        world.shared.until("the run has ended", |fleet| fleet.runs[&id].state.is_terminal()).await;
    }
    let mut operator = world.operator(1, Role::Viewer, "vic");
    let request = |limit| v1::ListRunsRequest { service: "maip".to_owned(), limit };
    let listed = operator.list_runs(request(2)).await.expect("listed").into_inner();
    let ids: Vec<&str> = listed.runs.iter().map(|run| run.run.as_str()).collect();
    assert_eq!(ids, ["maip-g5", "maip-g3"]);
    assert_eq!(operator.list_runs(request(1001)).await.expect_err("refused").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_change_of_membership_is_committed_as_a_decision_before_it_is_made() {
    let world = World::start(1).await;
    let request = v1::ChangeMembershipRequest {
        change: Some(v1::change_membership_request::Change::Remove(3)),
        approvals: Vec::new(),
    };
    world.operator(1, Role::Admin, "ann").change_membership(request).await.expect("changed");
    let noted = world.shared.commands().into_iter().any(
        |command| matches!(command, Command::NoteMembership { text, by, .. } if text == "remove 3" && by.ends_with("/ann")),
    );
    assert!(noted, "the audit must hold the decision");
    assert_eq!(world.shared.membership_changes(), [MembershipChange::Remove(3)]);
}

#[tokio::test]
async fn the_audit_is_exported_in_order_also_through_a_follower() {
    let world = World::start(2).await;
    for n in 0..200 {
        world.shared.apply(&Command::NameMesh { mesh: format!("other-{n}") });
    }
    let mut operator = world.operator(2, Role::Viewer, "vic");
    let mut records =
        operator.export_audit(v1::ExportAuditRequest { from_index: 3 }).await.expect("exported").into_inner();
    let mut indexes = Vec::new();
    while let Some(record) = records.message().await.expect("a record") {
        indexes.push(record.index);
    }
    let last = world.shared.commands().len() as u64;
    assert_eq!(indexes, (3..=last).collect::<Vec<u64>>());
}

#[tokio::test]
async fn health_is_open_to_every_certificate_of_the_mesh() {
    let world = World::start(1).await;
    let mut health = HealthClient::new(world.channel(1, Role::Viewer, "vic"));
    let request = tonic_health::pb::HealthCheckRequest { service: "mesh.v1.Operator".to_owned() };
    let answer = health.check(request).await.expect("answered").into_inner();
    assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
}

#[tokio::test]
async fn steps_that_nobody_planned_are_refused_also_for_the_state_after_the_present_run() {
    let world = World::start(1).await;
    let mut operator = world.operator(1, Role::Operator, "olga");
    let asked = |plan: &mesh_core::plan::Plan| v1::StartRunRequest {
        plan_hash: mesh_proto::plan_hash(plan).0.to_vec(),
        plan: Some(plan.into()),
        ..Default::default()
    };
    world.shared.apply(&world.shared.with_fleet(start_failover));
    // The run may end between the look at this plan and its commit.
    let mut forged = world.shared.with_fleet(failover);
    forged.steps.retain(|step| step.id.as_str() == "grant");
    forged.steps.iter_mut().for_each(|step| step.after.clear());
    let status = operator.start_run(asked(&forged)).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    forged.from = region(WEST);
    forged.to = region(EAST);
    let status = operator.start_run(asked(&forged)).await.expect_err("refused");
    assert_eq!(status.code(), Code::Aborted, "{status}");
}

#[tokio::test]
async fn a_look_goes_on_through_the_agents_next_session() {
    let world = World::start(1).await;
    let asked = |message| match message {
        Hear::Survey(demand) => Some(demand.id),
        _ => None,
    };
    let mut first = world.agent(1, EAST, "use1-a").await;
    let mut operator = world.operator(1, Role::Admin, "ada");
    let about = v1::survey_request::About::Discover(v1::SurveyRegions::default());
    let survey =
        tokio::spawn(async move { operator.survey(v1::SurveyRequest { about: Some(about) }).await.expect("told") });
    first.until("a survey", asked).await;
    drop(first);
    let mut second = world.agent(1, EAST, "use1-a").await;
    let id = second.until("the same survey", asked).await;
    let result = Some(v1::survey_report::Result::Failed("nothing is here".to_owned()));
    second.say(Say::Survey(v1::SurveyReport { id, result })).await;
    let told = survey.await.expect("it ends").into_inner();
    let [agent] = told.agents.as_slice() else { panic!("{told:?}") };
    let failed = v1::agent_survey::Answer::Failed("use1-a: nothing is here".to_owned());
    assert_eq!((agent.agent.as_str(), agent.answer.as_ref()), ("use1-a", Some(&failed)));
}
