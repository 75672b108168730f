//! `Backup`: the whole state and history, as the leader holds them, in one file.

use std::sync::Arc;

use futures::StreamExt;
use mesh_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::route::{self, Asked, Route, pass_on_stream};
use super::{StreamOf, refusal};
use crate::consensus::send_file;
use crate::node::Node;

/// Pieces that wait for a slow reader.
const PIECES_WAITING: usize = 2;

pub async fn backup(
    node: &Arc<Node>,
    asked: Asked<v1::BackupRequest>,
) -> Result<Response<StreamOf<v1::BackupChunk>>, Status> {
    match route::route(node, asked.passed_on).await? {
        Route::There(mut leader) => {
            let pieces = leader.backup(pass_on_stream(&asked.caller, asked.body)).await?.into_inner();
            let draining = node.draining.clone();
            Ok(Response::new(Box::pin(pieces.take_until(draining.cancelled_owned()))))
        }
        Route::Here => {
            // The route has waited for ReadIndex: the backup holds every commit that was acknowledged before.
            let backup = node.replica.backup().await.map_err(|error| refusal::of_consensus(&error))?;
            tracing::info!(by = %asked.caller, "a backup is sent");
            let (pieces, stream) = mpsc::channel(PIECES_WAITING);
            tokio::task::spawn_blocking(move || {
                let send = |data| pieces.blocking_send(Ok(v1::BackupChunk { data })).is_ok();
                if let Err(status) = send_file(backup.part.path(), send) {
                    let _ = pieces.blocking_send(Err(status));
                }
            });
            Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
        }
    }
}
