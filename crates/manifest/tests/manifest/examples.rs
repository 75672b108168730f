//! Every example is a complete, accepted manifest, and the schema says the same of it as the reader.

use std::time::Duration;

use crate::support::{example, examples, schema_problems, yaml_to_json};
use mesh_core::manifest::{Policy, Probe, RecordData, ResourceKind, Routing, WriterMode};
use mesh_manifest::{json_schema, parse};

#[test]
fn every_example_is_accepted() {
    let all = examples();
    assert!(all.len() >= 2, "examples/ holds manifests");
    for (name, text) in all {
        if let Err(found) = parse(&text, &name) {
            let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
            panic!("{name} must be accepted:\n{}", shown.join("\n"));
        }
    }
}

#[test]
fn the_schema_accepts_every_example() {
    let schema = json_schema();
    for (name, text) in examples() {
        let problems = schema_problems(&schema, &yaml_to_json(&text), "");
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
}

#[test]
fn the_runbook_service_is_read_as_it_is_written() {
    let manifest = parse(&example("maip.yaml"), "maip.yaml").expect("it is accepted");
    assert_eq!(manifest.service.as_str(), "maip");
    assert_eq!(manifest.writer, WriterMode::Single);
    assert_eq!(manifest.primary().expect("one is primary").as_str(), "us-east-1");
    assert_eq!(manifest.objectives.rto, Duration::from_secs(900));
    assert_eq!(manifest.objectives.rpo, Duration::from_secs(30));
    let api = manifest.checks.first().expect("a check");
    assert_eq!((api.fail_after, api.pass_after, api.critical), (3, 2, true));
    assert_eq!((api.interval, api.timeout), (Duration::from_secs(10), Duration::from_secs(2)));
    let Probe::Http { urls, expect_status: 200, body_contains: Some(body), .. } = &api.probe else {
        panic!("an HTTP check: {api:?}")
    };
    assert_eq!((urls.len(), body.as_str()), (2, "UP"));
    assert!(matches!(&manifest.checks[1].probe, Probe::Tcp { addresses } if addresses.len() == 2));
    let (name, instances, days) = manifest.databases().next().expect("a database");
    assert_eq!((name, days), ("database", 7));
    let replica = instances.iter().find(|(region, _)| region.as_str() == "us-west-2").expect("a replica").1;
    assert_eq!(replica.instance, "maip-prod-postgres-replica");
    let kinds: Vec<&ResourceKind> = manifest.resources.iter().map(|resource| &resource.kind).collect();
    assert!(matches!(kinds[1], ResourceKind::DynamodbGlobalTable { regions, .. } if regions.len() == 2));
    assert!(matches!(kinds[2], ResourceKind::Eks { clusters }
        if clusters.values().all(|c| (c.nodes_min, c.nodes_max, c.nodes_desired, c.replicas) == (4, 20, 8, 4))));
    assert!(matches!(kinds[3], ResourceKind::Msk { clusters } if clusters.len() == 2));
    for sets in manifest.traffic[0].active.values() {
        assert!(matches!(&sets[0].data, RecordData::Alias { evaluate_target_health: true, .. }));
        assert_eq!(sets[0].routing, Routing::Simple);
    }
    assert_eq!(manifest.verify[0].body_contains.as_deref(), Some(r#""region":"{region}""#));
    assert_eq!(manifest.notices[0].topics.len(), 2);
    assert_eq!(manifest.policy.catch_up_timeout, Duration::from_secs(600));
}

#[test]
fn what_a_manifest_leaves_out_has_the_default_of_the_core() {
    let manifest = parse(&example("minimal.yaml"), "minimal.yaml").expect("it is accepted");
    assert_eq!(manifest.policy, Policy::default());
    assert_eq!(manifest.objectives.rpo, Duration::ZERO);
    let weights: Vec<Routing> = manifest.traffic[0].active.values().flatten().map(|set| set.routing).collect();
    assert_eq!(weights, [0, 100, 100, 0].map(Routing::Weighted));
    let with_policy = example("minimal.yaml") + "policy: {}\n";
    assert_eq!(parse(&with_policy, "").expect("an empty policy").policy, Policy::default());
}

#[test]
fn off_may_be_a_word_or_what_old_writers_turn_it_into() {
    for off in ["off", "\"off\"", "'off'", "false", "False"] {
        let text = example("minimal.yaml") + &format!("policy: {{ automatic: {off} }}\n");
        assert!(parse(&text, "").is_ok(), "{off} means off");
    }
}

#[test]
fn every_routing_and_record_type_can_be_written() {
    let text = example("minimal.yaml").split("traffic:").next().expect("a head").to_owned()
        + r#"
traffic:
  - name: www
    zone-id: Z1
    record: www.example.com
    active:
      eu-west-1:
        - {type: A, ttl: 30s, values: [192.0.2.1, 192.0.2.2], set-identifier: a, failover: primary, health-check-id: hc-1}
        - {type: A, ttl: 1m30s, values: [192.0.2.3], set-identifier: b, failover: secondary}
        - {type: AAAA, ttl: 30s, values: ["2001:db8::1"]}
      eu-central-1:
        - {type: A, ttl: 30s, values: [192.0.2.1]}
"#;
    let manifest = parse(&text, "").expect("it is accepted");
    let sets: Vec<_> = manifest.traffic[0].active.values().flatten().collect();
    let routing: Vec<Routing> = sets.iter().map(|set| set.routing).collect();
    assert_eq!(routing, [Routing::Simple, Routing::FailoverPrimary, Routing::FailoverSecondary, Routing::Simple]);
    assert_eq!(sets[1].health_check_id.as_deref(), Some("hc-1"));
    assert!(matches!(sets[2].data, RecordData::Values { ttl_seconds: 90, .. }));
}

#[test]
fn every_key_of_the_policy_and_the_objectives_reaches_the_manifest() {
    let text = example("minimal.yaml").replace("rto: 2m, rpo: 0s", "rto: 11s, rpo: 12s")
        + "policy: {fence-timeout: 1s, catch-up-timeout: 2s, promote-timeout: 3s, traffic-timeout: 4s, \
           verify-timeout: 5s, notice-timeout: 6s}\n";
    let manifest = parse(&text, "").expect("it is accepted");
    let policy = manifest.policy;
    let given = [
        policy.fence_timeout,
        policy.catch_up_timeout,
        policy.promote_timeout,
        policy.traffic_timeout,
        policy.verify_timeout,
        policy.notice_timeout,
    ];
    assert_eq!(given.map(|timeout| timeout.as_secs()), [1, 2, 3, 4, 5, 6]);
    assert_eq!((manifest.objectives.rto.as_secs(), manifest.objectives.rpo.as_secs()), (11, 12));
}
