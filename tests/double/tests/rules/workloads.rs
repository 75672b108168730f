use mesh_double::WorldFile;
use mesh_double::kubernetes::access::{self, Identity};
use mesh_double::kubernetes::request::Ask;
use mesh_double::kubernetes::workload::{Counts, autoscaler, quota};
use mesh_double::world::World;
use serde_json::{Value, json};

use crate::asking::{START_MS, world};
use crate::clusters::{MERGE, NAMESPACE, cluster, key, kube, patch, pods, scale, sizes, update};

fn failure(world: &World, name: &str) -> Option<String> {
    cluster(world).namespaces.get(NAMESPACE)?.get(name)?.failure.clone()
}

#[test]
fn a_deployment_is_seen_filled_and_ready_in_that_order() {
    let mut world = world();
    let answer = scale(&mut world, 0, "api", 2);
    assert_eq!(answer.pointer("/status/observedGeneration"), Some(&json!(1)));
    assert_eq!(pods(&mut world, 19, "api"), Counts { all: 1, ready: 1 });
    assert_eq!(pods(&mut world, 20, "api"), Counts { all: 2, ready: 1 });
    assert_eq!(pods(&mut world, 519, "api"), Counts { all: 2, ready: 1 });
    assert_eq!(pods(&mut world, 520, "api"), Counts { all: 2, ready: 2 });
    let activity = world.activities.all().last().expect("an activity");
    assert_eq!((activity.started_ms, activity.ended_ms), (START_MS, Some(START_MS + 520)));
}

#[test]
fn pods_wait_for_nodes_and_then_are_ready() {
    let mut world = world();
    scale(&mut world, 0, "api", 4);
    assert_eq!(pods(&mut world, 60_000, "api"), Counts { all: 4, ready: 2 });
    update(&mut world, 60_000, sizes(1, 20, 2), None).expect("accepted");
    assert_eq!(pods(&mut world, 61_499, "api").ready, 2);
    assert_eq!(pods(&mut world, 61_500, "api").ready, 4);
}

#[test]
fn every_change_takes_a_new_version_and_nothing_else_does() {
    let mut world = world();
    let version = |value: &Value| value.pointer("/metadata/resourceVersion").cloned();
    let first = scale(&mut world, 0, "api", 2);
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/api");
    let mut read = |after_ms| kube(&mut world, after_ms, "GET", &path, &Value::Null).expect("it exists");
    assert_eq!(version(&read(10)), version(&first));
    let seen = read(20);
    assert_ne!(version(&seen), version(&first), "its controller has written its status");
    let ready = read(520);
    assert_ne!(version(&ready), version(&seen), "a pod became ready");
    assert_eq!(version(&read(60_000)), version(&ready));
}

#[test]
fn a_write_with_an_older_version_is_a_conflict_and_changes_nothing() {
    let mut world = world();
    let old = scale(&mut world, 0, "api", 2).pointer("/metadata/resourceVersion").cloned();
    world.advance(START_MS + 1000);
    let guarded = json!({ "metadata": { "resourceVersion": old }, "spec": { "replicas": 3 } });
    let refused = patch(&mut world, 1000, "api", &guarded).expect_err("older");
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    assert_eq!(pods(&mut world, 3000, "api"), Counts { all: 2, ready: 2 });
}

#[test]
fn an_autoscaler_takes_back_what_is_beyond_its_range() {
    let mut world = world();
    let cluster = world.eks.clusters.get_mut(&key()).expect("the world has it");
    cluster.autoscalers.insert((NAMESPACE.to_owned(), "api".to_owned()), autoscaler::Range { min: 1, max: 2 });
    scale(&mut world, 0, "api", 4);
    assert_eq!(pods(&mut world, 299, "api").all, 4);
    assert_eq!(pods(&mut world, 5000, "api"), Counts { all: 2, ready: 2 });
    scale(&mut world, 5000, "gateway", 2);
    assert_eq!(pods(&mut world, 9000, "gateway").all, 2, "it is another's");
    scale(&mut world, 9000, "api", 0);
    assert_eq!(pods(&mut world, 20_000, "api").all, 0, "it does not wake what sleeps");
}

