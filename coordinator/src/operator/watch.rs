//! `WatchRun`: the run now and after every change. One read through the leader, then this node's own state, so that a
//! watcher of a follower outlives the leader.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::ids::RunId;
use mesh_core::run::Run;
use mesh_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::route::{self, Asked, Route, pass_on};
use super::{StreamOf, fit, reads};
use crate::node::Node;

/// A watcher that reads slowly gets fewer, newer states: each is taken when there is room for it.
const QUEUE: usize = 2;
/// How long a follower may take to apply the run that the leader knows.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
/// How often a watch without news makes sure that this node is not cut off.
const CONFIRM_EVERY: Duration = Duration::from_secs(5);

pub async fn watch_run(
    node: &Arc<Node>,
    asked: Asked<v1::GetRunRequest>,
) -> Result<Response<StreamOf<v1::GetRunResponse>>, Status> {
    let id = reads::run_id(&asked.body.run)?;
    match route::route(node, asked.passed_on).await? {
        Route::Here => {
            if !node.replica.with_fleet(|fleet| fleet.runs.contains_key(&id)) {
                return Ok(once(reads::whole_run(node, &id).await?));
            }
        }
        Route::There(mut leader) => {
            let run = leader.get_run(pass_on(&asked.caller, asked.body)).await?.into_inner();
            // It may have left the state: nothing will change any more.
            if run.run.as_ref().is_some_and(|run| run.ended_at.is_some()) {
                return Ok(once(run));
            }
            caught_up(node, &id).await?;
        }
    }
    let (states, stream) = mpsc::channel(QUEUE);
    tokio::spawn(show(Arc::clone(node), id, states));
    Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
}

fn once(run: v1::GetRunResponse) -> Response<StreamOf<v1::GetRunResponse>> {
    Response::new(Box::pin(tokio_stream::once(Ok(run))))
}

async fn caught_up(node: &Node, id: &RunId) -> Result<(), Status> {
    let deadline = Instant::now() + CATCH_UP_MAX;
    let mut applied = node.replica.applied();
    while !node.replica.with_fleet(|fleet| fleet.runs.contains_key(id)) {
        match timeout_at(deadline, applied.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(Status::unavailable("this coordinator is behind: ask another")),
        }
    }
    Ok(())
}

async fn show(node: Arc<Node>, id: RunId, states: mpsc::Sender<Result<v1::GetRunResponse, Status>>) {
    let mut applied = node.replica.applied();
    let mut shown: Option<Run> = None;
    loop {
        // Room first, then the state: whatever is sent is the newest there is.
        let Ok(room) = states.reserve().await else { return };
        applied.mark_unchanged();
        let (news, gone) = node.replica.with_fleet(|fleet| {
            let run = fleet.runs.get(&id);
            (run.filter(|run| shown.as_ref() != Some(*run)).cloned(), run.is_none())
        });
        if gone {
            return room.send(Err(Status::not_found(format!("run {id} is no longer kept"))));
        }
        if let Some(run) = news {
            let ended = run.state.is_terminal();
            let (fitted, left_out) = fit::fit(v1::Run::from(&run));
            room.send(Ok(v1::GetRunResponse { run: Some(fitted), left_out }));
            if ended {
                return;
            }
            shown = Some(run);
            continue;
        }
        let wait = async {
            tokio::select! {
                () = node.draining.cancelled() => Err(Status::unavailable("this coordinator is stopping: watch again")),
                () = states.closed() => Err(Status::cancelled("the watcher is gone")),
                changed = applied.changed() => changed.map_err(|_| Status::unavailable("consensus has stopped")),
                () = tokio::time::sleep(CONFIRM_EVERY) => confirm(&node).await,
            }
        };
        if let Err(status) = wait.await {
            return room.send(Err(status));
        }
    }
}

/// A node that knows no leader shows nothing new: better to end than to look as if nothing happened.
async fn confirm(node: &Node) -> Result<(), Status> {
    let (leads, known) = {
        let leadership = node.replica.leadership();
        let leadership = leadership.borrow();
        (leadership.is_self, leadership.leader.is_some())
    };
    let cut_off = || Status::unavailable("this coordinator has lost the others: watch again");
    if leads {
        let confirmed = tokio::time::timeout(CONFIRM_EVERY, node.replica.read_index()).await;
        return confirmed.map_err(|_| cut_off())?.map_err(|_| cut_off());
    }
    if known { Ok(()) } else { Err(cut_off()) }
}
