//! Linearizable: who was told of an entry is followed by nobody who is told of less, and each answer is the state at the
//! entry that it names. An answer that may be older says so.
//!
//! Every operation takes effect at one entry of the log, so that a history is linearizable if the entries respect the
//! order in which operations ended and others began.

use crate::people::Sight;
use crate::world::World;

impl World {
    /// `before`: the newest entry that anybody had been told of when this was asked.
    pub fn judge_sight(&mut self, before: usize, sight: Sight) {
        let Sight { index, digest, stale } = sight;
        if index > self.judge.committed.len() {
            self.violated("Linearizable", format!("told of entry {index}, which nobody has committed"));
            return;
        }
        if stale {
            if index < before {
                self.reached("a stale answer was stale");
            }
        } else if index < before {
            self.violated("Linearizable", format!("told of entry {index} after others were told of {before}"));
        } else {
            self.reached("a default answer");
        }
        if digest != 0 && self.judge.results.digest(index).is_some_and(|known| known != 0 && known != digest) {
            self.violated("Linearizable", format!("told of another state than that of entry {index}"));
        }
    }
}
