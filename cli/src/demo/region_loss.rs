//! A region dies with everything in it: its application, its database, its control plane, its agents and its coordinator,
//! which leads. Nobody gives a command. Judged from outside.

use std::path::Path;
use std::time::{Duration, Instant};

use mesh_core::detect::{RegionVerdict, Sees, Verdict};
use mesh_core::ids::{RunId, ServiceId};
use mesh_core::plan::PredictedLoss;
use mesh_core::run::Run;
use mesh_core::time::{Timestamp, duration_millis};
use mesh_proto::v1::change_membership_request::Change;
use mesh_runtime::client::CallLimits;
use serde::Serialize;

use super::child::{Processes, Programs};
use super::double::Double;
use super::lookup;
use super::maip::{self, Plot, SERVICE, app_port};
use super::stage::{Judged, POLL, ask, ending, stage, warm_up};
use super::stand::{Stand, Story};
use super::verdict::{effects_twice, first_in, lost_writes, writers_max};
use super::writers::{Accepted, Writers, list};
use crate::args::demo::Scenario;
use crate::commands::Context;
use crate::failure::{Failure, Outcome};
use crate::mesh::Mesh;
use crate::output::{Output, Paint};
use crate::profile;
use crate::render::{text, why};

/// The lost region: not us-east-1, where the control plane of Route 53 is, without which no record can be changed.
pub const LOST: &str = "eu-west-1";
/// Node of the coordinator in it.
const LEADER: u64 = 1;
/// Until every observer sees every region well.
const WELL_WITHIN: Duration = Duration::from_secs(60);
const STARTS_WITHIN: Duration = Duration::from_secs(180);
const ENDS_WITHIN: Duration = Duration::from_secs(300);
const COMMAND_WITHIN: Duration = Duration::from_secs(60);
const FIRST_WRITE_WITHIN: Duration = Duration::from_secs(10);
const AFTERWARDS: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The leader may be gone: ask the next one soon.
const ASK: CallLimits = CallLimits { per_try: Duration::from_secs(1), total: Duration::from_secs(3) };

/// A probe a second, three seconds of failure. Nobody can prove that a database in a lost region takes no writes, unless
/// whoever writes there asks the lease endpoint, as these clients do: its yes is at most half a second old, and a write
/// that got no reply within two is given up.
pub const POLICY: &str = "fence:\n  - lease-endpoint: { reaction: 3s }\nlease: { length: 5s, margin: 2s }\npolicy:\n  \
                          automatic: full\n  sustained: 3s\n  cool-down: 10m\n";

/// The demo's world with its primary in another region, and us-east-1 beside the mesh.
pub fn world() -> String {
    let regions = |all: &[&str]| format!("\"regions\": [\"{}\"]", all.join("\", \""));
    let [_, new, witness] = maip::REGIONS;
    let moved = maip::WORLD.replace(maip::OLD, LOST).replace("use1", "euw1");
    moved.replace(&regions(&[LOST, new, witness]), &regions(&[LOST, new, witness, maip::OLD]))
}

#[derive(Clone, Debug, Serialize)]
pub struct Loss {
    pub scenario: &'static str,
    pub held: bool,
    /// From the region's death to the verdict `down` on which the mesh acted.
    pub verdict_ms: Option<u64>,
    /// To the committed decision.
    pub decision_ms: Option<u64>,
    /// To the first write accepted in the other region.
    pub first_write_ms: Option<u64>,
    /// To the end of the run.
    pub run_ms: Option<u64>,
    /// Regions that accepted writes at the same time.
    pub writers_max: Option<u32>,
    /// What the plan expected to be lost, as time.
    pub predicted_loss_ms: Option<u64>,
    /// From the first lost write to the last one accepted in the lost region.
    pub measured_loss_ms: Option<u64>,
    pub lost_writes: Option<usize>,
    pub accepted_before: usize,
    pub accepted_after: usize,
    pub effects_twice: Option<usize>,
    pub notices: Option<usize>,
    pub api_region: Option<String>,
    pub run: Option<String>,
    pub failures: Vec<String>,
    #[serde(skip)]
    to: String,
}

