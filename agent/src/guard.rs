//! Fence on stop, on the writer's own host: a small process under a systemd watchdog that lives only while the region may
//! write. The writer's unit is bound to it (`BindsTo=`), so systemd stops the writer when it ends, however it ends.
//!
//! It tells systemd `READY=1` with the first yes of the lease endpoint, `WATCHDOG=1` with every further one, and exits with
//! the first no or missing answer. If it hangs or is stopped (SIGSTOP), systemd misses the watchdog and kills it. What it
//! does not cover: a host whose systemd or kernel hangs while the writer goes on (that is a hardware watchdog's,
//! `RuntimeWatchdogSec=`), and a writer that outlives its unit's stop; `TimeoutStopSec=` of the writer is part of the
//! reaction time that the manifest declares.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Where systemd listens.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";
/// Of an HTTP status line: `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

#[derive(Clone, Debug, clap::Args)]
pub struct GuardArgs {
    /// `host:port` of the lease endpoint of an agent of this region, best on this host.
    #[arg(long, value_name = "HOST:PORT")]
    endpoint: String,
    /// The service that is written here.
    #[arg(long)]
    service: mesh_core::ids::ServiceId,
    /// Milliseconds between two questions, and longest time of each.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    every_ms: u64,
}

/// Returns when the region may not write any more: the process must end then.
pub async fn run(args: &GuardArgs) -> anyhow::Result<()> {
    let every = Duration::from_millis(args.every_ms);
    let systemd = Systemd::from_environment()?;
    while let Err(reason) = ask(args, every).await {
        systemd.tell(&format!("STATUS=waiting: {reason}"))?;
        sleep(every).await;
    }
    systemd.tell("READY=1\nWATCHDOG=1\nSTATUS=the region may write")?;
    loop {
        sleep(every).await;
        if let Err(reason) = ask(args, every).await {
            systemd.tell("STOPPING=1")?;
            anyhow::bail!("{} may not be written here any more: {reason}", args.service);
        }
        systemd.tell("WATCHDOG=1")?;
    }
}

/// An error is a no.
async fn ask(args: &GuardArgs, within: Duration) -> Result<(), String> {
    match timeout(within, status(args)).await {
        Ok(Ok(status)) if status.ends_with(" 200") => Ok(()),
        Ok(Ok(status)) => Err(status),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {within:?}")),
    }
}

async fn status(args: &GuardArgs) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(&args.endpoint).await?;
    let request =
        format!("GET /v1/lease/{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", args.service, args.endpoint);
    stream.write_all(request.as_bytes()).await?;
    let mut line = [0; STATUS_LINE];
    stream.read_exact(&mut line).await?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// The supervisor, if there is one.
struct Systemd(Option<(UnixDatagram, SocketAddr)>);

impl Systemd {
    fn from_environment() -> anyhow::Result<Self> {
        let Some(name) = std::env::var_os(SOCKET_VARIABLE) else { return Ok(Self(None)) };
        let name = name.into_string().ok().with_context(|| format!("{SOCKET_VARIABLE} is no text"))?;
        let address = match name.strip_prefix('@') {
            Some(hidden) => SocketAddr::from_abstract_name(hidden),
            None => SocketAddr::from_pathname(PathBuf::from(&name)),
        };
        let address = address.with_context(|| format!("{SOCKET_VARIABLE}={name}"))?;
        Ok(Self(Some((UnixDatagram::unbound().context("a socket for systemd")?, address))))
    }

    fn tell(&self, state: &str) -> anyhow::Result<()> {
        let Some((socket, address)) = &self.0 else { return Ok(()) };
        socket.send_to_addr(state.as_bytes(), address).context("telling systemd")?;
        Ok(())
    }
}
