//! Automated backups of a promoted instance.

use mesh_core::execute::Observation;
use serde_json::json;

use super::{Readiness, passing, readiness, ready, stuck, waits_for};
use crate::aws::rds::Instance;

pub(super) fn observe(instance: &Instance, days: u32, accepted: bool) -> Observation {
    match readiness(instance) {
        Readiness::Stuck => return stuck(instance),
        Readiness::Passing => return passing(instance),
        Readiness::Available => {}
    }
    if instance.source.is_some() {
        return waits_for("the promotion: the instance is a replica");
    }
    if instance.backup_retention_pending {
        return Observation::Pending { note: "a change of the backup retention is pending".to_owned() };
    }
    if instance.backup_retention_days == days {
        let read_back = json!({
            "backup_retention_days": days,
            "status": instance.status,
            "provider_time_ms": instance.seen_at,
        });
        return Observation::Satisfied { read_back: read_back.to_string() };
    }
    ready(&json!({ "backup_retention_days": instance.backup_retention_days }), accepted)
}
