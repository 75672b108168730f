//! File systems that belong to one test. Only root may mount; elsewhere a test that needs one says that it was skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system, unmounted when dropped.
pub struct Mount {
    at: PathBuf,
}

/// Why nothing can be mounted here, if nothing can.
pub fn skip_reason(programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root may mount".to_owned());
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let dirs: Vec<&str> = path.split(':').chain(["/usr/sbin", "/sbin"]).collect();
    let missing = programs.iter().find(|program| !dirs.iter().any(|dir| Path::new(dir).join(program).is_file()));
    missing.map(|program| format!("{program} is not installed"))
}

/// Runs a program to its end; what it said, or why it failed.
pub fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(args).env("PATH", path).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.success() {
        true => Ok(said.trim().to_owned()),
        false => Err(format!("{program} {args:?} ended with {}: {said}{errors}", output.status)),
    }
}

impl Mount {
    /// An empty file system in memory that holds this many bytes.
    pub fn tmpfs(at: &Path, bytes: u64) -> Result<Self, String> {
        let size = format!("size={bytes},mode=0755");
        run("mount", &["-t", "tmpfs", "-o", &size, "mesh-suite", &at.display().to_string()])?;
        Ok(Self { at: at.to_owned() })
    }

    pub fn device(device: &str, at: &Path, options: &str) -> Result<Self, String> {
        run("mount", &["-t", "ext4", "-o", options, device, &at.display().to_string()])?;
        Ok(Self { at: at.to_owned() })
    }

    pub fn at(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let at = self.at.display().to_string();
        if run("umount", &[&at]).is_err() {
            // Whatever still uses it must not keep the machine from forgetting it.
            let _ = run("umount", &["--lazy", &at]);
        }
    }
}
