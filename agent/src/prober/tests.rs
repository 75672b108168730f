use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use mesh_core::ids::ServiceId;
use mesh_core::manifest::{
    Check, Manifest, Objectives, Policy, Probe, RdsInstance, RegionRole, Resource, ResourceKind, RuleScope, SafetyRule,
    Vantage, WriterMode,
};

use super::*;
use crate::fixtures::sim::SimClock;

mod schedule;

/// Steps of time that a test waits for a condition: far more than any needs.
const STEPS_MAX: u32 = 20_000;

/// Lags are answered once; every URL is asked in vain.
#[derive(Default)]
struct Scripted {
    lags: Mutex<Vec<(Duration, Timestamp)>>,
    lag_asked: Mutex<u32>,
    urls: Mutex<BTreeSet<String>>,
    /// Counts, the last one first; then none can be made.
    items: Mutex<Vec<(u64, u64)>>,
    counted: Mutex<u32>,
}

#[async_trait]
impl Probes for Scripted {
    async fn ask(&self, question: &probe::Question, _: &RegionId, _: Duration) -> Answer {
        self.urls.lock().expect("no panic").insert(question.place());
        std::future::pending().await
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

    async fn postgres_lag(
        &self,
        instance: &PostgresInstance,
        _: Option<&PostgresInstance>,
        _: Duration,
    ) -> Result<Option<Duration>, String> {
        self.urls.lock().expect("no panic").insert(instance.address());
        Ok(self.rds_lag("").await?.map(|(lag, _)| lag))
    }

    async fn items(&self, _: &Count) -> Result<(u64, u64), String> {
        *self.counted.lock().expect("no panic") += 1;
        self.items.lock().expect("no panic").pop().ok_or_else(|| "us-east-1 does not answer".to_owned())
    }
}

fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a region")
}

fn check(name: &str, probe: Probe) -> Check {
    let second = Duration::from_secs(1);
    Check {
        name: name.to_owned(),
        probe,
        interval: second,
        timeout: second,
        fail_after: 2,
        pass_after: 1,
        critical: true,
        observe_only: false,
        from: Vantage::Both,
    }
}

fn http(path: &str) -> Probe {
    let urls = ["us-east-1", "us-west-2"].map(|name| (region(name), format!("http://{name}/{path}")));
    let urls = BTreeMap::from(urls);
    Probe::Http { urls, expect_status: 200, body_contains: None, latency_max: None, ca_file: None }
}

fn watched(active: &str, path: &str) -> Watched {
    let instance = |name: &str| RdsInstance {
        instance: format!("db-{name}"),
        security_groups: BTreeSet::from(["sg-1".to_owned()]),
        closed_security_group: "sg-0".to_owned(),
    };
    let instances = ["us-east-1", "us-west-2"].map(|name| (region(name), instance(name)));
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
        checks: vec![check("health", http(path))],
        resources: vec![Resource {
            name: "database".to_owned(),
            kind: ResourceKind::Rds { instances: BTreeMap::from(instances), backup_retention_days: 7 },
        }],
        traffic: Vec::new(),
        verify: Vec::new(),
        notices: Vec::new(),
        policy: Policy::default(),
        fence: Default::default(),
        safety: Vec::new(),
    };
    Watched { manifest, active: region(active) }
}

struct Rig<P> {
    probes: Arc<P>,
    board: Arc<Board>,
    slip: Arc<Slip>,
    clock: Arc<SimClock>,
    watchlist: watch::Sender<Arc<Vec<Watched>>>,
    _probing: AbortOnDropHandle<()>,
}

fn start<P: Probes + 'static>(clock: Arc<SimClock>, probes: P, services: Vec<Watched>) -> Rig<P> {
    let (probes, board, slip) = (Arc::new(probes), Arc::new(Board::default()), Arc::new(Slip::default()));
    let (watchlist, watched) = watch::channel(Arc::new(services));
    let prober = Prober {
        observer: AgentId::new("usw2-a").expect("a name"),
        region: region("us-west-2"),
        probes: Arc::clone(&probes) as Arc<dyn Probes>,
        board: Arc::clone(&board),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        slip: Arc::clone(&slip),
        seed: 7,
    };
    let probing = AbortOnDropHandle::new(tokio::spawn(prober.run(watched, CancellationToken::new())));
    Rig { probes, board, slip, clock, watchlist, _probing: probing }
}

