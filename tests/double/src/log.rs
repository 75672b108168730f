//! The effect log: every API request with what came of it, also of those whose reply nobody got.

use serde::Serialize;
use serde_json::Value;

/// Reaching it ends the log's completeness, so it is said loudly.
const EFFECTS_MAX: usize = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Applied,
    Refused,
    /// It never reached the service.
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    Sent,
    Lost,
}

#[derive(Clone, Debug, Serialize)]
pub struct Effect {
    pub seq: u64,
    pub received_ms: u64,
    /// When it was applied, refused or dropped.
    pub at_ms: u64,
    pub service: String,
    pub region: String,
    pub operation: String,
    pub resource: String,
    pub parameters: Value,
    pub outcome: Outcome,
    pub error: Option<String>,
    pub reply: Delivery,
    pub mutating: bool,
    pub access_key: String,
    /// The fault that had a hand in it.
    pub fault: Option<u64>,
}

#[derive(Debug, Default)]
pub struct EffectLog {
    all: Vec<Effect>,
}

impl EffectLog {
    pub fn add(&mut self, mut effect: Effect) -> u64 {
        effect.seq = u64::try_from(self.all.len()).unwrap_or(u64::MAX) + 1;
        let seq = effect.seq;
        if self.all.len() < EFFECTS_MAX {
            self.all.push(effect);
        } else {
            tracing::error!(seq, "the effect log is full: it is no longer complete");
        }
        seq
    }

    pub fn reply_was_lost(&mut self, seq: u64) {
        let at = usize::try_from(seq).ok().and_then(|seq| seq.checked_sub(1));
        if let Some(effect) = at.and_then(|at| self.all.get_mut(at)) {
            effect.reply = Delivery::Lost;
        }
    }

    pub fn all(&self) -> &[Effect] {
        &self.all
    }
}
