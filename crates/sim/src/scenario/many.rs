//! Many runs on all cores. Each run has a seed of its own, so who plays it and when changes nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::play::play;
use super::second::Second;
use super::{Given, Played, Scenario};

/// Runs that a thread takes at a time.
const TAKEN: usize = 8;
const TOLD_EVERY: Duration = Duration::from_millis(200);

pub struct Many<'a> {
    pub given: &'a Arc<Given>,
    pub scenario: &'a Scenario,
    pub second: Option<&'a Second>,
    /// Of the first run; the others follow.
    pub seed: u64,
    pub runs: usize,
    pub threads: usize,
}

/// In the order of their seeds. `told` hears how many are over, now and then.
pub fn play_all(many: &Many<'_>, told: &(dyn Fn(usize) + Sync)) -> Vec<Played> {
    let (next, over, ended) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let played: Mutex<BTreeMap<usize, Played>> = Mutex::default();
    let work = || {
        // A Given holds no shared state but the manifest; a copy of its own is not counted across threads.
        let given = Arc::new(Given::clone(many.given));
        loop {
            let first = next.fetch_add(TAKEN, Ordering::Relaxed);
            if first >= many.runs {
                return;
            }
            let runs: Vec<(usize, Played)> = (first..(first + TAKEN).min(many.runs))
                .map(|nth| (nth, play(&given, many.scenario, many.second, many.seed.wrapping_add(nth as u64))))
                .collect();
            over.fetch_add(runs.len(), Ordering::Relaxed);
            played.lock().unwrap_or_else(PoisonError::into_inner).extend(runs);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..many.threads.max(1)).map(|_| scope.spawn(work)).collect();
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                told(over.load(Ordering::Relaxed));
                std::thread::park_timeout(TOLD_EVERY);
            }
        });
        for worker in workers {
            // A run that panics has said why; the scope hands it on.
            let _ = worker.join().map_err(|_| std::process::abort());
        }
        ended.store(true, Ordering::Relaxed);
    });
    played.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}
