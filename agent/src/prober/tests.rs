use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use mesh_core::ids::ServiceId;
use mesh_core::manifest::{
    Check, Manifest, Objectives, Policy, Probe, RdsInstance, RegionRole, Resource, ResourceKind, WriterMode,
};

use super::*;
use crate::fixtures::{FakeClock, FastClock};

/// Turns of the runtime that a test waits for a condition: far more than any needs.
const TURNS_MAX: u32 = 200_000;

/// Lags are answered once; every URL is asked in vain.
#[derive(Default)]
struct Scripted {
    lags: Mutex<Vec<(Duration, Timestamp)>>,
    lag_asked: Mutex<u32>,
    urls: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Probes for Scripted {
    async fn http(&self, url: &str, _: u16, _: Option<&str>, _: Duration) -> Result<Duration, String> {
        self.urls.lock().expect("no panic").insert(url.to_owned());
        std::future::pending().await
    }

    async fn tcp(&self, _: &str, _: Duration) -> Result<Duration, String> {
        Ok(Duration::ZERO)
    }

    async fn rds_lag(&self, _: &str) -> Result<Option<(Duration, Timestamp)>, String> {
        *self.lag_asked.lock().expect("no panic") += 1;
        match self.lags.lock().expect("no panic").pop() {
            Some(lag) => Ok(Some(lag)),
            None => Err("CloudWatch does not answer".to_owned()),
        }
    }

    async fn dynamodb_lag(&self, table: &str, receiving: &RegionId) -> Result<Option<(Duration, Timestamp)>, String> {
        self.urls.lock().expect("no panic").insert(format!("{table} to {receiving}"));
        self.rds_lag(table).await
    }
}

fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a region")
}

fn watched(active: &str, path: &str) -> Watched {
    let regions = ["us-east-1", "us-west-2"];
    let urls = regions.map(|name| (region(name), format!("http://{name}/{path}")));
    let probe = Probe::Http { urls: BTreeMap::from(urls), expect_status: 200, body_contains: None };
    let instance = |name: &str| RdsInstance {
        instance: format!("db-{name}"),
        security_groups: BTreeSet::from(["sg-1".to_owned()]),
        closed_security_group: "sg-0".to_owned(),
    };
    let instances = regions.map(|name| (region(name), instance(name)));
    let second = Duration::from_secs(1);
    let manifest = Manifest {
        service: ServiceId::new("maip").expect("a name"),
        description: String::new(),
        writer: WriterMode::Single,
        regions: BTreeMap::from([
            (region("us-east-1"), RegionRole::Primary),
            (region("us-west-2"), RegionRole::Standby),
        ]),
        depends_on: BTreeSet::new(),
        objectives: Objectives { rto: second, rpo: second },
        checks: vec![Check {
            name: "health".to_owned(),
            probe,
            interval: second,
            timeout: second,
            fail_after: 2,
            pass_after: 1,
            critical: true,
        }],
        resources: vec![Resource {
            name: "database".to_owned(),
            kind: ResourceKind::Rds { instances: BTreeMap::from(instances), backup_retention_days: 7 },
        }],
        traffic: Vec::new(),
        verify: Vec::new(),
        notices: Vec::new(),
        policy: Policy::default(),
    };
    Watched { manifest, active: region(active) }
}

struct Rig {
    scripted: Arc<Scripted>,
    board: Arc<Board>,
    watchlist: watch::Sender<Arc<Vec<Watched>>>,
    _probing: AbortOnDropHandle<()>,
}

fn start(scripted: Scripted, services: Vec<Watched>) -> Rig {
    let (scripted, board) = (Arc::new(scripted), Arc::new(Board::default()));
    let (watchlist, watched) = watch::channel(Arc::new(services));
    let prober = Prober {
        observer: AgentId::new("usw2-a").expect("a name"),
        region: region("us-west-2"),
        probes: Arc::clone(&scripted) as Arc<dyn Probes>,
        board: Arc::clone(&board),
        clock: Arc::new(FastClock(FakeClock::new())),
        seed: 7,
    };
    let probing = AbortOnDropHandle::new(tokio::spawn(prober.run(watched, CancellationToken::new())));
    Rig { scripted, board, watchlist, _probing: probing }
}

impl Rig {
    async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        for _ in 0..TURNS_MAX {
            if holds(self) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("never came: {what}");
    }

    fn readings(&self, subject: &str) -> BTreeMap<RegionId, Signal> {
        let signals = self.board.since(0).0.into_iter().filter(|signal| signal.subject == subject);
        signals.map(|signal| (signal.region.clone(), signal)).collect()
    }
}

