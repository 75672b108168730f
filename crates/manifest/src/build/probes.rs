//! Health questions.

use std::collections::BTreeMap;

use mesh_core::manifest::{Alarm, Check, DnsRecord, Metric, Missing, PostgresqlRole, Probe, Threshold, Vantage};

use super::Fields;
use crate::read::Value;

pub(super) fn check(fields: Fields<'_>) -> Option<Check> {
    Some(Check {
        name: fields.text("name")?,
        probe: probe(fields)?,
        interval: fields.duration("interval")?,
        timeout: fields.duration("timeout")?,
        fail_after: fields.integer("fail-after")?,
        pass_after: fields.integer("pass-after")?,
        critical: fields.boolean("critical")?,
        observe_only: fields.boolean("observe-only")?,
        from: match fields.word("from")? {
            "own" => Vantage::Own,
            "others" => Vantage::Others,
            "both" => Vantage::Both,
            _ => return None,
        },
    })
}

type Build = fn(Fields<'_>) -> Option<Probe>;

/// The reader has seen to it that there is exactly one.
fn probe(fields: Fields<'_>) -> Option<Probe> {
    let kinds: [(&str, Build); 9] = [
        ("http", http),
        ("tcp", |tcp| Some(Probe::Tcp { addresses: tcp.regions("addresses", Value::text)? })),
        ("grpc", grpc),
        ("dns", dns),
        ("postgresql", postgresql),
        ("aws-status", |status| Some(Probe::AwsStatus { resource: status.text("resource")? })),
        ("cloudwatch", cloudwatch),
        ("alarm", |alarm| {
            Some(Probe::Alarm { alarms: alarm.regions("alarms", |one| one.record().and_then(alarm_name))? })
        }),
        ("prometheus", prometheus),
    ];
    let mut given = kinds.into_iter().filter_map(|(key, build)| Some((fields.record(key)?, build)));
    let (record, build) = given.next()?;
    if given.next().is_some() { None } else { build(record) }
}

fn http(http: Fields<'_>) -> Option<Probe> {
    Some(Probe::Http {
        urls: http.regions("urls", Value::text)?,
        expect_status: http.status()?,
        body_contains: http.text("body-contains"),
        latency_max: http.duration("latency-max"),
        ca_file: http.text("ca-file"),
    })
}

fn grpc(grpc: Fields<'_>) -> Option<Probe> {
    Some(Probe::Grpc {
        targets: grpc.regions("targets", Value::text)?,
        service: grpc.text("service")?,
        latency_max: grpc.duration("latency-max"),
        ca_file: grpc.text("ca-file"),
    })
}

fn dns(dns: Fields<'_>) -> Option<Probe> {
    let record = match dns.word("record")? {
        "A" => DnsRecord::A,
        "AAAA" => DnsRecord::Aaaa,
        "CNAME" => DnsRecord::Cname,
        "TXT" => DnsRecord::Txt,
        _ => return None,
    };
    let servers = dns.regions("servers", Value::text).unwrap_or_default();
    Some(Probe::Dns { names: dns.regions("names", Value::text)?, servers, record, answer: dns.text("answer") })
}

fn postgresql(postgresql: Fields<'_>) -> Option<Probe> {
    Some(Probe::Postgresql {
        resource: postgresql.text("resource")?,
        role: match postgresql.word("role")? {
            "any" => PostgresqlRole::Any,
            "active" => PostgresqlRole::Active,
            _ => return None,
        },
        lag_max: postgresql.duration("lag-max"),
        lag_bytes_max: postgresql.integer("lag-bytes-max").map(u64::from),
    })
}

fn cloudwatch(cloudwatch: Fields<'_>) -> Option<Probe> {
    Some(Probe::Cloudwatch {
        metrics: cloudwatch.regions("metrics", |one| one.record().and_then(metric))?,
        statistic: cloudwatch.text("statistic")?,
        period: cloudwatch.duration("period")?,
        datapoints: cloudwatch.integer("datapoints")?,
        threshold: threshold(cloudwatch),
        missing: missing(cloudwatch)?,
    })
}

fn metric(metric: Fields<'_>) -> Option<Metric> {
    // A text without `=` has no value, and the rules say so.
    let pair = |text: String| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (text, String::new()),
    };
    let dimensions: BTreeMap<String, String> =
        metric.texts("dimensions").unwrap_or_default().into_iter().map(pair).collect();
    Some(Metric {
        namespace: metric.text("namespace")?,
        metric: metric.text("metric")?,
        dimensions,
        divided_by: metric.text("divided-by"),
        published_in: metric.name("published-in"),
    })
}

fn alarm_name(alarm: Fields<'_>) -> Option<Alarm> {
    Some(Alarm { alarm: alarm.text("alarm")?, published_in: alarm.name("published-in") })
}

fn prometheus(prometheus: Fields<'_>) -> Option<Probe> {
    Some(Probe::Prometheus {
        urls: prometheus.regions("urls", Value::text)?,
        query: prometheus.text("query")?,
        threshold: threshold(prometheus),
        missing: missing(prometheus)?,
        ca_file: prometheus.text("ca-file"),
        token_file: prometheus.text("token-file"),
    })
}

fn threshold(fields: Fields<'_>) -> Threshold {
    Threshold { above: fields.decimal("above"), below: fields.decimal("below") }
}

fn missing(fields: Fields<'_>) -> Option<Missing> {
    match fields.word("missing")? {
        "unknown" => Some(Missing::Unknown),
        "passing" => Some(Missing::Passing),
        _ => None,
    }
}
