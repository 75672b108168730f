//! The rows of docs/failure-model.md: each a fault, what may be said of the primary's region meanwhile, and whether the
//! service moves.

use mesh_core::detect::Verdict;

use crate::consensus::coordinator;
use crate::event::Who;
use crate::fault::{Fault, HEALING, Planned};
use crate::judge::Violation;
use crate::net::{Direction, Part, around, around_part, both_ways, one_way};
use crate::plant::Bug;
use crate::setting::{AGENTS_PER_REGION, Setting};
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

pub const PRIMARY: usize = 0;
pub const STANDBY: usize = 1;
pub const WITNESS: usize = 2;
const REGIONS: usize = 3;

/// Before the fault begins: sessions, leases, first answers.
const SETTLED: Micros = 30 * SECOND;

pub struct Row {
    pub name: &'static str,
    pub faults: fn() -> Vec<Fault>,
    pub verdicts: &'static [Verdict],
    pub moves: bool,
    /// Who leads when it begins; `None`: each in turn.
    pub leader: Option<usize>,
    pub sustained_s: u64,
    /// Nobody can say what is seen: no quorum.
    pub alone: bool,
    pub holds: Micros,
    /// Do those in the primary's region write at the end of it? `None`: as it happens.
    pub writes: Option<bool>,
    /// The region on the other side: a leader there is out of reach for the primary's agents, and their lease ends.
    pub parted_from: Option<usize>,
}

const WELL: &[Verdict] = &[Verdict::Healthy];
const DISPUTED: &[Verdict] = &[Verdict::Suspect];
const UNSTEADY: &[Verdict] = &[Verdict::Healthy, Verdict::Suspect];
const UNASKED: &[Verdict] = &[Verdict::Healthy, Verdict::Suspect, Verdict::Unknown];
const DOWN: &[Verdict] = &[Verdict::Down];

const fn row(name: &'static str, faults: fn() -> Vec<Fault>) -> Row {
    Row {
        name,
        faults,
        verdicts: WELL,
        moves: false,
        leader: None,
        sustained_s: 15,
        alone: false,
        holds: 60 * SECOND,
        writes: Some(true),
        parted_from: None,
    }
}

impl Row {
    const fn seen(mut self, verdicts: &'static [Verdict]) -> Self {
        self.verdicts = verdicts;
        self
    }

    const fn moves(mut self) -> Self {
        self.moves = true;
        self.verdicts = DOWN;
        self.writes = None;
        self
    }

    const fn parted_from(mut self, other: usize) -> Self {
        self.parted_from = Some(other);
        self.verdicts = DISPUTED;
        self
    }

    const fn writes(mut self, writes: Option<bool>) -> Self {
        self.writes = writes;
        self
    }

    const fn led_by(mut self, leader: usize) -> Self {
        self.leader = Some(leader);
        self
    }

    const fn sustained(mut self, seconds: u64) -> Self {
        self.sustained_s = seconds;
        self.holds = (3 * seconds + 30) * SECOND;
        self
    }

    const fn alone(mut self) -> Self {
        self.alone = true;
        self.writes = None;
        self
    }
}

fn cut(directions: Vec<Direction>) -> Vec<Fault> {
    vec![Fault::Cut(directions)]
}

fn between_coordinators() -> Vec<Direction> {
    let all = (0..REGIONS).flat_map(|one| (0..REGIONS).map(move |other| (one, other)));
    all.filter(|(one, other)| one != other).map(|(one, other)| (coordinator(one), coordinator(other))).collect()
}

fn lost(region: usize) -> Vec<Fault> {
    let agents = (0..AGENTS_PER_REGION).map(|nth| Fault::Crash(Who::Agent(region * AGENTS_PER_REGION + nth)));
    let workload = (region < WITNESS).then_some(Fault::Down(region));
    agents.chain([Fault::Crash(Who::Node(region))]).chain(workload).collect()
}

fn agents_stop(stop: fn(Who) -> Fault) -> Vec<Fault> {
    (0..AGENTS_PER_REGION).map(|nth| stop(Who::Agent(PRIMARY * AGENTS_PER_REGION + nth))).collect()
}

fn steps(by_ms: i64) -> Vec<Fault> {
    let agents = (0..REGIONS * AGENTS_PER_REGION).step_by(2).map(Who::Agent);
    agents.chain((0..REGIONS).map(Who::Node)).map(|who| Fault::Step(who, by_ms)).collect()
}

