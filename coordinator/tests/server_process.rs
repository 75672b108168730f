//! The binary itself: what it refuses before it binds, what it keeps over a restart, how it stops.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "helpers of tests fail by panicking")]

#[path = "support/site.rs"]
mod site;

use std::net::TcpListener;

use mesh_core::access::Role;
use mesh_proto::v1;
use mesh_proto::v1::operator_client::OperatorClient;

use site::{Process, Site};

#[test]
fn a_bad_configuration_is_refused_by_its_place_before_a_port_is_bound() {
    let site = Site::new();
    let bound = TcpListener::bind(&site.address).expect("free");
    let (status, said) = Process::start(&site.config("0"), &[]).end();
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains("coordinator.toml:2:1: must be at least 1"), "{said}");
    site.issue(Role::Coordinator, "us-west-2", "c1");
    let (status, said) = Process::start(&site.config("1"), &[]).end();
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains("us-west-2"), "{said}");
    drop(bound);
}

#[test]
fn a_good_configuration_is_checked_without_being_run() {
    let site = Site::new();
    let (status, said) = Process::start(&site.config("1"), &["--check-config"]).end();
    assert!(status.success(), "{said}");
    assert!(!site.path("data").exists(), "nothing is created by a check");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_coordinator_serves_keeps_what_it_acknowledged_and_drains() {
    let site = Site::new();
    let config = site.config("1");
    let process = Process::start(&config, &[]);
    let client = site.client();
    let enroll = v1::EnrollKeyRequest {
        key: "k1".to_owned(),
        owner: "ann".to_owned(),
        public_key: vec![7; 32],
        approvals: Vec::new(),
    };
    let enrolled = client.call(|channel| {
        let request = enroll.clone();
        async move { OperatorClient::new(channel).enroll_key(request).await }
    });
    enrolled.await.expect("enrolled");
    process.terminate();
    let (status, said) = process.end();
    assert!(status.success(), "{said}");
    let process = Process::start(&config, &[]);
    let client = site.client();
    let status = client.call(|channel| async move {
        OperatorClient::new(channel).get_status(v1::GetStatusRequest { stale: false }).await
    });
    let status = status.await.expect("answered").into_inner();
    assert_eq!((status.mesh.as_str(), status.answered_by, status.stale), ("demo", 1, false));
    let keys =
        client.call(|channel| async move { OperatorClient::new(channel).list_keys(v1::ListKeysRequest {}).await });
    let keys = keys.await.expect("answered").into_inner().keys;
    assert_eq!(keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["k1"]);
    process.terminate();
    let (status, said) = process.end();
    assert!(status.success(), "{said}");
}
