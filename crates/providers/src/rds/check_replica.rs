//! Can the target take over? Asked before anything is fenced for it.

use mesh_core::execute::Observation;
use serde_json::json;

use super::{Readiness, passing, readiness, stuck};
use crate::aws::rds::Instance;

pub(super) fn observe(found: &Instance, source: &str, closed_group: &str, standalone_ok: bool) -> Observation {
    match readiness(found) {
        Readiness::Stuck => return stuck(found),
        Readiness::Passing => return passing(found),
        Readiness::Available => {}
    }
    if found.security_groups.contains_key(closed_group) {
        return Observation::Blocked {
            reason: format!("the target is fenced itself: it has the closed security group {closed_group}"),
        };
    }
    match &found.source {
        Some(from) if names(from, source) => {}
        Some(from) => {
            return Observation::Blocked { reason: format!("the target replicates from {from}, not from {source}") };
        }
        None if standalone_ok => {}
        None => {
            return Observation::Blocked {
                reason: format!(
                    "the target is no replica but a database that was the writer before, with the data of that time: \
                     create a replica of {source} there first"
                ),
            };
        }
    }
    Observation::Satisfied { read_back: json!({ "status": found.status, "source": found.source }).to_string() }
}

/// A source in another region is named by its ARN, `arn:aws:rds:REGION:ACCOUNT:db:IDENTIFIER`.
fn names(found: &str, instance: &str) -> bool {
    found.rsplit(':').next().is_some_and(|name| name.eq_ignore_ascii_case(instance))
}
