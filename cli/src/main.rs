use std::process::ExitCode;

use clap::Parser;
use meshctl::args::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    meshctl::run(cli).into()
}
