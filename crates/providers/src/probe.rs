//! One health question about one region, asked once. Who asks how often, and what follows, is not decided here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use mesh_core::ids::RegionId;
use mesh_core::time::Timestamp;

use crate::config::ProvidersConfig;
use crate::dns::Resolver;
use crate::postgres::Servers;

mod aws_status;
mod cloudwatch;
mod deadline;
mod dial;
mod dns;
mod elsewhere;
mod files;
mod grpc;
mod http;
mod postgresql;
mod prometheus;
mod question;
mod tcp;
mod tls;
mod trouble;

pub use aws_status::AwsResource;
pub use cloudwatch::MetricQuestion;
pub use dial::Dialer;
pub use dns::DnsQuestion;
pub use grpc::GrpcQuestion;
pub use http::HttpQuestion;
pub use postgresql::PostgresqlQuestion;
pub use prometheus::PrometheusQuestion;
pub use trouble::{Answer, Trouble};

pub(crate) use http::Met;
pub(crate) use trouble::chain;

pub(crate) fn is_url(url: &str) -> bool {
    http::Place::of(url).is_ok()
}

/// What is asked about one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    Http(HttpQuestion),
    Tcp { address: String },
    Grpc(GrpcQuestion),
    Dns(DnsQuestion),
    Postgresql(PostgresqlQuestion),
    AwsStatus(AwsResource),
    Cloudwatch(MetricQuestion),
    Alarm { alarm: String, published_in: RegionId },
    Prometheus(PrometheusQuestion),
}

/// Asks the questions.
#[derive(Debug)]
pub struct Asker {
    dialer: Dialer,
    elsewhere: elsewhere::Elsewhere,
}

impl Asker {
    pub(crate) fn new(config: &ProvidersConfig, regional: SdkConfig, resolver: Resolver) -> Self {
        let files = files::Files { dir: config.credentials_dir.clone() };
        Self {
            dialer: Dialer { resolver, trust: Arc::new(tls::Trust::new(files)) },
            elsewhere: elsewhere::Elsewhere::new(regional, config.aws.cloudwatch_period_s, config.aws.call_timeout),
        }
    }

    pub(crate) const fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Asks within `timeout`. `servers` holds the sessions with PostgreSQL.
    pub(crate) async fn ask(
        &self,
        question: &Question,
        about: &RegionId,
        timeout: Duration,
        now: Timestamp,
        servers: &Servers,
    ) -> Answer {
        let asked = match question {
            Question::Http(http) => self.dialer.http(http, timeout).await.map(|met| met.latency),
            Question::Tcp { address } => self.dialer.tcp(address, timeout).await,
            Question::Grpc(grpc) => self.dialer.grpc(grpc, timeout).await,
            Question::Dns(dns) => self.dialer.dns(dns, timeout).await,
            Question::Postgresql(postgresql) => {
                let seen = servers.seen(&postgresql.instance, timeout).await;
                postgresql.answer(seen)
            }
            Question::AwsStatus(resource) => self.elsewhere.status(resource, about, timeout).await,
            Question::Cloudwatch(metric) => self.elsewhere.metric(metric, about, timeout, now).await,
            Question::Alarm { alarm, published_in } => self.elsewhere.alarm(alarm, published_in, timeout).await,
            Question::Prometheus(prometheus) => self.dialer.prometheus(prometheus, about, timeout).await,
        };
        asked.into()
    }
}

/// Whoever asks: the providers in production, a script in tests.
#[async_trait]
pub trait Asks: Send + Sync {
    async fn ask(&self, question: &Question, about: &RegionId, timeout: Duration) -> Answer;
}
