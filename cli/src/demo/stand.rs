//! Raising the mesh: double, coordinators, agents, then the service, each step waited for and bounded.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mesh_core::ids::ServiceId;
use mesh_runtime::client::CallLimits;

use super::child::{Processes, Programs, tail};
use super::configs::{APPROVERS, Layout};
use super::double::Ready;
use super::maip::{self, Plot, World};
use super::ports;
use crate::failure::Failure;
use crate::mesh::Mesh;
use crate::output::Output;
use crate::render::text;

const READY_WITHIN: Duration = Duration::from_secs(60);
const LEADER_WITHIN: Duration = Duration::from_secs(60);
const AGENTS_WITHIN: Duration = Duration::from_secs(60);
const COMMAND_WITHIN: Duration = Duration::from_secs(120);
/// For so long a command looks for a coordinator that can answer: what is set up here is new, and the machine may be busy.
const COMMAND_LOOKS_SECONDS: &str = "90";
const POLL: Duration = Duration::from_millis(100);
/// Someone else may take a port between our picking it and the coordinator's binding it.
const PORT_TRIES: u32 = 3;
const COORDINATORS: usize = 3;
const ASK: CallLimits = CallLimits { per_try: Duration::from_secs(1), total: Duration::from_secs(2) };

/// A mesh that runs.
pub struct Stand {
    pub layout: Layout,
    pub programs: Programs,
    pub double: Processes,
    pub mesh: Processes,
    pub world: World,
    pub ready: Ready,
    /// Of each region: who says whether it may write the service.
    pub leases: BTreeMap<String, Vec<String>>,
}

/// Tells the story: when, and what happened.
pub struct Story<'a> {
    pub output: &'a Output,
    pub began: Instant,
}

impl Story<'_> {
    pub fn tell(&self, what: &str) {
        let at = text::offset(self.began.elapsed());
        self.output.note(&format!("{} {what}", self.output.paint.dim(&format!("{at:>9}"))));
    }
}

impl Stand {
    /// `processes` makes the sets that own what is started.
    pub async fn raise(
        dir: &Path,
        programs: Programs,
        processes: impl Fn() -> Processes,
        story: &Story<'_>,
    ) -> Result<Self, Failure> {
        Self::raise_in(maip::WORLD, dir, programs, processes, story).await
    }

    /// In another world of the double, which holds the demo's own and more.
    pub async fn raise_in(
        world_file: &str,
        dir: &Path,
        programs: Programs,
        processes: impl Fn() -> Processes,
        story: &Story<'_>,
    ) -> Result<Self, Failure> {
        let mut stand = Self::raise_empty(world_file, dir, programs, processes, story).await?;
        stand.adopt(story, &Plot::default()).await?;
        Ok(stand)
    }

    /// A mesh that knows no service and no keys yet.
    pub async fn raise_empty(
        world_file: &str,
        dir: &Path,
        programs: Programs,
        processes: impl Fn() -> Processes,
        story: &Story<'_>,
    ) -> Result<Self, Failure> {
        let layout = Layout::create(dir)?;
        let world = World::parse(world_file).map_err(Failure::failed)?;
        let mut double = processes();
        layout.write(&layout.world(), world_file)?;
        let ready = start_double(&layout, &programs, &mut double).await?;
        story.tell(&format!("the AWS double answers at {}, its DNS at {}", ready.aws, ready.dns));
        let (mesh, leader) = start_coordinators(&layout, &programs, &world, &processes).await?;
        story.tell(&format!("three coordinators agree on node {leader} as their leader"));
        let mut stand = Self { layout, programs, double, mesh, world, ready, leases: BTreeMap::new() };
        stand.start_agents().await?;
        story.tell("six agents are connected, two a region");
        Ok(stand)
    }

