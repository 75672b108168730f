//! Files that are replaced whole or not at all, also by a power cut.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Largest file that is read whole: configuration, certificates, keys.
pub const SMALL_FILE_MAX: u64 = 1024 * 1024;

/// Private: readable by its owner alone.
pub const MODE_PRIVATE: u32 = 0o600;
pub const MODE_PUBLIC: u32 = 0o644;

/// Writes beside `path`, syncs, renames over it, syncs the directory.
pub fn replace(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let beside = with_suffix(path, &format!(".{}-{:08x}.tmp", std::process::id(), crate::backoff::os_seed()));
    let written = write_new(&beside, contents, mode).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.and_then(|()| sync_directory_of(path))
}

/// Renames and syncs the directory.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    sync_directory_of(to)
}

/// Raises this process's soft limit of open files to `wanted`, as far as the hard one allows. Returns what holds now.
pub fn raise_limit(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    match limit.current {
        Some(current) if current < allowed => {
            let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), ..limit });
            raised.map_or(current, |()| allowed)
        }
        Some(current) => current,
        None => u64::MAX,
    }
}

/// Reads a file of at most [`SMALL_FILE_MAX`] bytes.
pub fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?.take(SMALL_FILE_MAX + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > SMALL_FILE_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {SMALL_FILE_MAX} bytes")));
    }
    Ok(contents)
}

/// `path` with `suffix` after its whole file name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn write_new(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_replaced_file_has_the_new_contents_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key.pem");
        replace(&path, b"one", MODE_PRIVATE).expect("written");
        replace(&path, b"two", MODE_PRIVATE).expect("replaced");
        assert_eq!(read_small(&path).expect("read"), b"two");
        let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, MODE_PRIVATE, "a key is for its owner alone");
        assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_file_too_large_to_be_ours_is_not_read_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("big");
        let size = usize::try_from(SMALL_FILE_MAX).expect("fits") + 1;
        std::fs::write(&path, vec![b'x'; size]).expect("written");
        assert_eq!(read_small(&path).expect_err("refused").kind(), io::ErrorKind::FileTooLarge);
    }
}
