//! `mesh-coordinator`: parse, check, build, run, drain.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{CommandFactory, Parser, Subcommand};
use mesh_coordinator::config::Config;
use mesh_coordinator::consensus::Consensus;
use mesh_coordinator::node::{Node, Timing};
use mesh_coordinator::peers::Peers;
use mesh_coordinator::pki::IssuingFiles;
use mesh_coordinator::replicated::MembershipChange;
use mesh_coordinator::{restore, serve};
use mesh_core::access::Role;
use mesh_runtime::shutdown::{DRAIN_DEFAULT, Shutdown};
use mesh_runtime::tls::Identities;
use mesh_runtime::{files, grpc, telemetry};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::{error, info, warn};

const EXIT_FAILED: u8 = 1;
/// EX_CONFIG of sysexits.h.
const EXIT_CONFIG: u8 = 78;
/// How long a stopping leader tries to hand over before the others elect one by themselves.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);

/// One waits for the disk while the other answers.
const CONSENSUS_THREADS: usize = 2;

/// Beside connections: the log's, the state's and the snapshots' files.
const OTHER_FILES: u64 = 1024;

/// Decides: one of the 3 or 5 coordinators of a mesh. It holds no cloud credentials and calls no cloud.
#[derive(Parser)]
#[command(
    name = "mesh-coordinator",
    version,
    after_help = "Exit codes:\n  0   stopped by SIGTERM or SIGINT, after draining\n  1   failed while running\n  2   \
                  wrong arguments\n  78  the configuration or the files it names cannot be used; no port was bound\n  \
                  74  the disk failed or is full; \
                  what was acknowledged is on it: make room, then start again\n  130 a second signal ended it without draining"
)]
struct Args {
    /// Configuration file (TOML).
    #[arg(long, global = true, value_name = "FILE", env = "MESH_COORDINATOR_CONFIG")]
    config: Option<PathBuf>,
    /// Check the configuration and the files it names, then exit.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Offline>,
}

/// What is done while the coordinator does not run.
#[derive(Subcommand)]
enum Offline {
    /// Found a new group from a backup, when the old one is lost. Makes the empty data directory of this node, and only
    /// that: then start this node and the other founders, theirs empty.
    Restore {
        /// The file, from `meshctl coordinator backup`.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// For how long the old group has had no majority: since then it has sent no call. Calls from before are waited
        /// out for ten minutes, counted from there.
        #[arg(long, value_name = "MINUTES", default_value_t = 0)]
        lost_minutes_ago: u64,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(path) = args.config else {
        let missing = clap::error::ErrorKind::MissingRequiredArgument;
        Args::command().error(missing, "--config FILE is needed, or MESH_COORDINATOR_CONFIG").exit();
    };
    let config = match Config::load(&path) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    if let Some(Offline::Restore { from, lost_minutes_ago }) = &args.command {
        let lost_ago = Duration::from_secs(lost_minutes_ago.saturating_mul(60));
        return restore::restore(&config, from, lost_ago).unwrap_or_else(|error| {
            eprintln!("mesh-coordinator: {error:#}");
            ExitCode::from(EXIT_FAILED)
        });
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("starting the runtime")),
    };
    runtime.block_on(async {
        let identities = match usable_identity(&config) {
            Ok(identities) => identities,
            Err(error) => return refuse(&format!("{}: {error:#}", path.display())),
        };
        if args.check_config {
            eprintln!("{}: ok", path.display());
            return ExitCode::SUCCESS;
        }
        let _telemetry = match telemetry::init(&config.log, "mesh-coordinator") {
            Ok(guard) => guard,
            Err(error) => return refuse(&format!("{}: {error}", path.display())),
        };
        match run(config, identities).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        }
    })
}

/// The certificate must be this node's, and the issuing pair, if there is one, must sign for this mesh.
fn usable_identity(config: &Config) -> anyhow::Result<Arc<Identities>> {
    let identities = Identities::load(&config.tls_files(), &config.mesh)?;
    let own = identities.identity();
    if own.role != Role::Coordinator || own.region != config.region {
        bail!(
            "the certificate is for {own}, this node is a coordinator of {}: issue one with `meshctl pki issue`",
            config.region
        );
    }
    if let Some(issuing) = issuing(config) {
        let authority = issuing.load().with_context(|| format!("issuing pair {}", issuing.certificate.display()))?;
        if authority.mesh() != config.mesh {
            bail!("the issuing certificate is of mesh {:?}, not of {:?}", authority.mesh(), config.mesh);
        }
    }
    Ok(identities)
}

