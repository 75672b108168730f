//! A network that breaks in ways which must not move the service: each time the mesh says what it sees, and which rule
//! kept it from acting.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use mesh_core::decide::{Conclusion, JudgementRecord, RuleState};
use mesh_core::detect::{Pattern, RegionVerdict, Sees, Verdict};
use mesh_core::ids::{RegionId, ServiceId};
use serde::Serialize;

use super::child::{Processes, Programs};
use super::dialler::Diallers;
use super::maip::{self, NEW, OLD, Plot, SERVICE, WITNESS};
use super::network::Network;
use super::region_loss::until_well;
use super::stage::{Judged, ask, ending, stage, warm_up};
use super::stand::{Stand, Story};
use super::writers::Writers;
use crate::args::demo::Scenario;
use crate::commands::Context;
use crate::failure::{Failure, Outcome};
use crate::mesh::Mesh;
use crate::output::Output;
use crate::profile;
use crate::render::why;

/// What the manifest says.
const SUSTAINED: Duration = Duration::from_secs(3);
const POLICY: &str = "policy:\n  automatic: full\n  sustained: 3s\n  cool-down: 10m\n";
/// A cut is looked at for so many times as long as an outage has to last before the mesh acts.
const SUSTAINED_TIMES: u32 = 3;
const SEEN_WITHIN: Duration = Duration::from_secs(90);
const COMMAND_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One way to break the network.
struct Cut {
    name: &'static str,
    said: &'static str,
    /// Nothing gets from the first to the second.
    links: &'static [(&'static str, &'static str)],
    /// What the mesh should call it, where there is one right name.
    pattern: Option<Pattern>,
}

const CUTS: [Cut; 3] = [
    Cut {
        name: "own-observers-only",
        said: "the primary's own agents lose their application; everybody else still reaches it",
        links: &[(OLD, OLD)],
        pattern: Some(Pattern::LocalOnly),
    },
    Cut {
        name: "observer-region-cut-off",
        said: "the agents of the witness region reach nothing any more, in whichever region",
        links: &[(WITNESS, OLD), (WITNESS, NEW)],
        pattern: None,
    },
    Cut {
        name: "asymmetric-link",
        said: "nothing gets from the standby's region to the primary's; the other way is well",
        links: &[(NEW, OLD)],
        pattern: Some(Pattern::Asymmetric),
    },
];

#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    pub cut: &'static str,
    /// Of the primary's region.
    pub verdict: Verdict,
    pub pattern: Pattern,
    pub conclusion: String,
    /// The rules that were in the way, with what they said.
    pub blocked_by: BTreeMap<String, String>,
    /// How often the broken links lost something.
    pub lost: u64,
    /// Writes that the primary took meanwhile.
    pub writes: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct NoFailover {
    pub scenario: &'static str,
    pub held: bool,
    pub cuts: Vec<Seen>,
    /// Failovers that were started: none is right.
    pub failovers: Option<usize>,
    pub active: Option<String>,
    pub failures: Vec<String>,
}

pub async fn run(context: &Context) -> Outcome {
    let verdict = NoFailover {
        scenario: Scenario::PartitionNoFailover.name(),
        held: false,
        cuts: Vec::new(),
        failovers: None,
        active: None,
        failures: Vec::new(),
    };
    stage(context, verdict, play).await
}

