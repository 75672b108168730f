//! What this leader last made of each service: soft state of one term, for `status` and for what is due.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::decide::Judgement;
use mesh_core::ids::ServiceId;
use mesh_core::time::Timestamp;

/// A wait for a moment that has come already, or comes at once.
const LOOK_SOON: Duration = Duration::from_millis(10);

/// At most one a service of the state.
#[derive(Debug, Default)]
pub struct Judgements(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    /// None while this node does not lead.
    led_since: Option<Timestamp>,
    of: BTreeMap<ServiceId, Arc<Judgement>>,
}

impl Judgements {
    pub fn begin(&self, led_since: Timestamp) {
        *self.lock() = Memory { led_since: Some(led_since), of: BTreeMap::new() };
    }

    pub fn end(&self) {
        *self.lock() = Memory::default();
    }

    /// Since when this node leads, as far as it judges.
    pub fn led_since(&self) -> Option<Timestamp> {
        self.lock().led_since
    }

    pub fn of(&self, service: &ServiceId) -> Option<Arc<Judgement>> {
        self.lock().of.get(service).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Judgement>> {
        self.lock().of.values().cloned().collect()
    }

    /// Returns the one before it.
    pub fn keep(&self, judgement: Judgement) -> Option<Arc<Judgement>> {
        self.lock().of.insert(judgement.service.clone(), Arc::new(judgement))
    }

    pub fn forget(&self, service: &ServiceId) {
        self.lock().of.remove(service);
    }

    /// Those that may be out of date: their moment has come, or they are old.
    pub fn due(&self, now: Timestamp, age_max: Duration) -> Vec<ServiceId> {
        let memory = self.lock();
        let due = memory.of.values().filter(|judgement| next_look(judgement, age_max) <= now);
        due.map(|judgement| judgement.service.clone()).collect()
    }

    pub fn until_next_look(&self, now: Timestamp, age_max: Duration) -> Duration {
        let memory = self.lock();
        let next = memory.of.values().map(|judgement| next_look(judgement, age_max)).min();
        next.map_or(age_max, |next| next.since(now)).clamp(LOOK_SOON, age_max)
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn next_look(judgement: &Judgement, age_max: Duration) -> Timestamp {
    let oldest = judgement.at.plus(age_max);
    judgement.next_look.unwrap_or(oldest).min(oldest)
}

#[cfg(test)]
mod tests {
    use mesh_core::decide::Conclusion;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn judgement(service: &str, made: u64, next_look: Option<u64>) -> Judgement {
        Judgement {
            service: service.parse().expect("a name"),
            at: at(made),
            regions: BTreeMap::new(),
            rules: Vec::new(),
            conclusion: Conclusion::Nothing { text: "well".to_owned() },
            next_look: next_look.map(at),
        }
    }

    #[test]
    fn a_service_is_judged_when_its_judgement_says_so_and_once_a_second_in_any_case() {
        let judgements = Judgements::default();
        judgements.begin(at(0));
        judgements.keep(judgement("soon", 1000, Some(1200)));
        judgements.keep(judgement("later", 1000, Some(60_000)));
        let due = |now| judgements.due(at(now), SECOND).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(due(1199).is_empty());
        assert_eq!(due(1200), ["soon"]);
        assert_eq!(due(2000), ["later", "soon"]);
        assert_eq!(judgements.until_next_look(at(1050), SECOND), Duration::from_millis(150));
        assert_eq!(judgements.until_next_look(at(9000), SECOND), LOOK_SOON, "never without a pause");
    }

    #[test]
    fn what_an_earlier_term_judged_is_forgotten() {
        let judgements = Judgements::default();
        judgements.begin(at(0));
        judgements.keep(judgement("maip", 1, None));
        judgements.end();
        assert!(judgements.all().is_empty());
        assert_eq!(judgements.led_since(), None);
    }
}
