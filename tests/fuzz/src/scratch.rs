//! Files for decoders that read files: in memory where there is a file system for that, since each fuzzed input is one.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const IN_MEMORY: &str = "/dev/shm";

/// A directory that is removed when dropped.
pub fn dir() -> TempDir {
    let parent = if Path::new(IN_MEMORY).is_dir() { PathBuf::from(IN_MEMORY) } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("mesh-fuzz-").tempdir_in(parent).expect("a directory can be made")
}

/// Calls `with` with a file that holds `bytes`.
pub fn with_file<T>(bytes: &[u8], with: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static DIR: TempDir = dir();
    }
    DIR.with(|dir| {
        let path = dir.path().join("input");
        fs::write(&path, bytes).expect("the scratch file can be written");
        with(&path)
    })
}
