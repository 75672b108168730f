//! What a start or an outcome makes due is proposed together with it, so that both take one round of consensus. The log
//! keeps their order, and each is checked when it is applied: what foresight got wrong is refused and changes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::future::{join, join_all};
use mesh_core::engine;
use mesh_core::fleet::{Command, Reply};
use tracing::{debug, info};

use super::late_calls::LateCalls;
use super::proposals::{kind, subject};
use super::view;
use crate::consensus::ConsensusError;
use crate::node::Node;

/// What foresight shares with the driver.
#[derive(Default)]
pub struct Ahead {
    /// Steps that are being opened this way; the driver leaves them alone meanwhile.
    held: Mutex<BTreeMap<String, u32>>,
    pub calls: Arc<LateCalls>,
}

/// Gives its steps back to the driver when it is dropped.
struct Held<'a> {
    node: &'a Node,
    subjects: Vec<String>,
}

/// Commits and applies `command`, and what becomes due by it.
pub async fn commit(node: &Node, command: Command) -> Result<Reply, ConsensusError> {
    let due = foresee(node, &command);
    if due.is_empty() {
        return node.replica.propose(command).await;
    }
    let held = hold(node, due.iter().map(subject).collect());
    // Each hands its entry over when it is first polled, and both joins poll in this order.
    let following = join_all(due.iter().map(|due| node.replica.propose(due.clone())));
    let (reply, replies) = join(node.replica.propose(command), following).await;
    for (due, reply) in due.iter().zip(replies) {
        match reply {
            Ok(Reply::Refused(refusal)) => debug!(?due, reason = %refusal, "foresight was wrong"),
            Ok(_) => info!(subject = %subject(due), kind = kind(due), "committed"),
            Err(error) => debug!(?due, %error, "not committed, or not known to be"),
        }
    }
    drop(held);
    reply
}

impl Ahead {
    /// Read this before the state: what is let go meanwhile shows there.
    pub fn held(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the command open a step, which is held?
pub fn is_held(command: &Command, held: &[String]) -> bool {
    matches!(command, Command::OpenIntent { .. } | Command::Grant { .. }) && held.contains(&subject(command))
}

fn foresee(node: &Node, command: &Command) -> Vec<Command> {
    if !matches!(command, Command::StartRun { .. } | Command::CloseIntent { .. }) {
        return Vec::new();
    }
    // Nothing that depends on how long this node leads is foreseen.
    let view = view::of(node, node.now()).connected;
    let (calls, now) = (&node.sessions.ahead.calls, Instant::now());
    node.replica.with_fleet(|fleet| {
        calls.note(fleet, now);
        engine::ahead::after(fleet, &view, command, |ahead, command| calls.bars(ahead, command, now))
    })
}

fn hold(node: &Node, subjects: Vec<String>) -> Held<'_> {
    let mut held = node.sessions.ahead.lock();
    for subject in &subjects {
        *held.entry(subject.clone()).or_default() += 1;
    }
    drop(held);
    Held { node, subjects }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.node.sessions.ahead.lock();
        for subject in &self.subjects {
            match held.get_mut(subject) {
                Some(times) if *times > 1 => *times -= 1,
                Some(_) | None => drop(held.remove(subject)),
            }
        }
        drop(held);
        self.node.sessions.tell();
    }
}
