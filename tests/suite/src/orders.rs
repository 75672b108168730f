//! A service with a PostgreSQL of its own, in regions far apart: all that a region has, coordinator, agents, server and a
//! proxy before the server, is in one network namespace, and in the two regions of the service an application of its own
//! writes without pause, through its region's proxy.
//!
//! The proxy is the fence: it asks its region's agents whether the region may write. Nothing here is a cloud's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use mesh_core::ids::{RunId, ServiceId};
use mesh_core::run::Run;
use mesh_proto::v1::change_membership_request::Change;
use mesh_runtime::client::CallLimits;
use mesh_support::postgres::{Pair, Place, Settings, bin_dir, wrappers_in};
use mesh_wan::{Entered, Site, Wan};
use meshctl::demo::child::{Processes, Programs};
use meshctl::demo::configs::Layout;
use meshctl::demo::double::Ready;
use meshctl::demo::maip::{self, World};
use meshctl::demo::region_loss::until_well;
use meshctl::failure::Failure;
use meshctl::mesh::Mesh;

pub mod client;
pub mod setting;

pub use client::Application;
pub use setting::{Fast, SERVICE, Setting};

/// Serves first; it has the replica; it has a coordinator and agents alone.
pub const REGIONS: [&str; 3] = maip::REGIONS;
pub const PRIMARY: &str = maip::OLD;
pub const STANDBY: &str = maip::NEW;
const OPERATOR: &str = "operator";
const COORDINATOR_PORT: u16 = 7001;
/// Of a region's first agent; the next ones follow.
const LEASE_PORT: u16 = 8200;
const PROMISES_BEYOND: u16 = 100;
const SERVER_PORT: u16 = 5432;
const PROXY_PORT: u16 = 6432;
const SEED: u64 = 4;
const POLL: Duration = Duration::from_millis(50);
const UP_WITHIN: Duration = Duration::from_secs(120);
const COMMAND_WITHIN: Duration = Duration::from_secs(300);
const ASK: CallLimits = CallLimits { per_try: Duration::from_secs(2), total: Duration::from_secs(10) };
/// Longest request of an application: a part of the fence's reaction.
const STATEMENT_TIMEOUT: &str = "400ms";

/// Ends with everything in it.
pub struct Orders {
    // Dropped in this order.
    pub applications: [Application; 2],
    processes: Processes,
    pub pair: Pair,
    pub layout: Layout,
    programs: Programs,
    _directory: tempfile::TempDir,
    _inside: Entered,
    pub wan: Wan,
}

fn address(region: &str) -> Ipv4Addr {
    let nth = REGIONS.iter().position(|one| *one == region).unwrap_or(REGIONS.len());
    Ipv4Addr::new(10, 77, u8::try_from(nth + 1).unwrap_or(u8::MAX), 1)
}

fn coordinators() -> Vec<SocketAddr> {
    REGIONS.iter().map(|region| SocketAddr::from((address(region), COORDINATOR_PORT))).collect()
}

fn lay(round_trips: [Duration; 3]) -> Result<Wan, String> {
    let site = |name: &str, address| Site { name: name.to_owned(), parties: vec![(name.to_owned(), address)] };
    let mut sites = vec![site(OPERATOR, Ipv4Addr::new(10, 77, 0, 1))];
    sites.extend(REGIONS.iter().map(|region| site(region, address(region))));
    let wan = Wan::lay(&sites, SEED)?;
    let [a, b, c] = REGIONS;
    for ((one, other), time) in [(a, b), (a, c), (b, c)].into_iter().zip(round_trips) {
        wan.round_trip(one, other, time);
    }
    Ok(wan)
}

impl Orders {
    /// Why it cannot be raised here, if it cannot.
    pub fn skip_reason() -> Option<String> {
        match (mesh_wan::skip_reason(), bin_dir()) {
            (Some(reason), _) => Some(format!("it needs network namespaces and TUN devices: {reason}")),
            (None, None) => Some("it needs PostgreSQL (Debian: postgresql)".to_owned()),
            (None, Some(_)) => None,
        }
    }

    /// The calling thread is in the operator's namespace until this is dropped, and must not be left by its tasks: use a
    /// runtime of one thread.
    pub async fn raise(programs: &Programs, setting: &Setting) -> Result<Self, String> {
        let wan = lay(setting.round_trips)?;
        let inside = wan.namespace(OPERATOR).enter().map_err(|error| error.to_string())?;
        let pair = start_pair(&wan, setting).await?;
        let directory = tempfile::Builder::new().prefix("mesh-orders-").tempdir().map_err(|error| error.to_string())?;
        let layout = Layout::create(directory.path()).map_err(told)?;
        let mut processes = Processes::tied_to_us(programs);
        start_mesh(&wan, programs, &layout, &pair, &mut processes).map_err(told)?;
        let applications = [
            Application::start(&wan, PRIMARY, ports(PRIMARY), 0).await?,
            Application::start(&wan, STANDBY, ports(STANDBY), 1).await?,
        ];
        let orders = Self {
            applications,
            processes,
            pair,
            layout,
            programs: programs.clone(),
            _directory: directory,
            _inside: inside,
            wan,
        };
        orders.adopt(setting).await?;
        Ok(orders)
    }

