//! The rules of a manifest that need no position in a file. Everything that is wrong is reported, not the first thing.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::RegionId;
use crate::manifest::{Manifest, Notice, RegionRole, Resource, ResourceKind, Verification, WriterMode, postgres};

mod automatic;
mod fence;
mod probe;
mod traffic;

/// Bounds that keep a plan and a log entry small. No runbook seen so far has a third of them.
pub const REGIONS_MAX: usize = 8;
pub const ITEMS_MAX: usize = 16;
pub const DEPLOYMENTS_MAX: usize = 64;
pub const RECORD_SETS_MAX: usize = 16;
pub const TEXT_MAX: usize = 1024;
/// Longest source that is read, and kept beside the manifest: it is in the log and in every snapshot.
pub const SOURCE_BYTES_MAX: usize = 256 * 1024;
/// Leaves room for `-g<generation>` in the names of its runs.
pub const SERVICE_NAME_MAX: usize = 40;

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Like `resources[0].rds.instances.us-west-2`, in the keys of the YAML.
    pub path: String,
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// All problems, in the order of the manifest; none if it may be applied.
pub fn check(manifest: &Manifest) -> Vec<Problem> {
    let mut found = Problems::default();
    check_service(manifest, &mut found);
    for (i, check) in manifest.checks.iter().enumerate() {
        probe::check_check(manifest, check, &format!("checks[{i}]"), &mut found);
    }
    for (i, resource) in manifest.resources.iter().enumerate() {
        check_resource(manifest, resource, &format!("resources[{i}]"), &mut found);
    }
    for (i, record) in manifest.traffic.iter().enumerate() {
        traffic::check_traffic(manifest, record, &format!("traffic[{i}]"), &mut found);
    }
    for (i, verification) in manifest.verify.iter().enumerate() {
        check_verification(verification, &format!("verify[{i}]"), &mut found);
    }
    for (i, notice) in manifest.notices.iter().enumerate() {
        check_notice(manifest, notice, &format!("notices[{i}]"), &mut found);
    }
    check_policy(manifest, &mut found);
    fence::check_fence(manifest, &mut found);
    automatic::check_automatic(manifest, &mut found);
    automatic::check_safety(manifest, &mut found);
    found.0
}

#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Problem { path: path.into(), message: message.into(), hint: hint.into() });
    }

    pub(super) fn unless(&mut self, holds: bool, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        if !holds {
            self.add(path, message, hint);
        }
    }
}

fn check_service(manifest: &Manifest, found: &mut Problems) {
    found.unless(
        manifest.service.as_str().len() <= SERVICE_NAME_MAX,
        "service",
        format!("the name has more than {SERVICE_NAME_MAX} characters"),
        "choose a shorter one: runs are named after it",
    );
    found.unless(manifest.description.len() <= TEXT_MAX, "description", "too long", "at most 1024 bytes");
    let primaries = manifest.regions.values().filter(|role| **role == RegionRole::Primary).count();
    found.unless(
        primaries == 1,
        "regions",
        format!("{primaries} regions are primary"),
        "exactly one region is `primary`, the one that serves now",
    );
    found.unless(
        (2..=REGIONS_MAX).contains(&manifest.regions.len()),
        "regions",
        format!("{} regions", manifest.regions.len()),
        format!("a service that can fail over has 2 to {REGIONS_MAX} regions"),
    );
    found.unless(
        !manifest.depends_on.contains(&manifest.service),
        "depends-on",
        "the service depends on itself",
        "name the services that must have moved before it",
    );
    found.unless(
        manifest.depends_on.len() <= ITEMS_MAX,
        "depends-on",
        "too many",
        format!("at most {ITEMS_MAX} services"),
    );
    found.unless(!manifest.objectives.rto.is_zero(), "objectives.rto", "zero", "say how long an outage may last");
    let databases = manifest.databases().count() + manifest.postgres().count();
    match manifest.writer {
        WriterMode::Single => found.unless(
            databases > 0 || manifest.fence.is_leased(),
            "writer",
            "a single-writer service without a database or a fence: there is nothing to promote or to open",
            "name its `rds` or `postgresql` under resources, or its `fence`, or say `writer: multi`",
        ),
        WriterMode::Multi => found.unless(
            databases == 0,
            "writer",
            "a multi-writer service with a primary and replicas, of which one can be written",
            "say `writer: single`",
        ),
    }
    check_names(manifest, found);
}

