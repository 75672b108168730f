//! The commands. Each asks the mesh, prints, and says with which exit code.

pub mod arm;
pub mod audit;
pub mod backup;
pub mod coordinator;
pub mod doctor;
pub mod failover;
pub mod follow;
pub mod freeze;
pub mod import;
pub mod keys;
pub mod manifest;
pub mod pki;
pub mod plan;
pub mod record;
pub mod replay;
pub mod run;
pub mod simulate;
pub mod status;
pub mod watch;
pub mod why;

use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory;
use mesh_runtime::client::CallLimits;

use crate::args::{Cli, Command, PlanCommand, TrafficCommand};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::mesh::Mesh;
use crate::output::Output;
use crate::{demo, profile};

#[derive(Clone, Debug)]
pub struct Context {
    pub output: Output,
    pub profile: Option<PathBuf>,
    /// For one call to be answered by any coordinator.
    pub timeout: Duration,
}

impl Context {
    pub fn mesh(&self) -> Result<Mesh, Failure> {
        let per_try = CallLimits::default().per_try.min(self.timeout);
        let limits = CallLimits { per_try, total: self.timeout };
        Ok(Mesh::open(&profile::load(self.profile.as_deref())?)?.with_limits(limits))
    }
}

pub async fn dispatch(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Doctor(args) => doctor::doctor(context, &args).await,
        Command::Import(args) => import::import(context, &args).await,
        Command::Arm(args) => arm::arm(context, &args).await,
        Command::Disarm(args) => arm::disarm(context, &args).await,
        Command::Validate(file) => manifest::validate(context, &file.file),
        Command::Schema => manifest::schema(context),
        Command::Apply(args) => manifest::apply(context, &args).await,
        Command::Status(args) => status::status(context, args.stale).await,
        Command::Service { service } => status::service(context, &service).await,
        Command::Plan { plan: PlanCommand::Failover { target, save } } => {
            plan::failover(context, &target, save.as_deref()).await
        }
        Command::Failover(args) if args.dry_run => plan::dry_run(context, &args.target).await,
        Command::Failover(args) => failover::failover(context, &args).await,
        Command::Traffic { traffic: TrafficCommand::Setup { services, yes } } => {
            failover::traffic_setup(context, &services, yes).await
        }
        Command::Rejoin { region, services, yes } => failover::rejoin(context, &region, &services, yes).await,
        Command::Watch { run: Some(run) } => run::watch(context, &run).await,
        Command::Watch { run: None } => watch::watch(context).await,
        Command::Why { run } => why::why(context, &run).await,
        Command::WhyNot { service, to } => why::why_not(context, &service, to.as_ref()).await,
        Command::Freeze { service, lasting, reason } => {
            freeze::freeze(context, service.as_ref(), lasting, &reason).await
        }
        Command::Unfreeze { service } => freeze::unfreeze(context, service.as_ref()).await,
        Command::Ack { service } => freeze::acknowledge(context, &service).await,
        Command::Pause { run } => run::pause(context, &run).await,
        Command::Resume { run } => run::resume(context, &run).await,
        Command::Retry { run } => run::retry(context, &run).await,
        Command::Abort { run, reason, yes } => run::abort(context, &run, &reason, yes).await,
        Command::Approve(args) => keys::approve(context, &args).await,
        Command::History { service, limit } => run::history(context, service.as_ref(), limit).await,
        Command::Report { run } => run::report(context, &run).await,
        Command::Keys { keys } => keys::keys(context, keys).await,
        Command::Approval { approval } => keys::approval(context, approval),
        Command::Audit { audit } => audit::audit(context, audit).await,
        Command::Coordinator { coordinator } => coordinator::coordinator(context, coordinator).await,
        Command::Pki { pki } => pki::pki(context, pki),
        Command::Record(args) => record::record(context, &args).await,
        Command::Replay(args) => replay::replay(context, &args),
        Command::Simulate(args) => simulate::simulate(context, &args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "meshctl", &mut std::io::stdout());
            Ok(Exit::Ok)
        }
        Command::Demo(args) => demo::demo(context, args).await,
        Command::DemoChild { command } => demo::child::become_child(&command),
    }
}
