//! `simulate`: what would happen, from the manifest and the decision code alone.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_core::manifest::Manifest;
use mesh_sim::scenario::second::{KINDS, Second};
use mesh_sim::scenario::{Assumed, Given, Many, Played, Scenario, Summary, named, play_all};
use serde_json::json;

use super::{Context, manifest};
use crate::args::simulate::Simulate;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::render::simulate::{Answer, BySecond, render};

/// A file of a few lines.
const ASSUMPTIONS_BYTES_MAX: u64 = 64 * 1024;
/// Of the runs, one in so many is played with a second fault too, if nobody says anything of it.
const SECOND_SHARE: u64 = 10;
/// Where nothing ever moved there is no time within which a second fault would meet anything.
const SECOND_WITHIN: Duration = Duration::from_secs(60);
const TOLD_EVERY: Duration = Duration::from_secs(5);

pub fn simulate(context: &Context, args: &Simulate) -> Outcome {
    let assumed = assumed(args)?;
    if args.print_assumptions {
        context.output.data(&as_file(&assumed));
        return Ok(Exit::Ok);
    }
    let (manifest, _) = manifest::load(&args.manifest.file)?;
    let given = given(manifest, args, assumed)?;
    if args.list_scenarios {
        return list(context, &given);
    }
    let scenario = find(&given, args.scenario.as_deref().unwrap_or_default())?;
    let second = second(&given, args, &scenario)?;
    let played = play(args, &given, &scenario, None, args.runs, &format!("{} runs", args.runs));
    let summary = Summary::of(played.iter());
    let seconds = second.map(|of| with_second(args, &given, &scenario, &summary, of));
    let answer =
        Answer { given: &given, scenario: &scenario, seed: args.seed, summary: &summary, seconds: seconds.as_ref() };
    context.output.either(&answer.json(), || render(&answer, context.output.paint))?;
    Ok(Exit::Ok)
}

fn given(manifest: Manifest, args: &Simulate, assumed: Assumed) -> Result<Arc<Given>, Failure> {
    let given = Given::new(manifest, args.automatic.map(Into::into), assumed);
    Ok(Arc::new(given.map_err(|unfit| Failure::refused(format!("it cannot be simulated: {}", unfit.0)))?))
}

fn find(given: &Given, name: &str) -> Result<Scenario, Failure> {
    Scenario::find(given, name).map_err(|near| {
        Failure::usage(format!(
            "there is no scenario {name:?} for {}; near it are {}",
            given.service(),
            near.join(", ")
        ))
        .hint("`meshctl simulate -f FILE --list-scenarios` shows all")
    })
}

fn list(context: &Context, given: &Given) -> Outcome {
    let all = Scenario::all(given);
    let single = KINDS.iter().map(|(name, what)| json!({ "name": name, "what": what }));
    let value = json!({
        "service": given.service(),
        "scenarios": all.iter().map(|it| json!({ "name": it.name, "what": it.what })).collect::<Vec<_>>(),
        "second_only": single.collect::<Vec<_>>(),
    });
    context.output.either(&value, || crate::render::simulate::scenarios(&all))?;
    Ok(Exit::Ok)
}

// What is assumed.

