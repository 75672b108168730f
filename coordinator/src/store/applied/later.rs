//! Writes to sled behind the commits.
//!
//! Nothing that was acknowledged depends on sled, so nobody waits for it: what was applied is gathered here, and written
//! as one batch a moment later. A crash loses at most that moment of it, and the log has it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mesh_core::ids::Hash32;

use super::super::StoreError;
use super::super::fatal::Fatal;
use super::super::history::Point;
use super::super::machine::{Changes, Summary};

/// What is gathered for so long is written at once. A write costs sled the same few system calls for one command or
/// a hundred.
const LINGER: Duration = Duration::from_millis(20);
/// Beyond this, applying waits for the disk.
const PENDING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A record beside its command.
const RECORD_BYTES: usize = 512;

/// The changes up to a summary.
pub struct Batch {
    pub changes: Changes,
    pub summary: Summary,
    pub base: Point,
    pub digest: Hash32,
}

impl Batch {
    fn bytes(&self) -> usize {
        self.changes.audit.iter().map(|record| record.command.len() + RECORD_BYTES).sum()
    }

    /// One batch that does what `self` and then `next` do.
    fn then(mut self, next: Self) -> Self {
        self.changes.entities.extend(next.changes.entities);
        self.changes.audit.extend(next.changes.audit);
        self.changes.retired.extend(next.changes.retired);
        Self { changes: self.changes, ..next }
    }
}

pub struct Later {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    fatal: Fatal,
}

#[derive(Default)]
struct State {
    pending: Option<Batch>,
    bytes: usize,
    /// Batches that were added, and how many of them are written.
    added: u64,
    written: u64,
    /// Somebody waits for everything to be written.
    hurried: usize,
    closed: bool,
    ended: bool,
}

impl Later {
    pub fn start(
        fatal: Fatal,
        write: impl Fn(&Batch) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Self, String> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), fatal });
        let running = Ending(Arc::clone(&shared));
        let writer = std::thread::Builder::new().name("applied-state".to_owned()).spawn(move || running.0.run(&write));
        Ok(Self { shared, writer: Some(writer.map_err(|error| error.to_string())?) })
    }

    pub fn add(&self, batch: Batch) -> Result<(), StoreError> {
        let bytes = batch.bytes();
        let full = |state: &mut State| state.bytes > PENDING_BYTES_MAX && !state.ended;
        let mut state = self.shared.wait_while(self.shared.lock(), full);
        if state.ended {
            return Err(StoreError::Failed("the applied state is not written any more".to_owned()));
        }
        state.bytes += bytes;
        state.added += 1;
        state.pending = Some(match state.pending.take() {
            Some(before) => before.then(batch),
            None => batch,
        });
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Returns when everything that was added before is written.
    pub fn settle(&self) {
        let mut state = self.shared.lock();
        state.hurried += 1;
        let upto = state.added;
        self.shared.changed.notify_all();
        let under_way = |state: &mut State| state.written < upto && !state.ended;
        self.shared.wait_while(state, under_way).hurried -= 1;
    }
}

impl Drop for Later {
    /// What was added is written.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        if let Some(writer) = self.writer.take() {
            // Its panic has been told already.
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, condition).unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, write: &impl Fn(&Batch) -> Result<(), StoreError>) {
        loop {
            let nothing = |state: &mut State| state.pending.is_none() && !state.closed;
            let state = self.wait_while(self.lock(), nothing);
            let time = |state: &mut State| state.hurried == 0 && !state.closed && state.bytes <= PENDING_BYTES_MAX;
            let waited = self.changed.wait_timeout_while(state, LINGER, time);
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let Some(batch) = state.pending.take() else { return };
            state.bytes = 0;
            let upto = state.added;
            drop(state);
            // It has ended the process, or told the test.
            if write(&batch).is_err() {
                return;
            }
            self.lock().written = upto;
            self.changed.notify_all();
        }
    }
}

/// Whoever waits for a writer that has ended waits no longer.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
        if std::thread::panicking() {
            self.0.fatal.call("write the applied state: sled panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn batch(keys: &[&str]) -> Batch {
        let mut changes = Changes::default();
        for key in keys {
            changes.entities.insert((*key).to_owned(), Some(key.as_bytes().to_vec()));
        }
        Batch { changes, summary: Summary::default(), base: Point::default(), digest: Hash32::default() }
    }

    fn later(written: &Arc<Mutex<Vec<String>>>, batches: &Arc<AtomicUsize>) -> Later {
        let (written, batches) = (Arc::clone(written), Arc::clone(batches));
        let write = move |batch: &Batch| {
            batches.fetch_add(1, Ordering::SeqCst);
            let mut written = written.lock().expect("no panic");
            written.extend(batch.changes.entities.keys().cloned());
            Ok(())
        };
        Later::start(Fatal::new(|reason| panic!("{reason}")), write).expect("a thread")
    }

    #[test]
    fn whoever_settles_finds_everything_written() {
        let (written, batches) = (Arc::default(), Arc::default());
        let later = later(&written, &batches);
        for round in 0..5 {
            later.add(batch(&["a"])).expect("added");
            later.add(batch(&["b"])).expect("added");
            later.settle();
            assert_eq!(written.lock().expect("no panic").len(), 2 * (round + 1));
        }
    }

    #[test]
    fn what_was_added_is_written_at_the_end_in_few_batches() {
        let (written, batches) = (Arc::default(), Arc::default());
        let later = later(&written, &batches);
        let keys: Vec<String> = (0..1000).map(|number| format!("{number:04}")).collect();
        for key in &keys {
            later.add(batch(&[key])).expect("added");
        }
        drop(later);
        assert_eq!(*written.lock().expect("no panic"), keys);
        assert!(batches.load(Ordering::SeqCst) < 1000, "they share batches");
    }
}
