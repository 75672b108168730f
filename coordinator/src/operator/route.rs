//! Requests reach the leader from any node: a node that does not lead passes a request on, once.

use std::time::Duration;

use mesh_core::access::{Identity, Role};
use mesh_proto::v1::operator_client::OperatorClient;
use mesh_runtime::grpc::MESSAGE_MAX;
use mesh_runtime::{identity, telemetry};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::refusal;
use crate::consensus::ConsensusError;
use crate::node::Node;

/// Longest that a passed-on request may take: a plan's check asks agents for up to 10 s.
const PASS_ON_MAX: Duration = Duration::from_secs(15);

pub enum Route {
    /// This node leads, a quorum has confirmed it, and its state holds every commit.
    Here,
    There(OperatorClient<Channel>),
}

/// A request, taken apart.
pub struct Asked<T> {
    pub caller: Identity,
    /// Another coordinator has passed it on: it goes no further.
    pub passed_on: bool,
    pub body: T,
}

impl<T> Asked<T> {
    pub fn of(request: Request<T>) -> Result<Self, Status> {
        let caller = identity::caller(&request)?;
        let passed_on = identity::peer(&request)?.role == Role::Coordinator;
        Ok(Self { caller, passed_on, body: request.into_inner() })
    }
}

pub async fn route(node: &Node, passed_on: bool) -> Result<Route, Status> {
    let leader = if node.leads() {
        match node.replica.read_index().await {
            Ok(()) => return Ok(Route::Here),
            Err(ConsensusError::NotLeader { leader }) => leader.filter(|(id, _)| *id != node.id),
            Err(error) => return Err(refusal::of_consensus(&error)),
        }
    } else {
        node.other_leader()
    };
    match leader {
        None => Err(Status::unavailable("no leader is known: an election is going on, or a quorum is lost")),
        Some(_) if passed_on => {
            Err(Status::unavailable("the leader changed while the request was passed on: ask again"))
        }
        Some((_, address)) => Ok(Route::There(client(node, &address)?)),
    }
}

fn client(node: &Node, address: &str) -> Result<OperatorClient<Channel>, Status> {
    let client = OperatorClient::new(node.peers.channel(address)?);
    Ok(client.max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX))
}

/// The same request in the name of the same caller.
pub fn pass_on<T>(caller: &Identity, body: T) -> Request<T> {
    pass_on_within(caller, body, PASS_ON_MAX)
}

/// As [`pass_on`], for a question that takes longer to answer.
pub fn pass_on_within<T>(caller: &Identity, body: T, within: Duration) -> Request<T> {
    let mut request = pass_on_stream(caller, body);
    request.set_timeout(within);
    request
}

/// As [`pass_on`], for an answer that may take as long as it likes.
pub fn pass_on_stream<T>(caller: &Identity, body: T) -> Request<T> {
    let mut request = Request::new(body);
    identity::speak_for(&mut request, caller);
    telemetry::inject(request.metadata_mut());
    request
}
