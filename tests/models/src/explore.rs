//! Breadth first over every state, so that the trace of a violation is a shortest one.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use crate::world::{Event, World};

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Found {
    pub states: usize,
    pub transitions: usize,
    /// The events that lead to two writers.
    pub violation: Option<Vec<Event>>,
}

/// Visits every state that can be reached. `None` if there are more than `states_max`.
pub fn explore(start: World, states_max: usize) -> Option<Found> {
    let mut origins: HashMap<u64, Option<(u64, Event)>> = HashMap::new();
    let mut queue = VecDeque::new();
    let mut transitions = 0;
    origins.insert(fingerprint(&start), None);
    queue.push_back(start);
    while let Some(world) = queue.pop_front() {
        let here = fingerprint(&world);
        if world.writers() > 1 {
            let violation = Some(trace(&origins, here));
            return Some(Found { states: origins.len(), transitions, violation });
        }
        for event in world.events() {
            let Some(next) = world.after(&event) else { continue };
            transitions += 1;
            if let Entry::Vacant(place) = origins.entry(fingerprint(&next)) {
                place.insert(Some((here, event)));
                queue.push_back(next);
            }
        }
        if origins.len() > states_max {
            return None;
        }
    }
    Some(Found { states: origins.len(), transitions, violation: None })
}

/// 64 bits: with a million states, two of them collide once in thirty million explorations.
fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

fn trace(origins: &HashMap<u64, Option<(u64, Event)>>, mut at: u64) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(Some((before, event))) = origins.get(&at) {
        events.push(event.clone());
        at = *before;
    }
    events.reverse();
    events
}
