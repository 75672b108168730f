//! What of the wider world is in a seed: published names, services without a database, people, meddlers, a lost region.
//! Drawn first, like the kinds of faults, so that each seed has a mix of its own.

use crate::aim::strike::Strike;
use crate::rng::Rng;
use crate::{Micros, SECOND};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// Published names and notices.
    pub traffic: bool,
    /// Services beside the first: no database, a name each, and dependencies among them.
    pub lights: usize,
    /// People do something this often, in the mean.
    pub people: Option<Micros>,
    /// `policy.automatic: fence`.
    pub asks_first: bool,
    /// A safety rule about the loss to expect.
    pub ruled: bool,
    /// Of a thousand moments that matter (a start, an intent, a grant, a call), so many are met by a fault.
    pub aims: u64,
    /// Somebody else edits what is published.
    pub meddled: bool,
    /// The active region is lost for a while.
    pub lost: bool,
    /// What meets the moments that matter, and nothing else does.
    pub strike: Option<Strike>,
    /// Calls are late all the time.
    pub late: bool,
    /// Agents stand still meanwhile.
    pub stood: bool,
    /// It is lost again, wherever it is active then, and its leader with it.
    pub again: bool,
    /// Its agents lose the leader while they may still write, and others forget what they promised them.
    pub leases: bool,
    /// It flaps at the beat of the questions.
    pub flaps: bool,
    /// The observers are cut off in turn.
    pub isolated: bool,
    /// Those who may have promised it something lose what they had not written.
    pub forgets: bool,
    /// Two regions have no way to the first; others find each new leader late.
    pub heard_late: bool,
    /// Or all observers at once see no workload.
    pub blind: bool,
    /// Its replica had fallen behind before.
    pub behind: bool,
    /// Everything is without power once.
    pub cold: bool,
    /// After everything has healed, the active region is lost for good.
    pub finale: bool,
}

impl Mix {
    pub fn draw(rng: &mut Rng) -> Self {
        let mut often = |share| rng.per_mille(share);
        let (traffic, many, peopled) = (often(600), often(150), often(600));
        let (asks_first, ruled, meddled) = (peopled && often(150), often(100), often(300));
        let (lost, behind, cold, finale) = (often(350), often(400), often(200), often(250));
        let (stood, again, leases) = (often(300), often(300), often(200));
        let (flaps, isolated) = (often(50), often(50));
        Self {
            traffic,
            lights: if many { 6 } else { 0 },
            people: peopled.then(|| rng.between(20, 120) * SECOND),
            asks_first,
            ruled,
            aims: rng.pick(&[0, 0, 100, 300]),
            meddled: traffic && meddled,
            lost,
            strike: None,
            late: false,
            stood: lost && stood,
            leases: lost && leases,
            flaps,
            isolated,
            forgets: false,
            heard_late: false,
            blind: false,
            again: lost && again,
            behind: lost && behind,
            cold,
            finale,
        }
    }

    /// Are there others than the first service, or anything that is published?
    pub const fn publishes(&self) -> bool {
        self.traffic || self.lights > 0
    }
}
