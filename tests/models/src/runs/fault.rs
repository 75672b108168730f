//! Where a fault strikes.

use mesh_core::ids::StepId;
use mesh_core::plan::{Action, Plan};
use mesh_core::run::Direction;

/// The moment in the carrying out of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    BeforeIntent,
    AfterIntent,
    AfterJournal,
    AfterCall,
    AfterOutcome,
}

/// Who goes on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The process that was struck begins again, under the leader of before.
    SameLeader,
    /// A new leader, and the process that was struck begins again.
    NewLeader,
    /// Whoever was struck stands still until others have taken over, then goes on where it was.
    StaleExecutor,
}

/// What becomes of the step's first call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Accepted,
    /// Throttled.
    Error,
    TimeoutApplied,
    TimeoutNotApplied,
    /// It arrives when nobody waits for it any more, but before the provider would refuse it as too old.
    TimeoutAppliedLate,
}

/// A step in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub step: StepId,
    pub direction: Direction,
    pub calls: bool,
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub place: Place,
    pub point: Point,
    pub who: Who,
    pub call: Call,
}

pub const POINTS: [Point; 5] =
    [Point::BeforeIntent, Point::AfterIntent, Point::AfterJournal, Point::AfterCall, Point::AfterOutcome];
pub const WHO: [Who; 3] = [Who::SameLeader, Who::NewLeader, Who::StaleExecutor];
pub const CALLS: [Call; 5] =
    [Call::Accepted, Call::Error, Call::TimeoutApplied, Call::TimeoutNotApplied, Call::TimeoutAppliedLate];

/// Everything in the plan that an agent carries out in this direction.
pub fn places(plan: &Plan, direction: Direction) -> Vec<Place> {
    let action = |step: &mesh_core::plan::Step| match direction {
        Direction::Forward => Some(step.action.clone()),
        Direction::Undo => step.undo.clone(),
    };
    let agents = plan.steps.iter().filter_map(|step| Some((step, action(step)?)));
    agents
        .filter(|(_, action)| *action != Action::Grant)
        .map(|(step, action)| Place { step: step.id.clone(), direction, calls: action.mutates() })
        .collect()
}

impl Place {
    /// Every fault that can strike here. A step that sends no call has no moment around one.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for point in POINTS {
            let around_call = matches!(point, Point::AfterJournal | Point::AfterCall);
            for who in WHO.into_iter().filter(|_| self.calls || !around_call) {
                for call in CALLS.into_iter().filter(|call| self.calls || *call == Call::Accepted) {
                    faults.push(Fault { place: self.clone(), point, who, call });
                }
            }
        }
        faults
    }
}

/// A fault of the plan, and whether it has struck.
#[derive(Clone, Debug)]
pub struct Armed {
    pub fault: Fault,
    pub struck: bool,
    /// The step's first call has gone its way.
    pub called: bool,
}

impl Armed {
    pub const fn new(fault: Fault) -> Self {
        let called = !fault.place.calls;
        Self { fault, struck: false, called }
    }

    pub fn is_at(&self, step: &StepId, direction: Direction) -> bool {
        self.fault.place.step == *step && self.fault.place.direction == direction
    }
}