async fn play(output: &Output, dir: &Path, programs: Programs, verdict: &mut NoFailover) -> Result<(), Failure> {
    let story = Story { output, began: Instant::now() };
    output.note(&format!("A mesh of three regions as real processes on this machine; files in {}", dir.display()));
    let (stand, network) = raise(dir, programs, &story).await?;
    let mesh = Mesh::open(&profile::load(Some(&stand.layout.profile()))?)?;
    let service = ServiceId::new(SERVICE).map_err(|error| Failure::failed(error.to_string()))?;
    let databases: Vec<(String, String)> =
        stand.world.database(&stand.ready, OLD).map(|address| (OLD.to_owned(), address)).into_iter().collect();
    let writers = Writers::start(&databases);
    warm_up(&writers, OLD).await?;
    until_well(&mesh, &service).await?;
    story.tell(&format!(
        "clients write in {OLD}, every observer sees every region well, and the mesh may act by itself"
    ));
    for cut in &CUTS {
        let before = writers.accepted_in(OLD);
        story.tell(&format!("{}: {}", cut.name, cut.said));
        cut.links.iter().for_each(|(from, to)| network.cut(from, to));
        let judged = until_looked_at(&mesh, &service, &story).await?;
        story.tell(&format!("$ meshctl why-not {SERVICE}"));
        ask(output, &stand, &["why-not", SERVICE], COMMAND_WITHIN).await?;
        network.heal();
        let lost = network.take_lost();
        let writes = writers.accepted_in(OLD).saturating_sub(before);
        verdict.cuts.push(seen(cut, &judged, lost, writes)?);
        until_well(&mesh, &service).await?;
        story.tell("the network is whole again, and every observer sees every region well");
    }
    writers.stop().await;
    let failover = mesh_core::plan::PlanKind::Failover.to_string();
    let runs = mesh.runs(Some(&service), 100).await?;
    verdict.failovers = Some(runs.iter().filter(|run| run.kind == failover).count());
    verdict.active = mesh.find_service(&service).await?.map(|service| service.active.to_string());
    Ok(())
}

async fn raise(dir: &Path, programs: Programs, story: &Story<'_>) -> Result<(Stand, Network), Failure> {
    let tie = programs.clone();
    let mut stand = Stand::raise_empty(maip::WORLD, dir, programs, || Processes::tied_to_us(&tie), story).await?;
    let diallers = Diallers::default();
    diallers.know(stand.mesh.all.iter().map(|process| (process.name.clone(), process.pid())).collect());
    let mut regions = BTreeMap::new();
    for region in stand.world.regions() {
        regions.extend(stand.world.callers(region).map(|key| (format!("agent-{}", key.name), region.to_owned())));
    }
    let network = Network::before(&stand.ready.apps, &diallers, &regions).await?;
    let plot = Plot { asked_at: Some(network.addresses.clone()), policy: POLICY.to_owned() };
    stand.adopt(story, &plot).await?;
    Ok((stand, network))
}

