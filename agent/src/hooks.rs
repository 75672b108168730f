//! Fences that are commands: operations that the agent's configuration allows by name, and nothing else.
//!
//! An operation is three programs without a shell: `close`, `open`, and `state`, which says by its exit code how things are:
//! 0 closed, 1 open; anything else is no answer. What counts is `state`, before and after.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::plan::Action;
use mesh_providers::Provider;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

/// Operations that one agent allows.
pub const HOOKS_MAX: usize = 16;
/// For a program to answer; then it is killed, and what it did is unknown.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const EXIT_CLOSED: i32 = 0;
const EXIT_OPEN: i32 = 1;

/// `[hooks.NAME]`: each a program with its arguments, by its full path.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookConfig {
    pub close: Vec<String>,
    pub open: Vec<String>,
    pub state: Vec<String>,
}

/// A provider that carries out hooks and hands everything else on.
pub struct Hooks {
    pub allowed: BTreeMap<String, HookConfig>,
    pub others: Arc<dyn Provider>,
}

#[async_trait]
impl Provider for Hooks {
    async fn observe(&self, job: &Job, accepted: Option<&str>) -> Observation {
        let Action::Hook { name, closes } = &job.action else { return self.others.observe(job, accepted).await };
        let Some(hook) = self.allowed.get(name) else { return Observation::Blocked { reason: not_allowed(name) } };
        match run(&hook.state).await {
            Ok(EXIT_CLOSED) => seen(true, *closes),
            Ok(EXIT_OPEN) => seen(false, *closes),
            Ok(code) => Observation::Unreadable { reason: format!("the state of {name}: exit code {code}") },
            Err(reason) => Observation::Unreadable { reason: format!("the state of {name}: {reason}") },
        }
    }

    async fn call(&self, job: &Job, before: &str) -> CallResult {
        let Action::Hook { name, closes } = &job.action else { return self.others.call(job, before).await };
        let Some(hook) = self.allowed.get(name) else { return CallResult::Rejected { reason: not_allowed(name) } };
        match run(if *closes { &hook.close } else { &hook.open }).await {
            Ok(0) => CallResult::Accepted { reference: name.clone() },
            // It may have done a part.
            Ok(code) => CallResult::Unknown { reason: format!("{name}: exit code {code}") },
            Err(reason) => CallResult::Unknown { reason: format!("{name}: {reason}") },
        }
    }
}

fn seen(closed: bool, wanted: bool) -> Observation {
    let state = format!("{{\"closed\":{closed}}}");
    if closed == wanted { Observation::Satisfied { read_back: state } } else { Observation::Ready { before: state } }
}

fn not_allowed(name: &str) -> String {
    format!("no `[hooks.{name}]` in this agent's configuration")
}

async fn run(program: &[String]) -> Result<i32, String> {
    let (path, arguments) = program.split_first().ok_or("it names no program")?;
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match timeout(ANSWER_WITHIN, command.status()).await {
        Ok(Ok(status)) => status.code().ok_or_else(|| "it was killed".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no end within {ANSWER_WITHIN:?}")),
    }
}
