//! A running agent: all parts wired together, so that the binary and tests start the same thing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh_providers::probe::Asks;
use mesh_providers::{Provider, Providers, Surveyor, Surveys};
use mesh_runtime::backoff::os_seed;
use mesh_runtime::client::MeshClient;
use mesh_runtime::grpc::Listener;
use mesh_runtime::renew;
use mesh_runtime::shutdown::Shutdown;
use mesh_runtime::tls::Identities;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::{Clock, SystemClock};
use crate::config::AgentConfig;
use crate::executor::{Executor, Settings};
use crate::gate::Gate;
use crate::journal::{Journal, JournalLog, Log};
use crate::lease::Leases;
use crate::lease::serving::Serving;
use crate::prober::board::Board;
use crate::prober::slip::Slip;
use crate::prober::{Prober, Probes};
use crate::session::{self, Link};
use crate::timers::Timers;

/// The provider's own bound ends a call first; this ends one that has none.
const CALL_MARGIN: Duration = Duration::from_secs(5);
/// One observation may be several calls, and a verification several requests.
const OBSERVE_DEADLINE: Duration = Duration::from_secs(60);

/// What is asked of the outside: the providers in production, scripts in tests.
#[derive(Clone)]
pub struct Outside {
    pub provider: Arc<dyn Provider>,
    pub probes: Arc<dyn Probes>,
    pub surveys: Arc<dyn Surveys>,
}

impl Outside {
    pub async fn new(config: &AgentConfig) -> anyhow::Result<Self> {
        let providers = Providers::new(config.providers()).await.context("setting up the providers")?;
        let provider = Arc::clone(&providers) as Arc<dyn Provider>;
        let surveyor = Surveyor::new(
            config.agent.to_string(),
            config.providers(),
            Arc::clone(&providers) as Arc<dyn Asks>,
            Arc::clone(&provider),
        );
        Ok(Self { provider, probes: providers, surveys: Arc::new(surveyor) })
    }
}

/// Is shown the leases that the agent holds.
pub type Onlooker = Box<dyn FnOnce(&Arc<Leases>) + Send>;

/// What an agent runs in; a simulation has its own in place of each.
pub struct Surroundings {
    pub clock: Arc<dyn Clock>,
    /// Through what the journal is written.
    pub log: Box<dyn FnOnce(JournalLog) -> Arc<dyn Log> + Send>,
    /// Where promises are asked for, and the address that others are told, in place of the configured.
    pub promises: Option<(Box<dyn Listener>, String)>,
    /// Is shown the rights before anybody can have one.
    pub onlooker: Onlooker,
}

impl Default for Surroundings {
    fn default() -> Self {
        let log = Box::new(|log| Arc::new(log) as Arc<dyn Log>);
        Self { clock: Arc::new(SystemClock), log, promises: None, onlooker: Box::new(|_| ()) }
    }
}

/// The identity that the certificate gives must be the configured one.
pub fn identities(config: &AgentConfig) -> anyhow::Result<Arc<Identities>> {
    let identities = Identities::load(&config.tls, &config.mesh).context("reading the certificate")?;
    let identity = identities.identity();
    let is_ours = identity.role == mesh_core::access::Role::Agent
        && identity.name == config.agent.as_str()
        && identity.region == config.region;
    anyhow::ensure!(
        is_ours,
        "the certificate is of {identity}, but the configuration says agent {} of {}: correct one of them",
        config.agent,
        config.region
    );
    Ok(identities)
}

/// Runs until `shutdown`, then drains: no call starts any more, one that is out is finished and journalled, and what is
/// not done stays in the journal for the next start.
pub async fn run(
    config: &AgentConfig,
    identities: Arc<Identities>,
    outside: Outside,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    run_in(Surroundings::default(), config, identities, outside, shutdown).await
}

/// As [`run`], in other surroundings than the system's.
pub async fn run_in(
    surroundings: Surroundings,
    config: &AgentConfig,
    identities: Arc<Identities>,
    outside: Outside,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let Surroundings { clock, log: through, promises, onlooker } = surroundings;
    let mut serving = Serving::bind(&config.lease).await?;
    if let Some((listener, address)) = promises {
        serving = serving.promises_at(listener, address);
    }
    let journal = Journal::open(&config.data_dir, clock.stamp().unix()).context("opening the journal")?;
    let log = JournalLog::new(journal);
    let mut journal_failed = log.failed();
    let settings = Settings {
        region: config.region.clone(),
        call_deadline: config.call_timeout() + CALL_MARGIN,
        observe_deadline: OBSERVE_DEADLINE,
    };
    let log = through(log);
    let (region, longest) = (config.region.clone(), settings.call_deadline);
    let leases = Leases::start(Arc::clone(&log), Arc::clone(&clock), region, longest);
    onlooker(&leases);
    let gate = Gate::with_leases(Arc::clone(&clock), Arc::clone(&leases));
    let executor = Executor::start(log, Arc::clone(&gate), outside.provider, Arc::clone(&clock), settings);
    let board = Arc::new(Board::default());
    let (watchlist, watched) = watch::channel(Arc::default());
    let slip = Arc::new(Slip::default());
    let prober = Prober {
        observer: config.agent.clone(),
        region: config.region.clone(),
        probes: outside.probes,
        board: Arc::clone(&board),
        clock: Arc::clone(&clock),
        slip: Arc::clone(&slip),
        seed: os_seed(),
    };
    let timers = Arc::new(Timers::default());
    let link = Link {
        agent: config.agent.clone(),
        region: config.region.clone(),
        coordinators: config.coordinators.clone(),
        identities: Arc::clone(&identities),
        executor: Arc::new(executor),
        gate: Arc::clone(&gate),
        leases: Arc::clone(&leases),
        promise_address: serving.promise_address.clone(),
        board,
        clock,
        timers: Arc::clone(&timers),
        slip,
        watchlist,
        surveys: outside.surveys,
    };
    let stop = CancellationToken::new();
    let _serving = serving.start(&leases, &identities, &config.region, &stop);
    let _probing = AbortOnDropHandle::new(tokio::spawn(prober.run(watched, stop.clone())));
    let _timing = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&timers).run(Arc::clone(&link.clock))));
    let _renewing = AbortOnDropHandle::new(tokio::spawn(renewal(config, identities, stop.clone())?));
    tracing::info!(agent = %config.agent, region = %config.region, "agent started");
    tokio::select! {
        // It ends only with `stop`.
        () = session::run(&link, &stop) => anyhow::bail!("the session loop ended: no coordinator is configured"),
        failed = journal_failed.wait_for(|failed| *failed) => {
            let _ = failed;
            anyhow::bail!("the journal cannot be written: nothing can be promised any more");
        }
        () = drained(shutdown, &gate) => {}
    }
    stop.cancel();
    tracing::info!(unfinished = link.executor.unfinished().len(), "agent drained");
    Ok(())
}

/// The session goes on meanwhile, so that outcomes of the last calls are still reported.
async fn drained(shutdown: &Shutdown, gate: &Gate) {
    shutdown.begun().await;
    if tokio::time::timeout(shutdown.drain(), gate.drain()).await.is_err() {
        tracing::warn!("a call did not end in time: it is unknown in the journal and is read back at the next start");
    }
}

fn renewal(
    config: &AgentConfig,
    identities: Arc<Identities>,
    stop: CancellationToken,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let client = MeshClient::new(&config.coordinators, &identities)?;
    let files = config.tls.clone();
    Ok(async move {
        let renewer = |csr| {
            let client = client.clone();
            async move { renew::through(&client, csr).await }
        };
        renew::run(identities, files, renewer, stop).await;
    })
}
