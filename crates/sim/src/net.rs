//! Links between the parts of regions, each direction for itself.

use crate::rng::Rng;
use crate::{MILLI, Micros};

/// What of a region has addresses of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Coordinator,
    Agents,
    Workload,
}

pub const PARTS: [Part; 3] = [Part::Coordinator, Part::Agents, Part::Workload];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub region: usize,
    pub part: Part,
}

pub type Direction = (Place, Place);

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// Faults that cut it now.
    cuts: u32,
    /// What slow links add.
    slower: Micros,
    /// Of a thousand packets.
    lost: u64,
    /// Of a thousand packets, so many come twice, and late ones overtake.
    doubled: u64,
    /// What its faults met.
    met: u64,
}

pub struct Net {
    regions: usize,
    links: Vec<Link>,
    /// One way between two regions.
    far: Micros,
    /// What faults met.
    pub met: u64,
}

/// Inside a region.
const NEAR: Micros = 400;
/// A lost packet is sent again after this, then twice as late.
const RESEND: Micros = 200 * MILLI;
/// A second copy, or one that was overtaken, comes at most so much later.
const TWIN_MAX: Micros = 3_000 * MILLI;

impl Net {
    pub fn new(regions: usize, far: Micros) -> Self {
        let places = regions * PARTS.len();
        Self { regions, links: vec![Link::default(); places * places], far, met: 0 }
    }

    fn at(&self, (from, to): Direction) -> usize {
        let place = |place: Place| place.region * PARTS.len() + place.part as usize;
        place(from) * self.regions * PARTS.len() + place(to)
    }

    pub fn cut(&mut self, direction: Direction) {
        let at = self.at(direction);
        self.links[at].cuts += 1;
    }

    pub fn mend(&mut self, direction: Direction) {
        let at = self.at(direction);
        self.links[at].cuts -= 1;
    }

    pub fn slow(&mut self, direction: Direction, by: i64) {
        let at = self.at(direction);
        self.links[at].slower = self.links[at].slower.saturating_add_signed(by);
    }

    pub fn lose(&mut self, direction: Direction, more: i64) {
        let at = self.at(direction);
        self.links[at].lost = self.links[at].lost.saturating_add_signed(more);
    }

    pub fn double(&mut self, direction: Direction, more: i64) {
        let at = self.at(direction);
        self.links[at].doubled = self.links[at].doubled.saturating_add_signed(more);
    }

    /// What was met so far by faults of these links.
    pub fn met_on(&self, directions: &[Direction]) -> u64 {
        directions.iter().map(|direction| self.links[self.at(*direction)].met).sum()
    }

    fn meet(&mut self, direction: Direction) {
        let at = self.at(direction);
        self.met += 1;
        self.links[at].met += 1;
    }

    /// A message that no connection keeps in order: does it come a second time, and how much later?
    pub fn twin(&mut self, from: Place, to: Place, rng: &mut Rng) -> Option<Micros> {
        let share = self.links[self.at((from, to))].doubled;
        if !rng.per_mille(share) {
            return None;
        }
        self.meet((from, to));
        Some(rng.below(TWIN_MAX))
    }

    /// Such a message may overtake those before it.
    pub fn overtaken(&mut self, from: Place, to: Place, rng: &mut Rng) -> Micros {
        let share = self.links[self.at((from, to))].doubled;
        if !rng.per_mille(share) {
            return 0;
        }
        self.meet((from, to));
        rng.below(TWIN_MAX)
    }

    pub fn passes(&self, from: Place, to: Place) -> bool {
        self.links[self.at((from, to))].cuts == 0
    }

    /// A connection needs both directions.
    pub fn joined(&mut self, one: Place, other: Place) -> bool {
        let (there, back) = (self.passes(one, other), self.passes(other, one));
        if !there {
            self.meet((one, other));
        }
        if !back {
            self.meet((other, one));
        }
        there && back
    }

    /// As [`Net::joined`], asked by a judge.
    pub fn is_joined(&self, one: Place, other: Place) -> bool {
        self.passes(one, other) && self.passes(other, one)
    }

    /// How long a message of a connection is on its way; what is lost is sent again.
    pub fn delay(&mut self, from: Place, to: Place, rng: &mut Rng) -> Micros {
        let link = self.links[self.at((from, to))];
        let base = if from.region == to.region { NEAR } else { self.far };
        let mut delay = base + rng.below(base / 8 + 1) + link.slower;
        if link.slower > 0 {
            self.meet((from, to));
            delay += rng.below(link.slower);
        }
        let mut resend = RESEND;
        while rng.per_mille(link.lost) && resend < 30 * RESEND {
            self.meet((from, to));
            delay += resend;
            resend *= 2;
        }
        delay
    }

    /// No fault touches the link, in either direction.
    pub fn is_clear(&self, one: Place, other: Place) -> bool {
        let clear = |link: Link| link.cuts == 0 && link.slower == 0 && link.lost == 0 && link.doubled == 0;
        clear(self.links[self.at((one, other))]) && clear(self.links[self.at((other, one))])
    }

    /// As [`Net::round_trip`] where the link is clear, with one draw.
    pub fn clear_round_trip(&self, from: Place, to: Place, rng: &mut Rng) -> Micros {
        let base = if from.region == to.region { NEAR } else { self.far };
        let drawn = rng.draw();
        let jitter: Micros = (0..4).map(|packet| ((drawn >> (16 * packet) & 0xffff) * (base / 8 + 1)) >> 16).sum();
        4 * base + jitter
    }

    /// A question and its answer over a new connection: how long, or `None` if it does not come through in time.
    pub fn round_trip(&mut self, from: Place, to: Place, within: Micros, rng: &mut Rng) -> Option<Micros> {
        if self.is_clear(from, to) {
            return Some(self.clear_round_trip(from, to, rng)).filter(|took| *took <= within);
        }
        if !self.joined(from, to) {
            return None;
        }
        // SYN, SYN-ACK, question, answer.
        let mut took = 0;
        for _ in 0..2 {
            took += self.delay(from, to, rng) + self.delay(to, from, rng);
        }
        (took <= within).then_some(took)
    }
}

/// All parts of a region.
pub fn whole(region: usize) -> Vec<Place> {
    PARTS.iter().map(|part| Place { region, part: *part }).collect()
}

/// From one region to another, one way.
pub fn one_way(from: usize, to: usize) -> Vec<Direction> {
    whole(from).into_iter().flat_map(|a| whole(to).into_iter().map(move |b| (a, b))).collect()
}

pub fn both_ways(one: usize, other: usize) -> Vec<Direction> {
    [one_way(one, other), one_way(other, one)].concat()
}

/// Between a region and all others.
pub fn around(region: usize, regions: usize) -> Vec<Direction> {
    (0..regions).filter(|other| *other != region).flat_map(|other| both_ways(region, other)).collect()
}

/// Between a part of a region and everything else, its own region included.
pub fn around_part(region: usize, part: Part, regions: usize) -> Vec<Direction> {
    let it = Place { region, part };
    let others = (0..regions).flat_map(whole).filter(|other| *other != it);
    others.flat_map(|other| [(it, other), (other, it)]).collect()
}
