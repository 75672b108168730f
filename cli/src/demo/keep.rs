//! `demo up`, `down`, `status`: a mesh to play with.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::child::{Processes, Programs, signal_group};
use super::configs::Layout;
use super::stand::{Stand, Story};
use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::mesh::Mesh;
use crate::render::status::View;

const STATE_FILE: &str = "demo.json";
const DOWN_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// What `up` leaves for `down`.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    processes: Vec<Started>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Started {
    name: String,
    pid: u32,
}

impl Started {
    /// Is it still the process that we started? Its command line names our directory; a reused pid's does not.
    fn runs(&self, dir: &Path) -> bool {
        let command = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&dir.display().to_string())
    }
}

fn place(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(dir) = given {
        return std::path::absolute(dir).map_err(|error| Failure::file(dir, "find", &error));
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    state.map(|state| state.join("mesh-demo")).ok_or_else(|| Failure::usage("HOME is not set: give --dir"))
}

fn state_of(dir: &Path) -> Option<State> {
    serde_json::from_slice(&std::fs::read(dir.join(STATE_FILE)).ok()?).ok()
}

fn running(dir: &Path) -> Vec<Started> {
    let started = state_of(dir).map(|state| state.processes).unwrap_or_default();
    started.into_iter().filter(|process| process.runs(dir)).collect()
}

pub async fn up(context: &Context, dir: Option<&Path>) -> Outcome {
    let dir = place(dir)?;
    if !running(&dir).is_empty() {
        return Err(Failure::refused(format!("a demo is running in {}", dir.display()))
            .hint("`meshctl demo status` shows it, `meshctl demo down` stops it"));
    }
    make_room(&dir)?;
    let story = Story { output: &context.output, began: Instant::now() };
    let raised = tokio::select! {
        raised = Stand::raise(&dir, Programs::find()?, Processes::living_on, &story) => raised,
        () = super::stage::asked_to_stop() => return Ok(Exit::Interrupted),
    };
    let stand = raised.map_err(|failure| {
        let hint = format!("logs are in {}", Layout { dir: dir.clone() }.logs().display());
        failure.hint(hint)
    })?;
    let (layout, ready) = (stand.layout.clone(), stand.ready.clone());
    // Written before the processes are let go: from then on `down` is the only one that knows them.
    let started = stand.double.all.iter().chain(&stand.mesh.all);
    let started: Vec<Started> =
        started.map(|process| Started { name: process.name.clone(), pid: process.pid() }).collect();
    let count = started.len();
    let state = serde_json::to_string_pretty(&State { processes: started }).map_err(Failure::answer)?;
    layout.write(&dir.join(STATE_FILE), &state)?;
    stand.double.let_go();
    stand.mesh.let_go();
    let value =
        json!({ "dir": dir, "profile": layout.profile(), "processes": count, "aws": ready.aws, "dns": ready.dns });
    context.output.either(&value, || how_to_play(&layout))?;
    Ok(Exit::Ok)
}

/// Removes what an earlier demo left; refuses a directory that holds something else.
fn make_room(dir: &Path) -> Result<(), Failure> {
    let Ok(mut entries) = std::fs::read_dir(dir) else { return Ok(()) };
    if entries.next().is_none() {
        return Ok(());
    }
    let ours = dir.join(STATE_FILE).exists() || (dir.join("world.json").exists() && dir.join("pki").exists());
    if !ours {
        return Err(Failure::usage(format!("{} holds files that are no demo's", dir.display()))
            .hint("give --dir with an empty or new directory"));
    }
    std::fs::remove_dir_all(dir).map_err(|error| Failure::file(dir, "remove", &error))
}

fn how_to_play(layout: &Layout) -> String {
    format!(
        "The mesh runs. To use it:\n  export MESH_PROFILE={}\n  meshctl status\n  meshctl failover --to us-west-2\n  \
         meshctl demo down\nFiles and logs: {}",
        layout.profile().display(),
        layout.dir.display()
    )
}

pub fn down(context: &Context, dir: Option<&Path>) -> Outcome {
    let dir = place(dir)?;
    let found = running(&dir);
    for process in &found {
        signal_group(process.pid, Signal::TERM);
    }
    let deadline = Instant::now() + DOWN_WITHIN;
    while Instant::now() < deadline && found.iter().any(|process| process.runs(&dir)) {
        std::thread::sleep(POLL);
    }
    for process in found.iter().filter(|process| process.runs(&dir)) {
        signal_group(process.pid, Signal::KILL);
    }
    let value = json!({ "dir": dir, "stopped": found.len() });
    context.output.either(&value, || match found.len() {
        0 => format!("no demo runs in {}", dir.display()),
        count => format!("{count} processes are stopped; files and logs stay in {}", dir.display()),
    })?;
    Ok(Exit::Ok)
}

pub async fn status(context: &Context, dir: Option<&Path>) -> Outcome {
    let dir = place(dir)?;
    let layout = Layout { dir: dir.clone() };
    let started = state_of(&dir).map(|state| state.processes).unwrap_or_default();
    let dead: Vec<&str> =
        started.iter().filter(|process| !process.runs(&dir)).map(|process| process.name.as_str()).collect();
    let alive = started.len() - dead.len();
    if alive == 0 {
        let value = json!({ "dir": dir, "running": 0 });
        context.output.either(&value, || format!("no demo runs in {}; `meshctl demo up` starts one", dir.display()))?;
        return Ok(Exit::Failed);
    }
    let view = View::of(Mesh::open(&crate::profile::load(Some(&layout.profile()))?)?.status(false).await?)?;
    let value = json!({ "dir": dir, "running": alive, "ended": dead, "mesh": view.json() });
    context.output.either(&value, || {
        let ended = if dead.is_empty() { String::new() } else { format!("ended: {}\n", dead.join(", ")) };
        format!("{alive} processes run\n{ended}\n{}\n{}", view.render(context.output.paint), how_to_play(&layout))
    })?;
    Ok(if dead.is_empty() { Exit::Ok } else { Exit::Failed })
}
