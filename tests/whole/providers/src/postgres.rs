//! As in `crates/providers/src/postgres.rs`.

use std::path::PathBuf;

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresConfig {
    pub bin_dir: Option<PathBuf>,
    pub data_directories: Vec<PathBuf>,
}
