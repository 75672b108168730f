//! Who gets a connection, and what the others are told.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::access::Role;
use mesh_core::ids::AgentId;
use mesh_core::time::Timestamp;
use mesh_runtime::clock::unix_now;
use mesh_runtime::connect_error::{ConnectError, connect_error};
use mesh_runtime::grpc;
use mesh_runtime::identity::IdentityError;
use mesh_runtime::pki::{self, Issued, write_pair};
use mesh_runtime::tls::{Identities, TlsError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{Code, Status};

use crate::support::{HOUR, MESH, PATIENCE, TestMesh, TestServer, ask, trust, who_am_i};

fn cause(status: &Status) -> ConnectError {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    connect_error(status).expect("the status carries why there is no connection").clone()
}

/// What a client that is not ours, with any certificate or none, is told by the server.
async fn alert_to(server: SocketAddr, trusted: &TestMesh, certificate: Option<Issued>) -> AlertDescription {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(trusted.root.certificate_pem().as_bytes()).expect("PEM");
    roots.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.expect("TLS 1.3").with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let chain = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes());
            let chain = chain.collect::<Result<Vec<_>, _>>().expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let talk = async {
        let tcp = TcpStream::connect(server).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        stream.read_u8().await
    };
    let refused: io::Error = tokio::time::timeout(PATIENCE, talk).await.expect("in time").expect_err("refused");
    let alert = match refused.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        Some(_) | None => None,
    };
    alert.ok_or(refused).expect("an alert says why")
}

/// A certificate holds to the end of its last second.
async fn passed(not_after: Timestamp) {
    while unix_now() < not_after.plus(Duration::from_secs(1)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn both_sides_of_one_mesh_come_together_and_know_each_other() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), who_am_i()).await;
    let answer = ask(server.channel(&mesh.identities(Role::Agent, "use1-a"))).await.expect("answered");
    assert!(answer.starts_with("spiffe://demo/region/us-east-1/agent/use1-a 127.0.0.1:"), "{answer}");
    assert!(answer.ends_with(" localhost"), "the names in the certificate are known: {answer}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), who_am_i()).await;
    assert_eq!(alert_to(server.address, &mesh, None).await, AlertDescription::CertificateRequired);
}

#[tokio::test]
async fn an_expired_client_is_refused_by_the_server() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), who_am_i()).await;
    let issued = mesh.issuing.issue(&mesh.identity(Role::Agent, "use1-a"), &[], Duration::ZERO).expect("issued");
    passed(pki::inspect(&issued.chain_pem).expect("readable").not_after).await;
    assert_eq!(alert_to(server.address, &mesh, Some(issued)).await, AlertDescription::CertificateExpired);
}

#[tokio::test]
async fn a_client_whose_own_certificate_expired_is_told_so_before_it_connects() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), who_am_i()).await;
    let expired = mesh.identities_for(Role::Operator, "otto", Duration::ZERO, &[&mesh.root]);
    let status = ask(server.channel(&expired)).await.expect_err("refused");
    assert!(matches!(cause(&status), ConnectError::OwnCertificateExpired { .. }), "{status}");
    assert!(status.message().starts_with("our certificate expired "), "{}", status.message());
    assert!(cause(&status).hint().contains("meshctl pki issue"));
}

#[tokio::test]
async fn an_expired_server_is_refused_and_the_error_says_how_long_ago() {
    let mesh = TestMesh::new(MESH);
    let expired = mesh.identities_for(Role::Coordinator, "c1", Duration::ZERO, &[&mesh.root]);
    let server = TestServer::start(&expired, who_am_i()).await;
    passed(expired.not_after()).await;
    let status = ask(server.channel(&mesh.identities(Role::Operator, "otto"))).await.expect_err("refused");
    assert!(matches!(cause(&status), ConnectError::ServerCertificateExpired { .. }), "{status}");
    let text = status.message();
    assert!(text.contains("certificate expired ") && text.ends_with(" ago"), "{text}");
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let (mesh, impostor) = (TestMesh::new(MESH), TestMesh::new(MESH));
    let server = TestServer::start(&impostor.identities(Role::Coordinator, "c1"), who_am_i()).await;
    let status = ask(server.channel(&mesh.identities(Role::Operator, "otto"))).await.expect_err("refused");
    assert!(matches!(cause(&status), ConnectError::UnknownAuthority { .. }), "{status}");
    assert!(status.message().ends_with("signed by an authority that we do not trust"), "{}", status.message());
}

#[tokio::test]
async fn a_client_of_another_authority_is_refused_and_told_so() {
    let (mesh, impostor) = (TestMesh::new(MESH), TestMesh::new(MESH));
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), who_am_i()).await;
    let client = impostor.identities_for(Role::Operator, "otto", HOUR, &[&mesh.root]);
    let status = ask(server.channel(&client)).await.expect_err("refused");
    assert!(matches!(cause(&status), ConnectError::Refused { .. }), "{status}");
    assert!(status.message().ends_with("authority that the server does not trust"), "{}", status.message());
}

#[tokio::test]
async fn a_server_of_another_mesh_is_refused_even_when_its_authority_is_trusted() {
    let (mesh, other) = (TestMesh::new(MESH), TestMesh::new("other"));
    let server = TestServer::start(&other.identities(Role::Coordinator, "c1"), who_am_i()).await;
    let client = mesh.identities_for(Role::Operator, "otto", HOUR, &[&mesh.root, &other.root]);
    let status = ask(server.channel(&client)).await.expect_err("refused");
    assert!(matches!(cause(&status), ConnectError::ServerIdentity { .. }), "{status}");
    assert!(status.message().ends_with("identity of mesh \"other\", expected \"demo\""), "{}", status.message());
}

