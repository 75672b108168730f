//! What every scenario shares: its place, its end, a verdict that is printed whatever happened, and the real commands.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::child::Programs;
use super::stand::Stand;
use super::writers::Writers;
use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Writes that must be accepted before anything happens, so that "lost" and "twice" can be seen.
const WARM_WRITES: usize = 100;
const WARM_WITHIN: Duration = Duration::from_secs(60);
pub const POLL: Duration = Duration::from_millis(10);

/// What a scenario found out.
pub trait Judged: Serialize {
    fn fail(&mut self, why: String);

    /// Every promise that did not hold becomes a failure in words. True if there is none.
    fn conclude(&mut self) -> bool;

    fn report(&self) -> String;
}

/// SIGINT or SIGTERM.
pub async fn asked_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

pub async fn stage<V: Judged>(
    context: &Context,
    mut verdict: V,
    play: impl AsyncFnOnce(&Output, &Path, Programs, &mut V) -> Result<(), Failure>,
) -> Outcome {
    let programs = Programs::find()?;
    let dir = tempfile::Builder::new().prefix("mesh-demo-").tempdir();
    let dir = dir.map_err(|error| Failure::failed(format!("cannot make a directory for the demo: {error}")))?;
    let output = &context.output;
    let played = tokio::select! {
        played = play(output, dir.path(), programs, &mut verdict) => played,
        () = asked_to_stop() => {
            output.note("interrupted; everything that was started is being stopped");
            return Ok(Exit::Interrupted);
        }
    };
    if let Err(failure) = played {
        verdict.fail(failure.to_string());
    }
    let held = verdict.conclude();
    output.either(&verdict, || verdict.report())?;
    if held {
        return Ok(Exit::Ok);
    }
    let kept = dir.keep();
    output.note(&format!("logs and files of all processes are kept in {}", kept.display()));
    Ok(Exit::Failed)
}

pub async fn warm_up(writers: &Writers, region: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + WARM_WITHIN;
    while writers.accepted_in(region) < WARM_WRITES {
        if Instant::now() >= deadline {
            let accepted = writers.accepted_in(region);
            return Err(Failure::failed(format!(
                "the database in {region} accepted only {accepted} writes before anything moved"
            )));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The real command, as an operator gives it, with its own live progress.
pub async fn ask(output: &Output, stand: &Stand, args: &[&str], within: Duration) -> Result<(), Failure> {
    let mut command = stand.programs.meshctl(&stand.layout.profile_of("operator"));
    command.args(args).stdout(Stdio::from(std::io::stderr()));
    if !output.paint.on {
        command.env("NO_COLOR", "1");
    }
    let fail = |why: String| Failure::failed(format!("meshctl {} {why}", args.join(" ")));
    let mut child = command.spawn().map_err(|error| fail(format!("cannot be run: {error}")))?;
    let ended = tokio::time::timeout(within, child.wait()).await;
    let status = ended
        .map_err(|_| fail(format!("did not end within {} s", within.as_secs())))?
        .map_err(|error| fail(format!("was lost: {error}")))?;
    if status.success() { Ok(()) } else { Err(fail(format!("ended with {status}"))) }
}

/// The lines at the end of a verdict's report.
pub fn ending(failures: &[String]) -> String {
    if failures.is_empty() {
        return "\nEverything held.\n".to_owned();
    }
    let lines: String = failures.iter().map(|failure| format!("  - {failure}\n")).collect();
    format!("\nNOT everything held:\n{lines}")
}
