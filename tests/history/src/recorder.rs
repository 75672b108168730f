//! Lines from many clients at once. An operation is recorded as invoked before anything of it is sent, and as returned after
//! its answer is there: so what the history calls concurrent may have been in order, and never the other way round.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::line::{Line, Op, Outcome};

#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Line>>);

impl Recorder {
    pub fn invoke(&self, process: u64, object: &str, op: Op) {
        self.lines().push(Line::Invoke { process, object: object.to_owned(), op });
    }

    pub fn answer(&self, process: u64, object: &str, outcome: Outcome) {
        self.lines().push(Line::Return { process, object: object.to_owned(), outcome });
    }

    pub fn note(&self, what: impl Into<String>) {
        self.lines().push(Line::Note(what.into()));
    }

    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *self.lines())
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
