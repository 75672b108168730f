//! Three etcd nodes, and clients that put 256-byte values.
//!
//! The few messages that are needed are written out here: field numbers of etcd's `rpc.proto`, API version 3.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mesh_core::access::{Identity, Role};
use mesh_core::ids::RegionId;
use mesh_runtime::grpc;
use mesh_runtime::tls::Identities;
use meshctl::commands::pki::issue;
use meshctl::demo::child::{Process, Processes};
use meshctl::demo::configs::{Layout, MESH};
use meshctl::demo::ports;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::load::Client;
use crate::mesh::COMMAND_BYTES;
use crate::site::Site;

const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const CALL_WITHIN: Duration = Duration::from_secs(10);
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Keys that one client writes in turn.
const KEYS: u64 = 100;

#[derive(Clone, PartialEq, prost::Message)]
pub struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Header {
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    #[prost(int64, tag = "3")]
    pub revision: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct PutResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    #[prost(uint64, tag = "4")]
    pub leader: u64,
    #[prost(uint64, tag = "5")]
    pub raft_index: u64,
}

/// Mutual TLS with certificates of the same authority as the mesh's, or none, which is etcd's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    MutualTls,
    None,
}

pub struct Etcd {
    pub processes: Processes,
    addresses: Vec<String>,
    identities: Option<Arc<Identities>>,
    channels: Vec<Channel>,
}

impl Etcd {
    /// `layout` is the directory of a mesh, whose authority issues the certificates.
    pub async fn start(
        site: &Site,
        layout: &Layout,
        security: Security,
        timing: Option<(u64, u64)>,
    ) -> anyhow::Result<Self> {
        let program = site.etcd.clone().context("etcd is not installed (apt-get install etcd-server)")?;
        let tls = security == Security::MutualTls;
        let scheme = if tls { "https" } else { "http" };
        let (clients, peers) = (ports::free(3)?, ports::free(3)?);
        let names = ["a", "b", "c"].map(|name| format!("etcd-{scheme}-{name}"));
        let cluster: Vec<String> =
            names.iter().zip(&peers).map(|(name, peer)| format!("{name}={scheme}://{peer}")).collect();
        let mut processes = Processes::tied_to_us(&site.programs);
        for ((name, client), peer) in names.iter().zip(&clients).zip(&peers) {
            let home = layout.dir.join(name);
            std::fs::create_dir_all(&home)?;
            let mut args: Vec<String> = vec![
                format!("--name={name}"),
                format!("--data-dir={}", home.join("data").display()),
                format!("--listen-client-urls={scheme}://{client}"),
                format!("--advertise-client-urls={scheme}://{client}"),
                format!("--listen-peer-urls={scheme}://{peer}"),
                format!("--initial-advertise-peer-urls={scheme}://{peer}"),
                format!("--initial-cluster={}", cluster.join(",")),
                "--initial-cluster-state=new".to_owned(),
                "--logger=zap".to_owned(),
                "--log-level=warn".to_owned(),
            ];
            if let Some((heartbeat, election)) = timing {
                args.extend([format!("--heartbeat-interval={heartbeat}"), format!("--election-timeout={election}")]);
            }
            if tls {
                args.extend(certificates(
                    layout,
                    name,
                    &[client.ip().to_string(), peer.ip().to_string(), "127.0.0.1".to_owned()],
                    &home,
                )?);
            }
            let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
            processes.start(name, &program, &args, &layout.log(name))?;
        }
        let identities = match tls {
            true => {
                let profile = meshctl::profile::load(Some(&layout.profile()))?;
                Some(Identities::load(&profile.tls, MESH)?)
            }
            false => None,
        };
        let addresses: Vec<String> = clients.iter().map(ToString::to_string).collect();
        let channels = addresses.iter().map(|address| connect(address, identities.as_ref()));
        let channels = channels.collect::<anyhow::Result<_>>()?;
        let mut etcd = Self { processes, addresses, identities, channels };
        etcd.until_whole().await?;
        Ok(etcd)
    }