impl Loss {
    fn new() -> Self {
        Self {
            scenario: Scenario::RegionLoss.name(),
            held: false,
            verdict_ms: None,
            decision_ms: None,
            first_write_ms: None,
            run_ms: None,
            writers_max: None,
            predicted_loss_ms: None,
            measured_loss_ms: None,
            lost_writes: None,
            accepted_before: 0,
            accepted_after: 0,
            effects_twice: None,
            notices: None,
            api_region: None,
            run: None,
            failures: Vec::new(),
            to: maip::NEW.to_owned(),
        }
    }

    fn seen<T>(&mut self, what: &str, seen: Result<T, String>) -> Option<T> {
        seen.map_err(|error| self.failures.push(format!("{what} could not be observed: {error}"))).ok()
    }
}

pub async fn run(context: &Context) -> Outcome {
    stage(context, Loss::new(), play).await
}

/// When a thing happened, by the clients' clock and by that of the mesh.
#[derive(Clone, Copy)]
struct Moment {
    by_clients: Duration,
    by_mesh: Timestamp,
}

async fn play(output: &Output, dir: &Path, programs: Programs, seen: &mut Loss) -> Result<(), Failure> {
    let story = Story { output, began: Instant::now() };
    output.note(&format!("A mesh of three regions as real processes on this machine; files in {}", dir.display()));
    let mut stand = raise(dir, programs, &story).await?;
    let mesh = Mesh::open(&profile::load(Some(&stand.layout.profile()))?)?;
    let double = Double::new(&stand.ready.aws).map_err(Failure::failed)?;
    let databases: Vec<(String, String)> = stand
        .world
        .sites()
        .into_iter()
        .filter_map(|region| Some((region.to_owned(), stand.world.database(&stand.ready, region)?)))
        .collect();
    let writers = Writers::start_asking(&databases, &stand.leases);
    warm_up(&writers, LOST).await?;
    story.tell(&format!("clients write to both databases; {LOST} accepts, {} is a read-only replica", seen.to));
    let service = ServiceId::new(SERVICE).map_err(|error| Failure::failed(error.to_string()))?;
    until_well(&mesh, &service).await?;
    lead_from_there(&mesh).await?;
    story.tell(&format!("the coordinator in {LOST} leads; every observer sees every region well"));
    story.tell("$ meshctl status");
    ask(output, &stand, &["status"], COMMAND_WITHIN).await?;

    let lost = lose(&mut stand, &double, &writers).await?;
    story
        .tell(&format!("{LOST} is gone: application, database, AWS, two agents and the leader. Nobody does anything."));
    let run = until_moving(&mesh, &service, &story).await?;
    seen.run = Some(run.to_string());
    story.tell(&format!("$ meshctl watch {run}"));
    let ended = ask(output, &stand, &["watch", run.as_str()], ENDS_WITHIN).await;
    if let Err(failure) = ended {
        seen.failures.push(failure.to_string());
    }
    let deadline = Instant::now() + FIRST_WRITE_WITHIN;
    while writers.accepted_in(&seen.to) == 0 && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
    }
    tokio::time::sleep(AFTERWARDS).await;
    let accepted = writers.stop().await;
    story.tell(&format!("$ meshctl why {run}"));
    if let Err(failure) = ask(output, &stand, &["why", run.as_str()], COMMAND_WITHIN).await {
        seen.failures.push(failure.to_string());
    }
    let (run, _) = mesh.why(&run).await?;
    judge(seen, &stand, &double, (&run, lost), (&accepted, &databases)).await;
    Ok(())
}

async fn raise(dir: &Path, programs: Programs, story: &Story<'_>) -> Result<Stand, Failure> {
    let tie = programs.clone();
    let mut stand = Stand::raise_empty(&world(), dir, programs, || Processes::tied_to_us(&tie), story).await?;
    let plot = Plot { asked_at: Some(stand.ready.apps.clone()), policy: POLICY.to_owned() };
    stand.adopt(story, &plot).await?;
    Ok(stand)
}

