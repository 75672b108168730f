//! What one coordinator serves, and the tasks that run beside it.

use std::sync::Arc;

use mesh_proto::v1::agent_session_server::AgentSessionServer;
use mesh_proto::v1::operator_server::OperatorServer;
use mesh_proto::v1::pki_server::PkiServer;
use mesh_runtime::grpc::MESSAGE_MAX;
use mesh_runtime::tls::Identities;
use tokio::task::JoinSet;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::consensus::RaftService;
use crate::driver;
use crate::node::Node;
use crate::operator::OperatorService;
use crate::pki::{self, IssuingFiles, PkiService};
use crate::sessions::service::AgentSessionService;
use crate::sessions::{pongs, relay, watchlist};

/// Names under which health is reported; the empty one is the process as a whole.
const REPORTED: [&str; 4] = ["", "mesh.v1.Operator", "mesh.v1.AgentSession", "mesh.v1.Pki"];

/// All services. `raft` is absent only where consensus is a single process.
pub async fn routes(
    node: &Arc<Node>,
    raft: Option<RaftService>,
    issuing: Option<IssuingFiles>,
) -> anyhow::Result<Routes> {
    let (reporter, health) = tonic_health::server::health_reporter();
    report(&reporter, ServingStatus::Serving).await;
    if issuing.is_none() {
        reporter.set_service_status("mesh.v1.Pki", ServingStatus::NotServing).await;
    }
    tokio::spawn(report_draining(Arc::clone(node), reporter));
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(mesh_proto::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let operator = OperatorServer::new(OperatorService::new(Arc::clone(node)));
    let sessions = AgentSessionServer::new(AgentSessionService::new(Arc::clone(node)));
    let pki = PkiServer::new(PkiService::new(issuing));
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(operator.max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX))
        .add_service(sessions.max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX))
        .add_service(pki.max_decoding_message_size(MESSAGE_MAX))
        .add_service(health)
        .add_service(reflection);
    if let Some(raft) = raft {
        routes.add_service(raft);
    }
    Ok(routes.routes())
}

async fn report_draining(node: Arc<Node>, reporter: HealthReporter) {
    node.draining.cancelled().await;
    report(&reporter, ServingStatus::NotServing).await;
}

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for name in REPORTED {
        reporter.set_service_status(name, status).await;
    }
}

/// The leader's loop, the answers to pings and what agents watch. Each runs until the node drains.
pub fn tasks(node: &Arc<Node>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(driver::run(Arc::clone(node)));
    tasks.spawn(pongs::run(Arc::clone(node)));
    tasks.spawn(relay::run(Arc::clone(node)));
    tasks.spawn(watchlist::run(Arc::clone(node)));
    tasks
}

/// As [`tasks`], for the renewal of the node's own certificate.
pub fn renewal(tasks: &mut JoinSet<()>, node: &Arc<Node>, identities: &Arc<Identities>, issuing: Option<IssuingFiles>) {
    tasks.spawn(pki::renew_own(Arc::clone(node), Arc::clone(identities), issuing));
}
