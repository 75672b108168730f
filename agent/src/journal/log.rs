//! The journal as async tasks see it: appends wait for the disk on a thread of their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mesh_runtime::blocking;
use tokio::sync::watch;

use super::{Book, Journal, JournalError, Record};

/// Where the executor writes what it is about to do. A test's log can stop between any two records.
#[async_trait]
pub trait Log: Send + Sync {
    /// Returns when the record is on disk.
    async fn append(&self, record: Record) -> Result<(), JournalError>;

    /// Shows what the records on disk add up to. `look` must be quick.
    fn read(&self, look: &mut dyn FnMut(&Book));
}

#[derive(Clone)]
pub struct JournalLog {
    inner: Arc<Inner>,
    failed: watch::Sender<bool>,
}

struct Inner {
    /// Locked while the disk works.
    journal: Mutex<Journal>,
    /// A copy for readers, who must not wait for the disk.
    book: Mutex<Book>,
}

impl JournalLog {
    pub fn new(journal: Journal) -> Self {
        let book = Mutex::new(journal.book().clone());
        let inner = Inner { journal: Mutex::new(journal), book };
        Self { inner: Arc::new(inner), failed: watch::Sender::new(false) }
    }

    /// Becomes true when a record could not be written: the process must end, it can promise nothing more.
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.failed.subscribe()
    }
}

impl Inner {
    fn append(&self, record: Record) -> Result<(), JournalError> {
        let mut journal = lock(&self.journal);
        journal.append(record.clone())?;
        lock(&self.book).apply(record);
        Ok(())
    }
}

#[async_trait]
impl Log for JournalLog {
    async fn append(&self, record: Record) -> Result<(), JournalError> {
        let inner = Arc::clone(&self.inner);
        let appended = blocking::run(move || inner.append(record)).await;
        let result = appended.unwrap_or(Err(JournalError::Failed));
        if let Err(error) = &result {
            tracing::error!(error = error as &dyn std::error::Error, "the journal took no record");
            let refused_only = matches!(error, JournalError::TooLarge { .. });
            self.failed.send_if_modified(|failed| !refused_only && !std::mem::replace(failed, true));
        }
        result
    }

    fn read(&self, look: &mut dyn FnMut(&Book)) {
        look(&lock(&self.inner.book));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
