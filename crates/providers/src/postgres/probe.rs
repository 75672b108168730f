//! What a probe sees of a server, from any region.

use std::time::{Duration, Instant};

use mesh_core::manifest::PostgresInstance;
use mesh_core::time::Timestamp;

use super::Servers;
use super::state::State;
use crate::probe::Trouble;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSeen {
    /// Of one question over an open session, or of a connection and the question.
    pub latency: Duration,
    pub in_recovery: bool,
    pub timeline: u32,
    /// A new transaction could write: out of recovery, and not read-only by default.
    pub writable: bool,
    /// Of a server in recovery.
    pub replica: Option<ReplicaSeen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSeen {
    pub streaming: bool,
    /// `None` while it does not stream: the time since the last replayed commit means nothing then.
    pub lag: Option<Duration>,
    /// Received and not replayed.
    pub lag_bytes: Option<u64>,
    /// By the server's clock.
    pub measured_at: Timestamp,
}

impl Servers {
    /// Asks one server once.
    pub(crate) async fn seen(&self, instance: &PostgresInstance, timeout: Duration) -> Result<ServerSeen, Trouble> {
        let started = Instant::now();
        let state = tokio::time::timeout(timeout, self.state(instance)).await;
        match state {
            Ok(Ok(state)) => Ok(told(&state, started.elapsed())),
            Ok(Err(error)) => Err(error.0),
            Err(_) => {
                self.sessions.forget(instance);
                let at = instance.address();
                Err(Trouble::Target(format!("{at}: no answer within {} ms", timeout.as_millis())))
            }
        }
    }
}

fn told(state: &State, latency: Duration) -> ServerSeen {
    let replica = state.in_recovery.then(|| ReplicaSeen {
        streaming: state.streaming,
        lag: state.lag_ms().map(Duration::from_millis),
        lag_bytes: state.lag_bytes(),
        measured_at: Timestamp::from_millis(state.now_ms),
    });
    ServerSeen {
        latency,
        in_recovery: state.in_recovery,
        timeline: state.timeline,
        writable: !state.in_recovery && !state.read_only,
        replica,
    }
}
