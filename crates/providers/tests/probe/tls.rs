use std::path::Path;
use std::sync::Arc;

use mesh_providers::probe::{Answer, Asks, HttpQuestion, Question};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use crate::rig::{PATIENT, Reply, SHORT, Server, failed, get, nobody, passed, providers, region, unknown};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub fn write(&self, dir: &Path, name: &str) {
        std::fs::write(dir.join(name), self.0.pem()).expect("the directory can be written");
    }

    /// A server's settings with a certificate for `names`.
    pub fn server(&self, names: &[&str], alpn: &[u8]) -> Arc<ServerConfig> {
        let params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut settings = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("they belong together");
        settings.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(settings)
    }
}

async fn https(authority: &Authority, names: &[&str]) -> Server {
    let acceptor = TlsAcceptor::from(authority.server(names, b"http/1.1"));
    Server::accept(
        |_| Reply::Text(200, "", "UP"),
        move |stream| {
            let accepting = acceptor.accept(stream);
            async move { accepting.await.ok() }
        },
    )
    .await
}

async fn asked(dir: &Path, server: &Server, host: &str, ca_file: Option<&str>) -> Answer {
    let url = format!("https://{host}:{}/", server.address.port());
    let question = HttpQuestion { ca_file: ca_file.map(str::to_owned), ..get(url) };
    Asks::ask(providers(Vec::new(), Some(dir)).await.as_ref(), &Question::Http(question), &region(), PATIENT).await
}

#[tokio::test]
async fn a_certificate_is_verified_with_the_named_authorities() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (Authority::new(), Authority::new());
    ours.write(dir.path(), "ours.pem");
    theirs.write(dir.path(), "theirs.pem");
    let server = https(&ours, &["localhost", "127.0.0.1"]).await;
    passed(asked(dir.path(), &server, "localhost", Some("ours.pem")).await);
    passed(asked(dir.path(), &server, "127.0.0.1", Some("ours.pem")).await);
    failed(asked(dir.path(), &server, "localhost", Some("theirs.pem")).await, "invalid peer certificate");
    let elsewhere = https(&ours, &["api.example.com"]).await;
    failed(asked(dir.path(), &elsewhere, "localhost", Some("ours.pem")).await, "not valid for name");
}

#[tokio::test]
async fn the_systems_authorities_do_not_know_ours() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = https(&Authority::new(), &["localhost"]).await;
    match asked(dir.path(), &server, "localhost", None).await {
        Answer::Failed { reason } => assert!(reason.contains("UnknownIssuer"), "{reason}"),
        // A host without any authority says so, and blames nobody else.
        Answer::Unknown { reason } => assert!(reason.contains("ca-certificates"), "{reason}"),
        passed @ Answer::Passed { .. } => panic!("{passed:?}"),
    }
}

#[tokio::test]
async fn an_authority_that_the_agent_does_not_have_is_its_own_trouble() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = https(&Authority::new(), &["localhost"]).await;
    std::fs::write(dir.path().join("empty.pem"), "").expect("written");
    unknown(asked(dir.path(), &server, "localhost", Some("gone.pem")).await, "gone.pem");
    unknown(asked(dir.path(), &server, "localhost", Some("empty.pem")).await, "holds no certificate");
    unknown(asked(dir.path(), &server, "localhost", Some("../empty.pem")).await, "is no file name");
    let question = HttpQuestion { ca_file: Some("empty.pem".to_owned()), ..get("https://localhost:1/") };
    let url = format!("https://localhost:{}/", server.address.port());
    let question = HttpQuestion { url, ..question };
    let nowhere = providers(Vec::new(), None).await;
    unknown(Asks::ask(nowhere.as_ref(), &Question::Http(question), &region(), PATIENT).await, "credentials_dir");
}

#[tokio::test]
async fn a_port_that_does_not_speak_tls_fails_in_words_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    authority.write(dir.path(), "ca.pem");
    let plain = Server::accept(
        |_| Reply::Close,
        |mut stream: tokio::net::TcpStream| async move {
            use tokio::io::AsyncWriteExt;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            Some(stream)
        },
    )
    .await;
    failed(asked(dir.path(), &plain, "localhost", Some("ca.pem")).await, "TLS");
    let silent = Server::accept(
        |_| Reply::Silence,
        |stream: tokio::net::TcpStream| async move {
            std::future::pending::<()>().await;
            Some(stream)
        },
    )
    .await;
    let url = format!("https://localhost:{}/", silent.address.port());
    let question = HttpQuestion { ca_file: Some("ca.pem".to_owned()), ..get(url) };
    let asker = providers(Vec::new(), Some(dir.path())).await;
    let answer = Asks::ask(asker.as_ref(), &Question::Http(question.clone()), &region(), SHORT).await;
    failed(answer, "no TLS handshake was done within 300 ms");
    let url = format!("https://localhost:{}/", nobody().await.port());
    let nobody = HttpQuestion { url, ..question };
    failed(Asks::ask(asker.as_ref(), &Question::Http(nobody), &region(), PATIENT).await, "refused the connection");
}
