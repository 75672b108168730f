//! What this node knows of the outside, as the core judges it.

use std::collections::BTreeMap;

use mesh_core::detect::{Evidence, Observer, Observers, Sight};
use mesh_core::fleet::Fleet;
use mesh_core::ids::{AgentId, ServiceId};
use mesh_core::time::{Timestamp, duration_millis};
use tokio::time::Instant;

use crate::node::Node;

/// One look at all observers, for the judging of many services.
pub struct Snapshot {
    now: Timestamp,
    led_since: Timestamp,
    /// The same moment as `now`.
    instant: Instant,
    observers: Observers,
}

impl Snapshot {
    /// Not while the state is looked at: the mesh's time is read from there, too.
    pub fn take(node: &Node, led_since: Timestamp) -> Self {
        // The instant before the mesh's time: ages round up.
        let (instant, now) = (Instant::now(), node.now());
        let observers = node.replica.with_fleet(|fleet| observers(node, fleet, now, instant));
        Self { now, led_since, instant, observers: observers.into() }
    }

    /// What was told of `services`.
    pub fn evidence<'a>(&self, node: &Node, services: impl IntoIterator<Item = &'a ServiceId>) -> Evidence {
        let sights_of = |service| node.signals.sights_of(service, self.now, self.instant);
        let sights: Vec<Sight> = services.into_iter().flat_map(sights_of).collect();
        Evidence::new(self.now, self.led_since, self.observers.clone(), sights)
    }
}

/// Every registered observer. Asked for with every look, so nothing is copied but what is returned.
fn observers(node: &Node, fleet: &Fleet, now: Timestamp, instant: Instant) -> BTreeMap<AgentId, Observer> {
    let (heard, doubts) = (node.sessions.heard_of(fleet.agents.keys()), node.signals.doubts());
    let registered = fleet.agents.iter().zip(heard).map(|((agent, record), heard)| {
        let heard_at = heard.map(|heard| {
            let ago = duration_millis(instant.saturating_duration_since(heard));
            Timestamp::from_millis(now.as_millis().saturating_sub(ago))
        });
        let doubt = doubts.get(agent).copied();
        (agent.clone(), Observer { region: record.region.clone(), heard_at, doubt })
    });
    registered.collect()
}
