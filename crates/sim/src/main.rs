//! `mesh-sim run SEED`, `mesh-sim swarm --seeds N`, `mesh-sim noise --episodes N`, `mesh-sim rows`.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use mesh_sim::minimise::minimised;
use mesh_sim::noise::{EPISODES, Noise};
use mesh_sim::plant::{BUGS, Bug};
use mesh_sim::planted;
use mesh_sim::report::{self, Swarm, Took};
use mesh_sim::rows::ROWS;
use mesh_sim::swarm::Drawn;
use mesh_sim::{MILLI, SECOND};

/// Worlds allocate all the time, each in one thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "mesh-sim run SEED [--minutes M] | swarm --seeds N [--from SEED] [--minutes M] [--threads N] [--planted SEEDS] | \
                     noise --episodes N [--from SEED] | rows [--seeds N] | planted [BUG] [--seeds N] | control [BUG] [--from SEED] [--seeds N] | \
                     episodes --from SEED | explain SEED [--minutes M]";
const MINUTES: u64 = 30;
/// Entries of the log that explain a violation.
const EXPLAINED: usize = 45;
/// Seeds whose faults are minimised.
const MINIMISED_MAX: usize = 3;

/// Options with a number.
const NUMBERS: [&str; 6] = ["--seeds", "--from", "--minutes", "--threads", "--planted", "--episodes"];

