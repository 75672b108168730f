//! A mesh with many services of one kind, each with a database pair, a record and notices of its own, whose runs go on
//! at the same time; and what the outside says became of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mesh_core::ids::RunId;
use mesh_core::run::{Run, RunState};
use serde_json::{Value, json};

use crate::Rig;
use crate::foreign::{NEW_ALB, OLD_ALB, ZONE};
use crate::rig::describe;

pub const OLD: &str = "us-east-1";
pub const NEW: &str = "us-west-2";
/// Most services that one wave moves.
const WAVE: usize = 4;
const QUEUE: &str = "maip-prod-oncall.fifo";
/// Shorter waits of the provider's own; its rules stay.
const FAST: &str = r#"{"promotion_ms": 1200, "backing_up_ms": 200, "reboot_ms": 600, "modify_ms": 200,
    "security_group_ms": 200, "route53_insync_ms": 500, "route53_requests_per_second": 0}"#;

/// The mutating calls that a failover of one service is made of, each on what it names, each applied once.
const CALLS: [(&str, &str, &str); 3] =
    [("ModifyDBInstance", OLD, "db"), ("RebootDBInstance", OLD, "db"), ("PromoteReadReplica", NEW, "replica")];

pub fn name(nth: usize) -> String {
    format!("svc{nth:02}")
}

pub fn record(service: &str) -> String {
    format!("{service}.maip.example.com")
}

/// The demo's world with `services` more in it.
fn world(services: usize) -> Value {
    let mut world: Value = serde_json::from_str(meshctl::demo::maip::WORLD).expect("the demo's world");
    let fast: Value = serde_json::from_str(FAST).expect("settings");
    world["settings"] = fast;
    for service in (1..=services).map(name) {
        let (db, replica) = (format!("{service}-db"), format!("{service}-replica"));
        let alias = json!({ "zone": OLD_ALB.0, "name": OLD_ALB.1, "evaluate_target_health": false });
        let mut add = |list: &str, one: Value| world[list].as_array_mut().expect("a list").push(one);
        add(
            "rds",
            json!({ "region": OLD, "id": db, "engine": "postgres", "security_groups": ["sg-open-us-east-1"],
                    "backup_retention": 7 }),
        );
        add(
            "rds",
            json!({ "region": NEW, "id": replica, "engine": "postgres", "security_groups": ["sg-open-us-west-2"],
                    "replica_of": format!("{OLD}/{service}-db") }),
        );
        let zone = world["hosted_zones"][0]["records"].as_array_mut().expect("the zone's records");
        zone.push(json!({ "name": record(&service), "type": "A", "alias": alias }));
    }
    world
}

fn manifest(service: &str, port: u16) -> String {
    let mut text = format!(
        "apiVersion: mesh/v1\nservice: {service}\nwriter: single\nregions: {{ {OLD}: primary, {NEW}: standby }}\n\
         objectives: {{ rto: 15m, rpo: 30s }}\nresources:\n  - name: database\n    rds:\n      \
         backup-retention-days: 7\n      instances:\n"
    );
    for (region, instance) in [(OLD, "db"), (NEW, "replica")] {
        let _ = write!(
            text,
            "        {region}:\n          instance: {service}-{instance}\n          security-groups: \
             [sg-open-{region}]\n          closed-security-group: sg-closed-{region}\n"
        );
    }
    let record = record(service);
    let _ = write!(text, "traffic:\n  - name: api\n    zone-id: {ZONE}\n    record: {record}\n    active:\n");
    for (region, (zone, alb)) in [(OLD, OLD_ALB), (NEW, NEW_ALB)] {
        let _ = writeln!(
            text,
            "      {region}: [{{ type: A, alias: {{ zone-id: {zone}, dns-name: {alb}, evaluate-target-health: false }} }}]"
        );
    }
    let _ = write!(
        text,
        "verify:\n  - name: api\n    url: http://{record}:{port}/\n    body-contains: '\"region\":\"{{region}}\"'\n    \
         consecutive: 1\nnotices:\n  - name: oncall\n    sns:\n"
    );
    for region in [OLD, NEW] {
        let _ = writeln!(text, "      {region}: arn:aws:sns:{region}:123456789012:maip-prod-alerts.fifo");
    }
    text
}

