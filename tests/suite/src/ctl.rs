//! One call of the real `meshctl`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

/// Longer than any command that waits for a run in these tests.
const WITHIN: Duration = Duration::from_secs(300);
/// For so long a command looks for a coordinator that can answer, unless it says otherwise: the machine may be busy.
const LOOKS_SECONDS: &str = "40";

/// What a command said.
#[derive(Clone, Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The command must have ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

pub async fn meshctl(profile: &Path, args: &[&str]) -> Said {
    let program = crate::binaries().join("meshctl");
    let child = tokio::process::Command::new(&program)
        .args(if args.contains(&"--timeout") { [].as_slice() } else { &["--timeout", LOOKS_SECONDS] })
        .args(args)
        .env("MESH_PROFILE", profile)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(WITHIN, child)
        .await
        .unwrap_or_else(|_| panic!("meshctl {args:?} did not end"))
        .unwrap_or_else(|error| panic!("{}: {error}: `cargo build --workspace --bins` first", program.display()));
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