#[tokio::test]
async fn a_client_of_another_mesh_is_refused_even_when_its_authority_is_trusted() {
    let (mesh, other) = (TestMesh::new(MESH), TestMesh::new("other"));
    let trusting = mesh.identities_for(Role::Coordinator, "c1", HOUR, &[&mesh.root, &other.root]);
    let server = TestServer::start(&trusting, who_am_i()).await;
    let stranger = other.issuing.issue(&other.identity(Role::Agent, "use1-a"), &[], HOUR).expect("issued");
    assert_eq!(alert_to(server.address, &mesh, Some(stranger)).await, AlertDescription::CertificateUnknown);
}

#[tokio::test]
async fn an_agent_cannot_pose_as_a_coordinator() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Agent, "use1-a"), who_am_i()).await;
    let status = ask(server.channel(&mesh.identities(Role::Operator, "otto"))).await.expect_err("refused");
    assert!(matches!(cause(&status), ConnectError::ServerIdentity { .. }), "{status}");
    assert!(status.message().ends_with("has role agent, expected coordinator"), "{}", status.message());
}

#[tokio::test]
async fn an_agent_answers_for_itself_alone() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Agent, "use1-a"), who_am_i()).await;
    let client = mesh.identities(Role::Agent, "usw2-a");
    let to = |agent: &str| {
        let agent = AgentId::new(agent).expect("a name");
        grpc::connect_to_agent(&server.address.to_string(), &client, &agent).expect("an address")
    };
    // It was let in: what follows is no longer the connection's business.
    let answer = ask(to("use1-a")).await;
    assert!(answer.as_ref().err().is_none_or(|status| status.code() != Code::Unavailable), "{answer:?}");
    let status = ask(to("use1-b")).await.expect_err("another agent's promise");
    assert!(matches!(cause(&status), ConnectError::ServerIdentity { .. }), "{status}");
    assert!(status.message().ends_with("is not the agent that was asked for"), "{}", status.message());
}

#[tokio::test]
async fn a_coordinator_cannot_pose_as_an_agent() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "use1-a"), who_am_i()).await;
    let agent = AgentId::new("use1-a").expect("a name");
    let address = server.address.to_string();
    let channel = grpc::connect_to_agent(&address, &mesh.identities(Role::Agent, "usw2-a"), &agent);
    let status = ask(channel.expect("an address")).await.expect_err("refused");
    assert!(status.message().ends_with("has role coordinator, expected agent"), "{}", status.message());
}

#[tokio::test]
async fn a_certificate_of_another_mesh_is_refused_when_it_is_loaded() {
    let other = TestMesh::new("other");
    let files = other.files(Role::Agent, "use1-a", HOUR, &[&other.root]);
    let refused = Identities::load(&files, MESH).expect_err("refused");
    let wrong = IdentityError::WrongMesh { found: "other".to_owned(), expected: MESH.to_owned() };
    assert!(matches!(&refused, TlsError::Identity { reason, .. } if *reason == wrong), "{refused}");
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused_when_it_is_loaded() {
    let mesh = TestMesh::new(MESH);
    let mut files = mesh.files(Role::Agent, "use1-a", HOUR, &[&mesh.root]);
    files.key = mesh.files(Role::Agent, "use1-b", HOUR, &[&mesh.root]).key;
    let refused = Identities::load(&files, MESH).expect_err("refused");
    assert!(matches!(refused, TlsError::KeyMismatch { .. }), "{refused}");
}

#[tokio::test]
async fn changed_files_serve_new_connections_and_drop_no_live_one() {
    let (old, new) = (TestMesh::new(MESH), TestMesh::new(MESH));
    let serving = old.identities_for(Role::Coordinator, "c1", HOUR, &[&old.root]);
    let server = TestServer::start(&serving, who_am_i()).await;
    let live = server.channel(&old.identities(Role::Agent, "use1-a"));
    let before = ask(live.clone()).await.expect("answered");
    let newcomer = new.identities(Role::Agent, "use1-b");
    ask(server.channel(&newcomer)).await.expect_err("the new authority is not trusted yet");

    let replaced = new.issuing.issue(&new.identity(Role::Coordinator, "c1"), &[], HOUR).expect("issued");
    let files = serving.files();
    trust(&files.authorities, &[&old.root, &new.root]);
    write_pair(&files.certificate, &files.key, &replaced.chain_pem, &replaced.key_pem).expect("written");

    let asked = async {
        while ask(server.channel(&newcomer)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("the files are looked at without being asked to");
    assert_eq!(ask(live).await.expect("answered"), before, "the live connection, and its port, are the same");
}

#[tokio::test]
async fn files_that_cannot_be_used_leave_the_former_ones_in_use() {
    let mesh = TestMesh::new(MESH);
    let serving = mesh.identities(Role::Coordinator, "c1");
    let server = TestServer::start(&serving, who_am_i()).await;
    std::fs::write(&serving.files().certificate, "not a certificate").expect("written");
    assert!(serving.reload().is_err(), "a broken file is reported");
    ask(server.channel(&mesh.identities(Role::Agent, "use1-a"))).await.expect("still served");
}