    async fn adopt(&self, setting: &Setting) -> Result<(), String> {
        let mesh = self.mesh();
        let deadline = Instant::now() + UP_WITHIN;
        let connected = |status: &mesh_proto::v1::GetStatusResponse| {
            status.agents.iter().filter(|agent| agent.connected).count() == REGIONS.len() * maip::AGENTS_PER_REGION
        };
        while !mesh.status(false).await.is_ok_and(|status| connected(&status)) {
            if Instant::now() > deadline {
                return Err(format!("the agents are not connected; logs: {}", self.ends_of_logs()));
            }
            tokio::time::sleep(POLL).await;
        }
        let path = self.layout.dir.join("orders.yaml");
        std::fs::write(&path, setting.manifest(address(PRIMARY), address(STANDBY), &self.pair))
            .map_err(|error| error.to_string())?;
        self.ctl(&["apply", "-f", &path.display().to_string(), "--yes"]).await?;
        mesh.set_armed(&service(), true).await.map_err(told)?;
        self.until_well().await?;
        self.application(PRIMARY).writer.until(|written| written.len() > WARM_WRITES).await;
        Ok(())
    }

    /// Every observer sees every region well.
    pub async fn until_well(&self) -> Result<(), String> {
        until_well(&self.mesh(), &service()).await.map_err(|failure| format!("{failure}; {}", self.ends_of_logs()))
    }

    pub fn mesh(&self) -> Mesh {
        let profile = meshctl::profile::load(Some(&self.layout.profile())).expect("the profile was written");
        Mesh::open(&profile).expect("the profile is good").with_limits(ASK)
    }

    /// As the person who may do everything; what it printed, if it ended well.
    pub async fn ctl(&self, args: &[&str]) -> Result<String, String> {
        let mut command = self.programs.meshctl(&self.layout.profile());
        command.args(args).env("NO_COLOR", "1");
        let shown = format!("meshctl {}", args.join(" "));
        let ended = tokio::time::timeout(COMMAND_WITHIN, command.output()).await;
        let ended = ended.map_err(|_| format!("{shown} did not end"))?.map_err(|error| format!("{shown}: {error}"))?;
        let (out, said) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        if ended.status.success() {
            Ok(out.into_owned())
        } else {
            Err(format!("{shown}: {}: {out}{said}", ended.status))
        }
    }

    pub fn application(&self, region: &str) -> &Application {
        let [primary, standby] = &self.applications;
        if region == PRIMARY { primary } else { standby }
    }

