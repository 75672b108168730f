//! The operator's own commands on the agent's host. A manifest names one; what it is stands in the agent's configuration
//! alone, as a program and its arguments: nothing of a manifest is ever part of a command line.
//!
//! A command sees a bare environment that says what is wanted: `MESH_SERVICE`, `MESH_REGION`, `MESH_GENERATION`, `MESH_RUN`,
//! `MESH_KEY` (the same for every attempt) and `MESH_HOOK`. It is to refuse a generation that is older than what it did
//! last, and to end in its time: then it is killed, with all that it started.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::plan::Action;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// Hooks of one agent, and words of one command.
const HOOKS_MAX: usize = 32;
const WORDS_MAX: usize = 64;
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 100..=50_000;
/// What of its complaint is kept.
const SAID_MAX: usize = 512;
/// What a command that has ended may have left in its pipe.
const LAST_WORDS: Duration = Duration::from_millis(20);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Of the check.
const CLOSED: i32 = 0;
const OPEN: i32 = 1;

/// One `[hooks.NAME]` table of the agent's configuration. Each command is a program, by its whole path, and its arguments.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookConfig {
    /// Closes the region: exit code 0 when it has.
    pub fence: Vec<String>,
    /// Opens it again.
    pub unfence: Vec<String>,
    /// Changes nothing: 0 it is closed, 1 it is open, anything else that it cannot be told.
    pub check: Vec<String>,
    /// Milliseconds for each.
    #[serde(default = "timeout_default")]
    pub timeout: u64,
}

const fn timeout_default() -> u64 {
    5_000
}

/// What is wrong with the tables, if anything.
pub fn fault(hooks: &BTreeMap<String, HookConfig>) -> Option<String> {
    if hooks.len() > HOOKS_MAX {
        return Some(format!("at most {HOOKS_MAX} hooks"));
    }
    hooks.iter().find_map(|(name, hook)| {
        if !TIMEOUT_MS.contains(&hook.timeout) {
            let (least, most) = (TIMEOUT_MS.start(), TIMEOUT_MS.end());
            return Some(format!("{name}: timeout must be {least} to {most} milliseconds"));
        }
        let commands = [("fence", &hook.fence), ("unfence", &hook.unfence), ("check", &hook.check)];
        let wrong = |words: &Vec<String>| {
            !words.first().is_some_and(|program| Path::new(program).is_absolute()) || words.len() > WORDS_MAX
        };
        let (what, _) = commands.into_iter().find(|(_, words)| wrong(words))?;
        Some(format!(
            "{name}: {what} must be a program, by its whole path, and its arguments: at most {WORDS_MAX} words"
        ))
    })
}

pub(crate) struct Hooks(pub BTreeMap<String, HookConfig>);

impl Hooks {
    pub(crate) async fn observe(&self, job: &Job) -> Observation {
        let Some((name, hook, closing)) = self.of(job) else {
            return Observation::Blocked { reason: self.unknown(job) };
        };
        let ended = run(&hook.check, job, name, hook.timeout).await;
        match ended.map(|ended| (ended.code(), ended.said)) {
            Ok((Some(code @ (CLOSED | OPEN)), _)) if (code == CLOSED) == closing => {
                Observation::Satisfied { read_back: format!("{{\"hook\":\"{name}\",\"closed\":{closing}}}") }
            }
            Ok((Some(CLOSED | OPEN), _)) => Observation::Ready { before: format!("{{\"closed\":{}}}", !closing) },
            Ok((code, said)) => Observation::Unreadable { reason: format!("check of {name} {}{said}", exit(code)) },
            Err(reason) => Observation::Unreadable { reason: format!("check of {name}: {reason}") },
        }
    }

    pub(crate) async fn call(&self, job: &Job) -> CallResult {
        let Some((name, hook, closing)) = self.of(job) else {
            return CallResult::Rejected { reason: self.unknown(job) };
        };
        let command = if closing { &hook.fence } else { &hook.unfence };
        match run(command, job, name, hook.timeout).await {
            Ok(ended) if ended.code() == Some(0) => CallResult::Accepted { reference: job.key.clone() },
            // It may have done all of it or nothing: the check tells.
            Ok(ended) => CallResult::Unknown { reason: format!("{name} {}{}", exit(ended.code()), ended.said) },
            Err(Failed::NotStarted(reason)) => CallResult::NotApplied { reason: format!("{name}: {reason}") },
            Err(failed) => CallResult::Unknown { reason: format!("{name}: {failed}") },
        }
    }

