//! The mesh in regions that are far apart: every coordinator, the agents of every region, and the double are in network
//! namespaces of their own, joined by a network that delays, loses and cuts.
//!
//! | site | parties |
//! |---|---|
//! | `REGION/coordinator`, `REGION/agents` | one each, of the same name |
//! | `aws` | `aws`: the double's endpoint; `dns`: its name server; `REGION/workload`: that region's application and databases |
//! | `operator` | the test itself, and whoever runs `meshctl`; nothing delays or cuts it |
//!
//! The double is near everybody: its own regions are cut off with `Rig::region`.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mesh_wan::{Counters, Entered, Site, Wan};
use meshctl::demo::child::{Processes, Programs};
use meshctl::demo::configs::Layout;
use meshctl::demo::double::Ready;
use meshctl::demo::maip::{self, Plot, SERVICE, World};
use meshctl::demo::region_loss;
use meshctl::demo::stand::{Stand, Story};
use meshctl::output::Output;

use crate::Rig;
use crate::clocks::Clocks;
use crate::foreign::{NEW_ALB, OLD_ALB};
use crate::rig::{LONG, POLL};

/// Not where the control plane of Route 53 is, without which no record can be changed.
pub const PRIMARY: &str = region_loss::LOST;
pub const STANDBY: &str = maip::NEW;
pub const WITNESS: &str = maip::WITNESS;
pub const REGIONS: [&str; 3] = [PRIMARY, STANDBY, WITNESS];
/// Round trips between the first and the second region, the first and the third, the second and the third.
pub const FAR: [Duration; 3] = [Duration::from_millis(60), Duration::from_millis(100), Duration::from_millis(150)];
const OPERATOR: &str = "operator";
pub const AWS: &str = "aws";
pub const DNS: &str = "dns";
const AWS_IP: Ipv4Addr = Ipv4Addr::new(10, 77, 9, 1);
const DNS_IP: Ipv4Addr = Ipv4Addr::new(10, 77, 9, 2);
const COORDINATOR_PORT: u16 = 7001;
/// Of a region's first agent; the next ones follow.
const LEASE_PORT: u16 = 8200;
/// From the port of the lease endpoint to that of promises.
const PROMISES_BEYOND: u16 = 100;
/// Of loss and jitter.
const SEED: u64 = 4;

/// What of a region has links of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Coordinator,
    Agents,
    Workload,
}

pub const PARTS: [Part; 3] = [Part::Coordinator, Part::Agents, Part::Workload];

/// Sender and receiver.
pub type Direction = (String, String);

/// A mesh whose processes are far apart.
pub struct Wide {
    // Dropped in this order.
    pub rig: Rig,
    _inside: Entered,
    pub wan: Wan,
}

/// Of a region's part; the witness has no workload.
pub fn party(region: &str, part: Part) -> String {
    let part = match part {
        Part::Coordinator => "coordinator",
        Part::Agents => "agents",
        Part::Workload => "workload",
    };
    format!("{region}/{part}")
}

fn parties(region: &str) -> Vec<(Part, String)> {
    PARTS.iter().filter(|part| address(region, **part).is_some()).map(|part| (*part, party(region, *part))).collect()
}

fn address(region: &str, part: Part) -> Option<Ipv4Addr> {
    let nth = REGIONS.iter().position(|one| *one == region)?;
    let host = match part {
        Part::Coordinator => 1,
        Part::Agents => 2,
        Part::Workload if nth == 2 => return None,
        Part::Workload => 3,
    };
    Some(Ipv4Addr::new(10, 77, u8::try_from(nth + 1).ok()?, host))
}

fn sites() -> Vec<Site> {
    let site = |name: &str, parties: Vec<(String, Ipv4Addr)>| Site { name: name.to_owned(), parties };
    let mut sites = vec![site(OPERATOR, vec![(OPERATOR.to_owned(), Ipv4Addr::new(10, 77, 0, 1))])];
    let mut double = vec![(AWS.to_owned(), AWS_IP), (DNS.to_owned(), DNS_IP)];
    for region in REGIONS {
        for (part, name) in parties(region) {
            let Some(address) = address(region, part) else { continue };
            match part {
                Part::Workload => double.push((name, address)),
                Part::Coordinator | Part::Agents => sites.push(site(&name, vec![(name.clone(), address)])),
            }
        }
    }
    sites.push(site(AWS, double));
    sites
}

