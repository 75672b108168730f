//! The answer of `simulate`: for a person, and as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::time::duration_millis;
use mesh_sim::scenario::{Given, Played, Scenario, Spread, Summary};
use serde_json::{Value, json};

use super::table::Table;
use super::text;
use crate::output::Paint;

const BARS: usize = 12;
const BAR_WIDTH: usize = 44;
/// Second faults that a person is shown; JSON has all.
const SECONDS_SHOWN: usize = 14;
const TEXT_MAX: usize = 220;

pub struct Answer<'a> {
    pub given: &'a Given,
    pub scenario: &'a Scenario,
    pub seed: u64,
    pub summary: &'a Summary,
    pub seconds: Option<&'a BySecond>,
}

/// Runs with a second fault, by what it was.
pub struct BySecond {
    /// After the first fault at the latest.
    pub within: u64,
    pub all: Summary,
    pub by: BTreeMap<String, Summary>,
}

impl BySecond {
    pub fn of(within: u64, played: &[Played]) -> Self {
        let mut by: BTreeMap<&str, Vec<&Played>> = BTreeMap::new();
        for run in played {
            if let Some((name, _)) = &run.second {
                by.entry(name).or_default().push(run);
            }
        }
        let by = by.into_iter().map(|(name, runs)| (name.to_owned(), Summary::of(runs.into_iter())));
        Self { within, all: Summary::of(played.iter()), by: by.collect() }
    }
}

impl Answer<'_> {
    /// docs/simulation.md has the shape.
    pub fn json(&self) -> Value {
        let objectives = &self.given.manifest.objectives;
        let assumed = self.given.assumed.all();
        let assumed: BTreeMap<&str, String> = assumed.into_iter().map(|(name, value, _)| (name, value)).collect();
        json!({
            "service": self.given.service(),
            "scenario": self.scenario.name,
            "what": self.scenario.what,
            "seed": self.seed,
            "automatic": self.given.manifest.policy.automatic,
            "objectives": { "rto_ms": duration_millis(objectives.rto), "rpo_ms": duration_millis(objectives.rpo) },
            "alone": self.summary.json(),
            "histogram_back": bars(&self.summary.back).iter().map(|bar| json!({
                "from_ms": bar.from / 1_000, "to_ms": bar.to.map(|to| to / 1_000), "runs": bar.runs,
            })).collect::<Vec<_>>(),
            "second": self.seconds.map(|seconds| json!({
                "within_ms": seconds.within / 1_000,
                "all": seconds.all.json(),
                "by": seconds.by.iter().map(|(name, of)| (name.clone(), of.json())).collect::<BTreeMap<_, _>>(),
            })),
            "assumed": assumed,
            "not_simulated": self.given.not_simulated,
        })
    }
}

pub fn scenarios(all: &[Scenario]) -> String {
    let mut table = Table::new(&["scenario", "what happens"]);
    all.iter().for_each(|it| table.row(vec![it.name.clone(), it.what.clone()]));
    let mut second = Table::new(&["only with --second", "what happens"]);
    let kinds = mesh_sim::scenario::second::KINDS;
    kinds.iter().for_each(|(name, what)| second.row(vec![(*name).to_owned(), (*what).to_owned()]));
    format!("{}\n{}", table.render(""), second.render(""))
}

pub fn render(answer: &Answer<'_>, paint: Paint) -> String {
    let Answer { given, scenario, summary, .. } = answer;
    let mut out = format!(
        "{}: {} ({})\n{} runs from seed {}, `automatic: {}`\n\n",
        given.service(),
        paint.bold(&scenario.name),
        scenario.what,
        summary.runs,
        answer.seed,
        given.manifest.policy.automatic.name()
    );
    out.push_str(&outcome(answer, paint));
    out.push_str(&times(summary));
    out.push_str(&histogram(&summary.back, paint));
    out.push_str(&losses(answer, paint));
    out.push_str(&stopped(summary, paint));
    out.push_str(&steps(summary));
    if let Some(seconds) = answer.seconds {
        out.push_str(&second(seconds, paint));
    }
    out.push_str(&assumptions(given));
    out
}

// How it ended.

