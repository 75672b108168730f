use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use mesh_providers::probe::{Answer, Asks, GrpcQuestion, Question};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::rig::{self, PATIENT, Reply, SHORT, failed, nobody, passed, providers, region};
use crate::tls::Authority;

struct Health {
    port: u16,
    reporter: HealthReporter,
    task: JoinHandle<()>,
}

impl Drop for Health {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Health {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (reporter, service) = tonic_health::server::health_reporter();
        let serving = Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
        let task = tokio::spawn(async move { serving.await.expect("it serves until it is aborted") });
        Self { port, reporter, task }
    }
}

/// TLS before a plain server; the port that it listens at.
struct Terminator(u16, JoinHandle<()>);

impl Drop for Terminator {
    fn drop(&mut self) {
        self.1.abort();
    }
}

impl Terminator {
    async fn start(acceptor: TlsAcceptor, behind: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut outside) = acceptor.accept(stream).await else { continue };
                let mut inside = TcpStream::connect((Ipv4Addr::LOCALHOST, behind)).await.expect("it listens");
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut outside, &mut inside).await.ok() });
            }
        });
        Self(port, task)
    }
}

fn question(target: String, service: &str) -> GrpcQuestion {
    GrpcQuestion { target, service: service.to_owned(), latency_max: None, ca_file: None }
}

async fn asked(target: String, service: &str, timeout: Duration) -> Answer {
    rig::ask(Question::Grpc(question(target, service)), timeout).await
}

#[tokio::test]
async fn what_serves_passes_and_what_does_not_says_so() {
    let health = Health::start().await;
    let target = format!("http://127.0.0.1:{}", health.port);
    passed(asked(target.clone(), "", PATIENT).await);
    health.reporter.set_service_status("maip.v1.Orders", ServingStatus::Serving).await;
    passed(asked(target.clone(), "maip.v1.Orders", PATIENT).await);
    health.reporter.set_service_status("maip.v1.Orders", ServingStatus::NotServing).await;
    failed(asked(target.clone(), "maip.v1.Orders", PATIENT).await, "NOT_SERVING");
    failed(asked(target.clone(), "maip.v1.Gone", PATIENT).await, "knows no service");
    let late = GrpcQuestion { latency_max: Some(Duration::from_nanos(1)), ..question(target, "") };
    failed(rig::ask(Question::Grpc(late), PATIENT).await, "but only after");
}

#[tokio::test]
async fn over_tls_the_certificate_is_verified() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (Authority::new(), Authority::new());
    ours.write(dir.path(), "ours.pem");
    theirs.write(dir.path(), "theirs.pem");
    let health = Health::start().await;
    let acceptor = TlsAcceptor::from(ours.server(&["localhost"], b"h2"));
    let Terminator(port, _) = &Terminator::start(acceptor, health.port).await;
    let asked = async |dir: &Path, ca: &str| {
        let target = format!("https://localhost:{port}");
        let question = GrpcQuestion { ca_file: Some(ca.to_owned()), ..question(target, "") };
        Asks::ask(providers(Vec::new(), Some(dir)).await.as_ref(), &Question::Grpc(question), &region(), PATIENT).await
    };
    passed(asked(dir.path(), "ours.pem").await);
    failed(asked(dir.path(), "theirs.pem").await, "invalid peer certificate");
}

#[tokio::test]
async fn what_is_no_grpc_server_fails_in_words_of_its_own() {
    let http = rig::Server::start(|_| Reply::Text(200, "", "UP")).await;
    let target = |address: std::net::SocketAddr| format!("http://{address}");
    let reason = failed(asked(target(http.address), "", PATIENT).await, "");
    assert!(reason.contains("HTTP/2") || reason.contains("closed the connection"), "{reason}");
    failed(asked(target(nobody().await), "", PATIENT).await, "refused the connection");
    let silent = rig::Server::start(|_| Reply::Silence).await;
    failed(asked(target(silent.address), "", SHORT).await, "within 300 ms");
}
