//! The whole system in one thread, from one seed: the coordinators and agents as they run in production, on simulated
//! hosts, disks and clocks. docs/simulation.md says what is real.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use planted::Planted;
use world::{Report, Wanted};

mod agent;
mod cloud;
mod coordinator;
mod disk;
mod effects;
mod faults;
mod judge;
mod mover;
mod net;
mod outages;
mod people;
mod planted;
mod service;
mod site;
mod swarm;
mod trace;
mod world;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One seed; ends with its trace.
    Run {
        seed: u64,
        /// Tell what happens.
        #[arg(long)]
        told: bool,
        /// A defect that the judges must find.
        #[arg(long, default_value_t, value_enum)]
        planted: Planted,
        /// For the swarm: one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Many seeds, each in a process of its own; ends with one JSON object.
    Swarm {
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// Processes at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        #[arg(long, default_value_t, value_enum)]
        planted: Planted,
        /// No seed is begun any more once one has failed.
        #[arg(long)]
        first: bool,
    },
}

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Run { seed, told, planted, json } => {
            if std::env::var_os("RUST_LOG").is_some() {
                let filter = tracing_subscriber::EnvFilter::from_default_env();
                tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
            }
            match world::run(Wanted { seed, told, planted }) {
                Ok(report) => tell(&report, seed, json),
                Err(error) => {
                    eprintln!("seed {seed}: {error:#}");
                    ExitCode::FAILURE
                }
            }
        }
        Command::Swarm { seeds, from, jobs, planted, first } => swarm::run(from, seeds, jobs, planted, first),
    }
}

fn tell(report: &Report, seed: u64, json: bool) -> ExitCode {
    if json {
        let object = serde_json::json!({
            "seed": seed,
            "trace": report.trace,
            "violations": report.violations,
            "counts": report.counts,
            "simulated_ms": u64::try_from(report.simulated.as_millis()).unwrap_or(u64::MAX),
        });
        println!("{object}");
    } else {
        report.violations.iter().for_each(|violation| println!("violation {violation}"));
        for (what, count) in &report.counts {
            println!("{what}: {count}");
        }
        println!("simulated {:.1} s", report.simulated.as_secs_f64());
        println!("trace {}", report.trace);
    }
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