impl Rig {
    /// A mesh with this many services beside the demo's own, whose providers are quick.
    pub async fn raise_many(services: usize) -> Self {
        let rig = Self::raise_in(&world(services).to_string()).await;
        let port = meshctl::demo::maip::app_port(&rig.stand.ready).expect("the double runs applications");
        let names: Vec<String> = (1..=services).map(name).collect();
        let mut setup = vec!["traffic".to_owned(), "setup".to_owned(), "--yes".to_owned()];
        for service in &names {
            rig.adopt(service, &manifest(service, port)).await;
            setup.extend(["--service".to_owned(), service.clone()]);
        }
        let setup: Vec<&str> = setup.iter().map(String::as_str).collect();
        rig.ctl(&setup).await.expect(0);
        rig
    }

    /// Starts the failover of all these services, as many at a time as one wave takes, and returns their runs.
    pub async fn begin_many(&self, services: &[String]) -> BTreeMap<String, RunId> {
        let mut all = BTreeMap::new();
        for wave in services.chunks(WAVE) {
            let mut args = vec!["--json", "failover", "--to", NEW, "--yes", "--no-wait"];
            args.extend(wave.iter().flat_map(|service| ["--service", service]));
            let said = self.ctl(&args).await.expect(0).json();
            let runs = said["runs"].as_array().cloned().unwrap_or_default();
            assert_eq!(runs.len(), wave.len(), "{said}");
            for (service, run) in wave.iter().zip(runs.iter().filter_map(Value::as_str)) {
                assert!(run.starts_with(&format!("{service}-")), "runs are told in the order of services: {said}");
                all.insert(service.clone(), RunId::new(run).expect("a run's name"));
            }
        }
        all
    }

    /// Service, region and address of both databases of each.
    pub fn databases_of(&self, services: &[String]) -> Vec<(String, String, String)> {
        let of = |service: &String, region: &str, what: &str| {
            let address = self.stand.ready.databases.get(&format!("{region}/{service}-{what}"));
            (service.clone(), region.to_owned(), address.expect("the double serves every database").clone())
        };
        services.iter().flat_map(|service| [of(service, OLD, "db"), of(service, NEW, "replica")]).collect()
    }

    /// Every run is done, each of its effects was applied exactly once, and one notice of each arrived.
    pub async fn judge_many(&self, runs: &BTreeMap<String, Run>) {
        let effects = self.get("effects").await;
        let effects = effects.as_array().cloned().unwrap_or_default();
        let queue = self.get(&format!("queues/{QUEUE}")).await;
        let notices = queue.as_array().cloned().unwrap_or_default();
        for (service, run) in runs {
            assert_eq!(run.state, RunState::Done, "{service}: {}", describe(run));
            for (operation, region, what) in CALLS {
                let instance = format!("{service}-{what}");
                let applied: Vec<&Value> = effects
                    .iter()
                    .filter(|effect| {
                        effect["operation"] == operation && effect["region"] == region && effect["outcome"] == "applied"
                    })
                    .filter(|effect| effect["resource"] == instance.as_str())
                    .collect();
                assert_eq!(applied.len(), 1, "{operation} of {instance}: {applied:?}; {}", describe(run));
            }
            let token = format!("_mesh.{}.", record(service));
            let changes: Vec<&Value> = effects
                .iter()
                .filter(|effect| effect["operation"] == "ChangeResourceRecordSets" && effect["outcome"] == "applied")
                .filter(|effect| effect["parameters"].to_string().contains(token.trim_end_matches('.')))
                .collect();
            // The set-up of the token was a change of records, too.
            assert_eq!(changes.len(), 2, "changes of {service}'s record: {changes:?}; {}", describe(run));
            let told: Vec<&Value> =
                notices.iter().filter(|notice| notice["body"].to_string().contains(service.as_str())).collect();
            assert_eq!(told.len(), 1, "notices of {service}: {told:?}");
            let records = self.records(&record(service)).await;
            assert_eq!(records[0]["alias"]["name"], format!("{}.", NEW_ALB.1), "{records:?}");
        }
    }
}
