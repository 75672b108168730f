//! One simulation from beginning to end: hosts, faults as they fall due, judges after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use mesh_core::access::Role;
use mesh_runtime::blocking;
use mesh_runtime::client::MeshClient;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use turmoil::Sim;

use crate::coordinator::Coordinator;
use crate::faults::{self, Fault, Kind};
use crate::judge::Judge;
use crate::people::Person;
use crate::site::{REGIONS, Site, address, name};

/// Messages arrive, and judges look, this often.
const TICK: Duration = Duration::from_millis(5);
const FAULTS_FROM: Duration = Duration::from_secs(3);
const FAULTS_TO: Duration = Duration::from_secs(14);
/// For everybody to be of one mind after everything has healed: dead connections are found within ten seconds.
const CONVERGES_WITHIN: Duration = Duration::from_secs(40);
/// They stay of one mind for so long.
const STAYS: Duration = Duration::from_secs(1);
const COUNT: u64 = REGIONS.len() as u64;
const PEOPLE: [&str; 3] = ["ann", "ben", "cem"];
const PEOPLES_HOST: &str = "people";

#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub seed: u64,
    /// Tell what happens.
    pub told: bool,
    /// The disks say that they have synced, and have not.
    pub lying_disks: bool,
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

/// On a thread of its own, whose randomness is the seed's.
pub fn run(wanted: Wanted) -> anyhow::Result<Report> {
    let named = std::thread::Builder::new().name(format!("sim:{}", wanted.seed));
    let thread = named.stack_size(16 << 20).spawn(move || simulate(wanted))?;
    thread.join().map_err(|_| anyhow!("seed {}: a panic", wanted.seed))?
}

fn simulate(wanted: Wanted) -> anyhow::Result<Report> {
    blocking::at_once_on_this_thread();
    let mut rng = StdRng::seed_from_u64(wanted.seed);
    let mut judge = Judge::default();
    judge.trace.told = wanted.told;
    let site = Arc::new(Site::new(wanted.seed, wanted.lying_disks, judge)?);
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
                tokio::spawn(Person::new(&employer, client, who, seed).work());
            }
            std::future::pending().await
        }
    });
    let faults = faults::draw(&mut rng, COUNT, FAULTS_FROM, FAULTS_TO);
    let mut world = World {
        sim,
        site,
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
        self.site.judge().look(self.sim.elapsed(), &self.site.coordinators());
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
        let deadline = self.sim.elapsed() + CONVERGES_WITHIN;
        let mut since = None;
        while self.sim.elapsed() < deadline {
            self.step()?;
            let now = self.sim.elapsed();
            if self.site.judge().whole_since.is_none() {
                continue;
            }
            self.site.rest();
            let since = *match self.are_of_one_mind() {
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
        let replicas = self.site.coordinators();
        self.site.judge().end(now, &replicas, COUNT as usize);
        Ok(())
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
            judge.trace.line(now, format!("fault {} {one} {other} for {} ms", kind.name(), lasts.as_millis()));
            judge.count(kind.name());
            drop(judge);
            if kind == Kind::Clock {
                let step = i64::try_from(fault.much).unwrap_or_default() * 60 - 30_000;
                self.site.step_clock(one, step);
            }
        }
        let under_way: Vec<Fault> =
            self.faults[..self.begun].iter().filter(|fault| fault.at + fault.lasts > now).copied().collect();
        self.link_up(&under_way);
        self.slow_down(&under_way);
        self.stall(&under_way);
        self.power(&under_way);
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
                Kind::Slow | Kind::Crash | Kind::CrashMost | Kind::Stall | Kind::Clock => {}
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
        let stalled = under_way.iter().filter(|fault| fault.kind == Kind::Stall).map(|fault| fault.one);
        let stalled: BTreeSet<u64> = stalled.collect();
        for id in 1..=COUNT {
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
            _ => Vec::new(),
        });
        let without: BTreeSet<u64> = without.collect();
        for id in 1..=COUNT {
            match (self.down.contains(&id), without.contains(&id)) {
                (false, true) => self.cut_power(id),
                (true, false) => {
                    self.sim.bounce(name(id));
                    self.site.judge().trace.line(self.sim.elapsed(), format!("c{id} starts"));
                }
                _ => {}
            }
        }
        self.down = without;
    }

    fn cut_power(&mut self, id: u64) {
        self.sim.crash(name(id));
        let now = self.sim.elapsed();
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