    /// An address for each agent.
    fn lease_endpoints(&mut self) -> Result<BTreeMap<String, SocketAddr>, Failure> {
        let regions = self.world.regions().map(str::to_owned);
        let mut listening = BTreeMap::new();
        for region in regions {
            let agents: Vec<String> = self.world.callers(&region).map(|key| key.name.clone()).collect();
            let addresses = ports::free(agents.len())?;
            let urls = addresses.iter().map(|address| format!("http://{address}/v1/lease/{}", maip::SERVICE));
            self.leases.insert(region, urls.collect());
            listening.extend(agents.into_iter().zip(addresses));
        }
        Ok(listening)
    }

    async fn start_agents(&mut self) -> Result<(), Failure> {
        let addresses = crate::profile::load(Some(&self.layout.profile()))?.coordinators;
        let addresses = addresses.iter().filter_map(|address| address.parse().ok()).collect::<Vec<_>>();
        let listening = self.lease_endpoints()?;
        let agents = self.layout.agents(&addresses, &self.world, &self.ready, &listening)?;
        for (name, config) in &agents {
            let program = self.programs.agent.clone();
            self.mesh.start(
                &format!("agent-{name}"),
                &program,
                &config_args(config),
                &self.layout.log(&format!("agent-{name}")),
            )?;
        }
        let asked = Mesh::open(&crate::profile::load(Some(&self.layout.profile()))?)?.with_limits(ASK);
        let deadline = Instant::now() + AGENTS_WITHIN;
        let mut connected = 0;
        while Instant::now() < deadline {
            alive(&mut self.mesh)?;
            if let Ok(status) = asked.status(false).await {
                connected = status.agents.iter().filter(|agent| agent.connected).count();
                if connected >= agents.len() {
                    return Ok(());
                }
            }
            tokio::time::sleep(POLL).await;
        }
        let seconds = AGENTS_WITHIN.as_secs();
        Err(Failure::failed(format!("{connected} of {} agents are connected after {seconds} s", agents.len())))
    }

    /// Applies the manifest, creates the fencing token, enrols two keys: with meshctl itself, as a person would.
    pub async fn adopt(&mut self, story: &Story<'_>, plot: &Plot) -> Result<(), Failure> {
        let yaml = maip::manifest_with(&self.world, &self.ready, plot).map_err(Failure::failed)?;
        let path = self.layout.manifest();
        self.layout.write(&path, &yaml)?;
        let admin = self.layout.profile();
        self.meshctl(&admin, &["apply", "-f", &path.display().to_string(), "--yes"]).await?;
        self.arm(maip::SERVICE).await?;
        for person in APPROVERS {
            let key = self.layout.key(person).display().to_string();
            self.meshctl(&admin, &["keys", "generate", "--name", person, "--owner", person, "-o", &key]).await?;
            self.meshctl(&admin, &["keys", "enroll", &format!("{key}.pub"), "--yes"]).await?;
        }
        let [old, _] = self.world.sites();
        story.tell(&format!(
            "service {} is stored and armed, active in {old}; keys of {} are enrolled",
            maip::SERVICE,
            APPROVERS.join(" and ")
        ));
        self.meshctl(&admin, &["traffic", "setup", "--service", maip::SERVICE, "--yes"]).await?;
        story.tell("the traffic record has its fencing token");
        Ok(())
    }

    async fn arm(&self, service: &str) -> Result<(), Failure> {
        let service = ServiceId::new(service).map_err(|error| Failure::failed(error.to_string()))?;
        let mesh = Mesh::open(&crate::profile::load(Some(&self.layout.profile()))?)?;
        mesh.with_limits(CallLimits { total: COMMAND_WITHIN, ..CallLimits::default() }).set_armed(&service, true).await
    }

