//! Where each packet goes. The router runs on a thread of its own, so that a busy test delays nothing.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::process::ChildStdout;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

use crate::delivery::OnItsWay;
use crate::link::{Counters, Line, Link};
use crate::{frame, packet};

/// On their way to one site: a second of what a site receives at full speed.
pub const PACKETS_MAX: usize = 100_000;

/// The way into a site.
#[derive(Clone)]
pub struct Way {
    pub sent: UnboundedSender<OnItsWay>,
    pub places: Arc<Semaphore>,
}

/// Who is where, and what is between them.
pub struct Router {
    /// Party and site of each address.
    at: BTreeMap<Ipv4Addr, (usize, usize)>,
    parties: Vec<String>,
    state: Mutex<State>,
    nth: AtomicU64,
}

struct State {
    /// By sender, then receiver.
    lines: Vec<Vec<Line>>,
    chance: StdRng,
}

impl Router {
    /// `sites` lists the parties of each: name and address.
    pub fn new(sites: &[Vec<(String, Ipv4Addr)>], seed: u64) -> Result<Self, String> {
        let (mut at, mut parties) = (BTreeMap::new(), Vec::new());
        for (site, own) in sites.iter().enumerate() {
            for (name, address) in own {
                if parties.contains(name) || at.insert(*address, (parties.len(), site)).is_some() {
                    return Err(format!("{name} at {address} is there twice"));
                }
                parties.push(name.clone());
            }
        }
        let row = || parties.iter().map(|_| Line::default()).collect();
        let lines = parties.iter().map(|_| row()).collect();
        let state = Mutex::new(State { lines, chance: StdRng::seed_from_u64(seed) });
        Ok(Self { at, parties, state, nth: AtomicU64::new(0) })
    }

    pub fn parties(&self) -> &[String] {
        &self.parties
    }

    /// Changes the link from one party to another.
    pub fn set(&self, from: &str, to: &str, change: impl FnOnce(&mut Link)) {
        self.line(from, to, |line| change(&mut line.link));
    }

    pub fn counters(&self, from: &str, to: &str) -> Counters {
        self.line(from, to, |line| line.counters)
    }

    fn line<T>(&self, from: &str, to: &str, act: impl FnOnce(&mut Line) -> T) -> T {
        let (from, to) = (self.place(from), self.place(to));
        let mut state = self.state();
        let line = state.lines.get_mut(from).and_then(|lines| lines.get_mut(to));
        act(line.expect("there is a line for every two parties"))
    }

    fn place(&self, party: &str) -> usize {
        let found = self.parties.iter().position(|name| name == party);
        found.unwrap_or_else(|| panic!("no party is named {party}; there are {:?}", self.parties))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what one site sends until it ends.
    pub async fn serve(&self, mut port: ChildStdout, ways: &[Way]) -> io::Result<()> {
        while let Some(packet) = frame::receive(&mut port).await? {
            self.pass(&packet, ways)?;
        }
        Ok(())
    }

    fn pass(&self, packet: &[u8], ways: &[Way]) -> io::Result<()> {
        // What is not for a party goes nowhere, as on the internet.
        let Some((from, to)) = packet::parties(packet) else { return Ok(()) };
        let (Some((from, _)), Some((to, site))) = (self.at.get(&from), self.at.get(&to)) else { return Ok(()) };
        let Some(way) = ways.get(*site) else { return Ok(()) };
        let mut state = self.state();
        let State { lines, chance } = &mut *state;
        let Some(line) = lines.get_mut(*from).and_then(|lines| lines.get_mut(*to)) else { return Ok(()) };
        let Ok(place) = Arc::clone(&way.places).try_acquire_owned() else {
            line.counters.overflowed += 1;
            return Ok(());
        };
        if let Some(arrival) = line.arrival(Instant::now(), chance) {
            let nth = self.nth.fetch_add(1, Ordering::Relaxed);
            // A site that is gone receives nothing.
            let _ = way.sent.send(OnItsWay { arrival, nth, frame: frame::sealed(packet)?, place });
        }
        Ok(())
    }
}
