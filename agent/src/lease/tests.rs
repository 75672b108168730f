//! What the agent keeps of its rights: on disk, at the gate, at the endpoint.

use std::path::Path;

use mesh_core::plan::Action;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fixtures::scripted::{Crash, CrashLog};
use crate::fixtures::{FakeClock, job};
use crate::gate::Gate;
use crate::journal::{IntentId, Journal, JournalLog};

const LENGTH: Duration = Duration::from_secs(15);

fn maip() -> ServiceId {
    ServiceId::new("maip").expect("a name")
}

fn start(directory: &Path, clock: &Arc<FakeClock>, crash: Option<Crash>) -> Arc<Leases> {
    let journal = Journal::open(directory, clock.stamp().unix()).expect("the journal opens");
    let log: Arc<dyn Log> = Arc::new(CrashLog::new(JournalLog::new(journal), crash));
    let region = RegionId::new("us-east-1").expect("a name");
    let leases = Leases::start(log, Arc::clone(clock) as Arc<dyn Clock>, region, Duration::from_secs(10));
    leases.watch(&BTreeMap::from([(maip(), LENGTH)]));
    leases
}

fn offer(generation: u64) -> v1::LeaseNews {
    let asks = vec![v1::AskedAgent { agent: "usw2-a".to_owned(), address: Some("127.0.0.1:1".to_owned()) }];
    v1::LeaseNews {
        service: "maip".to_owned(),
        floor: generation,
        lease: Some(v1::LeaseOffer { generation, length_ms: 15_000, asks_version: 1, asks }),
    }
}

fn ask(generation: u64) -> Ask {
    Ask { generation: Generation(generation), length: LENGTH, round: 1 }
}

fn floor(leases: &Leases) -> u64 {
    leases.standings().first().expect("maip has leases").floor
}

#[tokio::test]
async fn no_floor_is_told_that_is_not_on_disk() {
    let (directory, clock) = (tempfile::tempdir().expect("a directory"), FakeClock::new());
    let leases = start(directory.path(), &clock, Some(Crash { at: 0, after: false }));
    leases.hear(vec![offer(4)], clock.stamp()).expect("understood");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(floor(&leases), 0, "the disk has not taken it yet");
    assert!(leases.right(&maip()).expect("leased").standing.is_some(), "the lease itself is not on disk anyway");
}

#[tokio::test]
async fn a_revocation_is_on_disk_before_it_is_acknowledged() {
    let (directory, clock) = (tempfile::tempdir().expect("a directory"), FakeClock::new());
    let leases = start(directory.path(), &clock, None);
    leases.hear(vec![offer(4)], clock.stamp()).expect("understood");
    leases.end(&maip(), Generation(5)).await.expect("written");
    assert_eq!(floor(&leases), 5);
    assert_eq!(leases.right(&maip()).expect("leased").standing, None);
    drop(leases);
    let leases = reopened(directory.path(), &clock).await;
    assert_eq!(floor(&leases), 5);
}

/// The journal is let go of when the last task that writes to it has ended.
async fn reopened(directory: &Path, clock: &Arc<FakeClock>) -> Arc<Leases> {
    for _ in 0..100_000 {
        if Journal::open(directory, clock.stamp().unix()).is_ok() {
            return start(directory, clock, None);
        }
        tokio::task::yield_now().await;
    }
    panic!("the journal stays in use");
}

#[tokio::test]
async fn a_promise_survives_a_restart_and_runs_in_full_again() {
    let (directory, clock) = (tempfile::tempdir().expect("a directory"), FakeClock::new());
    let leases = start(directory.path(), &clock, None);
    assert_eq!(leases.promise(&maip(), &ask(4)).await.expect("written"), Ok(()));
    drop(leases);
    clock.advance(LENGTH);
    let leases = reopened(directory.path(), &clock).await;
    leases.end(&maip(), Generation(5)).await.expect("written");
    assert_eq!(leases.standings().first().map(|told| told.promise_left_ms), Some(15_150));
    assert_eq!(leases.promise(&maip(), &ask(4)).await.expect("written"), Err(Refused::Newer(Generation(5))));
}

