//! What the mesh writes down in a server: `mesh.fence`, one row.
//!
//! It holds the token of the newest mutation, which refuses older ones; and what a fence replaced, so that an un-fence
//! restores exactly that, on this server or, after a promotion, on the replica that received the row.

use mesh_core::ids::{Generation, IntentSeq, Token};
use serde::Deserialize;
use serde_json::json;

use super::connect::{ConnectError, LOOKING, Session};
use super::state::State;

/// SQLSTATE of a mutation that came after a newer one.
pub(super) const NEWER: &str = "ME001";
/// SQLSTATE of a mutation that arrived after its time.
pub(super) const LATE: &str = "ME002";

/// What ALTER SYSTEM has set, if it has.
const KEPT: &str = "(SELECT setting FROM pg_file_settings WHERE name = 'default_transaction_read_only' \
                    AND sourcefile LIKE '%postgresql.auto.conf' ORDER BY seqno DESC LIMIT 1)";
/// Databases that can take sessions at all; PostgreSQL marks a half-dropped one with -2.
const DATABASES: &str = "FROM pg_database WHERE datallowconn AND datconnlimit > -2";

const TABLE: &str = "CREATE SCHEMA IF NOT EXISTS mesh;
CREATE TABLE IF NOT EXISTS mesh.fence (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  state text NOT NULL CHECK (state IN ('open', 'closed')),
  generation bigint NOT NULL,
  intent bigint NOT NULL,
  run text NOT NULL,
  sealed boolean NOT NULL DEFAULT false,
  ended_before timestamptz,
  limits jsonb NOT NULL DEFAULT '{}',
  read_only text);
