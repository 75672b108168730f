//! HTTP verification and probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mesh_core::execute::{Job, Observation};
use mesh_core::plan::Action;
use mesh_providers::Provider;

use crate::dns::DnsStub;
use crate::jobs;
use crate::stub::{Reply, Stub, providers_at};

fn verify(port: u16, consecutive: u32) -> Job {
    jobs::job(
        "http-verify-api",
        Action::HttpVerify {
            url: format!("http://api.example.com:{port}/actuator/health"),
            expect_status: 200,
            body_contains: Some("us-west-2".to_owned()),
            consecutive,
        },
    )
}

#[tokio::test]
async fn a_name_is_verified_as_the_given_servers_resolve_it_and_as_often_as_asked() {
    let stub = Stub::start(|_| Reply::Text(200, r#"{"region":"us-west-2"}"#.to_owned())).await;
    let dns = DnsStub::start("", false).await;
    let providers = providers_at(&stub.endpoint(), vec![dns.address]).await;
    let observed = providers.observe(&verify(stub.address.port(), 3), None).await;
    assert!(matches!(observed, Observation::Satisfied { .. }), "{observed:?}");
    assert_eq!(stub.seen().len(), 3);
}

#[tokio::test]
async fn one_wrong_answer_in_a_row_is_not_yet_verified() {
    let count = Arc::new(AtomicUsize::new(0));
    let stub = Stub::start(move |_| {
        let region = if count.fetch_add(1, Ordering::Relaxed) == 1 { "us-east-1" } else { "us-west-2" };
        Reply::Text(200, format!(r#"{{"region":"{region}"}}"#))
    })
    .await;
    let dns = DnsStub::start("", false).await;
    let providers = providers_at(&stub.endpoint(), vec![dns.address]).await;
    let Observation::Pending { note } = providers.observe(&verify(stub.address.port(), 3), None).await else {
        panic!("the second answer came from the old region");
    };
    assert!(note.contains("pass 2 of 3") && note.contains("us-east-1"), "{note}");
}
