//! All simulated agents of one size: their certificates, their joining, their sessions.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use mesh_core::access::{Identity, Role};
use mesh_core::ids::RegionId;
use mesh_runtime::pki::Authority;
use mesh_runtime::tls::{Identities, TlsFiles};
use meshctl::demo::configs::{Layout, MESH};
use meshctl::demo::maip::REGIONS;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::session::{ABOUT, Agent, Ended, Opened, Scene, Session, lock};

/// Agents that connect at a time.
const JOINING: usize = 32;
const ATTEMPTS_MAX: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The golden ratio's: neighbours probe at different moments, and all together at evenly spread ones.
const PHASE_STEP: f64 = 0.618_033_988_749_895;

#[derive(Default)]
struct Counts {
    retries: AtomicU64,
    lost: AtomicU64,
}

pub struct Crowd {
    sessions: JoinSet<()>,
    counts: Arc<Counts>,
}

impl Crowd {
    /// All agents with their certificates.
    pub fn make(layout: &Layout, agents: usize) -> anyhow::Result<Vec<Agent>> {
        let (dir, authority) = (layout.clone(), layout.authority()?);
        // Outside the runtime: nothing watches the files of ten thousand identities.
        let made = std::thread::spawn(move || (0..agents).map(|nth| agent(&dir, &authority, nth)).collect());
        made.join().map_err(|_| anyhow!("making certificates"))?
    }

    /// Returns once every agent was welcomed.
    pub async fn gather(made: Vec<Agent>, leader: &str, scene: &Arc<Scene>) -> anyhow::Result<Self> {
        let leader = Arc::new(Mutex::new(leader.to_owned()));
        let outside = made.iter().filter(|agent| agent.region != ABOUT).count();
        scene.outside.store(u64::try_from(outside)?, Ordering::Relaxed);
        let (joining, counts) = (Arc::new(Semaphore::new(JOINING)), Arc::new(Counts::default()));
        let (mut sessions, mut welcomed) = (JoinSet::new(), JoinSet::new());
        for agent in made {
            let (told, hears) = tokio::sync::oneshot::channel();
            let attending =
                attend(agent, Arc::clone(&leader), Arc::clone(scene), Arc::clone(&joining), Arc::clone(&counts), told);
            sessions.spawn(attending);
            welcomed.spawn(hears);
        }
        while let Some(heard) = welcomed.join_next().await {
            heard?.context("an agent did not join")??;
        }
        Ok(Self { sessions, counts })
    }

    /// Ends all sessions: attempts that were repeated, and sessions that ended before.
    pub fn dismiss(mut self) -> (u64, u64) {
        self.sessions.abort_all();
        (self.counts.retries.load(Ordering::Relaxed), self.counts.lost.load(Ordering::Relaxed))
    }
}

async fn attend(
    agent: Agent,
    leader: Arc<Mutex<String>>,
    scene: Arc<Scene>,
    joining: Arc<Semaphore>,
    counts: Arc<Counts>,
    welcomed: tokio::sync::oneshot::Sender<anyhow::Result<()>>,
) {
    let mut welcomed = Some(welcomed);
    loop {
        let opened = open(&agent, &leader, &joining, &counts).await;
        let (session, said) = match opened {
            Ok(session) => (Some(session), Ok(())),
            Err(error) => (None, Err(error)),
        };
        if let Some(welcomed) = welcomed.take() {
            let _ = welcomed.send(said);
        }
        let Some(session) = session else { return };
        // Why it ended: the coordinator's log says.
        if let Ok(Ended::Elsewhere(Some(elsewhere))) = session.run(&scene).await {
            *lock(&leader) = elsewhere;
        }
        counts.lost.fetch_add(1, Ordering::Relaxed);
    }
}

async fn open<'a>(
    agent: &'a Agent,
    leader: &Mutex<String>,
    joining: &Semaphore,
    counts: &Counts,
) -> anyhow::Result<Session<'a>> {
    let mut last = None;
    for _ in 0..ATTEMPTS_MAX {
        let _turn = joining.acquire().await?;
        let address = lock(leader).clone();
        match Session::open(agent, &address).await {
            Ok(Opened::Welcome(session)) => return Ok(*session),
            Ok(Opened::Elsewhere(elsewhere)) => {
                last = Some(anyhow!("{address} does not lead"));
                if let Some(elsewhere) = elsewhere {
                    *lock(leader) = elsewhere;
                }
            }
            Err(error) => last = Some(error),
        }
        counts.retries.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    match last {
        Some(error) => Err(error.context(format!("{} of {}", agent.name, agent.region))),
        None => bail!("no attempt"),
    }
}

fn agent(layout: &Layout, authority: &Authority, nth: usize) -> anyhow::Result<Agent> {
    let region = REGIONS.get(nth % REGIONS.len()).copied().context("three regions")?;
    let name = format!("sim-{nth:05}");
    let identity =
        Identity { mesh: MESH.to_owned(), region: RegionId::new(region)?, role: Role::Agent, name: name.clone() };
    let issued = authority.issue(&identity, &[], LIFETIME)?;
    let dir = layout.dir.join("crowd");
    std::fs::create_dir_all(&dir)?;
    let files = TlsFiles {
        certificate: dir.join(format!("{name}.pem")),
        key: dir.join(format!("{name}.key")),
        authorities: layout.dir.join("pki").join("ca.pem"),
    };
    write(&files.certificate, &issued.chain_pem)?;
    write(&files.key, &issued.key_pem)?;
    let identities = Identities::load(&files, MESH)?;
    let share = (nth as f64 * PHASE_STEP).fract();
    Ok(Agent { name, region: region.to_owned(), identities, phase: Duration::from_secs_f64(share) })
}

/// Not synced: they are gone with the bench.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