/// Every direction between these two regions, from the one to the other.
pub fn directions(from: &str, to: &str) -> Vec<Direction> {
    let pairs = parties(from)
        .into_iter()
        .flat_map(|(_, one)| parties(to).into_iter().map(move |(_, other)| (one.clone(), other)));
    // Workloads are in one site: nothing between them passes the network.
    pairs.filter(|(one, other)| !(one.ends_with("/workload") && other.ends_with("/workload"))).collect()
}

/// Both directions of each.
pub fn both(directions: Vec<Direction>) -> Vec<Direction> {
    directions.into_iter().flat_map(|(from, to)| [(from.clone(), to.clone()), (to, from)]).collect()
}

/// Everything between a region and the other regions.
pub fn around(region: &str) -> Vec<Direction> {
    both(out_of(region))
}

/// Whatever leaves the region.
pub fn out_of(region: &str) -> Vec<Direction> {
    REGIONS.iter().filter(|other| **other != region).flat_map(|other| directions(region, other)).collect()
}

/// Whatever comes to the region.
pub fn into(region: &str) -> Vec<Direction> {
    out_of(region).into_iter().map(|(from, to)| (to, from)).collect()
}

/// Between all coordinators.
pub fn among_coordinators() -> Vec<Direction> {
    let all = REGIONS.map(|region| party(region, Part::Coordinator));
    let pairs = all.iter().flat_map(|one| all.iter().map(move |other| (one.clone(), other.clone())));
    pairs.filter(|(one, other)| one != other).collect()
}

/// Between the agents of these regions and a party that is in none: the name server, the API of AWS.
pub fn around_agents(regions: &[&str], other: &str) -> Vec<Direction> {
    both(regions.iter().map(|region| (party(region, Part::Agents), other.to_owned())).collect())
}

/// Everything between one part of a region and all other parts, those of its own region, too.
pub fn around_part(region: &str, part: Part) -> Vec<Direction> {
    let own = party(region, part);
    let others = REGIONS.iter().flat_map(|region| parties(region)).map(|(_, name)| name);
    let others = others.filter(|other| *other != own && !(own.ends_with("/workload") && other.ends_with("/workload")));
    both(others.map(|other| (own.clone(), other)).collect())
}

impl Wide {
    /// A mesh with the demo's service, or nothing, said aloud, where such a network is not permitted.
    pub async fn raise(round_trips: [Duration; 3], plot: impl FnOnce(&Ready) -> Plot) -> Option<Self> {
        Self::raise_with(round_trips, Clocks::Ours, plot).await
    }

    pub async fn raise_with(
        round_trips: [Duration; 3],
        clocks: Clocks,
        plot: impl FnOnce(&Ready) -> Plot,
    ) -> Option<Self> {
        if let Some(reason) = mesh_wan::skip_reason() {
            eprintln!("SKIPPED: regions far apart need network namespaces and TUN devices: {reason}");
            return None;
        }
        let wan = Wan::lay(&sites(), SEED).unwrap_or_else(|why| panic!("{why}"));
        spread(&wan, round_trips);
        let inside = wan.namespace(OPERATOR).enter().expect("the namespace lives as long as the network");
        let mut rig = start(&wan, clocks).await;
        rig.leader().await;
        start_agents(&wan, clocks, &mut rig);
        rig.until_whole().await;
        let output = Output::new(true);
        let (story, plot) = (Story { output: &output, began: Instant::now() }, plot(&rig.stand.ready));
        rig.stand.adopt(&story, &plot).await.unwrap_or_else(|failure| panic!("{failure}"));
        Some(Self { rig, _inside: inside, wan })
    }

    /// Over the links in these directions.
    pub fn sum(&self, directions: &[Direction], of: impl Fn(Counters) -> u64) -> u64 {
        directions.iter().map(|(from, to)| of(self.wan.counters(from, to))).sum()
    }

