//! What arrives at a coordinator's port from someone who does not use meshctl.

use std::sync::Arc;
use std::time::Duration;

use mesh_proto::v1;
use mesh_proto::v1::operator_client::OperatorClient;
use mesh_runtime::grpc::{self, MESSAGE_MAX};
use mesh_runtime::tls::{Identities, TlsFiles};
use mesh_suite::Rig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request, server_reflection_response};

use crate::papers::{self, HOUR};

const WITHIN: Duration = Duration::from_secs(10);
/// How HTTP/2 begins, RFC 9113, 3.4; then an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The content type of a TLS alert, RFC 8446, 5.1.
const TLS_ALERT: u8 = 0x15;

pub async fn a_connection_without_a_certificate_of_the_mesh_gets_no_answer(rig: &Rig) {
    let trusted = papers::admin(rig).tls.authorities;
    let eve = "spiffe://demo/region/us-east-1/admin/eve";
    let good = papers::issue(rig, "knock", eve, HOUR);
    let expired = papers::issue_expired(rig, "knock-expired", eve).await;
    let foreign = papers::issue_elsewhere(rig, "knock-foreign", eve, Some(&trusted));
    let other = papers::issue_for_another_mesh(rig, "knock-other", "spiffe://other/region/us-east-1/admin/eve");
    let nobody = papers::issue_for_another_mesh(rig, "knock-nobody", "https://example.com/eve");
    for address in papers::coordinators(rig) {
        knock(&address, &good, true).await.expect("a certificate of the mesh is let in");
        let refused = knock(&address, &good, false).await.expect_err("no certificate");
        assert!(refused.contains("CertificateRequired"), "{refused}");
        let refused = knock(&address, &expired, true).await.expect_err("an expired certificate");
        assert!(refused.contains("CertificateExpired"), "{refused}");
        for (tls, whose) in [(&foreign, "another authority"), (&other, "another mesh"), (&nobody, "nobody")] {
            knock(&address, tls, true).await.expect_err(whose);
        }
        let said = in_plain_text(&address).await;
        assert!(said.first().is_none_or(|first| *first == TLS_ALERT), "plain text was answered: {said:?}");
    }
    let log = std::fs::read_to_string(rig.stand.layout.log("coordinator-1")).expect("its log");
    assert!(log.contains("connection refused"), "whom it turned away is in the coordinator's log");
}

