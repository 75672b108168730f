//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use mesh_core::ids::{KeyId, RegionId, RunId, ServiceId, StepId};

pub mod admin;
pub mod demo;
pub mod first_hour;
pub mod replay;
pub mod simulate;

const ABOUT: &str = "Moves services between regions, and shows what the mesh knows and did.";

/// Operates a failover mesh.
#[derive(Debug, Parser)]
#[command(name = "meshctl", version, about = ABOUT, after_help = crate::exit::table(), max_term_width = 110, propagate_version = true)]
pub struct Cli {
    /// How to reach the mesh: a TOML file with its name, its coordinators and your certificate.
    #[arg(long, global = true, value_name = "FILE", env = "MESH_PROFILE")]
    pub profile: Option<PathBuf>,

    /// Print one JSON value on standard output instead of text.
    #[arg(long, global = true)]
    pub json: bool,

    /// How long to look for a coordinator that can answer. The default outlasts the election of a new leader.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what is missing or wrong, in the order in which to mend it, each with the command that mends it.
    ///
    /// From your own profile and certificate up to whether each service could fail over now, as the agents see it.
    /// Changes nothing. Useful with half of the mesh dead, and without a profile. Exit code 1 if something is wrong.
    Doctor(first_hour::Doctor),
    /// Draft a manifest from what exists: databases, tables, clusters, topics and records of two regions.
    ///
    /// What cannot be known is left as a marked blank, at which `meshctl validate` points.
    Import(first_hour::Import),
    /// Check a manifest file without a mesh; lists every error with line, column and a hint.
    Validate(ManifestFile),
    /// Print the JSON Schema of manifests, for editors.
    Schema,
    /// Store a manifest: shows what changes against the stored version, asks, then commits it.
    Apply(Apply),
    /// Let the mesh act for a service: shows what would stop a failover now, and asks. A new service is only observed.
    Arm(first_hour::Arm),
    /// Let the mesh only observe a service again; no failover can be started then.
    Disarm(first_hour::Arm),
    /// Show services, regions, agents and coordinators.
    Status(Status),
    /// Show one service: version, active region, write authority, health as the agents see it.
    Service { service: ServiceId },
    /// Show what a command would do, and change nothing.
    Plan {
        #[command(subcommand)]
        plan: PlanCommand,
    },
    /// Move services to another region: shows the plan, asks, carries it out with live progress.
    ///
    /// Without --service, every service that can move there moves, in waves and in dependency order.
    /// Giving the same command again attaches to the run that is going. Ctrl-C stops watching, not the run.
    Failover(Failover),
    /// Traffic records.
    Traffic {
        #[command(subcommand)]
        traffic: TrafficCommand,
    },
    /// Make the former PostgreSQL primaries of a region replicas again, by pg_rewind or a base backup.
    Rejoin {
        region: RegionId,
        /// Only these services; can be given several times.
        #[arg(long = "service", value_name = "SERVICE")]
        services: Vec<ServiceId>,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Follow a run until it ends; without one, what the mesh makes of its services and does about them. Ctrl-C stops
    /// watching, not the run.
    Watch { run: Option<RunId> },
    /// Show what a run came of: who saw what since when, and which rule let the mesh act.
    Why { run: RunId },
    /// Show what the mesh makes of a service now: which rule keeps it from acting by itself, and what is still missing.
    WhyNot {
        service: ServiceId,
        /// As if it had to go there.
        #[arg(long, value_name = "REGION")]
        to: Option<RegionId>,
    },
    /// Let nothing outside be changed for a service, or for any: neither by itself nor by a run that is going.
    Freeze {
        /// Without one: every service.
        service: Option<ServiceId>,
        /// For how long: `90s`, `30m`, `2h`, `1d`.
        #[arg(long = "for", value_name = "TIME", value_parser = lasting)]
        lasting: Duration,
        /// Why; it is kept in the audit and shown to everyone.
        #[arg(long)]
        reason: String,
    },
    /// End a freeze before its time.
    Unfreeze {
        /// Without one: the freeze of every service. Those of single services stay.
        service: Option<ServiceId>,
    },
    /// Say that you have looked at what was done automatically: the service may move by itself again.
    Ack { service: ServiceId },
    /// Stop a run before its next change. Prints which executors have not confirmed yet.
    Pause { run: RunId },
    /// Let a paused run go on.
    Resume { run: RunId },
    /// Give the failed steps of a held run a new chance.
    Retry { run: RunId },
    /// End a run and undo what can be undone, in reverse order.
    Abort {
        run: RunId,
        /// Why; it is kept in the run and in the audit.
        #[arg(long)]
        reason: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Sign that a held run may go on although its old region is not proven closed, or without one of its steps. Needs
    /// two people with enrolled keys.
    Approve(Approve),
    /// List runs, newest first.
    History {
        /// Only this service.
        #[arg(long)]
        service: Option<ServiceId>,
        /// At most this many (1 to 1000).
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show what a run did: what took how long, what was read back, what was lost, who approved.
    Report { run: RunId },
    /// Answer from a manifest alone what would happen: how long it would take, what would be lost, which rule would stop it,
    /// and what if a second thing fails.
    ///
    /// Plays the scenario many times with the decision code of the mesh in a simulated world. Contacts nothing.
    Simulate(simulate::Simulate),
    /// Write down what the mesh sees of a service, once a second, for `replay`. Changes nothing.
    Record(replay::Record),
    /// Put a recording through a changed policy: each decision that would differ, with the rules and who saw what.
    ///
    /// Contacts nothing. Without -f it shows how well the recorded policy, replayed, agrees with what was decided.
    Replay(replay::Replay),
    /// Keys whose signatures count for two-person decisions.
    Keys {
        #[command(subcommand)]
        keys: admin::KeysCommand,
    },
    /// Sign an approval for a change of keys or of membership.
    Approval {
        #[command(subcommand)]
        approval: admin::ApprovalCommand,
    },
    /// The hash-chained record of every decision.
    Audit {
        #[command(subcommand)]
        audit: admin::AuditCommand,
    },
    /// The coordinators and their membership.
    Coordinator {
        #[command(subcommand)]
        coordinator: admin::CoordinatorCommand,
    },
    /// Make a mesh's certificate authority and issue certificates.
    Pki {
        #[command(subcommand)]
        pki: admin::PkiCommand,
    },
    /// Print a completion script: `meshctl completions bash > /etc/bash_completion.d/meshctl`.
    Completions { shell: clap_complete::Shell },
    /// A whole mesh on this machine, against a stand-in for AWS. Needs no cloud and no account.
    Demo(demo::Demo),
    /// Runs a program that must not outlive this one.
    #[command(hide = true)]
    DemoChild {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
}

#[derive(Debug, Args)]
pub struct ManifestFile {
    /// The manifest (YAML, one service).
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    pub manifest: ManifestFile,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Status {
    /// Answer from one coordinator's own state, without a quorum. It may be out of date, and says so.
    #[arg(long)]
    pub stale: bool,
}

#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// The plan of a failover: steps, preconditions, proofs, undo, expected loss, hash.
    Failover {
        #[command(flatten)]
        target: Target,
        /// Keep the plan of the one service in this file, for `failover --plan`: what two people sign names its hash.
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct Target {
    /// The region to move to.
    #[arg(long, value_name = "REGION")]
    pub to: RegionId,
    /// Only services that are active there.
    #[arg(long, value_name = "REGION")]
    pub from: Option<RegionId>,
    /// Only these services; can be given several times.
    #[arg(long = "service", value_name = "SERVICE")]
    pub services: Vec<ServiceId>,
}

#[derive(Debug, Args)]
pub struct Failover {
    #[command(flatten)]
    pub target: Target,
    /// Ask the providers whether each step could run now, and change nothing. Exit code 3 if something would stop it.
    #[arg(long, conflicts_with_all = ["yes", "no_wait"])]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Start the runs and return; `meshctl watch` follows them. With several waves only the first is started.
    #[arg(long)]
    pub no_wait: bool,
    /// Start exactly this plan, as `plan failover --save` kept it.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub plan: Option<PathBuf>,
    /// Start it though the service is frozen, and go on until a later freeze: why. The reason is kept in the audit.
    #[arg(long, value_name = "REASON", conflicts_with = "dry_run")]
    pub despite_freeze: Option<String>,
    /// An approval that sets a safety rule aside for the plan of `--plan`; two of different people for each rule.
    #[arg(long = "approval", value_name = "FILE", requires = "plan")]
    pub approvals: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum TrafficCommand {
    /// Create the fencing token of each traffic record, adopting the records as they are. Once per service, before its
    /// first failover.
    Setup {
        /// Only these services; can be given several times.
        #[arg(long = "service", value_name = "SERVICE")]
        services: Vec<ServiceId>,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct Approve {
    pub run: RunId,
    /// Let a held run go on without this step, which stays as it is. Not for a look at a replica, a fence, a grant or a
    /// promotion.
    #[arg(long, value_name = "STEP")]
    pub skip: Option<StepId>,
    /// Your private key, from `meshctl keys generate`.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The name the key was enrolled under, if not that in the file.
    #[arg(long, value_name = "KEY")]
    pub key_name: Option<KeyId>,
    /// How long the signature counts.
    #[arg(long, value_name = "MINUTES", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub minutes: u64,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// `90s`, `30m`, `2h`, `1d`.
fn lasting(given: &str) -> Result<Duration, String> {
    let (number, unit) = given.split_at_checked(given.len().saturating_sub(1)).unwrap_or(("", given));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => 0u64,
    };
    let lasting = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds)).filter(|all| *all > 0);
    lasting.map(Duration::from_secs).ok_or_else(|| "a whole number with s, m, h or d, for instance 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        let seconds = |given| lasting(given).map(|lasting| lasting.as_secs()).ok();
        assert_eq!((seconds("90s"), seconds("30m"), seconds("2h")), (Some(90), Some(1800), Some(7200)));
        for bad in ["", "h", "2", "0h", "-1h", "2 h", "2é", "99999999999999999999d"] {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
    }
}
