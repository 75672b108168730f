//! Any coordinator will do; what each said is told when none did.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh_core::access::Role;
use mesh_proto::v1::StartRunRequest;
use mesh_proto::v1::operator_client::OperatorClient;
use mesh_runtime::client::{CallError, CallLimits, MeshClient};
use mesh_runtime::connect_error::ConnectError;
use tokio::net::TcpListener;
use tonic::Code;

use crate::support::{MESH, TestMesh, TestServer, ask, every_service, who_am_i};

/// Accepts and closes; counts.
async fn dead_coordinator() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let dialled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&dialled);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            drop(socket);
        }
    });
    (address, dialled)
}

#[tokio::test]
async fn the_next_coordinator_is_called_when_one_is_dead_and_is_remembered() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c2"), who_am_i()).await;
    let (dead, dialled) = dead_coordinator().await;
    let addresses = [dead.to_string(), server.address.to_string()];
    let client = MeshClient::new(&addresses, &mesh.identities(Role::Agent, "use1-a")).expect("addresses");
    client.call(ask).await.expect("the second answers");
    let before = dialled.load(Ordering::SeqCst);
    assert!(before > 0, "the first is tried first");
    client.call(ask).await.expect("answered");
    assert_eq!(dialled.load(Ordering::SeqCst), before, "the one that answered is called first");
}

#[tokio::test]
async fn what_each_coordinator_said_is_told_when_none_answered() {
    let mesh = TestMesh::new(MESH);
    let ((one, _), (two, _)) = (dead_coordinator().await, dead_coordinator().await);
    let limits = CallLimits { per_try: Duration::from_secs(5), total: Duration::from_millis(700) };
    let addresses = [one.to_string(), two.to_string()];
    let client = MeshClient::new(&addresses, &mesh.identities(Role::Operator, "otto")).expect("addresses");
    let failed = client.with_limits(limits).call(ask).await.expect_err("nobody answers");
    let text = failed.to_string();
    assert!(text.contains(&one.to_string()) && text.contains(&two.to_string()), "{text}");
    assert_eq!(failed.code(), Code::Unavailable);
    assert!(failed.hint().is_some(), "a person is told what to check");
}

#[tokio::test]
async fn a_refusal_is_not_taken_to_another_coordinator() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), every_service()).await;
    let (dead, dialled) = dead_coordinator().await;
    let addresses = [server.address.to_string(), dead.to_string()];
    let client = MeshClient::new(&addresses, &mesh.identities(Role::Viewer, "vera")).expect("addresses");
    let refused =
        client.call(|channel| async move { OperatorClient::new(channel).start_run(StartRunRequest::default()).await });
    let refused = refused.await.expect_err("refused");
    assert!(matches!(&refused, CallError::Refused { status, .. } if status.code() == Code::PermissionDenied));
    assert!(refused.to_string().starts_with("role viewer may not call"), "{refused}");
    assert_eq!(dialled.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nobody_waits_for_what_waiting_does_not_mend() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), who_am_i()).await;
    let expired = mesh.identities_for(Role::Operator, "otto", Duration::ZERO, &[&mesh.root]);
    let limits = CallLimits { total: Duration::from_secs(24 * 60 * 60), ..CallLimits::default() };
    let client = MeshClient::new(&[server.address.to_string()], &expired).expect("addresses");
    let failed = client.with_limits(limits).call(ask).await.expect_err("refused");
    let CallError::Unavailable { attempts, .. } = &failed else { panic!("{failed}") };
    assert!(matches!(attempts[0].connect, Some(ConnectError::OwnCertificateExpired { .. })), "{failed}");
    assert!(failed.hint().is_some_and(|hint| hint.contains("meshctl pki issue")));
}

#[tokio::test]
async fn an_address_without_a_port_is_refused_at_once() {
    let mesh = TestMesh::new(MESH);
    let identities = mesh.identities(Role::Operator, "otto");
    for bad in ["localhost", "", "a b:1", "::::"] {
        assert!(MeshClient::new(&[bad.to_owned()], &identities).is_err(), "{bad:?} must be refused");
    }
}
