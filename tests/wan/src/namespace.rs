//! A site's network namespace, for processes and for the test itself.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const OWN: &str = "/proc/thread-self/ns/net";

/// It can be entered as long as the helper that made it lives.
#[derive(Clone, Debug)]
pub struct Namespace {
    link: PathBuf,
}

impl Namespace {
    pub(crate) fn of(pid: u32) -> Self {
        Self { link: PathBuf::from(format!("/proc/{pid}/ns/net")) }
    }

    pub fn link(&self) -> &Path {
        &self.link
    }

    /// Program and arguments that run this program in here; the process id stays that of the caller's child.
    pub fn wrap(&self, program: &Path, args: &[OsString]) -> (PathBuf, Vec<OsString>) {
        let mut net = OsString::from("--net=");
        net.push(&self.link);
        let all = [net, OsString::from("--"), program.as_os_str().to_owned()];
        (PathBuf::from("nsenter"), all.into_iter().chain(args.iter().cloned()).collect())
    }

    pub fn command(&self, program: impl AsRef<OsStr>) -> std::process::Command {
        let (enter, args) = self.wrap(Path::new(&program), &[]);
        let mut command = std::process::Command::new(enter);
        command.args(args);
        command
    }

    /// The calling thread, and what it starts, is in here until the answer is dropped.
    pub fn enter(&self) -> io::Result<Entered> {
        let before = File::open(OWN)?;
        go(&File::open(&self.link)?)?;
        Ok(Entered { before, _thread: std::marker::PhantomData })
    }
}

/// Brings its thread back when dropped.
pub struct Entered {
    before: File,
    /// Namespaces belong to threads: this must not leave its own.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = go(&self.before);
    }
}

fn go(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}
