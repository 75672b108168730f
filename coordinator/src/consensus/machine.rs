//! openraft's view of the applied state and its snapshots.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use mesh_runtime::blocking;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};

use super::convert;
use super::types::{Answer, LogId, Snapshot, SnapshotData, SnapshotMeta, StoredMembership, Types};
use crate::store::snapshot::SnapshotFile;
use crate::store::{Store, View};

/// Entries applied, and written to the store of applied state, at once.
const BATCH_MAX: usize = 64;

pub struct StateMachine {
    store: Arc<Store>,
}

pub struct Builder {
    store: Arc<Store>,
    view: View,
}

impl StateMachine {
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    fn apply_batch(&self, batch: Vec<EntryResponder<Types>>) -> io::Result<()> {
        let (entries, responders): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let replies = self.store.apply(entries.into_iter().map(convert::entry_to).collect())?;
        for (responder, reply) in responders.into_iter().zip(replies) {
            responder.into_iter().for_each(|responder| responder.send(Answer(reply.clone())));
        }
        Ok(())
    }
}

fn snapshot(file: SnapshotFile) -> io::Result<Snapshot> {
    let meta = convert::meta_of(&file.summary).map_err(io::Error::other)?;
    Ok(Snapshot { meta, snapshot: SnapshotData { path: file.path, part: None } })
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    blocking::run(work).await.map_err(io::Error::other)?
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let summary = self.store.summary();
        let membership = convert::stored_membership(&summary).map_err(io::Error::other)?;
        Ok((summary.applied.map(convert::log_id), membership))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = Vec::new();
        while let Some(entry) = entries.next().await {
            batch.push(entry?);
            if batch.len() >= BATCH_MAX {
                self.apply_batch(std::mem::take(&mut batch))?;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.apply_batch(batch) }
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { store: Arc::clone(&self.store), view: self.store.view() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
        let store = Arc::clone(&self.store);
        let file = off_thread(move || Ok(store.install_snapshot(&snapshot.path, snapshot.part)?)).await?;
        let found = convert::meta_of(&file.summary).map_err(io::Error::other)?;
        match found == *meta {
            true => Ok(()),
            false => Err(io::Error::other(format!("the snapshot holds {found} where {meta} was announced"))),
        }
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.store.newest_snapshot().map(snapshot).transpose()
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (store, view) = (Arc::clone(&self.store), self.view.clone());
        snapshot(off_thread(move || Ok(store.build_snapshot(&view)?)).await?)
    }
}
