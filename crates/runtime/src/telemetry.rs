//! JSON lines on stderr and, where an endpoint is configured, spans and metrics to an OTLP collector.

mod propagate;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub use propagate::{extract, inject, span_of};

/// Overrides the configured level, in the syntax of `tracing_subscriber`'s `EnvFilter`.
pub const LEVEL_ENV: &str = "MESH_LOG";

const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// The `[log]` table of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `info`, or directives such as `info,mesh_agent=debug`.
    pub level: String,
    /// `http://HOST:4317`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), otlp_endpoint: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log level {level:?}: {reason}")]
    Level { level: String, reason: String },
    #[error("otlp_endpoint {endpoint:?}: {reason}")]
    Otlp { endpoint: String, reason: String },
    #[error("telemetry is set up already")]
    Twice,
}

/// Sends what is left when dropped.
#[derive(Debug, Default)]
#[must_use = "spans and metrics are flushed when it is dropped"]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
    meters: Option<SdkMeterProvider>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(err) = provider.shutdown_with_timeout(EXPORT_TIMEOUT)
        {
            tracing::info!(error = %err, "the last spans were not exported");
        }
        if let Some(meters) = self.meters.take()
            && let Err(err) = meters.shutdown_with_timeout(EXPORT_TIMEOUT)
        {
            tracing::info!(error = %err, "the last metrics were not exported");
        }
    }
}

/// Sets up logging for the whole process. With an OTLP endpoint it must be called inside a tokio runtime.
pub fn init(config: &LogConfig, service_name: &'static str) -> Result<Guard, TelemetryError> {
    let filter = filter(config)?;
    let provider = config.otlp_endpoint.as_deref().map(|endpoint| exporter(endpoint, service_name)).transpose()?;
    let meters = config.otlp_endpoint.as_deref().map(|endpoint| meters(endpoint, service_name)).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(service_name));
        layer.with_filter(filter.clone())
    });
    let lines = tracing_subscriber::fmt::layer::<Registry>()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .with_filter(filter);
    let subscriber = tracing_subscriber::registry().with(lines).with(spans);
    subscriber.try_init().map_err(|_| TelemetryError::Twice)?;
    if let Some(meters) = &meters {
        opentelemetry::global::set_meter_provider(meters.clone());
    }
    Ok(Guard { provider, meters })
}

fn filter(config: &LogConfig) -> Result<EnvFilter, TelemetryError> {
    let level = std::env::var(LEVEL_ENV).unwrap_or_else(|_| config.level.clone());
    EnvFilter::try_new(&level).map_err(|err| TelemetryError::Level { level, reason: err.to_string() })
}

fn exporter(endpoint: &str, service_name: &'static str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT).build();
    let exporter = exporter.map_err(|error| refuse(endpoint, &error))?;
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource(service_name)).build())
}

fn meters(endpoint: &str, service_name: &'static str) -> Result<SdkMeterProvider, TelemetryError> {
    let exporter = MetricExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT).build();
    let exporter = exporter.map_err(|error| refuse(endpoint, &error))?;
    Ok(SdkMeterProvider::builder().with_periodic_exporter(exporter).with_resource(resource(service_name)).build())
}

fn refuse(endpoint: &str, error: &ExporterBuildError) -> TelemetryError {
    TelemetryError::Otlp { endpoint: endpoint.to_owned(), reason: error.to_string() }
}

fn resource(service_name: &'static str) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder().with_service_name(service_name).with_attribute(version).build()
}
