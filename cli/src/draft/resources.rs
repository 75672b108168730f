//! Databases, tables, clusters and topics that exist in both regions.

use std::collections::BTreeSet;

use mesh_core::survey::{Cluster, Database, NodeGroup};

use super::alike::{self, Matches};
use super::place::source_region;
use super::{Pair, text};

/// Entries of one list of a manifest.
const ITEMS_MAX: usize = 16;

pub struct Resources {
    pub has_database: bool,
    pub yaml: String,
    pub checks: String,
}

pub fn resources(pair: &Pair<'_>) -> Resources {
    let mut names = Names::default();
    let databases = replicated(pair);
    let mut entries: Vec<String> =
        databases.iter().map(|(primary, replica)| database(pair, &mut names, primary, replica)).collect();
    entries.extend(tables(pair, &mut names));
    let (clusters, mut notes) = clusters(pair, &mut names);
    entries.extend(clusters);
    let (services, unsure) = task_services(pair, &mut names);
    entries.extend(services);
    notes.push_str(&unsure);
    let (kafka, unsure) = kafka(pair, &mut names);
    entries.extend(kafka);
    notes.push_str(&unsure);
    let mut yaml = String::new();
    if entries.is_empty() {
        yaml.push_str("# resources: nothing was found that exists in both regions.\n");
    } else {
        yaml.push_str("resources:\n");
        yaml.extend(entries.iter().take(ITEMS_MAX).map(String::as_str));
        if entries.len() > ITEMS_MAX {
            yaml.push_str(&text::comment(
                2,
                &format!("{} more were found than a manifest holds.", entries.len() - ITEMS_MAX),
            ));
        }
    }
    yaml.push_str(&notes);
    Resources { has_database: !databases.is_empty(), checks: checks(pair, &databases), yaml }
}

/// Names that are taken already: each entry has its own.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn take(&mut self, wanted: &str, otherwise: &str) -> String {
        let base = text::name(wanted, otherwise);
        let mut name = base.clone();
        let mut n = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{}-{n}", base.chars().take(28).collect::<String>());
            n += 1;
        }
        name
    }
}

/// Primaries with their replica in the other region: RDS itself says which belong together.
fn replicated<'a>(pair: &Pair<'a>) -> Vec<(&'a Database, &'a Database)> {
    let is_source = |source: &str, primary: &Database| {
        source == primary.arn
            || (source_region(source).is_some_and(|region| region.as_str() == pair.primary)
                && source.rsplit(':').next() == Some(primary.instance.as_str()))
    };
    let all: Vec<(&Database, &Database)> = pair
        .here
        .databases
        .iter()
        .filter_map(|primary| {
            let mut replicas = pair
                .there
                .databases
                .iter()
                .filter(|replica| replica.source.as_deref().is_some_and(|source| is_source(source, primary)));
            Some((primary, replicas.next()?))
        })
        .collect();
    let own: Vec<_> =
        all.iter().copied().filter(|(primary, _)| alike::is_of(pair.service, &primary.instance)).collect();
    if own.is_empty() { all } else { own }
}

fn database(pair: &Pair<'_>, names: &mut Names, primary: &Database, replica: &Database) -> String {
    let name = names.take("database", "database");
    let mut out = format!(
        "  - name: {name}\n    rds: # {}\n      backup-retention-days: {}\n      instances:\n",
        primary.engine.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', ""),
        primary.backup_retention_days.clamp(1, 35).max(if primary.backup_retention_days == 0 { 7 } else { 1 })
    );
    for (region, instance) in [(pair.primary, primary), (pair.standby, replica)] {
        let groups: Vec<String> = match instance.security_groups.as_slice() {
            [] => vec![text::blank(&format!("security groups of {}", instance.instance))],
            groups => groups.iter().map(|group| text::scalar(group)).collect(),
        };
        out.push_str(&format!(
            "        {region}:\n          instance: {}\n          # What it has now. Un-fence restores exactly these.\n          security-groups: [{}]\n",
            text::scalar(&instance.instance),
            groups.join(", ")
        ));
        out.push_str(&text::comment(
            10,
            &format!(
                "A security group of the instance's own VPC without any ingress rule: a fence puts it in place of those \
                 above. Make one: aws ec2 create-security-group --region {region} --group-name mesh-closed \
                 --description closed --vpc-id VPC"
            ),
        ));
        let closed = text::blank(&format!("closed security group in {region}"));
        out.push_str(&format!("          closed-security-group: {closed}\n"));
    }
    out
}