#[test]
fn a_quota_keeps_pods_from_being_made_until_it_is_raised() {
    let mut world = world();
    update(&mut world, 0, sizes(1, 20, 8), None).expect("accepted");
    quota::set(&mut world, &key(), NAMESPACE, Some(4)).expect("the namespace exists");
    scale(&mut world, 2000, "api", 4);
    assert_eq!(pods(&mut world, 9000, "api"), Counts { all: 2, ready: 2 });
    assert!(failure(&world, "api").is_some_and(|why| why.contains("exceeded quota")));
    scale(&mut world, 9000, "worker", 0);
    assert_eq!(pods(&mut world, 12_000, "api").ready, 3, "one pod less elsewhere is one more here");
    quota::set(&mut world, &key(), NAMESPACE, None).expect("the namespace exists");
    assert_eq!(pods(&mut world, 15_000, "api"), Counts { all: 4, ready: 4 });
    assert_eq!(failure(&world, "api"), None);
    assert!(quota::set(&mut world, &key(), "gone", None).is_err());
}

#[test]
fn a_caller_without_entry_is_unknown_and_one_without_role_is_forbidden() {
    let mut world = world();
    let entries = json!({ "reader": "view", "writer": "edit", "nobody": "none" });
    let cluster = world.eks.clusters.get_mut(&key()).expect("the world has it");
    cluster.access = Some(serde_json::from_value(entries).expect("access"));
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/api");
    let asked = |method: &str| {
        let method = method.parse().expect("a method");
        Ask::read(&method, &path, "", MERGE, b"{}").expect("understood")
    };
    let user = |name: &str| Identity::User { name: name.to_owned(), arn: format!("arn:aws:iam::1:user/{name}") };
    let code = |identity: &Identity, method: &str| {
        access::authorize(cluster, identity, &asked(method)).map_err(|refused| refused.code)
    };
    assert_eq!(code(&user("writer"), "PATCH"), Ok(()));
    assert_eq!(code(&user("reader"), "GET"), Ok(()));
    assert_eq!(code(&user("reader"), "PATCH"), Err(403));
    assert_eq!(code(&user("nobody"), "GET"), Err(403));
    assert_eq!(code(&user("stranger"), "GET"), Err(401));
    assert_eq!(code(&Identity::Anonymous, "GET"), Err(403));
}

#[test]
fn rules_allow_what_they_name_where_they_name_it() {
    let mut world = world();
    let rules = json!({ "agent": [
        { "namespace": NAMESPACE, "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"] },
        { "apiGroups": [""], "resources": ["nodes"], "verbs": ["*"] },
    ]});
    let cluster = world.eks.clusters.get_mut(&key()).expect("the world has it");
    cluster.access = Some(serde_json::from_value(rules).expect("access"));
    let identity = Identity::User { name: "agent".to_owned(), arn: "arn:aws:iam::1:user/agent".to_owned() };
    for (method, path, allowed) in [
        ("GET", "/apis/apps/v1/namespaces/maip-services/deployments/api", true),
        ("PATCH", "/apis/apps/v1/namespaces/maip-services/deployments/api", true),
        ("GET", "/apis/apps/v1/namespaces/maip-services/deployments", false),
        ("PATCH", "/apis/apps/v1/namespaces/maip-services/deployments/api/scale", false),
        ("GET", "/apis/apps/v1/namespaces/other/deployments/api", false),
        ("GET", "/api/v1/namespaces/maip-services/pods", false),
        ("GET", "/api/v1/nodes", true),
        ("GET", "/version", true),
    ] {
        let ask = Ask::read(&method.parse().expect("a method"), path, "", MERGE, b"{}").expect("understood");
        assert_eq!(access::authorize(cluster, &identity, &ask).is_ok(), allowed, "{method} {path}");
    }
}

#[test]
fn a_world_may_name_autoscalers_quotas_and_access() {
    let mut file: WorldFile =
        serde_json::from_str(include_str!("../../worlds/maip.json")).expect("the shipped world is well formed");
    file.eks = serde_json::from_value(json!([{
        "region": "us-west-2",
        "cluster": "maip-prod-dr-eks-cluster",
        "node_groups": [{ "name": "n", "min": 1, "max": 2, "desired": 1 }],
        "namespaces": { NAMESPACE: { "api": 3 } },
        "autoscalers": { NAMESPACE: { "api": { "min": 1, "max": 9 } } },
        "quotas": { NAMESPACE: 2 },
        "access": { "a": "view", "b": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] },
    }]))
    .expect("entries");
    let mut world = World::build(&file, START_MS).expect("it fits together");
    assert_eq!(pods(&mut world, 0, "api"), Counts { all: 2, ready: 2 }, "as many as the quota admits");
    let path = format!("/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers");
    let listed = kube(&mut world, 0, "GET", &path, &Value::Null).expect("listed");
    assert_eq!(listed.pointer("/items/0/spec/maxReplicas"), Some(&json!(9)));
}
