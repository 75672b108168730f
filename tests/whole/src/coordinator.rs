//! A coordinator, as `coordinator/src/main.rs` wires it, on one simulated host.

use std::sync::Arc;
use std::time::Duration;

use mesh_coordinator::consensus::{Consensus, ConsensusConfig, Dial, Founder, SNAPSHOT_EVERY_DEFAULT, Surroundings};
use mesh_coordinator::node::{Node, Timing};
use mesh_coordinator::peers::Peers;
use mesh_coordinator::serve;
use mesh_coordinator::store::StoreOptions;
use mesh_coordinator::store::fatal::Fatal;
use mesh_core::access::Role;
use mesh_runtime::grpc;
use mesh_runtime::shutdown::Shutdown;
use mesh_runtime::tls::Identities;

use crate::net::Bound;
use crate::site::{MESH, PORT, REGIONS, Site, address, name, now, region};

#[derive(Clone)]
pub struct Coordinator {
    pub id: u64,
    site: Arc<Site>,
    identities: Arc<Identities>,
}

impl Coordinator {
    pub fn new(site: &Arc<Site>, id: u64) -> anyhow::Result<Self> {
        let identities = site.identities(Role::Coordinator, REGIONS[id as usize - 1], &name(id))?;
        Ok(Self { id, site: Arc::clone(site), identities })
    }

    /// One life. An error ends the simulation: no disk of ours may be refused.
    pub async fn live(self) -> turmoil::Result {
        let ended = self.run().await;
        let reason = match &ended {
            Ok(()) => "it ended by itself".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        self.site.judge().died(now(), self.id, &reason);
        Ok(())
    }

    async fn run(&self) -> anyhow::Result<()> {
        let consensus = Consensus::start_in(self.config(), self.surroundings()).await?;
        self.site.runs(self.id, &consensus);
        let serving = Shutdown::manual(Duration::ZERO);
        let node = Arc::new(Node {
            mesh: MESH.to_owned(),
            id: self.id,
            region: region(REGIONS[self.id as usize - 1]),
            replica: Arc::<Consensus>::clone(&consensus),
            sessions: Default::default(),
            signals: Default::default(),
            judgements: Default::default(),
            pongs: Default::default(),
            peers: Peers::new(Arc::clone(&self.identities)),
            timing: Timing { agent_silence: Duration::from_millis(6000) },
            draining: serving.token(),
        });
        let routes = serve::routes(&node, Some(consensus.raft_service()), None).await?;
        let mut tasks = serve::tasks(&node);
        let listener = Bound::to(PORT).await?;
        let served = grpc::serve(listener, Arc::clone(&self.identities), routes, serving);
        tokio::select! {
            biased;
            served = served => Ok(served?),
            ended = tasks.join_next() => anyhow::bail!("a task ended: {ended:?}"),
        }
    }

    fn surroundings(&self) -> Surroundings {
        let (site, id, identities) = (Arc::clone(&self.site), self.id, Arc::clone(&self.identities));
        let dial: Dial =
            Arc::new(move |address| grpc::connect(address, &identities).map_err(|error| error.to_string()));
        let wall = Arc::new(self.site.wall(Some(id)));
        let disk = self.site.platter(id).clone();
        let fatal = Fatal::new(move |reason| site.judge().died(now(), id, reason));
        Surroundings { dial, fatal, wall, disk: Some(Arc::new(disk)) }
    }

    fn config(&self) -> ConsensusConfig {
        let founder = |id: u64| Founder { id, address: address(id), region: REGIONS[id as usize - 1].to_owned() };
        ConsensusConfig {
            mesh: MESH.to_owned(),
            node_id: self.id,
            region: REGIONS[self.id as usize - 1].to_owned(),
            advertise: address(self.id),
            data_dir: self.site.platter(self.id).dir(),
            bootstrap: (1..=REGIONS.len() as u64).map(founder).collect(),
            heartbeat: Duration::from_millis(300),
            election_min: Duration::from_millis(1000),
            election_max: Duration::from_millis(1500),
            snapshot_every: SNAPSHOT_EVERY_DEFAULT,
            store: StoreOptions::default(),
        }
    }
}
