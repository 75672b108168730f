//! Inputs that are kept: `corpus/TARGET` reached code that others did not, `regressions/TARGET` broke a rule once.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Target;

/// Of one target, so that the repository stays small.
pub const FILES_MAX: usize = 256;

pub fn dir(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

pub fn regressions_dir(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target)
}

/// Seeds, corpus and regressions of a target, always in the same order.
pub fn of(target: &Target) -> Vec<Vec<u8>> {
    let mut inputs = (target.seeds)();
    inputs.extend(files(&dir(target.name)));
    inputs.extend(files(&regressions_dir(target.name)));
    inputs
}

pub fn files(dir: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    paths.iter().filter(|path| path.is_file()).map(|path| fs::read(path).expect("a kept input can be read")).collect()
}
