//! Fence: no database takes a new session, new transactions are read-only, open sessions are ended.
//!
//! It stops everyone who is no superuser. It does not stop a superuser who asks for a writing transaction, a background
//! worker (a logical subscription, pg_cron), or a role with REPLICATION in a replication connection.
//!
//! Limits are rows of a catalog, so a session that is being admitted while they change must be looked for: until it
//! stands in pg_stat_activity it holds a virtual transaction in pg_locks. So locks are read first, sessions second.

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::Token;
use mesh_core::manifest::PostgresInstance;
use serde::Deserialize;
use serde_json::json;

use super::call::{Call, END_EVERY, END_TRIES};
use super::connect::{ConnectError, Session, Sessions, StatementError};
use super::lsn;
use super::notes::{self, Notes, Stand};
use super::state::State;

/// Sessions that are being admitted at this moment.
const ARRIVING: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'virtualxid' AND pid <> pg_backend_pid() \
                        AND pid NOT IN (SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL)";
/// SQLSTATE of a write in a transaction that is read-only.
const READ_ONLY: &str = "25006";

pub(super) struct Look {
    pub state: State,
    pub notes: Option<Notes>,
    pub arriving: u64,
    pub sessions: Open,
    pub write_refused: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Open {
    /// Of roles that the fence stops.
    pub ordinary: u64,
    /// Of superusers, from before the fence ended all sessions.
    pub superuser_old: u64,
    /// Of superusers, begun after it: read-only unless they ask otherwise.
    pub superuser_new: u64,
    pub subscriptions: u64,
    pub prepared: u64,
}

fn open_sessions(ended_before: &str) -> String {
    let ours = notes::ours();
    format!(
        "SELECT json_build_object(
  'ordinary', count(*) FILTER (WHERE NOT coalesce(r.rolsuper, false)),
  'superuser_old', count(*) FILTER (WHERE r.rolsuper AND a.backend_start < {ended_before}),
  'superuser_new', count(*) FILTER (WHERE r.rolsuper AND a.backend_start >= {ended_before}),
  'subscriptions', (SELECT count(*) FROM pg_subscription WHERE subenabled),
  'prepared', (SELECT count(*) FROM pg_prepared_xacts))
FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND NOT {ours}"
    )
}

pub(super) async fn look(session: &Session) -> Result<Look, ConnectError> {
    let arriving: u64 = session.json(ARRIVING).await?;
    let ended_before = "coalesce((SELECT ended_before FROM mesh.fence), 'infinity')";
    let state = State::read(session).await?;
    let notes = notes::read(session, &state).await?;
    let sessions = session.json(&open_sessions(if state.noted { ended_before } else { "'infinity'" })).await?;
    let write_refused = state.noted && is_write_refused(session).await?;
    // What is on disk now is all that they ever wrote.
    let state = State::read(session).await?;
    Ok(Look { state, notes, arriving, sessions, write_refused })
}

/// PostgreSQL refuses it before it looks for rows, and there are none to change.
async fn is_write_refused(session: &Session) -> Result<bool, ConnectError> {
    match session.run("UPDATE mesh.fence SET intent = intent WHERE false").await {
        Err(StatementError::Refused { code, .. }) if code == READ_ONLY => Ok(true),
        Ok(_) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn observe(look: &Look, token: Token) -> Observation {
    let Look { state, notes, arriving, sessions, write_refused } = look;
    if state.in_recovery {
        return Observation::Blocked {
            reason: "the server is a replica, not a primary: somebody made it one; find out what it follows".to_owned(),
        };
    }
    let Some(notes) = notes else {
        return Observation::Ready { before: json!({ "state": "open", "read_only": state.read_only }).to_string() };
    };
    if notes.token() > token {
        return Observation::Superseded { found: notes.token().to_string() };
    }
    let closed = notes.state == Stand::Closed && notes.sealed && notes.admitting == 0 && state.read_only;
    let quiet = *arriving == 0 && sessions.ordinary == 0 && sessions.superuser_old == 0;
    let last_lsn =
        state.flush_lsn.filter(|_| closed && quiet && *write_refused && notes.token().generation == token.generation);
    let Some(last_lsn) = last_lsn else {
        return Observation::Ready { before: notes.describe() };
    };
    let read_back = json!({
        "timeline": state.timeline,
        "system_identifier": state.system_identifier,
        "last_lsn": last_lsn,
        "last_lsn_text": lsn(last_lsn),
        "sessions": 0,
        "superuser_sessions": sessions.superuser_new,
        "prepared_transactions": sessions.prepared,
        "subscriptions_not_stopped": sessions.subscriptions,
        "provider_time_ms": state.now_ms,
    });
    Observation::Satisfied { read_back: read_back.to_string() }
}

pub(super) async fn call(sessions: &Sessions, instance: &PostgresInstance, job: &Job) -> CallResult {
    match close(sessions, instance, job).await {
        Ok(reference) => CallResult::Accepted { reference },
        Err(result) => result,
    }
}

async fn close(sessions: &Sessions, instance: &PostgresInstance, job: &Job) -> Result<String, CallResult> {
    let mut call = Call::begin(sessions, instance, job).await?;
    let close = notes::close(call.token, &call.run, call.deadline_ms);
    call.change(&close).await?;
    call.change(notes::CLOSE_SETTING).await?;
    call.change("SELECT pg_reload_conf()").await?;
    let ours = notes::ours();
    let others = format!(
        "FROM pg_stat_activity a WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND NOT {ours}"
    );
    let ended_before = call.ask("SELECT extract(epoch FROM clock_timestamp())").await?;
    let mut ended = call.change(&format!("SELECT count(pg_terminate_backend(a.pid)) {others}")).await?;
    for _ in 0..END_TRIES {
        let arriving = call.ask(ARRIVING).await?;
        let left =
            call.ask(&format!("SELECT count(*) {others} AND a.backend_start < to_timestamp({ended_before})")).await?;
        if arriving == "0" && left == "0" {
            // One that was being admitted when the others were ended stands there now.
            let late = call.change(&end_ordinary()).await?;
            if late == "0" {
                let seal = notes::seal(call.token, &ended_before);
                call.change(&seal).await?;
                return Ok(format!("closed, {ended} sessions ended"));
            }
            ended = format!("{ended}+{late}");
        }
        tokio::time::sleep(END_EVERY).await;
    }
    Ok(format!("closed, {ended} sessions are ending"))
}

fn end_ordinary() -> String {
    let ours = notes::ours();
    format!(
        "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid \
         WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND NOT coalesce(r.rolsuper, false) \
         AND NOT {ours}"
    )
}
