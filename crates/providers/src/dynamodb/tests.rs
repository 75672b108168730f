//! Rules of the table actions, as tables over plain values.

use std::time::Duration;

use mesh_core::execute::Observation;
use mesh_core::ids::RegionId;
use mesh_core::time::Timestamp;

use super::{lag, replica};
use crate::aws::cloudwatch::{LagPoint, Latency};
use crate::aws::dynamodb::Table;
use crate::test_jobs;

fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a region")
}

fn table(status: &str, replicas: &[(&str, &str)]) -> Table {
    let replicas = replicas.iter().map(|(region, status)| ((*region).to_owned(), (*status).to_owned())).collect();
    Table { status: status.to_owned(), replicas }
}

#[test]
fn a_replica_serves_when_it_is_active_and_in_one_global_table_with_the_region_that_is_left() {
    for (found, expected) in [
        (table("ACTIVE", &[("us-east-1", "ACTIVE")]), "satisfied"),
        (table("UPDATING", &[("us-east-1", "ACTIVE"), ("us-west-2", "ACTIVE")]), "satisfied"),
        (table("ACTIVE", &[("us-east-1", "REGION_DISABLED")]), "satisfied"),
        (table("ACTIVE", &[("us-east-1", "INACCESSIBLE_ENCRYPTION_CREDENTIALS")]), "satisfied"),
        (table("CREATING", &[("us-east-1", "ACTIVE")]), "pending"),
        (table("ACTIVE", &[("us-east-1", "ACTIVE"), ("us-west-2", "CREATING")]), "pending"),
        (table("ACTIVE", &[("us-east-1", "CREATING")]), "pending"),
        (table("ACTIVE", &[]), "blocked"),
        (table("ACTIVE", &[("eu-west-1", "ACTIVE")]), "blocked"),
        (table("ACTIVE", &[("us-east-1", "DELETING")]), "blocked"),
        (table("INACCESSIBLE_ENCRYPTION_CREDENTIALS", &[("us-east-1", "ACTIVE")]), "blocked"),
        (table("ARCHIVED", &[("us-east-1", "ACTIVE")]), "blocked"),
    ] {
        let seen = replica::observe(&found, "orders", &region("us-west-2"), &region("us-east-1"));
        assert_eq!(test_jobs::kind(&seen), expected, "{found:?}: {seen:?}");
    }
}

#[test]
fn the_read_back_names_every_replica_this_regions_own_too() {
    let found = table("ACTIVE", &[("us-east-1", "ACTIVE")]);
    let Observation::Satisfied { read_back } =
        replica::observe(&found, "orders", &region("us-west-2"), &region("us-east-1"))
    else {
        panic!("it serves");
    };
    assert_eq!(read_back, r#"{"replicas":{"us-east-1":"ACTIVE","us-west-2":"ACTIVE"},"status":"ACTIVE"}"#);
}

#[test]
fn the_newest_latency_decides_and_a_dead_region_has_none_to_wait_for() {
    let point = |at, ms| LagPoint { at: Timestamp::from_millis(at), lag: Duration::from_millis(ms) };
    let measured = |points: &[LagPoint]| Latency::Measured(points.to_vec());
    for (latency, expected, words) in [
        (measured(&[point(1, 9000), point(2, 800)]), "satisfied", r#"{"at_ms":2,"lag_ms":800}"#),
        (measured(&[point(1, 1000)]), "satisfied", r#""lag_ms":1000"#),
        (measured(&[point(1, 800), point(2, 9000)]), "pending", "9000 ms behind"),
        (measured(&[]), "satisfied", r#""lag_ms":null"#),
        (Latency::Unreachable("connect timeout".to_owned()), "satisfied", "connect timeout"),
    ] {
        let seen = lag::observe(&latency, &region("us-east-1"), Duration::from_secs(1));
        assert_eq!(test_jobs::kind(&seen), expected, "{latency:?}: {seen:?}");
        assert!(format!("{seen:?}").replace("\\\"", "\"").contains(words), "{words} in {seen:?}");
    }
}
