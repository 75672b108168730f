//! Processes that the demo starts. In a scenario they end with it, also when it is killed; `demo up` lets them live.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};

use crate::failure::{Failure, Outcome};

/// How long a process gets to end by itself after SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(5);
const WAIT_STEP: Duration = Duration::from_millis(20);
/// Tail of a log that an error shows.
const TAIL_LINES: usize = 12;

/// The programs of the mesh, beside this one.
#[derive(Clone, Debug)]
pub struct Programs {
    pub meshctl: PathBuf,
    pub coordinator: PathBuf,
    pub agent: PathBuf,
    pub double: PathBuf,
}

impl Programs {
    pub fn find() -> Result<Self, Failure> {
        let own = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("cannot find this program's own file: {error}")))?;
        Self::beside(&own)
    }

    pub fn beside(meshctl: &Path) -> Result<Self, Failure> {
        let dir = meshctl.parent().unwrap_or(Path::new("."));
        let find = |name: &str| {
            let path = dir.join(name);
            if path.is_file() {
                return Ok(path);
            }
            Err(Failure::usage(format!("{name} is not beside meshctl in {}", dir.display()))
                .hint("build all programs with the same profile: `cargo build --workspace --bins`"))
        };
        Ok(Self {
            meshctl: meshctl.to_owned(),
            coordinator: find("mesh-coordinator")?,
            agent: find("mesh-agent")?,
            double: find("mesh-double")?,
        })
    }
}

impl Programs {
    /// A meshctl command that ends when we end, however we end.
    pub fn meshctl(&self, profile: &Path) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.meshctl);
        command.arg("demo-child").arg("--").arg(&self.meshctl);
        command.env("MESH_PROFILE", profile).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// One started process. It leads a process group of its own.
pub struct Process {
    pub name: String,
    pub log: PathBuf,
    program: PathBuf,
    args: Vec<OsString>,
    child: Child,
}

impl Process {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it ended?
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of its log, for an error.
    pub fn tail(&self) -> Vec<String> {
        tail(&self.log)
    }
}

pub fn tail(log: &Path) -> Vec<String> {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)).map(|line| (*line).to_owned()).collect()
}

/// The started processes; all are ended when this is dropped, unless they were let go.
pub struct Processes {
    /// The program that ties a child's life to ours; `None` lets children live on.
    guard: Option<PathBuf>,
    pub all: Vec<Process>,
}

impl Processes {
    pub fn tied_to_us(programs: &Programs) -> Self {
        Self { guard: Some(programs.meshctl.clone()), all: Vec::new() }
    }

    pub fn living_on() -> Self {
        Self { guard: None, all: Vec::new() }
    }

    pub fn start(&mut self, name: &str, program: &Path, args: &[OsString], log: &Path) -> Result<(), Failure> {
        let child = self.spawn(program, args, log)?;
        let (name, log) = (name.to_owned(), log.to_owned());
        self.all.push(Process { name, log, program: program.to_owned(), args: args.to_vec(), child });
        Ok(())
    }

    fn spawn(&self, program: &Path, args: &[OsString], log: &Path) -> Result<Child, Failure> {
        let refuse = |error: std::io::Error| Failure::failed(format!("cannot start {}: {error}", program.display()));
        let output = File::options().create(true).append(true).open(log);
        let output = output.map_err(|error| Failure::file(log, "write", &error))?;
        let errors = output.try_clone().map_err(|error| Failure::file(log, "write", &error))?;
        let mut command = match &self.guard {
            Some(guard) => {
                let mut command = Command::new(guard);
                command.arg("demo-child").arg("--").arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(args).stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        command.spawn().map_err(refuse)
    }

    /// Ends one process as a power cut would, and waits until it is gone.
    pub fn kill(&mut self, name: &str) -> Result<(), Failure> {
        let process = self.named(name)?;
        signal_group(process.pid(), Signal::KILL);
        process.child.wait().map_err(|error| Failure::failed(format!("{name}: {error}")))?;
        Ok(())
    }

    /// Starts an ended process again as it was started first; its log goes on.
    pub fn restart(&mut self, name: &str) -> Result<(), Failure> {
        let process = self.named(name)?;
        let (program, args, log) = (process.program.clone(), process.args.clone(), process.log.clone());
        let child = self.spawn(&program, &args, &log)?;
        self.named(name)?.child = child;
        Ok(())
    }

    fn named(&mut self, name: &str) -> Result<&mut Process, Failure> {
        let found = self.all.iter_mut().find(|process| process.name == name);
        found.ok_or_else(|| Failure::failed(format!("no process is named {name}")))
    }

    /// The first process that has ended although it should run.
    pub fn first_ended(&mut self) -> Option<&Process> {
        let at = self.all.iter_mut().position(Process::ended)?;
        self.all.get(at)
    }

    /// They go on without us.
    pub fn let_go(mut self) -> Vec<(String, u32)> {
        let left = std::mem::take(&mut self.all);
        left.iter().map(|process| (process.name.clone(), process.pid())).collect()
    }

    pub fn end_all(&mut self) {
        for process in &mut self.all {
            if !process.ended() {
                signal_group(process.pid(), Signal::TERM);
            }
        }
        let deadline = Instant::now() + TERM_GRACE;
        while self.all.iter_mut().any(|process| !process.ended()) && Instant::now() < deadline {
            std::thread::sleep(WAIT_STEP);
        }
        for process in &mut self.all {
            if !process.ended() {
                signal_group(process.pid(), Signal::KILL);
                let _ = process.child.wait();
            }
        }
        self.all.clear();
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.end_all();
    }
}

/// Signals a process group; one that is gone already is no error.
pub fn signal_group(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, signal);
    }
}

/// Becomes another program that the kernel kills when our parent dies.
pub fn become_child(command: &[OsString]) -> Outcome {
    let Some((program, args)) = command.split_first() else {
        return Err(Failure::usage("no program is given"));
    };
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Failure::failed(format!("cannot tie this process to its parent: {error}")))?;
    let error = Command::new(program).args(args).exec();
    Err(Failure::failed(format!("cannot run {}: {error}", program.display())))
}