    /// Waits until every node knows the same leader and they are level; returns the leader's position.
    pub async fn until_whole(&mut self) -> anyhow::Result<usize> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(process) = self.processes.first_ended() {
                bail!("{} has ended: {}", process.name, process.tail().join("\n"));
            }
            if let Ok(leader) = self.leader().await {
                return Ok(leader);
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("etcd did not come together");
    }

    async fn leader(&self) -> Result<usize, Status> {
        let mut found = Vec::new();
        for channel in &self.channels {
            let status: StatusResponse =
                unary(channel.clone(), "/etcdserverpb.Maintenance/Status", StatusRequest {}).await?;
            let own = status.header.map_or(0, |header| header.member_id);
            found.push((own, status.leader, status.raft_index));
        }
        let (_, leader, index) = found.first().copied().ok_or_else(|| Status::unavailable("no nodes"))?;
        let level = found.iter().all(|(_, other, at)| *other == leader && *at == index);
        let place = found.iter().position(|(own, ..)| *own == leader);
        place.filter(|_| leader != 0 && level).ok_or_else(|| Status::unavailable("not level yet"))
    }

    pub fn name(&self, position: usize) -> Option<String> {
        self.processes.all.get(position).map(|process| process.name.clone())
    }

    pub fn pids(&self) -> Vec<u32> {
        self.processes.all.iter().map(Process::pid).collect()
    }

    pub fn client(&self, position: usize, number: usize) -> anyhow::Result<PutClient> {
        let address = self.addresses.get(position).context("no such node")?;
        Ok(PutClient::new(connect(address, self.identities.as_ref())?, number))
    }

    pub fn channel(&self, position: usize) -> anyhow::Result<Channel> {
        self.channels.get(position).cloned().context("no such node")
    }
}

/// A coordinator's certificate, since the bench's TLS client speaks to coordinators only.
fn certificates(layout: &Layout, name: &str, hosts: &[String], home: &Path) -> anyhow::Result<Vec<String>> {
    let region = RegionId::new("us-east-1").map_err(|error| anyhow::anyhow!("{error}"))?;
    let identity = Identity { mesh: MESH.to_owned(), region, role: Role::Coordinator, name: name.to_owned() };
    let written = issue(&layout.authority()?, &identity, hosts, LIFETIME, home, "node")?;
    let (certificate, key) = (written.certificate.display(), written.key.display());
    let authorities = layout.dir.join("pki/ca.pem");
    let authorities = authorities.display();
    Ok(vec![
        "--client-cert-auth".to_owned(),
        "--peer-client-cert-auth".to_owned(),
        format!("--trusted-ca-file={authorities}"),
        format!("--peer-trusted-ca-file={authorities}"),
        format!("--cert-file={certificate}"),
        format!("--key-file={key}"),
        format!("--peer-cert-file={certificate}"),
        format!("--peer-key-file={key}"),
    ])
}

fn connect(address: &str, identities: Option<&Arc<Identities>>) -> anyhow::Result<Channel> {
    match identities {
        Some(identities) => Ok(grpc::connect(address, identities)?),
        None => Ok(Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect_lazy()),
    }
}

async fn unary<Q, A>(channel: Channel, method: &'static str, request: Q) -> Result<A, Status>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = tonic::Request::new(request);
    request.set_timeout(CALL_WITHIN);
    let codec = ProstCodec::<Q, A>::default();
    Ok(grpc.unary(request, PathAndQuery::from_static(method), codec).await?.into_inner())
}

pub async fn put(channel: Channel, key: Vec<u8>, value: Vec<u8>) -> Result<(), Status> {
    let _: PutResponse = unary(channel, "/etcdserverpb.KV/Put", PutRequest { key, value }).await?;
    Ok(())
}

pub struct PutClient {
    channel: Channel,
    number: usize,
    count: u64,
}

impl PutClient {
    pub fn new(channel: Channel, number: usize) -> Self {
        Self { channel, number, count: 0 }
    }
}

impl Client for PutClient {
    async fn commit(&mut self) -> Result<(), Status> {
        self.count += 1;
        let key = format!("bench-{:03}/{:04}", self.number, self.count % KEYS);
        let mut value = self.count.to_string().into_bytes();
        value.resize(COMMAND_BYTES, b' ');
        put(self.channel.clone(), key.into_bytes(), value).await
    }
}
