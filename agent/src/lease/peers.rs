//! Gives promises to agents of other regions.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::access::Role;
use mesh_core::ids::{Generation, RegionId, ServiceId};
use mesh_core::lease::Ask;
use mesh_proto::v1;
use mesh_proto::v1::agent_peer_server::{AgentPeer, AgentPeerServer};
use mesh_runtime::identity;
use tonic::{Request, Response, Status};

use super::Leases;

/// Longest promise: that of the longest lease that a manifest may declare.
const LENGTH_MAX: Duration = Duration::from_secs(60);

pub struct Peers {
    leases: Arc<Leases>,
    region: RegionId,
}

pub fn service(leases: Arc<Leases>, region: RegionId) -> AgentPeerServer<Peers> {
    AgentPeerServer::new(Peers { leases, region })
}

#[tonic::async_trait]
impl AgentPeer for Peers {
    async fn promise(&self, request: Request<v1::PromiseRequest>) -> Result<Response<v1::PromiseReply>, Status> {
        let caller = identity::caller(&request)?;
        if caller.role != Role::Agent {
            return Err(Status::permission_denied(format!("promises are for agents, {caller} is none")));
        }
        if caller.region == self.region {
            return Err(Status::permission_denied("an agent of the same region keeps nobody from writing"));
        }
        let wanted = request.into_inner();
        let service = ServiceId::new(wanted.service).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let length = Duration::from_millis(wanted.length_ms);
        if length > LENGTH_MAX {
            return Err(Status::invalid_argument(format!("a promise lasts at most {LENGTH_MAX:?}")));
        }
        let ask = Ask { generation: Generation(wanted.generation), length, round: wanted.round };
        let given = self.leases.promise(&service, &ask).await;
        let given = given.map_err(|error| Status::unavailable(format!("it cannot be promised: {error}")))?;
        let refused = given.err().map(|refused| refused.to_string());
        tracing::debug!(%service, asker = %caller.name, generation = wanted.generation, ?refused, "asked for a promise");
        Ok(Response::new(v1::PromiseReply { refused }))
    }
}
