//! What a server says of itself.

use serde::Deserialize;

use super::connect::{ConnectError, Session};

/// The newest timeline that the server knows of. A standby takes it from whichever learnt it first; a promotion goes to
/// a higher one than any of them.
pub(super) const TIMELINE: &str = "CASE WHEN pg_is_in_recovery() THEN greatest(
    (SELECT timeline_id FROM pg_control_checkpoint()),
    (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
    (SELECT received_tli FROM pg_stat_wal_receiver),
    (SELECT max(('x' || left(name, 8))::bit(32)::int) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{8}[.]history$'))
  ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END";

const STATE: &str = "SELECT json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
  'timeline', $TIMELINE$,
  'followed', greatest(
    (SELECT timeline_id FROM pg_control_checkpoint()),
    (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
    (SELECT received_tli FROM pg_stat_wal_receiver)),
  'replay_lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0'::pg_lsn END,
  'receive_lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() - '0/0'::pg_lsn END,
  'flush_lsn', CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() - '0/0'::pg_lsn END,
  'streaming', coalesce((SELECT status = 'streaming' FROM pg_stat_wal_receiver), false),
  'source', (SELECT sender_host || ':' || sender_port FROM pg_stat_wal_receiver),
  'replayed_ago_ms', CASE WHEN pg_is_in_recovery()
    THEN round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000) END,
  'replay_paused', CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END,
  'read_only', current_setting('default_transaction_read_only')::bool,
  'noted', to_regclass('mesh.fence') IS NOT NULL,
  'retry_interval_ms', (SELECT setting::int FROM pg_settings WHERE name = 'wal_retrieve_retry_interval'),
  'now_ms', round(extract(epoch FROM clock_timestamp()) * 1000))";

/// Positions are bytes from the beginning of all WAL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct State {
    pub in_recovery: bool,
    pub system_identifier: String,
    /// The newest that it knows of.
    pub timeline: u32,
    /// The newest that it has surely taken WAL of.
    pub followed: u32,
    pub replay_lsn: Option<u64>,
    pub receive_lsn: Option<u64>,
    /// Of a primary: what is on its disk, so all that was ever acknowledged.
    pub flush_lsn: Option<u64>,
    pub streaming: bool,
    pub source: Option<String>,
    /// Since the last replayed commit was made, by the two servers' clocks.
    pub replayed_ago_ms: Option<i64>,
    pub replay_paused: bool,
    /// What a new transaction is by default.
    pub read_only: bool,
    /// The mesh has left notes in this database.
    pub noted: bool,
    pub retry_interval_ms: u32,
    pub now_ms: u64,
}

impl State {
    pub(super) async fn read(session: &Session) -> Result<Self, ConnectError> {
        session.json(&STATE.replace("$TIMELINE$", TIMELINE)).await
    }

    /// Milliseconds that it is behind, while that means anything.
    pub(super) fn lag_ms(&self) -> Option<u64> {
        if !self.streaming {
            return None;
        }
        let (received, replayed) = (self.receive_lsn?, self.replay_lsn?);
        if replayed >= received {
            return Some(0);
        }
        // The primary's clock may be ahead of ours.
        self.replayed_ago_ms.map(|ago| u64::try_from(ago).unwrap_or(0))
    }

    pub(super) fn lag_bytes(&self) -> Option<u64> {
        if !self.streaming {
            return None;
        }
        Some(self.receive_lsn?.saturating_sub(self.replay_lsn?))
    }
}

/// Where a promoted server left the timeline that it had followed: it has everything before, and nothing after. `None`
/// of a replica, and of a server that was never promoted.
pub(super) async fn left_timeline_at(session: &Session, state: &State) -> Result<Option<u64>, ConnectError> {
    if state.in_recovery || state.timeline <= 1 {
        return Ok(None);
    }
    let file = format!("SELECT pg_read_file('pg_wal/{:08X}.history', 0, 65536, true)", state.timeline);
    let text = session.run(&file).await?.into_iter().flatten().next().unwrap_or_default();
    Ok(last_switch(&text))
}

/// A timeline history holds a line `<timeline> TAB <position> TAB <reason>` for each timeline that was left.
pub(crate) fn last_switch(history: &str) -> Option<u64> {
    let line = history.lines().rev().find(|line| !line.trim().is_empty() && !line.starts_with('#'))?;
    let (high, low) = line.split_whitespace().nth(1)?.split_once('/')?;
    let high = u64::from(u32::from_str_radix(high, 16).ok()?);
    Some((high << 32) | u64::from(u32::from_str_radix(low, 16).ok()?))
}
