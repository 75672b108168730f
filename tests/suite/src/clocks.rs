//! A wall clock of its own for every process of a mesh, which a test may step: `libfaketime`, where it is installed. Of the
//! other clocks, those that count time, it touches none.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::Rig;

/// Where Debian puts it, and others do.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];
const TRUE: &str = "+0";

/// Why no clock can be stepped here, if none can.
pub fn skip_reason() -> Option<&'static str> {
    library().is_none().then_some("libfaketime is not installed (Debian: libfaketime)")
}

/// Of the mesh's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// As this machine's.
    Ours,
    /// Right at first, and each may be stepped.
    Own,
}

impl Clocks {
    /// Program and arguments that run this program with such a clock.
    pub(crate) fn wrap(self, dir: &Path, name: &str, program: &Path, args: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
        match self {
            Self::Ours => (program.to_owned(), args),
            Self::Own => wrap(dir, name, program, args),
        }
    }
}

fn library() -> Option<&'static str> {
    LIBRARIES.into_iter().find(|path| Path::new(path).is_file())
}

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.clock"))
}

fn wrap(dir: &Path, name: &str, program: &Path, args: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
    let library = library().expect("asked before");
    let own = file(dir, name);
    std::fs::write(&own, TRUE).expect("a file in our own directory");
    let set = |key: &str, value: &Path| {
        let mut word = OsString::from(format!("{key}="));
        word.push(value);
        word
    };
    let mut all = vec![set("LD_PRELOAD", Path::new(library)), set("FAKETIME_TIMESTAMP_FILE", &own)];
    all.extend(["FAKETIME_NO_CACHE=1".into(), "FAKETIME_DONT_FAKE_MONOTONIC=1".into()]);
    all.push(program.as_os_str().to_owned());
    all.extend(args);
    (PathBuf::from("env"), all)
}

impl Rig {
    /// From now on the process's wall clock is so many seconds off.
    pub fn step_clock(&self, name: &str, seconds: i64) {
        let own = file(&self.stand.layout.dir, name);
        assert!(own.is_file(), "{name} has no clock of its own");
        // At once, whoever reads meanwhile.
        let new = own.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}")).and_then(|()| std::fs::rename(&new, &own)).expect("a clock");
    }

    /// Does it read a clock of its own, and is that off?
    pub fn clock_is_stepped(&self, name: &str) -> bool {
        let process = self.stand.mesh.all.iter().find(|process| process.name == name);
        let pid = process.unwrap_or_else(|| panic!("no process {name}")).pid();
        let reads = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default().contains("libfaketime");
        reads && std::fs::read_to_string(file(&self.stand.layout.dir, name)).is_ok_and(|now| now != TRUE)
    }
}