/// An option that is not known, or has no number where it wants one.
fn mistake(args: &[String]) -> Option<String> {
    let options = (0..).zip(args).filter(|(_, arg)| arg.starts_with("--") && *arg != "--told");
    let mistaken = |(at, option): (usize, &String)| {
        if !NUMBERS.contains(&option.as_str()) {
            return Some(format!("there is no option {option}"));
        }
        let value = args.get(at + 1).map_or("", String::as_str);
        let number = value.parse::<u64>().ok().filter(|number| *number > 0 || option == "--planted");
        number.is_none().then(|| format!("{option} wants a number above 0, not `{value}`"))
    };
    options.filter_map(mistaken).next()
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(mistake) = mistake(&args) {
        eprintln!("mesh-sim: {mistake}");
        return ExitCode::from(2);
    }
    let number = |name: &str, default: u64| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)).and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    match args.first().map(String::as_str) {
        Some("run") => {
            let Some(seed) = args.get(1).and_then(|seed| seed.parse().ok()) else { return usage() };
            run(seed, number("--minutes", MINUTES))
        }
        Some("swarm") => {
            let (from, seeds) = (number("--from", 1), number("--seeds", 100));
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let threads = usize::try_from(number("--threads", cores as u64)).unwrap_or(1);
            swarm(from, seeds, number("--minutes", MINUTES), number("--planted", 0), threads)
        }
        Some("noise") => {
            let plant = args.iter().find_map(|arg| BUGS.iter().copied().find(|bug| *arg == format!("{bug:?}")));
            noise(number("--from", 1), number("--episodes", 20_000), plant)
        }
        Some("episodes") => episodes(number("--from", 1)),
        Some("explain") => {
            let Some(seed) = args.get(1).and_then(|seed| seed.parse().ok()) else { return usage() };
            explain(seed, number("--minutes", MINUTES))
        }
        Some("planted") => planted(&args, number("--seeds", 200), number("--minutes", MINUTES)),
        Some("control") => control(&args, number("--from", 1), number("--seeds", 10), number("--minutes", MINUTES)),
        Some("rows") => rows(number("--seeds", 1)),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("mesh-sim wants one of these; a seed is a number:");
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn passed(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(seed: u64, minutes: u64) -> ExitCode {
    let mut swarm = Swarm::default();
    let trace = swarm.play(seed, minutes, None);
    println!("faults {:#?}", swarm.faults);
    println!("decisions {:#?}", swarm.decisions);
    println!("sometimes {:#?}", swarm.sometimes);
    for (_, rule, text) in &swarm.violating {
        println!("{rule}: {text}");
        println!("{}", needed(seed, minutes, rule));
    }
    for line in &swarm.told {
        println!("{line}");
    }
    println!("trace {trace}");
    passed(swarm.violating.is_empty())
}

/// The faults without which it would not have happened.
fn needed(seed: u64, minutes: u64, rule: &str) -> String {
    let drawn = Drawn::of(seed, minutes, None);
    let faults = minimised(&drawn, None, rule);
    let lines = faults.iter().map(|it| format!("  {}", it.brief()));
    let head = format!("  {} of its {} faults are needed:", faults.len(), drawn.faults.len());
    [head].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

/// What was committed before the first violation of a seed, who led, and which faults were going on.
fn explain(seed: u64, minutes: u64) -> ExitCode {
    let drawn = Drawn::of(seed, minutes, None);
    let mut world = drawn.world(None);
    let mut at = 0;
    while at < drawn.set.lasts && world.judge.violations.is_empty() {
        at += SECOND / 50;
        world.run(at);
    }
    println!("{:?}", drawn.set);
    for entry in world.judge.committed.iter().rev().take(EXPLAINED).rev() {
        let text: String = format!("{:?}", entry.command).chars().take(600).collect();
        println!("{} term {} {text}", entry.at.as_millis() % 100_000_000, entry.term);
    }
    for (nth, node) in world.nodes.iter().enumerate() {
        let (log, role) = (node.log.len(), node.role);
        println!("node {nth}: alive {} {role:?} term {} log {log} applied {}", node.alive, node.term, node.applied);
    }
    for (agent, it) in world.agents.iter().enumerate() {
        println!("agent {agent}: alive {} {:?} {:?}", it.alive, it.holder.record(), world.standing_of(agent));
    }
    for planned in world.faults.iter().filter(|it| it.from < at && it.until + 20 * SECOND > at) {
        let text: String = format!("{:?}", planned.fault).chars().take(120).collect();
        println!("{:>9} {:>9} {text}", planned.from / MILLI, planned.until / MILLI);
    }
    for violation in &world.judge.violations {
        println!("at {} ms, {}: {}", violation.at / MILLI, violation.rule, violation.text);
    }
    passed(world.judge.violations.is_empty())
}

fn swarm(from: u64, seeds: u64, minutes: u64, planted: u64, threads: usize) -> ExitCode {
    let (began, busy_before) = (Instant::now(), busy());
    let swarm = Swarm::of(from, seeds, minutes, threads);
    let wall = began.elapsed();
    let busy = busy().zip(busy_before).map(|(after, before)| after.saturating_sub(before));
    let took = Took { wall, busy: busy.unwrap_or(wall * u32::try_from(threads).unwrap_or(1)), threads };
    for (nth, (seed, rule, text)) in swarm.violating.iter().take(20).enumerate() {
        let again = if minutes == MINUTES { String::new() } else { format!(" (--minutes {minutes})") };
        eprintln!("{rule}: {text}\n  again: make simulate SEED={seed}{again}");
        if nth < MINIMISED_MAX {
            eprintln!("{}", needed(*seed, minutes, rule));
        }
    }
    if swarm.unknown > 0 {
        let kinds: Vec<String> = swarm.unknown_for.iter().map(|(kind, seeds)| format!("{kind} in {seeds}")).collect();
        eprintln!(
            "{} of {seeds} seeds are unknown, for a fault that never struck: {}",
            swarm.unknown,
            kinds.join(", ")
        );
    }
    let planted = if planted > 0 { report::planted(planted, minutes) } else { Default::default() };
    println!("{}", swarm.json(took, &planted));
    passed(swarm.violating.is_empty() && planted.values().all(Option::is_some))
}

/// What this process has had of all cores, as proc(5) tells it: in hundredths of a second.
fn busy() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap_or_default()).sum();
    Some(Duration::from_millis(ticks * 10))
}

fn noise(from: u64, episodes: u64, plant: Option<Bug>) -> ExitCode {
    let (mut noise, began, mut seed) = (Noise::default(), Instant::now(), from);
    while noise.episodes < episodes {
        noise.play(seed, plant);
        seed += 1;
        if noise.worlds.is_multiple_of(2_000) {
            eprintln!("{} episodes of {episodes} in {:?}, {} a world", noise.episodes, began.elapsed(), EPISODES);
        }
    }
    for seed in noise.false_failovers.iter().take(20) {
        eprintln!("a false failover: mesh-sim noise --from {seed} --episodes 1");
    }
    for (seed, violation) in noise.violations.iter().take(20) {
        eprintln!("{}: {} (seed {seed}, at {} s)", violation.rule, violation.text, violation.at / SECOND);
    }
    println!("{}", report::false_failovers(&noise, began.elapsed()));
    passed(noise.failovers == 0 && noise.violations.is_empty())
}

fn planted(args: &[String], seeds: u64, minutes: u64) -> ExitCode {
    let mut all = true;
    for bug in BUGS.iter().filter(|bug| wanted(args, **bug)) {
        let found = planted::find(*bug, seeds, minutes);
        all &= found.is_some();
        let text = found.map_or("not found".to_owned(), |found| {
            format!(
                "found by seed {}, {}: {}",
                found.seed,
                found.rule,
                found.text.chars().take(100).collect::<String>()
            )
        });
        println!("{:<24} {:<20} {text}", format!("{bug:?}"), bug.rule());
    }
    passed(all)
}

/// All, unless some are named.
fn wanted(args: &[String], bug: Bug) -> bool {
    let named = |arg: &String| arg.starts_with(|first: char| first.is_ascii_uppercase());
    args.contains(&format!("{bug:?}")) || bug.is_excused().is_none() && !args.iter().any(named)
}

/// Seeds that are bent for a bug, without it.
fn control(args: &[String], from: u64, seeds: u64, minutes: u64) -> ExitCode {
    let mut clean = true;
    for bug in BUGS.iter().filter(|bug| wanted(args, **bug)) {
        for (seed, violation, told) in planted::control(*bug, from, seeds, minutes) {
            clean = false;
            println!("{bug:?} seed {seed} at {} ms {}: {}", violation.at / MILLI, violation.rule, violation.text);
            for line in told.iter().filter(|_| args.iter().any(|arg| arg == "--told")) {
                println!("    {line}");
            }
        }
    }
    passed(clean)
}

fn rows(seeds: u64) -> ExitCode {
    let mut good = true;
    for row in ROWS {
        for seed in 1..=seeds {
            let leader = row.leader.unwrap_or(usize::try_from(seed % 3).unwrap_or_default());
            let seen = row.play(seed, leader, 50 * MILLI, None);
            let fits = row.fits(&seen, leader);
            good &= fits.is_empty();
            println!(
                "{:<58} {:?} {} failovers, first write after {:?} ms, trace {} {}",
                row.name,
                seen.verdict,
                seen.failovers,
                seen.first_write.map(|at| at / MILLI),
                seen.trace,
                fits.join("; ")
            );
        }
    }
    passed(good)
}

/// What one world of noise was made of, and what its leader saw when it moved the service.
fn episodes(seed: u64) -> ExitCode {
    let (mut world, _) = mesh_sim::noise::build(seed);
    let lasts = world.set.lasts;
    println!("{:?}", world.set);
    let mut at = 0;
    while at < lasts && world.counts.failovers == 0 {
        at += SECOND / 10;
        world.run(at);
    }
    println!("{} failovers, at {} ms, active led by {:?}", world.counts.failovers, at / MILLI, world.leader());
    for planned in &world.faults {
        if planned.from < at && planned.until + 30 * SECOND > at.saturating_sub(60 * SECOND) {
            println!("{:>9} {:>9} {:?}", planned.from / MILLI, planned.until / MILLI, planned.fault);
        }
    }
    let runs = world.judge.fleet.runs.values();
    for run in runs {
        println!("{:#?}", run.cause);
    }
    passed(world.counts.failovers == 0)
}
