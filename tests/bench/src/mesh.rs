//! Three coordinators, and clients that have them commit manifests.
//!
//! The command is `ApplyManifest` with the smallest manifest there is; its source is filled up until the entry in the
//! log has 256 bytes. It is one of the operator's own commands: authorized, checked, replicated, applied to a service
//! and written to the audit chain.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use mesh_core::fleet::Command;
use mesh_core::manifest::Manifest;
use mesh_proto::v1;
use mesh_proto::v1::operator_client::OperatorClient;
use mesh_runtime::clock::unix_now;
use mesh_runtime::grpc;
use mesh_runtime::tls::Identities;
use meshctl::demo::child::{Process, Processes};
use meshctl::demo::configs::Layout;
use meshctl::demo::maip::World;
use meshctl::demo::ports;
use prost::Message;
use tonic::Status;
use tonic::transport::Channel;

use crate::load::Client;
use crate::site::Site;

pub const COMMAND_BYTES: usize = 256;
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const CALL_WITHIN: Duration = Duration::from_secs(3);

/// Heartbeat and election timeouts in milliseconds; none are the program's own defaults.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub heartbeat: u64,
    pub election_min: u64,
    pub election_max: u64,
}

pub struct Mesh {
    pub processes: Processes,
    addresses: Vec<String>,
    identities: Arc<Identities>,
    /// Survives restarts of the coordinators.
    channels: BTreeMap<u64, Channel>,
}

impl Mesh {
    pub async fn start(site: &Site, dir: &Path, timing: Option<Timing>) -> anyhow::Result<Self> {
        let layout = Layout::create(dir)?;
        let addresses = ports::free(3)?;
        layout.profiles(&addresses)?;
        let mut processes = Processes::tied_to_us(&site.programs);
        for (name, config) in layout.coordinators(&addresses, &World::read().map_err(anyhow::Error::msg)?)? {
            if let Some(timing) = timing {
                add_timing(&config, timing)?;
            }
            let args = [OsString::from("--config"), config.into_os_string()];
            processes.start(&name, &site.programs.coordinator, &args, &layout.log(&name))?;
        }
        let profile = meshctl::profile::load(Some(&layout.profile()))?;
        let identities = Identities::load(&profile.tls, &profile.mesh)?;
        let mut mesh =
            Self { processes, addresses: profile.coordinators.clone(), identities, channels: BTreeMap::new() };
        for (id, address) in (1..).zip(&mesh.addresses) {
            let channel = grpc::connect(address, &mesh.identities)?;
            mesh.channels.insert(id, channel);
        }
        mesh.until_whole().await?;
        Ok(mesh)
    }

    /// Waits until one leads and all have the same last entry.
    pub async fn until_whole(&mut self) -> anyhow::Result<u64> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(process) = self.processes.first_ended() {
                bail!("{} has ended: {}", process.name, process.tail().join("\n"));
            }
            if let Ok(leader) = self.leader().await
                && self.is_level().await
            {
                return Ok(leader);
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("the coordinators did not come together");
    }

    async fn is_level(&self) -> bool {
        let mut applied = Vec::new();
        for channel in self.channels.values() {
            let mut request = tonic::Request::new(v1::GetStatusRequest { stale: true });
            request.set_timeout(CALL_WITHIN);
            match OperatorClient::new(channel.clone()).get_status(request).await {
                Ok(status) => applied.push(status.into_inner().applied_index),
                Err(_) => return false,
            }
        }
        applied.windows(2).all(|pair| matches!(pair, [a, b] if a == b)) && applied.first().is_some_and(|a| *a > 0)
    }

    pub async fn leader(&self) -> Result<u64, Status> {
        let mut last = Status::unavailable("nobody was asked");
        for channel in self.channels.values() {
            let mut request = tonic::Request::new(v1::GetMembershipRequest {});
            request.set_timeout(CALL_WITHIN);
            match OperatorClient::new(channel.clone()).get_membership(request).await {
                Ok(answer) => {
                    let leader = answer.into_inner().membership.map_or(0, |membership| membership.leader);
                    if leader != 0 {
                        return Ok(leader);
                    }
                }
                Err(status) => last = status,
            }
        }
        Err(last)
    }

