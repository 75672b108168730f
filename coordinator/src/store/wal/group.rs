//! Group commit: one sync at a time, and the next covers everything that was written meanwhile.
//!
//! A write that finds no sync under way asks for one itself, so a single writer waits for nobody. The end of a sync
//! is told on raft-log's own thread, which must not wait for the log's lock: its holder may wait for that thread to
//! make room. So a thread of ours asks for the next sync.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::Synced;

#[derive(Default)]
pub struct Group {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Written, and covered by no sync that was asked for.
    waiting: Vec<Synced>,
    under_way: bool,
    closed: bool,
}

pub enum Turn {
    /// Ask for a sync now, in the name of these.
    Sync(Vec<Synced>),
    /// The next sync covers it.
    Wait,
}

impl Group {
    /// For a writer that holds the log's lock.
    pub fn join(&self, synced: Synced) -> Turn {
        let mut state = self.lock();
        if state.under_way {
            state.waiting.push(synced);
            return Turn::Wait;
        }
        state.under_way = true;
        let mut all = std::mem::take(&mut state.waiting);
        all.push(synced);
        Turn::Sync(all)
    }

    /// A sync has ended.
    pub fn ended(&self) {
        let mut state = self.lock();
        state.under_way = false;
        if !state.waiting.is_empty() {
            self.changed.notify_one();
        }
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits until a sync is due; false when there will be none any more.
    pub fn wait(&self) -> bool {
        let due = |state: &mut State| match state.closed {
            true => false,
            false => state.under_way || state.waiting.is_empty(),
        };
        let state = self.changed.wait_while(self.lock(), due).unwrap_or_else(PoisonError::into_inner);
        !(state.closed && state.waiting.is_empty())
    }

    /// Everyone who waits, for a sync that is asked for under the log's lock, which the caller holds. Nobody, if
    /// another writer took them along meanwhile.
    pub fn take(&self) -> Vec<Synced> {
        let mut state = self.lock();
        let all = std::mem::take(&mut state.waiting);
        state.under_way |= !all.is_empty();
        all
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counted(count: &Arc<AtomicUsize>) -> Synced {
        let count = Arc::clone(count);
        Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        })
    }

    #[test]
    fn writes_during_a_sync_share_the_next_one() {
        let (group, count) = (Group::default(), Arc::default());
        let Turn::Sync(first) = group.join(counted(&count)) else { panic!("nobody is before it") };
        assert_eq!(first.len(), 1);
        for _ in 0..5 {
            assert!(matches!(group.join(counted(&count)), Turn::Wait));
        }
        group.ended();
        assert!(group.wait(), "a sync is due");
        assert_eq!(group.take().len(), 5);
        assert!(matches!(group.join(counted(&count)), Turn::Wait), "that sync is under way");
    }

    #[test]
    fn a_writer_that_comes_before_the_thread_takes_everyone_along() {
        let (group, count) = (Group::default(), Arc::default());
        drop(group.join(counted(&count)));
        assert!(matches!(group.join(counted(&count)), Turn::Wait));
        group.ended();
        let Turn::Sync(all) = group.join(counted(&count)) else { panic!("no sync is under way") };
        assert_eq!(all.len(), 2);
        assert!(group.take().is_empty());
    }

    #[test]
    fn nobody_is_left_behind_at_the_end() {
        let (group, count) = (Group::default(), Arc::default());
        drop(group.join(counted(&count)));
        assert!(matches!(group.join(counted(&count)), Turn::Wait));
        group.close();
        assert!(group.wait(), "somebody waits");
        assert_eq!(group.take().len(), 1);
        assert!(!group.wait(), "nobody waits any more");
    }
}
