//! A manifest's check, taken apart by region.

use mesh_core::ids::RegionId;
use mesh_core::manifest::{Check, Manifest, PostgresqlRole, Probe, ResourceKind};

use super::{
    AwsResource, DnsQuestion, GrpcQuestion, HttpQuestion, MetricQuestion, PostgresqlQuestion, PrometheusQuestion,
    Question,
};

impl Question {
    /// What `check` asks about `region`; `None` where it says nothing of it. `active`: where the service is active.
    pub fn of(check: &Check, manifest: &Manifest, region: &RegionId, active: &RegionId) -> Option<Self> {
        Some(match &check.probe {
            Probe::Http { urls, expect_status, body_contains, latency_max, ca_file } => Self::Http(HttpQuestion {
                url: urls.get(region)?.clone(),
                expect_status: *expect_status,
                body_contains: body_contains.clone(),
                latency_max: *latency_max,
                ca_file: ca_file.clone(),
            }),
            Probe::Tcp { addresses } => Self::Tcp { address: addresses.get(region)?.clone() },
            Probe::Grpc { targets, service, latency_max, ca_file } => Self::Grpc(GrpcQuestion {
                target: targets.get(region)?.clone(),
                service: service.clone(),
                latency_max: *latency_max,
                ca_file: ca_file.clone(),
            }),
            Probe::Dns { names, servers, record, answer } => Self::Dns(DnsQuestion {
                name: names.get(region)?.clone(),
                server: servers.get(region).cloned(),
                record: *record,
                answer: answer.clone(),
            }),
            Probe::Postgresql { resource, role, lag_max, lag_bytes_max } => {
                let ResourceKind::Postgresql { instances } = named(manifest, resource)? else { return None };
                Self::Postgresql(PostgresqlQuestion {
                    instance: instances.get(region)?.clone(),
                    is_primary: match role {
                        PostgresqlRole::Any => None,
                        PostgresqlRole::Active => Some(region == active),
                    },
                    lag_max: *lag_max,
                    lag_bytes_max: *lag_bytes_max,
                })
            }
            Probe::AwsStatus { resource } => Self::AwsStatus(status(named(manifest, resource)?, region)?),
            Probe::Cloudwatch { metrics, statistic, period, datapoints, threshold, missing } => {
                Self::Cloudwatch(MetricQuestion {
                    metric: metrics.get(region)?.clone(),
                    statistic: statistic.clone(),
                    period: *period,
                    datapoints: *datapoints,
                    threshold: *threshold,
                    missing: *missing,
                })
            }
            Probe::Alarm { alarms } => {
                let found = alarms.get(region)?;
                let published_in = found.published_in.as_ref().unwrap_or(region).clone();
                Self::Alarm { alarm: found.alarm.clone(), published_in }
            }
            Probe::Prometheus { urls, query, threshold, missing, ca_file, token_file } => {
                Self::Prometheus(PrometheusQuestion {
                    url: urls.get(region)?.clone(),
                    query: query.clone(),
                    threshold: *threshold,
                    missing: *missing,
                    ca_file: ca_file.clone(),
                    token_file: token_file.clone(),
                })
            }
        })
    }

    /// Whom it asks, for people.
    pub fn place(&self) -> String {
        match self {
            Self::Http(http) => http.url.clone(),
            Self::Tcp { address } => address.clone(),
            Self::Grpc(grpc) => grpc.target.clone(),
            Self::Dns(dns) => match &dns.server {
                Some(server) => format!("{} at {server}", dns.name),
                None => dns.name.clone(),
            },
            Self::Postgresql(postgresql) => postgresql.instance.address(),
            Self::AwsStatus(resource) => match resource {
                AwsResource::Rds { instance } => format!("RDS instance {instance}"),
                AwsResource::Eks { cluster, node_group } => format!("EKS node group {cluster}/{node_group}"),
                AwsResource::Ecs { cluster, service } => format!("ECS service {cluster}/{service}"),
                AwsResource::Msk { cluster } => format!("MSK cluster {cluster}"),
            },
            Self::Cloudwatch(metric) => format!("metric {} {}", metric.metric.namespace, metric.metric.metric),
            Self::Alarm { alarm, published_in } => format!("alarm {alarm} in {published_in}"),
            Self::Prometheus(prometheus) => prometheus.url.clone(),
        }
    }
}

fn named<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a ResourceKind> {
    manifest.resources.iter().find(|resource| resource.name == name).map(|resource| &resource.kind)
}

fn status(kind: &ResourceKind, region: &RegionId) -> Option<AwsResource> {
    Some(match kind {
        ResourceKind::Rds { instances, .. } => AwsResource::Rds { instance: instances.get(region)?.instance.clone() },
        ResourceKind::Eks { clusters } => {
            let found = clusters.get(region)?;
            AwsResource::Eks { cluster: found.cluster.clone(), node_group: found.node_group.clone() }
        }
        ResourceKind::Ecs { services } => {
            let found = services.get(region)?;
            AwsResource::Ecs { cluster: found.cluster.clone(), service: found.service.clone() }
        }
        ResourceKind::Msk { clusters } => AwsResource::Msk { cluster: clusters.get(region)?.clone() },
        ResourceKind::DynamodbGlobalTable { .. } | ResourceKind::Postgresql { .. } => return None,
    })
}