#[tokio::test]
async fn a_right_that_is_renewed_is_not_asked_for() {
    let (directory, clock) = (tempfile::tempdir().expect("a directory"), FakeClock::new());
    let leases = start(directory.path(), &clock, None);
    assert!(leases.rounds().is_empty(), "it never had a lease");
    leases.hear(vec![offer(4)], clock.stamp()).expect("understood");
    clock.advance(Duration::from_secs(7));
    assert!(leases.rounds().is_empty(), "more than half is left");
    clock.advance(Duration::from_secs(2));
    let rounds = leases.rounds();
    let round = rounds.first().expect("nobody renews it");
    let giver = AgentId::new("usw2-a").expect("a name");
    assert!(leases.promised(&maip(), &giver, round.ask.round));
    clock.advance(Duration::from_secs(10));
    assert_eq!(leases.right(&maip()).map(|right| right.state()), Some("hold"), "the lease itself is over");
}

#[tokio::test]
async fn an_agent_without_an_address_on_the_list_means_no_hold() {
    let (directory, clock) = (tempfile::tempdir().expect("a directory"), FakeClock::new());
    let leases = start(directory.path(), &clock, None);
    let mut offer = offer(4);
    offer.lease.as_mut().expect("a lease").asks.push(v1::AskedAgent { agent: "euc1-a".to_owned(), address: None });
    leases.hear(vec![offer], clock.stamp()).expect("understood");
    clock.advance(Duration::from_secs(10));
    assert!(leases.rounds().is_empty());
}

#[tokio::test]
async fn what_lets_a_region_write_waits_for_the_right_to_it() {
    let (directory, clock) = (tempfile::tempdir().expect("a directory"), FakeClock::new());
    let leases = start(directory.path(), &clock, None);
    let gate = Gate::with_leases(Arc::clone(&clock) as Arc<dyn Clock>, Arc::clone(&leases));
    let mut promotion = job(4, 7);
    promotion.action = Action::RdsPromote { instance: "db".to_owned(), backup_retention_days: 7 };
    let reboot = job(4, 8);
    gate.session_started();
    gate.offered(IntentId::from(&promotion));
    gate.offered(IntentId::from(&reboot));
    let nonce = gate.ping();
    assert!(gate.pong(nonce, BTreeSet::new()));
    assert!(gate.permits(&reboot), "it lets nobody write");
    assert!(!gate.permits(&promotion));
    leases.hear(vec![offer(3)], clock.stamp()).expect("understood");
    assert!(!gate.permits(&promotion), "the right is at another generation");
    leases.hear(vec![offer(4)], clock.stamp()).expect("understood");
    assert!(gate.permits(&promotion));
    let call = gate.begin(&promotion).expect("permitted");
    assert_eq!(leases.standings().first().and_then(|told| told.writes), Some(4));
    drop(call);
    leases.watch(&BTreeMap::new());
    leases.end(&maip(), Generation(9)).await.expect("written");
    assert!(gate.permits(&promotion), "a service without leases is held back by nothing here");
}

#[tokio::test]
async fn the_endpoint_says_yes_only_while_the_region_may_write() {
    let (directory, clock) = (tempfile::tempdir().expect("a directory"), FakeClock::new());
    let leases = start(directory.path(), &clock, None);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let stop = CancellationToken::new();
    let served = tokio::spawn(endpoint::serve(listener, Arc::clone(&leases), stop.clone()));
    assert!(get(&address, "maip").await.starts_with("HTTP/1.1 503"), "an agent starts fenced");
    leases.hear(vec![offer(4)], clock.stamp()).expect("understood");
    let yes = get(&address, "maip").await;
    assert!(yes.starts_with("HTTP/1.1 200"), "{yes}");
    assert!(yes.contains(r#""state":"lease","generation":4,"left_ms":15000"#), "{yes}");
    assert!(get(&address, "other").await.starts_with("HTTP/1.1 404"));
    clock.advance(LENGTH);
    assert!(get(&address, "maip").await.starts_with("HTTP/1.1 503"));
    stop.cancel();
    served.await.expect("no panic").expect("it served");
}

async fn get(address: &str, service: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET /v1/lease/{service} HTTP/1.1\r\nHost: mesh\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}
