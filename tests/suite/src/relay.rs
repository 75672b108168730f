//! Cuts between the processes of the mesh, one direction at a time.
//!
//! Each coordinator's advertised address belongs to a relay, which passes bytes on to where it really listens. It knows
//! which of our own processes dialled, so every (from, to) can be cut for itself. A cut loses nothing and closes nothing:
//! bytes wait, as TCP lets them, and go on when it is healed. Agents and people are nobody's peer: what they send always
//! arrives.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use meshctl::demo::dialler::Diallers;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Rig;

const BUFFER_BYTES: usize = 64 * 1024;

type Cuts = BTreeSet<(String, String)>;

/// The relays of a mesh; they end when this is dropped.
pub struct Relays {
    cuts: watch::Sender<Cuts>,
    diallers: Diallers,
    /// Where each really listens.
    behind: Vec<(String, SocketAddr)>,
    /// Bytes that waited at a cut.
    delayed: Arc<Mutex<BTreeSet<(String, String)>>>,
    _tasks: JoinSet<()>,
}

impl Relays {
    /// Neither hears the other.
    pub fn part(&self, one: &str, other: &str) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Nothing that `from` sends reaches `to`.
    pub fn cut(&self, from: &str, to: &str) {
        self.cuts.send_modify(|cuts| {
            cuts.insert((from.to_owned(), to.to_owned()));
        });
    }

    pub fn heal(&self) {
        self.cuts.send_modify(Cuts::clear);
    }

    /// Where a coordinator can be asked without its relay.
    pub fn behind(&self, name: &str) -> String {
        let own = self.behind.iter().find(|(one, _)| one == name);
        own.unwrap_or_else(|| panic!("no relay of {name}")).1.to_string()
    }

    /// Links whose bytes had to wait: a cut that delays nothing shows nothing.
    pub fn delayed(&self) -> BTreeSet<(String, String)> {
        self.delayed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From here on only later cuts count.
    pub fn forget_delays(&self) {
        self.delayed.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Rig {
    /// Puts every coordinator behind a relay that has its advertised address, and starts it again behind that.
    pub async fn behind_relays(&mut self) -> Relays {
        let names: Vec<String> = (1..=3).map(|node| format!("coordinator-{node}")).collect();
        let addresses = self.addresses().await;
        let (cuts, diallers) = (watch::Sender::new(Cuts::new()), Diallers::default());
        let delayed = Arc::new(Mutex::new(BTreeSet::new()));
        let (mut behind, mut tasks) = (Vec::new(), JoinSet::new());
        for name in &names {
            self.kill(name);
        }
        for name in &names {
            let own = addresses.iter().find(|(id, _)| format!("coordinator-{id}") == *name);
            let advertised: SocketAddr = own.expect("a founder").1.parse().expect("an address");
            let listen = self.listen_elsewhere(name, advertised);
            let listener = TcpListener::bind(advertised).await.expect("the port of a process that has ended");
            let links = Links {
                to: name.clone(),
                advertised,
                listen,
                cuts: cuts.subscribe(),
                diallers: diallers.clone(),
                delayed: Arc::clone(&delayed),
            };
            tasks.spawn(links.serve(listener));
            behind.push((name.clone(), listen));
        }
        let relays = Relays { cuts, diallers, behind, delayed, _tasks: tasks };
        for name in &names {
            self.restart(name);
            // Before it dials anyone.
            self.meet(&relays);
        }
        self.until_whole().await;
        relays
    }

    /// Tells the relays who is who; again after a restart.
    pub fn meet(&self, relays: &Relays) {
        let known = self.stand.mesh.all.iter().map(|process| (process.name.clone(), process.pid())).collect();
        relays.diallers.know(known);
    }

    /// Another port on the same address, for which the certificate is good, too.
    fn listen_elsewhere(&self, name: &str, advertised: SocketAddr) -> SocketAddr {
        let free = std::net::TcpListener::bind((advertised.ip(), 0)).and_then(|socket| socket.local_addr());
        let listen = free.expect("a free port");
        let path = self.stand.layout.dir.join(name).join("coordinator.toml");
        let text = std::fs::read_to_string(&path).expect("its configuration");
        let (old, new) = (format!("listen = \"{advertised}\""), format!("listen = \"{listen}\""));
        assert!(text.contains(&old), "{text}");
        std::fs::write(&path, text.replace(&old, &new)).expect("its configuration");
        listen
    }
}

#[derive(Clone)]
struct Links {
    to: String,
    advertised: SocketAddr,
    listen: SocketAddr,
    cuts: watch::Receiver<Cuts>,
    diallers: Diallers,
    delayed: Arc<Mutex<BTreeSet<(String, String)>>>,
}

impl Links {
    async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, from)) = listener.accept().await else { continue };
            connections.spawn(self.clone().relay(stream, from));
            while connections.try_join_next().is_some() {}
        }
    }

    async fn relay(self, dialled: TcpStream, from: SocketAddr) {
        // Of a socket that is closed already nobody waits for an answer.
        let Some(dialler) = self.diallers.of(from, self.advertised).await else { return };
        // A connection is opened by both sides.
        self.passes(&dialler, &self.to).await;
        self.passes(&self.to, &dialler).await;
        let Ok(listening) = TcpStream::connect(self.listen).await else { return };
        let _ = (dialled.set_nodelay(true), listening.set_nodelay(true));
        let (from_dialler, to_dialler) = dialled.into_split();
        let (from_listener, to_listener) = listening.into_split();
        tokio::select! {
            _ = self.pump(from_dialler, to_listener, &dialler, &self.to) => {}
            _ = self.pump(from_listener, to_dialler, &self.to, &dialler) => {}
        }
    }

    async fn pump(&self, mut input: OwnedReadHalf, mut output: OwnedWriteHalf, from: &str, to: &str) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let length = input.read(&mut buffer).await?;
            if length == 0 {
                return output.shutdown().await;
            }
            self.passes(from, to).await;
            output.write_all(buffer.get(..length).unwrap_or_default()).await?;
        }
    }

    async fn passes(&self, from: &str, to: &str) {
        let link = (from.to_owned(), to.to_owned());
        let mut cuts = self.cuts.clone();
        if cuts.borrow_and_update().contains(&link) {
            self.delayed.lock().unwrap_or_else(PoisonError::into_inner).insert(link.clone());
            // Relays that end let go of everything, too.
            let _ = cuts.wait_for(|cuts| !cuts.contains(&link)).await;
        }
    }
}
