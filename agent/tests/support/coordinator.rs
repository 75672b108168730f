//! A coordinator that welcomes, redirects, answers and falls silent as a test tells it, over real mTLS.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mesh_core::access::Role;
use mesh_proto::v1;
use mesh_proto::v1::agent_session_server::{AgentSession, AgentSessionServer};
use mesh_runtime::grpc;
use mesh_runtime::shutdown::Shutdown;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};
use v1::from_agent::Message as Said;
use v1::to_agent::Message as Say;

use super::pki::Mesh;

/// A bound on waiting, not a measure: a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub enum Stance {
    Leads {
        term: u64,
    },
    Follows {
        leader: Option<String>,
    },
    /// Welcomes whoever asks to be passed on to this leader, as if it were there.
    PassesOn {
        leader: String,
        term: u64,
    },
}

/// What one session brought.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub hello: v1::Hello,
    pub pings: u64,
    pub outcomes: Vec<v1::OutcomeReport>,
    pub halted: Vec<String>,
    pub checks: Vec<v1::CheckReport>,
    pub signals: Vec<v1::Signal>,
}

pub struct Told {
    pub stance: Stance,
    pub answers_pings: bool,
    pub acknowledges: bool,
    pub paused: Vec<String>,
    pub sessions: Vec<Heard>,
    outbound: Option<mpsc::Sender<Result<v1::ToAgent, Status>>>,
}

#[derive(Clone)]
struct Fake {
    told: Arc<Mutex<Told>>,
    changed: watch::Sender<()>,
}

pub struct Coordinator {
    fake: Fake,
    pub address: String,
    serving: JoinHandle<()>,
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Coordinator {
    pub async fn start(mesh: &Mesh, name: &str, stance: Stance) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let told = Told {
            stance,
            answers_pings: true,
            acknowledges: true,
            paused: Vec::new(),
            sessions: Vec::new(),
            outbound: None,
        };
        let fake = Fake { told: Arc::new(Mutex::new(told)), changed: watch::Sender::new(()) };
        let identities = mesh.identities(Role::Coordinator, "us-east-1", name);
        let routes = Routes::new(AgentSessionServer::new(fake.clone()));
        let serving = tokio::spawn(async move {
            let shutdown = Shutdown::manual(Duration::ZERO);
            grpc::serve(listener, identities, routes, shutdown).await.expect("serves");
        });
        Self { fake, address, serving }
    }

    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.fake.told()
    }

    pub fn say(&self, message: Say) {
        let outbound = self.told().outbound.clone().expect("a session is open");
        outbound.try_send(Ok(v1::ToAgent { message: Some(message) })).expect("the agent reads");
    }

    /// Ends the present session.
    pub fn kick(&self) {
        self.told().outbound = None;
    }

    pub async fn until<T>(&self, what: &str, mut find: impl FnMut(&Told) -> Option<T>) -> T {
        let mut changed = self.fake.changed.subscribe();
        let found = async {
            loop {
                if let Some(found) = find(&self.told()) {
                    return found;
                }
                changed.changed().await.expect("the fake lives");
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("never came: {what}"))
    }

    /// The session with this number, once it has pinged.
    pub async fn session(&self, number: usize) -> Heard {
        let what = format!("session {number}");
        self.until(&what, |told| told.sessions.get(number).filter(|heard| heard.pings > 0).cloned()).await
    }
}

impl Fake {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("no test panics while it holds this")
    }

    fn hear(&self, number: usize, message: Said) {
        let mut told = self.told();
        let (answers, acknowledges, paused) = (told.answers_pings, told.acknowledges, told.paused.clone());
        let answer = match &message {
            Said::Ping(ping) if answers => {
                Some(Say::Pong(v1::Pong { nonce: ping.nonce, paused_runs: paused, leases: Vec::new() }))
            }
            Said::Outcome(report) if acknowledges => {
                Some(Say::OutcomeAck(v1::OutcomeAck { service: report.service.clone(), intent: report.intent }))
            }
            _ => None,
        };
        if let (Some(answer), Some(outbound)) = (answer, &told.outbound) {
            let _ = outbound.try_send(Ok(v1::ToAgent { message: Some(answer) }));
        }
        let heard = &mut told.sessions[number];
        match message {
            Said::Hello(hello) => heard.hello = hello,
            Said::Ping(_) => heard.pings += 1,
            Said::Signals(signals) => heard.signals.extend(signals.signals),
            Said::Outcome(report) => heard.outcomes.push(report),
            Said::HaltAck(ack) => heard.halted.push(ack.run),
            Said::Check(report) => heard.checks.push(report),
            Said::Survey(_) | Said::Standings(_) => {}
        }
        drop(told);
        self.changed.send_replace(());
    }

    async fn attend(self, mut inbound: Streaming<v1::FromAgent>, outbound: mpsc::Sender<Result<v1::ToAgent, Status>>) {
        let stance = self.told().stance.clone();
        let (first, hello) = match stance {
            Stance::Leads { term } => (welcome(term, false), v1::Hello::default()),
            Stance::Follows { leader } => (not_leader(leader), v1::Hello::default()),
            Stance::PassesOn { leader, term } => match hello(&mut inbound).await {
                hello if hello.pass_on_to.as_ref() == Some(&leader) => (welcome(term, true), hello),
                _ => (not_leader(Some(leader)), v1::Hello::default()),
            },
        };
        let welcomed = matches!(first, Say::Welcome(_));
        let _ = outbound.try_send(Ok(v1::ToAgent { message: Some(first) }));
        if !welcomed {
            return;
        }
        let number = {
            let mut told = self.told();
            told.outbound = Some(outbound);
            told.sessions.push(Heard { hello, ..Heard::default() });
            told.sessions.len() - 1
        };
        while let Ok(Some(message)) = inbound.message().await {
            if let Some(message) = message.message {
                self.hear(number, message);
            }
        }
    }
}

fn welcome(term: u64, passed_on: bool) -> Say {
    Say::Welcome(v1::Welcome { term, leader: 1, version: "test".to_owned(), passed_on, ..Default::default() })
}

fn not_leader(leader: Option<String>) -> Say {
    Say::NotLeader(v1::NotLeader { leader, ..Default::default() })
}

async fn hello(inbound: &mut Streaming<v1::FromAgent>) -> v1::Hello {
    match inbound.message().await.ok().flatten().and_then(|first| first.message) {
        Some(Said::Hello(hello)) => hello,
        _ => v1::Hello::default(),
    }
}

#[tonic::async_trait]
impl AgentSession for Fake {
    type OpenStream = ReceiverStream<Result<v1::ToAgent, Status>>;

    async fn open(&self, request: Request<Streaming<v1::FromAgent>>) -> Result<Response<Self::OpenStream>, Status> {
        let (outbound, messages) = mpsc::channel(64);
        tokio::spawn(self.clone().attend(request.into_inner(), outbound));
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
