//! A primary and its streaming replica.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::server::{APP, MESH, PASSWORD, Place, Server, hand_over};
use super::{Writer, Written, bin_dir};

/// How the servers of a pair are set up.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Lines for both servers' configuration.
    pub lines: String,
    /// Commits are really on the disk: needed where time is measured, and slower.
    pub fsync: bool,
    /// Nobody is asked for a password. Its proof takes a build without optimization long.
    pub trust: bool,
}

pub struct Pair {
    pub primary: Server,
    pub replica: Server,
    /// Ends after the servers.
    pub directory: TempDir,
}

const LINES: &str = "max_connections = 40
wal_log_hints = on
wal_keep_size = 256MB
wal_retrieve_retry_interval = 100ms
hot_standby = on
shared_buffers = 16MB
max_wal_size = 256MB
log_line_prefix = '%m [%p] %a '";

impl Pair {
    /// `None` where PostgreSQL is not installed: the test is skipped, and says so.
    pub async fn start() -> Option<Self> {
        Self::start_with(&Settings::default()).await
    }

    pub async fn start_with(settings: &Settings) -> Option<Self> {
        let Some(bin_dir) = bin_dir() else {
            eprintln!("SKIPPED: it needs PostgreSQL (Debian: postgresql)");
            return None;
        };
        let places = [Place::here(), Place::here()].map(|place| place.expect("a free port"));
        Some(make(&bin_dir, settings, &places).await.expect("a pair of servers starts"))
    }

    /// Primary and replica where they are told to be.
    pub async fn start_at(bin_dir: &Path, settings: &Settings, places: &[Place; 2]) -> io::Result<Self> {
        make(bin_dir, settings, places).await
    }

    /// A writer that is pointed at the primary.
    pub async fn writer(&self) -> Writer {
        Writer::start(vec![self.primary.address(), self.replica.address()]).await
    }

    /// The numbers that a server holds.
    pub async fn written(server: &Server) -> Written {
        let rows = server.sql("SELECT id FROM ledger").await.expect("it can be read");
        let ids = rows.into_iter().flatten().flatten().filter_map(|id| id.parse().ok());
        Written(ids.collect())
    }
}

async fn make(bin_dir: &Path, settings: &Settings, places: &[Place; 2]) -> io::Result<Pair> {
    let [first, second] = places;
    let directory = tempfile::Builder::new().prefix("mesh-postgres-").tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    hand_over(directory.path())?;
    let password_file = directory.path().join("password");
    fs::write(&password_file, PASSWORD)?;
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o644))?;
    let mut primary = Server::new(bin_dir, directory.path().join("a"), first);
    let method = if settings.trust { "trust" } else { "scram-sha-256" };
    let data = primary.data.display().to_string();
    let password = format!("--pwfile={}", password_file.display());
    let arguments = ["-D", &data, "-U", MESH, "-A", method, &password, "--no-sync", "--no-locale", "-E", "UTF8"];
    primary.run("initdb", &arguments)?;
    let fsync = if settings.fsync { "on" } else { "off" };
    primary.configure(&format!("{LINES}\nfsync = {fsync}\n{}", settings.lines))?;
    let mut hba = fs::File::options().append(true).open(primary.data.join("pg_hba.conf"))?;
    for network in ["127.0.0.0/8", "10.0.0.0/8"] {
        let lines = format!("host all all {network} {method}\nhost replication all {network} {method}\n");
        io::Write::write_all(&mut hba, lines.as_bytes())?;
    }
    primary.place()?;
    primary.start().await?;
    let prepare = format!(
        "CREATE ROLE {APP} LOGIN PASSWORD '{PASSWORD}'; CREATE TABLE ledger (id bigint PRIMARY KEY); \
         ALTER TABLE ledger OWNER TO {APP}"
    );
    primary.sql(&prepare).await?;
    let mut replica = Server::new(bin_dir, directory.path().join("b"), second);
    follow(&primary, &mut replica)?;
    replica.place()?;
    replica.start().await?;
    let pair = Pair { primary, replica, directory };
    pair.until_streaming().await?;
    Ok(pair)
}

/// A base backup of `source`, with the settings that make it its replica.
fn follow(source: &Server, replica: &mut Server) -> io::Result<()> {
    let (host, port) = (source.host.to_string(), source.port.to_string());
    let data = replica.data.display().to_string();
    replica.run(
        "pg_basebackup",
        &["-h", &host, "-p", &port, "-U", MESH, "-D", &data, "-R", "-X", "stream", "-c", "fast", "--no-sync"],
    )
}

impl Pair {
    pub async fn until_streaming(&self) -> io::Result<()> {
        for _ in 0..3000 {
            let streaming = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'";
            if self.replica.value(streaming).await.is_ok_and(|count| count == "1") {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Err(io::Error::other("the replica does not stream"))
    }
}
