//! What all hosts of one simulation share: who is who, whose disk is where, and what is seen of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::Context;
use mesh_agent::journal::{Book, Journal};
use mesh_agent::lease::Leases;
use mesh_coordinator::consensus::Consensus;
use mesh_core::access::{Identity, Role};
use mesh_core::execute::Job;
use mesh_core::ids::{AgentId, Generation, RegionId, ServiceId};
use mesh_core::time::Timestamp;
use mesh_runtime::pki::{Authority, write_pair};
use mesh_runtime::tls::{Identities, TlsFiles};
use tempfile::TempDir;

use crate::disk::Platter;
use crate::judge::Judge;
use crate::net::Simulated;
use crate::planted::Planted;
use crate::service::MOVED;

pub const MESH: &str = "whole";
pub const PORT: u16 = 7001;
pub const REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "eu-central-1"];
/// Two in each region that has a workload, one at the witness's. Their numbers among the hosts follow on [`AGENTS_AFTER`].
pub const AGENTS: [(&str, usize); 5] = [("use1-a", 0), ("use1-b", 0), ("usw2-a", 1), ("usw2-b", 1), ("euc1-a", 2)];
pub const AGENTS_AFTER: u64 = 10;
/// Certificates outlive every simulation; they are dated by the machine's clock.
const CERTIFICATES: Duration = Duration::from_secs(24 * 3600);
/// When every simulation begins, in milliseconds of Unix time.
const EPOCH_MS: u64 = 1_780_000_000_000;

/// An agent may let its region write, at this generation.
pub type Right = (AgentId, RegionId, Generation);

pub struct Site {
    dir: TempDir,
    authority: Authority,
    platters: BTreeMap<u64, Platter>,
    /// What each coordinator's wall clock is off by, in milliseconds.
    clocks: BTreeMap<u64, Arc<AtomicI64>>,
    running: Mutex<BTreeMap<u64, Weak<Consensus>>>,
    /// The rights of the agents that run now.
    acting: Mutex<BTreeMap<AgentId, (RegionId, Weak<Leases>)>>,
    judge: Mutex<Judge>,
    /// As of the last step, in microseconds: for whoever looks from outside of all hosts.
    elapsed: Arc<AtomicU64>,
    heals: AtomicBool,
    rests: AtomicBool,
    pub planted: Planted,
    /// Nobody moves the moved service but the mesh itself.
    pub automatic: bool,
}

/// Where an agent is.
pub fn place_of(agent: &AgentId) -> RegionId {
    let place = AGENTS.iter().find(|(name, _)| *name == agent.as_str()).map_or(0, |(_, place)| *place);
    region(REGIONS[place])
}

pub fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a name")
}

/// Of a coordinator or an agent.
pub fn name(number: u64) -> String {
    match number.checked_sub(AGENTS_AFTER + 1).and_then(|nth| AGENTS.get(nth as usize)) {
        Some((agent, _)) => (*agent).to_owned(),
        None => format!("c{number}"),
    }
}

pub fn address(id: u64) -> String {
    format!("{}:{PORT}", name(id))
}

impl Site {
    pub fn new(seed: u64, planted: Planted, automatic: bool, judge: Judge) -> anyhow::Result<Self> {
        let shared_memory = Path::new("/dev/shm");
        let dir = match shared_memory.is_dir() {
            true => TempDir::with_prefix_in("mesh-whole-", shared_memory),
            false => TempDir::with_prefix("mesh-whole-"),
        };
        let dir = dir.context("a directory")?;
        let authority = Authority::create(MESH)?;
        std::fs::write(dir.path().join("ca.pem"), authority.certificate_pem())?;
        let agents = AGENTS_AFTER + 1..=AGENTS_AFTER + AGENTS.len() as u64;
        let ids = (1..=REGIONS.len() as u64).chain(agents);
        let lies = planted == Planted::LyingDisks;
        let platter = |id: u64| (id, Platter::new(dir.path().join(name(id)), seed ^ (id << 32), lies));
        let platters = ids.clone().map(platter).collect();
        let clocks = ids.map(|id| (id, Arc::default())).collect();
        Ok(Self {
            dir,
            authority,
            platters,
            clocks,
            running: Mutex::default(),
            acting: Mutex::default(),
            judge: Mutex::new(judge),
            elapsed: Arc::default(),
            heals: AtomicBool::new(false),
            rests: AtomicBool::new(false),
            planted,
            automatic,
        })
    }

    /// Made before the simulation, so that nothing watches the files within it.
    pub fn identities(&self, role: Role, place: &str, who: &str) -> anyhow::Result<Arc<Identities>> {
        let identity = Identity { mesh: MESH.to_owned(), region: region(place), role, name: who.to_owned() };
        let issued = self.authority.issue(&identity, &[who.to_owned()], CERTIFICATES)?;
        let files = self.files(who);
        write_pair(&files.certificate, &files.key, &issued.chain_pem, &issued.key_pem)?;
        Ok(Identities::load_over(&files, MESH, Arc::new(Simulated))?)
    }

