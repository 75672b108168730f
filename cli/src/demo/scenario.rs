//! The scenario: a real failover under real writes, judged from outside the mesh.

use std::path::Path;
use std::time::{Duration, Instant};

use mesh_core::ids::RunId;
use mesh_core::run::Run;
use mesh_core::time::duration_millis;

use super::checklist::{Outside, checklist};
use super::child::{Processes, Programs};
use super::double::{Activity, Double};
use super::floor::floor_ms;
use super::lookup;
use super::maip::{NEW, OLD, SERVICE, app_port};
use super::stage::{Judged, POLL, ask, ending, stage, warm_up};
use super::stand::{Stand, Story};
use super::verdict::{Verdict, effects_twice, lost_writes};
use super::writers::{Writers, list};
use crate::args::demo::Scenario;
use crate::commands::Context;
use crate::failure::{Failure, Outcome};
use crate::mesh::Mesh;
use crate::output::Output;
use crate::profile;
use crate::render::text;

const DOCTOR_WITHIN: Duration = Duration::from_secs(60);
const FAILOVER_WITHIN: Duration = Duration::from_secs(300);
/// How long clients go on after the end: a second writer would show itself.
const AFTERWARDS: Duration = Duration::from_secs(1);
const FIRST_WRITE_WITHIN: Duration = Duration::from_secs(10);

pub async fn run(context: &Context, scenario: Scenario) -> Outcome {
    match scenario {
        Scenario::Failover => stage(context, Verdict::new(scenario.name()), play).await,
        Scenario::RegionLoss => super::region_loss::run(context).await,
        Scenario::PartitionNoFailover => super::no_failover::run(context).await,
    }
}

impl Judged for Verdict {
    fn fail(&mut self, why: String) {
        self.failures.push(why);
    }

    fn conclude(&mut self) -> bool {
        self.conclude_for(NEW);
        self.held
    }

    fn report(&self) -> String {
        report(self)
    }
}

async fn play(output: &Output, dir: &Path, programs: Programs, verdict: &mut Verdict) -> Result<(), Failure> {
    let story = Story { output, began: Instant::now() };
    output.note(&format!("A mesh of three regions as real processes on this machine; files in {}", dir.display()));
    let tie = programs.clone();
    let stand = Stand::raise(dir, programs, || Processes::tied_to_us(&tie), &story).await?;
    verdict.up_ms = Some(duration_millis(story.began.elapsed()));
    let double = Double::new(&stand.ready.aws).map_err(Failure::failed)?;

    let databases = [OLD, NEW].map(|region| Some((region.to_owned(), stand.world.database(&stand.ready, region)?)));
    let databases: Vec<(String, String)> = databases.into_iter().flatten().collect();
    let writers = Writers::start(&databases);
    warm_up(&writers, OLD).await?;
    story.tell(&format!("clients write to both databases; {OLD} accepts, {NEW} is a read-only replica"));

    story.tell("$ meshctl doctor maip");
    ask(output, &stand, &["doctor", SERVICE], DOCTOR_WITHIN).await?;
    let seen_activities = double.activities().await.map_err(Failure::failed)?.len();
    story.tell(&format!("$ meshctl failover --to {NEW} --yes"));
    let commanded = writers.elapsed();
    let ended = ask(output, &stand, &["failover", "--to", NEW, "--yes"], FAILOVER_WITHIN).await;
    let run = writers.elapsed().saturating_sub(commanded);
    match ended {
        Ok(()) => {
            verdict.run_ms = Some(duration_millis(run));
            story.tell(&format!("the command ended after {}", text::duration(run)));
        }
        Err(failure) => verdict.failures.push(failure.to_string()),
    }
    let deadline = Instant::now() + FIRST_WRITE_WITHIN;
    while writers.accepted_in(NEW) == 0 && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
    }
    tokio::time::sleep(AFTERWARDS).await;
    let accepted = writers.stop().await;
    verdict.judge_writes(&accepted, OLD, NEW, commanded);

    let mut seen = Seen { verdict };
    seen.floor(double.activities().await, seen_activities, last_run(&stand).await);
    seen.effects(double.effects().await.map(|effects| effects_twice(&effects)));
    seen.notices(&double, &stand).await;
    seen.lost(&databases, &accepted).await;
    seen.api(&stand).await;
    seen.checklist(double.state().await);
    Ok(())
}

