//! Providers of two regions, and runs that they carry out as an agent would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_core::execute::{self, CallResult, Job, Next, Observation, Progress};
use mesh_core::ids::{Generation, IntentSeq, RegionId, RunId, ServiceId, StepId, Token};
use mesh_core::manifest::PostgresInstance;
use mesh_core::plan::{Action, Retry};
use mesh_core::run::{Direction, Outcome, OutcomeResult};
use mesh_providers::{AwsConfig, PostgresConfig, Provider, Providers, ProvidersConfig};
use mesh_support::postgres::{MESH, PASSWORD, Pair, Server, Settings};
use serde_json::Value;

pub const EAST: &str = "us-east-1";
/// No test needs as many looks.
const LOOKS_MAX: u32 = 2000;

pub struct Rig {
    pub pair: Pair,
    pub providers: Arc<Providers>,
    pub east: PostgresInstance,
    pub west: PostgresInstance,
    pub credentials: PathBuf,
}

impl Rig {
    pub async fn start() -> Option<Self> {
        Self::start_with(&Settings::default(), PostgresConfig::default()).await
    }

    pub async fn start_with(settings: &Settings, config: PostgresConfig) -> Option<Self> {
        let pair = Pair::start_with(settings).await?;
        let credentials = pair.directory.path().join("credentials");
        std::fs::create_dir_all(&credentials).expect("a directory");
        std::fs::write(credentials.join("password"), format!("{PASSWORD}\n")).expect("a file");
        let providers = providers(&credentials, config).await;
        let (east, west) = (instance(&pair.primary), instance(&pair.replica));
        Some(Self { pair, providers, east, west, credentials })
    }

    pub fn run(&self, generation: u64) -> Run {
        self.run_by(&self.providers, generation)
    }

    pub fn run_by(&self, providers: &Arc<Providers>, generation: u64) -> Run {
        Run {
            providers: Arc::clone(providers),
            generation,
            intent: generation * 100,
            from: self.east.clone(),
            to: self.west.clone(),
            evidence: BTreeMap::new(),
        }
    }

    /// Other agents: they share no session.
    pub async fn other_providers(&self) -> Arc<Providers> {
        providers(&self.credentials, PostgresConfig::default()).await
    }
}

pub async fn providers(credentials: &Path, postgresql: PostgresConfig) -> Arc<Providers> {
    let aws = AwsConfig { call_timeout: Duration::from_secs(2), ..AwsConfig::default() };
    let config = ProvidersConfig {
        region: RegionId::new(EAST).expect("a region"),
        aws,
        nameservers: Vec::new(),
        route53_nameservers: Vec::new(),
        credentials_dir: Some(credentials.to_owned()),
        postgresql,
        hooks: Default::default(),
    };
    Providers::new(config).await.expect("the configuration is right")
}

pub fn instance(server: &Server) -> PostgresInstance {
    PostgresInstance {
        host: server.host.to_string(),
        port: server.port,
        database: "postgres".to_owned(),
        user: MESH.to_owned(),
        password_file: Some("password".to_owned()),
        ca_file: None,
        data_directory: Some(server.data.display().to_string()),
    }
}

/// One generation at work: what is done is evidence for what follows.
pub struct Run {
    pub providers: Arc<Providers>,
    pub generation: u64,
    pub intent: u64,
    pub from: PostgresInstance,
    pub to: PostgresInstance,
    pub evidence: BTreeMap<StepId, String>,
}

impl Run {
    pub async fn look(&mut self) -> Value {
        let action = Action::PostgresCheckReplica { instance: self.to.clone(), promoted_ok: false };
        self.done(action).await
    }

    pub async fn fence(&mut self) -> Value {
        self.done(Action::PostgresFence { instance: self.from.clone() }).await
    }

    pub async fn unfence(&mut self) -> Value {
        self.done(Action::PostgresUnfence { instance: self.from.clone() }).await
    }

    pub async fn await_caught_up(&mut self) -> Value {
        self.done(Action::PostgresAwaitCaughtUp { instance: self.to.clone() }).await
    }

    pub async fn promote(&mut self) -> Value {
        self.done(Action::PostgresPromote { instance: self.to.clone() }).await
    }

    pub async fn rejoin(&mut self) -> Value {
        let (instance, source) = (self.from.clone(), self.to.clone());
        self.done(Action::PostgresRejoin { instance, source }).await
    }

    pub async fn switch_over(&mut self) {
        self.look().await;
        self.fence().await;
        self.await_caught_up().await;
        self.promote().await;
    }

    /// Carries a step out and keeps its read-back.
    pub async fn done(&mut self, action: Action) -> Value {
        let job = self.job(action);
        let outcome = carry_out(&self.providers, &job).await;
        assert_eq!(outcome.result, OutcomeResult::Done, "{}: {}", job.step, outcome.detail);
        self.evidence.insert(job.step, outcome.read_back.clone());
        serde_json::from_str(&outcome.read_back).expect("a read-back is JSON")
    }

    pub fn job(&mut self, action: Action) -> Job {
        self.intent += 1;
        let step = format!("{}-db", action.name());
        Job {
            service: ServiceId::new("orders").expect("a name"),
            run: RunId::new(format!("orders-g{}", self.generation)).expect("a name"),
            key: format!("orders-g{}/{step}", self.generation),
            step: StepId::new(step).expect("a name"),
            direction: Direction::Forward,
            token: Token { generation: Generation(self.generation), intent: IntentSeq(self.intent) },
            region: RegionId::new(EAST).expect("a region"),
            action,
            time_left: Duration::from_secs(30),
            retry: Retry {
                attempts_max: 8,
                backoff_min: Duration::from_millis(10),
                backoff_max: Duration::from_millis(100),
            },
            maybe_sent_since: None,
            mesh_time: None,
            retried_by_person: false,
            evidence: self.evidence.clone(),
        }
    }
}

/// As the agent's executor does, without its journal.
pub async fn carry_out(providers: &Providers, job: &Job) -> Outcome {
    let mut progress = Progress::default();
    let (started, mut last_call) = (Instant::now(), None::<Instant>);
    for _ in 0..LOOKS_MAX {
        let looked = Instant::now();
        let observation = providers.observe(job, progress.accepted.as_deref()).await;
        progress.look_took = looked.elapsed();
        progress.elapsed = started.elapsed();
        progress.since_call = last_call.map(|at| at.elapsed()).unwrap_or_default();
        progress.unreadable = match observation {
            Observation::Unreadable { .. } => progress.unreadable + 1,
            _ => 0,
        };
        match execute::next(job, &progress, &observation, true) {
            Next::Finish(outcome) => return outcome,
            Next::Wait(pause) => tokio::time::sleep(pause).await,
            Next::Call { before } => {
                progress.record_call_started(&before);
                let result = providers.call(job, &before).await;
                last_call = Some(Instant::now());
                progress.record_call_ended(result);
            }
        }
    }
    panic!("{} comes to no end", job.step);
}

/// One call, without what stands around it: as an executor that wakes late would send it.
pub async fn call(providers: &Providers, job: &Job) -> CallResult {
    providers.call(job, "{}").await
}

pub async fn observe(providers: &Providers, job: &Job) -> Observation {
    providers.observe(job, None).await
}
