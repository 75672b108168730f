use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use mesh_double::{Binding, Running, WorldFile};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

/// A strict double of the AWS services that a failover needs, for tests and the demo.
#[derive(Parser)]
#[command(name = "mesh-double", version)]
struct Arguments {
    /// What exists in the pretended account (JSON).
    #[arg(long)]
    world: PathBuf,
    /// Written, whole, when every listener stands: their addresses (JSON).
    #[arg(long)]
    ready_file: PathBuf,
    #[arg(long, default_value = "127.0.0.1")]
    bind_ip: IpAddr,
    /// The name server listens there instead.
    #[arg(long)]
    dns_ip: Option<IpAddr>,
    /// REGION=IP: the application and the databases of this region listen there instead.
    #[arg(long, value_parser = workload)]
    workload_ip: Vec<(String, IpAddr)>,
    /// End when standard input does, so that no double outlives the test that started it.
    #[arg(long)]
    until_stdin_closes: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(filter).init();
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let workloads = arguments.workload_ip.into_iter().collect();
    let binding = Binding { ip: arguments.bind_ip, dns: arguments.dns_ip, workloads };
    let mut running = Running::start_at(&read(&arguments.world)?, binding).await?;
    announce(&arguments.ready_file, &running)?;
    tracing::info!(aws = running.addresses.aws, dns = %running.addresses.dns, "the double stands");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
        () = stdin_closed(arguments.until_stdin_closes) => {}
        () = running.wait() => anyhow::bail!("a listener ended"),
    }
    // Standard input may be blocked in a read, which would hold up an orderly end of the runtime.
    std::process::exit(0)
}

fn workload(text: &str) -> Result<(String, IpAddr), String> {
    let (region, ip) = text.split_once('=').ok_or("must be REGION=IP")?;
    Ok((region.to_owned(), ip.parse().map_err(|error| format!("{ip}: {error}"))?))
}

fn read(path: &Path) -> anyhow::Result<WorldFile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no world file", path.display()))
}

fn announce(path: &Path, running: &Running) -> anyhow::Result<()> {
    let beside = path.with_extension("writing");
    let text = serde_json::to_string_pretty(&running.addresses)?;
    std::fs::write(&beside, text).with_context(|| format!("writing {}", beside.display()))?;
    std::fs::rename(&beside, path).with_context(|| format!("writing {}", path.display()))
}

async fn stdin_closed(watched: bool) {
    if !watched {
        return std::future::pending().await;
    }
    let mut input = tokio::io::stdin();
    let mut byte = [0u8; 64];
    while input.read(&mut byte).await.is_ok_and(|length| length > 0) {}
}