    pub fn files(&self, who: &str) -> TlsFiles {
        let path = |kind: &str| -> PathBuf { self.dir.path().join(format!("{who}.{kind}")) };
        TlsFiles { certificate: path("pem"), key: path("key"), authorities: self.dir.path().join("ca.pem") }
    }

    pub fn dir(&self, who: &str) -> PathBuf {
        self.dir.path().join(who)
    }

    pub fn platter(&self, id: u64) -> &Platter {
        &self.platters[&id]
    }

    pub fn step_clock(&self, id: u64, by_ms: i64) {
        self.clocks[&id].fetch_add(by_ms, Ordering::Relaxed);
    }

    pub fn elapsed_is(&self, elapsed: Duration) {
        self.elapsed.store(u64::try_from(elapsed.as_micros()).expect("it is short"), Ordering::Relaxed);
    }

    /// Since the simulation began, for whoever asks.
    pub fn elapsed(&self) -> Duration {
        elapsed(&self.elapsed)
    }

    /// A host's wall clock; without `id`, one that is right.
    pub fn wall(&self, id: Option<u64>) -> impl Fn() -> Timestamp + Send + Sync + use<> {
        let off = id.map(|id| Arc::clone(&self.clocks[&id]));
        let last = Arc::clone(&self.elapsed);
        move || {
            let since = elapsed(&last);
            let right = EPOCH_MS + u64::try_from(since.as_millis()).expect("it is short");
            Timestamp::from_millis(
                right.saturating_add_signed(off.as_ref().map_or(0, |off| off.load(Ordering::Relaxed))),
            )
        }
    }

    pub fn runs(&self, id: u64, consensus: &Arc<Consensus>) {
        lock(&self.running).insert(id, Arc::downgrade(consensus));
    }

    /// Those that run now.
    pub fn coordinators(&self) -> Vec<(u64, Arc<Consensus>)> {
        lock(&self.running).iter().filter_map(|(id, consensus)| Some((*id, consensus.upgrade()?))).collect()
    }

    pub fn is_gone(&self, id: u64) -> bool {
        lock(&self.running).get(&id).is_none_or(|consensus| consensus.strong_count() == 0)
    }

    pub fn acts(&self, agent: &AgentId, leases: &Arc<Leases>) {
        lock(&self.acting).insert(agent.clone(), (place_of(agent), Arc::downgrade(leases)));
    }

    pub fn is_agent_gone(&self, agent: &str) -> bool {
        let acting = lock(&self.acting);
        !acting.iter().any(|(name, (_, leases))| name.as_str() == agent && leases.strong_count() > 0)
    }

    /// Who may let its region write now.
    pub fn rights(&self) -> Vec<Right> {
        let service = ServiceId::new(MOVED).expect("a name");
        let acting = lock(&self.acting);
        let held = acting.iter().filter_map(|(agent, (region, leases))| {
            let standing = leases.upgrade()?.right(&service)?.standing?;
            Some((agent.clone(), region.clone(), standing.generation))
        });
        held.collect()
    }

    /// What an agent's disk has.
    pub fn journal(&self, agent: &AgentId) -> anyhow::Result<Book> {
        let journal = self.dir(agent.as_str()).join("journal");
        if !journal.exists() {
            return Ok(Book::default());
        }
        let copy = TempDir::new_in(self.dir.path())?;
        std::fs::copy(journal, copy.path().join("journal"))?;
        Ok(Journal::open(copy.path(), self.wall(None)())?.book().clone())
    }

    /// An agent sends this.
    pub fn called(&self, agent: &AgentId, job: &Job) {
        let journal = self.journal(agent).expect("it is readable while the agent runs");
        let right = self.rights().into_iter().find(|(name, ..)| name == agent).map(|(.., generation)| generation);
        self.judge().called(now(), agent, job, &journal, right);
    }

    /// Nothing is wrong any more, and nothing more is begun.
    pub fn heal(&self) {
        self.heals.store(true, Ordering::Relaxed);
    }

    pub fn heals(&self) -> bool {
        self.heals.load(Ordering::Relaxed)
    }

    /// People do nothing more.
    pub fn rest(&self) {
        self.rests.store(true, Ordering::Relaxed);
    }

    pub fn rests(&self) -> bool {
        self.rests.load(Ordering::Relaxed)
    }

    pub fn judge(&self) -> MutexGuard<'_, Judge> {
        lock(&self.judge)
    }
}

/// A host's own time, or that of the last step.
fn elapsed(last: &AtomicU64) -> Duration {
    turmoil::sim_elapsed().unwrap_or_else(|| Duration::from_micros(last.load(Ordering::Relaxed)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time since the simulation began, for whoever runs in it.
pub fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}
