//! `meshctl record` and `meshctl replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mesh_core::ids::ServiceId;

#[derive(Debug, Args)]
pub struct Record {
    pub service: ServiceId,
    /// Written line by line. When it is full it becomes FILE.1, whose place the one before loses.
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,
    /// For how long: `90s`, `30m`, `2h`, `1d`. Without it: until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = super::lasting)]
    pub lasting: Option<Duration>,
    /// A file is full with so many megabytes; an hour takes about 40.
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub megabytes: u64,
}

#[derive(Debug, Args)]
pub struct Replay {
    /// What `meshctl record` wrote.
    pub recording: PathBuf,
    /// The manifest with the changed policy. Without one: the recorded policy, against what was recorded.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}