    /// Where the region's coordinator can be asked.
    pub fn coordinator(&self, region: &str) -> String {
        let ip = address(region, Part::Coordinator).unwrap_or_else(|| panic!("no coordinator in {region}"));
        SocketAddr::from((ip, COORDINATOR_PORT)).to_string()
    }

    /// Every process of a region, by name.
    pub fn processes(&self, region: &str) -> Vec<String> {
        let nth = REGIONS.iter().position(|one| *one == region).map_or(0, |nth| nth + 1);
        let agents = self.rig.stand.world.callers(region).map(|caller| format!("agent-{}", caller.name));
        std::iter::once(format!("coordinator-{nth}")).chain(agents).collect()
    }

    /// Service, region and address of each database, for witnesses.
    pub fn databases(&self) -> Vec<(String, String, String)> {
        let stand = &self.rig.stand;
        let of =
            |region: &str| Some((SERVICE.to_owned(), region.to_owned(), stand.world.database(&stand.ready, region)?));
        REGIONS.iter().filter_map(|region| of(region)).collect()
    }

    /// The region of the coordinator that leads.
    pub async fn leading_region(&self) -> &'static str {
        let leader = self.rig.leader().await;
        let nth: usize = leader.trim_start_matches("coordinator-").parse().expect("a coordinator's number");
        REGIONS[nth - 1]
    }
}

fn spread(wan: &Wan, [near, middle, far]: [Duration; 3]) {
    let [a, b, c] = REGIONS;
    for (one, other, time) in [(a, b, near), (a, c, middle), (b, c, far)] {
        for (from, to) in both(directions(one, other)) {
            wan.set(&from, &to, |link| link.delay = time / 2);
        }
    }
}

/// The double and the coordinators.
async fn start(wan: &Wan, clocks: Clocks) -> Rig {
    let dir = tempfile::Builder::new().prefix("mesh-wide-").tempdir().expect("a temporary directory");
    let programs = Programs::beside(&crate::binaries().join("meshctl")).expect("the programs are built");
    let world_file = region_loss::world();
    let world = World::parse(&world_file).expect("the demo's world");
    let layout = Layout::create(dir.path()).expect("directories");
    layout.write(&layout.world(), &world_file).expect("a world");
    let mut double = Processes::tied_to_us(&programs);
    let mut args: Vec<OsString> = vec!["--world".into(), layout.world().into(), "--ready-file".into()];
    args.extend([layout.ready().into(), "--bind-ip".into(), AWS_IP.to_string().into()]);
    args.extend(["--dns-ip".into(), DNS_IP.to_string().into()]);
    for region in REGIONS {
        if let Some(address) = address(region, Part::Workload) {
            args.extend(["--workload-ip".into(), format!("{region}={address}").into()]);
        }
    }
    spawn((wan, AWS), &mut double, "double", (programs.double.clone(), args), &layout.log("double"));
    let ready = until_ready(&layout).await;
    let coordinators: Vec<SocketAddr> = addresses().collect();
    let files = layout.coordinators(&coordinators, &world).expect("configurations");
    layout.profiles(&coordinators).expect("profiles");
    let mut mesh = Processes::tied_to_us(&programs);
    for ((name, config), region) in files.iter().zip(REGIONS) {
        let site = party(region, Part::Coordinator);
        let command = clocks.wrap(&layout.dir, name, &programs.coordinator, config_args(config));
        spawn((wan, &site), &mut mesh, name, command, &layout.log(name));
    }
    Rig::around(dir, Stand { layout, programs, double, mesh, world, ready, leases: Default::default() })
}

