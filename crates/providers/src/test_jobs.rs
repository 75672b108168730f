//! Jobs for tests of the rules.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::execute::{Job, Observation};
use mesh_core::ids::{RegionId, RunId, ServiceId, StepId};
use mesh_core::plan::{Action, Retry};
use mesh_core::run::Direction;

pub(crate) fn job(step: &str, action: Action) -> Job {
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

pub(crate) fn kind(observation: &Observation) -> &'static str {
    match observation {
        Observation::Satisfied { .. } => "satisfied",
        Observation::Ready { .. } => "ready",
        Observation::Pending { .. } => "pending",
        Observation::Blocked { .. } => "blocked",
        Observation::Superseded { .. } => "superseded",
        Observation::Ambiguous { .. } => "ambiguous",
        Observation::Unreadable { .. } => "unreadable",
    }
}
