//! Promises between agents of two regions, over real mTLS gRPC.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

#[path = "support/all.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mesh_agent::clock::{Clock, SystemClock};
use mesh_agent::config::LeaseConfig;
use mesh_agent::journal::{Journal, JournalLog};
use mesh_agent::lease::Leases;
use mesh_agent::lease::serving::Serving;
use mesh_core::access::Role;
use mesh_core::ids::{AgentId, Generation, RegionId, ServiceId};
use mesh_proto::v1;
use mesh_proto::v1::agent_peer_client::AgentPeerClient;
use mesh_runtime::grpc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use support::pki::Mesh;

const LENGTH: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

struct Agent {
    leases: Arc<Leases>,
    address: Option<String>,
    _serving: Vec<AbortOnDropHandle<()>>,
}

async fn agent(mesh: &Mesh, directory: &Path, region: &str, name: &str) -> Agent {
    let identities = mesh.identities(Role::Agent, region, name);
    let region = RegionId::new(region).expect("a region");
    let journal = Journal::open(&directory.join(name), SystemClock.stamp().unix()).expect("the journal opens");
    let log = Arc::new(JournalLog::new(journal));
    let leases = Leases::start(log, Arc::new(SystemClock), region.clone(), LENGTH);
    leases.watch(&BTreeMap::from([(service(), LENGTH)]));
    let listen = Some("127.0.0.1:0".parse().expect("an address"));
    let config = LeaseConfig { listen: None, promise_listen: listen, promise_advertise: None };
    let serving = Serving::bind(&config).await.expect("a port");
    let address = serving.promise_address.clone();
    let stop = CancellationToken::new();
    Agent { address, _serving: serving.start(&leases, &identities, &region, &stop), leases }
}

fn service() -> ServiceId {
    ServiceId::new("maip").expect("a name")
}

fn lease(generation: u64, giver: &str, address: Option<String>) -> Vec<v1::LeaseNews> {
    let asks = vec![v1::AskedAgent { agent: giver.to_owned(), address }];
    let lease = v1::LeaseOffer { generation, length_ms: 2_000, asks_version: 1, asks };
    vec![v1::LeaseNews { service: "maip".to_owned(), floor: generation, lease: Some(lease) }]
}

async fn until(what: &str, leases: &Leases, holds: impl Fn(&str) -> bool) {
    let waiting = async {
        while !holds(leases.right(&service()).expect("it has leases").state()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never came: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_writes_on_without_coordinators_until_something_newer_is_wanted() {
    let mesh = Mesh::new();
    let writer = agent(&mesh, mesh.path(), "us-east-1", "use1-a").await;
    let giver = agent(&mesh, mesh.path(), "us-west-2", "usw2-a").await;
    writer.leases.hear(lease(3, "usw2-a", giver.address.clone()), SystemClock.stamp()).expect("understood");
    until("a hold", &writer.leases, |state| state == "hold").await;
    // More than one promise long: it is prolonged again and again.
    let renewed = async {
        tokio::time::sleep(2 * LENGTH).await;
    };
    renewed.await;
    until("a hold still", &writer.leases, |state| state == "hold").await;
    giver.leases.end(&service(), Generation(4)).await.expect("written");
    let told = giver.leases.standings();
    assert!(told.first().is_some_and(|told| told.floor == 4 && told.promise_left_ms > 0), "{told:?}");
    until("the end", &writer.leases, |state| state == "none").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_the_same_region_promises_nothing() {
    let mesh = Mesh::new();
    let giver = agent(&mesh, mesh.path(), "us-west-2", "usw2-a").await;
    let asker = mesh.identities(Role::Agent, "us-west-2", "usw2-b");
    let name = AgentId::new("usw2-a").expect("a name");
    let address = giver.address.as_deref().expect("it listens");
    let channel = grpc::connect_to_agent(address, &asker, &name).expect("usable");
    let request = v1::PromiseRequest { service: "maip".to_owned(), generation: 3, length_ms: 1_000, round: 1 };
    let refused = AgentPeerClient::new(channel).promise(request).await.expect_err("it keeps nobody from writing");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused}");
}
