//! How often processes call fsync and fdatasync: counted by `perf stat` on the kernel's own tracepoints, which unlike
//! strace does not slow them down.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::site::which;

const EVENTS: [&str; 3] =
    ["syscalls:sys_enter_fdatasync", "syscalls:sys_enter_fsync", "syscalls:sys_enter_sync_file_range"];

pub struct Counting(Child);

/// Begins to count, or says why that is not possible here.
pub fn begin(pids: &[u32], lasting: Duration) -> Result<Counting, String> {
    let perf = which("perf").ok_or("perf is not installed (apt-get install linux-perf)")?;
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let child = Command::new(perf)
        .args(["stat", "-x,", "-e", &EVENTS.join(","), "-p", &pids.join(","), "--", "sleep"])
        .arg(lasting.as_secs_f64().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    child.map(Counting).map_err(|error| format!("perf: {error}"))
}

impl Counting {
    /// fdatasync and fsync calls, and sync_file_range calls.
    pub async fn end(self) -> Result<(u64, u64), String> {
        let output = self.0.wait_with_output().await.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let count = |event: &str| {
            let line = text.lines().find(|line| line.contains(event));
            line.and_then(|line| line.split(',').next()?.parse::<u64>().ok())
        };
        let [fdatasync, fsync, ranges] = EVENTS.map(count);
        match (fdatasync, fsync, ranges) {
            (Some(fdatasync), Some(fsync), ranges) => Ok((fdatasync + fsync, ranges.unwrap_or(0))),
            _ => Err(format!("perf cannot count here: {}", text.lines().next().unwrap_or_default())),
        }
    }
}
