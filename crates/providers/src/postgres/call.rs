//! One call: a session of its own, older ones ended first, every statement asked for permission.

use std::time::{Duration, Instant};

use mesh_core::execute::{CallResult, Job};
use mesh_core::ids::Token;
use mesh_core::manifest::PostgresInstance;

use super::connect::{CALLING, Session, Sessions, StatementError};
use super::notes::{LATE, NEWER, Notes};
use super::state::State;
use super::{connect::ConnectError, notes};
use crate::permit;

/// A statement that reaches the server later than this after its session began does nothing.
const CALL_BUDGET: Duration = Duration::from_secs(2);
/// How long the end of a session that was told to end is waited for.
pub(super) const END_TRIES: u32 = 40;
pub(super) const END_EVERY: Duration = Duration::from_millis(5);

/// Refused for good: the mesh's user may not.
const NOT_PERMITTED: &str = "42501";

pub(super) struct Call {
    session: Session,
    pub token: Token,
    pub run: String,
    /// By the server's clock.
    pub deadline_ms: u64,
    began: Instant,
    /// Something was applied already.
    applied: bool,
}

impl Call {
    /// Connects, and ends the sessions of older calls: what they may still have sent dies with them.
    pub(super) async fn begin(sessions: &Sessions, at: &PostgresInstance, job: &Job) -> Result<Self, CallResult> {
        let nothing = |error: ConnectError| CallResult::NotApplied { reason: error.text() };
        let began = Instant::now();
        let session = sessions.call(at, job.token).await.map_err(nothing)?;
        let state = State::read(&session).await.map_err(nothing)?;
        let deadline_ms = state.now_ms.saturating_add(mesh_core::time::duration_millis(CALL_BUDGET));
        let (token, run) = (job.token, job.run.to_string());
        let mut call = Self { session, token, run, deadline_ms, began, applied: false };
        call.end_older().await?;
        Ok(call)
    }

    async fn end_older(&mut self) -> Result<(), CallResult> {
        let (generation, intent) = (self.token.generation.0, self.token.intent.0);
        let numbers = format!("regexp_match(application_name, '^{CALLING} ([0-9]+)[.]([0-9]+)$')");
        let older = format!(
            "FROM pg_stat_activity, LATERAL {numbers} AS n WHERE usename = current_user AND pid <> pg_backend_pid() \
             AND (n[1]::bigint, n[2]::bigint) <= ({generation}, {intent})"
        );
        for _ in 0..END_TRIES {
            let left = self.ask(&format!("SELECT count(pg_terminate_backend(pid)) {older}")).await?;
            if left == "0" {
                return Ok(());
            }
            tokio::time::sleep(END_EVERY).await;
        }
        Err(CallResult::NotApplied { reason: "the session of an older call does not end".to_owned() })
    }

    /// A statement that changes nothing that the mesh is answerable for; its one value.
    pub(super) async fn ask(&self, statement: &str) -> Result<String, CallResult> {
        match self.session.run(statement).await {
            Ok(rows) => Ok(rows.into_iter().flatten().next().unwrap_or_default()),
            Err(error) => Err(self.ended(error.text())),
        }
    }

    /// A statement that changes something; its one value.
    pub(super) async fn change(&mut self, statement: &str) -> Result<String, CallResult> {
        if !permit::holds() {
            return Err(self.ended(permit::PermissionEnded.to_string()));
        }
        if self.began.elapsed() > CALL_BUDGET {
            return Err(self.ended("its time ended before it was sent".to_owned()));
        }
        match self.session.run(statement).await {
            Ok(rows) => {
                self.applied = true;
                Ok(rows.into_iter().flatten().next().unwrap_or_default())
            }
            Err(StatementError::Lost(reason)) => Err(CallResult::Unknown { reason }),
            Err(StatementError::Refused { code, message }) => Err(self.refused(&code, message)),
        }
    }

    fn refused(&self, code: &str, message: String) -> CallResult {
        if self.applied {
            return CallResult::Unknown { reason: message };
        }
        match code {
            NOT_PERMITTED => {
                CallResult::Rejected { reason: format!("{message}: the mesh's user has to be a superuser") }
            }
            NEWER | LATE => CallResult::NotApplied { reason: message },
            code => CallResult::NotApplied { reason: format!("{message} (SQLSTATE {code})") },
        }
    }

    /// Of a call that goes no further.
    fn ended(&self, reason: String) -> CallResult {
        if self.applied { CallResult::Unknown { reason } } else { CallResult::NotApplied { reason } }
    }

    pub(super) async fn state(&self) -> Result<State, CallResult> {
        State::read(&self.session).await.map_err(|error| self.ended(error.text()))
    }

    pub(super) async fn notes(&self) -> Result<Option<Notes>, CallResult> {
        let state = self.state().await?;
        notes::read(&self.session, &state).await.map_err(|error| self.ended(error.text()))
    }

    /// Puts the server's settings and limits back to what the fence noted. Repeats safely.
    pub(super) async fn open(&mut self) -> Result<(), CallResult> {
        let mark = notes::mark(self.token, &self.run, self.deadline_ms);
        self.change(&mark).await?;
        let noted = self.notes().await?;
        if let Some(statement) = noted.as_ref().and_then(notes::restore_setting) {
            self.change(statement).await?;
        }
        // Also when the setting was restored before: whoever did it may have come no further.
        self.change("SELECT pg_reload_conf()").await?;
        let open = notes::open(self.token, self.deadline_ms);
        self.change(&open).await?;
        Ok(())
    }
}
