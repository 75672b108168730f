//! What a new user gives first.

use std::path::PathBuf;

use clap::Args;
use mesh_core::ids::{RegionId, ServiceId};

#[derive(Debug, Args)]
pub struct Doctor {
    /// Only this service.
    pub service: Option<ServiceId>,
    /// A manifest that is not applied (yet).
    #[arg(short, long, value_name = "FILE", conflicts_with = "service")]
    pub file: Option<PathBuf>,
    /// Show what is right, too.
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Debug, Args)]
pub struct Import {
    /// Name of the service; resources whose names hold it are preferred.
    #[arg(long)]
    pub service: ServiceId,
    /// The region that serves now.
    #[arg(long, value_name = "REGION", requires = "standby")]
    pub primary: Option<RegionId>,
    /// The region to fail over to.
    #[arg(long, value_name = "REGION", requires = "primary")]
    pub standby: Option<RegionId>,
    /// Where to write the draft; without it, standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Arm {
    pub service: ServiceId,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}
