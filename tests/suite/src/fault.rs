//! Faults of a network, or of the processes on it, that begin, do something that is counted, and end.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::wide::{Direction, Wide};

type Links = fn() -> Vec<Direction>;

/// Between a slow link's delay and the jitter on top of it.
const JITTER_PART: u32 = 5;
/// Times that a flapping link is cut at least.
const FLAPS: u32 = 3;

#[derive(Clone, Copy)]
pub enum Fault {
    /// Nothing passes.
    Cut(Links),
    /// Cut and mended in turn, for so long each.
    Flaps(Links, Duration),
    /// So much more delay each way, and a little jitter.
    Slow(Links, Duration),
    /// So many of a thousand packets are lost.
    Lossy(Links, u16),
    /// These processes stand still, told who leads.
    Stopped(fn(&Wide, &str) -> Vec<String>),
    /// The wall clocks of these processes are stepped by so many seconds, told who leads.
    Stepped(fn(&Wide, &str) -> Vec<String>, i64),
}

/// A fault that has begun.
pub struct Broken {
    fault: Fault,
    links: Vec<Direction>,
    before: u64,
    processes: Vec<String>,
}

impl Wide {
    pub async fn begin(&self, fault: Fault) -> Broken {
        let mut broken = Broken { fault, links: Vec::new(), before: 0, processes: Vec::new() };
        match fault {
            Fault::Cut(links) | Fault::Flaps(links, _) | Fault::Slow(links, _) | Fault::Lossy(links, _) => {
                broken.links = links();
            }
            Fault::Stopped(processes) | Fault::Stepped(processes, _) => {
                broken.processes = processes(self, &self.rig.leader().await);
            }
        }
        broken.before = self.met(&broken);
        self.set(&broken, true);
        broken
    }

    /// Keeps it up for at least so long. A flapping link ends cut.
    pub async fn hold(&self, broken: &Broken, time: Duration) {
        let Fault::Flaps(_, period) = broken.fault else { return tokio::time::sleep(time).await };
        let began = Instant::now();
        let mut flaps = 1;
        while flaps < FLAPS || began.elapsed() < time {
            tokio::time::sleep(period).await;
            self.set(broken, false);
            tokio::time::sleep(period).await;
            self.set(broken, true);
            flaps += 1;
        }
    }

    /// What it has done until now: packets that it met, or processes that stand still.
    pub fn fired(&self, broken: &Broken) -> u64 {
        self.met(broken) - broken.before
    }

    pub fn mend(&self, broken: &Broken) {
        self.set(broken, false);
    }

    fn set(&self, broken: &Broken, on: bool) {
        for (from, to) in &broken.links {
            self.wan.set(from, to, |link| match broken.fault {
                Fault::Cut(_) | Fault::Flaps(..) => link.cut = on,
                Fault::Slow(_, more) if on => (link.delay, link.jitter) = (link.delay + more, more / JITTER_PART),
                Fault::Slow(_, more) => (link.delay, link.jitter) = (link.delay.saturating_sub(more), Duration::ZERO),
                Fault::Lossy(_, permille) => link.loss_permille = if on { permille } else { 0 },
                Fault::Stopped(_) | Fault::Stepped(..) => {}
            });
        }
        for name in &broken.processes {
            match broken.fault {
                Fault::Stepped(_, seconds) => self.rig.step_clock(name, if on { seconds } else { 0 }),
                _ => self.rig.signal(name, if on { Signal::STOP } else { Signal::CONT }),
            }
        }
    }

    fn met(&self, broken: &Broken) -> u64 {
        match broken.fault {
            Fault::Cut(_) | Fault::Flaps(..) => self.sum(&broken.links, |counters| counters.cut),
            Fault::Slow(..) => self.sum(&broken.links, |counters| counters.delayed),
            Fault::Lossy(..) => self.sum(&broken.links, |counters| counters.lost),
            Fault::Stopped(_) => count(&broken.processes, |name| self.rig.stands_still(name)),
            Fault::Stepped(..) => count(&broken.processes, |name| self.rig.clock_is_stepped(name)),
        }
    }
}

fn count(processes: &[String], is: impl Fn(&str) -> bool) -> u64 {
    processes.iter().map(|name| u64::from(is(name))).sum()
}
