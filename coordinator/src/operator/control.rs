//! `ControlRun`: pause, resume, abort, retry. A pause also waits for the agents to say that they have stopped.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use mesh_core::access::Identity;
use mesh_core::fleet::Command;
use mesh_core::ids::{AgentId, RunId};
use mesh_core::time::duration_millis;
use mesh_proto::v1;
use tokio::time::{Instant, timeout};
use tonic::Status;
use v1::control_run_request::Order;

use super::{reads, refusal};
use crate::node::Node;
use crate::sessions::pongs::PERMIT_FOR;

/// How long a pause waits for acknowledgements. After it, silence is by the end of the agents' permission.
const HALT_WITHIN: Duration = Duration::from_secs(3);
/// Longest reason of an abort.
const REASON_LEN_MAX: usize = 1024;

pub async fn control_run(
    node: &Node,
    caller: &Identity,
    request: v1::ControlRunRequest,
) -> Result<v1::ControlRunResponse, Status> {
    let run = reads::run_id(&request.run)?;
    let by = caller.to_string();
    let order = request.order.ok_or_else(|| Status::invalid_argument("order is missing"))?;
    let mut halted = Halted::default();
    match order {
        Order::Pause(_) => halted = pause(node, &run, by).await?,
        Order::Resume(_) => drop(refusal::commit(node, Command::Resume { run: run.clone(), by }).await?),
        Order::Retry(_) => drop(refusal::commit(node, Command::Retry { run: run.clone(), by }).await?),
        Order::Abort(reason) if reason.len() > REASON_LEN_MAX => {
            return Err(Status::invalid_argument(format!("the reason is longer than {REASON_LEN_MAX} bytes")));
        }
        Order::Abort(reason) => drop(refusal::commit(node, Command::Abort { run: run.clone(), by, reason }).await?),
    }
    Ok(v1::ControlRunResponse {
        run: Some(reads::run_now(node, &run)?),
        unacknowledged: halted.unacknowledged,
        silent_after_ms: duration_millis(halted.silent_after),
    })
}

/// Who has not confirmed that it sends no change any more, and when it cannot any more.
#[derive(Default)]
pub struct Halted {
    pub unacknowledged: Vec<String>,
    pub silent_after: Duration,
}

async fn pause(node: &Node, run: &RunId, by: String) -> Result<Halted, Status> {
    refusal::commit(node, Command::Pause { run: run.clone(), by }).await?;
    Ok(halted(node, std::slice::from_ref(run), Instant::now()).await)
}

/// After the commit of a pause or a freeze: tells every agent with an open intent of these runs. Pongs that follow the
/// commit carry it, so an agent that does not answer may act until the permission of its last earlier pong has run out.
pub async fn halted(node: &Node, runs: &[RunId], committed: Instant) -> Halted {
    let executors: BTreeSet<(AgentId, RunId)> = node.replica.with_fleet(|fleet| {
        let runs = runs.iter().filter_map(|run| fleet.runs.get(run));
        runs.flat_map(|run| run.open_intents().map(|(_, _, intent)| (intent.agent.clone(), run.id.clone()))).collect()
    });
    let told = executors.into_iter().map(|(agent, run)| async move {
        let session = node.sessions.of(&agent);
        // An agent without a session here may hold a permission of the leader before this one.
        let permitted_until =
            session.as_ref().and_then(|session| session.ponged()).unwrap_or(committed).min(committed) + PERMIT_FOR;
        let acknowledged = match session {
            None => false,
            Some(session) => timeout(HALT_WITHIN, session.halt(&run)).await.is_ok_and(|answer| answer.is_ok()),
        };
        (agent, acknowledged, permitted_until)
    });
    let silent: Vec<_> = join_all(told).await.into_iter().filter(|(_, acknowledged, _)| !acknowledged).collect();
    let now = Instant::now();
    let left = silent.iter().map(|(_, _, until)| until.saturating_duration_since(now));
    let silent_after = left.max().unwrap_or_default();
    let unacknowledged: BTreeSet<String> = silent.into_iter().map(|(agent, _, _)| agent.to_string()).collect();
    Halted { unacknowledged: unacknowledged.into_iter().collect(), silent_after }
}
