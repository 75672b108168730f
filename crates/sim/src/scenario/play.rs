//! One run of a scenario: when what happened, how it ended, and which rule stopped it.

use std::sync::Arc;

use mesh_core::decide::{self, Judgement, RuleState};
use mesh_core::fleet::AuthorityState;
use mesh_core::manifest::AutomaticMode;
use mesh_core::plan::Action;
use mesh_core::run::{Need, Run, RunState, WorkState};

use super::given::micros;
use super::second::Second;
use super::{Given, Scenario};
use crate::fault::{HEALING, Planned};
use crate::rng::Rng;
use crate::world::World;
use crate::{MILLI, MINUTE, Micros, SECOND};

/// Moments are known to this.
const STEP: Micros = 20 * MILLI;
const WEEK: Micros = 7 * 24 * 60 * MINUTE;
/// A run that takes longer is not followed to its end.
pub const FOLLOWED_MAX: Micros = 90 * MINUTE;

/// The judges that know nothing of the simulator's own manifest.
const JUDGED: [&str; 8] = [
    "OneWriter",
    "FencedGeneration",
    "IntentBeforeEffect",
    "UnknownIsNotFailed",
    "ObserverQuorum",
    "NoFlap",
    "DurableAck",
    "ReplicaAgreement",
];
/// A leader does not judge a service that never moves by itself; it is asked this often, as a person would.
const ASKED_EVERY: Micros = SECOND / 2;
/// A run that is held goes on by itself within so long, or not at all: the old region is proven closed meanwhile.
const HELD_FOR: Micros = 3 * MINUTE;
/// After a run is done, a proxy of the new region lets writers through.
const OPENS_WITHIN: Micros = 10 * SECOND;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The service moved, and every step is done.
    Done,
    /// A person must decide: what was missing.
    Held { step: String, reason: String },
    /// A rule kept the mesh from acting.
    Blocked,
    /// The mesh saw no reason to act.
    Nothing,
    /// Nobody led.
    NoLeader,
    /// It was still at it when it was no longer followed.
    Unfinished,
}

/// What came of one run. Times are from the fault on.
#[derive(Clone, Debug)]
pub struct Played {
    pub seed: u64,
    /// Did the leader go with it?
    pub leader_lost: bool,
    pub second: Option<(String, Micros)>,
    /// The verdict was *down* for the first time.
    pub detected: Option<Micros>,
    /// The run was committed.
    pub decided: Option<Micros>,
    /// The new region was given write authority, the old one being closed.
    pub granted: Option<Micros>,
    pub written: Option<Micros>,
    /// Every traffic step is done.
    pub moved: Option<Micros>,
    pub ended: Option<Micros>,
    pub end: End,
    pub to: Option<String>,
    /// Rules that blocked, or could not be evaluated, and what they said.
    pub rules: Vec<(String, String)>,
    /// In the plan's order: each step, when after the decision it began, and how long it took.
    pub steps: Vec<(String, Micros, Micros)>,
    /// Accepted in the old region and missing in the new one.
    pub lost: Option<Micros>,
    /// What the mesh expected to lose.
    pub expected: Option<Micros>,
    /// What the simulator's own judges object to.
    pub violations: Vec<String>,
    pub trace: String,
}

impl Played {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            leader_lost: false,
            second: None,
            detected: None,
            decided: None,
            granted: None,
            written: None,
            moved: None,
            ended: None,
            end: End::Nothing,
            to: None,
            rules: Vec::new(),
            steps: Vec::new(),
            lost: None,
            expected: None,
            violations: Vec::new(),
            trace: String::new(),
        }
    }

    /// Served in the new region: the first write was taken, and traffic points there; of what the service has.
    pub fn back(&self) -> Option<Micros> {
        let served = self.written.max(self.moved);
        let whole = self.end == End::Done || self.moved.is_some() || self.written.is_some();
        served.filter(|_| whole).or(self.ended.filter(|_| self.end == End::Done))
    }
}