/// Waits until the mesh has nothing to do, and knows it.
pub async fn until_well(mesh: &Mesh, service: &ServiceId) -> Result<(), Failure> {
    let deadline = Instant::now() + WELL_WITHIN;
    loop {
        let judged = mesh.why_not(service, None).await;
        let ill = match &judged {
            Ok(judged) => {
                let ill = judged.regions.iter().find(|(_, region)| !is_well(region));
                ill.map(|(region, verdict)| why::in_a_line(verdict, judged.at, Paint::PLAIN) + " in " + region.as_str())
            }
            Err(failure) => Some(failure.to_string()),
        };
        let Some(ill) = ill else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(Failure::failed(format!("not every region is seen well: {ill}")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// By everyone's word: that of an observer that doubts itself, too.
fn is_well(region: &RegionVerdict) -> bool {
    region.verdict == Verdict::Healthy && region.views.iter().all(|view| view.sees == Sees::Passing)
}

/// Makes the coordinator of the region lead. On a busy machine one that was not heard for a moment is refused.
async fn lead_from_there(mesh: &Mesh) -> Result<(), Failure> {
    let deadline = Instant::now() + WELL_WITHIN;
    loop {
        match mesh.change_membership(Change::TransferLeader(LEADER), &[]).await {
            Ok(_) => return Ok(()),
            Err(failure) if Instant::now() >= deadline => return Err(failure),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Everything in the region ends at once.
async fn lose(stand: &mut Stand, double: &Double, writers: &Writers) -> Result<Moment, Failure> {
    let inside: Vec<String> = stand
        .world
        .callers(LOST)
        .map(|agent| format!("agent-{}", agent.name))
        .chain([format!("coordinator-{LEADER}")])
        .collect();
    let moment = Moment { by_clients: writers.elapsed(), by_mesh: mesh_runtime::clock::unix_now() };
    double.region(LOST, "down").await.map_err(Failure::failed)?;
    for name in inside {
        stand.mesh.kill(&name)?;
    }
    Ok(moment)
}

/// Waits for a run that nobody asked for; tells meanwhile what the leader makes of it.
async fn until_moving(mesh: &Mesh, service: &ServiceId, story: &Story<'_>) -> Result<RunId, Failure> {
    let mesh = mesh.with_limits(ASK);
    let deadline = Instant::now() + STARTS_WITHIN;
    let mut said = String::new();
    while Instant::now() < deadline {
        if let Ok(runs) = mesh.runs(Some(service), 1).await
            && let Some(newest) =
                runs.into_iter().find(|run| run.kind == mesh_core::plan::PlanKind::Failover.to_string())
        {
            story.tell(&format!("the mesh has decided: run {} to {}", newest.run, newest.to));
            return RunId::new(newest.run).map_err(Failure::answer);
        }
        if let Ok(judged) = mesh.why_not(service, None).await {
            let now = why::headline(&judged);
            if now != said {
                story.tell(&now);
                said = now;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(Failure::failed(format!("the mesh did not act within {} s; last: {said}", STARTS_WITHIN.as_secs())))
}

async fn judge(
    seen: &mut Loss,
    stand: &Stand,
    double: &Double,
    (run, lost): (&Run, Moment),
    (accepted, databases): (&[Accepted], &[(String, String)]),
) {
    let since = |at: Timestamp| duration_millis(at.since(lost.by_mesh));
    seen.verdict_ms = why::cause(run).map(|judged| since(judged.at));
    seen.decision_ms = Some(since(run.started_at));
    seen.run_ms = run.ended_at.map(since);
    let first = first_in(accepted, &seen.to);
    seen.first_write_ms = first.map(|at| duration_millis(at.saturating_sub(lost.by_clients)));
    seen.writers_max = writers_max(accepted, LOST, &seen.to);
    seen.accepted_before = accepted.iter().filter(|write| write.region == LOST).count();
    seen.accepted_after = accepted.iter().filter(|write| write.region == seen.to).count();
    seen.predicted_loss_ms = match &run.loss {
        PredictedLoss::Lag { lag, age, .. } => Some(duration_millis(lag.saturating_add(*age))),
        PredictedLoss::Nothing => Some(0),
        PredictedLoss::Unknown => None,
    };
    let survivor = match databases.iter().find(|(region, _)| *region == seen.to) {
        Some((_, address)) => list(address).await,
        None => Err(format!("no database in {}", seen.to)),
    };
    if let Some(survivor) = seen.seen("the writes of the new database", survivor) {
        seen.lost_writes = Some(lost_writes(accepted, LOST, &survivor));
        let old = || accepted.iter().filter(|write| write.region == LOST);
        let first_lost = old().filter(|write| !survivor.contains(&write.id)).map(|write| write.at).min();
        let last = old().map(|write| write.at).max().unwrap_or_default();
        seen.measured_loss_ms = Some(first_lost.map_or(0, |first| duration_millis(last.saturating_sub(first))));
    }
    seen.effects_twice = seen.seen("effects", double.effects().await.map(|effects| effects_twice(&effects)));
    let notices = match stand.world.queue() {
        Some(queue) => double.queue(queue).await,
        None => Err("the double's world has no queue".to_owned()),
    };
    seen.notices = seen.seen("notices", notices);
    let api = match (stand.world.public_name(), app_port(&stand.ready)) {
        (Some(name), Some(port)) => lookup::health(&stand.ready.dns, name, port).await,
        _ => Err("the double's world has no public name".to_owned()),
    };
    seen.api_region = seen.seen("the public API", api).map(|health| health.region);
}

impl Judged for Loss {
    fn fail(&mut self, why: String) {
        self.failures.push(why);
    }

    fn conclude(&mut self) -> bool {
        let mut failures = Vec::new();
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                failures.push(what.to_owned());
            }
        };
        expect(self.accepted_before > 0, "no client write was accepted before the loss");
        expect(self.verdict_ms.is_some(), "the run has no judgement as its cause");
        expect(self.first_write_ms.is_some(), "no client write was accepted in the other region");
        expect(self.run_ms.is_some(), "the run has not ended");
        expect(self.writers_max == Some(1), "writers_max is not 1");
        expect(self.effects_twice == Some(0), "effects_twice is not 0");
        // That a run began, and that it is done.
        expect(self.notices == Some(2), "notices is not 2");
        expect(
            self.api_region.as_deref() == Some(self.to.as_str()),
            "the public name is not answered by the other region",
        );
        let within = self.measured_loss_ms.zip(self.predicted_loss_ms).is_some_and(|(lost, said)| lost <= said);
        expect(within, "more was lost than the plan had said, or the plan did not say");
        self.failures.extend(failures);
        self.held = self.failures.is_empty();
        self.held
    }

    fn report(&self) -> String {
        let ms = |value: Option<u64>| {
            value.map_or_else(|| "not observed".to_owned(), |ms| text::duration(Duration::from_millis(ms)))
        };
        let number = |value: Option<usize>| value.map_or_else(|| "not observed".to_owned(), |n| n.to_string());
        let mut out = format!(
            "\nSeen from outside the mesh, counted from the loss of {LOST}\n  verdict `down`           {}\n  \
             committed decision       {}\n  first write in {}  {}\n  the run had ended        {}\n  \
             writers at a time        {}\n  loss, as the plan said   the last {} at most\n  loss, as counted         the last {}: \
             {} of {} writes accepted in {LOST}\n  effects applied twice    {}\n  notices to on-call       {}\n  \
             the public API answers   from {}\n",
            ms(self.verdict_ms),
            ms(self.decision_ms),
            self.to,
            ms(self.first_write_ms),
            ms(self.run_ms),
            self.writers_max.map_or_else(|| "not observed".to_owned(), |n| n.to_string()),
            ms(self.predicted_loss_ms),
            ms(self.measured_loss_ms),
            number(self.lost_writes),
            self.accepted_before,
            number(self.effects_twice),
            number(self.notices),
            self.api_region.as_deref().unwrap_or("nowhere"),
        );
        out.push_str(&ending(&self.failures));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lost_region_is_the_primary_s_and_not_where_the_control_plane_of_route_53_is() {
        let world = maip::World::parse(&world()).expect("a world");
        assert_eq!(world.regions(), [LOST, maip::NEW, maip::WITNESS]);
        assert!(super::world().contains(maip::OLD), "the control plane's region is there");
        assert_eq!(world.callers(LOST).count(), maip::AGENTS_PER_REGION);
    }

    #[test]
    fn more_loss_than_was_said_is_a_broken_promise() {
        let mut seen = Loss { accepted_before: 1, verdict_ms: Some(1), first_write_ms: Some(1), ..Loss::new() };
        (seen.run_ms, seen.writers_max, seen.effects_twice) = (Some(1), Some(1), Some(0));
        (seen.notices, seen.api_region) = (Some(2), Some(maip::NEW.to_owned()));
        (seen.predicted_loss_ms, seen.measured_loss_ms) = (Some(300), Some(300));
        assert!(seen.conclude(), "{:?}", seen.failures);
        let mut unsaid = Loss { predicted_loss_ms: None, ..seen.clone() };
        seen.measured_loss_ms = Some(301);
        for bad in [&mut seen, &mut unsaid] {
            assert!(!bad.conclude());
            assert_eq!(bad.failures.len(), 1, "{:?}", bad.failures);
        }
    }
}
