//! `meshctl`, the operator's command line: a thin client of the coordinators, and the demo.

pub mod args;
pub mod backup_file;
pub mod commands;
pub mod demo;
pub mod doctor;
pub mod draft;
pub mod exit;
pub mod failure;
pub mod mesh;
pub mod output;
pub mod plan_file;
pub mod profile;
pub mod prompt;
pub mod recording;
pub mod render;
pub mod signing;

use std::time::Duration;

use crate::args::Cli;
use crate::exit::Exit;
use crate::output::Output;

/// Carries out one command line; errors are printed.
pub fn run(cli: Cli) -> Exit {
    let output = Output::new(cli.json);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.failure(&failure::Failure::failed(format!("cannot start: {error}")));
            return Exit::Failed;
        }
    };
    let context = commands::Context { output, profile: cli.profile, timeout: Duration::from_secs(cli.timeout) };
    let exit = match runtime.block_on(commands::dispatch(&context, cli.command)) {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            failure.exit
        }
    };
    // A task that still waits for a dead peer must not delay the prompt.
    runtime.shutdown_background();
    exit
}
