//! How far a replica is behind. Where the primary can be asked too, by what it had on its disk at known moments: a replica
//! whose stream was cut believes for a minute that it has everything. Otherwise by the replica's own word.

use std::time::{Duration, Instant};

use mesh_core::manifest::PostgresInstance;
use serde::Deserialize;

use super::Servers;
use super::positions::Position;
use super::state::State;
use crate::providers::unix_now;

/// The primary may be the dead one; a session with a far one takes seven round trips.
const PRIMARY_WITHIN: Duration = Duration::from_secs(3);
/// What the primary has just said that it has is on its way: the replica is asked again, so often and after so long.
const LOOKS: u32 = 6;
const LOOK_EVERY: Duration = Duration::from_millis(40);
const FLUSHED: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN 'null' ELSE json_build_object(
  'timeline', ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,
  'flushed', pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text END";

#[derive(Deserialize)]
struct Flushed {
    timeline: u32,
    flushed: u64,
}

impl Servers {
    /// `None`: it cannot be told.
    pub(crate) async fn behind(
        &self,
        replica: &PostgresInstance,
        primary: Option<&PostgresInstance>,
        timeout: Duration,
    ) -> Result<Option<Duration>, String> {
        if let Some(primary) = primary {
            self.ask_primary(replica, primary).await;
        }
        let known = self.positions.of(replica);
        let mut state = self.replica(replica, timeout).await?;
        for _ in 1..LOOKS {
            let newest = known.last(state.followed);
            if newest.is_none_or(|newest| state.replay_lsn >= Some(newest.flushed)) || !state.streaming {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            state = self.replica(replica, timeout).await?;
        }
        let reached = state.replay_lsn.and_then(|replayed| known.reached(state.followed, replayed));
        Ok(match reached {
            Some(reached) => Some(reached.asked.elapsed()),
            None => by_its_own_word(&state, known.is_empty()),
        })
    }

    async fn replica(&self, replica: &PostgresInstance, timeout: Duration) -> Result<State, String> {
        let state = tokio::time::timeout(timeout, self.state(replica)).await;
        let state = state.map_err(|_| {
            self.sessions.forget(replica);
            format!("{}: no answer within {} ms", replica.address(), timeout.as_millis())
        })?;
        let state = state.map_err(|error| error.text())?;
        if !state.in_recovery {
            return Err("it is not in recovery".to_owned());
        }
        Ok(state)
    }

    async fn ask_primary(&self, replica: &PostgresInstance, primary: &PostgresInstance) {
        let (asked, asked_at) = (Instant::now(), unix_now());
        let answer = tokio::time::timeout(PRIMARY_WITHIN, async {
            self.sessions.open(primary).await?.json::<Option<Flushed>>(FLUSHED).await
        });
        match answer.await {
            Ok(Ok(Some(Flushed { timeline, flushed }))) => {
                self.positions.note(replica, Position { asked, asked_at, timeline, flushed });
            }
            Ok(Ok(None) | Err(_)) => {}
            Err(_) => self.sessions.forget(primary),
        }
    }
}

/// A primary that was asked once is believed more than a replica that does not know whether it still hears of it.
fn by_its_own_word(state: &State, never_asked: bool) -> Option<Duration> {
    let behind = state.lag_ms().filter(|lag| never_asked || *lag > 0);
    behind.map(Duration::from_millis)
}