    pub fn name(id: u64) -> String {
        format!("coordinator-{id}")
    }

    pub fn pids(&self) -> Vec<u32> {
        self.processes.all.iter().map(Process::pid).collect()
    }

    /// A client with a connection of its own to the node, committing to a service of its own.
    pub fn client(&self, node: u64, number: usize) -> anyhow::Result<ManifestClient> {
        let at = usize::try_from(node)?.checked_sub(1).context("nodes count from 1")?;
        let address = self.addresses.get(at).context("no such node")?;
        let channel = grpc::connect(address, &self.identities)?;
        ManifestClient::new(channel, &format!("bench-{number:03}"))
    }

    pub fn address(&self, node: u64) -> anyhow::Result<&str> {
        let at = usize::try_from(node)?.checked_sub(1).context("nodes count from 1")?;
        self.addresses.get(at).map(String::as_str).context("no such node")
    }

    pub fn channel(&self, node: u64) -> anyhow::Result<Channel> {
        self.channels.get(&node).cloned().context("no such node")
    }
}

fn add_timing(config: &PathBuf, timing: Timing) -> anyhow::Result<()> {
    let mut text = std::fs::read_to_string(config)?;
    let Timing { heartbeat, election_min, election_max } = timing;
    text.push_str(&format!(
        "\n[timing]\nheartbeat = {heartbeat}\nelection_min = {election_min}\nelection_max = {election_max}\n"
    ));
    Ok(std::fs::write(config, text)?)
}

#[derive(Clone)]
pub struct ManifestClient {
    client: OperatorClient<Channel>,
    core: Manifest,
    manifest: v1::Manifest,
    pub version: u64,
    count: u64,
}

impl ManifestClient {
    pub fn new(channel: Channel, service: &str) -> anyhow::Result<Self> {
        let yaml = format!(
            "apiVersion: mesh/v1\nservice: {service}\nwriter: multi\nobjectives: {{rto: 15m, rpo: 30s}}\n\
             regions: {{us-east-1: primary, us-west-2: standby}}\n"
        );
        let core = mesh_manifest::parse(&yaml, "bench")
            .map_err(|problems| anyhow::anyhow!("the bench's manifest: {problems:?}"))?;
        let manifest = v1::Manifest::from(&core);
        Ok(Self { client: OperatorClient::new(channel), core, manifest, version: 0, count: 0 })
    }

    /// The next request carries this number.
    pub fn count_from(&mut self, count: u64) {
        self.count = count;
    }

    /// A request that changes the service, and whose entry in the log has 256 bytes.
    pub fn next(&mut self) -> anyhow::Result<v1::ApplyManifestRequest> {
        self.count += 1;
        let mut source = format!("{}", self.count);
        let length = |source: &str| {
            let command = Command::ApplyManifest {
                manifest: Box::new(self.core.clone()),
                source: source.to_owned(),
                by: BY.to_owned(),
                expected_version: self.version,
            };
            mesh_proto::log_command(unix_now(), &command).encoded_len()
        };
        let without = length(&source);
        ensure!(without <= COMMAND_BYTES, "the smallest command has {without} bytes");
        source.extend(std::iter::repeat_n(' ', COMMAND_BYTES - without));
        // The length's own length may have grown.
        while length(&source) > COMMAND_BYTES {
            source.pop();
        }
        let manifest = Some(self.manifest.clone());
        Ok(v1::ApplyManifestRequest { manifest, source, expected_version: self.version })
    }

    pub async fn send(&mut self, request: v1::ApplyManifestRequest) -> Result<(), Status> {
        let mut request = tonic::Request::new(request);
        request.set_timeout(CALL_WITHIN);
        self.version = self.client.apply_manifest(request).await?.into_inner().version;
        Ok(())
    }
}

/// Who the mesh will write down as the author.
const BY: &str = "spiffe://demo/region/eu-central-1/admin/admin";

impl Client for ManifestClient {
    async fn commit(&mut self) -> Result<(), Status> {
        let request = self.next().map_err(|error| Status::internal(error.to_string()))?;
        self.send(request).await
    }
}
