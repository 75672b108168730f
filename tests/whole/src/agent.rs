//! An agent, as `agent/src/main.rs` starts it, on one simulated host.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mesh_agent::agent::{self, Surroundings};
use mesh_agent::clock::{Clock, Stamp};
use mesh_agent::config::{AgentConfig, TimingConfig};
use mesh_agent::journal::{Book, Event, IntentId, JournalError, JournalLog, Log, Record};
use mesh_core::access::Role;
use mesh_core::ids::AgentId;
use mesh_core::time::Timestamp;
use mesh_runtime::grpc::Listener;
use mesh_runtime::shutdown::Shutdown;
use mesh_runtime::tls::Identities;
use tokio::sync::Mutex;

use crate::cloud::Cloud;
use crate::net::Bound;
use crate::planted::Planted;
use crate::site::{MESH, REGIONS, Site, address, now, region};

/// Where agents ask each other for promises.
const PROMISES: u16 = 7002;
/// Since its machine has started, when the simulation begins.
const UP: Duration = Duration::from_secs(1_000_000);
const CALL_TIMEOUT_MS: u64 = 3_000;

#[derive(Clone)]
pub struct Agent {
    config: AgentConfig,
    /// Among all hosts.
    number: u64,
    identities: Arc<Identities>,
    cloud: Cloud,
    clock: Arc<dyn Clock>,
    site: Arc<Site>,
}

/// The simulation's time; its machine's wall clock may be set.
struct Simulated {
    site: Arc<Site>,
    wall: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Clock for Simulated {
    fn stamp(&self) -> Stamp {
        let (elapsed, wall) = (self.site.elapsed(), Duration::from_millis((self.wall)().as_millis()));
        if self.site.planted == Planted::SlowClocks {
            let steady = UP + elapsed / 3;
            return Stamp { boottime: steady, monotonic: steady, realtime: wall.saturating_sub(elapsed / 3 * 2) };
        }
        let steady = UP + elapsed;
        Stamp { boottime: steady, monotonic: steady, realtime: wall }
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl Agent {
    pub fn new(site: &Arc<Site>, cloud: &Cloud, number: u64, place: &str, who: &str) -> anyhow::Result<Self> {
        let identities = site.identities(Role::Agent, place, who)?;
        let config = AgentConfig {
            mesh: MESH.to_owned(),
            agent: AgentId::new(who)?,
            region: region(place),
            coordinators: (1..=REGIONS.len() as u64).map(address).collect(),
            data_dir: site.dir(who),
            tls: site.files(who),
            aws: Default::default(),
            dns: Default::default(),
            credentials_dir: None,
            postgresql: Default::default(),
            log: Default::default(),
            timing: TimingConfig { call_timeout: CALL_TIMEOUT_MS },
            lease: Default::default(),
            hooks: BTreeMap::new(),
        };
        let clock = Arc::new(Simulated { site: Arc::clone(site), wall: Box::new(site.wall(Some(number))) });
        Ok(Self { config, number, identities, cloud: cloud.clone(), clock, site: Arc::clone(site) })
    }

    /// One life.
    pub async fn live(self) -> turmoil::Result {
        let ended = self.run().await;
        let reason = ended.map_or_else(|error| format!("{error:#}"), |()| "it ended by itself".to_owned());
        self.site.judge().violated(now(), "Starts", format!("agent {} ends: {reason}", self.config.agent));
        Ok(())
    }

    async fn run(&self) -> anyhow::Result<()> {
        let agent = &self.config.agent;
        let remembered = self.site.journal(agent)?;
        self.site.judge().comes_back(now(), agent, &remembered);
        let listener = Bound::to(PROMISES).await?;
        let (site, number) = (Arc::clone(&self.site), self.number);
        let (seen_by, name) = (Arc::clone(&self.site), agent.clone());
        let surroundings = Surroundings {
            clock: Arc::clone(&self.clock),
            log: Box::new(move |log| Arc::new(Synced { log, number, site, turn: Mutex::default() }) as Arc<dyn Log>),
            promises: Some((Box::new(listener) as Box<dyn Listener>, format!("{agent}:{PROMISES}"))),
            onlooker: Box::new(move |leases| seen_by.acts(&name, leases)),
        };
        let (identities, outside) = (Arc::clone(&self.identities), self.cloud.outside(agent));
        let shutdown = Shutdown::manual(Duration::ZERO);
        agent::run_in(surroundings, &self.config, identities, outside, &shutdown).await
    }
}

/// The journal, whose disk takes a while, one record after the other. What it has not taken when the power goes is lost.
struct Synced {
    log: JournalLog,
    number: u64,
    site: Arc<Site>,
    /// Of a planted defect: what is not written yet.
    turn: Mutex<BTreeMap<IntentId, Record>>,
}

#[async_trait]
impl Log for Synced {
    async fn append(&self, record: Record) -> Result<(), JournalError> {
        let mut withheld = self.turn.lock().await;
        if self.site.planted == Planted::JournalAfterCall {
            match &record.event {
                Event::CallStarted { intent, .. } => {
                    withheld.insert(intent.clone(), record);
                    return Ok(());
                }
                Event::CallEnded { intent, .. } => {
                    if let Some(started) = withheld.remove(intent) {
                        self.log.append(started).await?;
                    }
                }
                _ => {}
            }
        }
        let takes = self.site.platter(self.number).latency();
        tokio::time::sleep(takes).await;
        self.log.append(record).await
    }

    fn read(&self, look: &mut dyn FnMut(&Book)) {
        self.log.read(look);
    }
}
