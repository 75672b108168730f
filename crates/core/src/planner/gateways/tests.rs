use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::fixtures::{EAST, WEST, fleet, maip, region, service};
use crate::fleet::Service;
use crate::ids::StepId;
use crate::lease::{ApiStage, Fence, Fencing, Throttle};
use crate::manifest::check::check;
use crate::manifest::{Manifest, WriterMode};
use crate::plan::{Action, Plan, Reversibility, Step};
use crate::planner::{Evidence, plan_failover};

fn stage(api: &str) -> ApiStage {
    ApiStage { api: api.to_owned(), stage: "prod".to_owned(), open: Throttle { rate: 1000, burst: 500 } }
}

fn throttle(name: &str) -> Fence {
    let stages = BTreeMap::from([(region(EAST), stage("aeast")), (region(WEST), stage("awest"))]);
    Fence::ApiGatewayThrottle { name: name.to_owned(), stages }
}

fn manifest(fences: Vec<Fence>) -> Manifest {
    Manifest { fence: Fencing { fences, ..Fencing::default() }, ..maip() }
}

fn plan(manifest: Manifest) -> Plan {
    let before = fleet().services[&service("maip")].clone();
    plan_failover(&Service { manifest, ..before }, &region(WEST), &Evidence::default()).expect("a plan")
}

fn step<'p>(plan: &'p Plan, id: &str) -> &'p Step {
    plan.step(&StepId::new(id).expect("a name")).unwrap_or_else(|| panic!("no step {id}"))
}

fn names(steps: &BTreeSet<StepId>) -> Vec<&str> {
    steps.iter().map(StepId::as_str).collect()
}

#[test]
fn requests_stop_beside_the_fence_and_are_admitted_after_the_promotion() {
    let plan = plan(manifest(vec![throttle("web")]));
    let (close, open) = (step(&plan, "api-gateway-close-web"), step(&plan, "api-gateway-open-web"));
    assert_eq!((&close.region, &open.region), (&region(EAST), &region(WEST)));
    assert_eq!(close.after, step(&plan, "rds-fence-database").after, "beside the fence, not before or behind it");
    assert_eq!(
        names(&step(&plan, "grant").after),
        ["api-gateway-close-web", "rds-await-caught-up-database"],
        "the grant waits for both"
    );
    assert_eq!(names(&open.after), ["grant", "rds-promote-database"]);
    assert!(step(&plan, "route53-replace-api").after.contains(&open.id), "traffic waits for it");
    assert!(open.action.lets_write() && !close.action.lets_write());
    let [Some(undo), Some(close_again)] = [&close.undo, &open.undo] else { panic!("both can be undone") };
    assert!(matches!(undo, Action::ApiGatewayOpen { api, .. } if api == "aeast"));
    assert!(matches!(close_again, Action::ApiGatewayClose { api, .. } if api == "awest"));
    assert_eq!(close.reversibility, Reversibility::Reversible);
    assert!(plan.warnings.iter().any(|text| text.contains("closes nothing by itself")), "{:?}", plan.warnings);
}

#[test]
fn a_throttle_brings_no_leases() {
    assert!(!manifest(vec![throttle("web")]).fence.is_leased());
    let reaction = Duration::from_secs(5);
    assert!(manifest(vec![throttle("web"), Fence::LeaseEndpoint { reaction }]).fence.is_leased());
}

#[test]
fn a_throttle_is_no_fence_of_its_own() {
    assert_eq!(check(&manifest(vec![throttle("web")])), Vec::new(), "the database's own fence is beside it");
    let bare = |fences| Manifest { resources: Vec::new(), ..manifest(fences) };
    let messages = |manifest: &Manifest| -> Vec<(String, String)> {
        check(manifest).into_iter().map(|problem| (problem.path, problem.message)).collect()
    };
    let found = messages(&bare(vec![throttle("web")]));
    assert!(
        found.iter().any(|(path, text)| path == "fence[0].api-gateway-throttle" && text.contains("closes nothing")),
        "{found:?}"
    );
    let reaction = Duration::from_secs(5);
    assert_eq!(messages(&bare(vec![throttle("web"), Fence::LeaseEndpoint { reaction }])), []);
    assert_eq!(messages(&bare(vec![throttle("web"), Fence::Hook { name: "stop".to_owned() }])), []);
}

#[test]
fn a_throttle_names_stages_as_api_gateway_does() {
    let with = |change: &dyn Fn(&mut ApiStage)| {
        let mut one = stage("a1b2c3d4e5");
        change(&mut one);
        let stages = BTreeMap::from([(region(EAST), one)]);
        let found = check(&manifest(vec![Fence::ApiGatewayThrottle { name: "web".to_owned(), stages }]));
        found.into_iter().map(|problem| problem.path).collect::<Vec<_>>()
    };
    let at = |key: &str| vec![format!("fence[0].api-gateway-throttle.stages.us-east-1.{key}")];
    assert_eq!(with(&|_| {}), Vec::<String>::new());
    assert_eq!(with(&|stage| stage.stage = "$default".to_owned()), Vec::<String>::new());
    assert_eq!(with(&|stage| stage.api = "https://a1b2.execute-api".to_owned()), at("api"));
    assert_eq!(with(&|stage| stage.stage = "prod/v1".to_owned()), at("stage"));
    assert_eq!(with(&|stage| stage.open.rate = 0), at("rate"));
    let elsewhere = BTreeMap::from([(region("eu-west-1"), stage("a1"))]);
    let twice = [throttle("web"), Fence::ApiGatewayThrottle { name: "web".to_owned(), stages: elsewhere }];
    let paths: BTreeSet<String> = check(&manifest(twice.to_vec())).into_iter().map(|problem| problem.path).collect();
    assert!(paths.contains("fence[1].api-gateway-throttle.name"), "{paths:?}");
    assert!(paths.contains("fence[1].api-gateway-throttle.stages.eu-west-1"), "{paths:?}");
}

#[test]
fn a_service_that_every_region_writes_is_not_throttled() {
    let multi = Manifest { writer: WriterMode::Multi, resources: Vec::new(), ..manifest(vec![throttle("web")]) };
    assert!(check(&multi).iter().any(|problem| problem.path == "fence"));
    let plan = plan(multi);
    assert!(plan.steps.iter().all(|step| !step.id.as_str().starts_with("api-gateway")), "{:?}", plan.steps);
}