/// The run that the command started.
async fn last_run(stand: &Stand) -> Result<Run, Failure> {
    let mesh = Mesh::open(&profile::load(Some(&stand.layout.profile()))?)?;
    let newest = mesh.runs(None, 1).await?.into_iter().next();
    let id = newest.and_then(|line| RunId::new(line.run).ok()).ok_or_else(|| Failure::failed("no run is listed"))?;
    mesh.run(&id).await
}

/// Fills in what was observed; what could not be observed is a failure that says why.
struct Seen<'a> {
    verdict: &'a mut Verdict,
}

impl Seen<'_> {
    fn note<T>(&mut self, what: &str, seen: Result<T, String>) -> Option<T> {
        seen.map_err(|error| self.verdict.failures.push(format!("{what} could not be observed: {error}"))).ok()
    }

    fn floor(&mut self, activities: Result<Vec<Activity>, String>, before: usize, run: Result<Run, Failure>) {
        let run = self.note("the run", run.map_err(|failure| failure.to_string()));
        if let Some((run, all)) = run.zip(self.note("the provider's time", activities)) {
            self.verdict.floor_ms = Some(floor_ms(&run, all.get(before..).unwrap_or_default()));
        }
    }

    fn effects(&mut self, twice: Result<usize, String>) {
        self.verdict.effects_twice = self.note("effects", twice);
    }

    async fn notices(&mut self, double: &Double, stand: &Stand) {
        let seen = match stand.world.queue() {
            Some(queue) => double.queue(queue).await,
            None => Err("the double's world has no queue".to_owned()),
        };
        self.verdict.notices = self.note("notices", seen);
    }

    async fn lost(&mut self, databases: &[(String, String)], accepted: &[super::writers::Accepted]) {
        let survivor = match databases.iter().find(|(region, _)| region == NEW) {
            Some((_, address)) => list(address).await,
            None => Err(format!("no database in {NEW}")),
        };
        let survivor = self.note("the writes of the new database", survivor);
        self.verdict.lost_writes = survivor.map(|survivor| lost_writes(accepted, OLD, &survivor));
    }

    fn checklist(&mut self, state: Result<serde_json::Value, String>) {
        let Some(state) = self.note("the state of the double", state) else { return };
        let api_region = self.verdict.api_region.clone();
        let outside = Outside {
            writers_max: self.verdict.writers_max,
            notices: self.verdict.notices,
            api_region: api_region.as_deref(),
        };
        self.verdict.checklist = checklist(&state, outside, OLD, NEW);
    }

    async fn api(&mut self, stand: &Stand) {
        let seen = match (stand.world.public_name(), app_port(&stand.ready)) {
            (Some(name), Some(port)) => lookup::health(&stand.ready.dns, name, port).await,
            _ => Err("the double's world has no public name".to_owned()),
        };
        if let Some(health) = self.note("the public API", seen) {
            if !health.writable {
                self.verdict.failures.push(format!("the application in {} cannot write", health.region));
            }
            self.verdict.api_region = Some(health.region);
        }
    }
}

fn report(verdict: &Verdict) -> String {
    let ms = |value: Option<u64>| {
        value.map_or_else(|| "not observed".to_owned(), |ms| text::duration(Duration::from_millis(ms)))
    };
    let number = |value: Option<String>| value.unwrap_or_else(|| "not observed".to_owned());
    let mut out = format!(
        "\nSeen from outside the mesh\n  mesh raised in            {}\n  first write in {NEW}  {} after the command\n  \
         no writes for             {}\n  the command took          {}\n    of it the provider's    {}\n    of it the mesh's        {}\n  \
         writers at a time         {}\n  writes lost               {} of {} accepted in {OLD}\n  effects applied twice     {}\n  \
         notices to on-call        {}\n  the public API answers    from {}\n",
        ms(verdict.up_ms),
        ms(verdict.first_write_ms),
        ms(verdict.outage_ms),
        ms(verdict.run_ms),
        ms(verdict.floor_ms),
        ms(verdict.overhead_ms),
        number(verdict.writers_max.map(|n| n.to_string())),
        number(verdict.lost_writes.map(|n| n.to_string())),
        verdict.accepted_before,
        number(verdict.effects_twice.map(|n| n.to_string())),
        number(verdict.notices.map(|n| n.to_string())),
        verdict.api_region.as_deref().unwrap_or("nowhere"),
    );
    out.push_str("\nThe runbook's checklist\n");
    for tick in &verdict.checklist {
        out.push_str(&format!("  [{}] {:<28} {}\n", if tick.held { "x" } else { " " }, tick.step, tick.seen));
    }
    out.push_str(&ending(&verdict.failures));
    out
}
