//! `scenario FILE NAME RUNS [AUTOMATIC]`: what `meshctl simulate` plays, without meshctl, to time it.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::indexing_slicing, reason = "a tool of the developer's")]

use std::sync::Arc;
use std::time::Instant;

use mesh_core::manifest::AutomaticMode;
use mesh_sim::scenario::{Assumed, Given, Many, Scenario, Summary, play_all};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let source = std::fs::read_to_string(&args[1]).expect("a manifest");
    let manifest = mesh_manifest::parse(&source, &args[1]).expect("a good manifest");
    let mode = args.get(4).map(|_| AutomaticMode::Full);
    let given = Arc::new(Given::new(manifest, mode, Assumed::default()).expect("it can be simulated"));
    let scenario = Scenario::find(&given, &args[2]).expect("a scenario");
    let runs = args[3].parse().expect("a number");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    let many = Many { given: &given, scenario: &scenario, second: None, seed: 1, runs, threads };
    let played = play_all(&many, &|_| ());
    println!("{:#}", Summary::of(played.iter()).json());
    eprintln!("{:?}; {:?}", began.elapsed(), given.not_simulated);
}
