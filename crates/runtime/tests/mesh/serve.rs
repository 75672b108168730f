//! Bounds and draining.

use std::time::Duration;

use mesh_core::access::Role;
use mesh_proto::v1::RenewRequest;
use mesh_proto::v1::pki_client::PkiClient;
use mesh_proto::v1::pki_server::PkiServer;
use mesh_runtime::grpc::MESSAGE_MAX;
use tonic::Code;
use tonic::service::Routes;

use crate::support::{MESH, PATIENCE, TestMesh, TestServer, WAIT, WhoAmI, ask, who_am_i};

#[tokio::test]
async fn an_oversized_message_is_refused_and_the_connection_goes_on() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), who_am_i()).await;
    let channel = server.channel(&mesh.identities(Role::Agent, "use1-a"));
    let oversized = RenewRequest { csr: vec![0; MESSAGE_MAX + 1] };
    let refused = PkiClient::new(channel.clone()).renew(oversized).await.expect_err("refused");
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    ask(channel).await.expect("the next call is answered");
}

#[tokio::test]
async fn a_call_that_runs_when_the_shutdown_begins_is_finished() {
    let mesh = TestMesh::new(MESH);
    let service = WhoAmI::default();
    let routes = Routes::new(PkiServer::new(service.clone()));
    let mut server = TestServer::draining(&mesh.identities(Role::Coordinator, "c1"), routes, PATIENCE).await;
    let mut client = PkiClient::new(server.channel(&mesh.identities(Role::Agent, "use1-a")));
    let call = tokio::spawn(async move { client.renew(RenewRequest { csr: WAIT.to_vec() }).await });
    service.entered.notified().await;
    server.shutdown.begin();
    service.leave.notify_one();
    call.await.expect("no panic").expect("answered while draining");
    let served = tokio::time::timeout(PATIENCE, &mut server.serving).await;
    served.expect("the server ends").expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_call_that_never_ends_is_cut_when_the_drain_time_is_over() {
    let mesh = TestMesh::new(MESH);
    let service = WhoAmI::default();
    let routes = Routes::new(PkiServer::new(service.clone()));
    let drain = Duration::from_millis(50);
    let mut server = TestServer::draining(&mesh.identities(Role::Coordinator, "c1"), routes, drain).await;
    let mut client = PkiClient::new(server.channel(&mesh.identities(Role::Agent, "use1-a")));
    let call = tokio::spawn(async move { client.renew(RenewRequest { csr: WAIT.to_vec() }).await });
    service.entered.notified().await;
    server.shutdown.begin();
    let served = tokio::time::timeout(PATIENCE, &mut server.serving).await;
    served.expect("the server ends").expect("no panic").expect("no error");
    tokio::time::timeout(PATIENCE, call).await.expect("cut").expect("no panic").expect_err("not answered");
}
