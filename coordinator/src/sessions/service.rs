//! `AgentSession.Open`: the handshake, then one loop that reads the agent and watches what ends the session.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use mesh_core::access::{Identity, Role};
use mesh_core::fleet::{Command, Reply};
use mesh_core::ids::{AgentId, RegionId, RunId};
use mesh_core::signal::Signal;
use mesh_proto::v1;
use mesh_runtime::identity;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info, warn};
use v1::from_agent::Message as Heard;
use v1::to_agent::Message as Said;

use super::session::{OUTBOUND_MAX, Outbound, Session};
use super::signals::Age;
use super::{leases, outcome, relay};
use crate::consensus::ConsensusError;
use crate::node::Node;
use crate::operator::refusal;

/// How long a new connection may take to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Outcomes of one agent that are being committed at a time; while there are so many, nothing more is read from it.
const SETTLING_MAX: usize = 16;
/// Longest version text.
const VERSION_MAX: usize = 64;
/// Signals in one message.
const SIGNALS_PER_MESSAGE_MAX: usize = 4096;

pub struct AgentSessionService {
    node: Arc<Node>,
}

impl AgentSessionService {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

type ToAgentStream = Pin<Box<dyn futures::Stream<Item = Result<v1::ToAgent, Status>> + Send>>;

#[tonic::async_trait]
impl v1::agent_session_server::AgentSession for AgentSessionService {
    type OpenStream = ToAgentStream;

