//! The newest signal of each (observer, service, region, subject): soft state, in this node's memory only.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mesh_core::ids::{AgentId, RegionId, ServiceId};
use mesh_core::signal::{Reading, Signal};

/// Signals kept of one agent: 64 services with 8 subjects.
pub const SIGNALS_PER_AGENT_MAX: usize = 512;
/// Signals kept of all agents.
pub const SIGNALS_MAX: usize = 16_384;
/// Longest reason and subject that is kept; the rest is cut off.
pub const TEXT_MAX: usize = 256;

type Key = (ServiceId, RegionId, String);

#[derive(Default)]
pub struct Signals {
    by_observer: Mutex<BTreeMap<AgentId, BTreeMap<Key, Signal>>>,
}

impl Signals {
    pub fn record(&self, mut signal: Signal) {
        shorten(&mut signal.subject);
        if let Reading::Failing { reason, .. } | Reading::Unknown { reason } = &mut signal.reading {
            shorten(reason);
        }
        let mut all = self.by_observer.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = all.values().map(BTreeMap::len).sum();
        let of_agent = all.entry(signal.observer.clone()).or_default();
        let key = (signal.service.clone(), signal.region.clone(), signal.subject.clone());
        let known = of_agent.get(&key);
        if known.is_some_and(|known| known.at > signal.at) {
            return;
        }
        if known.is_none() && (of_agent.len() >= SIGNALS_PER_AGENT_MAX || total >= SIGNALS_MAX) {
            let oldest = of_agent.iter().min_by_key(|(_, signal)| signal.at).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            of_agent.remove(&oldest);
        }
        of_agent.insert(key, signal);
    }

    pub fn all(&self) -> Vec<Signal> {
        let all = self.by_observer.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().flat_map(BTreeMap::values).cloned().collect()
    }

    pub fn of_service(&self, service: &ServiceId) -> Vec<Signal> {
        let all = self.by_observer.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().flat_map(BTreeMap::values).filter(|signal| signal.service == *service).cloned().collect()
    }
}

fn shorten(text: &mut String) {
    if text.len() > TEXT_MAX {
        *text = text.chars().take(TEXT_MAX / 4).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_core::time::Timestamp;

    use super::*;

    fn signal(observer: &str, subject: &str, at: u64) -> Signal {
        Signal {
            observer: observer.parse().expect("an agent"),
            observer_region: "us-west-2".parse().expect("a region"),
            service: "maip".parse().expect("a service"),
            region: "us-east-1".parse().expect("a region"),
            subject: subject.to_owned(),
            reading: Reading::ReplicaLag { lag: Duration::from_millis(at) },
            at: Timestamp::from_millis(at),
        }
    }

    #[test]
    fn the_newest_signal_of_a_subject_replaces_the_older_and_never_the_reverse() {
        let signals = Signals::default();
        signals.record(signal("usw2-a", "database", 20));
        signals.record(signal("usw2-a", "database", 10));
        signals.record(signal("usw2-b", "database", 5));
        let at: Vec<u64> = signals.all().iter().map(|signal| signal.at.as_millis()).collect();
        assert_eq!(at, [20, 5]);
    }

    #[test]
    fn one_agent_cannot_fill_the_memory() {
        let signals = Signals::default();
        for n in 0..2 * SIGNALS_PER_AGENT_MAX as u64 {
            signals.record(signal("usw2-a", &format!("check-{n}"), n));
        }
        let kept = signals.all();
        assert_eq!(kept.len(), SIGNALS_PER_AGENT_MAX);
        assert!(kept.iter().all(|signal| signal.at.as_millis() >= SIGNALS_PER_AGENT_MAX as u64), "the oldest go first");
    }
}
