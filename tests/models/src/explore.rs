//! The whole space of a scenario, visited by stateright, breadth first: the trace of a violation is a shortest one.

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::world::{Event, World};

const ONE_WRITER: &str = "at most one region writes";
/// A space in which none of this ever comes about shows nothing.
const SITUATIONS: [(&str, Seen); 3] = [
    ("a run is granted", |_, world| world.is_moved()),
    ("a hold goes on", |_, world| world.is_held()),
    ("a region's right ends", |_, world| world.is_ending()),
];

type Seen = fn(&Space, &World) -> bool;

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Different ones.
    pub states: usize,
    pub transitions: usize,
    /// Events from the first state to the last that was found.
    pub depth: usize,
    /// The events that lead to two writers.
    pub violation: Option<Vec<Event>>,
    /// Situations that never came about. All of the space has been seen, unless there is a violation.
    pub never: Vec<&'static str>,
}

struct Space(World);

impl Model for Space {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![self.0.clone()]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        events.extend(world.events());
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        world.after(&event)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let one_writer: Seen = |_, world| world.writers() <= 1;
        let situations = SITUATIONS.into_iter().map(|(name, seen)| Property::sometimes(name, seen));
        std::iter::once(Property::always(ONE_WRITER, one_writer)).chain(situations).collect()
    }
}

/// Visits every state that can be reached. `None` if there are more transitions than that.
pub fn explore(start: World, transitions_max: usize) -> Option<Found> {
    let checker = Space(start).checker().finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.target_state_count(transitions_max).spawn_bfs().join();
    let violation = checker.discovery(ONE_WRITER).map(|path| path.into_actions());
    if violation.is_none() && checker.state_count() >= transitions_max {
        return None;
    }
    let never = SITUATIONS.iter().map(|(name, _)| *name).filter(|name| checker.discovery(name).is_none());
    Some(Found {
        states: checker.unique_state_count(),
        // No transition leads to the first.
        transitions: checker.state_count().saturating_sub(1),
        depth: checker.max_depth(),
        never: never.collect(),
        violation,
    })
}