/// A TLS client that is not ours, so that nothing but the server decides. Ok once the server speaks HTTP/2.
async fn knock(address: &str, tls: &TlsFiles, show: bool) -> Result<(), String> {
    let knocking = async {
        let mut roots = rustls::RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(&tls.authorities).expect("the roots") {
            roots.add(root.expect("a certificate")).expect("a root");
        }
        let builder =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("protocols").with_root_certificates(roots);
        let mut config = if show {
            let chain = CertificateDer::pem_file_iter(&tls.certificate).expect("the chain");
            let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
            let key = PrivateKeyDer::from_pem_file(&tls.key).expect("the key");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let socket: std::net::SocketAddr = address.parse().expect("an address");
        let tcp = TcpStream::connect(socket).await.expect("the port is open");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut stream =
            connector.connect(ServerName::from(socket.ip()), tcp).await.map_err(|error| error.to_string())?;
        match stream.read(&mut [0; 1]).await {
            Ok(0) => Err("closed".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    };
    tokio::time::timeout(WITHIN, knocking).await.expect("the coordinator lets in or refuses, and does not wait")
}

async fn in_plain_text(address: &str) -> Vec<u8> {
    let mut said = Vec::new();
    let asked = async {
        let mut stream = TcpStream::connect(address).await.expect("the port is open");
        stream.write_all(PREFACE).await.expect("sent");
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut said).await;
    };
    tokio::time::timeout(WITHIN, asked).await.expect("the coordinator ends it");
    said
}

pub async fn a_message_above_the_limit_is_refused_and_the_coordinator_lives(rig: &Rig) {
    let admin = papers::identities(rig, "large", "spiffe://demo/region/us-east-1/admin/large");
    let node = papers::identities(rig, "large-node", "spiffe://demo/region/us-east-1/coordinator/coordinator-1");
    let large = || vec![0; MESSAGE_MAX + 1];
    for address in papers::coordinators(rig) {
        let request = v1::StartRunRequest { plan: None, plan_hash: large(), ..Default::default() };
        too_large(OperatorClient::new(channel(&address, &admin)).start_run(request).await.map(drop));
        let manifest = v1::ApplyManifestRequest { source: "#".repeat(MESSAGE_MAX), ..Default::default() };
        too_large(OperatorClient::new(channel(&address, &admin)).apply_manifest(manifest).await.map(drop));
        let request = v1::RenewRequest { csr: large() };
        let renewed = v1::pki_client::PkiClient::new(channel(&address, &node)).renew(request).await;
        too_large(renewed.map(drop));
        assert_eq!(health(&address, &admin).await, Ok(ServingStatus::Serving), "{address} serves on");
    }
}

#[track_caller]
fn too_large(answer: Result<(), Status>) {
    let status = answer.expect_err("more than the limit must be refused");
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    assert!(status.message().contains(&MESSAGE_MAX.to_string()), "the limit is named: {status}");
}

pub async fn a_path_that_the_table_does_not_list_is_refused_to_everyone(rig: &Rig) {
    let address = papers::coordinators(rig).remove(0);
    let admin = papers::identities(rig, "path", "spiffe://demo/region/us-east-1/admin/path");
    for (path, why) in [
        ("/mesh.v1.Operator/Nuke", "no such call"),
        ("/mesh.v1.Nobody/Nothing", "no such call"),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "no such call"),
        ("/", "no such call"),
        ("/mesh.v1.Raft/Vote", "needs coordinator"),
        ("/mesh.v1.AgentSession/Open", "needs agent"),
    ] {
        let status = call(&address, &admin, path).await.expect_err(path);
        assert_eq!(status.code(), Code::PermissionDenied, "{path}: {status}");
        assert!(status.message().contains("role admin") && status.message().contains(why), "{path}: {status}");
    }
}

async fn call(address: &str, identities: &Arc<Identities>, path: &'static str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel(address, identities));
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = tonic_prost::ProstCodec::<v1::Nothing, v1::Nothing>::default();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
    grpc.unary(Request::new(v1::Nothing {}), path, codec).await.map(drop)
}

pub async fn nobody_but_a_coordinator_speaks_for_another(rig: &Rig) {
    let viewer = papers::identities(rig, "puppet", "spiffe://demo/region/us-east-1/viewer/vic");
    for address in papers::coordinators(rig) {
        let mut request = Request::new(v1::RevokeKeyRequest { key: "ann".to_owned(), approvals: Vec::new() });
        let admin = papers::identity("spiffe://demo/region/us-east-1/admin/admin");
        mesh_runtime::identity::speak_for(&mut request, &admin);
        let status = OperatorClient::new(channel(&address, &viewer)).revoke_key(request).await.expect_err("refused");
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(status.message().contains("may not speak for another"), "{status}");
    }
}

pub async fn health_and_reflection_answer_every_certificate_of_the_mesh(rig: &Rig) {
    for role in ["viewer", "operator", "approver", "admin", "agent", "coordinator"] {
        let who = format!("spiffe://demo/region/us-east-1/{role}/asker");
        let identities = papers::identities(rig, &format!("asker-{role}"), &who);
        for address in papers::coordinators(rig) {
            assert_eq!(health(&address, &identities).await, Ok(ServingStatus::Serving), "{role}");
            let services = reflection(&address, &identities).await.expect("reflection answers");
            assert!(services.iter().any(|name| name == "mesh.v1.Operator"), "{role}: {services:?}");
        }
    }
}

pub async fn health(address: &str, identities: &Arc<Identities>) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: "mesh.v1.Operator".to_owned() };
    let answer = HealthClient::new(channel(address, identities)).check(request).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

async fn reflection(address: &str, identities: &Arc<Identities>) -> Result<Vec<String>, Status> {
    let list = server_reflection_request::MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut client = ServerReflectionClient::new(channel(address, identities));
    let answers = client.server_reflection_info(tokio_stream::once(request)).await?;
    let answer = answers.into_inner().message().await?.and_then(|answer| answer.message_response);
    match answer {
        Some(server_reflection_response::MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => Err(Status::internal(format!("{other:?}"))),
    }
}

/// Without the client's own limits, retries and search for a leader.
pub fn channel(address: &str, identities: &Arc<Identities>) -> Channel {
    grpc::connect(address, identities).expect("an address")
}
