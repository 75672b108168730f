//! mesh-agent: parse, configure, run, drain.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mesh_agent::agent::{self, Outside};
use mesh_agent::config::AgentConfig;
use mesh_agent::guard::{self, GuardArgs};
use mesh_runtime::shutdown::{DRAIN_DEFAULT, Shutdown};
use mesh_runtime::telemetry;

/// The configuration, the certificate or the journal is not usable as it is (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;

/// Watches services, measures, and carries out in its own region what the coordinators have committed.
///
/// Exit codes: 0 stopped as asked, 1 failed while running, 2 wrong arguments, 78 wrong configuration.
#[derive(Debug, Parser)]
#[command(name = "mesh-agent", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Read the configuration and the certificate, say what is wrong, and start nothing.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lives only while the region may write a service, for the writer's unit to be bound to; needs no configuration.
    Guard(GuardArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Guard(args)) = &args.command {
        return match guard::run(args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("mesh-agent: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let path = args.config.unwrap_or_default();
    let config = match AgentConfig::load(&path) {
        Ok(config) => config,
        Err(error) => return refuse(&error.into()),
    };
    let identities = match agent::identities(&config) {
        Ok(identities) => identities,
        Err(error) => return refuse(&error),
    };
    let outside = match Outside::new(&config).await {
        Ok(outside) => outside,
        Err(error) => return refuse(&error),
    };
    if args.check_config {
        println!("{}: agent {} of {}: usable", path.display(), config.agent, config.region);
        return ExitCode::SUCCESS;
    }
    let _telemetry = match telemetry::init(&config.log, "mesh-agent") {
        Ok(guard) => guard,
        Err(error) => return refuse(&error.into()),
    };
    let shutdown = match Shutdown::on_signals(DRAIN_DEFAULT) {
        Ok(shutdown) => shutdown,
        Err(error) => return refuse(&error.into()),
    };
    match agent::run(&config, identities, outside, &shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "mesh-agent ends");
            match error.downcast_ref::<mesh_agent::journal::JournalError>() {
                Some(_) => ExitCode::from(EXIT_CONFIG),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn refuse(error: &anyhow::Error) -> ExitCode {
    eprintln!("mesh-agent: {error:#}");
    ExitCode::from(EXIT_CONFIG)
}
