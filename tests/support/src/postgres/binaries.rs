//! Where PostgreSQL's programs are, and as whom they run.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's place for the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// PostgreSQL refuses root; Debian's package brings this user.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// The newest installed version's programs.
pub fn bin_dir() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(DEBIAN)
        .ok()?
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// User and group ids to run as, when this process is root.
pub(super) fn other_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    USERS.iter().find_map(|user| {
        let mut fields = passwd.lines().find(|line| line.split(':').next() == Some(user))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

/// A program of PostgreSQL, which ends when this process does, in a network namespace if there is one.
pub(super) fn program(bin_dir: &Path, name: &str, dies_with_us: bool, namespace: Option<&Path>) -> Command {
    let mut command = match namespace {
        Some(namespace) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={}", namespace.display())).args(["--", "setpriv"]);
            command
        }
        None => Command::new("setpriv"),
    };
    if dies_with_us {
        command.args(["--pdeathsig", "KILL"]);
    }
    if let Some((user, group)) = other_user() {
        command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
    }
    command.arg("--").arg(bin_dir.join(name)).current_dir("/").env_remove("PGDATA");
    command
}

/// A directory of scripts that run the programs as [`program`] would: what an agent under test is told to use.
pub fn wrappers(bin_dir: &Path, into: &Path) -> std::io::Result<PathBuf> {
    wrappers_in(bin_dir, into, None)
}

/// The same for servers in a network namespace.
pub fn wrappers_in(bin_dir: &Path, into: &Path, namespace: Option<&Path>) -> std::io::Result<PathBuf> {
    let enter = namespace.map_or_else(String::new, |namespace| format!("nsenter --net={} -- ", namespace.display()));
    let directory = into.join("bin");
    std::fs::create_dir_all(&directory)?;
    let user =
        other_user().map_or_else(String::new, |(user, group)| format!("--reuid={user} --regid={group} --clear-groups"));
    for name in ["pg_ctl", "pg_rewind", "pg_basebackup"] {
        let path = directory.join(name);
        let mut file = std::fs::File::create(&path)?;
        writeln!(file, "#!/bin/sh\nexec {enter}setpriv {user} -- {}/{name} \"$@\"", bin_dir.display())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(directory)
}
