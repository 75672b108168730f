//! Rules of manifests and plans.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::fixtures::{EAST, WEST, at, fleet, region, service, start};
use crate::fleet::{Command, Fleet, RefusalCode, Reply};
use crate::ids::StepId;
use crate::manifest::{EcsService, EksCluster, Resource, ResourceKind};
use crate::plan::{Action, Plan, Step};
use crate::planner::{Evidence, plan_failover};

use super::{accepted, refused};

#[test]
fn a_manifest_changes_only_from_the_version_that_was_looked_at_and_not_under_a_run() {
    let mut fleet = fleet();
    let mut manifest = crate::fixtures::maip();
    manifest.description = "new".to_owned();
    let apply = |expected_version| Command::ApplyManifest {
        manifest: Box::new(manifest.clone()),
        source: "b".to_owned(),
        by: "admin".to_owned(),
        expected_version,
    };
    assert_eq!(refused(&mut fleet, at(1), &apply(0)), RefusalCode::Conflict);
    let begin = start(&fleet, WEST);
    let mut running = fleet.clone();
    accepted(&mut running, at(1), &begin);
    assert_eq!(refused(&mut running, at(2), &apply(1)), RefusalCode::Conflict);
    assert_eq!(accepted(&mut fleet, at(1), &apply(1)), Reply::ManifestApplied { version: 2 });
    assert_eq!(accepted(&mut fleet, at(1), &apply(1)), Reply::ManifestApplied { version: 2 }, "a lost reply");
}

#[test]
fn the_loss_to_expect_is_the_newest_lag_or_unknown() {
    use crate::decide::loss::{LagSample, Onset};
    use crate::fixtures::agent;
    use crate::plan::PredictedLoss;
    let fleet = fleet();
    let sample = |at_s: u64, lag_s: u64| LagSample {
        resource: "database".into(),
        region: region(WEST),
        lag: Duration::from_secs(lag_s),
        at: at(at_s),
        observer: agent("west-a"),
        signal: "lag of database".into(),
    };
    let loss = |lag: Vec<LagSample>| {
        plan_failover(&fleet.services[&service("maip")], &region(WEST), &Evidence { onset: Onset::now(at(20)), lag })
            .expect("a plan")
            .loss
    };
    assert_eq!(loss(Vec::new()), PredictedLoss::Unknown);
    let lag = loss(vec![sample(10, 9), sample(15, 2), sample(12, 8)]);
    let expected = PredictedLoss::Lag {
        lag: Duration::from_secs(2),
        age: Duration::from_secs(5),
        observer: "west-a".to_owned(),
        signal: "lag of database".to_owned(),
        measured_at: at(15),
    };
    assert_eq!(lag, expected);
}

#[test]
fn services_move_after_those_they_depend_on_and_a_circle_is_refused() {
    let fleet = fleet();
    let named = |name: &str, needs: &[&str]| {
        let mut service = fleet.services[&service("maip")].clone();
        service.manifest.service = crate::fixtures::service(name);
        service.manifest.depends_on = needs.iter().map(|need| crate::fixtures::service(need)).collect();
        service
    };
    let services = [named("web", &["api"]), named("api", &["db"]), named("db", &[]), named("cron", &["elsewhere"])];
    let all: Vec<_> = services.iter().collect();
    let waves = crate::planner::waves(&all, 10).expect("no circle");
    let names: Vec<Vec<&str>> = waves.iter().map(|wave| wave.iter().map(|id| id.as_str()).collect()).collect();
    assert_eq!(names, vec![vec!["cron", "db"], vec!["api"], vec!["web"]]);
    let one = crate::planner::waves(&all, 1).expect("no circle");
    assert!(one.iter().all(|wave| wave.len() == 1));
    let circle = [named("a", &["b"]), named("b", &["a"])];
    assert!(crate::planner::waves(&circle.iter().collect::<Vec<_>>(), 9).is_err());
}

#[test]
fn a_plan_that_the_planner_would_not_make_is_not_genuine() {
    let fleet = fleet();
    let maip = &fleet.services[&service("maip")];
    let Command::StartRun { mut plan, .. } = start(&fleet, WEST) else { panic!("a start") };
    assert_eq!(crate::planner::is_genuine(maip, &plan), Ok(true));
    plan.steps.retain(|step| !matches!(step.action, Action::RdsReboot { .. }));
    assert_eq!(crate::planner::is_genuine(maip, &plan), Ok(false));
}

