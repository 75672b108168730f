//! Rules of the health questions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Problems, TEXT_MAX, check_body, check_regions, check_status, check_text, check_url, is_host};
use crate::ids::RegionId;
use crate::manifest::postgres::{is_file_name, is_here};
use crate::manifest::{Check, Manifest, Metric, Probe, ResourceKind, Threshold};

/// CloudWatch takes no more of them (AWS, "Dimension").
const DIMENSIONS_MAX: usize = 30;
const DATAPOINTS_MAX: u32 = 10;

pub(super) fn check_check(manifest: &Manifest, check: &Check, path: &str, found: &mut Problems) {
    check_times(check, path, found);
    let at = format!("{path}.{}", check.probe.kind());
    match &check.probe {
        Probe::Http { urls, expect_status, body_contains, latency_max, ca_file } => {
            check_urls(manifest, urls, &format!("{at}.urls"), found);
            check_status(*expect_status, &format!("{at}.expect-status"), found);
            check_body(body_contains.as_deref(), &format!("{at}.body-contains"), found);
            check_latency(check, *latency_max, &at, found);
            check_file(ca_file.as_deref(), &format!("{at}.ca-file"), found);
        }
        Probe::Tcp { addresses } => {
            let at = format!("{at}.addresses");
            check_regions(manifest, addresses.keys(), &at, found);
            check_addresses(addresses, &at, found);
        }
        Probe::Grpc { targets, service, latency_max, ca_file } => {
            check_urls(manifest, targets, &format!("{at}.targets"), found);
            if !service.is_empty() {
                check_text(service, &format!("{at}.service"), found);
            }
            check_latency(check, *latency_max, &at, found);
            check_file(ca_file.as_deref(), &format!("{at}.ca-file"), found);
        }
        Probe::Dns { names, servers, record: _, answer } => {
            check_names(manifest, names, servers, &at, found);
            check_body(answer.as_deref(), &format!("{at}.answer"), found);
        }
        Probe::Postgresql { resource, role: _, lag_max, lag_bytes_max: _ } => {
            let is_one = |kind: &ResourceKind| matches!(kind, ResourceKind::Postgresql { .. });
            check_named(manifest, resource, is_one, "`postgresql`", &format!("{at}.resource"), found);
            found.unless(
                lag_max.is_none_or(|lag| !lag.is_zero()),
                &format!("{at}.lag-max"),
                "zero",
                "no replica is without any lag",
            );
        }
        Probe::AwsStatus { resource } => {
            let is_one = |kind: &ResourceKind| match kind {
                ResourceKind::Rds { .. }
                | ResourceKind::Eks { .. }
                | ResourceKind::Ecs { .. }
                | ResourceKind::Msk { .. } => true,
                ResourceKind::DynamodbGlobalTable { .. } | ResourceKind::Postgresql { .. } => false,
            };
            let kinds = "`rds`, `eks`, `ecs` or `msk`";
            check_named(manifest, resource, is_one, kinds, &format!("{at}.resource"), found);
        }
        Probe::Cloudwatch { metrics, statistic, period, datapoints, threshold, missing: _ } => {
            check_regions(manifest, metrics.keys(), &format!("{at}.metrics"), found);
            for (region, metric) in metrics {
                check_metric(metric, &format!("{at}.metrics.{region}"), found);
            }
            check_statistics(statistic, *period, *datapoints, &at, found);
            check_threshold(*threshold, &at, found);
        }
        Probe::Alarm { alarms } => {
            check_regions(manifest, alarms.keys(), &format!("{at}.alarms"), found);
            for (region, alarm) in alarms {
                check_label(&alarm.alarm, &format!("{at}.alarms.{region}.alarm"), found);
            }
        }
        Probe::Prometheus { urls, query, threshold, missing: _, ca_file, token_file } => {
            check_urls(manifest, urls, &format!("{at}.urls"), found);
            found.unless(
                !query.trim().is_empty() && query.len() <= TEXT_MAX,
                &format!("{at}.query"),
                "empty or too long",
                format!("a PromQL expression of at most {TEXT_MAX} bytes"),
            );
            check_threshold(*threshold, &at, found);
            check_file(ca_file.as_deref(), &format!("{at}.ca-file"), found);
            let at = format!("{at}.token-file");
            check_file(token_file.as_deref(), &at, found);
            found.unless(
                token_file.is_none() || urls.values().all(|url| is_private(url)),
                &at,
                "the token would be sent over a connection that nobody verified",
                "ask over https://",
            );
        }
    }
}

fn check_times(check: &Check, path: &str, found: &mut Problems) {
    let second = Duration::from_secs(1);
    found.unless(
        check.interval >= second && check.interval <= 3600 * second,
        &format!("{path}.interval"),
        "out of range",
        "1s to 1h",
    );
    found.unless(
        !check.timeout.is_zero() && check.timeout <= check.interval,
        &format!("{path}.timeout"),
        "longer than the interval, or zero",
        "a probe must end before the next begins",
    );
    for (key, value) in [("fail-after", check.fail_after), ("pass-after", check.pass_after)] {
        found.unless((1..=100).contains(&value), &format!("{path}.{key}"), "out of range", "1 to 100 probes in a row");
    }
}

fn check_latency(check: &Check, latency_max: Option<Duration>, path: &str, found: &mut Problems) {
    found.unless(
        latency_max.is_none_or(|max| !max.is_zero() && max <= check.timeout),
        &format!("{path}.latency-max"),
        "longer than the timeout, or zero",
        "an answer after the timeout is not waited for",
    );
}

