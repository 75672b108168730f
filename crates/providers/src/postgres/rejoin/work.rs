//! The programs that rebuild a data directory, one after the other.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use mesh_core::manifest::PostgresInstance;
use tokio::process::Command;

use crate::postgres::connect::{LOOKING, Sessions};

/// A base backup of a large database takes hours.
const RUN_MAX: Duration = Duration::from_secs(6 * 3600);
/// As much of what a program said as is told.
const SAID_MAX: usize = 600;
/// Of the server itself: pg_rewind copies the source's over them.
const OWN_FILES: [&str; 3] = ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"];

pub(super) struct Rebuild {
    pub bin_dir: PathBuf,
    pub directory: PathBuf,
    pub source: PostgresInstance,
    pub sessions: Sessions,
    pub password: Option<String>,
    pub authorities: Option<PathBuf>,
}

impl Rebuild {
    /// How it was done.
    pub(super) async fn run(&self) -> Result<&'static str, String> {
        let own = self.own_files().await?;
        let directory = self.directory.display().to_string();
        // The pid file of a server that was killed stays behind.
        if self.program("pg_ctl", &["-D", &directory, "status"]).await.is_ok() {
            self.program("pg_ctl", &["-D", &directory, "-m", "fast", "-w", "-t", "120", "stop"]).await?;
        }
        self.checkpoint().await?;
        let source = format!("--source-server={}", self.conninfo());
        let rewind = self.program("pg_rewind", &["-D", &directory, &source, "-R"]).await;
        let how = match rewind {
            Ok(()) => "pg_rewind",
            Err(refused) => {
                tracing::warn!(reason = refused, "pg_rewind refused, so the data directory is made anew");
                self.base_backup(&directory).await.map_err(|error| format!("{refused}; then {error}"))?;
                "base backup"
            }
        };
        self.restore(own).await?;
        let log = self.directory.join("mesh-rejoin.log").display().to_string();
        match self.program("pg_ctl", &["-D", &directory, "-l", &log, "-w", "-t", "120", "start"]).await {
            Ok(()) => Ok(how),
            Err(reason) => Err(format!("{reason}: {}", tail(&tokio::fs::read(&log).await.unwrap_or_default()))),
        }
    }

    /// Until its first checkpoint after a promotion the source's control file names the old timeline, and pg_rewind would
    /// find nothing to do.
    async fn checkpoint(&self) -> Result<(), String> {
        let session = self.sessions.connect(&self.source, LOOKING).await.map_err(|error| error.text())?;
        session.run("SET statement_timeout = 0").await.map_err(|error| error.text())?;
        session.run("CHECKPOINT").await.map_err(|error| error.text())?;
        Ok(())
    }

    async fn base_backup(&self, directory: &str) -> Result<(), String> {
        let aside = PathBuf::from(format!("{directory}.before-rejoin"));
        if tokio::fs::try_exists(&aside).await.unwrap_or(true) {
            return Err(format!("{} is there from an earlier time: look at it and remove it", aside.display()));
        }
        let moved = |error| format!("{directory} could not be moved aside: {error}");
        tokio::fs::rename(&self.directory, &aside).await.map_err(moved)?;
        let conninfo = self.conninfo();
        self.program("pg_basebackup", &["-D", directory, "-d", &conninfo, "-R", "-X", "stream", "-c", "fast"]).await
    }

    /// The password goes by the environment, where nobody else's `ps` shows it.
    fn conninfo(&self) -> String {
        let quoted = |value: &str| format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"));
        let PostgresInstance { host, port, user, database, .. } = &self.source;
        let tls = match &self.authorities {
            Some(path) => format!("sslmode=verify-full sslrootcert={}", quoted(&path.display().to_string())),
            None => "sslmode=disable".to_owned(),
        };
        format!("host={} port={port} user={} dbname={} {tls}", quoted(host), quoted(user), quoted(database))
    }

    async fn program(&self, name: &str, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new(self.bin_dir.join(name));
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).current_dir("/");
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
        // A server that pg_ctl starts keeps what it inherited open: a pipe would not end.
        let quiet = arguments.last() == Some(&"start");
        if quiet {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let output = tokio::time::timeout(RUN_MAX, command.output())
            .await
            .map_err(|_| format!("{name} did not end within {RUN_MAX:?}"))?
            .map_err(|error| format!("{name} could not be started: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{name} ended with {}: {}", output.status, tail(&output.stderr)))
    }

    async fn own_files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, String> {
        let mut own = Vec::new();
        for name in OWN_FILES {
            let path = self.directory.join(name);
            match tokio::fs::read(&path).await {
                Ok(content) => own.push((name, content)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{}: {error}", path.display())),
            }
        }
        Ok(own)
    }

    /// In place, so that they keep their owner.
    async fn restore(&self, own: Vec<(&'static str, Vec<u8>)>) -> Result<(), String> {
        for (name, content) in own {
            let path = self.directory.join(name);
            tokio::fs::write(&path, content).await.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// The end of what a program said.
fn tail(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let said = said.trim();
    let begin = said.char_indices().rev().nth(SAID_MAX).map_or(0, |(at, _)| at);
    said.get(begin..).unwrap_or_default().to_owned()
}
