//! A `meshctl` that goes on while the test does something else: a person at a terminal.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::Said;
use crate::rig::{LONG, POLL};

pub struct Terminal {
    child: Child,
    stdout: Screen,
    stderr: Screen,
}

impl Terminal {
    pub fn open(profile: &Path, args: &[&str]) -> Self {
        let mut child = tokio::process::Command::new(crate::binaries().join("meshctl"))
            .args(args)
            .env("MESH_PROFILE", profile)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("meshctl is built");
        let stdout = Screen::of(child.stdout.take().expect("piped"));
        let stderr = Screen::of(child.stderr.take().expect("piped"));
        Self { child, stdout, stderr }
    }

    /// Waits until these words stand on stderr.
    pub async fn until_shown(&self, words: &str) {
        let deadline = Instant::now() + LONG;
        while !self.stderr.text().contains(words) {
            assert!(Instant::now() < deadline, "{words:?} was never shown: {}", self.stderr.text());
            tokio::time::sleep(POLL).await;
        }
    }

    pub fn ctrl_c(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), Signal::INT).expect("our own child");
    }

    pub async fn ended(mut self) -> Said {
        let status = tokio::time::timeout(LONG, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("meshctl did not end: {}", self.stderr.text()));
        let code = status.expect("our own child").code().unwrap_or(-1);
        Said { code, stdout: self.stdout.whole().await, stderr: self.stderr.whole().await }
    }
}

/// What was written so far.
struct Screen {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Screen {
    fn of(pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&text);
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                written.lock().expect("no writer panics").push_str(&format!("{line}\n"));
            }
        });
        Self { text, reader }
    }

    fn text(&self) -> String {
        self.text.lock().expect("no writer panics").clone()
    }

    async fn whole(self) -> String {
        let _ = self.reader.await;
        self.text.lock().expect("no writer panics").clone()
    }
}