pub const ROWS: &[Row] = &[
    row("only distance", Vec::new),
    row("the standby's region is isolated", || cut(around(STANDBY, REGIONS))),
    row("the witness's region is isolated", || cut(around(WITNESS, REGIONS))),
    row("primary and standby are parted", || cut(both_ways(PRIMARY, STANDBY))).parted_from(STANDBY),
    row("primary and witness are parted", || cut(both_ways(PRIMARY, WITNESS))).parted_from(WITNESS),
    row("standby and witness are parted", || cut(both_ways(STANDBY, WITNESS))),
    row("primary to standby is cut", || cut(one_way(PRIMARY, STANDBY))).parted_from(STANDBY),
    row("standby to primary is cut", || cut(one_way(STANDBY, PRIMARY))).parted_from(STANDBY),
    row("primary to witness is cut", || cut(one_way(PRIMARY, WITNESS))).parted_from(WITNESS),
    row("witness to primary is cut", || cut(one_way(WITNESS, PRIMARY))).parted_from(WITNESS),
    row("standby to witness is cut", || cut(one_way(STANDBY, WITNESS))),
    row("witness to standby is cut", || cut(one_way(WITNESS, STANDBY))),
    row("the primary's coordinator is cut off", || cut(around_part(PRIMARY, Part::Coordinator, REGIONS))),
    row("the standby's coordinator is cut off", || cut(around_part(STANDBY, Part::Coordinator, REGIONS))),
    row("the witness's coordinator is cut off", || cut(around_part(WITNESS, Part::Coordinator, REGIONS))),
    row("the primary's agents are cut off", || cut(around_part(PRIMARY, Part::Agents, REGIONS))).writes(Some(false)),
    row("the primary's coordinator and agents are cut off", || {
        cut([Part::Coordinator, Part::Agents]
            .into_iter()
            .flat_map(|part| around_part(PRIMARY, part, REGIONS))
            .collect())
    })
    .writes(Some(false)),
    row("the standby's agents are cut off", || cut(around_part(STANDBY, Part::Agents, REGIONS))),
    row("the standby's workload is cut off", || cut(around_part(STANDBY, Part::Workload, REGIONS))),
    row("the primary flaps at 1 s", || vec![Fault::Flap(around(PRIMARY, REGIONS), SECOND)]).seen(UNSTEADY).writes(None),
    row("the primary flaps at 10 s", || vec![Fault::Flap(around(PRIMARY, REGIONS), 10 * SECOND)])
        .seen(UNSTEADY)
        .writes(None),
    row("the primary flaps at 43 s, and 60 s are asked", || vec![Fault::Flap(around(PRIMARY, REGIONS), 43 * SECOND)])
        .seen(UNSTEADY)
        .sustained(60)
        .writes(None),
    row("one link of the primary flaps at 43 s", || vec![Fault::Flap(both_ways(PRIMARY, STANDBY), 43 * SECOND)])
        .seen(UNSTEADY)
        .writes(None)
        .sustained(30),
    row("the primary's links are slow", || vec![Fault::Slow(around(PRIMARY, REGIONS), 100 * MILLI)]),
    row("the primary's links lose a tenth", || vec![Fault::Lossy(around(PRIMARY, REGIONS), 100)])
        .seen(UNSTEADY)
        .writes(None),
    row("the primary's agents have no name server", || vec![Fault::NoNames(PRIMARY)]),
    row("no agent has a name server", || (0..REGIONS).map(Fault::NoNames).collect()).seen(UNASKED),
    row("the primary's agents stand still", || agents_stop(Fault::Pause)).writes(Some(false)),
    row("the primary's machines are suspended", || agents_stop(Fault::Suspend)).writes(Some(false)),
    row("the leader stands still", || vec![Fault::Pause(Who::Node(WITNESS))]).led_by(WITNESS),
    row("clocks jump ahead by ten minutes", || steps(600_000)),
    row("clocks jump back by ten minutes", || steps(-600_000)),
    row("the primary's coordinator is lost, which leads", || vec![Fault::Crash(Who::Node(PRIMARY))]).led_by(PRIMARY),
    row("primary and witness are lost", || [lost(PRIMARY), lost(WITNESS)].concat()).alone(),
    row("standby and witness are lost", || [lost(STANDBY), lost(WITNESS)].concat()).alone(),
    row("no coordinator reaches another", || cut(between_coordinators())).alone(),
    row("nothing leaves the primary's region", || cut((1..REGIONS).flat_map(|to| one_way(PRIMARY, to)).collect()))
        .moves(),
    row("nothing comes to the primary's region", || {
        cut((1..REGIONS).flat_map(|from| one_way(from, PRIMARY)).collect())
    })
    .moves(),
    row("the primary's region is isolated", || cut(around(PRIMARY, REGIONS))).moves(),
    row("the primary's region is isolated, with the leader in it", || cut(around(PRIMARY, REGIONS)))
        .moves()
        .led_by(PRIMARY),
    row("the primary's workload is cut off", || cut(around_part(PRIMARY, Part::Workload, REGIONS))).moves(),
    row("the primary's workload is down", || vec![Fault::Down(PRIMARY)]).moves(),
    row("the primary's region is lost", || lost(PRIMARY)).moves(),
    row("the leader's region is lost with the primary", || lost(PRIMARY)).moves().led_by(PRIMARY),
    row("the primary flaps at 43 s, and 30 s are asked", || vec![Fault::Flap(around(PRIMARY, REGIONS), 43 * SECOND)])
        .moves()
        .sustained(30),
];

