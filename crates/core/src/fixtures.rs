//! A service like the runbook's, for tests of the core.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::{AgentPresence, View};
use crate::fleet::{Command, Fleet, Reply};
use crate::ids::{AgentId, Hash32, RegionId, ServiceId};
use crate::manifest::{
    Manifest, Notice, Objectives, Policy, RdsInstance, RecordData, RecordKind, RecordSet, RegionRole, Resource,
    ResourceKind, Routing, TrafficRecord, Verification, WriterMode,
};
use crate::planner::{self, Evidence};
use crate::run::Cause;
use crate::time::Timestamp;

pub const EAST: &str = "us-east-1";
pub const WEST: &str = "us-west-2";
pub const HASH: Hash32 = Hash32([7; 32]);

pub fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a fixture's name is valid")
}

pub fn service(name: &str) -> ServiceId {
    ServiceId::new(name).expect("a fixture's name is valid")
}

pub fn agent(name: &str) -> AgentId {
    AgentId::new(name).expect("a fixture's name is valid")
}

pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub fn maip() -> Manifest {
    let alias = |name: &str| {
        vec![RecordSet {
            kind: RecordKind::A,
            set_identifier: None,
            routing: Routing::Simple,
            health_check_id: None,
            data: RecordData::Alias {
                zone_id: "Z35SXDOTRQ7X7K".to_owned(),
                dns_name: format!("{name}.elb.amazonaws.com"),
                evaluate_target_health: true,
            },
        }]
    };
    let instance = |name: &str| RdsInstance {
        instance: name.to_owned(),
        security_groups: BTreeSet::from(["sg-open".to_owned()]),
        closed_security_group: "sg-closed".to_owned(),
    };
    let both = |f: &dyn Fn(&str) -> String| BTreeMap::from([(region(EAST), f(EAST)), (region(WEST), f(WEST))]);
    Manifest {
        service: service("maip"),
        description: String::new(),
        writer: WriterMode::Single,
        regions: BTreeMap::from([(region(EAST), RegionRole::Primary), (region(WEST), RegionRole::Standby)]),
        depends_on: BTreeSet::new(),
        objectives: Objectives { rto: Duration::from_secs(900), rpo: Duration::from_secs(30) },
        checks: Vec::new(),
        resources: vec![Resource {
            name: "database".to_owned(),
            kind: ResourceKind::Rds {
                instances: BTreeMap::from([
                    (region(EAST), instance("maip-prod-postgres")),
                    (region(WEST), instance("maip-prod-postgres-replica")),
                ]),
                backup_retention_days: 7,
            },
        }],
        traffic: vec![TrafficRecord {
            name: "api".to_owned(),
            zone_id: "ZMAIP".to_owned(),
            record: "api.maip.example.com".to_owned(),
            active: BTreeMap::from([(region(EAST), alias("east")), (region(WEST), alias("west"))]),
        }],
        verify: vec![Verification {
            name: "api".to_owned(),
            url: "http://api.maip.example.com/actuator/health".to_owned(),
            expect_status: 200,
            body_contains: Some("\"region\":\"{region}\"".to_owned()),
            consecutive: 3,
        }],
        notices: vec![Notice {
            name: "oncall".to_owned(),
            topics: both(&|name| format!("arn:aws:sns:{name}:123456789012:alerts.fifo")),
        }],
        policy: Policy::default(),
        safety: Vec::new(),
        fence: Default::default(),
    }
}

/// A mesh with the service applied and two agents in each region, at `at(0)`.
pub fn fleet() -> Fleet {
    let mut fleet = Fleet::default();
    let apply = |fleet: &mut Fleet, command| {
        let applied = fleet.apply(at(0), &command);
        assert!(!matches!(applied.reply, Reply::Refused(_)), "{:?}", applied.reply);
    };
    apply(&mut fleet, Command::NameMesh { mesh: "test".to_owned() });
    let manifest = Box::new(maip());
    apply(
        &mut fleet,
        Command::ApplyManifest { manifest, source: "a".to_owned(), by: "admin".to_owned(), expected_version: 0 },
    );
    apply(&mut fleet, Command::SetArmed { service: service("maip"), armed: true, by: "admin".to_owned() });
    for (name, place) in [("east-a", EAST), ("east-b", EAST), ("west-a", WEST), ("west-b", WEST)] {
        apply(&mut fleet, Command::RegisterAgent { agent: agent(name), region: region(place) });
    }
    fleet
}

/// All agents connected and heard of at `now`, but for the regions in `without`.
pub fn view(fleet: &Fleet, now: Timestamp, without: &[&str]) -> View {
    let agents = fleet
        .agents
        .iter()
        .filter(|(_, record)| !without.contains(&record.region.as_str()))
        .map(|(id, record)| (id.clone(), AgentPresence { region: record.region.clone(), last_heard: now, load: 0 }))
        .collect();
    View { now, agents, agent_silence: Duration::from_secs(6), led_since: at(0) }
}

pub fn start(fleet: &Fleet, to: &str) -> Command {
    let service = &fleet.services[&service("maip")];
    let plan = planner::plan_failover(service, &region(to), &Evidence::default()).expect("a plan");
    Command::StartRun {
        plan: Box::new(plan),
        plan_hash: HASH,
        by: "operator".to_owned(),
        cause: Cause::Asked,
        safety: Vec::new(),
        approvals: Vec::new(),
    }
}
