use mesh_core::manifest::{
    Alarm, Check, Decimal, DnsRecord, Metric, Missing, PostgresqlRole, Probe, Threshold, Vantage,
};
use mesh_core::time::duration_millis;

use crate::DecodeError;
use crate::bounds::LIST_LEN_MAX;
use crate::fields::{Decoded, Fields, by_name};
use crate::v1;

enums! {
    v1::DnsRecord, "DnsRecord" => DnsRecord { A, Aaaa, Cname, Txt }
    v1::PostgresqlRole, "PostgresqlRole" => PostgresqlRole { Any, Active }
    v1::MissingData, "MissingData" => Missing { Unknown, Passing }
}

by_value!(
    Check => v1::Check,
    Metric => v1::CloudwatchMetric,
    Alarm => v1::CloudwatchAlarm,
    Threshold => v1::Threshold,
);

impl From<&Check> for v1::Check {
    fn from(check: &Check) -> Self {
        let Check { name, probe, interval, timeout, fail_after, pass_after, critical, observe_only, from } = check;
        let from = match from {
            Vantage::Own => v1::Vantage::Own,
            Vantage::Others => v1::Vantage::Others,
            Vantage::Both => v1::Vantage::Both,
        };
        Self {
            name: name.clone(),
            probe: Some(probe.into()),
            interval_ms: duration_millis(*interval),
            timeout_ms: duration_millis(*timeout),
            fail_after: *fail_after,
            pass_after: *pass_after,
            critical: *critical,
            observe_only: *observe_only,
            asked_from: from.into(),
        }
    }
}

impl TryFrom<v1::Check> for Check {
    type Error = DecodeError;

    fn try_from(wire: v1::Check) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Check");
        let v1::Check {
            name,
            probe,
            interval_ms,
            timeout_ms,
            fail_after,
            pass_after,
            critical,
            observe_only,
            asked_from,
        } = wire;
        let from = match v1::Vantage::try_from(asked_from) {
            Ok(v1::Vantage::Own) => Vantage::Own,
            Ok(v1::Vantage::Others) => Vantage::Others,
            Ok(v1::Vantage::Both | v1::Vantage::Unspecified) => Vantage::Both,
            Err(_) => return Err(F.refuse("asked_from", format!("has the unknown value {asked_from}"))),
        };
        Ok(Self {
            name: F.text("name", name)?,
            probe: F.message("probe", probe)?,
            interval: F.duration("interval_ms", interval_ms)?,
            timeout: F.duration("timeout_ms", timeout_ms)?,
            fail_after,
            pass_after,
            critical,
            observe_only,
            from,
        })
    }
}

impl From<&Probe> for v1::check::Probe {
    fn from(probe: &Probe) -> Self {
        match probe.clone() {
            Probe::Http { urls, expect_status, body_contains, latency_max, ca_file } => Self::Http(v1::HttpProbe {
                urls: by_name(&urls, Clone::clone),
                expect_status: u32::from(expect_status),
                body_contains,
                latency_max_ms: latency_max.map(duration_millis),
                ca_file,
            }),
            Probe::Tcp { addresses } => Self::Tcp(v1::TcpProbe { addresses: by_name(&addresses, Clone::clone) }),
            Probe::Grpc { targets, service, latency_max, ca_file } => Self::Grpc(v1::GrpcProbe {
                targets: by_name(&targets, Clone::clone),
                service,
                latency_max_ms: latency_max.map(duration_millis),
                ca_file,
            }),
            Probe::Dns { names, servers, record, answer } => Self::Dns(v1::DnsProbe {
                names: by_name(&names, Clone::clone),
                servers: by_name(&servers, Clone::clone),
                record: v1::DnsRecord::from(record).into(),
                answer,
            }),
            Probe::Postgresql { resource, role, lag_max, lag_bytes_max } => Self::Postgresql(v1::PostgresqlProbe {
                resource,
                role: v1::PostgresqlRole::from(role).into(),
                lag_max_ms: lag_max.map(duration_millis),
                lag_bytes_max,
            }),
            Probe::AwsStatus { resource } => Self::AwsStatus(v1::AwsStatusProbe { resource }),
            Probe::Cloudwatch { metrics, statistic, period, datapoints, threshold, missing } => {
                Self::Cloudwatch(v1::CloudwatchProbe {
                    metrics: by_name(&metrics, Into::into),
                    statistic,
                    period_ms: duration_millis(period),
                    datapoints,
                    threshold: Some(threshold.into()),
                    missing: v1::MissingData::from(missing).into(),
                })
            }
            Probe::Alarm { alarms } => Self::Alarm(v1::AlarmProbe { alarms: by_name(&alarms, Into::into) }),
            Probe::Prometheus { urls, query, threshold, missing, ca_file, token_file } => {
                Self::Prometheus(v1::PrometheusProbe {
                    urls: by_name(&urls, Clone::clone),
                    query,
                    threshold: Some(threshold.into()),
                    missing: v1::MissingData::from(missing).into(),
                    ca_file,
                    token_file,
                })
            }
        }
    }
}

