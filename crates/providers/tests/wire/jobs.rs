//! Jobs as an executor is given them.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::execute::Job;
use mesh_core::ids::{RegionId, RunId, ServiceId, StepId};
use mesh_core::manifest::{RecordData, RecordKind, RecordSet, Routing};
use mesh_core::plan::{Action, Retry, SecurityGroupPurpose};
use mesh_core::run::Direction;

pub fn job(step: &str, action: Action) -> Job {
    Job {
        service: ServiceId::new("maip").expect("a name"),
        run: RunId::new("maip-g7").expect("a name"),
        step: StepId::new(step).expect("a name"),
        direction: Direction::Forward,
        token: "7.12".parse().expect("a token"),
        key: format!("maip-g7/{step}"),
        region: RegionId::new("us-west-2").expect("a name"),
        action,
        time_left: Duration::from_secs(60),
        retry: Retry {
            attempts_max: 3,
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(100),
        },
        maybe_sent_since: None,
        mesh_time: None,
        retried_by_person: false,
        evidence: BTreeMap::new(),
    }
}

pub fn fence() -> Job {
    job(
        "rds-fence-database",
        Action::RdsSetSecurityGroups {
            instance: "maip-db".to_owned(),
            security_groups: ["sg-closed".to_owned()].into(),
            purpose: SecurityGroupPurpose::Fence,
        },
    )
}

pub fn promote() -> Job {
    job("rds-promote-database", Action::RdsPromote { instance: "maip-db".to_owned(), backup_retention_days: 7 })
}

pub fn replace() -> Job {
    let set = RecordSet {
        kind: RecordKind::A,
        set_identifier: None,
        routing: Routing::Simple,
        health_check_id: None,
        data: RecordData::Alias {
            zone_id: "Z1H1FL5HABSF5".to_owned(),
            dns_name: "usw2.elb.amazonaws.com".to_owned(),
            evaluate_target_health: true,
        },
    };
    job(
        "route53-replace-api",
        Action::Route53Replace { zone_id: "Z1".to_owned(), record: "api.example.com".to_owned(), sets: vec![set] },
    )
}

pub fn notify(topic: &str) -> Job {
    job(
        "sns-notify-ops",
        Action::SnsNotify {
            topic_arn: format!("arn:aws:sns:us-west-2:123456789012:{topic}"),
            subject: "maip moved".to_owned(),
            message: "maip is active in us-west-2".to_owned(),
        },
    )
}