fn scripted(scripted: Scripted, services: Vec<Watched>) -> Rig<Scripted> {
    start(SimClock::new(), scripted, services)
}

impl<P> Rig<P> {
    async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        for _ in 0..STEPS_MAX {
            if holds(self) {
                return;
            }
            self.clock.step(Duration::MAX).await;
        }
        panic!("never came: {what}");
    }

    fn readings(&self, subject: &str) -> BTreeMap<RegionId, Signal> {
        let signals = self.board.present().into_iter().filter(|signal| signal.subject == subject);
        signals.map(|signal| (signal.region.clone(), signal)).collect()
    }
}

#[tokio::test]
async fn a_probe_that_does_not_end_is_this_agents_own_trouble() {
    let rig = scripted(Scripted::default(), vec![watched("us-east-1", "health")]);
    let unknown = |signal: &Signal| matches!(&signal.reading, Reading::Unknown { reason } if reason.contains("end"));
    rig.until("both are unknown", |rig| {
        let readings = rig.readings("health");
        readings.len() == 2 && readings.values().all(unknown)
    })
    .await;
}

#[tokio::test]
async fn a_lag_that_cannot_be_read_does_not_hide_the_last_one() {
    let measured = (Duration::from_secs(3), Timestamp::from_millis(42));
    let lags = Scripted { lags: Mutex::new(vec![measured]), ..Scripted::default() };
    let rig = scripted(lags, vec![watched("us-east-1", "health")]);
    rig.until("later attempts", |rig| *rig.probes.lag_asked.lock().expect("no panic") > 3).await;
    let signal = rig.readings("database").remove(&region("us-west-2")).expect("the first stands");
    assert_eq!((signal.reading, signal.at), (Reading::ReplicaLag { lag: measured.0 }, measured.1));
}

#[tokio::test]
async fn the_active_regions_database_has_no_lag_to_measure() {
    let rig = scripted(Scripted::default(), vec![watched("us-west-2", "health")]);
    rig.until("other questions", |rig| rig.readings("health").len() == 2).await;
    assert_eq!(*rig.probes.lag_asked.lock().expect("no panic"), 0);
}

#[tokio::test]
async fn a_replica_of_postgresql_is_asked_for_its_lag_where_it_is() {
    let mut service = watched("us-east-1", "health");
    let instance = |name: &str| PostgresInstance {
        host: format!("{name}.example.com"),
        port: 5432,
        database: "postgres".to_owned(),
        user: "mesh".to_owned(),
        password_file: None,
        ca_file: None,
        data_directory: None,
    };
    let instances = ["us-east-1", "us-west-2"].map(|name| (region(name), instance(name))).into();
    service.manifest.resources =
        vec![Resource { name: "database".to_owned(), kind: ResourceKind::Postgresql { instances } }];
    let lags = Mutex::new(vec![(Duration::from_millis(80), Timestamp::default())]);
    let rig = scripted(Scripted { lags, ..Scripted::default() }, vec![service]);
    rig.until("a measurement", |rig| !rig.readings("database").is_empty()).await;
    let signal = rig.readings("database").remove(&region("us-west-2")).expect("of the replica here");
    assert_eq!(signal.reading, Reading::ReplicaLag { lag: Duration::from_millis(80) });
    let asked = rig.probes.urls.lock().expect("no panic").clone();
    assert!(asked.contains("us-west-2.example.com:5432") && !asked.contains("us-east-1.example.com:5432"), "{asked:?}");
}

#[tokio::test]
async fn the_active_region_measures_how_far_the_other_replicas_of_its_tables_are_behind() {
    let measured = (Duration::from_millis(800), Timestamp::from_millis(42));
    let mut service = watched("us-west-2", "health");
    let regions = ["us-east-1", "us-west-2"].map(region).into();
    let kind = ResourceKind::DynamodbGlobalTable { table: "orders".to_owned(), regions };
    service.manifest.resources = vec![Resource { name: "analytics".to_owned(), kind }];
    let lags = Scripted { lags: Mutex::new(vec![measured]), ..Scripted::default() };
    let rig = scripted(lags, vec![service.clone()]);
    rig.until("a measurement", |rig| !rig.readings("analytics").is_empty()).await;
    let signal = rig.readings("analytics").remove(&region("us-east-1")).expect("of the receiving region");
    assert_eq!((signal.reading, signal.at), (Reading::ReplicaLag { lag: measured.0 }, measured.1));
    assert_eq!(rig.readings("analytics").len(), 1, "and of no other");
    let asked = rig.probes.urls.lock().expect("no panic").clone();
    assert!(asked.contains("orders to us-east-1") && !asked.contains("orders to us-west-2"), "{asked:?}");

    service.active = region("us-east-1");
    rig.watchlist.send_replace(Arc::new(vec![service]));
    rig.until("the standby is not asked", |rig| rig.readings("analytics").is_empty()).await;
}