fn check_names(manifest: &Manifest, found: &mut Problems) {
    let lists: [(&str, Vec<&str>); 5] = [
        ("checks", manifest.checks.iter().map(|item| item.name.as_str()).collect()),
        ("resources", manifest.resources.iter().map(|item| item.name.as_str()).collect()),
        ("traffic", manifest.traffic.iter().map(|item| item.name.as_str()).collect()),
        ("verify", manifest.verify.iter().map(|item| item.name.as_str()).collect()),
        ("notices", manifest.notices.iter().map(|item| item.name.as_str()).collect()),
    ];
    for (i, resource) in manifest.resources.iter().enumerate() {
        found.unless(
            manifest.checks.iter().all(|check| check.name != resource.name),
            &format!("resources[{i}].name"),
            format!("{:?} is the name of a check, too", resource.name),
            "what agents report is told apart by these names: give each its own",
        );
    }
    for (list, names) in lists {
        found.unless(
            names.len() <= ITEMS_MAX,
            list,
            format!("{} entries", names.len()),
            format!("at most {ITEMS_MAX}"),
        );
        let mut seen = BTreeSet::new();
        for (i, name) in names.into_iter().enumerate() {
            let path = format!("{list}[{i}].name");
            // Steps are named after them.
            let short = name.len() <= 32 && crate::ids::StepId::new(name).is_ok();
            found.unless(short, &path, format!("{name:?} is no name"), "1 to 32 of a-z, 0-9, '-', '.', '_'");
            found.unless(
                seen.insert(name),
                &path,
                format!("{name:?} stands in {list} twice"),
                "give each its own name",
            );
        }
    }
}

fn check_resource(manifest: &Manifest, resource: &Resource, path: &str, found: &mut Problems) {
    match &resource.kind {
        ResourceKind::Rds { instances, backup_retention_days } => {
            let at = format!("{path}.rds.instances");
            check_regions(manifest, instances.keys(), &at, found);
            for region in manifest.regions.keys().filter(|region| !instances.contains_key(region)) {
                found.add(
                    &at,
                    format!("no instance in {region}"),
                    "name the primary or replica of every region of the service",
                );
            }
            for (region, instance) in instances {
                let at = format!("{at}.{region}");
                check_text(&instance.instance, &format!("{at}.instance"), found);
                check_text(&instance.closed_security_group, &format!("{at}.closed-security-group"), found);
                found.unless(
                    !instance.security_groups.is_empty() && instance.security_groups.len() <= ITEMS_MAX,
                    &format!("{at}.security-groups"),
                    "empty, or more than 16",
                    "name the groups of an instance that may be written: un-fence restores exactly these",
                );
                found.unless(
                    !instance.security_groups.contains(&instance.closed_security_group),
                    &format!("{at}.closed-security-group"),
                    "is one of the open groups, so a fence would close nothing",
                    "make a security group without ingress rules",
                );
            }
            found.unless(
                (1..=35).contains(backup_retention_days),
                &format!("{path}.rds.backup-retention-days"),
                format!("{backup_retention_days} days"),
                "RDS keeps 1 to 35 days; failback needs at least 1",
            );
        }
        ResourceKind::DynamodbGlobalTable { table, regions } => {
            check_text(table, &format!("{path}.dynamodb-global-table.table"), found);
            check_regions(manifest, regions.iter(), &format!("{path}.dynamodb-global-table.regions"), found);
        }
        ResourceKind::Eks { clusters } => {
            let at = format!("{path}.eks.clusters");
            check_regions(manifest, clusters.keys(), &at, found);
            for (region, cluster) in clusters {
                let good = cluster.nodes_min <= cluster.nodes_desired && cluster.nodes_desired <= cluster.nodes_max;
                found.unless(good, &format!("{at}.{region}.nodes"), "not min <= desired <= max", "put them in order");
                for (key, value) in [
                    ("cluster", &cluster.cluster),
                    ("node-group", &cluster.node_group),
                    ("namespace", &cluster.namespace),
                ] {
                    check_text(value, &format!("{at}.{region}.{key}"), found);
                }
                let at = format!("{at}.{region}.deployments");
                found.unless(
                    cluster.deployments.len() <= DEPLOYMENTS_MAX,
                    &at,
                    format!("{} deployments", cluster.deployments.len()),
                    format!("at most {DEPLOYMENTS_MAX}; leave it out to scale every deployment of the namespace"),
                );
                for name in cluster.deployments.keys() {
                    found.unless(
                        is_kubernetes_name(name),
                        &format!("{at}.{name}"),
                        format!("{name:?} is no name of a deployment"),
                        "1 to 253 of a-z, 0-9, '-' and '.'",
                    );
                }
            }
        }
        ResourceKind::Ecs { services } => {
            let at = format!("{path}.ecs.services");
            check_regions(manifest, services.keys(), &at, found);
            for (region, service) in services {
                for (key, value) in [("cluster", &service.cluster), ("service", &service.service)] {
                    check_text(value, &format!("{at}.{region}.{key}"), found);
                }
            }
        }
        ResourceKind::Msk { clusters } => {
            let at = format!("{path}.msk.clusters");
            check_regions(manifest, clusters.keys(), &at, found);
            for (region, name) in clusters {
                check_text(name, &format!("{at}.{region}"), found);
            }
        }
        ResourceKind::Postgresql { instances } => {
            postgres::check_instances(manifest, instances, &format!("{path}.postgresql.instances"), found);
        }
    }
}

