//! Passes an agent's session on to the leader that the agent does not reach itself: one link between two regions that is
//! dead must not end the leases of a region that lives.
//!
//! Nothing is decided or kept here. Leases and permissions count from the agent's own sending, on its own clock, so what
//! a way takes only shortens them. Whatever ends one side ends the other at once: the agent then tries the next.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::access::Identity;
use mesh_proto::v1;
use mesh_proto::v1::agent_session_client::AgentSessionClient;
use mesh_runtime::grpc::MESSAGE_MAX;
use mesh_runtime::identity;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};
use tracing::info;
use v1::from_agent::Message as Said;
use v1::to_agent::Message as Heard;

use super::service::not_leader;
use super::session::Outbound;
use crate::node::Node;
use crate::peers::lanes::Place;

/// From the agent and not taken by the connection to the leader yet; then nothing more is read from the agent.
const WAITING_MAX: usize = 32;
/// For a connection to the leader and its first answer: the agent waits 3 s, and there may be others to ask.
const OPEN_WITHIN: Duration = Duration::from_secs(1);
const WARM_EVERY: Duration = Duration::from_secs(10);
/// The leader answers a ping a second. The agent, too, gives up after 3 s.
const LEADER_SILENT_MAX: Duration = Duration::from_secs(3);
/// For either end to take one message.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);

/// Keeps a connection to whoever leads, so that a session can be passed on without the time to make one.
pub async fn run(node: Arc<Node>) {
    let mut leadership = node.replica.leadership();
    loop {
        if let Some((_, leader)) = node.other_leader() {
            node.peers.lanes.warm(&leader).await;
        }
        tokio::select! {
            () = tokio::time::sleep(WARM_EVERY) => {}
            changed = leadership.changed() => if changed.is_err() { return },
            () = node.draining.cancelled() => return,
        }
    }
}

/// The leader's address, if this node may pass a session on to it that begins with `hello`.
pub fn wanted(node: &Node, hello: &v1::Hello) -> Option<String> {
    let wanted = hello.pass_on_to.as_ref()?;
    let (_, leader) = node.other_leader()?;
    (leader == *wanted && node.replica.hears_leader()).then_some(leader)
}

pub async fn pass_on(
    node: &Arc<Node>,
    agent: &Identity,
    (hello, leader): (v1::Hello, String),
    inbound: Streaming<v1::FromAgent>,
    outbound: Outbound,
) {
    let mut leadership = node.replica.leadership();
    let (place, to_leader, from_leader) = match open(node, agent, hello, &leader).await {
        Ok(opened) => opened,
        Err(status) => {
            info!(agent = %agent.name, leader, reason = status.message(), "session not passed on");
            let _ = outbound.try_send(Err(Status::new(status.code(), status.message())));
            return;
        }
    };
    info!(agent = %agent.name, region = %agent.region, leader, "session passed on");
    let changed = leadership.wait_for(|now| now.leader.as_ref().is_none_or(|(_, address)| *address != leader));
    let ended = tokio::select! {
        ended = up(inbound, to_leader) => Some(ended),
        ended = down(node, from_leader, &outbound, &place) => Some(ended),
        () = node.draining.cancelled() => Some(Status::unavailable("this coordinator is stopping")),
        _ = changed => None,
    };
    drop(place);
    let reason = ended.as_ref().map_or("another leads", Status::message);
    info!(agent = %agent.name, leader, reason, "session passed on no more");
    // A full queue means that the agent reads nothing: it sees the stream end instead.
    let _ = match ended {
        None => outbound.try_send(Ok(not_leader(node))),
        Some(status) if status.code() == Code::Ok => return,
        Some(status) => outbound.try_send(Err(status)),
    };
}

type Opened = (Place, mpsc::Sender<v1::FromAgent>, Streaming<v1::ToAgent>);

async fn open(node: &Node, agent: &Identity, mut hello: v1::Hello, leader: &str) -> Result<Opened, Status> {
    let place = node.peers.lanes.enter(leader)?;
    hello.pass_on_to = None;
    let (to_leader, messages) = mpsc::channel(WAITING_MAX);
    let _ = to_leader.try_send(v1::FromAgent { message: Some(Said::Hello(hello)) });
    let mut request = Request::new(ReceiverStream::new(messages));
    identity::speak_for(&mut request, agent);
    let client = AgentSessionClient::new(place.channel.clone());
    let mut client = client.max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX);
    let answer = timeout(OPEN_WITHIN, client.open(request)).await;
    let answer = answer.unwrap_or_else(|_| Err(Status::unavailable(format!("the leader at {leader} does not answer"))));
    match answer {
        Ok(answer) => Ok((place, to_leader, answer.into_inner())),
        Err(status) => {
            place.give_up();
            Err(status)
        }
    }
}

async fn up(mut inbound: Streaming<v1::FromAgent>, to_leader: mpsc::Sender<v1::FromAgent>) -> Status {
    loop {
        let message = match inbound.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return Status::ok("the agent ended it"),
            Err(status) => return status,
        };
        match timeout(TAKEN_WITHIN, to_leader.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Status::unavailable("the leader ended it"),
            Err(_) => return Status::unavailable("the leader takes no messages"),
        }
    }
}

async fn down(node: &Node, mut from_leader: Streaming<v1::ToAgent>, outbound: &Outbound, place: &Place) -> Status {
    loop {
        let mut message = match timeout(LEADER_SILENT_MAX, from_leader.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Status::ok("the leader ended it"),
            Ok(Err(status)) => return status,
            Err(_) => {
                place.give_up();
                return Status::unavailable("the leader is silent");
            }
        };
        // It is this node's region that the agent learns from it.
        if let Some(Heard::NotLeader(not)) = &mut message.message {
            not.region = node.region.to_string();
        }
        match timeout(TAKEN_WITHIN, outbound.send(Ok(message))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Status::ok("the agent has left"),
            Err(_) => return Status::unavailable("the agent does not read its messages"),
        }
    }
}
