//! Where a bench works: the programs, and a directory on a real file system.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use meshctl::demo::child::Programs;

const TMPFS_MAGIC: i64 = 0x0102_1994;

pub struct Site {
    pub programs: Programs,
    pub etcd: Option<PathBuf>,
    scratch: PathBuf,
}

impl Site {
    pub fn new(programs: &Path, double: Option<PathBuf>, scratch: &Path) -> anyhow::Result<Self> {
        let find = |name: &str| {
            let path = programs.join(name);
            ensure!(path.is_file(), "{name} is not in {}", programs.display());
            Ok(path.canonicalize()?)
        };
        let programs = Programs {
            meshctl: find("meshctl")?,
            coordinator: find("mesh-coordinator")?,
            agent: find("mesh-agent")?,
            double: double.unwrap_or_else(|| programs.join("mesh-double")),
        };
        std::fs::create_dir_all(scratch).with_context(|| format!("making {}", scratch.display()))?;
        let kind = rustix::fs::statfs(scratch)?.f_type;
        #[allow(clippy::useless_conversion, reason = "its width differs between platforms")]
        if i64::from(kind) == TMPFS_MAGIC {
            bail!("{} is in memory: an fsync there costs nothing", scratch.display());
        }
        Ok(Self { programs, etcd: which("etcd"), scratch: scratch.to_owned() })
    }

    pub fn dir(&self) -> anyhow::Result<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix("mesh-bench-").tempdir_in(&self.scratch)?)
    }
}

pub fn which(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

impl Site {
    /// `etcd Version: 3.4.23`, as it says itself.
    pub fn etcd_version(&self) -> String {
        let said = self.etcd.as_ref().and_then(|etcd| std::process::Command::new(etcd).arg("--version").output().ok());
        let text = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let version = text.lines().next().and_then(|line| line.rsplit(' ').next()).unwrap_or("of unknown version");
        format!("etcd {version}")
    }
}
