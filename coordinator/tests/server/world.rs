//! Coordinators with real gRPC and TLS on loopback, and those who talk to them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_coordinator::node::{Node, Timing};
use mesh_coordinator::peers::Peers;
use mesh_coordinator::pki::IssuingFiles;
use mesh_coordinator::replicated::Replicated;
use mesh_coordinator::serve;
use mesh_core::access::{Identity, Role};
use mesh_core::fleet::Command;
use mesh_proto::v1;
use mesh_proto::v1::agent_session_client::AgentSessionClient;
use mesh_proto::v1::operator_client::OperatorClient;
use mesh_runtime::grpc;
use mesh_runtime::pki::{Authority, write_pair};
use mesh_runtime::shutdown::Shutdown;
use mesh_runtime::tls::{Identities, TlsFiles};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use v1::from_agent::Message as Say;
use v1::to_agent::Message as Hear;

use crate::fake::Shared;
use crate::fixture::{EAST, apply_maip, arm_maip, region};

/// Longest wait for anything: far above what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const MESH: &str = "test";

pub struct World {
    pub shared: Arc<Shared>,
    pub nodes: Vec<Running>,
    authority: Authority,
    dir: TempDir,
}

pub struct Running {
    pub node: Arc<Node>,
    pub address: String,
    _shutdown: Shutdown,
    _tasks: JoinSet<()>,
}

impl World {
    /// `nodes` coordinators, the first of which leads, and the fixture's service.
    pub async fn start(nodes: u64) -> Self {
        Self::start_with_silence(nodes, PATIENCE).await
    }

    /// As [`World::start`]; an agent's intents are lost after so long without a word.
    pub async fn start_with_silence(nodes: u64, agent_silence: Duration) -> Self {
        let authority = Authority::create(MESH).expect("an authority");
        let dir = tempfile::tempdir().expect("a directory");
        let mut world = Self { shared: Shared::new(), nodes: Vec::new(), authority, dir };
        let issuing = IssuingFiles { certificate: world.path("issuing.pem"), key: world.path("issuing.key") };
        world.authority.save(&issuing.certificate, &issuing.key).expect("written");
        std::fs::write(world.path("ca.pem"), world.authority.certificate_pem()).expect("written");
        world.shared.apply(&Command::NameMesh { mesh: MESH.to_owned() });
        world.shared.apply(&apply_maip());
        world.shared.apply(&arm_maip());
        for id in 1..=nodes {
            // The first can renew certificates, the others cannot.
            let running = world.start_node(id, (id == 1).then(|| issuing.clone()), agent_silence).await;
            world.nodes.push(running);
        }
        world.shared.elect(1);
        world
    }

    async fn start_node(&self, id: u64, issuing: Option<IssuingFiles>, agent_silence: Duration) -> Running {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let identities = self.identities(Role::Coordinator, EAST, &format!("c{id}"));
        let shutdown = Shutdown::manual(Duration::ZERO);
        let replica: Arc<dyn Replicated> = self.shared.join(id, &address);
        let node = Arc::new(Node {
            mesh: MESH.to_owned(),
            id,
            region: region(EAST),
            replica,
            sessions: Default::default(),
            signals: Default::default(),
            judgements: Default::default(),
            pongs: Default::default(),
            peers: Peers::new(Arc::clone(&identities)),
            timing: Timing { agent_silence },
            draining: shutdown.token(),
        });
        let routes = serve::routes(&node, None, issuing).await.expect("routes");
        let mut tasks = serve::tasks(&node);
        let serving = shutdown.clone();
        tasks.spawn(async move { grpc::serve(listener, identities, routes, serving).await.expect("served") });
        Running { node, address, _shutdown: shutdown, _tasks: tasks }
    }

