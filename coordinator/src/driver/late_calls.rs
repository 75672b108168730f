//! Calls that may still arrive, waited out by this node's own monotonic clock too.
//!
//! The state says until when a call may arrive, by the mesh's time; and a leader that began with its clock minutes ahead
//! would take that for past. So every node, leading or not, notes how long each call had to go when it first saw it, and
//! as a leader opens nothing against it before so much time has really passed here. A node that was up all the while
//! waits no longer for it; one that starts counts from its start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_core::fleet::{Command, Fleet, OpenCall};
use mesh_core::ids::{Generation, ServiceId};
use mesh_core::run::Direction;
use mesh_core::time::Timestamp;
use tokio::time::Instant;

use crate::node::Node;

/// How late a call may be seen; the wait is longer by it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

type Key = (ServiceId, String, Generation);

/// No more than the open calls of the state, and those that were among them until they had run out here.
#[derive(Debug, Default)]
pub struct LateCalls(Mutex<BTreeMap<Key, (Instant, Timestamp)>>);

impl LateCalls {
    pub fn note(&self, fleet: &Fleet, now: Instant) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.retain(|(service, resource, generation), (end, _)| {
            let listed = fleet.services.get(service).is_some_and(|service| {
                service.open_calls.iter().any(|call| call.resource == *resource && call.generation == *generation)
            });
            listed || *end > now
        });
        for (id, service) in &fleet.services {
            for call in &service.open_calls {
                let left = call.until.since(fleet.now);
                let key = (id.clone(), call.resource.clone(), call.generation);
                // The state counts down what is left of a known call; a call that was sent again begins anew.
                let (end, until) = (now + left, call.until);
                let known = ends.entry(key).or_insert((end, until));
                if known.1 < until {
                    *known = (end, until);
                }
            }
        }
    }

    /// Must this command wait for a call that the state may hold for past?
    pub fn bars(&self, fleet: &Fleet, command: &Command, now: Instant) -> bool {
        let Command::OpenIntent { run, step, direction, .. } = command else { return false };
        let Some(run) = fleet.runs.get(run) else { return false };
        let Some(step) = run.plan.step(step) else { return false };
        let action = match direction {
            Direction::Forward => Some(&step.action),
            Direction::Undo => step.undo.as_ref(),
        };
        let Some(action) = action.filter(|action| action.mutates()) else { return false };
        let generation = match direction {
            Direction::Forward => run.plan.generation,
            Direction::Undo => run.generation(),
        };
        let resource = action.resource(&step.region);
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.iter().any(|((service, called, at), (end, _))| {
            let call = OpenCall { resource: called.clone(), generation: *at, until: Timestamp::default() };
            *service == run.plan.service && *end > now && call.bars(&resource, generation)
        })
    }
}

/// Runs until the node drains.
pub async fn watch(node: Arc<Node>, calls: Arc<LateCalls>) {
    let mut applied = node.replica.applied();
    loop {
        applied.mark_unchanged();
        node.replica.with_fleet(|fleet| calls.note(fleet, Instant::now()));
        tokio::select! {
            () = node.draining.cancelled() => return,
            changed = applied.changed() => if changed.is_err() { return },
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_millis(minutes * 60_000)
    }

    fn left(calls: &LateCalls, now: Instant) -> Vec<u64> {
        let ends = calls.0.lock().expect("no panic");
        ends.values().map(|(end, _)| end.saturating_duration_since(now).as_secs() / 60).collect()
    }

    fn call(until: u64) -> OpenCall {
        OpenCall { resource: "rds/us-east-1/db".to_owned(), generation: Generation(3), until: at(until) }
    }

    /// A state at minute 100 with one call that may arrive until 110.
    fn fleet() -> Fleet {
        let mut fleet = Fleet { now: at(100), ..Fleet::default() };
        let mut service: mesh_core::fleet::Service = service();
        service.open_calls = vec![call(110)];
        fleet.services.insert(service.manifest.service.clone(), service);
        fleet
    }

    fn service() -> mesh_core::fleet::Service {
        let region = |name: &str| mesh_core::ids::RegionId::new(name).expect("a name");
        let manifest = mesh_core::manifest::Manifest {
            service: ServiceId::new("maip").expect("a name"),
            description: String::new(),
            writer: mesh_core::manifest::WriterMode::Multi,
            regions: BTreeMap::new(),
            depends_on: Default::default(),
            objectives: mesh_core::manifest::Objectives { rto: MINUTE, rpo: MINUTE },
            checks: Vec::new(),
            resources: Vec::new(),
            traffic: Vec::new(),
            verify: Vec::new(),
            notices: Vec::new(),
            policy: Default::default(),
            safety: Vec::new(),
            fence: Default::default(),
        };
        mesh_core::fleet::Service {
            manifest,
            version: 1,
            source: String::new(),
            applied_by: String::new(),
            applied_at: at(1),
            generation: Generation(3),
            intent: mesh_core::ids::IntentSeq(3),
            active: region("us-east-1"),
            authority: BTreeMap::new(),
            current_run: None,
            open_calls: Vec::new(),
            armed: true,
            asks: Vec::new(),
            lease_longest: MINUTE,
            automatic_at: None,
            acknowledged_at: None,
            freeze: None,
            noted: None,
        }
    }

    #[test]
    fn a_node_that_starts_with_its_clock_ahead_waits_as_long_as_was_left() {
        let (calls, start, mut fleet) = (LateCalls::default(), Instant::now(), fleet());
        calls.note(&fleet, start);
        // The leader's clock is an hour ahead, and the state now says that the call is long past.
        fleet.now = at(160);
        calls.note(&fleet, start + MINUTE);
        assert_eq!(left(&calls, start + MINUTE), [9]);
        fleet.services.values_mut().for_each(|service| service.open_calls.clear());
        calls.note(&fleet, start + 2 * MINUTE);
        assert_eq!(left(&calls, start + 2 * MINUTE), [8], "also once the state has forgotten it");
        calls.note(&fleet, start + 11 * MINUTE);
        assert!(left(&calls, start + 11 * MINUTE).is_empty());
    }

    #[test]
    fn a_call_that_was_seen_all_the_while_is_waited_for_no_longer() {
        let (calls, start, mut fleet) = (LateCalls::default(), Instant::now(), fleet());
        for minute in 0..10 {
            fleet.now = at(100 + u64::from(minute));
            calls.note(&fleet, start + minute * MINUTE);
            assert_eq!(left(&calls, start + minute * MINUTE), [u64::from(10 - minute)]);
        }
    }

    #[test]
    fn a_call_that_is_sent_again_is_waited_for_anew() {
        let (calls, start, mut fleet) = (LateCalls::default(), Instant::now(), fleet());
        calls.note(&fleet, start);
        fleet.now = at(105);
        fleet.services.values_mut().for_each(|service| service.open_calls = vec![call(115)]);
        calls.note(&fleet, start + 5 * MINUTE);
        assert_eq!(left(&calls, start + 5 * MINUTE), [10]);
    }
}