#[tokio::test]
async fn a_probe_that_hangs_fails_about_every_region() {
    let rig = start(Scripted::default(), vec![watched("us-east-1", "health")]);
    rig.until("both fail", |rig| {
        let readings = rig.readings("health");
        readings.len() == 2 && readings.values().all(|signal| matches!(signal.reading, Reading::Failing { .. }))
    })
    .await;
}

#[tokio::test]
async fn a_lag_that_cannot_be_read_does_not_hide_the_last_one() {
    let measured = (Duration::from_secs(3), Timestamp::from_millis(42));
    let scripted = Scripted { lags: Mutex::new(vec![measured]), ..Scripted::default() };
    let rig = start(scripted, vec![watched("us-east-1", "health")]);
    rig.until("later attempts", |rig| *rig.scripted.lag_asked.lock().expect("no panic") > 3).await;
    let signal = rig.readings("database").remove(&region("us-west-2")).expect("the first stands");
    assert_eq!((signal.reading, signal.at), (Reading::ReplicaLag { lag: measured.0 }, measured.1));
}

#[tokio::test]
async fn the_active_regions_database_has_no_lag_to_measure() {
    let rig = start(Scripted::default(), vec![watched("us-west-2", "health")]);
    rig.until("other questions", |rig| rig.readings("health").len() == 2).await;
    assert_eq!(*rig.scripted.lag_asked.lock().expect("no panic"), 0);
}

#[tokio::test]
async fn the_active_region_measures_how_far_the_other_replicas_of_its_tables_are_behind() {
    let measured = (Duration::from_millis(800), Timestamp::from_millis(42));
    let mut service = watched("us-west-2", "health");
    let regions = ["us-east-1", "us-west-2"].map(region).into();
    let kind = ResourceKind::DynamodbGlobalTable { table: "orders".to_owned(), regions };
    service.manifest.resources = vec![Resource { name: "analytics".to_owned(), kind }];
    let scripted = Scripted { lags: Mutex::new(vec![measured]), ..Scripted::default() };
    let rig = start(scripted, vec![service.clone()]);
    rig.until("a measurement", |rig| !rig.readings("analytics").is_empty()).await;
    let signal = rig.readings("analytics").remove(&region("us-east-1")).expect("of the receiving region");
    assert_eq!((signal.reading, signal.at), (Reading::ReplicaLag { lag: measured.0 }, measured.1));
    assert_eq!(rig.readings("analytics").len(), 1, "and of no other");
    let asked = rig.scripted.urls.lock().expect("no panic").clone();
    assert!(asked.contains("orders to us-east-1") && !asked.contains("orders to us-west-2"), "{asked:?}");

    service.active = region("us-east-1");
    rig.watchlist.send_replace(Arc::new(vec![service]));
    rig.until("the standby is not asked", |rig| rig.readings("analytics").is_empty()).await;
}

#[tokio::test]
async fn a_changed_check_is_asked_anew_and_a_dropped_one_no_more() {
    let rig = start(Scripted::default(), vec![watched("us-east-1", "old")]);
    rig.until("readings", |rig| rig.readings("health").len() == 2).await;
    rig.watchlist.send_replace(Arc::new(vec![watched("us-east-1", "new")]));
    let asked = |rig: &Rig, url: &str| rig.scripted.urls.lock().expect("no panic").contains(url);
    rig.until("the new URL", |rig| asked(rig, "http://us-west-2/new")).await;
    rig.watchlist.send_replace(Arc::default());
    rig.until("silence", |rig| rig.readings("health").is_empty()).await;
}

#[test]
fn only_a_change_of_kind_wakes_the_session() {
    let board = Board::default();
    let signal = |reading| Signal {
        observer: AgentId::new("usw2-a").expect("a name"),
        observer_region: region("us-west-2"),
        service: ServiceId::new("maip").expect("a name"),
        region: region("us-east-1"),
        subject: "health".to_owned(),
        reading,
        at: Timestamp::default(),
    };
    let passing = |millis| Reading::Passing { latency: Duration::from_millis(millis) };
    board.publish(signal(passing(1)));
    let (first, seen) = board.since(0);
    board.publish(signal(passing(2)));
    assert_eq!((first.len(), board.since(seen).0.len()), (1, 0));
    assert_eq!(board.since(0).0.len(), 1, "but every round has the newest");
    board.publish(signal(Reading::Failing { reason: "refused".to_owned(), since: Timestamp::default() }));
    assert_eq!(board.since(seen).0.len(), 1);
}