fn issuing(config: &Config) -> Option<IssuingFiles> {
    let (certificate, key) = (config.tls.issuing_certificate.clone()?, config.tls.issuing_key.clone()?);
    Some(IssuingFiles { certificate, key })
}

/// Each agent's connection is a file. A lower limit is not fatal: connections beyond it wait.
fn allow_connections() {
    let wanted = (grpc::CONNECTIONS_MAX as u64).saturating_add(OTHER_FILES);
    let files = files::raise_limit(wanted);
    if files < wanted {
        warn!(files, wanted, "few files may be open (LimitNOFILE, ulimit -Hn): so many agents cannot connect");
    }
}

async fn run(config: Config, identities: Arc<Identities>) -> anyhow::Result<()> {
    allow_connections();
    let signals = Shutdown::on_signals(DRAIN_DEFAULT).context("installing signal handlers")?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("binding {}", config.listen))?;
    let beside = Beside::start().context("starting the runtime of consensus")?;
    let consensus = beside.spawn(Consensus::start(config.consensus(), Arc::clone(&identities)));
    let consensus = consensus.await?.context("starting consensus")?;
    let serving = Shutdown::manual(DRAIN_DEFAULT);
    let node = Arc::new(Node {
        mesh: config.mesh.clone(),
        id: config.node_id,
        region: config.region.clone(),
        replica: Arc::<Consensus>::clone(&consensus),
        sessions: Default::default(),
        signals: Default::default(),
        judgements: Default::default(),
        pongs: Default::default(),
        peers: Peers::new(Arc::clone(&identities)),
        timing: Timing { agent_silence: Duration::from_millis(config.timing.agent_silence) },
        draining: serving.token(),
    });
    let routes = serve::routes(&node, Some(consensus.raft_service()), issuing(&config)).await?;
    let mut tasks = serve::tasks(&node);
    serve::renewal(&mut tasks, &node, &identities, issuing(&config));
    info!(node = config.node_id, region = %config.region, listen = %config.listen, "coordinator runs");
    let served = grpc::serve(listener, identities, routes, serving.clone());
    tokio::pin!(served);
    let ended = tokio::select! {
        () = signals.begun() => Ok(()),
        ended = first_end(&mut tasks) => ended,
        served = &mut served => served.context("serving").and_then(|()| bail!("the server ended by itself")),
    };
    if ended.is_ok() {
        // Consensus needs the server until the other node has taken over.
        tokio::select! {
            () = hand_over(&node) => {}
            served = &mut served => served.context("serving")?,
        }
        serving.begin();
        served.await.context("serving")?;
    }
    serving.begin();
    consensus.shutdown().await;
    info!("stopped");
    ended
}

/// The threads of consensus: ten thousand sessions must not delay a heartbeat.
struct Beside(Option<Runtime>);

impl Beside {
    fn start() -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(CONSENSUS_THREADS).thread_name("consensus").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.0.as_ref().expect("it is there until it is dropped").spawn(task)
    }
}

impl Drop for Beside {
    /// A runtime's own drop waits, which is forbidden within another one.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A task that ends before the node drains has failed.
async fn first_end(tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    match tasks.join_next().await {
        Some(Err(error)) => Err(anyhow::Error::new(error).context("a task failed")),
        Some(Ok(())) | None => bail!("a task ended by itself"),
    }
}

/// A leader that stops hands over first: the others need no election timeout to notice.
async fn hand_over(node: &Node) {
    if !node.leads() {
        return;
    }
    let members = node.replica.membership().members;
    let others = members.into_iter().filter(|member| member.voter && member.id != node.id);
    let Some(best) = others.max_by_key(|member| member.matched_index) else { return };
    let handed_over = node.replica.change_membership(MembershipChange::TransferLeader(best.id));
    match timeout(HAND_OVER_MAX, handed_over).await {
        Ok(Ok(())) => info!(to = best.id, "leadership handed over"),
        Ok(Err(error)) => info!(to = best.id, %error, "leadership not handed over"),
        Err(_) => info!(to = best.id, "leadership not handed over in time"),
    }
}

fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("mesh-coordinator: {error}");
    ExitCode::from(EXIT_CONFIG)
}

fn fail(error: &anyhow::Error) -> ExitCode {
    error!(error = %format!("{error:#}"), "failed");
    eprintln!("mesh-coordinator: {error:#}");
    ExitCode::from(EXIT_FAILED)
}
