//! Clients that ask real coordinators at the same time while these die, stand still and lose each other, and the history
//! of what they were answered.
//!
//! Two objects of each service are asked: its manifest, which is applied to an expected version, and its freeze, which is
//! set whatever was there. Both are read together, by themselves and with all services; a reading is recorded on every
//! object that it shows.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mesh_history::Line;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;

use crate::Rig;
use crate::relay::Relays;
use client::Client;
use door::Doors;
use nemesis::{Fault, Nemesis};

pub mod client;
pub mod door;
pub mod log;
pub mod nemesis;
pub mod objects;

/// Between two faults everybody is well for so long.
const PEACE_MS: std::ops::Range<u64> = 300..1500;

/// What one history is made of.
#[derive(Clone, Debug)]
pub struct Course {
    /// Decides what is asked and when a fault comes; not what the machine's scheduler adds.
    pub seed: u64,
    /// Names that no earlier history used.
    pub services: Vec<String>,
    pub clients: usize,
    pub faults: Vec<Fault>,
}

/// What came of it.
pub struct Recorded {
    pub lines: Vec<Line>,
    /// Answers that no coordinator may give.
    pub unexpected: Vec<String>,
    /// How often another node led than before.
    pub leader_changes: usize,
}

impl Rig {
    /// A mesh of three coordinators whose links can be cut; its agents are gone.
    pub async fn raise_for_histories() -> (Self, Relays) {
        let mut rig = Self::raise_empty().await;
        let relays = rig.behind_relays().await;
        let agents: Vec<String> = rig.stand.mesh.all.iter().map(|process| process.name.clone()).collect();
        for agent in agents.iter().filter(|name| name.starts_with("agent-")) {
            rig.kill(agent);
        }
        (rig, relays)
    }

    /// Where people reach each coordinator. What they send passes no relay: those have enough to do.
    pub fn doors(&self, relays: &Relays) -> Doors {
        let addresses: Vec<String> = (1..=3).map(|node| relays.behind(&format!("coordinator-{node}"))).collect();
        Doors::open(&self.stand.layout.profile(), &addresses)
    }

    pub async fn history(&mut self, relays: &Relays, course: &Course) -> Recorded {
        let shared = Arc::new(client::Shared::new(course.services.clone()));
        let mut rng = StdRng::seed_from_u64(course.seed);
        Client::new(&shared, self.doors(relays), rng.random()).found().await;
        let mut clients = JoinSet::new();
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..course.clients {
            let client = Client::new(&shared, self.doors(relays), rng.random());
            clients.spawn(client.ask_until(Arc::clone(&over)));
        }
        let mut nemesis = Nemesis::new(self.doors(relays), rng.random());
        nemesis.until_led().await;
        for fault in &course.faults {
            tokio::time::sleep(Duration::from_millis(rng.random_range(PEACE_MS))).await;
            nemesis.strike(self, relays, *fault, &shared.recorder).await;
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(PEACE_MS))).await;
        over.store(true, Ordering::Relaxed);
        while let Some(ended) = clients.join_next().await {
            ended.expect("a client does not panic");
        }
        Client::new(&shared, self.doors(relays), rng.random()).read_everything().await;
        let unexpected = shared.unexpected();
        Recorded { lines: shared.recorder.take(), unexpected, leader_changes: nemesis.leader_changes() }
    }
}

/// Keeps a history as a file for readers, and says where.
pub fn keep(dir: &str, name: &str, lines: &[Line]) -> PathBuf {
    let path = PathBuf::from(dir).join(format!("{name}.jsonl"));
    let file = std::fs::File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let kept = mesh_history::line::write(lines, std::io::BufWriter::new(file));
    kept.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// Numbers that nobody else has.
#[derive(Debug)]
pub struct Numbers(AtomicU64);

impl Default for Numbers {
    fn default() -> Self {
        Self(AtomicU64::new(1))
    }
}

impl Numbers {
    pub fn take(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
