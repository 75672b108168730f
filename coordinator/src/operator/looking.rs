//! A look at the world through an agent, which outlives the agent's session: agents change their coordinator when a
//! leader does, and whoever asks at such a moment should not have to ask again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::node::Node;
use crate::sessions::Session;

/// An agent that lost its session has a new one within a few seconds, or is in trouble.
pub const BACK_WITHIN: Duration = Duration::from_secs(8);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why an agent told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It has as many questions as it may have.
    Busy,
    /// Its session ended, and no new one began.
    Gone,
    /// It did not answer in time.
    Late,
}

/// Asks through the agent's session, and through its next one if that one ends before the answer.
pub async fn look<T>(
    node: &Node,
    mut session: Arc<Session>,
    deadline: Instant,
    ask: impl Fn(&Session) -> oneshot::Receiver<T>,
) -> Result<T, Silence> {
    loop {
        match timeout_at(deadline, ask(&session)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Err(_) => return Err(Silence::Late),
            Ok(Err(_)) if !session.has_ended() => return Err(Silence::Busy),
            Ok(Err(_)) => {}
        }
        let back = deadline.min(Instant::now() + BACK_WITHIN);
        session = timeout_at(back, node.sessions.after(&session)).await.map_err(|_| Silence::Gone)?;
    }
}

/// Waits for so long for regions whose last session ended a moment ago; those that are gone for longer are not waited for.
pub async fn settle(node: &Node, within: Duration) {
    let mut changes = node.sessions.changes();
    let settled = async {
        while !node.sessions.lately_silent(within).is_empty() {
            // A session may begin, and a region may have been gone for longer by now.
            let _ = timeout(LOOK_EVERY, changes.changed()).await;
        }
    };
    // Who is not back by then is told of as silent.
    let _ = timeout(within, settled).await;
}