/// Same arguments, same bytes.
pub fn play(given: &Arc<Given>, scenario: &Scenario, second: Option<&Second>, seed: u64) -> Played {
    let mut rng = Rng::new(seed ^ 0x7363_656e);
    let mut played = Played::new(seed);
    let calendar = rng.below(WEEK);
    let mut set = given.setting(given.lag().draw(&mut rng), calendar);
    let onset = given.settled() + rng.below(set.interval_s * SECOND);
    let over = onset + given.patience().max(FOLLOWED_MAX);
    set.lasts = over + HEALING;
    let mut world = World::new(set, rng.draw(), None);
    world.begin(rng.index(given.regions.len()));
    world.run(onset - 1);
    let leader = world.leader();
    for fault in scenario.faults.iter().cloned() {
        world.plan(Planned { fault, from: onset, until: over + HEALING });
    }
    if let Some(second) = second {
        let (name, after, faults) = second.draw(given, &mut rng);
        for fault in faults {
            world.plan(Planned { fault, from: onset + after, until: over + HEALING });
        }
        played.second = Some((name, after));
    }
    world.run(onset);
    played.leader_lost = leader.is_some_and(|node| !world.nodes[node].alive);
    follow(&mut world, given, onset, &mut played);
    let violations = world.judge.violations.iter().filter(|it| JUDGED.contains(&it.rule));
    played.violations = violations.map(|it| format!("{}: {}", it.rule, it.text)).collect();
    played.trace = world.trace.to_string();
    played
}

fn follow(world: &mut World, given: &Given, onset: Micros, played: &mut Played) {
    let (mut known, patience) = (world.judge.committed.len(), onset + given.patience());
    let asks = given.manifest.policy.automatic == AutomaticMode::Off;
    let mut asked = onset;
    loop {
        let now = world.now + STEP;
        world.run(now);
        let since = now - onset;
        if played.detected.is_none() && world.judge.sometimes.contains_key("the active region was down") {
            played.detected = Some(since);
        }
        if asks && played.detected.is_none() && now >= asked + ASKED_EVERY {
            asked = now;
            played.detected = judgement(world).filter(is_down).map(|_| since);
        }
        played.written = played.written.or_else(|| world.judge.first_write.map(|at| at.saturating_sub(onset)));
        if world.judge.committed.len() > known {
            known = world.judge.committed.len();
            note(world, since, played);
        }
        if played.ended.is_some() && is_over(world, given, onset, played) {
            return;
        }
        if played.decided.is_none() && now >= patience {
            return judge_stillness(world, played);
        }
        if since >= FOLLOWED_MAX {
            played.end = End::Unfinished;
            return;
        }
    }
}

/// Nothing more comes of a run that has ended.
fn is_over(world: &World, given: &Given, onset: Micros, played: &Played) -> bool {
    let since = world.now - onset - played.ended.unwrap_or_default();
    match played.end {
        End::Held { .. } => since > HELD_FOR,
        End::Done => given.database == "none" || played.written.is_some() || since > OPENS_WITHIN,
        End::Blocked | End::Nothing | End::NoLeader | End::Unfinished => true,
    }
}

fn note(world: &World, since: Micros, played: &mut Played) {
    let fleet = &world.judge.fleet;
    let Some(run) = fleet.runs.values().next() else { return };
    played.decided.get_or_insert(since);
    played.to = Some(run.plan.to.to_string());
    let service = &fleet.services[&world.names.service];
    let granted = service.authority.get(&run.plan.to).is_some_and(|it| it.state == AuthorityState::Granted);
    if granted {
        played.granted.get_or_insert(since);
    }
    if played.moved.is_none() && traffic_moved(run) {
        played.moved = Some(since);
    }
    played.expected = run.loss.total().map(micros);
    note_end(world, run, since, played);
}