/// What came of a row.
#[derive(Debug)]
pub struct Seen {
    pub verdict: Option<Verdict>,
    pub failovers: u64,
    /// From the fault to the first write in the other region.
    pub first_write: Option<Micros>,
    /// Those in the primary's region, at the end of the fault.
    pub writes: bool,
    pub violations: Vec<Violation>,
    pub trace: String,
    pub met: u64,
    /// Kinds of faults that began.
    pub faults: Vec<&'static str>,
    pub sometimes: std::collections::BTreeMap<&'static str, u64>,
}

impl Row {
    pub fn play(&self, seed: u64, leader: usize, far: Micros, plant: Option<Bug>) -> Seen {
        let holds = if self.moves { self.holds.max(120 * SECOND) } else { self.holds };
        let (from, until) = (SETTLED, SETTLED + holds);
        let set = Setting { far, sustained_s: self.sustained_s, lasts: until + HEALING, ..Setting::default() };
        let lasts = set.lasts;
        let mut world = World::new(set, seed, plant);
        world.begin(self.leader.unwrap_or(leader));
        for fault in (self.faults)() {
            world.plan(Planned { fault, from, until });
        }
        // The verdict that counts is that before anything has moved.
        let judged_at = if self.moves { from + (self.sustained_s + 10) * SECOND } else { until - SECOND };
        world.run(judged_at);
        let verdict = world.verdict_of(PRIMARY);
        world.run(until);
        let failovers = world.counts.failovers;
        let writes = world.cloud.primary_writes(PRIMARY);
        world.run(lasts);
        world.judge_end();
        Seen {
            verdict,
            failovers: if self.moves { failovers } else { world.counts.failovers },
            first_write: world.judge.first_write.map(|at| at.saturating_sub(from)),
            writes,
            trace: world.trace.to_string(),
            met: world.net.met,
            faults: world.counts.faults.keys().copied().collect(),
            sometimes: world.judge.sometimes.clone(),
            violations: world.judge.violations,
        }
    }
}

impl Row {
    /// What is not as the row says; empty if all is.
    pub fn fits(&self, seen: &Seen, leader: usize) -> Vec<String> {
        let mut wrong: Vec<String> =
            seen.violations.iter().map(|it| format!("{} at {} s: {}", it.rule, it.at / SECOND, it.text)).collect();
        // A leader on the primary's side of a cut does not hear those who see it fail.
        let verdicts = if self.verdicts == DISPUTED && leader == PRIMARY { UNSTEADY } else { self.verdicts };
        let judged = seen.verdict.is_some_and(|verdict| verdicts.contains(&verdict));
        if self.alone && seen.verdict.is_some() {
            wrong.push(format!("one without a quorum says {:?}", seen.verdict));
        } else if !self.alone && !judged {
            wrong.push(format!("{:?}, not {verdicts:?}", seen.verdict));
        }
        if seen.failovers != u64::from(self.moves) {
            wrong.push(format!("{} failovers", seen.failovers));
        }
        let writes = self.writes.map(|writes| writes && self.parted_from != Some(leader));
        if writes.is_some_and(|writes| writes != seen.writes) {
            wrong.push(format!("who is in the primary's region writes: {}", seen.writes));
        }
        if self.moves && seen.first_write.is_none() {
            wrong.push("nobody writes in another region".to_owned());
        }
        wrong
    }
}

impl World {
    /// What the leader of a quorum makes of a region now.
    pub fn verdict_of(&mut self, region: usize) -> Option<Verdict> {
        let node = self.leader()?;
        let mut rng = self.rng.clone();
        self.read_index(node, &mut rng)?;
        let led_since = self.nodes[node].office.led_since?;
        let now = self.nodes[node].mesh_time(self.now);
        let evidence = self.evidence(node, now, led_since);
        self.verdicts(node, &self.names.service, &evidence)
            .get(&self.names.regions[region])
            .map(|verdict| verdict.verdict)
    }
}