    /// Name, commands, and whether it is to close.
    fn of<'a>(&'a self, job: &'a Job) -> Option<(&'a str, &'a HookConfig, bool)> {
        let (name, closing) = match &job.action {
            Action::HookFence { hook } => (hook, true),
            Action::HookUnfence { hook } => (hook, false),
            _ => return None,
        };
        Some((name, self.0.get(name)?, closing))
    }

    fn unknown(&self, job: &Job) -> String {
        let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
        let wanted = job.action.resource(&job.region);
        format!("this agent's configuration has no {wanted}; its hooks: {}", known.join(", "))
    }
}

fn exit(code: Option<i32>) -> String {
    code.map_or_else(|| "was killed".to_owned(), |code| format!("ended with exit code {code}"))
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    NotStarted(String),
    #[error("did not end within {0:?} and was killed")]
    Late(Duration),
    #[error("{0}")]
    Lost(std::io::Error),
}

struct Ended {
    status: ExitStatus,
    /// The beginning of what it complained of, after a colon.
    said: String,
}

impl Ended {
    fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

async fn run(words: &[String], job: &Job, hook: &str, timeout_ms: u64) -> Result<Ended, Failed> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failed::NotStarted("no command is configured".to_owned()));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/").process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env("MESH_SERVICE", job.service.as_str()).env("MESH_REGION", job.region.as_str());
    command.env("MESH_GENERATION", job.token.generation.0.to_string()).env("MESH_RUN", job.run.as_str());
    command.env("MESH_KEY", &job.key).env("MESH_HOOK", hook);
    let mut child = command.spawn().map_err(|error| Failed::NotStarted(format!("{program}: {error}")))?;
    // What it started ends with it, however this future ends.
    let _group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let within = Duration::from_millis(timeout_ms);
    timeout(within, ended(&mut child)).await.map_err(|_| Failed::Late(within))?.map_err(Failed::Lost)
}

async fn ended(child: &mut Child) -> std::io::Result<Ended> {
    let mut said = Vec::new();
    let mut stderr = child.stderr.take();
    let status = loop {
        let Some(pipe) = stderr.as_mut() else { break child.wait().await? };
        tokio::select! {
            status = child.wait() => break status?,
            more = listen(pipe, &mut said) => if !more { stderr = None },
        }
    };
    // Somebody that it started may keep the pipe open: that is not waited for.
    while let Some(pipe) = stderr.as_mut() {
        if said.len() >= SAID_MAX || !timeout(LAST_WORDS, listen(pipe, &mut said)).await.unwrap_or(false) {
            break;
        }
    }
    let text: String = String::from_utf8_lossy(&said).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let said = if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) };
    Ok(Ended { status, said })
}

/// False at its end. All is read, so that it is never stopped by a full pipe; the beginning is kept.
async fn listen(pipe: &mut ChildStderr, said: &mut Vec<u8>) -> bool {
    let mut some = [0; 1024];
    let Ok(length) = pipe.read(&mut some).await else { return false };
    let room = SAID_MAX.saturating_sub(said.len()).min(length);
    said.extend(some.iter().take(room));
    length > 0
}

struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Usually it is empty by now.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use mesh_core::ids::RegionId;

    use super::*;
    use crate::test_jobs::job;

    /// A fence that is a file: there is one when it is closed.
    struct Gate {
        dir: tempfile::TempDir,
        hooks: Hooks,
    }

    impl Gate {
        fn new(fence: &str, timeout: u64) -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let shell = |script: &str| {
                let script = script.replace("GATE", &dir.path().join("closed").display().to_string());
                ["/bin/sh", "-c", &script].map(str::to_owned).to_vec()
            };
            let hook = HookConfig {
                fence: shell(fence),
                unfence: shell("rm -f GATE"),
                check: shell("if [ -e GATE ]; then exit 0; else exit 1; fi"),
                timeout,
            };
            Self { hooks: Hooks(BTreeMap::from([("gate".to_owned(), hook)])), dir }
        }

        fn file(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }
    }

    const PLENTY: u64 = 50_000;

    fn fence() -> Job {
        job("hook-fence-gate", Action::HookFence { hook: "gate".to_owned() })
    }

    fn unfence() -> Job {
        job("hook-unfence-gate", Action::HookUnfence { hook: "gate".to_owned() })
    }

    #[tokio::test]
    async fn exit_codes_close_open_and_tell_which() {
        let gate = Gate::new("touch GATE", PLENTY);
        assert!(matches!(gate.hooks.observe(&fence()).await, Observation::Ready { .. }));
        assert!(matches!(gate.hooks.observe(&unfence()).await, Observation::Satisfied { .. }));
        assert!(matches!(gate.hooks.call(&fence()).await, CallResult::Accepted { .. }));
        assert!(matches!(gate.hooks.observe(&fence()).await, Observation::Satisfied { .. }));
        assert!(matches!(gate.hooks.observe(&unfence()).await, Observation::Ready { .. }));
        assert!(matches!(gate.hooks.call(&unfence()).await, CallResult::Accepted { .. }));
        assert!(matches!(gate.hooks.observe(&fence()).await, Observation::Ready { .. }));
    }

    #[tokio::test]
    async fn a_command_knows_what_is_wanted_and_nothing_of_the_agent_s_environment() {
        let gate = Gate::new("env > GATE", PLENTY);
        let wanted = fence();
        assert!(matches!(gate.hooks.call(&wanted).await, CallResult::Accepted { .. }));
        let seen = std::fs::read_to_string(gate.file("closed")).expect("it ran");
        for line in [
            format!("MESH_SERVICE={}", wanted.service),
            format!("MESH_REGION={}", wanted.region),
            format!("MESH_GENERATION={}", wanted.token.generation),
            format!("MESH_KEY={}", wanted.key),
            "MESH_HOOK=gate".to_owned(),
        ] {
            assert!(seen.lines().any(|known| known == line), "{line}: {seen}");
        }
        assert!(!seen.contains("CARGO"), "{seen}");
    }

    #[tokio::test]
    async fn a_command_that_fails_may_have_done_it_and_the_check_tells() {
        let gate = Gate::new("touch GATE; echo no room >&2; exit 3", PLENTY);
        let CallResult::Unknown { reason } = gate.hooks.call(&fence()).await else { panic!("not known") };
        assert!(reason.contains("exit code 3: no room"), "{reason}");
        assert!(matches!(gate.hooks.observe(&fence()).await, Observation::Satisfied { .. }));
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_killed_with_all_that_it_started() {
        let gate = Gate::new("(sleep 1000; touch GATE) & echo $! > GATE.pid; wait", 2_000);
        let CallResult::Unknown { reason } = gate.hooks.call(&fence()).await else { panic!("not known") };
        assert!(reason.contains("was killed"), "{reason}");
        let pid = std::fs::read_to_string(gate.file("closed.pid")).expect("it began");
        let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
        for _ in 0..3_000 {
            // Nobody may have waited for it yet.
            let state = std::fs::read_to_string(&stat).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("what it started goes on");
    }

    #[tokio::test]
    async fn what_it_leaves_behind_is_not_waited_for_and_ends() {
        let gate = Gate::new("sleep 1000 & touch GATE", PLENTY);
        assert!(matches!(gate.hooks.call(&fence()).await, CallResult::Accepted { .. }));
    }

    #[tokio::test]
    async fn a_check_that_cannot_tell_tells_nothing() {
        let mut gate = Gate::new("touch GATE", PLENTY);
        for hook in gate.hooks.0.values_mut() {
            hook.check = ["/bin/sh", "-c", "exit 2"].map(str::to_owned).to_vec();
        }
        assert!(matches!(gate.hooks.observe(&fence()).await, Observation::Unreadable { .. }));
        for hook in gate.hooks.0.values_mut() {
            hook.check = vec!["/nowhere/at-all".to_owned()];
            hook.fence = vec!["/nowhere/at-all".to_owned()];
        }
        assert!(matches!(gate.hooks.observe(&fence()).await, Observation::Unreadable { .. }));
        assert!(matches!(gate.hooks.call(&fence()).await, CallResult::NotApplied { .. }), "it never began");
    }

    #[tokio::test]
    async fn a_hook_that_is_not_configured_here_is_not_run() {
        let gate = Gate::new("touch GATE", PLENTY);
        let other = Job { region: RegionId::new("us-east-1").expect("a region"), ..fence() };
        let other = Job { action: Action::HookFence { hook: "other".to_owned() }, ..other };
        let Observation::Blocked { reason } = gate.hooks.observe(&other).await else { panic!("blocked") };
        assert!(reason.contains("no hook/us-east-1/other; its hooks: gate"), "{reason}");
        assert!(matches!(gate.hooks.call(&other).await, CallResult::Rejected { .. }));
    }

    #[test]
    fn a_table_that_could_not_be_run_is_refused() {
        let good = Gate::new("true", PLENTY).hooks.0;
        assert_eq!(fault(&good), None);
        let change = |change: &dyn Fn(&mut HookConfig)| {
            let mut hooks = good.clone();
            hooks.values_mut().for_each(change);
            fault(&hooks)
        };
        assert!(change(&|hook| hook.fence.clear()).is_some_and(|why| why.contains("fence")));
        assert!(change(&|hook| hook.check = vec!["true".to_owned()]).is_some_and(|why| why.contains("check")));
        assert!(change(&|hook| hook.timeout = 0).is_some_and(|why| why.contains("timeout")));
        assert!(change(&|hook| hook.unfence = vec!["/x".to_owned(); WORDS_MAX + 1]).is_some());
    }
}