    pub async fn leading_region(&self) -> Option<&'static str> {
        let leader = self.mesh().membership().await.ok()?.leader;
        REGIONS.get(usize::try_from(leader).ok()?.checked_sub(1)?).copied()
    }

    /// Makes the coordinator of this region lead.
    pub async fn lead_from(&self, region: &str) -> Result<(), String> {
        let node = (1..).zip(REGIONS).find(|(_, one)| *one == region).map_or(0, |(node, _)| node);
        let (mesh, deadline) = (self.mesh(), Instant::now() + UP_WITHIN);
        while self.leading_region().await != Some(region) {
            if Instant::now() > deadline {
                return Err(format!("the coordinator in {region} never led"));
            }
            let _ = mesh.change_membership(Change::TransferLeader(node), &[]).await;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Nothing passes between this region and the others any more.
    pub fn isolate(&self, region: &str) {
        REGIONS.iter().filter(|other| **other != region).for_each(|other| self.wan.part(region, other));
    }

    /// Packets that were stopped at the region's borders.
    pub fn stopped(&self, region: &str) -> u64 {
        let others = REGIONS.iter().filter(|other| **other != region);
        others.map(|other| self.wan.counters(region, other).cut + self.wan.counters(other, region).cut).sum()
    }

    /// Its newest run, once there is one.
    pub async fn newest_run(&self) -> Option<RunId> {
        let runs = self.mesh().runs(Some(&service()), 1).await.ok()?;
        runs.first().and_then(|run| RunId::new(&*run.run).ok())
    }

    /// The run with its cause, as soon as it has ended.
    pub async fn until_settled(&self, run: &RunId, within: Duration) -> Result<Run, String> {
        let (mesh, deadline) = (self.mesh(), Instant::now() + within);
        loop {
            let last = match mesh.why(run).await {
                Ok((run, _)) if run.state.is_terminal() => return Ok(run),
                Ok((run, _)) => crate::rig::describe(&run),
                Err(failure) => failure.to_string(),
            };
            if Instant::now() > deadline {
                return Err(format!("{run} did not end: {last}"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What its coordinator has logged.
    pub fn logs(&self, region: &str) -> String {
        let nth = (1..).zip(REGIONS).find(|(_, one)| *one == region).map_or(0, |(node, _)| node);
        std::fs::read_to_string(self.layout.log(&format!("coordinator-{nth}"))).unwrap_or_default()
    }

    pub fn ends_of_logs(&self) -> String {
        self.processes.all.iter().map(|one| format!("\n{}:\n{}", one.name, one.tail().join("\n"))).collect()
    }
}

/// Written before anything is broken.
const WARM_WRITES: usize = 50;

pub fn service() -> ServiceId {
    ServiceId::new(SERVICE).expect("a service's name")
}

fn told(failure: Failure) -> String {
    failure.to_string()
}

/// Of the region's proxy, server and lease endpoints.
fn ports(region: &str) -> client::Ports {
    let ip = address(region);
    let endpoints = (LEASE_PORT..).take(maip::AGENTS_PER_REGION);
    client::Ports {
        proxy: SocketAddr::from((ip, PROXY_PORT)),
        server: SocketAddr::from((ip, SERVER_PORT)),
        endpoints: endpoints.map(|port| SocketAddr::from((ip, port))).collect(),
    }
}

async fn start_pair(wan: &Wan, setting: &Setting) -> Result<Pair, String> {
    let bin_dir = bin_dir().ok_or("PostgreSQL is not installed")?;
    let place = |region: &str| Place {
        host: address(region),
        port: SERVER_PORT,
        namespace: Some(wan.namespace(region).link().to_owned()),
    };
    let settings = Settings { fsync: setting.fsync, trust: true, ..Settings::default() };
    let pair = Pair::start_at(&bin_dir, &settings, &[place(PRIMARY), place(STANDBY)]).await;
    let pair = pair.map_err(|error| error.to_string())?;
    let limit = format!("ALTER ROLE {} SET statement_timeout = '{STATEMENT_TIMEOUT}'", mesh_support::postgres::APP);
    pair.primary.sql(&limit).await.map_err(|error| error.to_string())?;
    Ok(pair)
}

fn start_mesh(
    wan: &Wan,
    programs: &Programs,
    layout: &Layout,
    pair: &Pair,
    processes: &mut Processes,
) -> Result<(), Failure> {
    let world = World::read().map_err(Failure::failed)?;
    let files = layout.coordinators(&coordinators(), &world)?;
    layout.profiles(&coordinators())?;
    let mut start = |region: &str, name: &str, program: &Path, config: &Path| {
        let args: [OsString; 2] = ["--config".into(), config.into()];
        let (program, args) = wan.namespace(region).wrap(program, &args);
        processes.start(name, &program, &args, &layout.log(name))
    };
    for ((name, config), region) in files.iter().zip(REGIONS) {
        start(region, name, &programs.coordinator, config)?;
    }
    let agents: Vec<(&str, String, SocketAddr)> = REGIONS
        .into_iter()
        .flat_map(|region| {
            let names = world.callers(region).map(|caller| caller.name.clone());
            names.zip(LEASE_PORT..).map(move |(name, port)| (region, name, SocketAddr::from((address(region), port))))
        })
        .collect();
    let leases = agents.iter().map(|(_, name, lease)| (name.clone(), *lease)).collect();
    for (agent, config) in &layout.agents(&coordinators(), &world, &nowhere(), &leases)? {
        let Some((region, _, lease)) = agents.iter().find(|(_, name, _)| name == agent) else { continue };
        crate::wide::give_promises(config, *lease, SocketAddr::new(lease.ip(), lease.port() + PROMISES_BEYOND));
        let server = [(PRIMARY, &pair.primary), (STANDBY, &pair.replica)].into_iter().find(|(at, _)| at == region);
        if let Some((_, server)) = server {
            let failed = |error: std::io::Error| Failure::failed(error.to_string());
            let within = layout.dir.join(format!("rejoin-{agent}"));
            let bin = wrappers_in(&server.bin_dir, &within, Some(wan.namespace(region).link())).map_err(failed)?;
            let mut text = std::fs::read_to_string(config).map_err(failed)?;
            let data = server.data.display();
            text.push_str(&format!(
                "\n[postgresql]\nbin_dir = \"{}\"\ndata_directories = [\"{data}\"]\n",
                bin.display()
            ));
            std::fs::write(config, text).map_err(failed)?;
        }
        start(region, &format!("agent-{agent}"), &programs.agent, config)?;
    }
    Ok(())
}

/// This service has nothing at AWS.
fn nowhere() -> Ready {
    let nobody = SocketAddr::from((Ipv4Addr::new(10, 77, 0, 1), 9));
    Ready {
        aws: format!("http://{nobody}"),
        dns: nobody.to_string(),
        apps: BTreeMap::new(),
        databases: BTreeMap::new(),
    }
}
