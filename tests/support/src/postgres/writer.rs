//! An application that writes one row after the other, wherever it is let, and keeps what was acknowledged.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::server::{APP, connect};

/// An attempt that is not answered is given up after this.
const ATTEMPT_MAX: Duration = Duration::from_secs(2);
/// How often, and which numbers.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The first number; two writers need ranges of their own.
    pub from: u64,
    /// After a write.
    pub every: Duration,
    /// After an attempt that failed.
    pub again_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { from: 1, every: Duration::ZERO, again_after: Duration::from_millis(2) }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written(pub BTreeSet<u64>);

#[derive(Default)]
struct Seen {
    acknowledged: Vec<(u64, Instant, SocketAddr)>,
    refused: u64,
}

pub struct Writer {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Writes to the first of them that takes it.
    pub async fn start(servers: Vec<SocketAddr>) -> Self {
        let writer = Self::begin(servers, Pace::default());
        writer.until(|written| !written.is_empty()).await;
        writer
    }

    /// Tries, on the runtime that this is called on, and waits for nothing.
    pub fn begin(servers: Vec<SocketAddr>, pace: Pace) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(write(servers, Arc::clone(&seen), pace));
        Self { seen, task }
    }

    /// Waits until the acknowledged writes are as wanted; a minute at most.
    pub async fn until(&self, wanted: impl Fn(&[(u64, Instant, SocketAddr)]) -> bool) {
        for _ in 0..30_000 {
            if wanted(&self.lock().acknowledged) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(wanted(&self.lock().acknowledged), "the writer does not come to that within a minute");
    }

    /// Writes that were acknowledged by `server`.
    pub async fn until_written_at(&self, server: SocketAddr) {
        self.until(|written| written.last().is_some_and(|(_, _, at)| *at == server)).await;
    }

    pub fn acknowledged(&self) -> Written {
        Written(self.lock().acknowledged.iter().map(|(id, _, _)| *id).collect())
    }

    pub fn acknowledged_by(&self, server: SocketAddr) -> usize {
        self.lock().acknowledged.iter().filter(|(_, _, at)| *at == server).count()
    }

    /// Each number with the moment of its acknowledgement, in this order.
    pub fn moments(&self) -> Vec<(u64, Instant)> {
        self.lock().acknowledged.iter().map(|(id, at, _)| (*id, *at)).collect()
    }

    pub fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// The longest time between two acknowledged writes.
    pub fn gap(&self) -> Duration {
        let seen = self.lock();
        let pairs = seen.acknowledged.iter().zip(seen.acknowledged.iter().skip(1));
        pairs.map(|((_, before, _), (_, after, _))| after.duration_since(*before)).max().unwrap_or_default()
    }

    /// Writes no more; what was acknowledged.
    pub fn stop(self) -> Written {
        self.task.abort();
        self.acknowledged()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(servers: Vec<SocketAddr>, seen: Arc<Mutex<Seen>>, pace: Pace) {
    let mut client: Option<(Client, SocketAddr)> = None;
    let mut id = pace.from;
    let mut turn = 0usize;
    loop {
        let Some((open, at)) = client.take() else {
            let at = servers.get(turn % servers.len().max(1)).copied();
            turn += 1;
            let Some(at) = at else { return };
            match tokio::time::timeout(ATTEMPT_MAX, connect(at, APP)).await {
                Ok(Ok(open)) => client = Some((open, at)),
                Ok(Err(_)) | Err(_) => tokio::time::sleep(pace.again_after).await,
            }
            continue;
        };
        let insert = format!("INSERT INTO ledger VALUES ({id})");
        let done = tokio::time::timeout(ATTEMPT_MAX, open.simple_query(&insert)).await;
        let acknowledged = matches!(done, Ok(Ok(_)));
        note(&seen, id, at, acknowledged);
        // A number is never tried twice: an attempt without an answer may have been committed.
        id += 1;
        let pause = if acknowledged { pace.every } else { pace.again_after };
        client = Some((open, at)).filter(|_| acknowledged);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

fn note(seen: &Mutex<Seen>, id: u64, at: SocketAddr, acknowledged: bool) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if acknowledged {
        seen.acknowledged.push((id, Instant::now(), at));
    } else {
        seen.refused += 1;
    }
}
