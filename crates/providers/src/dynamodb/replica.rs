//! Is the table here active, and in one global table with the region that is left?

use std::collections::BTreeMap;

use mesh_core::execute::Observation;
use mesh_core::ids::RegionId;
use serde_json::json;

use crate::aws::dynamodb::Table;

pub(super) fn observe(found: &Table, table: &str, here: &RegionId, from: &RegionId) -> Observation {
    let blocked = |reason: String| Observation::Blocked { reason };
    match found.status.as_str() {
        // A table in change serves reads and writes.
        "ACTIVE" | "UPDATING" => {}
        "CREATING" => return Observation::Pending { note: format!("table {table} here is CREATING") },
        status => return blocked(format!("table {table} here is {status}, and does not serve")),
    }
    let own = found.replicas.get(here.as_str()).map(String::as_str);
    match own {
        None | Some("ACTIVE" | "UPDATING") => {}
        Some("CREATING") => return Observation::Pending { note: format!("the replica of {table} here is CREATING") },
        Some(status) => return blocked(format!("the replica of {table} here is {status}")),
    }
    match found.replicas.get(from.as_str()).map(String::as_str) {
        None => {
            let others: Vec<_> =
                found.replicas.keys().map(String::as_str).filter(|region| *region != here.as_str()).collect();
            let others = if others.is_empty() { "no other region".to_owned() } else { others.join(", ") };
            return blocked(format!(
                "table {table} here is no replica of the one in {from}, it replicates with {others}: what was written there \
                 is not here"
            ));
        }
        Some("CREATING") => {
            return Observation::Pending { note: format!("the replica of {table} in {from} is CREATING") };
        }
        Some(status @ ("CREATION_FAILED" | "DELETING")) => {
            return blocked(format!(
                "the replica of {table} in {from} is {status}: it is in no global table with this one"
            ));
        }
        // A region that is gone is why this is done.
        Some(_) => {}
    }
    let mut replicas: BTreeMap<&str, &str> =
        found.replicas.iter().map(|(region, status)| (region.as_str(), status.as_str())).collect();
    replicas.entry(here.as_str()).or_insert(found.status.as_str());
    Observation::Satisfied { read_back: json!({ "status": found.status, "replicas": replicas }).to_string() }
}
