//! `meshctl simulate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mesh_core::manifest::AutomaticMode;

use super::ManifestFile;

/// Millions are for `make simulate`.
const RUNS_MAX: u64 = 1_000_000;

#[derive(Debug, Args)]
pub struct Simulate {
    #[command(flatten)]
    pub manifest: ManifestFile,
    /// What happens, for instance `us-east-1-lost`; `--list-scenarios` shows all.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["list_scenarios", "print_assumptions"])]
    pub scenario: Option<String>,
    /// Show the scenarios that there are for the regions of the manifest, and play none.
    #[arg(long)]
    pub list_scenarios: bool,
    /// How often it is played (1 to 1000000).
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=RUNS_MAX))]
    pub runs: u64,
    /// Of the first run. The same seed gives the same bytes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// What else fails, at a drawn moment: a scenario, a single fault, `any`, or `none`. By default a tenth as many runs
    /// with any second fault are played after the others.
    #[arg(long, value_name = "FAULT")]
    pub second: Option<String>,
    /// As if `policy.automatic` were this.
    #[arg(long, value_name = "MODE")]
    pub automatic: Option<Mode>,
    /// What is assumed where the manifest says nothing: a TOML file of `name = "value"`, as `--print-assumptions` writes it.
    #[arg(long, value_name = "FILE")]
    pub assumptions: Option<PathBuf>,
    /// One of them; can be given several times: `--assume round-trip=90ms`.
    #[arg(long = "assume", value_name = "NAME=VALUE")]
    pub assume: Vec<String>,
    /// Print what is assumed, as a file for `--assumptions`, and play nothing.
    #[arg(long)]
    pub print_assumptions: bool,
    /// How many threads play; by default one a core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub threads: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    Off,
    Notify,
    Fence,
    Full,
}

impl From<Mode> for AutomaticMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Off => Self::Off,
            Mode::Notify => Self::Notify,
            Mode::Fence => Self::Fence,
            Mode::Full => Self::Full,
        }
    }
}
