//! Promotion: on the timeline that the look saw, or not at all.
//!
//! The call promotes, waits until the server is out of recovery, writes the mesh's token there and gives every database
//! its former limit, which the fence's transaction brought along. Each part looks first whether it is still to do.

use std::time::Duration;

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::Token;
use mesh_core::manifest::PostgresInstance;
use serde_json::json;

use super::call::Call;
use super::caught_up::{another_cluster, lacks};
use super::connect::Sessions;
use super::notes::Notes;
use super::positions::History;
use super::state::{State, TIMELINE};
use super::unfence::is_open;
use super::{Fenced, Looked, lsn};

/// A promotion takes some ten milliseconds; after that the server is looked at again instead.
const OUT_TRIES: u32 = 400;
const OUT_EVERY: Duration = Duration::from_millis(5);

pub(super) struct Seen {
    pub state: State,
    pub notes: Option<Notes>,
    /// Where it left the timeline that it had followed.
    pub left: Option<u64>,
    pub looked: Option<Looked>,
    pub fenced: Option<Fenced>,
    /// What the old primary had, as this agent saw it.
    pub positions: History,
}

pub(super) fn observe(seen: &Seen, token: Token, accepted: bool) -> Observation {
    let Seen { state, notes, left, looked, fenced, positions } = seen;
    let Some(looked) = looked else {
        return Observation::Pending { note: "waits for the look at the replica".to_owned() };
    };
    if let Some(reason) = another_cluster(state, &looked.system_identifier) {
        return Observation::Blocked { reason };
    }
    if let Some(newer) = notes.as_ref().filter(|notes| notes.token() > token) {
        return Observation::Superseded { found: newer.token().to_string() };
    }
    if state.in_recovery {
        return in_recovery(state, looked, accepted);
    }
    if let Some(reason) = not_ours(state, *left, looked, fenced.as_ref()) {
        return Observation::Blocked { reason };
    }
    let open = notes.as_ref().is_some_and(|notes| is_open(state, notes, token));
    if !open {
        let before = json!({ "timeline": state.timeline, "in_recovery": false, "promoted": true });
        return Observation::Ready { before: before.to_string() };
    }
    if state.read_only {
        return Observation::Pending {
            note: "default_transaction_read_only is on in the server's own configuration".to_owned(),
        };
    }
    let unfenced = left.filter(|_| fenced.is_none());
    let reached = unfenced.and_then(|left| positions.reached(looked.timeline, left));
    let last = unfenced.and_then(|left| Some(positions.last(looked.timeline)?.flushed.saturating_sub(left)));
    let read_back = json!({
        "timeline": state.timeline,
        "from_timeline": looked.timeline,
        "left_at": left.map(lsn),
        "writable": true,
        "replicated_through_ms": reached.map(|known| known.asked_at),
        "lost_bytes_at_least": last,
        // The look before it proved that it had everything up to the fence.
        "measured_loss_bytes": fenced.as_ref().map(|_| 0),
        "provider_time_ms": state.now_ms,
    });
    Observation::Satisfied { read_back: read_back.to_string() }
}

fn in_recovery(state: &State, looked: &Looked, accepted: bool) -> Observation {
    if !looked.in_recovery || state.timeline != looked.timeline {
        return Observation::Blocked {
            reason: format!(
                "the server follows timeline {} now, and was on {} when it was looked at: another server was promoted",
                state.timeline, looked.timeline
            ),
        };
    }
    if accepted {
        return Observation::Pending { note: "promotion is on its way".to_owned() };
    }
    Observation::Ready { before: json!({ "timeline": state.timeline, "in_recovery": true }).to_string() }
}

/// A promotion that this run cannot have made, or that lacks writes of the fenced primary.
fn not_ours(state: &State, left: Option<u64>, looked: &Looked, fenced: Option<&Fenced>) -> Option<String> {
    let expected = if looked.in_recovery { looked.timeline.saturating_add(1) } else { looked.timeline };
    if state.timeline != expected {
        return Some(format!(
            "the server is on timeline {}, and a promotion from {} leads to {expected}: somebody else promoted it",
            state.timeline, looked.timeline
        ));
    }
    let fenced = fenced.filter(|_| looked.in_recovery)?;
    let complete = left.is_some_and(|left| left >= fenced.last_lsn);
    (!complete).then(|| lacks(state, left, fenced))
}

pub(super) async fn call(sessions: &Sessions, instance: &PostgresInstance, job: &Job, looked: &Looked) -> CallResult {
    match promote(sessions, instance, job, looked).await {
        Ok(reference) => CallResult::Accepted { reference },
        Err(result) => result,
    }
}

async fn promote(
    sessions: &Sessions,
    instance: &PostgresInstance,
    job: &Job,
    looked: &Looked,
) -> Result<String, CallResult> {
    let mut call = Call::begin(sessions, instance, job).await?;
    let state = call.state().await?;
    if state.in_recovery {
        let began = call.change(&statement(&call, &state, looked)).await?;
        if began != "t" {
            return Err(CallResult::NotApplied {
                reason: "the server's timeline, identity or token is no longer what the look saw".to_owned(),
            });
        }
        if !out_of_recovery(&call).await? {
            return Ok(format!("promotion from timeline {} began", looked.timeline));
        }
    }
    call.open().await?;
    Ok(format!("promoted from timeline {}", looked.timeline))
}

/// The server itself compares, in the statement that promotes.
fn statement(call: &Call, state: &State, looked: &Looked) -> String {
    let (generation, intent) = (call.token.generation.0, call.token.intent.0);
    let unfenced = if state.noted {
        format!("NOT EXISTS (SELECT 1 FROM mesh.fence WHERE (generation, intent) > ({generation}, {intent}))")
    } else {
        "true".to_owned()
    };
    format!(
        "SELECT CASE WHEN pg_is_in_recovery() AND ({TIMELINE}) = {} \
         AND (SELECT system_identifier FROM pg_control_system())::text = '{}' \
         AND clock_timestamp() < to_timestamp({} / 1000.0) AND {unfenced} THEN pg_promote(false) END",
        looked.timeline,
        looked.system_identifier.replace(|c: char| !c.is_ascii_digit() && c != '-', ""),
        call.deadline_ms
    )
}

async fn out_of_recovery(call: &Call) -> Result<bool, CallResult> {
    for _ in 0..OUT_TRIES {
        if call.ask("SELECT pg_is_in_recovery()").await? == "f" {
            return Ok(true);
        }
        tokio::time::sleep(OUT_EVERY).await;
    }
    Ok(false)
}
