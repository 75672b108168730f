//! Many seeds, each in a process of its own: some counters of the libraries are the process's, and a trace must not
//! depend on what ran before. Each hundredth seed runs twice, and its traces must be the same.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::faults::KINDS;

const TWICE_EVERY: u64 = 100;
/// Fewer seeds than this need not have every kind of fault.
const ALL_KINDS_FROM: u64 = 100;

#[derive(Default)]
struct Sum {
    seeds: u64,
    twice: u64,
    simulated_ms: u64,
    counts: BTreeMap<String, u64>,
    failed: BTreeMap<u64, Vec<String>>,
}

pub fn run(from: u64, seeds: u64, jobs: usize, lying_disks: bool) -> ExitCode {
    let (next, sum, began) = (AtomicU64::new(from), Mutex::new(Sum::default()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let one = one(seed, lying_disks);
                    let again = seed.is_multiple_of(TWICE_EVERY).then(|| self::one(seed, lying_disks));
                    sum.lock().expect("no panic").add(seed, &one, again.as_ref());
                }
            });
        }
    });
    let mut sum = sum.into_inner().expect("no panic");
    for kind in KINDS {
        if seeds >= ALL_KINDS_FROM && !sum.counts.contains_key(kind.name()) {
            sum.failed.entry(0).or_default().push(format!("no seed had the fault {}", kind.name()));
        }
    }
    for (seed, reasons) in &sum.failed {
        reasons.iter().for_each(|reason| eprintln!("seed {seed}: {reason}"));
        let lying = if lying_disks { " --lying-disks" } else { "" };
        eprintln!("  again: (cd tests/whole && cargo run --locked -- run {seed} --told{lying})");
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({
            "seeds": sum.seeds,
            "failed": sum.failed.keys().collect::<Vec<_>>(),
            "same_trace_twice": sum.twice,
            "simulated_seconds": sum.simulated_ms / 1000,
            "seconds": (seconds * 10.0).round() / 10.0,
            "counts": sum.counts,
        })
    );
    if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a process made of a seed.
fn one(seed: u64, lying_disks: bool) -> Result<Value, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["run", &seed.to_string(), "--json"]);
    if lying_disks {
        command.arg("--lying-disks");
    }
    let output = command.output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("no report: {}", String::from_utf8_lossy(&output.stderr).trim_end()))
}

impl Sum {
    fn add(&mut self, seed: u64, one: &Result<Value, String>, again: Option<&Result<Value, String>>) {
        self.seeds += 1;
        let mut reasons = Vec::new();
        match one {
            Err(error) => reasons.push(error.clone()),
            Ok(report) => {
                let violations = report["violations"].as_array().into_iter().flatten();
                reasons.extend(violations.filter_map(Value::as_str).map(str::to_owned));
                self.simulated_ms += report["simulated_ms"].as_u64().unwrap_or_default();
                for (what, count) in report["counts"].as_object().into_iter().flatten() {
                    *self.counts.entry(what.clone()).or_default() += count.as_u64().unwrap_or_default();
                }
            }
        }
        if let Some(again) = again {
            self.twice += 1;
            let trace = |report: &Result<Value, String>| report.as_ref().ok().map(|report| report["trace"].clone());
            if trace(one) != trace(again) {
                reasons.push(format!("it ran twice, with the traces {:?} and {:?}", trace(one), trace(again)));
            }
        }
        if !reasons.is_empty() {
            self.failed.insert(seed, reasons);
        }
    }
}