fn traffic_moved(run: &Run) -> bool {
    let mut steps = run.plan.steps.iter().filter(|step| matches!(step.action, Action::Route53Replace { .. }));
    let done = |step: &mesh_core::plan::Step| run.steps[&step.id].forward.state == WorkState::Done;
    steps.clone().next().is_some() && steps.all(done)
}

fn note_end(world: &World, run: &Run, since: Micros, played: &mut Played) {
    let end = match &run.state {
        RunState::Running | RunState::Unwinding => End::Unfinished,
        RunState::Done => End::Done,
        RunState::Held { reason, need } => End::Held { step: waits_for(need), reason: reason.clone() },
        RunState::Compensated => End::Held { step: "nothing: it was undone".to_owned(), reason: String::new() },
        RunState::Refused { reason } => {
            End::Held { step: "nothing: it was refused".to_owned(), reason: reason.clone() }
        }
    };
    if end == End::Unfinished {
        (played.end, played.ended) = (end, None);
        return;
    }
    if played.end != end {
        (played.end, played.ended) = (end, Some(since));
    }
    played.steps = steps(run);
    played.lost = lost(world, &run.plan.to);
}

fn waits_for(need: &Need) -> String {
    match need {
        Need::Consent { region } => format!("consent of two persons: {region} is not proven closed"),
        Need::Decision { step } => format!("a decision on {step}"),
        Need::Approval { step, people } => format!("an approval by {people} before {step}"),
    }
}

fn steps(run: &Run) -> Vec<(String, Micros, Micros)> {
    let times = |id| {
        let work = &run.steps.get(id)?.forward;
        let (began, ended) = (work.started_at?, work.ended_at?);
        Some((micros(began.since(run.started_at)), micros(ended.since(began))))
    };
    let steps = run.plan.steps.iter().filter(|step| step.action != Action::Grant);
    steps.filter_map(|step| times(&step.id).map(|(began, took)| (step.id.to_string(), began, took))).collect()
}

/// What the old region accepted up to now and the promoted server never had.
fn lost(world: &World, to: &mesh_core::ids::RegionId) -> Option<Micros> {
    let to = world.names.region(to);
    let through = world.cloud.servers[to].through?;
    let others = world.cloud.servers.iter().enumerate().filter(|(region, _)| *region != to);
    Some(others.map(|(_, server)| server.written.saturating_sub(through)).max().unwrap_or_default())
}

/// Nothing was begun: what the leader makes of it, rule by rule.
fn judge_stillness(world: &mut World, played: &mut Played) {
    let Some(judgement) = judgement(world) else {
        played.end = End::NoLeader;
        return;
    };
    let stops = |state: RuleState| matches!(state, RuleState::Blocks | RuleState::Missing);
    let stopping = judgement.rules.iter().filter(|rule| stops(rule.state));
    played.rules = stopping.map(|rule| (rule.rule.to_owned(), rule.text.clone())).collect();
    let seen = |rule: &str| ["verdict", "quorum", "most-regions"].contains(&rule);
    let by_policy = played.rules.iter().any(|(rule, _)| !seen(rule));
    played.end = if played.detected.is_some() && by_policy { End::Blocked } else { End::Nothing };
}

fn is_down(judgement: &Judgement) -> bool {
    // The rule holds for a region that is down, and blocks for any other.
    judgement.rules.iter().any(|rule| rule.rule == "verdict" && rule.state == RuleState::Held)
}

fn judgement(world: &mut World) -> Option<Judgement> {
    let node = world.leader()?;
    let mut rng = world.rng.clone();
    world.read_index(node, &mut rng)?;
    let led_since = world.nodes[node].office.led_since?;
    let now = world.nodes[node].mesh_time(world.now);
    let evidence = world.evidence(node, now, led_since);
    let service = world.names.service.clone();
    let verdicts = world.verdicts(node, &service, &evidence);
    Some(decide::judge(&world.nodes[node].fleet, &service, &verdicts, &evidence))
}