impl TryFrom<v1::check::Probe> for Probe {
    type Error = DecodeError;

    fn try_from(wire: v1::check::Probe) -> Result<Self, DecodeError> {
        match wire {
            v1::check::Probe::Http(http) => http.try_into(),
            v1::check::Probe::Tcp(v1::TcpProbe { addresses }) => {
                Ok(Self::Tcp { addresses: Fields("TcpProbe").text_map("addresses", addresses)? })
            }
            v1::check::Probe::Grpc(grpc) => grpc.try_into(),
            v1::check::Probe::Dns(dns) => dns.try_into(),
            v1::check::Probe::Postgresql(postgresql) => postgresql.try_into(),
            v1::check::Probe::AwsStatus(v1::AwsStatusProbe { resource }) => {
                Ok(Self::AwsStatus { resource: Fields("AwsStatusProbe").text("resource", resource)? })
            }
            v1::check::Probe::Cloudwatch(cloudwatch) => cloudwatch.try_into(),
            v1::check::Probe::Alarm(v1::AlarmProbe { alarms }) => {
                const F: Fields = Fields("AlarmProbe");
                Ok(Self::Alarm { alarms: F.map("alarms", alarms, |path, alarm| F.nested(path, alarm))? })
            }
            v1::check::Probe::Prometheus(prometheus) => prometheus.try_into(),
        }
    }
}

impl TryFrom<v1::HttpProbe> for Probe {
    type Error = DecodeError;

    fn try_from(wire: v1::HttpProbe) -> Result<Self, DecodeError> {
        const F: Fields = Fields("HttpProbe");
        let v1::HttpProbe { urls, expect_status, body_contains, latency_max_ms, ca_file } = wire;
        Ok(Self::Http {
            urls: F.text_map("urls", urls)?,
            expect_status: F.status("expect_status", expect_status)?,
            body_contains: F.text_optional("body_contains", body_contains)?,
            latency_max: latency_max_ms.map(|ms| F.duration("latency_max_ms", ms)).transpose()?,
            ca_file: F.text_optional("ca_file", ca_file)?,
        })
    }
}

impl TryFrom<v1::GrpcProbe> for Probe {
    type Error = DecodeError;

    fn try_from(wire: v1::GrpcProbe) -> Result<Self, DecodeError> {
        const F: Fields = Fields("GrpcProbe");
        let v1::GrpcProbe { targets, service, latency_max_ms, ca_file } = wire;
        Ok(Self::Grpc {
            targets: F.text_map("targets", targets)?,
            service: F.text("service", service)?,
            latency_max: latency_max_ms.map(|ms| F.duration("latency_max_ms", ms)).transpose()?,
            ca_file: F.text_optional("ca_file", ca_file)?,
        })
    }
}

impl TryFrom<v1::DnsProbe> for Probe {
    type Error = DecodeError;

    fn try_from(wire: v1::DnsProbe) -> Result<Self, DecodeError> {
        const F: Fields = Fields("DnsProbe");
        let v1::DnsProbe { names, servers, record, answer } = wire;
        Ok(Self::Dns {
            names: F.text_map("names", names)?,
            servers: F.text_map("servers", servers)?,
            record: F.enumeration::<v1::DnsRecord, _>("record", record)?,
            answer: F.text_optional("answer", answer)?,
        })
    }
}

impl TryFrom<v1::PostgresqlProbe> for Probe {
    type Error = DecodeError;

    fn try_from(wire: v1::PostgresqlProbe) -> Result<Self, DecodeError> {
        const F: Fields = Fields("PostgresqlProbe");
        let v1::PostgresqlProbe { resource, role, lag_max_ms, lag_bytes_max } = wire;
        Ok(Self::Postgresql {
            resource: F.text("resource", resource)?,
            role: F.enumeration::<v1::PostgresqlRole, _>("role", role)?,
            lag_max: lag_max_ms.map(|ms| F.duration("lag_max_ms", ms)).transpose()?,
            lag_bytes_max,
        })
    }
}

