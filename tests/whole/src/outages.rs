//! What the mesh does by itself: it leaves a region only when that was really lost to all others, and for long enough.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::ids::{RegionId, RunId};
use mesh_core::run::{Cause, Run, RunState};

use crate::judge::Judge;
use crate::service::SUSTAINED;

/// What nobody may have asked about: a question is asked once in each second, at any moment of it.
const UNSEEN: Duration = Duration::from_secs(2);
/// An answer has a vote for 3.5 s, on its way to the leader and its log.
const OLD: Duration = Duration::from_secs(6);
/// After the proof that a region is closed, for a region that comes back then.
const GRANTED_WITHIN: Duration = Duration::from_secs(1);
/// Outages are noted once in a step.
const ROUNDING: Duration = Duration::from_millis(10);

#[derive(Default)]
pub struct Outages {
    /// Since when and until when each region was last out of reach.
    last: BTreeMap<RegionId, (Duration, Duration)>,
    started: BTreeSet<RunId>,
    done: BTreeSet<RunId>,
}

impl Outages {
    /// The region was out of reach in between, but for gaps in which nobody may have asked: it acknowledged nothing.
    pub fn covers(&self, region: &RegionId, from: Duration, to: Duration) -> bool {
        self.last.get(region).is_some_and(|(since, until)| *since <= from && until.saturating_add(GRANTED_WITHIN) >= to)
    }
}

impl Judge {
    /// These regions are lost, or parted from all others.
    pub fn out_of_reach<'r>(&mut self, at: Duration, regions: impl Iterator<Item = &'r RegionId>) {
        for region in regions {
            let (since, until) = self.outages.last.entry(region.clone()).or_insert((at, at));
            if at > *until + UNSEEN {
                *since = at;
            }
            *until = at;
        }
    }

    pub fn look_at_automatic(&mut self, at: Duration, run: &Run) {
        let Cause::Automatic { .. } = run.cause else { return };
        if self.outages.started.insert(run.id.clone()) {
            self.count("automatic start");
            self.look_at_start(at, run);
        }
        if run.state == RunState::Done && self.outages.done.insert(run.id.clone()) {
            self.count("moved by itself");
        }
    }

    fn look_at_start(&mut self, at: Duration, run: &Run) {
        let (id, from) = (&run.id, &run.plan.from);
        let last = self.outages.last.get(from).copied();
        let lost = |(since, until): (Duration, Duration)| until + ROUNDING >= since + SUSTAINED && at <= until + OLD;
        if !last.is_some_and(lost) {
            let text = format!("{id} leaves {from} by itself, which was last out of reach at {last:?}");
            self.violated(at, "ObserverQuorum", text);
        }
        // The cool-down is longer than any seed, and nobody acknowledges.
        if self.outages.started.len() > 1 {
            self.violated(at, "NoFlap", format!("{id} is the second automatic run"));
        }
    }
}
