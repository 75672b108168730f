//! What all hosts of one simulation share: who is who, whose disk is where, and what is seen of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::Context;
use mesh_coordinator::consensus::Consensus;
use mesh_core::access::{Identity, Role};
use mesh_core::ids::RegionId;
use mesh_core::time::Timestamp;
use mesh_runtime::pki::{Authority, write_pair};
use mesh_runtime::tls::{Identities, TlsFiles};
use tempfile::TempDir;

use crate::disk::Platter;
use crate::judge::Judge;
use crate::net::Simulated;

pub const MESH: &str = "whole";
pub const PORT: u16 = 7001;
pub const REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "eu-central-1"];
/// Certificates outlive every simulation; they are dated by the machine's clock.
const CERTIFICATES: Duration = Duration::from_secs(24 * 3600);
/// When every simulation begins, in milliseconds of Unix time.
const EPOCH_MS: u64 = 1_780_000_000_000;

pub struct Site {
    dir: TempDir,
    authority: Authority,
    platters: BTreeMap<u64, Platter>,
    /// What each coordinator's wall clock is off by, in milliseconds.
    clocks: BTreeMap<u64, Arc<AtomicI64>>,
    running: Mutex<BTreeMap<u64, Weak<Consensus>>>,
    judge: Mutex<Judge>,
    rests: AtomicBool,
}

pub fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a name")
}

pub fn name(id: u64) -> String {
    format!("c{id}")
}

pub fn address(id: u64) -> String {
    format!("{}:{PORT}", name(id))
}

impl Site {
    pub fn new(seed: u64, lies: bool, judge: Judge) -> anyhow::Result<Self> {
        let shared_memory = Path::new("/dev/shm");
        let dir = match shared_memory.is_dir() {
            true => TempDir::with_prefix_in("mesh-whole-", shared_memory),
            false => TempDir::with_prefix("mesh-whole-"),
        };
        let dir = dir.context("a directory")?;
        let authority = Authority::create(MESH)?;
        std::fs::write(dir.path().join("ca.pem"), authority.certificate_pem())?;
        let ids = 1..=REGIONS.len() as u64;
        let platter = |id: u64| (id, Platter::new(dir.path().join(name(id)), seed ^ (id << 32), lies));
        let platters = ids.clone().map(platter).collect();
        let clocks = ids.map(|id| (id, Arc::default())).collect();
        Ok(Self {
            dir,
            authority,
            platters,
            clocks,
            running: Mutex::default(),
            judge: Mutex::new(judge),
            rests: AtomicBool::new(false),
        })
    }

    /// Made before the simulation, so that nothing watches the files within it.
    pub fn identities(&self, role: Role, place: &str, who: &str) -> anyhow::Result<Arc<Identities>> {
        let identity = Identity { mesh: MESH.to_owned(), region: region(place), role, name: who.to_owned() };
        let issued = self.authority.issue(&identity, &[who.to_owned()], CERTIFICATES)?;
        let path = |kind: &str| -> PathBuf { self.dir.path().join(format!("{who}.{kind}")) };
        let files =
            TlsFiles { certificate: path("pem"), key: path("key"), authorities: self.dir.path().join("ca.pem") };
        write_pair(&files.certificate, &files.key, &issued.chain_pem, &issued.key_pem)?;
        Ok(Identities::load_over(&files, MESH, Arc::new(Simulated))?)
    }

    pub fn platter(&self, id: u64) -> &Platter {
        &self.platters[&id]
    }

    pub fn step_clock(&self, id: u64, by_ms: i64) {
        self.clocks[&id].fetch_add(by_ms, Ordering::Relaxed);
    }

    /// A coordinator's wall clock; without `id`, one that is right.
    pub fn wall(&self, id: Option<u64>) -> impl Fn() -> Timestamp + Send + Sync + use<> {
        let off = id.map(|id| Arc::clone(&self.clocks[&id]));
        move || {
            let since = turmoil::sim_elapsed().unwrap_or_default();
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time since the simulation began, for whoever runs in it.
pub fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}
