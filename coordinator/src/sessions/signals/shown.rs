//! What people are shown of the signals when there are too many of them for one answer: of each subject equally many, and
//! those first that are not well.

use std::collections::BTreeMap;

use mesh_core::ids::ServiceId;
use mesh_core::signal::{Reading, Signal};

use super::held::{Held, Key};
use super::{Signals, State};

#[derive(Default)]
struct Views<'a> {
    ailing: Vec<&'a Held>,
    well: Vec<&'a Held>,
}

impl Signals {
    /// At most `max`, and how many there are beside them.
    pub fn shown(&self, max: usize) -> (Vec<Signal>, usize) {
        let state = self.lock();
        if state.total <= max {
            drop(state);
            return (self.all(), 0);
        }
        let subjects = by_subject(&state);
        let each = (max / subjects.len().max(1)).max(1);
        let views = subjects.values().flat_map(|views| views.ailing.iter().chain(&views.well).take(each));
        let shown: Vec<Signal> = views.take(max).map(|held| held.signal().clone()).collect();
        let left_out = state.total.saturating_sub(shown.len());
        (shown, left_out)
    }
}

fn by_subject(state: &State) -> BTreeMap<(&ServiceId, &Key), Views<'_>> {
    let mut subjects: BTreeMap<(&ServiceId, &Key), Views<'_>> = BTreeMap::new();
    for (service, held) in state.by_observer.values().flat_map(|of| &of.services) {
        for (key, held) in held {
            let views = subjects.entry((service, key)).or_default();
            match held.signal().reading {
                Reading::Failing { .. } | Reading::Unknown { .. } => views.ailing.push(held),
                _ => views.well.push(held),
            }
        }
    }
    subjects
}
