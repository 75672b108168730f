//! Whose disk this is.
//!
//! Written once a node may vote under its id; from then on a data directory without the log is a lost log, and a data
//! directory without this file belongs to a node that has never voted, or to one that has lost everything.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::StoreError;
use super::snapshot::sync_dir;

const FILE: &str = "identity";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskIdentity {
    pub mesh: String,
    pub node: u64,
}

/// The identity that the data directory was given; refused if it is not `expected`.
pub fn read(data_dir: &Path, expected: &DiskIdentity) -> Result<bool, StoreError> {
    let path = data_dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(StoreError::io("read", &path, source)),
    };
    match text == render(expected) {
        true => Ok(true),
        false => Err(StoreError::Identity(format!(
            "{} says {:?}: this data directory is not that of node {} of mesh {:?}",
            path.display(),
            text.trim_end(),
            expected.node,
            expected.mesh,
        ))),
    }
}

/// Durable when it returns.
pub fn write(data_dir: &Path, identity: &DiskIdentity) -> Result<(), StoreError> {
    write_file(&data_dir.join(FILE), &render(identity))
}

/// A small file, whole or not at all, durable when it returns.
pub fn write_file(path: &Path, text: &str) -> Result<(), StoreError> {
    let put = || {
        let part = path.with_extension("part");
        let mut file = File::create(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        path.parent().map_or(Ok(()), sync_dir)
    };
    put().map_err(|source| StoreError::io("write", path, source))
}

fn render(identity: &DiskIdentity) -> String {
    format!("mesh {} node {}\n", identity.mesh, identity.node)
}
