//! While this node leads: proposes what the engine says is due, and offers every open intent to its agent.
//!
//! Each round starts from the full state; commits, sessions and the engine's own timer only say when to look. An offer
//! follows the commit of its intent, never precedes it.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::engine;
use mesh_core::fleet::Command;
use mesh_core::notice;
use mesh_core::time::Timestamp;
use mesh_runtime::backoff::Backoff;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info};

use crate::consensus::Leadership;
use crate::node::Node;
use crate::sessions::leases;

pub mod ahead;
pub mod automatic;
pub mod dispatch;
pub mod late_calls;
pub mod lost;
pub mod proposals;
pub mod view;

use late_calls::LateCalls;
use lost::Lost;
use proposals::Proposals;

/// Pauses between attempts to confirm a new term with a quorum.
const CONFIRM_MIN: Duration = Duration::from_millis(20);
const CONFIRM_MAX: Duration = Duration::from_millis(500);
/// The engine's timers are exact; the state is looked at this often all the same, should one of them be wrong.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(5);

/// A round looks at every agent. What it takes beyond this is rested for, in many times as long while nothing moves: ten
/// thousand agents that join are ten thousand reasons to look, and a tenth of a core looks often enough.
const ROUND_FREE: Duration = Duration::from_millis(2);
const REST_FACTOR: u32 = 9;

/// Runs until the node drains.
pub async fn run(node: Arc<Node>) {
    let calls = Arc::clone(&node.sessions.ahead.calls);
    let _watching = AbortOnDropHandle::new(tokio::spawn(late_calls::watch(Arc::clone(&node), Arc::clone(&calls))));
    let mut leadership = node.replica.leadership();
    loop {
        let now = leadership.borrow_and_update().clone();
        if now.is_self {
            tokio::select! {
                () = node.draining.cancelled() => return,
                () = lead(&node, &now, &calls) => {}
            }
        }
        tokio::select! {
            () = node.draining.cancelled() => return,
            another = leadership.wait_for(|new| !same_term(new, &now)) => if another.is_err() { return },
        }
    }
}

/// Leads one term; returns when it is over.
async fn lead(node: &Arc<Node>, term: &Leadership, calls: &LateCalls) {
    let mut leadership = node.replica.leadership();
    if !confirm(node, &mut leadership, term).await {
        return;
    }
    let led_since = node.now();
    info!(term = term.term, "leading");
    let _judging = AbortOnDropHandle::new(tokio::spawn(automatic::run(Arc::clone(node), led_since)));
    let mut applied = node.replica.applied();
    let mut sessions = node.sessions.changes();
    let (mut proposals, mut lost) = (Proposals::default(), Lost::default());
    while same_term(&leadership.borrow_and_update(), term) {
        applied.mark_unchanged();
        sessions.mark_unchanged();
        let began = Instant::now();
        let pause = round(node, led_since, calls, &mut proposals, &mut lost);
        let moves = node.replica.with_fleet(|fleet| fleet.services.values().any(|it| it.current_run.is_some()));
        if let Some(rest) = rest_after(began.elapsed(), moves) {
            let resting = sleep(rest);
            tokio::pin!(resting);
            while tokio::select! { () = &mut resting => false, () = proposals.next_done() => true } {}
        }
        tokio::select! {
            changed = leadership.changed() => if changed.is_err() { return },
            changed = applied.changed() => if changed.is_err() { return },
            // The node owns the sender.
            _ = sessions.changed() => {}
            () = proposals.next_done() => {}
            () = sleep(pause) => {}
        }
    }
    info!(term = term.term, "leading no more");
}

fn rest_after(round: Duration, moves: bool) -> Option<Duration> {
    let long = round.checked_sub(ROUND_FREE).filter(|long| !long.is_zero())?;
    Some(if moves { long } else { long.saturating_mul(REST_FACTOR) })
}

/// ReadIndex at the start of the term: from here on the local state holds all that earlier leaders committed.
async fn confirm(node: &Node, leadership: &mut watch::Receiver<Leadership>, term: &Leadership) -> bool {
    let mut backoff = Backoff::seeded_by_os(CONFIRM_MIN, CONFIRM_MAX);
    while same_term(&leadership.borrow_and_update(), term) {
        match node.replica.read_index().await {
            Ok(()) => return true,
            Err(error) => debug!(%error, term = term.term, "leadership is not confirmed yet"),
        }
        sleep(backoff.next_delay()).await;
    }
    false
}

/// Proposes and offers what is due. Returns for how long nothing else will be.
fn round(
    node: &Arc<Node>,
    led_since: Timestamp,
    calls: &LateCalls,
    proposals: &mut Proposals,
    lost: &mut Lost,
) -> Duration {
    let held = node.sessions.ahead.held();
    let view = view::of(node, led_since);
    let (commands, notices, wakeup) = node.replica.with_fleet(|fleet| {
        let now = Instant::now();
        calls.note(fleet, now);
        let mut due = view.due(fleet);
        due.retain(|command| !calls.bars(fleet, command, now) && !ahead::is_held(command, &held));
        let wakeup =
            engine::next_wakeup(fleet, &view.all).into_iter().chain(notice::next_wakeup(fleet, view.all.now)).min();
        (due, notice::due(fleet, &view.all), wakeup)
    });
    for command in lost.take_up(node, commands) {
        proposals.propose(&node.replica, command);
    }
    for command in notices {
        proposals.propose(&node.replica, command);
    }
    let of_leases = leases::due(node, &view.all);
    for command in of_leases.commands {
        match command {
            // The grant follows it, and what the grant makes due.
            proof @ Command::ProveClosed { .. } => proposals.propose_ahead(node, proof),
            other => proposals.propose(&node.replica, other),
        }
    }
    dispatch::offer_open(node, lost, view.all.now);
    let until_wakeup = wakeup.map(|at| at.since(view.all.now)).into_iter().chain(of_leases.again_in);
    let until_retry = proposals.until_retry();
    until_wakeup.chain(until_retry).fold(LOOK_AT_LEAST_EVERY, Duration::min).max(Duration::from_millis(1))
}

fn same_term(now: &Leadership, then: &Leadership) -> bool {
    now.is_self == then.is_self && now.term == then.term
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_are_long_take_a_tenth_of_a_core_and_half_of_it_while_something_moves() {
        let ms = Duration::from_millis;
        assert_eq!(rest_after(ms(1), false), None, "a few agents are looked at as often as there is reason");
        assert_eq!(rest_after(ms(12), false), Some(ms(90)));
        assert_eq!(rest_after(ms(12), true), Some(ms(10)));
    }
}
