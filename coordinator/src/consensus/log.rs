//! openraft's view of the write-ahead log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{OptionalSend, RaftTypeConfig};
use tokio::sync::oneshot;

use super::convert;
use super::types::{Entry, LogId, Types, Vote};
use crate::store::StoreError;
use crate::store::wal::{Synced, Wal};

/// What one request of replication carries, well below a gRPC message.
const READ_BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone)]
pub struct LogStore {
    wal: Arc<Wal>,
}

impl LogStore {
    pub fn new(wal: Arc<Wal>) -> Self {
        Self { wal }
    }

    fn read(&self, range: &impl RangeBounds<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        let entries = self.wal.read(from, to, bytes_max)?;
        entries.into_iter().map(|entry| convert::entry_from(entry).map_err(io::Error::other)).collect()
    }
}

/// Runs a write and waits until it is on disk.
async fn durably(write: impl FnOnce(Synced) -> Result<(), StoreError>) -> io::Result<()> {
    let (tell, told) = oneshot::channel();
    write(Box::new(move || tell.send(()).unwrap_or_default()))?;
    told.await.map_err(|_| io::Error::other("the log failed"))
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.read(&range, usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.wal.state().vote.map(convert::vote))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(&(start..end), READ_BYTES_MAX)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.wal.state();
        Ok(LogState {
            last_purged_log_id: state.purged.map(convert::log_id),
            last_log_id: state.last.map(convert::log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let ballot = convert::ballot(vote);
        durably(|synced| self.wal.save_vote(ballot, synced)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        match committed {
            Some(committed) => Ok(self.wal.note_committed(convert::position(committed))?),
            None => Ok(()),
        }
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.wal.state().committed.map(convert::log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = <Types as RaftTypeConfig>::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(convert::entry_to).collect();
        Ok(self.wal.append(entries, Box::new(move || callback.io_completed(Ok(()))))?)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        durably(|synced| self.wal.truncate_after(last_log_id.map(convert::position), synced)).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        durably(|synced| self.wal.purge(convert::position(log_id), synced)).await
    }
}
