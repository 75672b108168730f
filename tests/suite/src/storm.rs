//! A storm over regions that are far apart: links are cut and made lossy, processes are killed and stand still, several
//! of it at a time, as a seed says. What each strike met is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::ctl::{Said, meshctl};
use crate::processes::Signal;
use crate::wide::{
    Direction, PARTS, PRIMARY, Part, REGIONS, STANDBY, WITNESS, Wide, around, around_part, both, directions,
};

const BETWEEN_MS: std::ops::Range<u64> = 1_000..8_000;
/// Long enough that something wants to pass, short enough that an election or a judgement may be half done.
const LASTS_MS: std::ops::Range<u64> = 3_000..15_000;
/// Of the primary's loss, which is to be decided upon.
const LOSS_MS: std::ops::Range<u64> = 15_000..30_000;
const LOSS_PERMILLE: std::ops::Range<u16> = 100..500;
/// How likely the primary's region is lost for longer, and somebody asks for a failover.
const LOST: f64 = 0.6;
const ASKED: f64 = 0.4;
const LOOK: Duration = Duration::from_millis(50);

/// What strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strike {
    Cut(Vec<Direction>),
    Lossy(Vec<Direction>, u16),
    Kill(String),
    Stop(String),
}

impl Strike {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cut(_) => "cut",
            Self::Lossy(..) => "lossy",
            Self::Kill(_) => "kill",
            Self::Stop(_) => "stop",
        }
    }
}

/// A strike, and when since the storm began.
#[derive(Clone, Debug)]
pub struct Planned {
    pub from: Duration,
    pub until: Duration,
    pub what: String,
    pub strike: Strike,
}

/// What the seed says.
pub struct Storm {
    pub planned: Vec<Planned>,
    /// When somebody asks for a failover, if anybody does.
    pub asked: Option<Duration>,
    pub leader: &'static str,
}

fn ms(rng: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

fn before(rng: &mut StdRng, end: Duration) -> Duration {
    end.mul_f64(rng.random_range(0.0..1.0))
}

fn any<'a, T>(rng: &mut StdRng, of: &'a [T]) -> &'a T {
    of.choose(rng).unwrap_or_else(|| panic!("nothing to choose from"))
}

/// Something of the mesh on which something passes all the time.
fn links(rng: &mut StdRng) -> (String, Vec<Direction>) {
    let region = *any(rng, &REGIONS);
    let others: Vec<&str> = REGIONS.into_iter().filter(|other| *other != region).collect();
    let other = *any(rng, &others);
    match rng.random_range(0..4) {
        0 => (format!("around {region}"), around(region)),
        1 => (format!("between {region} and {other}"), both(directions(region, other))),
        2 => (format!("from {region} to {other}"), directions(region, other)),
        _ => {
            let parts: Vec<Part> =
                PARTS.into_iter().filter(|part| region != WITNESS || *part != Part::Workload).collect();
            let part = *any(rng, &parts);
            (format!("around the {part:?} of {region}"), around_part(region, part))
        }
    }
}

impl Storm {
    pub fn draw(seed: u64, strikes: usize, wide: &Wide) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let processes: Vec<String> = REGIONS.iter().flat_map(|region| wide.processes(region)).collect();
        let mut from = Duration::ZERO;
        let mut planned = Vec::new();
        for _ in 0..strikes {
            from += ms(&mut rng, BETWEEN_MS);
            let until = from + ms(&mut rng, LASTS_MS);
            let (what, strike) = match rng.random_range(0..8) {
                0..3 => {
                    let (what, links) = links(&mut rng);
                    (what, Strike::Cut(links))
                }
                3 => {
                    let (what, links) = links(&mut rng);
                    (what, Strike::Lossy(links, rng.random_range(LOSS_PERMILLE)))
                }
                4..6 => {
                    let name = any(&mut rng, &processes).clone();
                    (name.clone(), Strike::Kill(name))
                }
                _ => {
                    let name = any(&mut rng, &processes).clone();
                    (name.clone(), Strike::Stop(name))
                }
            };
            planned.push(Planned { from, until, what, strike });
        }
        if rng.random_bool(LOST) {
            let from = before(&mut rng, from);
            let until = from + ms(&mut rng, LOSS_MS);
            let what = format!("around {PRIMARY}, lost");
            planned.push(Planned { from, until, what, strike: Strike::Cut(around(PRIMARY)) });
        }
        let asked = rng.random_bool(ASKED).then(|| before(&mut rng, from));
        let leader = *any(&mut rng, &REGIONS);
        Self { planned, asked, leader }
    }

    fn ends(&self) -> Duration {
        self.planned.iter().map(|planned| planned.until).chain(self.asked).max().unwrap_or_default()
    }

    /// Plays it to its end; then everything is mended. Returns what each strike met, and what a person was told who asked.
    pub async fn rage(&self, wide: &mut Wide) -> (Vec<u64>, Option<Said>) {
        let began = Instant::now();
        let mut standing = Standing { met: vec![0; self.planned.len()], ..Standing::default() };
        let mut asking = None;
        while began.elapsed() < self.ends() {
            let now = began.elapsed();
            standing.become_at(self, wide, Some(now));
            if asking.is_none() && self.asked.is_some_and(|at| at <= now) {
                let profile = wide.rig.stand.layout.profile();
                let failover = ["--json", "failover", "--to", STANDBY, "--yes", "--no-wait"];
                asking = Some(tokio::spawn(async move { meshctl(&profile, &failover).await }));
            }
            tokio::time::sleep(LOOK).await;
        }
        standing.become_at(self, wide, None);
        let said = match asking {
            Some(asking) => Some(asking.await.unwrap_or_else(|error| panic!("{error}"))),
            None => None,
        };
        (standing.met, said)
    }
}

