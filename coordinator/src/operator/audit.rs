//! `ExportAudit`: the chain up to the index that was applied when it was asked for.

use std::sync::Arc;

use futures::StreamExt;
use mesh_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::route::{self, Asked, Route, pass_on_stream};
use super::{StreamOf, refusal};
use crate::node::Node;

/// Records read from the store at a time, and as many that wait for the reader.
const PAGE: usize = 64;

pub async fn export_audit(
    node: &Arc<Node>,
    asked: Asked<v1::ExportAuditRequest>,
) -> Result<Response<StreamOf<v1::AuditRecord>>, Status> {
    match route::route(node, asked.passed_on).await? {
        Route::There(mut leader) => {
            let records = leader.export_audit(pass_on_stream(&asked.caller, asked.body)).await?.into_inner();
            let draining = node.draining.clone();
            Ok(Response::new(Box::pin(records.take_until(draining.cancelled_owned()))))
        }
        Route::Here => {
            let last = *node.replica.applied().borrow();
            let (records, stream) = mpsc::channel(PAGE);
            tokio::spawn(export(Arc::clone(node), asked.body.from_index, last, records));
            Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
        }
    }
}

async fn export(node: Arc<Node>, mut from: u64, last: u64, records: mpsc::Sender<Result<v1::AuditRecord, Status>>) {
    loop {
        let page = match node.replica.audit(from, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                let _ = records.send(Err(refusal::of_consensus(&error))).await;
                return;
            }
        };
        let full = page.len() == PAGE;
        for record in page.into_iter().filter(|record| record.index <= last) {
            from = record.index.saturating_add(1);
            if records.send(Ok(record)).await.is_err() || node.draining.is_cancelled() {
                return;
            }
        }
        if !full || from > last {
            return;
        }
    }
}
