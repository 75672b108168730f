//! `meshctl demo`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Demo {
    /// What happens in the demo.
    #[arg(long, value_enum, default_value_t = Scenario::Failover)]
    pub scenario: Scenario,
    #[command(subcommand)]
    pub command: Option<DemoCommand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Clients write to both regions while `meshctl failover --to us-west-2` moves the service; then everything is
    /// checked from outside.
    Failover,
    /// A region dies with everything in it, the leader of the mesh too, and nobody gives a command: the mesh moves the
    /// service by itself.
    RegionLoss,
    /// The network breaks in ways that must not move the service, one after another; each time `meshctl why-not` says
    /// why nothing happens.
    PartitionNoFailover,
}

impl Scenario {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::RegionLoss => "region-loss",
            Self::PartitionNoFailover => "partition-no-failover",
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Start the mesh, the AWS double and the service, and leave them running.
    Up(Place),
    /// Stop what `up` started.
    Down(Place),
    /// Is it running, and where are its files?
    Status(Place),
}

#[derive(Debug, Args)]
pub struct Place {
    /// Where its files are kept. Default: ~/.local/state/mesh-demo
    #[arg(long)]
    pub dir: Option<PathBuf>,
}
