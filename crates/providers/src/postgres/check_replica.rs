//! Can the target take over? Asked before anything is fenced for it.
//!
//! The primary is not asked: it may be the lost one, and nobody waits for it. A replica that streams has the primary's
//! system identifier, or PostgreSQL would have ended the stream; the fence's read-back is compared later.

use mesh_core::execute::Observation;
use serde_json::json;

use super::lsn;
use super::state::State;

/// The startup process can sleep for so long before it notices a promotion.
const RETRY_INTERVAL_MS_MAX: u32 = 1000;

pub(super) fn observe(found: &State, promoted_ok: bool) -> Observation {
    if !found.in_recovery && !promoted_ok {
        return Observation::Blocked {
            reason: "the target is no replica but a server that was the writer before, with the data of that time: \
                     make it a replica of the present writer first (rejoin)"
                .to_owned(),
        };
    }
    if found.replay_paused {
        return Observation::Blocked {
            reason: "somebody paused the replay of WAL on the target: SELECT pg_wal_replay_resume()".to_owned(),
        };
    }
    if found.in_recovery && !found.streaming && found.followed < found.timeline {
        return Observation::Blocked {
            reason: format!(
                "the target has WAL of timeline {} and cannot follow timeline {}: writes of the present writer are \
                 missing there (rejoin)",
                found.followed, found.timeline
            ),
        };
    }
    let slow = found.in_recovery && found.retry_interval_ms > RETRY_INTERVAL_MS_MAX;
    let read_back = json!({
        "in_recovery": found.in_recovery,
        "timeline": found.timeline,
        "system_identifier": found.system_identifier,
        "streaming": found.streaming,
        "source": found.source,
        "replay_lsn": found.replay_lsn.map(lsn),
        "lag_ms": found.lag_ms(),
        "lag_bytes": found.lag_bytes(),
        "note": slow.then(|| format!(
            "wal_retrieve_retry_interval is {} ms: a promotion may take so long to begin; 100ms is better",
            found.retry_interval_ms
        )),
    });
    Observation::Satisfied { read_back: read_back.to_string() }
}