fn check_verification(verification: &Verification, path: &str, found: &mut Problems) {
    check_url(&verification.url.replace("{region}", "r"), &format!("{path}.url"), found);
    check_status(verification.expect_status, &format!("{path}.expect-status"), found);
    check_body(verification.body_contains.as_deref(), &format!("{path}.body-contains"), found);
    found.unless(
        (1..=20).contains(&verification.consecutive),
        &format!("{path}.consecutive"),
        "out of range",
        "1 to 20 passes in a row",
    );
}

fn check_notice(manifest: &Manifest, notice: &Notice, path: &str, found: &mut Problems) {
    let at = format!("{path}.sns");
    check_regions(manifest, notice.topics.keys(), &at, found);
    for region in manifest.regions.keys().filter(|region| !notice.topics.contains_key(region)) {
        found.add(&at, format!("no topic in {region}"), "a notice is sent from the target region, so each needs one");
    }
    for (region, arn) in &notice.topics {
        let parts: Vec<&str> = arn.split(':').collect();
        let good = matches!(parts.as_slice(), ["arn", partition, "sns", place, account, name]
            if partition.starts_with("aws") && *place == region.as_str() && !account.is_empty() && !name.is_empty());
        found.unless(
            good && arn.len() <= 256,
            &format!("{at}.{region}"),
            format!("{arn:?} is no topic of {region}"),
            format!("arn:aws:sns:{region}:ACCOUNT:NAME"),
        );
    }
}

fn check_policy(manifest: &Manifest, found: &mut Problems) {
    let policy = &manifest.policy;
    for (key, value) in [
        ("fence-timeout", policy.fence_timeout),
        ("catch-up-timeout", policy.catch_up_timeout),
        ("promote-timeout", policy.promote_timeout),
        ("scale-timeout", policy.scale_timeout),
        ("gate-timeout", policy.gate_timeout),
        ("traffic-timeout", policy.traffic_timeout),
        ("verify-timeout", policy.verify_timeout),
        ("notice-timeout", policy.notice_timeout),
    ] {
        let good = value >= Duration::from_secs(1) && value <= Duration::from_secs(6 * 3600);
        found.unless(good, &format!("policy.{key}"), "out of range", "1s to 6h");
    }
}

/// A DNS subdomain, RFC 1123.
fn is_kubernetes_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.starts_with(inner)
        && name.ends_with(inner)
        && name.chars().all(|c| inner(c) || c == '-' || c == '.')
}

pub(super) fn check_regions<'a>(
    manifest: &Manifest,
    regions: impl Iterator<Item = &'a RegionId>,
    path: &str,
    found: &mut Problems,
) {
    let mut any = false;
    for region in regions {
        any = true;
        found.unless(
            manifest.regions.contains_key(region),
            &format!("{path}.{region}"),
            format!("{region} is no region of this service"),
            "list it under regions, or correct the name",
        );
    }
    found.unless(any, path, "empty", "name at least one region");
}

fn check_url(url: &str, path: &str, found: &mut Problems) {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let good = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '?']))
        && url.len() <= TEXT_MAX
        && !url.contains(char::is_whitespace)
        && !url.contains('@');
    found.unless(good, path, format!("{url:?} is no URL"), "http:// or https://, a host, no user name, no spaces");
}

fn check_status(status: u16, path: &str, found: &mut Problems) {
    found.unless((100..=599).contains(&status), path, format!("{status} is no HTTP status"), "100 to 599");
}

fn check_body(body: Option<&str>, path: &str, found: &mut Problems) {
    found.unless(
        body.is_none_or(|text| !text.is_empty() && text.len() <= TEXT_MAX),
        path,
        "empty or too long",
        "leave it out to accept any body",
    );
}

pub(super) fn check_text(text: &str, path: &str, found: &mut Problems) {
    let good = !text.is_empty() && text.len() <= 255 && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    found.unless(good, path, format!("{text:?} is empty, too long or has spaces"), "1 to 255 characters");
}

fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(label)
}