    /// Runs meshctl to its end; an error shows what it said.
    async fn meshctl(&mut self, profile: &Path, args: &[&str]) -> Result<(), Failure> {
        let mut command = self.programs.meshctl(profile);
        command.args(["--timeout", COMMAND_LOOKS_SECONDS]).args(args).env("NO_COLOR", "1");
        let shown = format!("meshctl {}", args.join(" "));
        let ended = tokio::time::timeout(COMMAND_WITHIN, command.output()).await;
        let ended = ended.map_err(|_| Failure::failed(format!("{shown} did not end")))?;
        let ended = ended.map_err(|error| Failure::failed(format!("{shown}: {error}")))?;
        if ended.status.success() {
            return Ok(());
        }
        alive(&mut self.mesh)?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        Err(Failure::failed(format!("{shown} ended with {}", ended.status))
            .details(said.lines().map(str::to_owned).collect()))
    }
}

/// An error with the log of the first process that should run and does not.
pub fn alive(processes: &mut Processes) -> Result<(), Failure> {
    match processes.first_ended() {
        None => Ok(()),
        Some(ended) => {
            Err(Failure::failed(format!("{} ended; the last lines of its log:", ended.name)).details(ended.tail()))
        }
    }
}

fn config_args(config: &Path) -> Vec<OsString> {
    vec![OsString::from("--config"), config.as_os_str().to_owned()]
}

async fn start_double(layout: &Layout, programs: &Programs, processes: &mut Processes) -> Result<Ready, Failure> {
    let _ = std::fs::remove_file(layout.ready());
    let args =
        [OsString::from("--world"), layout.world().into(), OsString::from("--ready-file"), layout.ready().into()];
    processes.start("double", &programs.double, &args, &layout.log("double"))?;
    let deadline = Instant::now() + READY_WITHIN;
    while Instant::now() < deadline {
        if let Some(ready) = Ready::read(&layout.ready()) {
            return Ok(ready);
        }
        alive(processes)?;
        tokio::time::sleep(POLL).await;
    }
    Err(Failure::failed("the AWS double did not become ready").details(tail(&layout.log("double"))))
}

async fn start_coordinators(
    layout: &Layout,
    programs: &Programs,
    world: &World,
    processes: &impl Fn() -> Processes,
) -> Result<(Processes, u64), Failure> {
    let mut tried = 0;
    loop {
        tried += 1;
        let addresses = ports::free(COORDINATORS)?;
        let files = layout.coordinators(&addresses, world)?;
        layout.profiles(&addresses)?;
        let mut started = processes();
        for (name, config) in &files {
            started.start(name, &programs.coordinator, &config_args(config), &layout.log(name))?;
        }
        match wait_for_leader(layout, &mut started).await {
            Ok(leader) => return Ok((started, leader)),
            Err(failure) if tried < PORT_TRIES && port_was_taken(layout, &files) => {
                tracing::debug!(%failure, "a port was taken in between");
                started.end_all();
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn wait_for_leader(layout: &Layout, started: &mut Processes) -> Result<u64, Failure> {
    let mesh = Mesh::open(&crate::profile::load(Some(&layout.profile()))?)?.with_limits(ASK);
    let deadline = Instant::now() + LEADER_WITHIN;
    let mut last = None;
    while Instant::now() < deadline {
        alive(started)?;
        match mesh.status(false).await {
            Ok(status) => {
                if let Some(leader) =
                    status.membership.map(|membership| membership.leader).filter(|leader| *leader != 0)
                {
                    return Ok(leader);
                }
            }
            Err(failure) => last = Some(failure),
        }
        tokio::time::sleep(POLL).await;
    }
    let why = last.map(|failure| failure.to_string().lines().map(str::to_owned).collect()).unwrap_or_default();
    Err(Failure::failed(format!("no leader within {} s", LEADER_WITHIN.as_secs())).details(why))
}

fn port_was_taken(layout: &Layout, files: &[(String, PathBuf)]) -> bool {
    files.iter().any(|(name, _)| {
        tail(&layout.log(name)).iter().any(|line| line.contains("in use") || line.contains("AddrInUse"))
    })
}
