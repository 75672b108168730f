//! The profile: name of the mesh, its coordinators, the operator's certificate.

use std::path::{Path, PathBuf};

use mesh_runtime::tls::TlsFiles;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub mesh: String,
    /// host:port of each coordinator.
    pub coordinators: Vec<String>,
    pub tls: TlsFiles,
}

/// Used without `--profile` and `MESH_PROFILE`.
pub fn default_path() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    config.map(|config| config.join("mesh/profile.toml"))
}

pub fn load(given: Option<&Path>) -> Result<Profile, Failure> {
    let path = given
        .map(Path::to_owned)
        .or_else(default_path)
        .ok_or_else(|| Failure::usage("no profile: neither --profile nor HOME is set"))?;
    if given.is_none() && !path.exists() {
        return Err(Failure::usage(format!("no profile at {}", path.display()))
            .hint("give one with --profile FILE or MESH_PROFILE; docs/cli.md shows its three entries"));
    }
    let mut profile: Profile = mesh_runtime::config::load(&path).map_err(|error| Failure::usage(error.to_string()))?;
    if profile.coordinators.is_empty() {
        return Err(Failure::usage(format!("{}: coordinators must name at least one host:port", path.display())));
    }
    let base = path.parent().unwrap_or(Path::new(""));
    for file in [&mut profile.tls.certificate, &mut profile.tls.key, &mut profile.tls.authorities] {
        *file = base.join(&file);
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_certificate_paths_are_taken_from_the_profile_s_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("profile.toml");
        let text = "mesh = \"demo\"\ncoordinators = [\"127.0.0.1:1\"]\n[tls]\ncertificate = \"a.pem\"\nkey = \"/k/a.key\"\nauthorities = \"ca.pem\"\n";
        std::fs::write(&path, text).expect("written");
        let profile = load(Some(&path)).expect("a profile");
        assert_eq!(profile.tls.certificate, dir.path().join("a.pem"));
        assert_eq!(profile.tls.key, PathBuf::from("/k/a.key"));
    }

    #[test]
    fn a_profile_without_coordinators_or_with_an_unknown_key_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("profile.toml");
        let tls = "[tls]\ncertificate = \"a\"\nkey = \"b\"\nauthorities = \"c\"\n";
        for text in
            [format!("mesh = \"demo\"\ncoordinators = []\n{tls}"), format!("mesh = \"demo\"\ncoordinator = []\n{tls}")]
        {
            std::fs::write(&path, text).expect("written");
            let failure = load(Some(&path)).expect_err("refused");
            assert_eq!(failure.exit, crate::exit::Exit::Usage);
        }
    }
}