/// The database's ports tell a dead network from a dead application.
fn checks(pair: &Pair<'_>, databases: &[(&Database, &Database)]) -> String {
    let mut out = text::comment(
        0,
        "Ask the application of each region for itself, past the public name: an http check with the URL of each \
         region's load balancer says more than these ports do (docs/manifest.md).",
    );
    let both = databases.iter().zip(1..).filter_map(|((primary, replica), nth)| {
        let (here, there) = (primary.endpoint.as_ref()?, replica.endpoint.as_ref()?);
        let name = if nth == 1 { "database-port".to_owned() } else { format!("database-port-{nth}") };
        Some(format!(
            "  - name: {name}\n    tcp:\n      addresses:\n        {}: {}\n        {}: {}\n    interval: 10s\n    timeout: 2s\n    critical: false\n",
            pair.primary,
            text::quoted(here),
            pair.standby,
            text::quoted(there)
        ))
    });
    let both: String = both.take(ITEMS_MAX).collect();
    if !both.is_empty() {
        out.push_str("checks:\n");
        out.push_str(&both);
    }
    out
}

fn tables(pair: &Pair<'_>, names: &mut Names) -> Vec<String> {
    let both = |replicas: &std::collections::BTreeMap<String, String>| replicas.contains_key(pair.standby);
    let global: Vec<&str> =
        pair.here.tables.iter().filter(|table| both(&table.replicas)).map(|table| table.name.as_str()).collect();
    let own: Vec<&str> = global.iter().copied().filter(|name| alike::is_of(pair.service, name)).collect();
    let chosen = if own.is_empty() { global } else { own };
    let entry = |table: &str| {
        format!(
            "  - name: {}\n    dynamodb-global-table:\n      table: {}\n      regions: [{}, {}]\n",
            names.take(without(pair.service, table), "table"),
            text::scalar(table),
            pair.primary,
            pair.standby
        )
    };
    chosen.into_iter().map(entry).collect()
}

/// `maip-prod-orders` of service `maip` is `prod-orders`.
fn without<'a>(service: &str, name: &'a str) -> &'a str {
    name.strip_prefix(service).map_or(name, |rest| rest.trim_start_matches(['-', '_', '.']))
}

fn unsure(kind: &str, found: &Matches<'_>) -> String {
    let line = |(name, partners): &(&str, Vec<&str>)| match partners.as_slice() {
        [] => text::comment(2, &format!("{kind} {name}: nothing in the standby region has a name like it")),
        several => text::comment(2, &format!("{kind} {name}: which of these belongs to it? {}", several.join(", "))),
    };
    found.unsure.iter().map(line).collect()
}

fn clusters(pair: &Pair<'_>, names: &mut Names) -> (Vec<String>, String) {
    let here: Vec<&str> = pair.here.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    let there: Vec<&str> = pair.there.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    let found = alike::matches(pair.service, &here, &there);
    let by_name = |list: &'_ [Cluster], name: &str| list.iter().position(|cluster| cluster.name == name);
    let entries = found.pairs.iter().filter_map(|(one, other)| {
        let one = pair.here.clusters.get(by_name(&pair.here.clusters, one)?)?;
        let other = pair.there.clusters.get(by_name(&pair.there.clusters, other)?)?;
        Some(cluster(pair, names, one, other))
    });
    let entries = entries.collect();
    (entries, unsure("eks cluster", &found))
}