#[tokio::test]
async fn a_changed_check_is_asked_anew_and_a_dropped_one_no_more() {
    let rig = scripted(Scripted::default(), vec![watched("us-east-1", "old")]);
    rig.until("readings", |rig| rig.readings("health").len() == 2).await;
    rig.watchlist.send_replace(Arc::new(vec![watched("us-east-1", "new")]));
    let asked = |rig: &Rig<Scripted>, url: &str| rig.probes.urls.lock().expect("no panic").contains(url);
    rig.until("the new URL", |rig| asked(rig, "http://us-west-2/new")).await;
    rig.watchlist.send_replace(Arc::default());
    rig.until("silence", |rig| rig.readings("health").is_empty()).await;
}

#[test]
fn a_check_is_asked_only_from_where_it_says() {
    let asked = |from: Vantage, here: &str| {
        let mut service = watched("us-east-1", "health");
        service.manifest.checks = vec![Check { from, ..check("health", http("health")) }];
        let questions = service.questions(&region(here)).into_iter();
        questions.filter(|(subject, _)| subject.name == "health").map(|(subject, _)| subject.region).collect::<Vec<_>>()
    };
    let (east, west) = (region("us-east-1"), region("us-west-2"));
    for (from, here, about) in [
        (Vantage::Own, "us-west-2", vec![west.clone()]),
        (Vantage::Others, "us-west-2", vec![east.clone()]),
        (Vantage::Both, "us-west-2", vec![east.clone(), west.clone()]),
        (Vantage::Own, "eu-central-1", vec![]),
        (Vantage::Others, "eu-central-1", vec![east, west]),
    ] {
        assert_eq!(asked(from, here), about, "{from:?} asked in {here}");
    }
}

fn with_counted_table() -> Watched {
    let mut service = watched("us-east-1", "health");
    let regions = ["us-east-1", "us-west-2"].map(region).into();
    let kind = ResourceKind::DynamodbGlobalTable { table: "orders".to_owned(), regions };
    service.manifest.resources = vec![Resource { name: "analytics".to_owned(), kind }];
    let rule = "items-equal(analytics)".parse().expect("a rule");
    service.manifest.safety = vec![SafetyRule { name: "same".to_owned(), scope: RuleScope::Service, rule }];
    service
}

#[tokio::test]
async fn a_table_is_counted_where_a_service_may_come_and_the_count_stands_while_no_other_can_be_made() {
    let script = Scripted { items: Mutex::new(vec![(120, 118)]), ..Scripted::default() };
    let rig = scripted(script, vec![with_counted_table()]);
    rig.until("later attempts", |rig| *rig.probes.counted.lock().expect("no panic") > 3).await;
    let signal = rig.readings("items/analytics").remove(&region("us-west-2")).expect("the first stands");
    assert_eq!(signal.reading, Reading::Items { from: region("us-east-1"), there: 120, here: 118 });

    let active_here = Watched { active: region("us-west-2"), ..with_counted_table() };
    rig.watchlist.send_replace(Arc::new(vec![active_here]));
    rig.until("nothing is counted where it is active", |rig| rig.readings("items/analytics").is_empty()).await;
}

#[tokio::test]
async fn a_table_that_was_never_counted_says_why() {
    let rig = scripted(Scripted::default(), vec![with_counted_table()]);
    rig.until("a reason", |rig| !rig.readings("items/analytics").is_empty()).await;
    let signal = rig.readings("items/analytics").remove(&region("us-west-2")).expect("of the replica here");
    assert_eq!(signal.reading, Reading::Unknown { reason: "us-east-1 does not answer".to_owned() });
}
