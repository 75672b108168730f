//! Rules of manifests and plans.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fixtures::{EAST, WEST, agent, at, fleet, region, service, start};
use crate::fleet::{Command, RefusalCode, Reply};
use crate::plan::Action;

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
    use crate::plan::PredictedLoss;
    use crate::planner::{Evidence, plan_failover};
    use crate::signal::{Reading, Signal};
    let fleet = fleet();
    let signal = |at_s: u64, lag_s: u64| Signal {
        observer: agent("west-a"),
        observer_region: region(WEST),
        service: service("maip"),
        region: region(WEST),
        subject: "database".to_owned(),
        reading: Reading::ReplicaLag { lag: Duration::from_secs(lag_s) },
        at: at(at_s),
    };
    let loss = |lag: Vec<Signal>| {
        plan_failover(&fleet.services[&service("maip")], &region(WEST), &Evidence { now: at(20), lag })
            .expect("a plan")
            .loss
    };
    assert_eq!(loss(Vec::new()), PredictedLoss::Unknown);
    let lag = loss(vec![signal(10, 9), signal(15, 2), signal(12, 8)]);
    let expected =
        PredictedLoss::Lag { lag: Duration::from_secs(2), age: Duration::from_secs(5), observer: "west-a".to_owned() };
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
