//! `Freeze`, `Unfreeze`, `Acknowledge`: what people tell the mesh about acting by itself.

use std::time::Duration;

use mesh_core::access::Identity;
use mesh_core::fleet::{Command, Fleet};
use mesh_core::ids::{RunId, ServiceId};
use mesh_core::time::duration_millis;
use mesh_proto::v1;
use tokio::time::Instant;
use tonic::Status;

use crate::node::Node;
use crate::operator::control::{self, Halted};
use crate::operator::{reads, refusal};

/// A freeze is for an incident or a release; what is to last longer belongs into the manifest (`automatic: off`).
const LASTING_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
const REASON_LEN_MAX: usize = 1024;

/// Commits it, then waits for the agents of runs that are going: they stand still until the freeze is over.
pub async fn freeze(node: &Node, caller: &Identity, request: v1::FreezeRequest) -> Result<v1::FreezeResponse, Status> {
    let service = optional_service(&request.service)?;
    let lasting = Duration::from_millis(request.lasting_ms);
    if lasting.is_zero() || lasting > LASTING_MAX {
        return Err(Status::invalid_argument("a freeze lasts for up to 30 days"));
    }
    if request.reason.trim().is_empty() || request.reason.len() > REASON_LEN_MAX {
        return Err(Status::invalid_argument(format!("a freeze has a reason of up to {REASON_LEN_MAX} bytes")));
    }
    let until = node.now().plus(lasting);
    let command = Command::Freeze { service: service.clone(), until, by: caller.to_string(), reason: request.reason };
    refusal::commit(node, command).await?;
    let committed = Instant::now();
    let runs = node.replica.with_fleet(|fleet| going(fleet, service.as_ref()));
    let Halted { unacknowledged, silent_after } = control::halted(node, &runs, committed).await;
    Ok(v1::FreezeResponse {
        until: until.as_millis(),
        halted: runs.iter().map(ToString::to_string).collect(),
        unacknowledged,
        silent_after_ms: duration_millis(silent_after),
    })
}

pub async fn unfreeze(
    node: &Node,
    caller: &Identity,
    request: v1::UnfreezeRequest,
) -> Result<v1::UnfreezeResponse, Status> {
    let service = optional_service(&request.service)?;
    refusal::commit(node, Command::Unfreeze { service, by: caller.to_string() }).await?;
    Ok(v1::UnfreezeResponse {})
}

pub async fn acknowledge(
    node: &Node,
    caller: &Identity,
    request: v1::AcknowledgeRequest,
) -> Result<v1::AcknowledgeResponse, Status> {
    let service = reads::service_id(&request.service)?;
    refusal::commit(node, Command::Acknowledge { service, by: caller.to_string() }).await?;
    Ok(v1::AcknowledgeResponse {})
}

/// An empty name stands for all of them.
fn optional_service(given: &str) -> Result<Option<ServiceId>, Status> {
    if given.is_empty() { Ok(None) } else { reads::service_id(given).map(Some) }
}

fn going(fleet: &Fleet, service: Option<&ServiceId>) -> Vec<RunId> {
    let services = fleet.services.iter().filter(|(id, _)| service.is_none_or(|service| service == *id));
    services.filter_map(|(_, stored)| stored.current_run.clone()).collect()
}