LOCK TABLE mesh.fence IN EXCLUSIVE MODE;";

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Notes {
    pub state: Stand,
    pub generation: u64,
    pub intent: u64,
    /// After the fence no session was left, and a commit after that is on disk.
    pub sealed: bool,
    /// What ALTER SYSTEM had set before the fence.
    pub read_only: Option<String>,
    /// What it has set now, on this server.
    pub kept: Option<String>,
    /// Databases whose limit is not 0.
    pub admitting: u64,
    /// Databases whose limit is not what it was before the fence.
    pub differing: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stand {
    Open,
    Closed,
}

impl Notes {
    pub(super) fn token(&self) -> Token {
        Token { generation: Generation(self.generation), intent: IntentSeq(self.intent) }
    }

    /// Is the default of new transactions on this server what it was before the fence?
    pub(super) fn setting_restored(&self) -> bool {
        is_on(self.kept.as_deref()) == is_on(self.read_only.as_deref())
    }

    pub(super) fn describe(&self) -> String {
        json!({
            "state": if self.state == Stand::Open { "open" } else { "closed" },
            "token": self.token().to_string(),
            "databases_admitting": self.admitting,
            "default_transaction_read_only": self.kept,
        })
        .to_string()
    }
}

pub(super) fn is_on(setting: Option<&str>) -> bool {
    setting.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1"))
}

/// `None`: the mesh never changed anything here.
pub(super) async fn read(session: &Session, state: &State) -> Result<Option<Notes>, ConnectError> {
    if !state.noted {
        return Ok(None);
    }
    let statement = format!(
        "SELECT coalesce((SELECT json_build_object('state', state, 'generation', generation, 'intent', intent, \
         'sealed', sealed, 'read_only', read_only, 'kept', {KEPT}, \
         'admitting', (SELECT count(*) {DATABASES} AND datconnlimit <> 0), \
         'differing', (SELECT count(*) FROM pg_database d, jsonb_each_text(limits) l \
         WHERE d.datname = l.key AND d.datconnlimit <> l.value::int)) FROM mesh.fence), 'null'::json)"
    );
    session.json(&statement).await
}

/// In the words of SQL: the head of every change.
fn refuse_older(token: Token, deadline_ms: u64) -> String {
    let (generation, intent) = (token.generation.0, token.intent.0);
    format!(
        "IF clock_timestamp() > to_timestamp({deadline_ms} / 1000.0) THEN
    RAISE EXCEPTION 'it came too late' USING ERRCODE = '{LATE}';
  END IF;
  SELECT * INTO was FROM mesh.fence;
  known := FOUND;
  IF known AND (was.generation, was.intent) > ({generation}, {intent}) THEN
    RAISE EXCEPTION 'generation % intent % was here', was.generation, was.intent USING ERRCODE = '{NEWER}';
  END IF;"
    )
}

/// One transaction: notes what there is, and closes every database to new sessions.
pub(super) fn close(token: Token, run: &str, deadline_ms: u64) -> String {
    let (generation, intent) = (token.generation.0, token.intent.0);
    let guard = refuse_older(token, deadline_ms);
    format!(
        "BEGIN READ WRITE;
{TABLE}
DO $mesh$ DECLARE was mesh.fence%ROWTYPE; known boolean; present jsonb; db name;
BEGIN
  {guard}
  SELECT coalesce(jsonb_object_agg(datname, datconnlimit), '{{}}') INTO present {DATABASES};
  IF known AND was.state = 'closed' THEN
    UPDATE mesh.fence SET generation = {generation}, intent = {intent}, run = '{run}', sealed = false,
      ended_before = NULL, limits = present || was.limits;
  ELSE
    DELETE FROM mesh.fence;
    INSERT INTO mesh.fence (state, generation, intent, run, limits, read_only)
      VALUES ('closed', {generation}, {intent}, '{run}', present, {KEPT});
  END IF;
  FOR db IN SELECT datname {DATABASES} AND datconnlimit <> 0 LOOP
    EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 0', db);
  END LOOP;
END $mesh$;
COMMIT"
    )
}

/// Every session that could write was gone at the server's time `ended_before`; this commit is on disk after all of
/// theirs.
pub(super) fn seal(token: Token, ended_before: &str) -> String {
    let (generation, intent) = (token.generation.0, token.intent.0);
    format!(
        "BEGIN READ WRITE; UPDATE mesh.fence SET sealed = true, ended_before = to_timestamp({ended_before}) \
         WHERE state = 'closed' AND generation = {generation} AND intent = {intent}; COMMIT"
    )
}

/// Writes the token, so that nothing older is accepted from here on.
pub(super) fn mark(token: Token, run: &str, deadline_ms: u64) -> String {
    let (generation, intent) = (token.generation.0, token.intent.0);
    let guard = refuse_older(token, deadline_ms);
    format!(
        "BEGIN READ WRITE;
{TABLE}
DO $mesh$ DECLARE was mesh.fence%ROWTYPE; known boolean;
BEGIN
  {guard}
  IF known THEN
    UPDATE mesh.fence SET generation = {generation}, intent = {intent}, run = '{run}', sealed = false;
  ELSE
    INSERT INTO mesh.fence (state, generation, intent, run) VALUES ('open', {generation}, {intent}, '{run}');
  END IF;
END $mesh$;
COMMIT"
    )
}

/// One transaction: every database has its former limit.
pub(super) fn open(token: Token, deadline_ms: u64) -> String {
    let guard = refuse_older(token, deadline_ms);
    format!(
        "BEGIN READ WRITE;
LOCK TABLE mesh.fence IN EXCLUSIVE MODE;
DO $mesh$ DECLARE was mesh.fence%ROWTYPE; known boolean; db name; former int;
BEGIN
  {guard}
  IF was.state = 'closed' THEN
    FOR db, former IN SELECT d.datname, l.value::int FROM pg_database d, jsonb_each_text(was.limits) l
      WHERE d.datname = l.key AND d.datconnlimit <> l.value::int LOOP
      EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT %s', db, former);
    END LOOP;
    UPDATE mesh.fence SET state = 'open';
  END IF;
END $mesh$;
COMMIT"
    )
}

/// ALTER SYSTEM that restores what stood there before the fence; none if it does.
pub(super) fn restore_setting(notes: &Notes) -> Option<&'static str> {
    if notes.setting_restored() {
        return None;
    }
    Some(match notes.read_only.as_deref() {
        None => "ALTER SYSTEM RESET default_transaction_read_only",
        former if is_on(former) => CLOSE_SETTING,
        Some(_) => "ALTER SYSTEM SET default_transaction_read_only = off",
    })
}

pub(super) const CLOSE_SETTING: &str = "ALTER SYSTEM SET default_transaction_read_only = on";

/// Sessions of the mesh itself: of its own user, under its own names.
pub(super) fn ours() -> String {
    format!(
        "(a.usename = current_user AND (a.application_name = '{LOOKING}' OR a.application_name LIKE 'mesh-call %'))"
    )
}
