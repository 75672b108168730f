//! A bounded run without guidance: the same target, seed and number give the same inputs.

use std::path::PathBuf;

use crate::examine::{examine, found_dir, write};
use crate::mutate::mutate;
use crate::rng::Rng;
use crate::{Target, corpus};

/// Accepted inputs that are mutated further, beside those that are kept.
const POOL_MAX: usize = 512;
/// Inputs that are tried to make a found one smaller.
const SMALLER_TRIES_MAX: usize = 2_000;

#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    pub kept: u64,
    pub inputs: u64,
    pub accepted: u64,
    /// The most that one input allocated at once.
    pub bytes: u64,
}

/// A rule that was broken, and the smallest input that was found to break it.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "target {target}: {reason}\n{} bytes in {}\nrepeat: cargo run -p mesh-fuzz -- repeat {target} {}\n\
     keep it once it is mended: cp {} {}/",
    input.len(), path.display(), path.display(), path.display(), corpus::regressions_dir(target).display()
)]
pub struct Found {
    pub target: &'static str,
    pub reason: String,
    pub input: Vec<u8>,
    pub path: PathBuf,
}

/// Every kept input, then `inputs` mutated ones.
pub fn run(target: &Target, seed: u64, inputs: u32) -> Result<Report, Found> {
    let mut pool = corpus::of(target);
    let mut report = Report { kept: pool.len() as u64, ..Report::default() };
    for input in &pool {
        report.take(target, input)?;
    }
    let kept = pool.len();
    let mut rng = Rng::new(target.name.bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())));
    for _ in 0..inputs {
        let from = rng.pick(&pool).cloned().unwrap_or_default();
        let input = mutate(target, &from, &pool, &mut rng);
        let accepted = report.take(target, &input)?;
        if accepted && pool.len() < kept + POOL_MAX {
            pool.push(input);
        } else if accepted {
            let place = kept + rng.below(POOL_MAX);
            pool[place] = input;
        }
    }
    Ok(report)
}

impl Report {
    fn take(&mut self, target: &Target, input: &[u8]) -> Result<bool, Found> {
        let seen = examine(target, input).map_err(|reason| found(target, input, reason))?;
        self.inputs += 1;
        self.accepted += u64::from(seen.accepted);
        self.bytes = self.bytes.max(seen.bytes);
        Ok(seen.accepted)
    }
}

fn found(target: &Target, input: &[u8], reason: String) -> Found {
    let (input, reason) = smaller(target, input.to_vec(), reason);
    let path = found_dir(target.name).join(format!("found-{}", mesh_proto::sha256(&input)));
    write(&path, &input);
    Found { target: target.name, reason, input, path }
}

/// Takes away what the broken rule does not need.
fn smaller(target: &Target, mut input: Vec<u8>, mut reason: String) -> (Vec<u8>, String) {
    let mut length = input.len() / 2;
    let mut tries = 0;
    while length > 0 && tries < SMALLER_TRIES_MAX {
        let mut at = 0;
        while at < input.len() && tries < SMALLER_TRIES_MAX {
            let mut shorter = input.clone();
            shorter.drain(at..(at + length).min(input.len()));
            tries += 1;
            match examine(target, &shorter) {
                Err(other) => (input, reason) = (shorter, other),
                Ok(_) => at += length,
            }
        }
        length /= 2;
    }
    (input, reason)
}
