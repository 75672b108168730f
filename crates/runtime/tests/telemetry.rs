//! Alone in its process: the subscriber is set once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mesh_runtime::telemetry::{self, LogConfig, TelemetryError};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::{Code, Status};

/// Counts exports.
#[derive(Clone, Default)]
struct Collector(Arc<AtomicUsize>);

impl NamedService for Collector {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl Service<http::Request<tonic::body::Body>> for Collector {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<tonic::body::Body>) -> Self::Future {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(Status::new(Code::InvalidArgument, "counted").into_http()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_the_collector_before_the_program_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let collector = Collector::default();
    let serving = tonic::transport::Server::builder().add_service(collector.clone());
    let serving = tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));

    let bad = LogConfig { level: "info,mesh=[".to_owned(), otlp_endpoint: None };
    assert!(matches!(telemetry::init(&bad, "mesh-test"), Err(TelemetryError::Level { .. })));

    let config = LogConfig { otlp_endpoint: Some(endpoint), ..LogConfig::default() };
    let guard = telemetry::init(&config, "mesh-test").expect("set up");
    assert!(matches!(telemetry::init(&LogConfig::default(), "mesh-test"), Err(TelemetryError::Twice)));
    tracing::info_span!("decide").in_scope(|| tracing::info!("decided"));
    drop(guard);
    assert!(collector.0.load(Ordering::SeqCst) > 0, "the last spans are flushed");
    serving.abort();
}