#[test]
fn an_untouched_manifest_has_no_problem_and_each_rule_finds_its_breach() {
    use crate::manifest::{Manifest, RecordData, ResourceKind, WriterMode, check::check};
    let good = crate::fixtures::maip();
    assert_eq!(check(&good), Vec::new());
    type Break = fn(&mut Manifest);
    let breaches: BTreeMap<&str, Break> = BTreeMap::from([
        ("writer", (|m| m.writer = WriterMode::Multi) as Break),
        ("regions", |m| {
            m.regions.remove(&region(EAST));
        }),
        ("depends-on", |m| {
            m.depends_on.insert(service("maip"));
        }),
        ("objectives.rto", |m| m.objectives.rto = Duration::ZERO),
        ("resources[0].rds.backup-retention-days", |m| {
            if let ResourceKind::Rds { backup_retention_days, .. } = &mut m.resources[0].kind {
                *backup_retention_days = 0;
            }
        }),
        ("resources[0].rds.instances", |m| {
            if let ResourceKind::Rds { instances, .. } = &mut m.resources[0].kind {
                instances.remove(&region(WEST));
            }
        }),
        ("resources[0].rds.instances.us-east-1.closed-security-group", |m| {
            if let ResourceKind::Rds { instances, .. } = &mut m.resources[0].kind {
                instances.get_mut(&region(EAST)).expect("there").closed_security_group = "sg-open".to_owned();
            }
        }),
        ("traffic[0].active.us-west-2", |m| m.traffic[0].active.get_mut(&region(WEST)).expect("there").clear()),
        ("traffic[0].active", |m| {
            m.traffic[0].active.remove(&region(WEST));
        }),
        ("traffic[0].record", |m| m.traffic[0].record = "API.example.com.".to_owned()),
        ("traffic[0].active.us-east-1[0].values", |m| {
            m.traffic[0].active.get_mut(&region(EAST)).expect("there")[0].data =
                RecordData::Values { ttl_seconds: 60, values: vec!["not an address".to_owned()] };
        }),
        ("verify[0].url", |m| m.verify[0].url = "ftp://x".to_owned()),
        ("verify[0].consecutive", |m| m.verify[0].consecutive = 0),
        ("notices[0].sns.us-west-2", |m| {
            m.notices[0].topics.insert(region(WEST), "arn:aws:sns:us-east-1:1:x".to_owned());
        }),
        ("policy.verify-timeout", |m| m.policy.verify_timeout = Duration::ZERO),
    ]);
    for (path, breach) in breaches {
        let mut manifest = good.clone();
        breach(&mut manifest);
        let found = check(&manifest);
        assert!(found.iter().any(|problem| problem.path == path), "{path} was not reported, but {found:?}");
    }
}

/// The service of the fixtures with all that its runbook has beside the database.
fn with_resources(fleet: &mut Fleet) {
    let eks = |nodes_desired| EksCluster {
        cluster: "dr".to_owned(),
        node_group: "nodes".to_owned(),
        nodes_min: 4,
        nodes_max: 20,
        nodes_desired,
        namespace: "maip-services".to_owned(),
        replicas: 4,
        deployments: BTreeMap::new(),
    };
    let ecs = EcsService { cluster: "dr".to_owned(), service: "reports".to_owned(), tasks: 2 };
    let resource = |name: &str, kind| Resource { name: name.to_owned(), kind };
    let manifest = &mut fleet.services.get_mut(&service("maip")).expect("the service").manifest;
    manifest.resources.extend([
        resource(
            "analytics",
            ResourceKind::DynamodbGlobalTable {
                table: "analytics".to_owned(),
                regions: BTreeSet::from([region(EAST), region(WEST)]),
            },
        ),
        resource(
            "cluster",
            ResourceKind::Eks { clusters: BTreeMap::from([(region(EAST), eks(8)), (region(WEST), eks(8))]) },
        ),
        resource("reports", ResourceKind::Ecs { services: BTreeMap::from([(region(WEST), ecs)]) }),
        resource("kafka", ResourceKind::Msk { clusters: BTreeMap::from([(region(WEST), "dr-kafka".to_owned())]) }),
    ]);
}

