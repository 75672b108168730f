//! Answers pings: each only after a ReadIndex that began when the ping was here, one ReadIndex for all that wait.
//!
//! A pong is the permission to start mutating calls, so a leader without its quorum must not send one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_core::fleet::Fleet;
use mesh_core::time::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::{Session, leases};
use crate::node::Node;

/// How long a pong permits mutating calls, counted by the agent from its own sending of the ping.
pub const PERMIT_FOR: Duration = Duration::from_secs(5);
/// Shortest time between two ReadIndex rounds for pings; agents ping every second.
const ROUND_EVERY: Duration = Duration::from_millis(100);
/// A pong later than this would permit little.
const ROUND_MAX: Duration = Duration::from_secs(3);
/// Pings that may wait; further ones go unanswered, and their agents ask again in a second.
const WAITING_MAX: usize = 2 * super::AGENTS_MAX;

type Ping = (Arc<Session>, u64);

pub struct Pongs {
    queue: mpsc::Sender<Ping>,
    waiting: Mutex<Option<mpsc::Receiver<Ping>>>,
}

impl Default for Pongs {
    fn default() -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        Self { queue, waiting: Mutex::new(Some(waiting)) }
    }
}

impl Pongs {
    pub fn ask(&self, session: &Arc<Session>, nonce: u64) {
        if self.queue.try_send((Arc::clone(session), nonce)).is_err() {
            debug!(agent = %session.agent, "too many pings wait; this one goes unanswered");
        }
    }
}

/// Runs until the node drains. Started once a node.
pub async fn run(node: Arc<Node>) {
    let waiting = node.pongs.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut waiting) = waiting else { return };
    let mut next_round = Instant::now();
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = node.draining.cancelled() => return,
            received = waiting.recv_many(&mut batch, WAITING_MAX) => if received == 0 { return },
        }
        sleep_until(next_round).await;
        next_round = Instant::now() + ROUND_EVERY;
        while let Ok(ping) = waiting.try_recv() {
            batch.push(ping);
        }
        let confirmed = match timeout(ROUND_MAX, node.replica.read_index()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                debug!(%error, "pings go unanswered: leadership is not confirmed");
                false
            }
            Err(_) => {
                debug!("pings go unanswered: no quorum answers");
                false
            }
        };
        if confirmed {
            batch.iter().for_each(|(session, _)| session.note_permission());
            let now = node.now();
            let paused = node.replica.with_fleet(|fleet| paused_runs(fleet, now));
            let told = leases::news(&node, batch.iter().map(|(session, _)| &session.agent));
            batch.iter().zip(told).for_each(|((session, nonce), leases)| session.pong(*nonce, &paused, leases));
        }
        batch.clear();
    }
}

fn paused_runs(fleet: &Fleet, now: Timestamp) -> Vec<String> {
    let current = fleet.services.values().filter_map(|service| service.current_run.as_ref());
    current
        .filter(|run| fleet.runs.get(*run).is_some_and(|run| fleet.halted(run, now).is_some()))
        .map(ToString::to_string)
        .collect()
}