fn cluster(pair: &Pair<'_>, names: &mut Names, here: &Cluster, there: &Cluster) -> String {
    let mut out = format!("  - name: {}\n    eks:\n      clusters:\n", names.take("cluster", "cluster"));
    let group = largest(&here.node_groups);
    let other = group.and_then(|group| nearest(group, &there.node_groups)).or_else(|| largest(&there.node_groups));
    let namespace = namespace(pair, here, there);
    for (region, cluster, own) in [(pair.primary, here, group), (pair.standby, there, other)] {
        out.push_str(&format!("        {region}:\n          cluster: {}\n", text::scalar(&cluster.name)));
        if cluster.node_groups.len() > 1 {
            let all: Vec<&str> = cluster.node_groups.iter().map(|group| group.name.as_str()).collect();
            out.push_str(&text::comment(10, &format!("Node groups here: {}", all.join(", "))));
        }
        match own {
            Some(group) => out.push_str(&format!("          node-group: {}\n", text::scalar(&group.name))),
            None => out.push_str(&format!(
                "          node-group: {}\n",
                text::blank(&format!("node group of {}", cluster.name))
            )),
        }
        out.push_str(&nodes(pair, group));
        out.push_str(&workload(&namespace, here));
    }
    out
}

/// What the region that serves has now is what the other one needs.
fn nodes(pair: &Pair<'_>, of_primary: Option<&NodeGroup>) -> String {
    let note =
        text::comment(10, &format!("While this region is active; the numbers are those of {} now.", pair.primary));
    match of_primary {
        Some(NodeGroup { min, max, desired, .. }) => {
            format!("{note}          nodes: {{ min: {min}, max: {max}, desired: {desired} }}\n")
        }
        None => {
            let number = |what: &str| text::blank(what);
            format!(
                "{note}          nodes: {{ min: {}, max: {}, desired: {} }}\n",
                number("least nodes"),
                number("most nodes"),
                number("nodes")
            )
        }
    }
}

enum Namespace {
    Known(String),
    /// Several are possible, or none could be seen.
    Open(Vec<String>),
}

fn namespace(pair: &Pair<'_>, here: &Cluster, there: &Cluster) -> Namespace {
    let both: Vec<&String> = here
        .namespaces
        .keys()
        .filter(|name| there.namespaces.is_empty() || there.namespaces.contains_key(*name))
        .collect();
    let own: Vec<&String> = both.iter().copied().filter(|name| alike::is_of(pair.service, name)).collect();
    match (own.as_slice(), both.as_slice()) {
        ([one], _) | ([], [one]) => Namespace::Known((*one).clone()),
        _ => Namespace::Open(both.into_iter().cloned().collect()),
    }
}

fn workload(namespace: &Namespace, here: &Cluster) -> String {
    match namespace {
        Namespace::Known(name) => {
            let deployments = here.namespaces.get(name).cloned().unwrap_or_default();
            let replicas = deployments.values().copied().max().unwrap_or(1).max(1);
            let listed: Vec<String> =
                deployments.iter().map(|(name, replicas)| format!("{}: {replicas}", text::scalar(name))).collect();
            let mut out = format!("          namespace: {}\n          replicas: {replicas}\n", text::scalar(name));
            // All alike: then a deployment that comes later is scaled, too.
            if deployments.values().any(|own| *own != replicas) {
                out.push_str(&format!("          deployments: {{ {} }}\n", listed.join(", ")));
            }
            out
        }
        Namespace::Open(possible) => {
            let known = match possible.as_slice() {
                [] => "The cluster's own API could not be asked.".to_owned(),
                names => format!("One of: {}", names.join(", ")),
            };
            format!(
                "{}          namespace: {}\n          replicas: {}\n",
                text::comment(
                    10,
                    &format!(
                        "The namespace of the service's deployments, and how many replicas each has while it serves. {known}"
                    )
                ),
                text::blank("namespace of the deployments"),
                text::blank("replicas of each deployment")
            )
        }
    }
}

fn largest(groups: &[NodeGroup]) -> Option<&NodeGroup> {
    groups.iter().max_by_key(|group| (group.desired, group.max))
}

fn nearest<'a>(group: &NodeGroup, others: &'a [NodeGroup]) -> Option<&'a NodeGroup> {
    others.iter().max_by_key(|other| alike::score(&group.name, &other.name))
}

