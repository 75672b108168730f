//! A service like the runbook's: one database, one record, one check of the result, one notice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::fleet::{Command, Fleet};
use mesh_core::ids::{IntentSeq, RegionId, RunId, ServiceId};
use mesh_core::manifest::{
    Manifest, Notice, Objectives, Policy, RdsInstance, RecordData, RecordKind, RecordSet, RegionRole, Resource,
    ResourceKind, Routing, TrafficRecord, Verification, WriterMode,
};
use mesh_core::plan::Plan;
use mesh_core::planner::{Evidence, plan_failover};
use mesh_core::run::{Cause, Direction, Outcome, OutcomeResult};
use mesh_proto::v1;

pub const EAST: &str = "us-east-1";
pub const WEST: &str = "us-west-2";
/// Where a failover's first step is carried out.
pub const FIRST: &str = WEST;

pub fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a valid name")
}

pub fn run(name: &str) -> RunId {
    RunId::new(name).expect("a valid name")
}

pub fn maip() -> Manifest {
    let both = |f: &dyn Fn(&str) -> String| BTreeMap::from([(region(EAST), f(EAST)), (region(WEST), f(WEST))]);
    let instance = |name: &str| RdsInstance {
        instance: name.to_owned(),
        security_groups: BTreeSet::from(["sg-open".to_owned()]),
        closed_security_group: "sg-closed".to_owned(),
    };
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
    Manifest {
        service: ServiceId::new("maip").expect("a valid name"),
        description: String::new(),
        writer: WriterMode::Single,
        regions: BTreeMap::from([(region(EAST), RegionRole::Primary), (region(WEST), RegionRole::Standby)]),
        depends_on: BTreeSet::new(),
        objectives: Objectives { rto: Duration::from_secs(900), rpo: Duration::from_secs(30) },
        checks: Vec::new(),
        resources: vec![Resource {
            name: "database".to_owned(),
            kind: ResourceKind::Rds {
                instances: BTreeMap::from([(region(EAST), instance("east-db")), (region(WEST), instance("west-db"))]),
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
            body_contains: None,
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

pub fn apply_maip() -> Command {
    Command::ApplyManifest {
        manifest: Box::new(maip()),
        source: "maip".to_owned(),
        by: "test".to_owned(),
        expected_version: 0,
    }
}

pub fn arm_maip() -> Command {
    Command::SetArmed { service: maip().service, armed: true, by: "test".to_owned() }
}

pub fn failover(fleet: &Fleet) -> Plan {
    let service = fleet.services.get(&maip().service).expect("it was applied");
    plan_failover(service, &region(WEST), &Evidence::default()).expect("a plan")
}

pub fn start_failover(fleet: &Fleet) -> Command {
    let plan = failover(fleet);
    let plan_hash = mesh_proto::plan_hash(&plan);
    Command::StartRun {
        plan: Box::new(plan),
        plan_hash,
        by: "test".to_owned(),
        cause: Cause::Asked,
        safety: Vec::new(),
        approvals: Vec::new(),
    }
}

pub fn done() -> v1::Outcome {
    v1::Outcome::from(Outcome {
        result: OutcomeResult::Done,
        detail: "done".to_owned(),
        read_back: "{}".to_owned(),
        before: "{}".to_owned(),
        calls: 1,
        provider_wait: Duration::ZERO,
    })
}

/// What a leader commits of an offer's end.
pub fn close(job: &v1::Job, outcome: v1::Outcome) -> Command {
    Command::CloseIntent {
        run: run(&job.run),
        step: job.step.parse().expect("a name"),
        direction: Direction::Forward,
        seq: IntentSeq(job.intent),
        outcome: outcome.try_into().expect("an outcome"),
    }
}

/// The report that carries out an offer at once.
pub fn report(job: &v1::Job) -> v1::OutcomeReport {
    v1::OutcomeReport {
        service: job.service.clone(),
        run: job.run.clone(),
        step: job.step.clone(),
        direction: job.direction,
        intent: job.intent,
        outcome: Some(done()),
    }
}