fn assumed(args: &Simulate) -> Result<Assumed, Failure> {
    let mut assumed = Assumed::default();
    let mut set = |name: &str, value: &str| {
        let hint = "`meshctl simulate -f FILE --print-assumptions` prints all names";
        assumed.set(name, value).map_err(|wrong| Failure::usage(wrong).hint(hint))
    };
    if let Some(path) = &args.assumptions {
        for (name, value) in read(path)? {
            set(&name, &value)?;
        }
    }
    for given in &args.assume {
        let Some((name, value)) = given.split_once('=') else {
            return Err(Failure::usage(format!("--assume {given}: write NAME=VALUE, for instance round-trip=90ms")));
        };
        set(name.trim(), value.trim())?;
    }
    Ok(assumed)
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let refuse = |error: std::io::Error| Failure::file(path, "read", &error);
    if std::fs::metadata(path).map_err(refuse)?.len() > ASSUMPTIONS_BYTES_MAX {
        return Err(Failure::usage(format!("{} is larger than {ASSUMPTIONS_BYTES_MAX} bytes", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(refuse)?;
    let wrong = |what: &str| Failure::usage(format!("{} is no list of `name = \"value\"`: {what}", path.display()));
    let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.message()))?;
    let values = table.into_iter().map(|(name, value)| match value {
        toml::Value::String(value) => Ok((name, value)),
        _ => Err(wrong(&format!("{name} has no text in quotes"))),
    });
    values.collect()
}

fn as_file(assumed: &Assumed) -> String {
    let line = |(name, value, what): (&str, String, &str)| format!("# {what}\n{name} = \"{value}\"\n");
    assumed.all().into_iter().map(line).collect()
}

// Playing.

fn play(
    args: &Simulate,
    given: &Arc<Given>,
    scenario: &Scenario,
    second: Option<&Second>,
    runs: u64,
    what: &str,
) -> Vec<Played> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.and_then(|threads| usize::try_from(threads).ok()).unwrap_or(cores);
    let runs = usize::try_from(runs).unwrap_or(usize::MAX);
    let progress = Progress::new(what.to_owned(), runs);
    let many = Many { given, scenario, second, seed: args.seed, runs, threads };
    let played = play_all(&many, &|over| progress.tell(over));
    progress.end();
    played
}

fn second(given: &Given, args: &Simulate, scenario: &Scenario) -> Result<Option<(Vec<String>, u64)>, Failure> {
    let any = Second::any(given, &scenario.name);
    match args.second.as_deref() {
        Some("none") => Ok(None),
        Some("any") => Ok(Some((any, args.runs))),
        None => Ok(Some((any, args.runs.div_ceil(SECOND_SHARE)))),
        Some(name) if any.iter().any(|known| known == name) => Ok(Some((vec![name.to_owned()], args.runs))),
        Some(name) => {
            let near = named::nearest(name, any.iter().map(String::as_str), 3).join(", ");
            Err(Failure::usage(format!("nothing called {name:?} can fail second; near it are {near}"))
                .hint("`any`, `none`, or a name from `meshctl simulate -f FILE --list-scenarios`"))
        }
    }
}

/// At a moment up to which most runs without one were over.
fn with_second(
    args: &Simulate,
    given: &Arc<Given>,
    scenario: &Scenario,
    alone: &Summary,
    (of, runs): (Vec<String>, u64),
) -> BySecond {
    let within = alone.back.at(95).or(alone.detected.at(95));
    let within = within.unwrap_or_else(|| u64::try_from(SECOND_WITHIN.as_micros()).unwrap_or(u64::MAX));
    let second = Second { of, within };
    let played = play(args, given, scenario, Some(&second), runs, &format!("{runs} runs with a second fault"));
    BySecond::of(within, &played)
}

/// On standard error: a line that is written over on a terminal, else one now and then.
struct Progress {
    what: String,
    runs: usize,
    began: Instant,
    terminal: bool,
    told: std::sync::Mutex<Instant>,
}

impl Progress {
    fn new(what: String, runs: usize) -> Self {
        let now = Instant::now();
        Self { what, runs, began: now, terminal: std::io::stderr().is_terminal(), told: std::sync::Mutex::new(now) }
    }

    fn tell(&self, over: usize) {
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !self.terminal && told.elapsed() < TOLD_EVERY {
            return;
        }
        *told = Instant::now();
        let percent = over * 100 / self.runs.max(1);
        let line = format!("{}: {percent} %, {} s", self.what, self.began.elapsed().as_secs());
        let (before, after) = if self.terminal { ("\r", "\x1b[K") } else { ("", "\n") };
        let _ = write!(std::io::stderr(), "{before}{line}{after}");
    }

    fn end(&self) {
        let took = self.began.elapsed();
        let before = if self.terminal { "\r\x1b[K" } else { "" };
        let _ =
            writeln!(std::io::stderr(), "{before}{} in {}.{} s", self.what, took.as_secs(), took.subsec_millis() / 100);
    }
}
