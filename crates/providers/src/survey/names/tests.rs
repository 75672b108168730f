use std::collections::BTreeMap;

use mesh_core::manifest::{RecordKind, Routing};
use mesh_core::survey::Level;

use super::*;

const EAST: (&str, &str) = ("Z35SXDOTRQ7X7K", "maip.us-east-1.elb.amazonaws.com");
const WEST: (&str, &str) = ("Z1H1FL5HABSF5", "maip-dr.us-west-2.elb.amazonaws.com");

fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a region")
}

fn set(data: RecordData) -> RecordSet {
    RecordSet { kind: RecordKind::A, set_identifier: None, routing: Routing::Simple, health_check_id: None, data }
}

fn alias((zone_id, dns_name): (&str, &str)) -> RecordSet {
    set(RecordData::Alias { zone_id: zone_id.to_owned(), dns_name: dns_name.to_owned(), evaluate_target_health: true })
}

fn values(ttl_seconds: u32) -> RecordSet {
    set(RecordData::Values { ttl_seconds, values: vec!["192.0.2.1".to_owned()] })
}

fn traffic(east: RecordSet, west: RecordSet) -> TrafficRecord {
    TrafficRecord {
        name: "api".to_owned(),
        zone_id: "Z1".to_owned(),
        record: "api.example.com".to_owned(),
        active: BTreeMap::from([(region("us-east-1"), vec![east]), (region("us-west-2"), vec![west])]),
    }
}

fn of(sets: Vec<RecordSet>) -> Listing {
    Listing { sets, ..Listing::default() }
}

#[test]
fn a_record_as_the_manifest_says_is_fine_in_any_spelling() {
    let shouted = alias((EAST.0, "MAIP.us-east-1.elb.amazonaws.com."));
    let finding = present("x", &traffic(alias(EAST), alias(WEST)), &region("us-east-1"), &of(vec![shouted]));
    assert_eq!(finding.level, Level::Ok, "{finding:?}");
}

#[test]
fn a_record_that_points_at_the_standby_is_told_apart_from_a_foreign_one() {
    let record = traffic(alias(EAST), alias(WEST));
    let active = region("us-east-1");
    let standby = present("x", &record, &active, &of(vec![alias(WEST)]));
    assert!(standby.text.contains("what the manifest says for us-west-2"), "{}", standby.text);
    let foreign = present("x", &record, &active, &of(vec![values(60)]));
    assert!(foreign.text.contains("192.0.2.1"), "{}", foreign.text);
    let empty = present("x", &record, &active, &of(Vec::new()));
    assert!(empty.text.contains("no record set"), "{}", empty.text);
    assert_eq!([standby.level, foreign.level, empty.level], [Level::Problem; 3]);
}

#[test]
fn the_runbook_s_wrong_alias_zone_is_found_and_the_right_one_named() {
    let wrong = declared("x", &region("us-west-2"), &alias((EAST.0, WEST.1))).expect("a finding");
    assert_eq!(wrong.level, Level::Problem);
    assert!(wrong.mend.contains("zone-id: Z1H1FL5HABSF5"), "{}", wrong.mend);
    assert!(wrong.text.contains("which is that of us-east-1"), "{}", wrong.text);
    assert_eq!(declared("x", &region("us-west-2"), &alias(WEST)), None);
}

#[test]
fn a_target_that_is_no_load_balancer_is_not_judged() {
    assert_eq!(declared("x", &region("us-west-2"), &alias(("Z2FDTNDATAQYW2", "d1.cloudfront.net"))), None);
}

#[test]
fn a_load_balancer_of_the_other_region_is_a_warning() {
    let finding = declared("x", &region("us-west-2"), &alias(EAST)).expect("a finding");
    assert_eq!(finding.level, Level::Warning);
}

#[test]
fn a_long_ttl_is_flagged() {
    assert_eq!(declared("x", &region("us-east-1"), &values(300)).map(|finding| finding.level), Some(Level::Warning));
    assert_eq!(declared("x", &region("us-east-1"), &values(60)), None);
}

#[test]
fn two_regions_with_one_answer_move_no_traffic() {
    assert!(alike("x", &traffic(alias(EAST), alias(EAST))).is_some());
    assert!(alike("x", &traffic(alias(EAST), alias(WEST))).is_none());
}
