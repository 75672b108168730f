//! What a start or an outcome makes due is proposed together with it, so that both take one round of consensus. The log
//! keeps their order, and each is checked when it is applied: what foresight got wrong is refused and changes nothing.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, FutureExt, join, join_all};
use mesh_core::engine;
use mesh_core::fleet::{Command, Reply};
use mesh_core::ids::ServiceId;
use tokio::time::Instant;
use tracing::{debug, info};

use super::late_calls::LateCalls;
use super::proposals::{kind, subject};
use super::view;
use crate::consensus::ConsensusError;
use crate::node::Node;

type Committed = Result<Reply, ConsensusError>;

/// What foresight shares with the driver.
#[derive(Default)]
pub struct Ahead {
    /// The proposals of one flight reach the log before those of the next.
    order: Mutex<()>,
    flights: Mutex<Flights>,
    pub calls: Arc<LateCalls>,
}

#[derive(Default)]
struct Flights {
    last: u64,
    /// In the order of their proposal. No more than outcomes that are being settled, each with what it makes due.
    commands: Vec<(u64, ServiceId, Command)>,
}

/// Commands that were proposed and may not be applied yet. When it is dropped, their steps are the driver's again.
struct Flight<'a> {
    node: &'a Node,
    number: u64,
}

/// Commits and applies `command`, and what becomes due by it.
pub async fn commit(node: &Node, command: Command) -> Committed {
    let mut proposing: Option<BoxFuture<'_, Committed>> = None;
    poll_fn(|context| match &mut proposing {
        Some(proposing) => proposing.poll_unpin(context),
        none => {
            // Each proposal hands its entry over when it is first polled.
            let _order = lock(&node.sessions.ahead.order);
            none.insert(propose(node, command.clone())).poll_unpin(context)
        }
    })
    .await
}

fn propose(node: &Node, command: Command) -> BoxFuture<'_, Committed> {
    let Some(service) = node.replica.with_fleet(|fleet| engine::ahead::service_of(fleet, &command)) else {
        return node.replica.propose(command);
    };
    let due = foresee(node, &service, &command);
    let flight = begin(node, &service, std::iter::once(&command).chain(&due));
    async move {
        // Both joins poll in this order.
        let following = join_all(due.iter().map(|due| node.replica.propose(due.clone())));
        let (reply, replies) = join(node.replica.propose(command), following).await;
        for (due, reply) in due.iter().zip(replies) {
            match reply {
                Ok(Reply::Refused(refusal)) => debug!(?due, reason = %refusal, "foresight was wrong"),
                Ok(_) => info!(subject = %subject(due), kind = kind(due), "committed"),
                Err(error) => debug!(?due, %error, "not committed, or not known to be"),
            }
        }
        drop(flight);
        reply
    }
    .boxed()
}

fn foresee(node: &Node, service: &ServiceId, command: &Command) -> Vec<Command> {
    // Read before the state: what ends its flight meanwhile shows there.
    let flying = node.sessions.ahead.flying(service);
    // Nothing that depends on how long this node leads is foreseen.
    let view = view::of(node, node.now()).connected;
    let (calls, now) = (&node.sessions.ahead.calls, Instant::now());
    node.replica.with_fleet(|fleet| {
        calls.note(fleet, now);
        engine::ahead::after(fleet, &view, &flying, command, |ahead, command| calls.bars(ahead, command, now))
    })
}

fn begin<'a, 'c>(node: &'a Node, service: &ServiceId, commands: impl Iterator<Item = &'c Command>) -> Flight<'a> {
    let mut flights = lock(&node.sessions.ahead.flights);
    flights.last = flights.last.wrapping_add(1);
    let number = flights.last;
    flights.commands.extend(commands.map(|command| (number, service.clone(), command.clone())));
    Flight { node, number }
}

impl Ahead {
    /// Steps that are being opened this way. Read this before the state: what is let go meanwhile shows there.
    pub fn held(&self) -> Vec<String> {
        let flights = lock(&self.flights);
        flights.commands.iter().filter(|(_, _, command)| opens(command)).map(|(_, _, one)| subject(one)).collect()
    }

    fn flying(&self, service: &ServiceId) -> Vec<Command> {
        let flights = lock(&self.flights);
        flights.commands.iter().filter(|(_, of, _)| of == service).map(|(_, _, command)| command.clone()).collect()
    }
}

/// Does the command open a step that is held?
pub fn is_held(command: &Command, held: &[String]) -> bool {
    opens(command) && held.contains(&subject(command))
}

fn opens(command: &Command) -> bool {
    matches!(command, Command::OpenIntent { .. } | Command::Grant { .. })
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        lock(&self.node.sessions.ahead.flights).commands.retain(|(number, _, _)| *number != self.number);
        self.node.sessions.tell();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
