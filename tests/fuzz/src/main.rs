//! ```text
//! mesh-fuzz list                         the targets
//! mesh-fuzz run TARGET [INPUTS] [SEED]   mutated inputs without guidance
//! mesh-fuzz repeat TARGET FILE           one input again
//! mesh-fuzz seeds TARGET DIR             the seeds that are made by code, as files
//! mesh-fuzz length TARGET                bytes of its longest input
//! ```
#![allow(clippy::print_stdout, reason = "its answers go there")]

use std::path::Path;
use std::process::ExitCode;

use mesh_fuzz::examine::examine;
use mesh_fuzz::{Target, session};

const USAGE: &str =
    "mesh-fuzz list | run TARGET [INPUTS] [SEED] | repeat TARGET FILE | seeds TARGET DIR | length TARGET";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match answer(&words.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn answer(words: &[&str]) -> Result<String, String> {
    match words {
        ["list"] => {
            let line = |target: &Target| format!("{:20} {}", target.name, target.reads);
            Ok(mesh_fuzz::all().iter().map(line).collect::<Vec<_>>().join("\n"))
        }
        ["run", name, rest @ ..] => {
            let target = known(name)?;
            let number = |nth: usize| rest.get(nth).map(|text| text.parse::<u32>().map_err(|error| error.to_string()));
            let inputs = number(0).transpose()?.unwrap_or(target.inputs);
            let seed = number(1).transpose()?.unwrap_or(1);
            let report = session::run(&target, seed.into(), inputs).map_err(|found| found.to_string())?;
            Ok(format!("{name}: {report:?}"))
        }
        ["repeat", name, file] => {
            let input = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
            examine(&known(name)?, &input).map(|seen| format!("{name}: no rule is broken: {seen:?}"))
        }
        ["length", name] => Ok(known(name)?.bytes_max.to_string()),
        ["seeds", name, dir] => {
            let seeds = (known(name)?.seeds)();
            for (nth, seed) in seeds.iter().enumerate() {
                mesh_fuzz::examine::write(&Path::new(dir).join(format!("seed-{nth:03}")), seed);
            }
            Ok(format!("{} seeds", seeds.len()))
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn known(name: &str) -> Result<Target, String> {
    mesh_fuzz::find(name).ok_or_else(|| format!("no target {name}: `mesh-fuzz list`"))
}
