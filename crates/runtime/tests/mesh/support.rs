//! A small mesh: authorities and certificates in a temporary directory, servers on free ports.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mesh_core::access::{Identity, Role};
use mesh_core::ids::RegionId;
use mesh_proto::v1::pki_client::PkiClient;
use mesh_proto::v1::pki_server::{Pki, PkiServer};
use mesh_proto::v1::{RenewRequest, RenewResponse};
use mesh_runtime::grpc;
use mesh_runtime::identity::{self, Caller, Peer};
use mesh_runtime::pki::{Authority, write_pair};
use mesh_runtime::shutdown::Shutdown;
use mesh_runtime::tls::{Identities, TlsFiles};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

pub const MESH: &str = "demo";
pub const HOUR: Duration = Duration::from_secs(3600);
/// Longest wait for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Authorities of one mesh and a directory for everyone's files.
pub struct TestMesh {
    pub dir: tempfile::TempDir,
    pub root: Authority,
    pub issuing: Authority,
}

impl TestMesh {
    pub fn new(mesh: &str) -> Self {
        let root = Authority::create(mesh).expect("a root");
        let issuing = root.create_issuing().expect("an issuing authority");
        Self { dir: tempfile::tempdir().expect("a directory"), root, issuing }
    }

    pub fn identity(&self, role: Role, name: &str) -> Identity {
        let region = RegionId::new("us-east-1").expect("a region");
        Identity { mesh: self.root.mesh().to_owned(), region, role, name: name.to_owned() }
    }

    /// Writes certificate, key and authorities; `trusted` are the roots.
    pub fn files(&self, role: Role, name: &str, lifetime: Duration, trusted: &[&Authority]) -> TlsFiles {
        let issued = self.issuing.issue(&self.identity(role, name), &["localhost".to_owned()], lifetime);
        let issued = issued.expect("issued");
        let files = self.paths(name);
        write_pair(&files.certificate, &files.key, &issued.chain_pem, &issued.key_pem).expect("written");
        trust(&files.authorities, trusted);
        files
    }

    pub fn paths(&self, name: &str) -> TlsFiles {
        let path = |kind: &str| -> PathBuf { self.dir.path().join(format!("{name}.{kind}")) };
        TlsFiles { certificate: path("pem"), key: path("key"), authorities: path("ca.pem") }
    }

    pub fn identities(&self, role: Role, name: &str) -> Arc<Identities> {
        self.identities_for(role, name, HOUR, &[&self.root])
    }

    pub fn identities_for(
        &self,
        role: Role,
        name: &str,
        lifetime: Duration,
        trusted: &[&Authority],
    ) -> Arc<Identities> {
        let files = self.files(role, name, lifetime, trusted);
        Identities::load(&files, self.root.mesh()).expect("loaded")
    }
}

pub fn trust(path: &Path, roots: &[&Authority]) {
    let pem: String = roots.iter().map(|root| root.certificate_pem()).collect();
    mesh_runtime::files::replace(path, pem.as_bytes(), 0o644).expect("written");
}

/// A server that ends with the test.
pub struct TestServer {
    pub address: SocketAddr,
    pub shutdown: Shutdown,
    pub serving: JoinHandle<Result<(), grpc::ServeError>>,
}

impl TestServer {
    pub async fn start(identities: &Arc<Identities>, routes: Routes) -> Self {
        Self::draining(identities, routes, Duration::from_millis(200)).await
    }

    pub async fn draining(identities: &Arc<Identities>, routes: Routes, drain: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = Shutdown::manual(drain);
        let serving = grpc::serve(listener, Arc::clone(identities), routes, shutdown.clone());
        Self { address, shutdown, serving: tokio::spawn(serving) }
    }

    pub fn channel(&self, identities: &Arc<Identities>) -> Channel {
        let patient = grpc::connect_within(&self.address.to_string(), identities, PATIENCE);
        patient.expect("an address")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// `Pki.Renew` that answers who asked, from where, and with which names.
#[derive(Clone, Default)]
pub struct WhoAmI {
    pub entered: Arc<Notify>,
    pub leave: Arc<Notify>,
}

/// The request that waits for `leave`.
pub const WAIT: &[u8] = b"wait";

#[tonic::async_trait]
impl Pki for WhoAmI {
    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let caller = identity::caller(&request)?;
        let peer = request.extensions().get::<Peer>().expect("the acceptor's");
        let chain = format!("{caller} {} {}", peer.address, identity::peer_names(&request).join(","));
        if request.get_ref().csr == WAIT {
            self.entered.notify_one();
            self.leave.notified().await;
        }
        Ok(Response::new(RenewResponse { chain }))
    }
}

pub fn who_am_i() -> Routes {
    Routes::new(PkiServer::new(WhoAmI::default()))
}

/// Asks [`WhoAmI`].
pub async fn ask(channel: Channel) -> Result<String, Status> {
    let mut client = PkiClient::new(channel);
    let asked = client.renew(RenewRequest { csr: Vec::new() });
    let answer = tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time")?;
    Ok(answer.into_inner().chain)
}

macro_rules! echo {
    ($($name:ident = $path:literal),*) => {
        $(#[derive(Clone)]
        struct $name;

        impl NamedService for $name {
            const NAME: &'static str = $path;
        }

        impl Service<http::Request<Body>> for $name {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = std::future::Ready<Result<Self::Response, Infallible>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                let Caller(caller) = request.extensions().get::<Caller>().expect("the layer's");
                std::future::ready(Ok(Status::new(REACHED, caller.to_string()).into_http()))
            }
        })*

        /// Every service of the mesh; every method answers [`REACHED`] with the effective caller.
        pub fn every_service() -> Routes {
            let mut routes = Routes::builder();
            $(routes.add_service($name);)*
            routes.routes()
        }
    };
}

/// Says that the handler was reached.
pub const REACHED: Code = Code::FailedPrecondition;

echo!(
    EchoOperator = "mesh.v1.Operator",
    EchoAgent = "mesh.v1.AgentSession",
    EchoPeer = "mesh.v1.AgentPeer",
    EchoPki = "mesh.v1.Pki",
    EchoRaft = "mesh.v1.Raft",
    EchoHealth = "grpc.health.v1.Health",
    EchoReflection = "grpc.reflection.v1.ServerReflection"
);

/// Calls any path with an empty message and the given metadata; every answer is a status.
pub async fn call_path(channel: &Channel, path: &str, on_behalf_of: Option<&str>) -> Status {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.expect("a lazy channel is always ready");
    let mut request = Request::new(RenewRequest::default());
    if let Some(identity) = on_behalf_of {
        request.metadata_mut().insert(identity::ON_BEHALF_OF, identity.parse().expect("ASCII"));
    }
    let codec = tonic_prost::ProstCodec::<RenewRequest, RenewResponse>::default();
    let path = path.parse().expect("a path");
    let called = tokio::time::timeout(PATIENCE, client.unary(request, path, codec)).await;
    called.expect("an answer in time").expect_err("an echo is a status")
}