fn start_agents(wan: &Wan, clocks: Clocks, rig: &mut Rig) {
    let coordinators: Vec<SocketAddr> = addresses().collect();
    let stand = &mut rig.stand;
    let agents: Vec<(&str, String, SocketAddr)> = REGIONS
        .into_iter()
        .flat_map(|region| {
            let ip = address(region, Part::Agents).unwrap_or_else(|| panic!("no agents in {region}"));
            let names = stand.world.callers(region).map(|caller| caller.name.clone());
            names.zip(LEASE_PORT..).map(move |(name, port)| (region, name, SocketAddr::from((ip, port))))
        })
        .collect();
    for (region, _, lease) in &agents {
        let url = format!("http://{lease}/v1/lease/{SERVICE}");
        stand.leases.entry((*region).to_owned()).or_default().push(url);
    }
    let leases = agents.iter().map(|(_, name, lease)| (name.clone(), *lease)).collect();
    let files = stand.layout.agents(&coordinators, &stand.world, &stand.ready, &leases).expect("configurations");
    for (agent, config) in &files {
        let (region, _, lease) = agents.iter().find(|(_, name, _)| name == agent).expect("each has a region");
        let promises = SocketAddr::new(lease.ip(), lease.port() + PROMISES_BEYOND);
        give_promises(config, *lease, promises);
        let (name, site) = (format!("agent-{agent}"), party(region, Part::Agents));
        let log = stand.layout.log(&name);
        let command = clocks.wrap(&stand.layout.dir, &name, &stand.programs.agent, config_args(config));
        spawn((wan, &site), &mut stand.mesh, &name, command, &log);
    }
}

/// The demo's agents serve the lease endpoint alone: with one machine's network there is nothing to hold through.
pub(crate) fn give_promises(config: &Path, lease: SocketAddr, promises: SocketAddr) {
    let text = std::fs::read_to_string(config).expect("its configuration");
    let own = format!("listen = \"{lease}\"");
    assert!(text.contains(&own), "{text}");
    let both = format!("{own}\npromise_listen = \"{promises}\"");
    std::fs::write(config, text.replace(&own, &both)).expect("its configuration");
}

fn addresses() -> impl Iterator<Item = SocketAddr> {
    let all = REGIONS.iter().filter_map(|region| address(region, Part::Coordinator));
    all.map(|ip| SocketAddr::from((ip, COORDINATOR_PORT)))
}

/// Program and arguments, at a site.
fn spawn(
    (wan, site): (&Wan, &str),
    processes: &mut Processes,
    name: &str,
    (program, args): (PathBuf, Vec<OsString>),
    log: &Path,
) {
    let (program, args) = wan.namespace(site).wrap(&program, &args);
    processes.start(name, &program, &args, log).unwrap_or_else(|failure| panic!("{failure}"));
}

fn config_args(config: &Path) -> Vec<OsString> {
    vec!["--config".into(), config.into()]
}

async fn until_ready(layout: &Layout) -> Ready {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(ready) = Ready::read(&layout.ready()) {
            return ready;
        }
        assert!(Instant::now() < deadline, "the double did not become ready");
        tokio::time::sleep(POLL).await;
    }
}

/// As [`policy`], and by name: of each probe, the agent's name server is asked first.
pub fn policy_by_name(ready: &Ready, policy: &str) -> Plot {
    let names = [(PRIMARY, OLD_ALB.1.replace(maip::OLD, PRIMARY)), (STANDBY, NEW_ALB.1.to_owned())];
    let port = maip::app_port(ready).unwrap_or_else(|| panic!("the double runs no applications"));
    let asked_at = names.into_iter().map(|(region, name)| (region.to_owned(), format!("{name}:{port}"))).collect();
    Plot { asked_at: Some(asked_at), policy: policy.to_owned() }
}

/// Applications are asked over HTTP, with this policy.
pub fn policy(ready: &Ready, policy: &str) -> Plot {
    Plot { asked_at: Some(ready.apps.clone()), policy: policy.to_owned() }
}

/// Leases whose endpoint the writers ask, and a service that moves by itself after so long a failure.
pub fn fenced(mode: &str, sustained: Duration) -> String {
    format!(
        "fence:\n  - lease-endpoint: {{ reaction: 3s }}\nlease: {{ length: 5s, margin: 2s }}\npolicy:\n  \
         automatic: {mode}\n  sustained: {}s\n  cool-down: 10m\n",
        sustained.as_secs()
    )
}
