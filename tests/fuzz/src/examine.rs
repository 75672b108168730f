//! One input, given to one target: what it did, or which rule it broke.
//!
//! A panic on any thread counts, and so do more bytes at once than the target is allowed. An input that takes for ever,
//! or ends the process, is told by what is left of it: it is written down before it is given, and a watchdog ends the
//! process when nothing comes back.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::Target;

/// A decoder needs milliseconds; a busy machine makes that a second.
const INPUT_TIME_MAX: Duration = Duration::from_secs(30);
/// The same, in seconds, for the test of the watchdog itself.
const INPUT_TIME_VARIABLE: &str = "MESH_FUZZ_INPUT_SECONDS";
/// Of the process that the watchdog ends (EX_SOFTWARE of sysexits.h).
pub const ENDLESS: i32 = 70;

#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub accepted: bool,
    /// Allocated at once.
    pub bytes: u64,
}

/// Said by the panic of a target, wherever it happened.
static SAID: Mutex<Option<String>> = Mutex::new(None);
/// Held by whoever examines: panics are told apart by nothing else.
static EXAMINING: Mutex<()> = Mutex::new(());
static UNDER_WAY: Mutex<Option<(Instant, PathBuf)>> = Mutex::new(None);
static BEGIN: Once = Once::new();

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives `input` to the target. The error says which rule was broken.
pub fn examine(target: &Target, input: &[u8]) -> Result<Seen, String> {
    BEGIN.call_once(begin);
    let _alone = lock(&EXAMINING);
    warm_up(target);
    let path = last_path(target.name);
    write(&path, input);
    *lock(&SAID) = None;
    *lock(&UNDER_WAY) = Some((Instant::now(), path));
    let accepted = Cell::new(false);
    let mut ended = Ok(());
    let allocated = allocation_counter::measure(|| {
        ended = panic::catch_unwind(AssertUnwindSafe(|| accepted.set((target.check)(input))));
    });
    let taken = lock(&UNDER_WAY).take();
    let said = lock(&SAID).take();
    if let Some((_, path)) = taken {
        let _ = fs::remove_file(path);
    }
    if ended.is_err() || said.is_some() {
        return Err(said.unwrap_or_else(|| "it panicked".to_owned()));
    }
    let bound = target.allocates.of(input);
    if allocated.bytes_max > bound {
        let (bytes, length) = (allocated.bytes_max, input.len());
        return Err(format!("{bytes} bytes were allocated at once for an input of {length}, {bound} are allowed"));
    }
    Ok(Seen { accepted: accepted.get(), bytes: allocated.bytes_max })
}

/// What a target makes once, of its own, is not counted against an input.
fn warm_up(target: &Target) {
    static WARM: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    if lock(&WARM).insert(target.name) {
        for seed in (target.seeds)().iter().take(2) {
            let _ = panic::catch_unwind(AssertUnwindSafe(|| (target.check)(seed)));
        }
    }
}

/// Where inputs are left that broke a rule.
pub fn found_dir(target: &str) -> PathBuf {
    let built = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    built.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")).join("fuzz").join(target)
}

/// The input under way: it stays where the process ended with it.
pub fn last_path(target: &str) -> PathBuf {
    found_dir(target).join(format!("last-{}", std::process::id()))
}

pub fn write(path: &Path, input: &[u8]) {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).expect("the directory of found inputs can be made");
    }
    fs::write(path, input).expect("a found input can be written");
}

fn begin() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if lock(&UNDER_WAY).is_none() {
            return before(info);
        }
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        lock(&SAID).get_or_insert(format!("panicked at {place}: {text}"));
    }));
    let limit = std::env::var(INPUT_TIME_VARIABLE).ok().and_then(|seconds| seconds.parse().ok());
    let limit = limit.map_or(INPUT_TIME_MAX, Duration::from_secs);
    std::thread::spawn(move || watch(limit));
}

fn watch(limit: Duration) {
    loop {
        std::thread::sleep(limit / 10);
        let under_way = lock(&UNDER_WAY);
        if let Some((since, path)) = under_way.as_ref()
            && since.elapsed() > limit
        {
            eprintln!("mesh-fuzz: no end after {limit:?} with {}", path.display());
            std::process::exit(ENDLESS);
        }
    }
}
