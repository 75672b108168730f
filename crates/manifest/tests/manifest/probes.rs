//! Every kind of health question is read as it is written.

use std::time::Duration;

use mesh_core::manifest::{Check, DnsRecord, Missing, PostgresqlRole, Probe, Vantage};
use mesh_manifest::parse;

use crate::support::example;

#[test]
fn every_kind_of_probe_is_read_as_it_is_written() {
    let manifest = parse(&example("checks.yaml"), "checks.yaml").expect("it is accepted");
    let check = |name: &str| manifest.checks.iter().find(|check| check.name == name).expect("a check");
    let Probe::Http { urls, expect_status: 200, body_contains, latency_max, ca_file } = &check("api").probe else {
        panic!("{:?}", check("api"))
    };
    assert_eq!((urls.len(), body_contains.as_deref(), ca_file.as_deref()), (2, Some("UP"), Some("shop-ca.pem")));
    assert_eq!(*latency_max, Some(Duration::from_millis(800)));
    assert!(matches!(&check("orders").probe, Probe::Grpc { targets, service, latency_max: None, ca_file: None }
        if targets.len() == 2 && service == "shop.v1.Orders"));
    assert!(matches!(&check("names").probe, Probe::Dns { names, servers, record: DnsRecord::A, answer: None }
        if names.len() == 2 && servers.len() == 2));
    assert!(matches!(&check("database-role").probe,
        Probe::Postgresql { resource, role: PostgresqlRole::Active, lag_max: Some(_), lag_bytes_max: Some(67_108_864) }
        if resource == "database"));
    assert!(matches!(&check("nodes").probe, Probe::AwsStatus { resource } if resource == "cluster"));
    let Probe::Cloudwatch { metrics, statistic, period, datapoints: 3, threshold, missing: Missing::Unknown } =
        &check("errors").probe
    else {
        panic!("{:?}", check("errors"))
    };
    assert_eq!((statistic.as_str(), period.as_secs()), ("Sum", 60));
    assert_eq!(threshold.above.map(|above| above.to_string()).as_deref(), Some("0.05"));
    let metric = metrics.values().next().expect("a metric");
    assert_eq!(metric.divided_by.as_deref(), Some("RequestCount"));
    assert_eq!(metric.dimensions.get("LoadBalancer").map(String::as_str), Some("app/shop/0a1b2c3d4e5f6071"));
    assert!(matches!(&check("canary").probe, Probe::Alarm { alarms }
        if alarms.iter().all(|(about, alarm)| alarm.published_in.as_ref().is_some_and(|place| place != about))));
    assert!(matches!(&check("requests").probe, Probe::Prometheus { query, token_file: Some(_), ca_file: None, .. }
        if query.contains(r#"{region="{region}"}"#)));
}

#[test]
fn where_a_check_is_asked_and_what_it_counts_for_can_be_written() {
    let manifest = parse(&example("checks.yaml"), "checks.yaml").expect("it is accepted");
    let facts = |check: &Check| (check.name.clone(), check.from, check.observe_only);
    let told: Vec<_> =
        manifest.checks.iter().map(facts).filter(|(_, from, only)| *only || *from != Vantage::Both).collect();
    assert_eq!(told, [("orders".to_owned(), Vantage::Others, false), ("nodes".to_owned(), Vantage::Own, true)]);
}

#[test]
fn those_who_see_the_requests_are_told_from_those_who_ask_the_service() {
    let manifest = parse(&example("checks.yaml"), "checks.yaml").expect("it is accepted");
    let requester: Vec<&str> = manifest
        .checks
        .iter()
        .filter(|check| check.probe.is_requester_side())
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(requester, ["errors", "latency", "canary", "requests"]);
    for check in &manifest.checks {
        let about = check.regions(&manifest);
        assert!(
            !about.is_empty() && about.iter().all(|region| manifest.regions.contains_key(*region)),
            "{}",
            check.name
        );
    }
}