    async fn open(&self, request: Request<Streaming<v1::FromAgent>>) -> Result<Response<ToAgentStream>, Status> {
        let caller = identity::caller(&request)?;
        if caller.role != Role::Agent {
            return Err(Status::permission_denied(format!("a session is for agents, {caller} is none")));
        }
        let peer = identity::peer(&request)?;
        let via = (peer.role == Role::Coordinator).then(|| format!("{} of {}", peer.name, peer.region));
        let (outbound, messages) = mpsc::channel(OUTBOUND_MAX);
        let node = Arc::clone(&self.node);
        // The answer's headers go out at once: an agent may wait for them before it says Hello.
        tokio::spawn(attend(node, Speaker { agent: caller, via }, request.into_inner(), outbound));
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

/// Who opens a session.
struct Speaker {
    agent: Identity,
    /// The coordinator that passes it on: it goes no further.
    via: Option<String>,
}

enum Begun {
    Here(Arc<Session>),
    /// This node follows a leader that the agent does not reach.
    PassOn {
        hello: v1::Hello,
        leader: String,
    },
    /// This node does not lead and has said so.
    Elsewhere,
}

async fn attend(node: Arc<Node>, speaker: Speaker, mut inbound: Streaming<v1::FromAgent>, outbound: Outbound) {
    let caller = &speaker.agent;
    let session = match begin(&node, &speaker, &mut inbound, &outbound).await {
        Ok(Begun::Here(session)) => session,
        Ok(Begun::PassOn { hello, leader }) => {
            relay::pass_on(&node, caller, (hello, leader), inbound, outbound).await;
            return;
        }
        Ok(Begun::Elsewhere) => return,
        Err(status) => {
            info!(agent = %caller.name, region = %caller.region, reason = status.message(), "session refused");
            let _ = outbound.try_send(Err(status));
            return;
        }
    };
    drop(outbound);
    let via = session.via.as_deref().unwrap_or_default();
    info!(agent = %session.agent, region = %session.region, version = %session.version, via, "session begins");
    let ending = converse(&node, &session, &mut inbound).await;
    node.sessions.leave(&session);
    session.end("its stream has ended");
    match ending {
        Ok(reason) => info!(agent = %session.agent, reason, "session ends"),
        Err(status) => {
            info!(agent = %session.agent, reason = status.message(), "session ends");
            session.send_last(status);
        }
    }
}

async fn begin(
    node: &Arc<Node>,
    speaker: &Speaker,
    inbound: &mut Streaming<v1::FromAgent>,
    outbound: &Outbound,
) -> Result<Begun, Status> {
    let hello = hello(inbound).await?;
    let (agent, region) = claimed(&speaker.agent, &hello)?;
    if node.draining.is_cancelled() {
        return Err(Status::unavailable("this coordinator is stopping"));
    }
    match lead_for(node, &agent, &region).await {
        Ok(Reply::Refused(refused)) => return Err(refusal::of(&refused)),
        Ok(Reply::Ok | Reply::ManifestApplied { .. } | Reply::RunStarted { .. } | Reply::IntentOpened { .. }) => {}
        Err(ConsensusError::NotLeader { .. }) => {
            if let Some(leader) = relay::wanted(node, &hello).filter(|_| speaker.via.is_none()) {
                return Ok(Begun::PassOn { hello, leader });
            }
            let _ = outbound.try_send(Ok(not_leader(node)));
            return Ok(Begun::Elsewhere);
        }
        Err(error) => return Err(refusal::of_consensus(&error)),
    }
    belongs(node, &agent, &region)?;
    leases::note_address(node, &agent, hello.promise_address.clone()).await;
    let version = hello.version.chars().take(VERSION_MAX).collect();
    let session = Session::new(agent, region, version, outbound.clone()).passed_on_by(speaker.via.clone());
    let session = Arc::new(session);
    let term = node.replica.leadership().borrow().term;
    session.send(Said::Welcome(v1::Welcome {
        term,
        leader: node.id,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        passed_on: session.via.is_some(),
        region: node.region.to_string(),
    }));
    Ok(Begun::Here(session))
}

async fn hello(inbound: &mut Streaming<v1::FromAgent>) -> Result<v1::Hello, Status> {
    let first = timeout(HELLO_WITHIN, inbound.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no Hello came within 5 s"))??;
    match first.and_then(|first| first.message) {
        Some(Heard::Hello(hello)) => Ok(hello),
        _ => Err(Status::invalid_argument("the first message of a session must be Hello")),
    }
}

/// An agent is who its certificate says: Hello must agree with it.
fn claimed(caller: &Identity, hello: &v1::Hello) -> Result<(AgentId, RegionId), Status> {
    let invalid = |error: mesh_core::ids::NameError| Status::invalid_argument(format!("Hello: {error}"));
    let agent = AgentId::new(hello.agent.as_str()).map_err(invalid)?;
    let region = RegionId::new(hello.region.as_str()).map_err(invalid)?;
    if agent.as_str() != caller.name || region != caller.region {
        return Err(Status::permission_denied(format!(
            "Hello says agent {agent} of {region}, the certificate {} of {}: correct `agent` and `region` in the \
             agent's configuration, or issue it its own certificate",
            caller.name, caller.region
        )));
    }
    Ok((agent, region))
}

/// Proves that this node leads: by a round for an agent that is known, by the commit of its registration for a newcomer.
async fn lead_for(node: &Node, agent: &AgentId, region: &RegionId) -> Result<Reply, ConsensusError> {
    if node.replica.with_fleet(|fleet| fleet.agents.contains_key(agent)) {
        return node.replica.read_index().await.map(|()| Reply::Ok);
    }
    node.replica.propose(Command::RegisterAgent { agent: agent.clone(), region: region.clone() }).await
}

fn belongs(node: &Node, agent: &AgentId, region: &RegionId) -> Result<(), Status> {
    match node.replica.with_fleet(|fleet| fleet.agents.get(agent).map(|record| record.region.clone())) {
        Some(known) if known != *region => Err(Status::failed_precondition(format!(
            "agent {agent} is registered in {known}, not in {region}: an agent's id never moves, choose a new one"
        ))),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn not_leader(node: &Node) -> v1::ToAgent {
    let leader = node.other_leader().map(|(_, address)| address);
    v1::ToAgent { message: Some(Said::NotLeader(v1::NotLeader { leader, region: node.region.to_string() })) }
}

/// Reads the agent until something ends the session: a reason to log, or a status to end the stream with.
async fn converse(
    node: &Arc<Node>,
    session: &Arc<Session>,
    inbound: &mut Streaming<v1::FromAgent>,
) -> Result<&'static str, Status> {
    let mut leadership = node.replica.leadership();
    let mut watchlist = node.sessions.watchlists.subscribe();
    let mut settling = FuturesUnordered::new();
    // Watched before the registry knows the session, so that no change between the two is missed.
    show_watchlist(session, &mut watchlist);
    if !node.sessions.enter(session) {
        return Err(Status::resource_exhausted("too many agents have a session"));
    }
    // Made once: ten thousand sessions share the places where these wait.
    let (ended, drained) = (session.ended(), node.draining.cancelled());
    tokio::pin!(ended, drained);
    loop {
        if !leadership.borrow_and_update().is_self {
            session.send(not_leader(node).message.unwrap_or(Said::NotLeader(v1::NotLeader::default())));
            return Ok("this node leads no more");
        }
        tokio::select! {
            reason = &mut ended => return Err(Status::aborted(reason)),
            () = &mut drained => return Err(Status::unavailable("this coordinator is stopping")),
            changed = leadership.changed() => if changed.is_err() { return Ok("consensus has stopped") },
            // The node owns the sender.
            _ = watchlist.changed() => show_watchlist(session, &mut watchlist),
            settled = next_settled(&mut settling) => {
                if let Some(acknowledgement) = settled? {
                    session.send(Said::OutcomeAck(acknowledgement));
                }
            }
            message = inbound.message(), if settling.len() < SETTLING_MAX => {
                let Some(message) = message? else { return Ok("the agent ended it") };
                if !session.note_heard(node.timing.agent_silence) {
                    return Err(Status::aborted("the agent was silent for too long"));
                }
                match message.message {
                    Some(Heard::Outcome(report)) => settling.push(outcome::settle(node, &session.agent, report)),
                    Some(other) => hear(node, session, other)?,
                    None => debug!(agent = %session.agent, "a message of an unknown kind"),
                }
            }
        }
    }
}

async fn next_settled<F>(settling: &mut FuturesUnordered<F>) -> F::Output
where
    F: Future,
{
    match settling.next().await {
        Some(settled) => settled,
        None => pending().await,
    }
}

fn hear(node: &Node, session: &Arc<Session>, message: Heard) -> Result<(), Status> {
    match message {
        Heard::Ping(ping) => {
            if let Some(report) = ping.self_report.filter(|_| is_present(node, session)) {
                node.signals.note_self(&session.agent, report.into());
            }
            leases::record(node, session, ping.standings);
            node.pongs.ask(session, ping.nonce);
        }
        Heard::Standings(told) => leases::record(node, session, told.standings),
        Heard::Signals(signals) => record_signals(node, session, signals)?,
        Heard::HaltAck(ack) => match RunId::new(ack.run) {
            Ok(run) => session.note_halted(&run),
            Err(error) => return Err(Status::invalid_argument(format!("HaltAck: {error}"))),
        },
        Heard::Check(report) => session.note_checked(report),
        Heard::Survey(report) => session.note_surveyed(report),
        Heard::Hello(_) => return Err(Status::invalid_argument("a session has one Hello")),
        Heard::Outcome(_) => warn!(agent = %session.agent, "an outcome out of its place"),
    }
    Ok(())
}

/// An older session of the agent may still have something to say, and it is not the newest.
fn is_present(node: &Node, session: &Arc<Session>) -> bool {
    node.sessions.of(&session.agent).is_some_and(|present| Arc::ptr_eq(&present, session))
}

fn record_signals(node: &Node, session: &Arc<Session>, signals: v1::Signals) -> Result<(), Status> {
    if signals.signals.len() > SIGNALS_PER_MESSAGE_MAX {
        return Err(Status::invalid_argument(format!("more than {SIGNALS_PER_MESSAGE_MAX} signals in a message")));
    }
    let (now, present) = (Instant::now(), is_present(node, session));
    for signal in signals.signals {
        let age = Age {
            seen: Duration::from_millis(signal.age_ms),
            failing: signal.failing_for_ms.map(Duration::from_millis),
            alternations: signal.alternations,
        };
        let signal = Signal::try_from(signal).map_err(|error| Status::invalid_argument(format!("signal: {error}")))?;
        if signal.observer != session.agent || signal.observer_region != session.region {
            let text = format!("signal of {} in the session of {}", signal.observer, session.agent);
            return Err(Status::permission_denied(text));
        }
        if present {
            node.signals.record(signal, age, now);
        }
    }
    Ok(())
}

fn show_watchlist(session: &Session, watchlist: &mut watch::Receiver<Option<Arc<v1::Watchlist>>>) {
    let newest = watchlist.borrow_and_update().clone();
    if let Some(newest) = newest {
        session.send(Said::Watchlist(newest.as_ref().clone()));
    }
}
