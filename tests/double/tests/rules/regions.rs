use mesh_double::world::RegionState;

use crate::asking::{EAST, WEST, WITNESS, world};

#[test]
fn a_partition_leaves_a_region_to_those_inside() {
    let mut world = world();
    world.set_region(EAST, RegionState::Partitioned);
    assert!(world.reaches(Some(EAST), EAST));
    for (from, to) in [(Some(WEST), EAST), (None, EAST), (Some(EAST), WEST), (Some(EAST), WITNESS)] {
        assert!(!world.reaches(from, to), "{from:?} to {to}");
    }
    assert!(world.reaches(Some(WEST), WITNESS));
}

#[test]
fn nobody_reaches_a_dead_region_or_calls_from_it() {
    let mut world = world();
    world.set_region(EAST, RegionState::Down);
    for (from, to) in [(Some(EAST), EAST), (Some(WEST), EAST), (None, EAST), (Some(EAST), WEST)] {
        assert!(!world.reaches(from, to), "{from:?} to {to}");
    }
    assert!(world.reaches(None, WEST));
}

#[test]
fn an_unknown_region_or_setting_is_refused() {
    let mut world = world();
    assert!(!world.set_region("mars", RegionState::Down));
    assert!(world.settings.patched(&serde_json::json!({ "promotion": 1 })).is_err());
    assert!(world.settings.patched(&serde_json::json!({ "metric_period_ms": 0 })).is_err());
    let changed = world.settings.patched(&serde_json::json!({ "promotion_ms": 7 })).expect("a setting");
    assert_eq!(changed.promotion_ms, 7);
}
