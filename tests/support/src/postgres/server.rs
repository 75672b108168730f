//! One server.

use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::binaries;

/// The superuser that stands for the mesh.
pub const MESH: &str = "mesh";
/// A role without privileges that writes, as an application does.
pub const APP: &str = "app";
/// Of both.
pub const PASSWORD: &str = "a password for tests";

const READY_WITHIN: Duration = Duration::from_secs(60);
const END_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Where a server listens.
#[derive(Clone, Debug)]
pub struct Place {
    pub host: Ipv4Addr,
    pub port: u16,
    /// The network namespace in which that address is.
    pub namespace: Option<PathBuf>,
}

impl Place {
    /// An address of its own on this machine, so that no other test takes its port between two starts.
    pub fn here() -> io::Result<Self> {
        let host = own_address();
        let port = TcpListener::bind((host, 0))?.local_addr()?.port();
        Ok(Self { host, port, namespace: None })
    }
}

pub struct Server {
    pub bin_dir: PathBuf,
    pub data: PathBuf,
    pub host: Ipv4Addr,
    pub port: u16,
    namespace: Option<PathBuf>,
    child: Option<Child>,
}

fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | (process[2] & 63), process[3], low.wrapping_add(high).clamp(1, 254))
}

impl Server {
    pub(super) fn new(bin_dir: &Path, data: PathBuf, place: &Place) -> Self {
        let Place { host, port, namespace } = place.clone();
        Self { bin_dir: bin_dir.to_owned(), data, host, port, namespace, child: None }
    }

    pub fn address(&self) -> SocketAddr {
        (self.host, self.port).into()
    }

    /// Appends to its own configuration.
    pub fn configure(&self, lines: &str) -> io::Result<()> {
        let mut file = File::options().append(true).open(self.data.join("postgresql.conf"))?;
        writeln!(file, "{lines}")
    }

    pub(super) fn place(&self) -> io::Result<()> {
        self.configure(&format!(
            "listen_addresses = '{}'\nport = {}\nunix_socket_directories = ''",
            self.host, self.port
        ))
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> io::Result<()> {
        let output = binaries::program(&self.bin_dir, program, true, self.namespace.as_deref())
            .args(arguments)
            .env("PGPASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))))
    }

    /// Starts it and waits until it answers.
    pub async fn start(&mut self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let child = binaries::program(&self.bin_dir, "postgres", true, self.namespace.as_deref())
            .arg("-D")
            .arg(&self.data)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        let started = Instant::now();
        while started.elapsed() < READY_WITHIN {
            if let Ok(client) = self.connect(MESH).await {
                drop(client);
                return Ok(());
            }
            if let Some(Some(status)) = self.child.as_mut().map(Child::try_wait).transpose()? {
                let said = std::fs::read_to_string(self.log()).unwrap_or_default();
                return Err(io::Error::other(format!("postgres ended with {status}: {said}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let said = std::fs::read_to_string(self.log()).unwrap_or_default();
        Err(io::Error::other(format!("postgres does not answer: {said}")))
    }

    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    pub async fn connect(&self, user: &str) -> io::Result<Client> {
        connect(self.address(), user).await
    }

    /// As the mesh's superuser; the rows, as text.
    pub async fn sql(&self, statements: &str) -> io::Result<Vec<Vec<Option<String>>>> {
        rows(&self.connect(MESH).await?, statements).await
    }

    /// The first value of the first row.
    pub async fn value(&self, statement: &str) -> io::Result<String> {
        let rows = self.sql(statement).await?;
        Ok(rows.into_iter().flatten().flatten().next().unwrap_or_default())
    }

    /// SIGKILL: as if the machine was lost. Waits until the process is gone.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// A fast shutdown: sessions are ended, a last checkpoint is sent to the replica.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Neither answers nor breaks connections until [`Server::thaw`]: as a stopped machine.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let Some(mut child) = self.child.take() else { return };
        let started = Instant::now();
        while started.elapsed() < END_WITHIN {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Ends a server that something else has started over the same data. The pid file may be stale, and its number
    /// somebody else's by now: the process has to name the directory.
    fn end_foreign(&self) {
        let pid_file = std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        let Some(number) = pid_file.lines().next().and_then(|line| line.trim().parse::<i32>().ok()) else { return };
        let command = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let ours = String::from_utf8_lossy(&command).contains(&self.data.display().to_string());
        if let Some(pid) = Pid::from_raw(number).filter(|_| ours) {
            let _ = rustix::process::kill_process(pid, Signal::QUIT);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.thaw();
            // SIGQUIT: at once, without a checkpoint; its children end too.
            self.end(Signal::QUIT);
        }
        // A rejoin has started another one meanwhile.
        self.end_foreign();
    }
}

pub(super) async fn connect(at: SocketAddr, user: &str) -> io::Result<Client> {
    let mut config = Config::new();
    config.user(user).password(PASSWORD).dbname("postgres").application_name("a test");
    let stream = tokio::net::TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(client)
}

pub(super) async fn rows(client: &Client, statements: &str) -> io::Result<Vec<Vec<Option<String>>>> {
    let mut rows = Vec::new();
    for message in client.simple_query(statements).await.map_err(io::Error::other)? {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect());
        }
    }
    Ok(rows)
}

/// Hands a directory to the user that PostgreSQL runs as.
pub(super) fn hand_over(path: &Path) -> io::Result<()> {
    match binaries::other_user() {
        Some((user, group)) => chown(path, Some(user), Some(group)),
        None => Ok(()),
    }
}