/// What is going on just now.
#[derive(Default)]
struct Standing {
    /// Strikes, and what was counted of each before it began.
    on: BTreeMap<usize, u64>,
    met: Vec<u64>,
    dead: BTreeSet<String>,
    still: BTreeSet<String>,
    kills: BTreeMap<String, u64>,
}

impl Standing {
    /// Without a time: nothing strikes any more.
    fn become_at(&mut self, storm: &Storm, wide: &mut Wide, now: Option<Duration>) {
        let before = self.on.len();
        let mut ended = false;
        for (nth, planned) in storm.planned.iter().enumerate() {
            let is_on = now.is_some_and(|now| planned.from <= now && now < planned.until);
            match self.on.get(&nth).copied() {
                None if is_on => {
                    self.on.insert(nth, self.counted(wide, &planned.strike));
                }
                Some(counted) if !is_on => {
                    self.met[nth] = self.counted(wide, &planned.strike).saturating_sub(counted);
                    self.on.remove(&nth);
                    ended = true;
                }
                Some(_) | None => {}
            }
        }
        if ended || self.on.len() != before {
            self.set_links(storm, wide);
            self.set_processes(storm, wide);
        }
    }

    fn strikes<'a>(&self, storm: &'a Storm) -> Vec<&'a Strike> {
        self.on.keys().filter_map(|nth| storm.planned.get(*nth)).map(|planned| &planned.strike).collect()
    }

    /// A link is cut for as long as any strike cuts it.
    fn set_links(&self, storm: &Storm, wide: &Wide) {
        let mut wanted: BTreeMap<&Direction, (bool, u16)> = BTreeMap::new();
        for planned in &storm.planned {
            if let Strike::Cut(links) | Strike::Lossy(links, _) = &planned.strike {
                wanted.extend(links.iter().map(|link| (link, (false, 0))));
            }
        }
        for strike in self.strikes(storm) {
            match strike {
                Strike::Cut(links) => links.iter().for_each(|link| wanted.entry(link).or_default().0 = true),
                Strike::Lossy(links, permille) => {
                    for link in links {
                        let lost = &mut wanted.entry(link).or_default().1;
                        *lost = (*lost).max(*permille);
                    }
                }
                Strike::Kill(_) | Strike::Stop(_) => {}
            }
        }
        for ((from, to), (cut, permille)) in wanted {
            wide.wan.set(from, to, |link| (link.cut, link.loss_permille) = (cut, permille));
        }
    }

    /// Who is dead does not stand still.
    fn set_processes(&mut self, storm: &Storm, wide: &mut Wide) {
        let (mut dead, mut still) = (BTreeSet::new(), BTreeSet::new());
        for strike in self.strikes(storm) {
            match strike {
                Strike::Kill(name) => drop(dead.insert(name.clone())),
                Strike::Stop(name) => drop(still.insert(name.clone())),
                Strike::Cut(_) | Strike::Lossy(..) => {}
            }
        }
        for name in dead.difference(&self.dead) {
            wide.rig.kill(name);
            *self.kills.entry(name.clone()).or_default() += 1;
            self.still.remove(name);
        }
        for name in self.dead.difference(&dead) {
            wide.rig.restart(name);
        }
        let still: BTreeSet<String> = still.difference(&dead).cloned().collect();
        still.difference(&self.still).for_each(|name| wide.rig.signal(name, Signal::STOP));
        self.still.difference(&still).for_each(|name| wide.rig.signal(name, Signal::CONT));
        (self.dead, self.still) = (dead, still);
    }

    /// Packets that it met until now, deaths, or whether the process stands still.
    fn counted(&self, wide: &Wide, strike: &Strike) -> u64 {
        match strike {
            Strike::Cut(links) => wide.sum(links, |counters| counters.cut),
            Strike::Lossy(links, _) => wide.sum(links, |counters| counters.lost),
            Strike::Stop(name) => u64::from(wide.rig.stands_still(name)),
            Strike::Kill(name) => self.kills.get(name).copied().unwrap_or_default(),
        }
    }
}