fn check_urls(manifest: &Manifest, urls: &BTreeMap<RegionId, String>, path: &str, found: &mut Problems) {
    check_regions(manifest, urls.keys(), path, found);
    for (region, url) in urls {
        check_url(url, &format!("{path}.{region}"), found);
    }
}

fn check_addresses(addresses: &BTreeMap<RegionId, String>, path: &str, found: &mut Problems) {
    for (region, address) in addresses {
        let good = address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && host.len() <= 255 && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        found.unless(good, &format!("{path}.{region}"), format!("{address:?} is no address"), "write HOST:PORT");
    }
}

fn check_names(
    manifest: &Manifest,
    names: &BTreeMap<RegionId, String>,
    servers: &BTreeMap<RegionId, String>,
    path: &str,
    found: &mut Problems,
) {
    check_regions(manifest, names.keys(), &format!("{path}.names"), found);
    for (region, name) in names {
        found.unless(
            is_host(name),
            &format!("{path}.names.{region}"),
            format!("{name:?} is no fully qualified name"),
            "lower case, at least two labels, without the final dot",
        );
    }
    let at = format!("{path}.servers");
    check_addresses(servers, &at, found);
    for region in servers.keys().filter(|region| !names.contains_key(region)) {
        found.add(
            format!("{at}.{region}"),
            format!("{region} has no name to ask for"),
            "name it under names, too, or drop the server",
        );
    }
}

fn check_named(
    manifest: &Manifest,
    resource: &str,
    is_one: impl Fn(&ResourceKind) -> bool,
    kinds: &str,
    path: &str,
    found: &mut Problems,
) {
    let named = manifest.resources.iter().find(|one| one.name == resource);
    found.unless(
        named.is_some_and(|one| is_one(&one.kind)),
        path,
        format!("{resource:?} is no resource of the kind {kinds}"),
        "give the name of one that stands under resources",
    );
}

fn check_metric(metric: &Metric, path: &str, found: &mut Problems) {
    check_label(&metric.namespace, &format!("{path}.namespace"), found);
    check_label(&metric.metric, &format!("{path}.metric"), found);
    if let Some(divisor) = &metric.divided_by {
        check_label(divisor, &format!("{path}.divided-by"), found);
    }
    let at = format!("{path}.dimensions");
    found.unless(
        metric.dimensions.len() <= DIMENSIONS_MAX,
        &at,
        format!("{} dimensions", metric.dimensions.len()),
        format!("at most {DIMENSIONS_MAX}"),
    );
    for (name, value) in &metric.dimensions {
        check_label(name, &at, found);
        found.unless(
            is_label(value),
            &at,
            format!("{name:?} has no value, or one that is too long"),
            "write NAME=VALUE, like LoadBalancer=app/maip/0123456789abcdef",
        );
    }
}

fn check_statistics(statistic: &str, period: Duration, datapoints: u32, path: &str, found: &mut Problems) {
    let percentile = || {
        let rank = statistic.strip_prefix('p')?;
        let digits = rank.len() <= 8 && rank.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        rank.parse::<f64>().ok().filter(|rank| digits && (0.0..=100.0).contains(rank))
    };
    found.unless(
        matches!(statistic, "Average" | "Sum" | "Maximum" | "Minimum" | "SampleCount") || percentile().is_some(),
        &format!("{path}.statistic"),
        format!("{statistic:?} is no statistic"),
        "Average, Sum, Maximum, Minimum, SampleCount, or a percentile like p99",
    );
    let seconds = period.as_secs();
    found.unless(
        period.subsec_nanos() == 0
            && (matches!(seconds, 1 | 5 | 10 | 20 | 30)
                || (seconds > 0 && seconds.is_multiple_of(60) && seconds <= 3600)),
        &format!("{path}.period"),
        "no period of CloudWatch",
        "1s, 5s, 10s, 20s, 30s, or whole minutes up to 1h",
    );
    found.unless(
        (1..=DATAPOINTS_MAX).contains(&datapoints),
        &format!("{path}.datapoints"),
        "out of range",
        format!("1 to {DATAPOINTS_MAX}"),
    );
}

fn check_threshold(threshold: Threshold, path: &str, found: &mut Problems) {
    let Threshold { above, below } = threshold;
    found.unless(above.is_some() || below.is_some(), path, "no value fails", "add `above: 5`, or `below: 5`");
    if let (Some(above), Some(below)) = (above, below) {
        found.unless(
            below <= above,
            &format!("{path}.below"),
            "every value fails",
            "values from `below` to `above` pass: put them in order",
        );
    }
}

/// The name alone: what an agent reads for a manifest lies in one directory, so that a manifest cannot name its keys.
fn check_file(name: Option<&str>, path: &str, found: &mut Problems) {
    found.unless(
        name.is_none_or(is_file_name),
        path,
        format!("{:?} is no file name", name.unwrap_or_default()),
        "the name alone: agents look for it in the directory that their configuration names",
    );
}

fn is_private(url: &str) -> bool {
    let host = url.strip_prefix("http://").and_then(|rest| rest.split(['/', ':', '?']).next());
    host.is_none_or(is_here)
}

fn check_label(text: &str, path: &str, found: &mut Problems) {
    found.unless(
        is_label(text),
        path,
        format!("{text:?} is empty, too long or has control characters"),
        "1 to 255 characters",
    );
}

fn is_label(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= 255 && !text.contains(char::is_control)
}
