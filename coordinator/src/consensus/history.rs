//! Keeping the sealed history whole: each node verifies its segments once after a start, and takes what it lacks from
//! the others.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mesh_proto::v1;
use mesh_runtime::blocking;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use super::network::{CHUNK_BYTES, Peers};
use super::types::Raft;
use crate::store::Store;

/// Between two segments that are verified: this is nobody's hurry, and the disk is shared with the log.
const VERIFY_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at what is missing.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// As above, when something was not to be had.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// One segment, from one peer.
const FETCH_DEADLINE: Duration = Duration::from_secs(60);
/// A segment ends with the command that fills it, which can hold one run of the largest size.
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Chunks that wait for a slow reader.
const CHUNKS_WAITING: usize = 2;

/// Runs as long as consensus.
pub async fn tend(own_id: u64, store: Arc<Store>, raft: Raft, peers: Arc<Peers>) {
    let _verifying = AbortOnDropHandle::new(tokio::spawn(verify(Arc::clone(&store))));
    loop {
        let troubled = store.history().troubled();
        let nodes: Vec<(u64, String)> = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.nodes().map(|(id, member)| (*id, member.address.clone())).collect()
        };
        let mut others: Vec<(u64, String)> = nodes.into_iter().filter(|(id, _)| *id != own_id).collect();
        let mut all_taken = true;
        for (number, reason) in troubled {
            all_taken &= take(&store, &peers, &mut others, number, &reason).await;
        }
        tokio::time::sleep(if all_taken { LOOK_EVERY } else { RETRY_AFTER }).await;
    }
}

/// From the first that has it. Who does not answer is not asked again in this round.
async fn take(store: &Arc<Store>, peers: &Peers, others: &mut Vec<(u64, String)>, number: u64, reason: &str) -> bool {
    for node in others.clone() {
        let error = match fetch(store, peers, &node, number).await {
            Ok(()) => {
                tracing::info!(number, from = node.0, reason, "a segment of the history was taken from a peer");
                return true;
            }
            Err(Missed::Peer(error)) => {
                others.retain(|other| *other != node);
                error
            }
            Err(Missed::Segment(error)) => error,
        };
        tracing::warn!(number, from = node.0, reason, error, "a segment of the history was not to be had");
    }
    false
}

enum Missed {
    /// It did not answer, or not to the end.
    Peer(String),
    /// It does not have it, or not the right one.
    Segment(String),
}

fn missed(status: &Status) -> Missed {
    let said = status.message().to_owned();
    match status.code() {
        Code::DataLoss | Code::FailedPrecondition => Missed::Segment(said),
        _ => Missed::Peer(said),
    }
}

async fn verify(store: Arc<Store>) {
    let count = store.history().count();
    let mut damaged = 0;
    for number in 0..count {
        let store = Arc::clone(&store);
        let read = blocking::run(move || store.history().segment(number).map(drop)).await;
        damaged += u64::from(!matches!(read, Ok(Ok(()))));
        tokio::time::sleep(VERIFY_PAUSE).await;
    }
    if count > 0 {
        tracing::info!(segments = count, damaged, "the history was verified");
    }
}

async fn fetch(store: &Arc<Store>, peers: &Peers, (id, address): &(u64, String), number: u64) -> Result<(), Missed> {
    let local = |error: &dyn std::fmt::Display| Missed::Segment(error.to_string());
    let path = store.history().path(number).with_extension("part");
    let request = v1::SegmentRequest { number };
    let call = peers.call((*id, address), request, FETCH_DEADLINE, |mut client, request| async move {
        client.segment(request).await
    });
    let mut chunks = call.await.map_err(|status| missed(&status))?;
    let received = tokio::time::timeout(FETCH_DEADLINE, async {
        let mut file = std::fs::File::create(&path).map_err(|error| local(&error))?;
        let mut bytes = 0;
        while let Some(chunk) = chunks.message().await.map_err(|status| missed(&status))? {
            bytes += chunk.data.len() as u64;
            if bytes > SEGMENT_BYTES_MAX {
                return Err(local(&format!("it has over {SEGMENT_BYTES_MAX} bytes")));
            }
            file.write_all(&chunk.data).map_err(|error| local(&error))?;
        }
        file.sync_all().map_err(|error| local(&error))
    });
    let received = received.await.unwrap_or_else(|_| Err(Missed::Peer("it did not arrive in time".to_owned())));
    let filled = match received {
        Ok(()) => {
            let (store, path) = (Arc::clone(store), path.clone());
            let filling = blocking::run(move || store.history().fill(number, &path));
            filling.await.map_err(|error| local(&error))?.map_err(|error| local(&error))
        }
        Err(error) => Err(error),
    };
    if filled.is_err() {
        let _ = std::fs::remove_file(&path);
    }
    filled
}

/// The chunks of a segment, verified before any is sent.
pub fn send(store: Arc<Store>, number: u64) -> mpsc::Receiver<Result<v1::SegmentChunk, Status>> {
    let (chunks, receiver) = mpsc::channel(CHUNKS_WAITING);
    tokio::task::spawn_blocking(move || {
        let sent =
            store.history().segment(number).map_err(|error| Status::data_loss(error.to_string())).and_then(|_| {
                send_file(&store.history().path(number), |data| {
                    chunks.blocking_send(Ok(v1::SegmentChunk { data })).is_ok()
                })
            });
        if let Err(status) = sent {
            let _ = chunks.blocking_send(Err(status));
        }
    });
    receiver
}

/// Gives a file to `send` in pieces, until that has enough.
pub fn send_file(path: &Path, mut send: impl FnMut(Vec<u8>) -> bool) -> Result<(), Status> {
    let failed = |error: std::io::Error| Status::internal(format!("read {}: {error}", path.display()));
    let mut file = std::fs::File::open(path).map_err(failed)?;
    loop {
        let mut data = Vec::new();
        let read = Read::by_ref(&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut data).map_err(failed)?;
        if read == 0 || !send(data) {
            return Ok(());
        }
    }
}
