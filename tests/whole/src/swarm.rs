//! Many seeds, each in a process of its own: some counters of the libraries are the process's, and a trace must not
//! depend on what ran before. Each hundredth seed runs twice, and its traces must be the same.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::KINDS;
use crate::planted::Planted;

const TWICE_EVERY: u64 = 100;
/// Fewer seeds than this need not have every kind of fault.
const ALL_KINDS_FROM: u64 = 100;
/// What came about in none of so many seeds was not looked at.
const SOMETIMES: [&str; 11] = [
    "run done",
    "run compensated",
    "rejoin begun",
    "answer lost",
    "call late",
    "promoted",
    "unknown intent",
    "came back to an open call",
    "lease ran out unheard",
    "automatic start",
    "moved by itself",
];
/// One takes a few seconds: one that takes so long on a busy machine does not end.
const SEED_WITHIN: Duration = Duration::from_secs(300);
const LOOKS_EVERY: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Sum {
    seeds: u64,
    twice: u64,
    simulated_ms: u64,
    counts: BTreeMap<String, u64>,
    failed: BTreeMap<u64, Vec<String>>,
}

pub fn run(from: u64, seeds: u64, jobs: usize, planted: Planted, first: bool) -> ExitCode {
    let (next, sum, began) = (AtomicU64::new(from), Mutex::new(Sum::default()), Instant::now());
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds || enough.load(Ordering::Relaxed) {
                        return;
                    }
                    let one = one(seed, planted);
                    let again = seed.is_multiple_of(TWICE_EVERY).then(|| self::one(seed, planted));
                    let mut sum = sum.lock().expect("no panic");
                    sum.add(seed, &one, again.as_ref());
                    enough.store(first && !sum.failed.is_empty(), Ordering::Relaxed);
                }
            });
        }
    });
    let mut sum = sum.into_inner().expect("no panic");
    let wanted = KINDS.into_iter().map(|kind| kind.name()).chain(SOMETIMES);
    for never in wanted.filter(|wanted| sum.seeds >= ALL_KINDS_FROM && !sum.counts.contains_key(*wanted)) {
        sum.failed.entry(0).or_default().push(format!("no seed had: {never}"));
    }
    for (seed, reasons) in &sum.failed {
        reasons.iter().for_each(|reason| eprintln!("seed {seed}: {reason}"));
        if *seed > 0 {
            let planted = planted.name();
            eprintln!("  again: (cd tests/whole && cargo run --locked -- run {seed} --told --planted {planted})");
        }
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
fn one(seed: u64, planted: Planted) -> Result<Value, String> {
    let told = |error: std::io::Error| error.to_string();
    let mut command = Command::new(std::env::current_exe().map_err(told)?);
    command.args(["run", &seed.to_string(), "--json", "--planted", &planted.name()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(told)?;
    // What it says is read while it runs: a full pipe would stop it.
    let listen = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut said = Vec::new();
            pipe.map(|mut pipe| pipe.read_to_end(&mut said)).transpose().map(|_| said)
        })
    };
    let stdout = listen(child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let stderr = listen(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let began = Instant::now();
    let in_time = loop {
        match child.try_wait().map_err(told)? {
            Some(_) => break true,
            None if began.elapsed() >= SEED_WITHIN => break false,
            None => thread::sleep(LOOKS_EVERY),
        }
    };
    if !in_time {
        child.kill().and_then(|()| child.wait()).map_err(told)?;
    }
    let said =
        |pipe: thread::JoinHandle<std::io::Result<Vec<u8>>>| pipe.join().ok().and_then(Result::ok).unwrap_or_default();
    let (stdout, stderr) = (said(stdout), said(stderr));
    if !in_time {
        return Err(format!("it did not end within {} s", SEED_WITHIN.as_secs()));
    }
    serde_json::from_slice(&stdout).map_err(|_| format!("no report: {}", String::from_utf8_lossy(&stderr).trim_end()))
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