fn failover(fleet: &Fleet) -> Plan {
    plan_failover(&fleet.services[&service("maip")], &region(WEST), &Evidence::default()).expect("a plan")
}

/// All steps that `id` waits for, directly or not.
fn waits_for(plan: &Plan, id: &str) -> BTreeSet<String> {
    let Some(step) = plan.steps.iter().find(|step| step.id.as_str() == id) else { panic!("{id} is in the plan") };
    let before = |after: &StepId| {
        let mut all = waits_for(plan, after.as_str());
        all.insert(after.to_string());
        all
    };
    step.after.iter().flat_map(before).collect()
}

#[test]
fn nothing_is_touched_before_every_part_of_the_target_was_looked_at() {
    let mut fleet = fleet();
    with_resources(&mut fleet);
    let plan = failover(&fleet);
    let looks: BTreeSet<&str> =
        plan.steps.iter().take_while(|step| !step.action.mutates()).map(|step| step.id.as_str()).collect();
    assert_eq!(
        looks,
        BTreeSet::from([
            "rds-check-replica-database",
            "dynamodb-check-analytics",
            "eks-check-nodegroup-cluster",
            "kubernetes-check-cluster",
            "ecs-check-reports",
            "msk-check-kafka",
        ])
    );
    for step in plan.steps.iter().filter(|step| step.action.mutates()) {
        let before = waits_for(&plan, step.id.as_str());
        assert!(looks.iter().all(|look| before.contains(*look)), "{} waits for every look", step.id);
    }
}

#[test]
fn capacity_and_data_are_made_ready_beside_the_promotion_and_before_traffic() {
    let mut fleet = fleet();
    with_resources(&mut fleet);
    let plan = failover(&fleet);
    assert!(waits_for(&plan, "kubernetes-scale-cluster").contains("eks-scale-nodegroup-cluster"), "nodes before pods");
    let scaling = [
        "eks-scale-nodegroup-cluster",
        "kubernetes-scale-cluster",
        "ecs-scale-reports",
        "dynamodb-await-lag-analytics",
    ];
    let promotion = waits_for(&plan, "rds-promote-database");
    let traffic = waits_for(&plan, "route53-replace-api");
    for id in scaling {
        assert!(!promotion.contains(id), "the promotion does not wait for {id}");
        assert!(!waits_for(&plan, id).contains("rds-fence-database"), "{id} does not wait for the fence");
        assert!(traffic.contains(id), "traffic waits for {id}");
    }
}

#[test]
fn what_was_scaled_is_undone_to_what_a_look_has_recorded() {
    let mut fleet = fleet();
    with_resources(&mut fleet);
    let plan = failover(&fleet);
    let as_of = |step: &Step| match step.undo.as_ref()? {
        Action::EksRestoreNodegroup { as_of, .. }
        | Action::KubernetesRestore { as_of, .. }
        | Action::EcsRestoreService { as_of, .. } => Some((step.id.clone(), as_of.clone())),
        _ => None,
    };
    let restores: Vec<(StepId, StepId)> = plan.steps.iter().filter_map(as_of).collect();
    assert_eq!(restores.len(), 3);
    for (step, as_of) in restores {
        assert!(
            waits_for(&plan, step.as_str()).contains(as_of.as_str()),
            "{step} is undone by what {as_of} saw before"
        );
    }
}

#[test]
fn a_service_that_is_only_observed_is_not_moved() {
    let mut fleet = fleet();
    let arm = |armed| Command::SetArmed { service: service("maip"), armed, by: "admin".to_owned() };
    assert_eq!(fleet.apply(at(1), &arm(false)).reply, Reply::Ok);
    let start = start(&fleet, WEST);
    let Reply::Refused(refusal) = fleet.apply(at(2), &start).reply else { panic!("it must be refused") };
    assert_eq!(refusal.code, RefusalCode::Precondition);
    assert!(refusal.message.contains("meshctl arm maip"), "{}", refusal.message);
    assert_eq!(fleet.apply(at(3), &arm(true)).reply, Reply::Ok);
    assert!(matches!(fleet.apply(at(4), &start).reply, Reply::RunStarted { .. }));
    let Reply::Refused(refusal) = fleet.apply(at(5), &arm(false)).reply else { panic!("a run is going") };
    assert_eq!(refusal.code, RefusalCode::Conflict);
}
