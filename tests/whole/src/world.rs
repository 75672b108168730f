//! One simulation from beginning to end: hosts, faults as they fall due, judges after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use mesh_core::access::Role;
use mesh_runtime::blocking;
use mesh_runtime::client::MeshClient;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use turmoil::Sim;

use crate::agent::Agent;
use crate::cloud::{Bad, Cloud};
use crate::coordinator::Coordinator;
use crate::faults::{self, Fault, Kind};
use crate::judge::Judge;
use crate::people::Person;
use crate::planted::Planted;
use crate::site::{AGENTS, AGENTS_AFTER, REGIONS, Site, address, name, region};

/// Messages arrive, and judges look, this often.
const TICK: Duration = Duration::from_millis(5);
const FAULTS_FROM: Duration = Duration::from_secs(3);
const FAULTS_TO: Duration = Duration::from_secs(16);
/// For everybody to be of one mind after everything has healed: dead connections are found within ten seconds, and what runs
/// has to end.
const CONVERGES_WITHIN: Duration = Duration::from_secs(90);
/// They stay of one mind for so long.
const STAYS: Duration = Duration::from_secs(1);
/// In so many seeds nobody moves the service but the mesh itself.
const AUTOMATIC_ONE_IN: u32 = 4;
const COUNT: u64 = REGIONS.len() as u64;
const PEOPLE: [&str; 4] = ["ann", "ben", "cem", MOVER];
/// Who moves a service; the others do not touch it.
const MOVER: &str = "mia";
const PEOPLES_HOST: &str = "people";

#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub seed: u64,
    /// Tell what happens.
    pub told: bool,
    pub planted: Planted,
}

pub struct Report {
    pub trace: String,
    pub violations: Vec<String>,
    pub counts: BTreeMap<&'static str, u64>,
    pub simulated: Duration,
}

struct World<'s> {
    sim: Sim<'s>,
    site: Arc<Site>,
    cloud: Cloud,
    faults: Vec<Fault>,
    begun: usize,
    links: BTreeMap<(u64, u64), Link>,
    slow: BTreeMap<(u64, u64), Duration>,
    stalled: BTreeSet<u64>,
    down: BTreeSet<u64>,
    /// The longest that a message takes when nothing is wrong.
    longest: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Link {
    #[default]
    Whole,
    Held,
    OneWay,
    Parted,
}

/// A task that panics is gone, and nobody else may miss it.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note_panics() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
        told(info);
    }));
}

/// On a thread of its own, whose randomness is the seed's.
pub fn run(wanted: Wanted) -> anyhow::Result<Report> {
    note_panics();
    let named = std::thread::Builder::new().name(format!("sim:{}", wanted.seed));
    let thread = named.stack_size(16 << 20).spawn(move || simulate(wanted))?;
    thread.join().map_err(|_| anyhow!("seed {}: a panic", wanted.seed))?
}

fn simulate(wanted: Wanted) -> anyhow::Result<Report> {
    blocking::at_once_on_this_thread();
    let mut rng = StdRng::seed_from_u64(wanted.seed);
    let mut judge = Judge::default();
    judge.trace.told = wanted.told;
    // Drawn apart, so that all others are as they were.
    let mut apart = StdRng::seed_from_u64(!wanted.seed);
    let automatic = apart.random_ratio(1, AUTOMATIC_ONE_IN);
    let site = Arc::new(Site::new(wanted.seed, wanted.planted, automatic, judge)?);
    let shortest = Duration::from_millis(rng.random_range(1..40));
    let longest = shortest + Duration::from_millis(rng.random_range(5..60));
    let mut sim = turmoil::Builder::new()
        .rng_seed(wanted.seed)
        .tick_duration(TICK)
        .simulation_duration(Duration::from_secs(3600))
        .min_message_latency(shortest)
        .max_message_latency(longest)
        .tcp_capacity(4096)
        .enable_random_order()
        .build();
    for id in 1..=COUNT {
        let coordinator = Coordinator::new(&site, id)?;
        sim.host(name(id), move || coordinator.clone().live());
    }
    let cloud = Cloud::new(&site, rng.random());
    for ((who, place), number) in AGENTS.into_iter().zip(AGENTS_AFTER + 1..) {
        let agent = Agent::new(&site, &cloud, number, REGIONS[place], who)?;
        sim.host(who, move || agent.clone().live());
    }
    let mut staff = Vec::new();
    for who in PEOPLE {
        let identities = site.identities(Role::Admin, REGIONS[0], who)?;
        staff.push((who, identities, rng.random()));
    }
    let employer = Arc::clone(&site);
    sim.host(PEOPLES_HOST, move || {
        let (staff, employer) = (staff.clone(), Arc::clone(&employer));
        async move {
            let addresses: Vec<String> = (1..=COUNT).map(address).collect();
            for (who, identities, seed) in staff {
                let client = MeshClient::new(&addresses, &identities)?;
                let person = Person::new(&employer, client, who, seed);
                match who == MOVER {
                    true if employer.automatic => tokio::spawn(person.look_after()),
                    true => tokio::spawn(person.move_about()),
                    false => tokio::spawn(person.work()),
                };
            }
            std::future::pending().await
        }
    });
    let mut faults = faults::draw(&mut rng, COUNT, FAULTS_FROM, FAULTS_TO);
    if automatic && wanted.planted != Planted::FalseAlarms {
        faults.push(faults::loss(&mut apart, FAULTS_TO));
        faults.sort_by_key(|fault| fault.at);
    }
    let mut world = World {
        sim,
        site,
        cloud,
        faults,
        begun: 0,
        links: BTreeMap::new(),
        slow: BTreeMap::new(),
        stalled: BTreeSet::new(),
        down: BTreeSet::new(),
        longest,
    };
    world.go_on_until(FAULTS_TO)?;
    world.converge()?;
    Ok(world.report())
}