impl TryFrom<v1::CloudwatchProbe> for Probe {
    type Error = DecodeError;

    fn try_from(wire: v1::CloudwatchProbe) -> Result<Self, DecodeError> {
        const F: Fields = Fields("CloudwatchProbe");
        let v1::CloudwatchProbe { metrics, statistic, period_ms, datapoints, threshold, missing } = wire;
        Ok(Self::Cloudwatch {
            metrics: F.map("metrics", metrics, |path, metric| F.nested(path, metric))?,
            statistic: F.text("statistic", statistic)?,
            period: F.duration("period_ms", period_ms)?,
            datapoints,
            threshold: F.message("threshold", threshold)?,
            missing: F.enumeration::<v1::MissingData, _>("missing", missing)?,
        })
    }
}

impl TryFrom<v1::PrometheusProbe> for Probe {
    type Error = DecodeError;

    fn try_from(wire: v1::PrometheusProbe) -> Result<Self, DecodeError> {
        const F: Fields = Fields("PrometheusProbe");
        let v1::PrometheusProbe { urls, query, threshold, missing, ca_file, token_file } = wire;
        Ok(Self::Prometheus {
            urls: F.text_map("urls", urls)?,
            query: F.text("query", query)?,
            threshold: F.message("threshold", threshold)?,
            missing: F.enumeration::<v1::MissingData, _>("missing", missing)?,
            ca_file: F.text_optional("ca_file", ca_file)?,
            token_file: F.text_optional("token_file", token_file)?,
        })
    }
}

impl From<&Metric> for v1::CloudwatchMetric {
    fn from(metric: &Metric) -> Self {
        let Metric { namespace, metric, dimensions, divided_by, published_in } = metric;
        Self {
            namespace: namespace.clone(),
            metric: metric.clone(),
            dimensions: dimensions.clone(),
            divided_by: divided_by.clone(),
            published_in: published_in.as_ref().map(ToString::to_string),
        }
    }
}

impl TryFrom<v1::CloudwatchMetric> for Metric {
    type Error = DecodeError;

    fn try_from(wire: v1::CloudwatchMetric) -> Result<Self, DecodeError> {
        const F: Fields = Fields("CloudwatchMetric");
        let v1::CloudwatchMetric { namespace, metric, dimensions, divided_by, published_in } = wire;
        F.len("dimensions", dimensions.len(), LIST_LEN_MAX)?;
        let text = |(name, value)| Ok((F.text("dimensions", name)?, F.text("dimensions", value)?));
        Ok(Self {
            namespace: F.text("namespace", namespace)?,
            metric: F.text("metric", metric)?,
            dimensions: dimensions.into_iter().map(text).collect::<Decoded<_>>()?,
            divided_by: F.text_optional("divided_by", divided_by)?,
            published_in: F.name_optional("published_in", published_in)?,
        })
    }
}

impl From<&Alarm> for v1::CloudwatchAlarm {
    fn from(alarm: &Alarm) -> Self {
        let Alarm { alarm, published_in } = alarm;
        Self { alarm: alarm.clone(), published_in: published_in.as_ref().map(ToString::to_string) }
    }
}

impl TryFrom<v1::CloudwatchAlarm> for Alarm {
    type Error = DecodeError;

    fn try_from(wire: v1::CloudwatchAlarm) -> Result<Self, DecodeError> {
        const F: Fields = Fields("CloudwatchAlarm");
        let v1::CloudwatchAlarm { alarm, published_in } = wire;
        Ok(Self { alarm: F.text("alarm", alarm)?, published_in: F.name_optional("published_in", published_in)? })
    }
}

impl From<&Threshold> for v1::Threshold {
    fn from(threshold: &Threshold) -> Self {
        let Threshold { above, below } = threshold;
        Self { above: above.map(Decimal::millionths), below: below.map(Decimal::millionths) }
    }
}

impl TryFrom<v1::Threshold> for Threshold {
    type Error = DecodeError;

    fn try_from(wire: v1::Threshold) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Threshold");
        let v1::Threshold { above, below } = wire;
        let decimal = |field: &str, given: Option<i64>| {
            given
                .map(|millionths| {
                    Decimal::from_millionths(millionths)
                        .ok_or_else(|| F.refuse(field, format!("{millionths} millionths are more than is compared")))
                })
                .transpose()
        };
        Ok(Self { above: decimal("above", above)?, below: decimal("below", below)? })
    }
}