fn outcome(answer: &Answer<'_>, paint: Paint) -> String {
    let summary = answer.summary;
    let to = summary.to.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut out = String::new();
    let mut line = |runs: usize, text: &str| {
        if runs > 0 {
            out.push_str(&format!("{:>6}  {text}\n", percent(runs, summary.runs)));
        }
    };
    line(summary.done, &paint.green(&format!("it moves to {to}, and every step is done")));
    line(summary.held, &paint.yellow("a run begins, and is held for a person"));
    line(summary.blocked, &paint.yellow("it is seen down, and a rule keeps the mesh from acting"));
    line(summary.nothing, "the mesh sees no reason to act");
    line(summary.no_leader, &paint.red("no quorum is left: nothing can be decided"));
    line(summary.unfinished, &paint.red("it was still going on after an hour and a half"));
    for (rule, tally) in &summary.violations {
        let runs = percent(tally.runs, summary.runs);
        out.push_str(&format!("{runs:>6}  {} {rule} {}\n", paint.red("BROKEN:"), text::clip(&tally.text, TEXT_MAX)));
    }
    let rto = answer.given.manifest.objectives.rto;
    let met = summary.back.times().iter().filter(|back| Duration::from_micros(**back) <= rto).count();
    if summary.back.count() > 0 {
        let met = percent(met, summary.runs);
        out.push_str(&format!("{met:>6}  it is back within the objective (`rto: {}`)\n", text::duration(rto)));
    }
    out
}

fn percent(runs: usize, of: usize) -> String {
    match runs * 1_000 / of.max(1) {
        1_000 => "100 %".to_owned(),
        0 if runs > 0 => "<0.1 %".to_owned(),
        tenths => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

// How long it took.

fn times(summary: &Summary) -> String {
    let mut table = Table::new(&["from the fault on", "runs", "p50", "p95", "p99", "longest"]);
    let rows = [
        ("seen to be down", &summary.detected),
        ("decided", &summary.decided),
        ("the old region is closed", &summary.granted),
        ("first write in the new one", &summary.written),
        ("traffic moved", &summary.moved),
        ("back: all of these", &summary.back),
        ("  with the leader elsewhere", &summary.back_leader_elsewhere),
        ("  with the leader lost too", &summary.back_leader_lost),
        ("every step done", &summary.ended),
    ];
    rows.iter().filter(|(_, spread)| spread.count() > 0).for_each(|(name, spread)| table.row(row(name, spread)));
    if table.is_empty() { String::new() } else { format!("\n{}", table.render("")) }
}

fn row(name: &str, spread: &Spread) -> Vec<String> {
    let at = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), time_text);
    let cells = [spread.at(50), spread.at(95), spread.at(99), spread.longest()].map(at);
    [name.to_owned(), spread.count().to_string()].into_iter().chain(cells).collect()
}

fn time_text(micros: u64) -> String {
    text::duration(Duration::from_micros(micros))
}

struct Bar {
    from: u64,
    /// None: all that is longer.
    to: Option<u64>,
    runs: usize,
}

/// Up to the 99th of a hundred, and the rest in one.
fn bars(spread: &Spread) -> Vec<Bar> {
    let (Some(first), Some(last), Some(most)) = (spread.times().first(), spread.at(99), spread.longest()) else {
        return Vec::new();
    };
    let width = round_up((last - first).max(1) / BARS as u64 + 1);
    let begins = first / width * width;
    let mut bars: Vec<Bar> = Vec::new();
    let mut from = begins;
    while from <= last {
        let to = from + width;
        let runs = spread.times().iter().filter(|time| (from..to).contains(*time)).count();
        bars.push(Bar { from, to: Some(to), runs });
        from = to;
    }
    let runs = spread.times().iter().filter(|time| **time >= from).count();
    if most >= from {
        bars.push(Bar { from, to: None, runs });
    }
    bars
}

/// A width that a person reads: 1, 2 or 5 with zeroes, of milliseconds.
fn round_up(micros: u64) -> u64 {
    let mut unit = 1_000;
    loop {
        for factor in [1, 2, 5] {
            if unit * factor >= micros {
                return unit * factor;
            }
        }
        unit *= 10;
    }
}

fn histogram(spread: &Spread, paint: Paint) -> String {
    let bars = bars(spread);
    let most = bars.iter().map(|bar| bar.runs).max().unwrap_or_default();
    if most == 0 {
        return String::new();
    }
    let mut out = "\nBack after\n".to_owned();
    for bar in &bars {
        let label = match bar.to {
            Some(_) => time_text(bar.from),
            None => format!("> {}", time_text(bar.from)),
        };
        let filled = (bar.runs * BAR_WIDTH).div_ceil(most);
        out.push_str(&format!("{label:>13} {} {}\n", paint.green(&"█".repeat(filled)), bar.runs));
    }
    out
}

// What it cost.