/// Waits until somebody has seen the primary fail for far longer than an outage has to last.
async fn until_looked_at(mesh: &Mesh, service: &ServiceId, story: &Story<'_>) -> Result<JudgementRecord, Failure> {
    let deadline = Instant::now() + SEEN_WITHIN;
    let mut said = String::new();
    while Instant::now() < deadline {
        let judged = mesh.why_not(service, None).await?;
        let now = why::headline(&judged);
        if now != said {
            story.tell(&now);
            said = now;
        }
        if failing_for(&judged, primary(&judged)?) >= SUSTAINED * SUSTAINED_TIMES {
            return Ok(judged);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(Failure::failed(format!("nobody saw the broken network within {} s; last: {said}", SEEN_WITHIN.as_secs())))
}

fn primary(judged: &JudgementRecord) -> Result<&RegionVerdict, Failure> {
    let old = RegionId::new(OLD).map_err(|error| Failure::failed(error.to_string()))?;
    judged.regions.get(&old).ok_or_else(|| Failure::answer(format!("the judgement says nothing of {OLD}")))
}

/// How long the observer that sees it longest has seen the region fail.
fn failing_for(judged: &JudgementRecord, region: &RegionVerdict) -> Duration {
    let since = region.views.iter().filter_map(|view| match &view.sees {
        Sees::Failing { since, .. } => Some(judged.at.since(*since)),
        Sees::Passing | Sees::Unknown { .. } => None,
    });
    since.max().unwrap_or_default()
}

fn seen(cut: &Cut, judged: &JudgementRecord, lost: u64, writes: usize) -> Result<Seen, Failure> {
    let region = primary(judged)?;
    let blocking = judged.rules.iter().filter(|rule| matches!(rule.state, RuleState::Blocks | RuleState::Missing));
    Ok(Seen {
        cut: cut.name,
        verdict: region.verdict,
        pattern: region.pattern,
        conclusion: match &judged.conclusion {
            Conclusion::Nothing { text } | Conclusion::Blocked { text } => text.clone(),
            Conclusion::Notify { to, text } => format!("a person is told to move it to {to}: {text}"),
            Conclusion::Act { to, .. } => format!("it moves to {to}"),
        },
        blocked_by: blocking.map(|rule| (rule.rule.clone(), rule.text.clone())).collect(),
        lost,
        writes,
    })
}

impl Judged for NoFailover {
    fn fail(&mut self, why: String) {
        self.failures.push(why);
    }

    fn conclude(&mut self) -> bool {
        for cut in &CUTS {
            let Some(seen) = self.cuts.iter().find(|seen| seen.cut == cut.name) else {
                self.failures.push(format!("{} was not seen to its end", cut.name));
                continue;
            };
            let mut expect = |holds: bool, what: String| {
                if !holds {
                    self.failures.push(format!("{}: {what}", cut.name));
                }
            };
            expect(seen.lost > 0, "nothing was lost on the broken links: the cut showed nothing".to_owned());
            expect(seen.verdict != Verdict::Down, format!("{OLD} was called down"));
            expect(!seen.blocked_by.is_empty(), "no rule says why nothing happened".to_owned());
            expect(seen.writes > 0, "the primary took no writes".to_owned());
            if let Some(pattern) = cut.pattern {
                expect(seen.pattern == pattern, format!("it was called {:?}, not {pattern:?}", seen.pattern));
            }
        }
        if self.failovers != Some(0) {
            self.failures.push(format!("failovers: {:?}, not 0", self.failovers));
        }
        if self.active.as_deref() != Some(OLD) {
            self.failures.push(format!("{SERVICE} is active in {}", self.active.as_deref().unwrap_or("no region")));
        }
        self.held = self.failures.is_empty();
        self.held
    }

    fn report(&self) -> String {
        let mut out = format!(
            "\nSeen from outside the mesh\n  failovers         {}\n  active in         {}\n",
            self.failovers.map_or_else(|| "not observed".to_owned(), |n| n.to_string()),
            self.active.as_deref().unwrap_or("not observed"),
        );
        for seen in &self.cuts {
            out.push_str(&format!(
                "\n  {}: {OLD} is {} ({}); {} writes meanwhile, {} lost on the broken links\n    {}\n",
                seen.cut,
                seen.verdict.name(),
                seen.pattern.name(),
                seen.writes,
                seen.lost,
                seen.conclusion,
            ));
            for (rule, text) in &seen.blocked_by {
                out.push_str(&format!("    {rule}: {text}\n"));
            }
        }
        out.push_str(&ending(&self.failures));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> NoFailover {
        let seen = |cut: &Cut| Seen {
            cut: cut.name,
            verdict: Verdict::Suspect,
            pattern: cut.pattern.unwrap_or(Pattern::Asymmetric),
            conclusion: "no".to_owned(),
            blocked_by: BTreeMap::from([("verdict".to_owned(), "suspect".to_owned())]),
            lost: 3,
            writes: 100,
        };
        NoFailover {
            scenario: "partition-no-failover",
            held: false,
            cuts: CUTS.iter().map(seen).collect(),
            failovers: Some(0),
            active: Some(OLD.to_owned()),
            failures: Vec::new(),
        }
    }

    #[test]
    fn each_cut_must_be_met_named_and_explained_and_nothing_may_move() {
        assert!(whole().conclude());
        let spoilt: [fn(&mut NoFailover); 7] = [
            |bad| drop(bad.cuts.pop()),
            |bad| bad.cuts.iter_mut().take(1).for_each(|seen| seen.lost = 0),
            |bad| bad.cuts.iter_mut().take(1).for_each(|seen| seen.pattern = Pattern::Outage),
            |bad| bad.cuts.iter_mut().take(1).for_each(|seen| seen.verdict = Verdict::Down),
            |bad| bad.cuts.iter_mut().take(1).for_each(|seen| seen.blocked_by.clear()),
            |bad| bad.failovers = Some(1),
            |bad| bad.active = Some(NEW.to_owned()),
        ];
        for spoil in spoilt {
            let mut bad = whole();
            spoil(&mut bad);
            assert!(!bad.conclude());
            assert_eq!(bad.failures.len(), 1, "{:?}", bad.failures);
        }
    }
}