impl World<'_> {
    fn step(&mut self) -> anyhow::Result<()> {
        self.bring_about();
        self.sim.step().map_err(|error| anyhow!("the simulation ended: {error}"))?;
        let now = self.sim.elapsed();
        self.site.elapsed_is(now);
        self.site.judge().look(now, &self.site.coordinators());
        let rights = self.site.rights();
        self.cloud.go_on(now, &rights);
        self.site.judge().rights(now, &rights);
        Ok(())
    }

    fn go_on_until(&mut self, time: Duration) -> anyhow::Result<()> {
        while self.sim.elapsed() < time {
            self.step()?;
        }
        Ok(())
    }

    /// Nothing is wrong any more: somebody is told of a commit, then everybody rests, and all are of one mind.
    fn converge(&mut self) -> anyhow::Result<()> {
        self.site.judge().whole_since = None;
        self.site.heal();
        let deadline = self.sim.elapsed() + CONVERGES_WITHIN;
        let mut since = None;
        while self.sim.elapsed() < deadline {
            self.step()?;
            let now = self.sim.elapsed();
            if self.site.judge().whole_since.is_none() {
                continue;
            }
            self.site.rest();
            let rests = self.are_of_one_mind() && !self.a_run_is_going() && self.cloud.is_written();
            let since = *match rests {
                true => since.get_or_insert(now),
                false => since.insert(now),
            };
            if now >= since + STAYS {
                break;
            }
        }
        let whole = self.site.judge().whole_since;
        let now = self.sim.elapsed();
        if whole.is_none() {
            self.site.judge().violated(now, "Converges", "nobody was told of a commit after everything had healed");
        }
        if self.a_run_is_going() {
            self.site.judge().violated(now, "Converges", "a run has not ended");
        } else if !self.cloud.is_written() {
            self.site.judge().violated(now, "Converges", "nobody can write, and nothing is under way");
        }
        let replicas = self.site.coordinators();
        self.site.judge().end(now, &replicas, COUNT as usize);
        for panic in PANICS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            self.site.judge().violated(now, "Panics", panic);
        }
        Ok(())
    }

    fn a_run_is_going(&self) -> bool {
        let going = |replica: &mesh_coordinator::consensus::Consensus| {
            replica.with_fleet(|fleet| fleet.services.values().any(|service| service.current_run.is_some()))
        };
        self.site.coordinators().iter().any(|(_, replica)| going(replica))
    }

    fn are_of_one_mind(&self) -> bool {
        let ends: BTreeSet<u64> =
            self.site.coordinators().iter().map(|(_, replica)| *replica.applied().borrow()).collect();
        ends.len() == 1
    }

    fn report(self) -> Report {
        let simulated = self.sim.elapsed();
        let syncs: u64 = (1..=COUNT).map(|id| self.site.platter(id).syncs()).sum();
        let mut judge = self.site.judge();
        *judge.counts.entry("syncs").or_default() += syncs;
        let lines = judge.trace.lines();
        *judge.counts.entry("trace lines").or_default() += lines;
        let (violations, counts) = (std::mem::take(&mut judge.violations), std::mem::take(&mut judge.counts));
        let trace = judge.trace.hash();
        drop(judge);
        Report { trace, violations, counts, simulated }
    }

    /// Makes the world as the faults that are under way want it.
    fn bring_about(&mut self) {
        let now = self.sim.elapsed();
        while let Some(fault) = self.faults.get(self.begun).copied().filter(|fault| fault.at <= now) {
            self.begun += 1;
            let (kind, one, other, lasts) = (fault.kind, fault.one, fault.other, fault.lasts);
            let mut judge = self.site.judge();
            let which = format!("{one} {other} {}", name(fault.agent));
            judge.trace.line(now, format!("fault {} {which} for {} ms", kind.name(), lasts.as_millis()));
            judge.count(kind.name());
            drop(judge);
            if kind == Kind::Clock {
                let step = i64::try_from(fault.much).unwrap_or_default() * 60 - 30_000;
                self.site.step_clock(one, step);
                self.site.step_clock(fault.agent, step);
            }
        }
        let under_way: Vec<Fault> =
            self.faults[..self.begun].iter().filter(|fault| fault.at + fault.lasts > now).copied().collect();
        self.link_up(&under_way);
        self.slow_down(&under_way);
        self.stall(&under_way);
        self.power(&under_way);
        let of = |kind: Kind| under_way.iter().filter(move |fault| fault.kind == kind);
        let places = |kind: Kind| of(kind).map(|fault| region(REGIONS[fault.one as usize - 1])).collect();
        let bad = Bad { sick: places(Kind::Provider), down: places(Kind::RegionLost), cut: places(Kind::RegionCut) };
        self.site.judge().out_of_reach(now, bad.down.union(&bad.cut));
        self.cloud.is_bad(bad);
    }

    fn link_up(&mut self, under_way: &[Fault]) {
        let mut wanted: BTreeMap<(u64, u64), Link> = BTreeMap::new();
        let mut want = |one: u64, other: u64, link: Link| {
            let way = if link == Link::OneWay { (one, other) } else { (one.min(other), one.max(other)) };
            let now = wanted.entry(way).or_default();
            *now = link.max(*now);
        };
        for fault in under_way {
            match fault.kind {
                Kind::Partition => want(fault.one, fault.other, Link::Parted),
                Kind::OneWay => want(fault.one, fault.other, Link::OneWay),
                Kind::Hold => want(fault.one, fault.other, Link::Held),
                // People have the number 0.
                Kind::Isolate => {
                    (0..=COUNT).filter(|id| *id != fault.one).for_each(|id| want(fault.one, id, Link::Parted))
                }
                Kind::AgentCut => (1..=COUNT).for_each(|id| want(id, fault.agent, Link::Parted)),
                Kind::RegionCut => {
                    let inside = hosts_of(fault.one);
                    let outside = || [0].into_iter().chain(hosts()).filter(|host| !inside.contains(host));
                    inside.iter().for_each(|a| outside().for_each(|b| want(*a, b, Link::Parted)));
                }
                Kind::Slow | Kind::Crash | Kind::CrashMost | Kind::Stall | Kind::Clock => {}
                Kind::AgentCrash | Kind::AgentStall | Kind::RegionLost | Kind::Provider => {}
            }
        }
        // Turmoil takes one state a link: what is parted is not also held.
        let parted: BTreeSet<(u64, u64)> =
            wanted.iter().filter(|(_, link)| **link == Link::Parted).map(|(way, _)| *way).collect();
        let one_way: BTreeSet<(u64, u64)> = wanted
            .iter()
            .filter(|(_, link)| **link == Link::OneWay)
            .map(|((a, b), _)| (*a.min(b), *a.max(b)))
            .collect();
        wanted.retain(|(a, b), link| {
            let way = (*a.min(b), *a.max(b));
            match link {
                Link::Parted => true,
                Link::OneWay => !parted.contains(&way),
                Link::Held => !one_way.contains(&way),
                Link::Whole => false,
            }
        });
        let before = std::mem::replace(&mut self.links, wanted.clone());
        for ((a, b), link) in &before {
            if wanted.get(&(*a, *b)) != Some(link) {
                let (a, b) = (host(*a), host(*b));
                match link {
                    Link::Whole => {}
                    Link::Held => self.sim.release(a, b),
                    Link::OneWay => self.sim.repair_oneway(a, b),
                    Link::Parted => self.sim.repair(a, b),
                }
            }
        }
        for ((a, b), link) in &wanted {
            if before.get(&(*a, *b)) != Some(link) {
                let (a, b) = (host(*a), host(*b));
                match link {
                    Link::Whole => {}
                    Link::Held => self.sim.hold(a, b),
                    Link::OneWay => self.sim.partition_oneway(a, b),
                    Link::Parted => self.sim.partition(a, b),
                }
            }
        }
    }

    fn slow_down(&mut self, under_way: &[Fault]) {
        let slow = under_way.iter().filter(|fault| fault.kind == Kind::Slow);
        let slow = slow.map(|fault| ((fault.one, fault.other), Duration::from_millis(100 + fault.much)));
        let slow: BTreeMap<(u64, u64), Duration> = slow.collect();
        let before = std::mem::replace(&mut self.slow, slow.clone());
        for (a, b) in before.keys().filter(|way| !slow.contains_key(way)) {
            self.sim.set_link_max_message_latency(host(*a), host(*b), self.longest);
        }
        for ((a, b), longest) in slow.iter().filter(|(way, _)| !before.contains_key(way)) {
            self.sim.set_link_max_message_latency(host(*a), host(*b), *longest);
        }
    }

    fn stall(&mut self, under_way: &[Fault]) {
        let stalled = under_way.iter().filter_map(|fault| match fault.kind {
            Kind::Stall => Some(fault.one),
            Kind::AgentStall => Some(fault.agent),
            _ => None,
        });
        let stalled: BTreeSet<u64> = stalled.collect();
        for id in hosts() {
            if stalled.contains(&id) != self.stalled.contains(&id) {
                self.site.platter(id).stall(stalled.contains(&id));
            }
        }
        self.stalled = stalled;
    }

    fn power(&mut self, under_way: &[Fault]) {
        let without = under_way.iter().flat_map(|fault| match fault.kind {
            Kind::Crash => vec![fault.one],
            Kind::CrashMost if fault.much < 500 => vec![fault.one, fault.other],
            Kind::CrashMost => (1..=COUNT).collect(),
            Kind::AgentCrash => vec![fault.agent],
            Kind::RegionLost => hosts_of(fault.one),
            _ => Vec::new(),
        });
        let without: BTreeSet<u64> = without.collect();
        for id in hosts() {
            match (self.down.contains(&id), without.contains(&id)) {
                (false, true) => self.cut_power(id),
                (true, false) => {
                    self.sim.bounce(name(id));
                    self.site.judge().trace.line(self.sim.elapsed(), format!("{} gets power", name(id)));
                }
                _ => {}
            }
        }
        self.down = without;
    }

    fn cut_power(&mut self, id: u64) {
        self.sim.crash(name(id));
        let now = self.sim.elapsed();
        if id > AGENTS_AFTER {
            assert!(self.site.is_agent_gone(&name(id)), "something of {} outlives it", name(id));
            self.site.judge().trace.line(now, format!("{} is gone", name(id)));
            match self.site.planted {
                Planted::LostJournals => self.site.platter(id).forget(true).expect("the files are there"),
                Planted::LyingJournals => self.site.platter(id).forget(false).expect("the files are there"),
                _ => {}
            }
            return;
        }
        assert!(self.site.is_gone(id), "something of coordinator {id} outlives it");
        let cut = self.site.platter(id).cut().expect("the files are there");
        let mut judge = self.site.judge();
        judge.trace.line(now, format!("c{id} is gone, with {} bytes of its log", cut.log_bytes));
        for (happened, what) in [(cut.log_bytes > 0, "log lost its end"), (cut.state, "state lost")] {
            if happened {
                judge.count(what);
            }
        }
    }
}

fn host(number: u64) -> String {
    if number == 0 { PEOPLES_HOST.to_owned() } else { name(number) }
}

/// Coordinators and agents.
fn hosts() -> impl Iterator<Item = u64> {
    (1..=COUNT).chain(AGENTS_AFTER + 1..=AGENTS_AFTER + AGENTS.len() as u64)
}

/// Those of the region with this coordinator.
fn hosts_of(coordinator: u64) -> Vec<u64> {
    let there = AGENTS.iter().zip(AGENTS_AFTER + 1..).filter(|((_, place), _)| *place as u64 + 1 == coordinator);
    [coordinator].into_iter().chain(there.map(|(_, number)| number)).collect()
}
