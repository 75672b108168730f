use mesh_double::error::ApiError;
use mesh_double::wire::Node;
use mesh_double::wire::request::Service;
use mesh_double::world::{RegionState, World};

use crate::asking::{EAST, START_MS, WEST, WITNESS, ask, world};

const LIFETIME_MS: u64 = 300_000;

fn publish(world: &mut World, after_ms: u64, region: &str, key: &str) -> Result<Node, ApiError> {
    let input = Node::map()
        .with("TopicArn", format!("arn:aws:sns:{region}:123456789012:maip-prod-alerts.fifo"))
        .with("Message", "failed over")
        .with("MessageGroupId", "maip")
        .with("MessageDeduplicationId", key);
    ask(world, after_ms, (Service::Sns, region), "Publish", input)
}

fn arrived(world: &World) -> usize {
    world.sqs.queues.values().map(|queue| queue.arrived.len()).sum()
}

#[test]
fn a_deduplication_id_is_remembered_for_five_minutes_from_its_first_use() {
    let mut world = world();
    for (after_ms, count) in [(0, 1), (1, 1), (LIFETIME_MS - 1, 1), (LIFETIME_MS, 2)] {
        publish(&mut world, after_ms, EAST, "k").expect("a repetition is accepted, too");
        assert_eq!(arrived(&world), count, "{after_ms} ms");
    }
}

#[test]
fn the_queue_knows_a_repetition_from_another_topic() {
    let mut world = world();
    publish(&mut world, 0, EAST, "k").expect("published");
    publish(&mut world, 1, WEST, "k").expect("published");
    publish(&mut world, 2, WEST, "l").expect("published");
    assert_eq!(arrived(&world), 2);
}

#[test]
fn a_notice_for_a_dead_region_is_delivered_when_it_lives_again() {
    let mut world = world();
    world.set_region(WITNESS, RegionState::Down);
    publish(&mut world, 0, EAST, "k").expect("published");
    world.advance(START_MS + 60_000);
    assert_eq!(arrived(&world), 0);
    world.set_region(WITNESS, RegionState::Up);
    world.advance(START_MS + 61_000);
    assert_eq!(arrived(&world), 1);
}
