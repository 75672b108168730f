//! A coordinator's disk: real files, of which a power cut takes what was not synced.
//!
//! A sync takes simulated time, and what it covers is remembered: the length of each file of the log. A cut shortens each
//! file to somewhere between that and what was written. Everything else that a coordinator keeps is synced as it is
//! written, without simulated time in between, but for sled, which a cut may take as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_coordinator::store::wal::Disk;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SYNC_MIN: Duration = Duration::from_micros(500);
const SYNC_MAX: Duration = Duration::from_millis(8);
/// Of a disk that stalls.
const STALLED_MAX: Duration = Duration::from_millis(900);

/// The bytes at the front of every journal.
const JOURNAL_BEGINS: u64 = 8;

/// Shared by a node's lives.
#[derive(Clone)]
pub struct Platter(Arc<Mutex<State>>);

struct State {
    dir: PathBuf,
    rng: StdRng,
    /// What is on the platter: the length of each file of the log, and the note of how far that reaches.
    synced: BTreeMap<PathBuf, u64>,
    reached: Vec<u8>,
    stalls: bool,
    /// Says that it has synced, and has not.
    lies: bool,
    syncs: u64,
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cut {
    pub log_bytes: u64,
    pub state: bool,
}

impl Platter {
    pub fn new(dir: PathBuf, seed: u64, lies: bool) -> Self {
        let (rng, synced, reached) = (StdRng::seed_from_u64(seed), BTreeMap::new(), Vec::new());
        Self(Arc::new(Mutex::new(State { dir, rng, synced, reached, stalls: false, lies, syncs: 0 })))
    }

    pub fn dir(&self) -> PathBuf {
        self.lock().dir.clone()
    }

    pub fn stall(&self, stalls: bool) {
        self.lock().stalls = stalls;
    }

    /// How long a sync takes that begins now.
    pub fn latency(&self) -> Duration {
        self.lock().latency()
    }

    /// An agent's journal, whose end a disk that lied never had; `whole`: nothing of it is left.
    pub fn forget(&self, whole: bool) -> io::Result<()> {
        let mut state = self.lock();
        if whole {
            return if state.dir.exists() { fs::remove_dir_all(&state.dir) } else { Ok(()) };
        }
        let path = state.dir.join("journal");
        let Ok(written) = fs::metadata(&path).map(|journal| journal.len()) else { return Ok(()) };
        let kept = state.rng.random_range(JOURNAL_BEGINS.min(written)..=written);
        File::options().write(true).open(&path)?.set_len(kept)
    }

    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// The process is gone already.
    pub fn cut(&self) -> io::Result<Cut> {
        let mut state = self.lock();
        let mut cut = Cut::default();
        for (path, written) in state.lengths()? {
            let synced = state.synced.get(&path).copied().unwrap_or_default();
            let kept = state.rng.random_range(synced.min(written)..=written);
            cut.log_bytes += written - kept;
            File::options().write(true).open(&path)?.set_len(kept)?;
        }
        if state.lies && !state.synced.is_empty() {
            fs::write(reached(&state.dir), &state.reached)?;
        }
        let sled = state.dir.join("state");
        if state.rng.random_bool(0.3) && sled.exists() {
            fs::remove_dir_all(sled)?;
            cut.state = true;
        }
        state.synced = state.lengths()?;
        Ok(cut)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lengths(&self) -> io::Result<BTreeMap<PathBuf, u64>> {
        let log = self.dir.join("log");
        if !log.exists() {
            return Ok(BTreeMap::new());
        }
        let files = fs::read_dir(log)?.map(|entry| Ok(entry?.path()));
        let chunks = files.filter(|path: &io::Result<PathBuf>| {
            path.as_ref().map_or(true, |path| path.extension().is_some_and(|extension| extension == "wal"))
        });
        chunks.map(|path| path.and_then(|path| Ok((path.clone(), fs::metadata(path)?.len())))).collect()
    }

    fn note(&mut self) {
        self.synced = self.lengths().expect("the directory is there");
        self.reached = fs::read(reached(&self.dir)).unwrap_or_default();
    }

    fn latency(&mut self) -> Duration {
        let longest = if self.stalls { STALLED_MAX } else { SYNC_MAX };
        self.rng.random_range(SYNC_MIN..longest)
    }
}

fn reached(dir: &Path) -> PathBuf {
    dir.join("log.reached")
}

impl Disk for Platter {
    fn opened(&self) {
        let mut state = self.lock();
        if !state.lies || state.synced.is_empty() {
            state.note();
        }
    }

    fn written(&self, sync: Box<dyn FnOnce() + Send>) {
        let platter = self.clone();
        let latency = self.lock().latency();
        tokio::spawn(async move {
            tokio::time::sleep(latency).await;
            let lies = platter.lock().lies;
            if !lies {
                // The files hold now what the sync covers: nothing else runs until it has ended.
                platter.lock().syncs += 1;
            }
            let noting = platter.clone();
            sync();
            if !lies {
                noting.lock().note();
            }
        });
    }
}
