//! One trace spans the mesh: W3C `traceparent` in gRPC metadata.

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Adds the current span's context to an outgoing request.
pub fn inject(metadata: &mut MetadataMap) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut Outgoing(metadata));
}

/// Makes the caller's span the parent of `span`.
pub fn extract(metadata: &MetadataMap, span: &Span) {
    adopt(&metadata.clone().into_headers(), span);
}

/// The span of an incoming call, below the caller's. [`crate::grpc::serve`] opens it for every call.
pub fn span_of(request: &http::Request<()>) -> Span {
    let span = tracing::info_span!("rpc", path = request.uri().path());
    adopt(request.headers(), &span);
    span
}

fn adopt(headers: &HeaderMap, span: &Span) {
    let parent: Context = TraceContextPropagator::new().extract(&Incoming(headers));
    // Fails when spans are not exported: then there is nothing to connect.
    let _ = span.set_parent(parent);
}

struct Outgoing<'a>(&'a mut MetadataMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(key.as_bytes()), MetadataValue::try_from(value)) {
            self.0.insert(key, value);
        }
    }
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
