//! The service of the demo, as a manifest made from the double's world and from the ports it got.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::double::Ready;

pub mod resources;

/// The double's world, as it stands in its own tests.
pub const WORLD: &str = include_str!("../../../tests/double/worlds/maip.json");

pub const SERVICE: &str = "maip";
pub const OLD: &str = "us-east-1";
pub const NEW: &str = "us-west-2";
pub const WITNESS: &str = "eu-central-1";
/// One may die with work in hand, and the other goes on.
pub const AGENTS_PER_REGION: usize = 2;
pub const REGIONS: [&str; 3] = [OLD, NEW, WITNESS];

#[derive(Debug, Deserialize)]
pub struct World {
    account: String,
    /// Where the service is, where it may go, the witness, and others.
    regions: Vec<String>,
    access_keys: Vec<AccessKey>,
    hosted_zones: Vec<Zone>,
    security_groups: Vec<Group>,
    rds: Vec<Instance>,
    topics: Vec<Named>,
    queues: Vec<Named>,
    apps: Vec<App>,
    #[serde(flatten)]
    beside: resources::Resources,
}

#[derive(Clone, Debug, Deserialize)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
    pub name: String,
    #[serde(default)]
    region: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Zone {
    id: String,
    #[serde(default)]
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
struct Record {
    name: String,
    #[serde(default)]
    alias: Option<Alias>,
}

#[derive(Debug, Deserialize)]
struct Alias {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Group {
    id: String,
    region: String,
    open: bool,
}

#[derive(Debug, Deserialize)]
struct Instance {
    region: String,
    id: String,
    security_groups: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Named {
    region: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct App {
    region: String,
    alb_name: String,
    alb_zone: String,
}

impl World {
    pub fn read() -> Result<Self, String> {
        Self::parse(WORLD)
    }

    pub fn parse(world_file: &str) -> Result<Self, String> {
        let world: Self =
            serde_json::from_str(world_file).map_err(|error| format!("the double's world cannot be read: {error}"))?;
        if world.regions.len() < REGIONS.len() {
            return Err(format!("the double's world has fewer than {} regions", REGIONS.len()));
        }
        Ok(world)
    }

    pub fn regions(&self) -> [&str; 3] {
        match self.regions.as_slice() {
            [old, new, witness, ..] => [old, new, witness],
            _ => REGIONS,
        }
    }

    /// The regions with a database: that of the primary, and that of its replica.
    pub fn sites(&self) -> [&str; 2] {
        let [old, new, _] = self.regions();
        [old, new]
    }

    /// Callers inside `region`: each becomes an agent there.
    pub fn callers(&self, region: &str) -> impl Iterator<Item = &AccessKey> {
        self.access_keys.iter().filter(move |key| key.region.as_deref() == Some(region)).take(AGENTS_PER_REGION)
    }

    /// Where notices arrive.
    pub fn queue(&self) -> Option<&str> {
        let on_call = self.queues.iter().find(|queue| queue.name.contains("oncall"));
        on_call.or_else(|| self.queues.first()).map(|queue| queue.name.as_str())
    }

    /// `host:port` of the service's database in `region`.
    pub fn database(&self, ready: &Ready, region: &str) -> Option<String> {
        let instance = self.rds.iter().find(|instance| instance.region == region)?;
        ready.databases.get(&format!("{region}/{}", instance.id)).cloned()
    }

    /// Zone id and name of the record that points at an application of ours.
    fn record(&self) -> Option<(&str, &str)> {
        let ours = |alias: &Alias| {
            self.apps
                .iter()
                .any(|app| alias.name.trim_end_matches('.').eq_ignore_ascii_case(app.alb_name.trim_end_matches('.')))
        };
        self.hosted_zones.iter().find_map(|zone| {
            let record = zone.records.iter().find(|record| record.alias.as_ref().is_some_and(ours))?;
            Some((zone.id.as_str(), record.name.trim_end_matches('.')))
        })
    }

    pub fn public_name(&self) -> Option<&str> {
        self.record().map(|(_, name)| name)
    }
}

/// Port of the sample applications: the same in every region.
pub fn app_port(ready: &Ready) -> Option<u16> {
    ready.apps.values().find_map(|address| address.rsplit_once(':')?.1.parse().ok())
}

/// What a scenario says of health and of acting by itself.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// Ask the applications over HTTP, every second, each at this address: by region.
    pub asked_at: Option<BTreeMap<String, String>>,
    /// More of the manifest, as YAML.
    pub policy: String,
}

/// The manifest, as YAML.
pub fn manifest(world: &World, ready: &Ready) -> Result<String, String> {
    manifest_with(world, ready, &Plot::default())
}

pub fn manifest_with(world: &World, ready: &Ready, plot: &Plot) -> Result<String, String> {
    let [old, new] = world.sites();
    let (zone, record) = world.record().ok_or("the double's world has no record that points at an application")?;
    let port = app_port(ready).ok_or("the double runs no application")?;
    let mut parts: BTreeMap<&str, String> = BTreeMap::new();
    for region in [old, new] {
        let missing = |what: &str| format!("the double's world has no {what} in {region}");
        let app = world.apps.iter().find(|app| app.region == region).ok_or_else(|| missing("application"))?;
        let instance =
            world.rds.iter().find(|instance| instance.region == region).ok_or_else(|| missing("database"))?;
        let closed = world.security_groups.iter().find(|group| group.region == region && !group.open);
        let closed = closed.ok_or_else(|| missing("closed security group"))?;
        let open = world.security_groups.iter().filter(|group| group.region == region && group.open);
        let open: Vec<&str> = match instance.security_groups.as_slice() {
            [] => open.map(|group| group.id.as_str()).collect(),
            own => own.iter().map(String::as_str).collect(),
        };
        let topic = world.topics.iter().find(|topic| topic.region == region).ok_or_else(|| missing("topic"))?;
        let app_address = ready.apps.get(region).ok_or_else(|| missing("running application"))?;
        let database = world.database(ready, region).ok_or_else(|| missing("running database"))?;
        let mut add = |part, text: String| parts.entry(part).or_default().push_str(&text);
        add("app", format!("        {region}: {app_address}\n"));
        add("database", format!("        {region}: {database}\n"));
        add(
            "rds",
            format!(
                "        {region}:\n          instance: {}\n          security-groups: [{}]\n          closed-security-group: {}\n",
                instance.id,
                open.join(", "),
                closed.id
            ),
        );
        add(
            "traffic",
            format!(
                "      {region}:\n        - type: A\n          alias:\n            zone-id: {}\n            dns-name: {}\n            \
                 evaluate-target-health: true\n",
                app.alb_zone, app.alb_name
            ),
        );
        add("sns", format!("      {region}: arn:aws:sns:{region}:{}:{}\n", world.account, topic.name));
    }
    let part = |name: &str| parts.get(name).map(String::as_str).unwrap_or_default();
    let checks = match &plot.asked_at {
        Some(addresses) => http_check(addresses),
        None => tcp_checks(part("app"), part("database")),
    };
    Ok(format!(
        r#"apiVersion: mesh/v1
service: {SERVICE}
description: Merchant analytics. The database is in {old}, its read replica in {new}.
writer: single
regions:
  {old}: primary
  {new}: standby
objectives:
  rto: 15m
  rpo: 30s
checks:
{checks}resources:
  - name: database
    rds:
      backup-retention-days: 7
      instances:
{rds}{beside}traffic:
  - name: api
    zone-id: {zone}
    record: {record}
    active:
{traffic}verify:
  - name: api
    url: http://{record}:{port}/actuator/health
    body-contains: '"region":"{{region}}"'
    consecutive: 3
notices:
  - name: oncall
    sns:
{sns}{policy}"#,
        rds = part("rds"),
        beside = world.beside.manifest([old, new]),
        traffic = part("traffic"),
        sns = part("sns"),
        policy = plot.policy,
    ))
}

fn tcp_checks(app: &str, database: &str) -> String {
    format!(
        r"  - name: app
    tcp:
      addresses:
{app}    interval: 1s
    timeout: 500ms
  - name: postgres
    tcp:
      addresses:
{database}    interval: 1s
    timeout: 500ms
    critical: false
"
    )
}

/// A standby that cannot write is well: its front page says so, its health check does not.
fn http_check(addresses: &BTreeMap<String, String>) -> String {
    let urls: String =
        addresses.iter().map(|(region, address)| format!("        {region}: http://{address}/\n")).collect();
    format!(
        r"  - name: app
    http:
      urls:
{urls}    interval: 1s
    timeout: 1s
    fail-after: 2
    pass-after: 2
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_s_manifest_is_valid() {
        let world = World::read().expect("a world");
        let by_region = |port: u16| -> BTreeMap<String, String> {
            [OLD, NEW]
                .iter()
                .zip(1..)
                .map(|(region, n)| ((*region).to_owned(), format!("127.0.1.{n}:{port}")))
                .collect()
        };
        let databases = world.rds.iter().zip(1..);
        let databases =
            databases.map(|(one, n)| (format!("{}/{}", one.region, one.id), format!("127.0.0.1:{}", 5000 + n)));
        let ready = Ready {
            aws: "http://127.0.0.1:1".to_owned(),
            dns: "127.0.0.1:2".to_owned(),
            apps: by_region(8080),
            databases: databases.collect(),
        };
        let yaml = manifest(&world, &ready).expect("a manifest");
        let manifest = mesh_manifest::parse(&yaml, "maip.yaml").unwrap_or_else(|found| {
            panic!("{}\n{yaml}", found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        assert_eq!(manifest.service.as_str(), SERVICE);
        assert!(world.queue().is_some() && world.public_name().is_some());
        assert!(REGIONS.iter().all(|region| world.callers(region).count() == AGENTS_PER_REGION));
        assert_eq!(world.regions(), REGIONS);
    }
}