fn task_services(pair: &Pair<'_>, names: &mut Names) -> (Vec<String>, String) {
    let key = |service: &mesh_core::survey::TaskService| format!("{}/{}", service.cluster, service.service);
    let (here, there): (Vec<String>, Vec<String>) =
        (pair.here.task_services.iter().map(key).collect(), pair.there.task_services.iter().map(key).collect());
    let (texts, others): (Vec<&str>, Vec<&str>) =
        (here.iter().map(String::as_str).collect(), there.iter().map(String::as_str).collect());
    let found = alike::matches(pair.service, &texts, &others);
    let mut entries = Vec::new();
    for (one, other) in &found.pairs {
        let one = pair.here.task_services.iter().find(|service| key(service) == *one);
        let other = pair.there.task_services.iter().find(|service| key(service) == *other);
        let (Some(one), Some(other)) = (one, other) else { continue };
        let mut out = format!(
            "  - name: {}\n    ecs:\n      services:\n",
            names.take(without(pair.service, &one.service), "tasks")
        );
        for (region, service) in [(pair.primary, one), (pair.standby, other)] {
            out.push_str(&format!(
                "        {region}:\n          cluster: {}\n          service: {}\n{}          tasks: {}\n",
                text::scalar(&service.cluster),
                text::scalar(&service.service),
                text::comment(10, &format!("While this region is active; the number is that of {} now.", pair.primary)),
                one.desired
            ));
        }
        entries.push(out);
    }
    (entries, unsure("ecs service", &found))
}

fn kafka(pair: &Pair<'_>, names: &mut Names) -> (Vec<String>, String) {
    let here: Vec<&str> = pair.here.kafka.iter().map(|cluster| cluster.name.as_str()).collect();
    let there: Vec<&str> = pair.there.kafka.iter().map(|cluster| cluster.name.as_str()).collect();
    let found = alike::matches(pair.service, &here, &there);
    let entry = |(one, other): &(&str, &str)| {
        format!(
            "  - name: {}\n    msk:\n      clusters:\n        {}: {}\n        {}: {}\n",
            names.take("kafka", "kafka"),
            pair.primary,
            text::scalar(one),
            pair.standby,
            text::scalar(other)
        )
    };
    let entries = found.pairs.iter().map(entry).collect();
    (entries, unsure("msk cluster", &found))
}

/// The topic that both regions have under one name.
pub fn notices(pair: &Pair<'_>) -> String {
    fn last(arn: &str) -> &str {
        arn.rsplit(':').next().unwrap_or(arn)
    }
    let both: Vec<(&String, &String)> = pair
        .here
        .topics
        .iter()
        .filter_map(|arn| Some((arn, pair.there.topics.iter().find(|other| last(other) == last(arn))?)))
        .collect();
    let own: Vec<_> = both.iter().copied().filter(|(arn, _)| alike::is_of(pair.service, last(arn))).collect();
    let chosen = match (own.as_slice(), both.as_slice()) {
        ([one], _) | ([], [one]) => Some(*one),
        _ => None,
    };
    let (why, here, there) = match chosen {
        Some((here, there)) => (
            "Who hears of a failover: the one topic that both regions have. The region moved to sends it.".to_owned(),
            text::scalar(here),
            text::scalar(there),
        ),
        None => {
            let known = both.iter().map(|(arn, _)| last(arn)).take(ITEMS_MAX).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none that both regions have".to_owned() } else { known };
            (
                format!(
                    "Who hears of a failover: an SNS topic in each region, best a FIFO one. Found: {known}. Drop `notices` if \
                     nobody should."
                ),
                text::blank(&format!("ARN of the topic in {}", pair.primary)),
                text::blank(&format!("ARN of the topic in {}", pair.standby)),
            )
        }
    };
    format!(
        "{}notices:\n  - name: oncall\n    sns:\n      {}: {here}\n      {}: {there}\n",
        text::comment(0, &why),
        pair.primary,
        pair.standby
    )
}
