//! Following runs until each has ended or needs a person. A lost coordinator is replaced by another one.

use std::time::{Duration, Instant};

use futures::future::join_all;
use mesh_core::ids::RunId;
use mesh_core::run::{Run, RunState};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::mesh::Mesh;
use crate::output::Output;
use crate::render::progress;

/// Without a word from any coordinator for so long, watching ends; the run does not.
const SILENCE_MAX: Duration = Duration::from_secs(300);
const RECONNECT_MIN: Duration = Duration::from_millis(200);
const RECONNECT_MAX: Duration = Duration::from_secs(3);

/// How watching ended.
pub enum Followed {
    /// Each run as it was last seen.
    Settled(Vec<Run>),
    /// Ctrl-C.
    Interrupted,
}

/// Does nothing more happen in this run without a person?
pub fn is_settled(run: &Run) -> bool {
    run.state.is_terminal() || matches!(run.state, RunState::Held { .. })
}

/// The exit code for a set of runs: all done, else whether one waits for a person.
pub fn exit_of(runs: &[Run]) -> Exit {
    if runs.iter().all(|run| run.state == RunState::Done) {
        Exit::Ok
    } else if runs.iter().any(|run| matches!(run.state, RunState::Held { .. })) {
        Exit::Held
    } else {
        Exit::Failed
    }
}

pub async fn follow(mesh: &Mesh, output: &Output, runs: &[RunId]) -> Result<Followed, Failure> {
    let several = runs.len() > 1;
    let all = join_all(runs.iter().map(|run| follow_one(mesh, output, run, several)));
    tokio::select! {
        settled = all => Ok(Followed::Settled(settled.into_iter().collect::<Result<_, _>>()?)),
        _ = tokio::signal::ctrl_c() => {
            output.note(&come_back(runs));
            Ok(Followed::Interrupted)
        }
    }
}

pub fn come_back(runs: &[RunId]) -> String {
    let commands: Vec<String> = runs.iter().map(|run| format!("  meshctl watch {run}")).collect();
    format!("\nNo longer watching; the run goes on. To come back:\n{}", commands.join("\n"))
}

async fn follow_one(mesh: &Mesh, output: &Output, id: &RunId, several: bool) -> Result<Run, Failure> {
    let mut shown: Option<Run> = None;
    let mut heard = Instant::now();
    let mut pause = RECONNECT_MIN;
    loop {
        let lost = match mesh.watch(id).await {
            Ok(mut stream) => loop {
                match stream.next().await {
                    Ok(Some(run)) => {
                        (heard, pause) = (Instant::now(), RECONNECT_MIN);
                        show(output, shown.as_ref(), &run, several);
                        if is_settled(&run) {
                            return Ok(run);
                        }
                        shown = Some(run);
                    }
                    Ok(None) => break None,
                    Err(failure) => break Some(failure),
                }
            },
            Err(failure) => Some(failure),
        };
        if let Some(failure) = lost {
            give_up(&failure, heard, id)?;
            output.note(&format!("  {}", output.paint.dim("connection lost; asking another coordinator …")));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RECONNECT_MAX);
    }
}

/// An error that another coordinator would not answer differently, or too long a silence.
fn give_up(failure: &Failure, heard: Instant, run: &RunId) -> Result<(), Failure> {
    let passing = matches!(failure.exit, Exit::Unreachable | Exit::Failed);
    if passing && heard.elapsed() < SILENCE_MAX {
        return Ok(());
    }
    let failure = failure.clone();
    if passing {
        return Err(
            failure.hint(format!("the run goes on by itself when it can; `meshctl watch {run}` comes back to it"))
        );
    }
    Err(failure)
}

fn show(output: &Output, before: Option<&Run>, now: &Run, several: bool) {
    for line in progress::changes(before, now, output.paint) {
        if several {
            output.note(&format!("{}{line}", output.paint.dim(&format!("{:<12}", now.plan.service.as_str()))));
        } else {
            output.note(&line);
        }
    }
}
