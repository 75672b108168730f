//! `mesh-bench`: the mesh beside its peers, on this machine and in the same run. One JSON line a figure on stdout.

mod commit;
mod etcd;
mod footprint;
mod fsyncs;
mod leader_kill;
mod load;
mod many_agents;
mod mesh;
mod pair_alone;
mod procfs;
mod region_loss;
mod report;
mod rtt;
mod site;
mod stats;
mod switchover_gap;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use site::Site;

/// Longest that one bench may take; what it started ends with it.
const BENCH_MAX: Duration = Duration::from_secs(900);

#[derive(Parser)]
struct Args {
    /// Directory with the release builds of mesh-coordinator, mesh-agent and meshctl.
    #[arg(long)]
    programs: PathBuf,
    /// mesh-double, if it is not beside the others.
    #[arg(long)]
    double: Option<PathBuf>,
    /// Data is kept below this directory while the bench runs: a real file system.
    #[arg(long)]
    scratch: PathBuf,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Commits of 256-byte commands by one client and by 64, beside etcd.
    Commit {
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        #[arg(long, default_value_t = 4)]
        seconds: u64,
    },
    /// From SIGKILL of the leader to the next acknowledged commit, beside etcd with the same timeouts.
    LeaderKill {
        #[arg(long, default_value_t = 10)]
        kills: u32,
    },
    /// Memory, idle CPU and size of the programs.
    Footprint {
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Verdict latency and cost with growing numbers of agents.
    ManyAgents {
        #[arg(long, value_delimiter = ',', default_value = "3,100,1000,10000")]
        agents: Vec<usize>,
        #[arg(long, default_value_t = 10)]
        episodes: u32,
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// A region with the primary of a PostgreSQL pair is cut off: until the other region takes a write.
    RegionLoss(region_loss::Options),
    /// The time without a write while a person moves the service.
    SwitchoverGap(switchover_gap::Options),
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let site = Site::new(&args.programs, args.double, &args.scratch)?;
    // Their runtimes and network namespaces are each run's own.
    match &args.bench {
        Bench::RegionLoss(options) => return region_loss::run(&site, options),
        Bench::SwitchoverGap(options) => return switchover_gap::run(&site, options),
        Bench::Commit { .. } | Bench::LeaderKill { .. } | Bench::Footprint { .. } | Bench::ManyAgents { .. } => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let bench = async {
        match args.bench {
            Bench::Commit { rounds, seconds } => commit::run(&site, rounds, Duration::from_secs(seconds)).await,
            Bench::LeaderKill { kills } => leader_kill::run(&site, kills).await,
            Bench::ManyAgents { agents, episodes, seconds } => {
                many_agents::run(&site, &agents, episodes, Duration::from_secs(seconds)).await
            }
            Bench::Footprint { seconds } => footprint::run(&site, Duration::from_secs(seconds)).await,
            Bench::RegionLoss(_) | Bench::SwitchoverGap(_) => Ok(()),
        }
    };
    let ended = runtime.block_on(async { tokio::time::timeout(BENCH_MAX, bench).await });
    runtime.shutdown_background();
    ended?
}