    pub fn identities(&self, role: Role, place: &str, name: &str) -> Arc<Identities> {
        let identity = Identity { mesh: MESH.to_owned(), region: region(place), role, name: name.to_owned() };
        let issued = self.authority.issue(&identity, &["127.0.0.1".to_owned()], Duration::from_secs(3600));
        let issued = issued.expect("issued");
        let files = TlsFiles {
            certificate: self.path(&format!("{role}-{name}-{place}.pem")),
            key: self.path(&format!("{role}-{name}-{place}.key")),
            authorities: self.path("ca.pem"),
        };
        write_pair(&files.certificate, &files.key, &issued.chain_pem, &issued.key_pem).expect("written");
        Identities::load(&files, MESH).expect("loaded")
    }

    /// A channel to node `id`.
    pub fn channel(&self, id: usize, role: Role, name: &str) -> Channel {
        self.channel_from(id, role, EAST, name)
    }

    pub fn channel_from(&self, id: usize, role: Role, place: &str, name: &str) -> Channel {
        grpc::connect(&self.nodes[id - 1].address, &self.identities(role, place, name)).expect("an address")
    }

    pub fn operator(&self, id: usize, role: Role, name: &str) -> OperatorClient<Channel> {
        OperatorClient::new(self.channel(id, role, name)).max_encoding_message_size(usize::MAX)
    }

    /// A session that has said nothing yet.
    pub async fn connect(&self, id: usize, place: &str, name: &str) -> Agent {
        let channel = self.channel_from(id, Role::Agent, place, name);
        let (say, messages) = mpsc::channel(64);
        let heard = AgentSessionClient::new(channel).open(ReceiverStream::new(messages)).await.expect("opened");
        Agent { say, heard: heard.into_inner() }
    }

    /// A session that was welcomed.
    pub async fn agent(&self, id: usize, place: &str, name: &str) -> Agent {
        let mut agent = self.connect(id, place, name).await;
        agent.hello(place, name).await;
        agent.until("a welcome", |message| matches!(message, Hear::Welcome(_)).then_some(())).await;
        agent
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

pub struct Agent {
    say: mpsc::Sender<v1::FromAgent>,
    heard: Streaming<v1::ToAgent>,
}

impl Agent {
    pub async fn hello(&self, place: &str, name: &str) {
        let (agent, region) = (name.to_owned(), place.to_owned());
        self.say(Say::Hello(v1::Hello {
            agent,
            region,
            version: "test".to_owned(),
            unfinished: Vec::new(),
            ..Default::default()
        }))
        .await;
    }

    pub async fn say(&self, message: Say) {
        // A session that has ended takes nothing more; what the agent hears then is what the test looks at.
        let _ = self.say.send(v1::FromAgent { message: Some(message) }).await;
    }

    /// The next message: `None` at the stream's end.
    pub async fn next(&mut self) -> Result<Option<Hear>, Status> {
        let next = tokio::time::timeout(PATIENCE, self.heard.message()).await.expect("a message or the end");
        next.map(|message| message.and_then(|message| message.message))
    }

    /// Reads on until `pick` takes a message.
    pub async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(Hear) -> Option<T>) -> T {
        loop {
            match self.next().await {
                Ok(Some(message)) => {
                    if let Some(picked) = pick(message) {
                        return picked;
                    }
                }
                Ok(None) => panic!("the session ended before {what}"),
                Err(status) => panic!("{status} instead of {what}"),
            }
        }
    }

    pub async fn offer(&mut self) -> v1::Job {
        self.until("an offer", |message| match message {
            Hear::Offer(job) => Some(job),
            _ => None,
        })
        .await
    }

    pub async fn pong(&mut self) -> v1::Pong {
        self.until("a pong", |message| match message {
            Hear::Pong(pong) => Some(pong),
            _ => None,
        })
        .await
    }

    pub async fn acknowledgement(&mut self) -> v1::OutcomeAck {
        self.until("an acknowledgement", |message| match message {
            Hear::OutcomeAck(ack) => Some(ack),
            _ => None,
        })
        .await
    }

    /// The status that the session ends with.
    pub async fn ending(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("the stream ended"),
                Err(status) => return status,
            }
        }
    }
}