fn losses(answer: &Answer<'_>, paint: Paint) -> String {
    let summary = answer.summary;
    if summary.lost.count() == 0 && summary.expected.count() == 0 {
        return String::new();
    }
    let mut table = Table::new(&["lost, as time", "runs", "p50", "p95", "p99", "most"]);
    if summary.lost.count() > 0 {
        table.row(row("accepted there, missing here", &summary.lost));
    }
    if summary.expected.count() > 0 {
        table.row(row("what the mesh expects to lose", &summary.expected));
    }
    let rpo = answer.given.manifest.objectives.rpo;
    let over = summary.lost.times().iter().filter(|lost| Duration::from_micros(**lost) > rpo).count();
    let over = match over {
        0 => format!("`rpo: {}` is kept in all of them", text::duration(rpo)),
        over => {
            paint.yellow(&format!("`rpo: {}` is exceeded in {over} of {}", text::duration(rpo), summary.lost.count()))
        }
    };
    let over = if summary.lost.count() > 0 { format!("{over}\n") } else { String::new() };
    format!("\n{}{over}", table.render(""))
}

fn stopped(summary: &Summary, paint: Paint) -> String {
    let mut out = String::new();
    if !summary.rules.is_empty() {
        out.push_str("\nRules in the way, where nothing was begun\n");
        for (rule, tally) in &summary.rules {
            let runs = percent(tally.runs, summary.runs);
            out.push_str(&format!("{runs:>6}  {}  {}\n", paint.bold(rule), text::clip(&tally.text, TEXT_MAX)));
        }
    }
    if !summary.holds.is_empty() {
        out.push_str("\nHeld runs wait for\n");
        for (step, tally) in &summary.holds {
            let runs = percent(tally.runs, summary.runs);
            out.push_str(&format!("{runs:>6}  {}  {}\n", paint.bold(step), text::clip(&tally.text, TEXT_MAX)));
        }
    }
    out
}

fn steps(summary: &Summary) -> String {
    if summary.steps.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["step", "runs", "begins p50", "takes p50", "p95", "p99"]);
    for (name, began, took) in &summary.steps {
        let at = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), time_text);
        let begins = began.at(50).map_or_else(|| "-".to_owned(), |began| format!("+{}", time_text(began)));
        let mut cells = vec![name.clone(), took.count().to_string(), begins];
        cells.extend([took.at(50), took.at(95), took.at(99)].map(at));
        table.row(cells);
    }
    format!("\n{}", table.render(""))
}

// A second fault.

fn second(seconds: &BySecond, paint: Paint) -> String {
    let mut table = Table::new(&["second", "runs", "moved", "back p50", "p95", "held", "not begun", "no quorum"]);
    let mut worst: Vec<(&String, &Summary)> = seconds.by.iter().collect();
    worst.sort_by_key(|(name, of)| (of.done * 1_000 / of.runs.max(1), std::cmp::Reverse(of.back.at(95)), *name));
    for (name, of) in worst.iter().take(SECONDS_SHOWN) {
        table.row(second_row(name, of));
    }
    let left = worst.len().saturating_sub(SECONDS_SHOWN);
    table.row(second_row("all", &seconds.all));
    let more = if left > 0 { format!("{left} others end as well or better: --json\n") } else { String::new() };
    let broken: String = seconds
        .all
        .violations
        .iter()
        .map(|(rule, tally)| {
            format!("{} {rule} in {} runs: {}\n", paint.red("BROKEN:"), tally.runs, text::clip(&tally.text, TEXT_MAX))
        })
        .collect();
    let within = time_text(seconds.within);
    format!("\nIf a second thing fails within {within}, for good\n{}{more}{broken}", table.render(""))
}

fn second_row(name: &str, of: &Summary) -> Vec<String> {
    let at = |percent| of.back.at(percent).map_or_else(|| "-".to_owned(), time_text);
    let held = of.held + of.unfinished;
    vec![
        name.to_owned(),
        of.runs.to_string(),
        percent(of.done, of.runs),
        at(50),
        at(95),
        held.to_string(),
        (of.blocked + of.nothing).to_string(),
        of.no_leader.to_string(),
    ]
}

// What was taken for granted.

fn assumptions(given: &Given) -> String {
    let mut out = "\nAssumed (`--assume NAME=VALUE`): ".to_owned();
    let assumed = given.assumed.all();
    let assumed: Vec<String> = assumed.into_iter().map(|(name, value, _)| format!("{name} {value}")).collect();
    out.push_str(&assumed.join(", "));
    out.push_str(
        "\nAlso assumed: armed, not frozen, not moved lately; any time of the week; two agents in each region; ",
    );
    let regions: Vec<&str> = given.regions.iter().map(|region| region.as_str()).collect();
    out.push_str(&format!("one coordinator in each of {}\n", regions.join(", ")));
    for not in &given.not_simulated {
        out.push_str(&format!("not simulated: {not}\n"));
    }
    out
}
