//! OneEffectPerKey: however often a call is sent, its key has one effect.

use std::collections::BTreeMap;

use crate::world::World;

#[derive(Default)]
pub struct Once {
    /// Promotions that began, batches that were applied, messages that were delivered.
    effects: BTreeMap<String, u32>,
    /// Calls that arrived.
    arrived: BTreeMap<String, u32>,
}

impl World {
    pub fn judge_arrival(&mut self, key: &str) {
        let arrived = self.judge.once.arrived.entry(key.to_owned()).or_default();
        *arrived += 1;
        if *arrived == 2 {
            self.reached("a call arrived twice");
        }
    }

    pub fn judge_once(&mut self, key: &str, what: &str) {
        let effects = self.judge.once.effects.entry(key.to_owned()).or_default();
        *effects += 1;
        if *effects > 1 {
            let text = format!("{what} for {key}, {effects} times");
            self.violated("OneEffectPerKey", text);
        }
    }

    /// The key of the effect, without what is of one attempt.
    pub fn judge_notice(&mut self, key: &str) {
        self.reached("a notice was delivered");
        self.judge_once(key, "a notice was delivered");
    }

    /// What somebody else undid may have to be done again.
    pub fn judge_undone(&mut self) {
        self.judge.once.effects.retain(|key, _| !key.contains("route53"));
    }
}
