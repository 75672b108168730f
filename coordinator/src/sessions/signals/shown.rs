//! What people are shown of the signals when there are too many of them for one answer: of each subject equally many, and
//! those first that are not well.

use mesh_core::signal::{Reading, Signal};

use super::held::Held;
use super::{Signals, Subject};

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
        let subjects: Vec<Views<'_>> = state.subjects().map(Views::of).collect();
        let each = (max / subjects.len().max(1)).max(1);
        let views = subjects.iter().flat_map(|views| views.ailing.iter().chain(&views.well).take(each));
        let shown: Vec<Signal> = views.take(max).map(|held| held.signal().clone()).collect();
        let left_out = state.total.saturating_sub(shown.len());
        (shown, left_out)
    }
}

impl<'a> Views<'a> {
    fn of(subject: &'a Subject) -> Self {
        let ails = |held: &&Held| matches!(held.signal().reading, Reading::Failing { .. } | Reading::Unknown { .. });
        let (ailing, well) = subject.by_observer.values().partition(ails);
        Self { ailing, well }
    }
}
