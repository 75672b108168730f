//! Un-fence: the limits and the setting that the fence noted, exactly.

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::Token;
use mesh_core::manifest::PostgresInstance;
use serde_json::json;

use super::call::Call;
use super::connect::Sessions;
use super::notes::{Notes, Stand};
use super::state::State;

pub(super) fn observe(state: &State, notes: &Option<Notes>, token: Token) -> Observation {
    if state.in_recovery {
        return Observation::Blocked {
            reason: "the server is a replica: it takes writes only after a promotion, and that needs a grant"
                .to_owned(),
        };
    }
    let Some(notes) = notes else {
        // The fence's call may yet arrive; its token would be older than this one's.
        return Observation::Ready { before: json!({ "state": "open" }).to_string() };
    };
    if notes.token() > token {
        return Observation::Superseded { found: notes.token().to_string() };
    }
    if is_open(state, notes, token) {
        let read_back = json!({
            "timeline": state.timeline,
            "databases_admitting": notes.admitting,
            "default_transaction_read_only": state.read_only,
            "provider_time_ms": state.now_ms,
        });
        return Observation::Satisfied { read_back: read_back.to_string() };
    }
    Observation::Ready { before: notes.describe() }
}

/// By this generation, so that nothing older can close it again.
pub(super) fn is_open(state: &State, notes: &Notes, token: Token) -> bool {
    notes.state == Stand::Open
        && notes.generation == token.generation.0
        && notes.setting_restored()
        && (!state.read_only || super::notes::is_on(notes.read_only.as_deref()))
}

pub(super) async fn call(sessions: &Sessions, instance: &PostgresInstance, job: &Job) -> CallResult {
    let mut call = match Call::begin(sessions, instance, job).await {
        Ok(call) => call,
        Err(result) => return result,
    };
    match call.open().await {
        Ok(()) => CallResult::Accepted { reference: "open".to_owned() },
        Err(result) => result,
    }
}
