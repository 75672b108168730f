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

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_call_continues_its_callers_trace() {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let subscriber = tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer));
        tracing::subscriber::with_default(subscriber, || {
            let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
            let parent = format!("00-{trace}-00f067aa0ba902b7-01");
            let request = http::Request::builder().uri("/mesh.v1.Raft/Vote").header("traceparent", parent);
            let span = span_of(&request.body(()).expect("a request"));
            let mut onward = MetadataMap::new();
            span.in_scope(|| inject(&mut onward));
            let sent = onward.get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
            assert!(sent.starts_with(&format!("00-{trace}-")), "the trace goes on: {sent:?}");
            assert!(!sent.contains("00f067aa0ba902b7"), "with a span of its own: {sent:?}");
        });
    }
}
