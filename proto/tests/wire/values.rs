//! Complete values of every type, with every variant of every enum. All numbers differ, so that no two fields can be
//! taken for one another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::decide::{Conclusion, JudgementRecord, RuleRecord, RuleState};
use mesh_core::detect::{Pattern, Quorum, RegionVerdict, Sees, Verdict, View};
use mesh_core::execute::{CallResult, Job};
use mesh_core::fleet::{
    AgentRecord, Authority, AuthorityState, Command, EnrolledKey, Freeze, OpenCall, Refusal, RefusalCode, Reply,
    Service,
};
use mesh_core::ids::{AgentId, Generation, Hash32, IntentSeq, KeyId, RegionId, RunId, ServiceId, StepId, Token};
use mesh_core::lease::{ApiStage, AskList, Fence, Fencing, LEASE_DEFAULT, Proof, Throttle};
use mesh_core::manifest::{
    Alarm, AutomaticMode, Check, Decimal, DnsRecord, EcsService, EksCluster, LossPolicy, Manifest, Metric, Missing,
    Notice, Objectives, Policy, PostgresInstance, PostgresqlRole, Probe, RdsInstance, RecordData, RecordKind,
    RecordSet, RegionRole, Resource, ResourceKind, Routing, RuleScope, SafetyRule, Threshold, TrafficRecord, Vantage,
    Verification, WriterMode,
};
use mesh_core::notice::{About, AutomaticNote, Telling};
use mesh_core::plan::{Action, Plan, PlanKind, PredictedLoss, Retry, Reversibility, SecurityGroupPurpose, Step};
use mesh_core::run::{
    Approval, Cause, Direction, Intent, MeasuredLoss, Need, Outcome, OutcomeResult, Pause, Release, Run, RunState,
    StepRun, TimelineEntry, Unwind, Work, WorkState,
};
use mesh_core::signal::{Reading, Signal};
use mesh_core::survey::{
    Answer, Cluster, Database, Depth, Examination, Finding, Inventory, Kafka, Level, NodeGroup, Question, Table,
    TaskService, Zone, ZoneName,
};
use mesh_core::time::Timestamp;

pub fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn id<T: TryFrom<String>>(name: &str) -> T {
    T::try_from(name.to_owned()).unwrap_or_else(|_| panic!("{name} is a name"))
}

fn region(name: &str) -> RegionId {
    id(name)
}

fn by_region<T>(east: T, west: T) -> BTreeMap<RegionId, T> {
    BTreeMap::from([(region("us-east-1"), east), (region("us-west-2"), west)])
}

fn texts(east: &str, west: &str) -> BTreeMap<RegionId, String> {
    by_region(east.to_owned(), west.to_owned())
}

fn set<T: Ord>(members: impl IntoIterator<Item = T>) -> std::collections::BTreeSet<T> {
    members.into_iter().collect()
}

pub fn manifest() -> Manifest {
    Manifest {
        service: id("maip"),
        description: "Merchant API, größer".to_owned(),
        writer: WriterMode::Single,
        regions: by_region(RegionRole::Primary, RegionRole::Standby),
        depends_on: set([id("ledger"), id("auth")]),
        objectives: Objectives { rto: ms(900_001), rpo: ms(30_002) },
        checks: checks(),
        resources: resources(),
        traffic: vec![TrafficRecord {
            name: "api".to_owned(),
            zone_id: "Z1".to_owned(),
            record: "api.maip.example.com".to_owned(),
            active: by_region(record_sets(), record_sets().into_iter().rev().collect()),
        }],
        verify: vec![
            Verification {
                name: "api".to_owned(),
                url: "http://api.maip.example.com/".to_owned(),
                expect_status: 204,
                body_contains: Some("{region}".to_owned()),
                consecutive: 3,
            },
            Verification {
                name: "plain".to_owned(),
                url: "http://plain.example.com/".to_owned(),
                expect_status: 200,
                body_contains: None,
                consecutive: 1,
            },
        ],
        notices: vec![Notice {
            name: "oncall".to_owned(),
            topics: texts("arn:aws:sns:us-east-1:1:oncall", "arn:aws:sns:us-west-2:1:oncall"),
        }],
        policy: Policy {
            automatic: AutomaticMode::Fence,
            sustained: ms(20_001),
            cool_down: ms(600_001),
            windows: vec!["mon-fri 08:00-18:00".parse().expect("a window")],
            loss: LossPolicy::Accept,
            quorum: Some(3),
            fence_timeout: ms(1_001),
            catch_up_timeout: ms(1_002),
            promote_timeout: ms(1_003),
            scale_timeout: ms(1_007),
            gate_timeout: ms(1_008),
            traffic_timeout: ms(1_004),
            verify_timeout: ms(1_005),
            notice_timeout: ms(1_006),
        },
        safety: safety_rules(),
        fence: fencing(),
    }
}

fn checks() -> Vec<Check> {
    let check = |name: &str, probe, critical| Check {
        name: name.to_owned(),
        probe,
        interval: ms(10_001),
        timeout: ms(2_001),
        fail_after: 4,
        pass_after: 2,
        critical,
        observe_only: false,
        from: Vantage::Both,
    };
    let http = |expect_status, body: Option<&str>, latency_max, ca: Option<&str>| Probe::Http {
        urls: texts("http://east/", "http://west/"),
        expect_status,
        body_contains: body.map(str::to_owned),
        latency_max,
        ca_file: ca.map(str::to_owned),
    };
    let port = Probe::Tcp { addresses: texts("east:5432", "west:5433") };
    let shown = Check { observe_only: true, from: Vantage::Own, ..check("shown", port.clone(), false) };
    let mut checks = vec![
        check("api", http(201, Some("UP"), Some(ms(1_501)), Some("ca.pem")), true),
        check("any-body", http(200, None, None, None), false),
        check("port", port, false),
        shown,
    ];
    let others = |(name, probe)| Check { from: Vantage::Others, ..check(name, probe, true) };
    checks.extend(direct_probes().into_iter().chain(requester_probes()).map(others));
    checks
}

fn direct_probes() -> Vec<(&'static str, Probe)> {
    let dns = |record, servers, answer: Option<&str>| Probe::Dns {
        names: texts("east.example.com", "west.example.com"),
        servers,
        record,
        answer: answer.map(str::to_owned),
    };
    let grpc = |service: &str, latency_max, ca: Option<&str>| Probe::Grpc {
        targets: texts("https://east:1", "https://west:2"),
        service: service.to_owned(),
        latency_max,
        ca_file: ca.map(str::to_owned),
    };
    let postgresql = |role, lag_max, lag_bytes_max| Probe::Postgresql {
        resource: "database".to_owned(),
        role,
        lag_max,
        lag_bytes_max,
    };
    vec![
        ("grpc", grpc("maip.v1.Orders", Some(ms(1_502)), Some("grpc.pem"))),
        ("grpc-any", grpc("", None, None)),
        ("dns-a", dns(DnsRecord::A, texts("ns-east:53", "ns-west:54"), Some("192.0.2.1"))),
        ("dns-aaaa", dns(DnsRecord::Aaaa, BTreeMap::new(), None)),
        ("dns-cname", dns(DnsRecord::Cname, BTreeMap::new(), None)),
        ("dns-txt", dns(DnsRecord::Txt, BTreeMap::new(), None)),
        ("pg-any", postgresql(PostgresqlRole::Any, None, None)),
        ("pg-role", postgresql(PostgresqlRole::Active, Some(ms(5_003)), Some(16_777_216))),
        ("status", Probe::AwsStatus { resource: "cluster".to_owned() }),
    ]
}

fn requester_probes() -> Vec<(&'static str, Probe)> {
    let decimal = |millionths| Decimal::from_millionths(millionths).expect("a small number");
    let metric = |name: &str, divided_by: Option<&str>, published_in: Option<&str>| Metric {
        namespace: "AWS/ApplicationELB".to_owned(),
        metric: name.to_owned(),
        dimensions: BTreeMap::from([("LoadBalancer".to_owned(), format!("app/{name}"))]),
        divided_by: divided_by.map(str::to_owned),
        published_in: published_in.map(region),
    };
    let alarm = |name: &str, published_in: Option<&str>| Alarm {
        alarm: name.to_owned(),
        published_in: published_in.map(region),
    };
    let above = Threshold { above: Some(decimal(50_000)), below: None };
    vec![
        (
            "errors",
            Probe::Cloudwatch {
                metrics: by_region(
                    metric("HTTPCode_Target_5XX_Count", Some("RequestCount"), Some("us-west-2")),
                    metric("HTTPCode_ELB_5XX_Count", None, None),
                ),
                statistic: "p99".to_owned(),
                period: ms(60_000),
                datapoints: 3,
                threshold: above,
                missing: Missing::Passing,
            },
        ),
        ("alarm", Probe::Alarm { alarms: by_region(alarm("east down", Some("us-west-2")), alarm("west", None)) }),
        (
            "requests",
            Probe::Prometheus {
                urls: texts("https://prometheus-east/", "https://prometheus-west/"),
                query: r#"sum(rate(http_requests_total{region="{region}"}[1m]))"#.to_owned(),
                threshold: Threshold { above: Some(decimal(-1)), below: Some(decimal(-2_500_000)) },
                missing: Missing::Unknown,
                ca_file: Some("prometheus.pem".to_owned()),
                token_file: Some("prometheus.token".to_owned()),
            },
        ),
    ]
}

fn resources() -> Vec<Resource> {
    let instance = |name: &str, closed: &str| RdsInstance {
        instance: name.to_owned(),
        security_groups: set(["sg-1".to_owned(), "sg-2".to_owned()]),
        closed_security_group: closed.to_owned(),
    };
    let cluster = |name: &str, n: u32| EksCluster {
        cluster: name.to_owned(),
        node_group: format!("{name}-nodes"),
        nodes_min: n,
        nodes_max: n + 20,
        nodes_desired: n + 8,
        namespace: "maip".to_owned(),
        replicas: n + 1,
        deployments: (0..n).map(|i| (format!("app-{i}"), i)).collect(),
    };
    let resource = |name: &str, kind| Resource { name: name.to_owned(), kind };
    vec![
        resource(
            "database",
            ResourceKind::Rds {
                instances: by_region(instance("primary", "sg-8"), instance("replica", "sg-9")),
                backup_retention_days: 7,
            },
        ),
        resource(
            "table",
            ResourceKind::DynamodbGlobalTable {
                table: "analytics".to_owned(),
                regions: set([region("us-east-1"), region("us-west-2")]),
            },
        ),
        resource("cluster", ResourceKind::Eks { clusters: by_region(cluster("east", 1), cluster("west", 4)) }),
        resource(
            "reports",
            ResourceKind::Ecs {
                services: by_region(
                    EcsService { cluster: "east".to_owned(), service: "reports".to_owned(), tasks: 3 },
                    EcsService { cluster: "west".to_owned(), service: "reports".to_owned(), tasks: 4 },
                ),
            },
        ),
        resource("kafka", ResourceKind::Msk { clusters: texts("kafka", "dr-kafka") }),
        resource(
            "ledger",
            ResourceKind::Postgresql { instances: by_region(server("east", true), server("west", false)) },
        ),
    ]
}

pub fn record_sets() -> Vec<RecordSet> {
    let values = |ttl_seconds, value: &str| RecordData::Values { ttl_seconds, values: vec![value.to_owned()] };
    let alias = |evaluate_target_health| RecordData::Alias {
        zone_id: "Z35SXDOTRQ7X7K".to_owned(),
        dns_name: "alb.example.com".to_owned(),
        evaluate_target_health,
    };
    let record = |kind, name: Option<&str>, routing, check: Option<&str>, data| RecordSet {
        kind,
        set_identifier: name.map(str::to_owned),
        routing,
        health_check_id: check.map(str::to_owned),
        data,
    };
    vec![
        record(RecordKind::A, None, Routing::Simple, None, alias(true)),
        record(RecordKind::Aaaa, Some("p"), Routing::FailoverPrimary, Some("hc-1"), alias(false)),
        record(RecordKind::Aaaa, Some("s"), Routing::FailoverSecondary, None, values(61, "2001:db8::1")),
        record(RecordKind::Cname, Some("w"), Routing::Weighted(255), None, values(62, "web.example.net")),
        record(RecordKind::Cname, Some("z"), Routing::Weighted(0), None, values(0, "old.example.net")),
    ]
}

pub fn actions() -> Vec<Action> {
    let instance = "maip-prod-postgres".to_owned();
    let groups = |purpose| Action::RdsSetSecurityGroups {
        instance: "maip-prod-postgres".to_owned(),
        security_groups: set(["sg-1".to_owned(), "sg-2".to_owned()]),
        purpose,
    };
    let verify = |body: Option<&str>| Action::HttpVerify {
        url: "http://api.maip.example.com/".to_owned(),
        expect_status: 200,
        body_contains: body.map(str::to_owned),
        consecutive: 3,
    };
    let (zone_id, record) = ("Z1".to_owned(), "api.maip.example.com".to_owned());
    vec![
        groups(SecurityGroupPurpose::Fence),
        groups(SecurityGroupPurpose::Unfence),
        Action::RdsReboot { instance: instance.clone() },
        Action::RdsAwaitCaughtUp { instance: instance.clone() },
        Action::Grant,
        Action::RdsPromote { instance: instance.clone(), backup_retention_days: 7 },
        Action::RdsSetBackupRetention { instance, days: 8 },
        Action::Route53Replace { zone_id: zone_id.clone(), record: record.clone(), sets: record_sets() },
        Action::Route53CreateToken { zone_id, record },
        verify(Some("us-west-2")),
        verify(None),
        Action::SnsNotify {
            topic_arn: "arn:aws:sns:us-west-2:1:oncall".to_owned(),
            subject: "maip moved".to_owned(),
            message: "to us-west-2".to_owned(),
        },
        Action::RdsCheckReplica {
            instance: "maip-prod-postgres-replica".to_owned(),
            source_instance: "maip-prod-postgres".to_owned(),
            closed_security_group: "sg-closed".to_owned(),
            standalone_ok: true,
        },
    ]
    .into_iter()
    .chain(compute_actions())
    .chain(data_actions())
    .chain(postgres_actions())
    .collect()
}

fn compute_actions() -> Vec<Action> {
    let text = str::to_owned;
    let (cluster, node_group, namespace, service) = (text("dr-eks"), text("dr-nodes"), text("maip"), text("reports"));
    vec![
        Action::EksCheckNodegroup { cluster: cluster.clone(), node_group: node_group.clone() },
        Action::EksScaleNodegroup {
            cluster: cluster.clone(),
            node_group: node_group.clone(),
            min: 4,
            max: 20,
            desired: 8,
        },
        Action::EksRestoreNodegroup { cluster: cluster.clone(), node_group, as_of: id("eks-check-nodegroup-cluster") },
        Action::KubernetesCheck {
            cluster: cluster.clone(),
            namespace: namespace.clone(),
            deployments: set([text("api"), text("worker")]),
        },
        Action::KubernetesScale {
            cluster: cluster.clone(),
            namespace: namespace.clone(),
            replicas: 4,
            deployments: [(text("api"), 6), (text("worker"), 2)].into(),
        },
        Action::KubernetesRestore { cluster: cluster.clone(), namespace, as_of: id("kubernetes-check-cluster") },
        Action::EcsCheckService { cluster: cluster.clone(), service: service.clone() },
        Action::EcsScaleService { cluster: cluster.clone(), service: service.clone(), tasks: 3 },
        Action::EcsRestoreService { cluster, service, as_of: id("ecs-check-reports") },
    ]
}

fn server(name: &str, whole: bool) -> PostgresInstance {
    PostgresInstance {
        host: format!("pg.{name}.example.com"),
        port: 5433,
        database: "orders".to_owned(),
        user: "mesh".to_owned(),
        password_file: whole.then(|| "password".to_owned()),
        ca_file: whole.then(|| "ca.pem".to_owned()),
        data_directory: whole.then(|| "/var/lib/postgresql/15/main".to_owned()),
    }
}

fn postgres_actions() -> Vec<Action> {
    let (instance, source) = (server("east", true), server("west", false));
    vec![
        Action::PostgresCheckReplica { instance: instance.clone(), promoted_ok: true },
        Action::PostgresFence { instance: instance.clone() },
        Action::PostgresUnfence { instance: instance.clone() },
        Action::PostgresAwaitCaughtUp { instance: instance.clone() },
        Action::PostgresPromote { instance: instance.clone() },
        Action::PostgresRejoin { instance, source },
    ]
}

/// Not among [`actions`], which the golden files of plans and journals hold.
pub fn hook_actions() -> Vec<Action> {
    let hook = || "stop-writers".to_owned();
    vec![Action::HookFence { hook: hook() }, Action::HookUnfence { hook: hook() }]
}

/// Not among [`actions`], either.
pub fn gateway_actions() -> Vec<Action> {
    let (api, stage) = ("a1b2c3d4e5".to_owned(), "$default".to_owned());
    let open = Throttle { rate: 1001, burst: 502 };
    vec![
        Action::ApiGatewayClose { api: api.clone(), stage: stage.clone() },
        Action::ApiGatewayOpen { api, stage, open },
    ]
}

/// Not in [`fencing`], which the golden file of manifests holds.
pub fn throttle() -> Fence {
    let stage = |api: &str| ApiStage {
        api: api.to_owned(),
        stage: "prod".to_owned(),
        open: Throttle { rate: 1001, burst: 502 },
    };
    let stages = BTreeMap::from([(region("us-east-1"), stage("aeast")), (region("us-west-2"), stage("awest"))]);
    Fence::ApiGatewayThrottle { name: "web".to_owned(), stages }
}

fn data_actions() -> Vec<Action> {
    let (table, from) = ("analytics".to_owned(), region("us-east-1"));
    vec![
        Action::MskCheckCluster { cluster: "dr-kafka".to_owned() },
        Action::DynamodbCheckReplica { table: table.clone(), from: from.clone() },
        Action::DynamodbAwaitLag { table, from, lag_max: ms(30_001) },
    ]
}

fn retry() -> Retry {
    Retry { attempts_max: 5, backoff_min: ms(101), backoff_max: ms(10_102) }
}

/// One step of each action, each after the one before it.
pub fn plan() -> Plan {
    let undo = actions().into_iter().next();
    let steps = actions().into_iter().enumerate().map(|(i, action)| {
        let reversibility = match i {
            0 => Reversibility::Reversible,
            5 => Reversibility::OneWay,
            _ => Reversibility::NothingToUndo,
        };
        Step {
            id: id(&format!("step-{i}")),
            title: format!("title {i}"),
            region: region("us-west-2"),
            action,
            after: i.checked_sub(1).map(|before| id(&format!("step-{before}"))).into_iter().collect(),
            timeout: ms(60_000 + u64::try_from(i).expect("small")),
            retry: retry(),
            reversibility,
            undo: undo.clone().filter(|_| reversibility == Reversibility::Reversible),
        }
    });
    Plan {
        service: id("maip"),
        kind: PlanKind::Failover,
        from: region("us-east-1"),
        to: region("us-west-2"),
        manifest_version: 3,
        generation: Generation(7),
        steps: steps.collect(),
        warnings: vec!["eks is not scaled".to_owned(), "msk is not moved".to_owned()],
        loss: losses().remove(1),
    }
}

pub fn plans() -> Vec<Plan> {
    let setup = Plan { kind: PlanKind::TrafficSetup, warnings: Vec::new(), ..plan() };
    let with_loss = losses().into_iter().map(|loss| Plan { loss, ..plan() });
    with_loss.chain([setup]).collect()
}

/// The second as it was written before its signal and its time were kept: the golden files have it.
pub fn losses() -> Vec<PredictedLoss> {
    let lag = |signal: &str, measured_at| PredictedLoss::Lag {
        lag: ms(1_500),
        age: ms(2_500),
        observer: "usw2-a".to_owned(),
        signal: signal.to_owned(),
        measured_at,
    };
    let told = lag("CloudWatch's ReplicaLag of database", at(79));
    vec![PredictedLoss::Nothing, lag("", Timestamp::default()), PredictedLoss::Unknown, told]
}

pub fn outcomes() -> Vec<Outcome> {
    let results = [
        OutcomeResult::Done,
        OutcomeResult::Refused { retry: true },
        OutcomeResult::Refused { retry: false },
        OutcomeResult::Unknown,
    ];
    let outcome = |result| Outcome {
        result,
        detail: "as wanted".to_owned(),
        read_back: r#"{"status":"available"}"#.to_owned(),
        before: r#"{"status":"modifying"}"#.to_owned(),
        calls: 2,
        provider_wait: ms(12_345),
    };
    results.into_iter().map(outcome).collect()
}

fn intents() -> Vec<Intent> {
    let intent = |seq: u64, outcome: Option<Outcome>| Intent {
        seq: IntentSeq(seq),
        key: "maip-g7/step-0".to_owned(),
        generation: Generation(7),
        agent: id("use1-a"),
        opened_at: at(1_000 + seq),
        closed_at: outcome.as_ref().map(|_| at(2_000 + seq)),
        outcome,
    };
    let open = intent(99, None);
    outcomes().into_iter().zip(20..).map(|(outcome, seq)| intent(seq, Some(outcome))).chain([open]).collect()
}

pub fn works() -> Vec<Work> {
    let reason = || "why".to_owned();
    let states = [
        WorkState::Waiting,
        WorkState::Open,
        WorkState::Backoff { until: at(5_000), reason: reason() },
        WorkState::Done,
        WorkState::Skipped { reason: reason() },
        WorkState::Failed { reason: reason() },
    ];
    let work = |state| Work { state, started_at: Some(at(11)), ended_at: Some(at(12)), intents: intents() };
    states.into_iter().map(work).chain([Work::default()]).collect()
}

pub fn run_states() -> Vec<RunState> {
    let reason = || "why".to_owned();
    vec![
        RunState::Running,
        RunState::Unwinding,
        RunState::Held { reason: reason(), need: Need::Consent { region: region("us-east-1") } },
        RunState::Held { reason: reason(), need: Need::Decision { step: id("step-0") } },
        RunState::Held { reason: reason(), need: Need::Approval { step: id("step-0"), people: 2 } },
        RunState::Done,
        RunState::Compensated,
        RunState::Refused { reason: reason() },
    ]
}

pub fn approval() -> Approval {
    Approval {
        key: id("ada-1"),
        subject: "consent maip-g7".to_owned(),
        expires_at: at(900_000),
        signature: (0..64).collect(),
        at: at(800_000),
    }
}

pub fn run() -> Run {
    let plan = plan();
    let steps = plan.steps.iter().zip(works().into_iter().cycle()).map(|(step, forward)| {
        let undo = step.undo.as_ref().map(|_| Work { state: WorkState::Open, ..Work::default() });
        (step.id.clone(), StepRun { forward, undo })
    });
    Run {
        id: id("maip-g7"),
        plan_hash: mesh_proto::plan_hash(&plan),
        requested_by: "spiffe://demo/region/us-east-1/operator/ada".to_owned(),
        started_at: at(1_700_000_000_001),
        state: run_states().remove(2),
        paused: Some(Pause { by: "spiffe://demo/region/us-east-1/operator/bob".to_owned(), at: at(1_700_000_000_002) }),
        unwind: Some(Unwind {
            generation: Generation(8),
            by: "mesh".to_owned(),
            reason: "asked".to_owned(),
            at: at(1_700_000_000_003),
        }),
        approvals: vec![approval()],
        steps: steps.collect(),
        timeline: vec![
            TimelineEntry { at: at(1), step: Some(id("step-0")), text: "opened".to_owned() },
            TimelineEntry { at: at(2), step: None, text: "paused".to_owned() },
        ],
        ended_at: Some(at(1_700_000_000_004)),
        cause: Cause::Automatic { judgement: Box::new(judgement()) },
        loss: PredictedLoss::Unknown,
        measured: measured_losses().pop(),
        released: Some(Release { keys: vec![id("ada-1")], at: at(1_700_000_000_005) }),
        overrides: set(["order".to_owned(), "fresh".to_owned()]),
        plan,
    }
}

/// Asked for by a person who knew of the freeze.
pub fn despite() -> Run {
    Run { cause: Cause::DespiteFreeze { reason: "the region burns".to_owned() }, ..run() }
}

pub fn runs() -> Vec<Run> {
    let bare = Run {
        paused: None,
        unwind: None,
        approvals: Vec::new(),
        steps: BTreeMap::new(),
        timeline: Vec::new(),
        ended_at: None,
        ..run()
    };
    run_states().into_iter().map(|state| Run { state, ..run() }).chain([bare]).collect()
}

/// With every way in which somebody is told.
pub fn note() -> AutomaticNote {
    let (agent, topic) = (id("usw2-a"), "arn:aws:sns:us-west-2:123456789012:oncall".to_owned());
    let told = [
        ("a", Telling::Due),
        ("b", Telling::Asked { agent, seq: IntentSeq(21), topic: topic.clone(), at: at(4_006) }),
        ("c", Telling::Published { agent: id("usw2-b"), topic }),
        ("d", Telling::Failed { reason: "denied".to_owned() }),
    ];
    AutomaticNote {
        at: at(4_005),
        to: region("us-west-2"),
        text: "it would move".to_owned(),
        about: About::Blocked,
        told: told.into_iter().map(|(step, telling)| (id(step), telling)).collect(),
    }
}

pub fn service() -> Service {
    let authority = |generation, state| Authority { generation: Generation(generation), state };
    let mut authorities =
        by_region(authority(5, AuthorityState::Closed { run: id("maip-g6") }), authority(6, AuthorityState::Granted));
    let keys: Vec<KeyId> = vec![id("ada-1"), id("bob-1")];
    let consent = AuthorityState::ClosedByConsent { run: id("maip-g4"), keys };
    authorities.insert(region("eu-west-1"), authority(3, consent));
    authorities.insert(region("eu-west-2"), authority(2, AuthorityState::Ending { wanted: Generation(9) }));
    for (place, proof) in ["eu-central-1", "eu-north-1", "eu-south-1"].into_iter().zip(proofs()) {
        authorities.insert(region(place), authority(1, AuthorityState::Proven { run: id("maip-g2"), proof }));
    }
    Service {
        manifest: manifest(),
        version: 3,
        source: "apiVersion: mesh/v1\n".to_owned(),
        applied_by: "spiffe://demo/region/us-east-1/admin/ada".to_owned(),
        applied_at: at(4_001),
        generation: Generation(8),
        intent: IntentSeq(99),
        active: region("us-east-1"),
        authority: authorities,
        current_run: Some(id("maip-g7")),
        open_calls: vec![OpenCall {
            resource: "rds/us-east-1/maip-prod-postgres".to_owned(),
            generation: Generation(6),
            until: at(4_002),
        }],
        armed: false,
        automatic_at: Some(at(4_003)),
        acknowledged_at: Some(at(4_004)),
        freeze: Some(freeze()),
        // As versions wrote it that told nobody.
        noted: Some(AutomaticNote { about: About::ShouldMove, told: BTreeMap::new(), ..note() }),
        asks: vec![AskList { version: 4, members: set([id("use1-a"), id("usw2-a")]) }],
        lease_longest: ms(17_000),
    }
}

pub fn judgement() -> JudgementRecord {
    let view = |observer: &str, sees| View {
        observer: id(observer),
        region: region("us-west-2"),
        subject: "api".to_owned(),
        sees,
        counts: true,
        because: "fresh".to_owned(),
    };
    let verdict = |verdict, pattern| RegionVerdict {
        verdict,
        pattern,
        since: Some(at(5_001)),
        quorum: Quorum { needed: 3, fresh: 4, failing: 3, regions_failing: 2, regions_needed: 2 },
        short: None,
        views: vec![
            view("usw2-a", Sees::Passing),
            view("usw2-b", Sees::Failing { since: at(5_000), reason: "refused".to_owned() }),
            view("euc1-a", Sees::Unknown { reason: "no answer".to_owned() }),
        ],
        missing: vec!["one more region".to_owned()],
    };
    let rule = |rule: &str, state| RuleRecord { rule: rule.to_owned(), state, text: "as measured".to_owned() };
    JudgementRecord {
        service: id("maip"),
        at: at(5_100),
        regions: by_region(
            verdict(Verdict::Down, Pattern::Outage),
            RegionVerdict { since: None, ..verdict(Verdict::Healthy, Pattern::Well) },
        ),
        rules: vec![
            rule("verdict", RuleState::Held),
            rule("freeze", RuleState::Blocks),
            rule("rpo", RuleState::Missing),
            rule("order", RuleState::NotApplicable),
        ],
        conclusion: Conclusion::Act { to: region("us-west-2"), mode: AutomaticMode::Full },
        next_look: Some(at(6_000)),
    }
}

pub fn freeze() -> Freeze {
    Freeze {
        until: at(9_000),
        by: "spiffe://demo/region/us-east-1/operator/ada".to_owned(),
        reason: "a migration".to_owned(),
        at: at(8_000),
    }
}

pub fn measured_losses() -> Vec<MeasuredLoss> {
    let source = || "rds-promote-database".to_owned();
    vec![
        MeasuredLoss::Nothing { because: "caught up".to_owned() },
        MeasuredLoss::Time { lost: ms(1_250), source: source() },
        MeasuredLoss::Unknown { reason: "nobody counted".to_owned() },
        MeasuredLoss::After {
            through: at(80),
            outage: Some(at(81)),
            closed: Some(at(82)),
            bytes_at_least: Some(8_192),
            source: source(),
        },
        MeasuredLoss::Bytes { lost: 4_096, source: source() },
    ]
}

pub fn safety_rules() -> Vec<SafetyRule> {
    let rule = |name: &str, scope, rule: &str| SafetyRule {
        name: name.to_owned(),
        scope,
        rule: rule.parse().expect("a rule"),
    };
    vec![
        rule("fresh", RuleScope::Service, "lag(database) < 5s"),
        rule("enough", RuleScope::Mesh, "regions-on >= 1"),
        rule("order", RuleScope::Service, "traffic after promotion"),
        rule("same", RuleScope::Service, "items-equal(analytics)"),
    ]
}

pub fn fencing() -> Fencing {
    let reaction = Duration::from_secs(5);
    let fences = vec![
        Fence::LeaseEndpoint { reaction },
        Fence::Watchdog { reaction: 2 * reaction },
        Fence::PostgresqlReadOnly,
        Fence::Hook { name: "stop-writers".to_owned() },
        Fence::Unfenced,
    ];
    Fencing { fences, length: reaction, margin: Duration::from_millis(500) }
}

pub fn proofs() -> Vec<Proof> {
    let agents = BTreeSet::from([id("use1-a"), id("use1-b")]);
    vec![
        Proof::Fenced { agents: agents.clone() },
        Proof::LeaseEnded { waited: Duration::from_millis(5_600), promises: agents },
        Proof::Accepted,
    ]
}

pub fn services() -> Vec<Service> {
    let manifest = Manifest { writer: WriterMode::Multi, fence: Fencing::default(), ..manifest() };
    vec![
        service(),
        Service {
            manifest,
            authority: BTreeMap::new(),
            current_run: None,
            open_calls: Vec::new(),
            armed: true,
            automatic_at: None,
            acknowledged_at: None,
            freeze: None,
            noted: None,
            asks: Vec::new(),
            lease_longest: LEASE_DEFAULT,
            ..service()
        },
    ]
}

pub fn agent() -> AgentRecord {
    AgentRecord { region: region("us-east-1"), registered_at: at(77), address: Some("10.0.0.4:7010".to_owned()) }
}

pub fn key() -> EnrolledKey {
    EnrolledKey {
        owner: "ada".to_owned(),
        public_key: (100..132).collect(),
        enrolled_by: "spiffe://demo/region/us-east-1/admin/bob".to_owned(),
        enrolled_at: at(78),
    }
}

pub fn signals() -> Vec<Signal> {
    let readings = [
        Reading::Passing { latency: ms(12) },
        Reading::Failing { reason: "connection refused".to_owned(), since: at(13) },
        Reading::ReplicaLag { lag: ms(14) },
        Reading::Unknown { reason: "no answer".to_owned() },
        Reading::Items { from: region("us-east-1"), there: 120, here: 118 },
    ];
    let signal = |reading| Signal {
        observer: id::<AgentId>("usw2-a"),
        observer_region: region("us-west-2"),
        service: id::<ServiceId>("maip"),
        region: region("us-east-1"),
        subject: "api".to_owned(),
        reading,
        at: at(15),
    };
    readings.into_iter().map(signal).collect()
}

pub fn jobs() -> Vec<Job> {
    let job = |(i, action): (usize, Action)| Job {
        service: id("maip"),
        run: id("maip-g7"),
        step: id("step-1"),
        direction: if i % 2 == 0 { Direction::Forward } else { Direction::Undo },
        token: Token { generation: Generation(7), intent: IntentSeq(21) },
        key: "maip-g7/step-1".to_owned(),
        region: region("us-west-2"),
        action,
        time_left: ms(59_000),
        retry: retry(),
        maybe_sent_since: (i % 3 == 0).then(|| at(16)),
        mesh_time: (i % 3 == 1).then(|| at(17)),
        retried_by_person: i % 2 == 1,
        evidence: BTreeMap::from([(id::<StepId>("step-0"), r#"{"provider_time_ms":17}"#.to_owned())]),
    };
    actions().into_iter().enumerate().map(job).collect()
}

pub fn call_results() -> Vec<CallResult> {
    let reason = || "because".to_owned();
    vec![
        CallResult::Accepted { reference: "change/C1".to_owned() },
        CallResult::NotApplied { reason: reason() },
        CallResult::Rejected { reason: reason() },
        CallResult::Unknown { reason: reason() },
    ]
}

/// One of each kind, by its name.
pub fn commands() -> Vec<(&'static str, Command)> {
    let run: RunId = id("maip-g7");
    let step: StepId = id("step-0");
    let by = "spiffe://demo/region/us-east-1/operator/ada".to_owned();
    let reason = "because".to_owned();
    let approvals = vec![approval()];
    let direction = Direction::Forward;
    let outcome = outcomes().remove(0);
    vec![
        ("name-mesh", Command::NameMesh { mesh: "demo".to_owned() }),
        (
            "apply-manifest",
            Command::ApplyManifest {
                manifest: Box::new(manifest()),
                source: "apiVersion: mesh/v1\n".to_owned(),
                by: by.clone(),
                expected_version: 2,
            },
        ),
        ("register-agent", Command::RegisterAgent { agent: id("use1-a"), region: region("us-east-1") }),
        (
            "start-run",
            Command::StartRun {
                plan: Box::new(plan()),
                plan_hash: mesh_proto::plan_hash(&plan()),
                by: by.clone(),
                cause: Cause::Automatic { judgement: Box::new(judgement()) },
                safety: judgement().rules,
                approvals: vec![approval()],
            },
        ),
        ("open-intent", Command::OpenIntent { run: run.clone(), step: step.clone(), direction, agent: id("use1-a") }),
        (
            "close-intent",
            Command::CloseIntent { run: run.clone(), step: step.clone(), direction, seq: IntentSeq(21), outcome },
        ),
        (
            "fail-step",
            Command::FailStep {
                run: run.clone(),
                step: step.clone(),
                direction: Direction::Undo,
                reason: reason.clone(),
            },
        ),
        ("grant", Command::Grant { run: run.clone(), step }),
        ("revoke", Command::Revoke { run: run.clone() }),
        (
            "prove-closed",
            Command::ProveClosed {
                run: run.clone(),
                region: region("us-east-1"),
                proof: Proof::LeaseEnded { waited: ms(16_000), promises: set([id("usw2-a")]) },
            },
        ),
        ("set-ask-list", Command::SetAskList { service: id("maip"), members: set([id("use1-a"), id("usw2-a")]) }),
        ("retire-ask-lists", Command::RetireAskLists { service: id("maip"), version: 4 }),
        ("note-address", Command::NoteAddress { agent: id("use1-a"), address: Some("10.0.0.4:7010".to_owned()) }),
        (
            "restored",
            Command::Restored {
                backup: hash(3),
                made_at: at(1_700_000_000_000),
                lost_at: at(1_700_000_100_000),
                by: by.clone(),
            },
        ),
        (
            "freeze",
            Command::Freeze {
                service: Some(id("maip")),
                until: at(9_000),
                by: by.clone(),
                reason: "a migration".to_owned(),
            },
        ),
        ("unfreeze", Command::Unfreeze { service: None, by: by.clone() }),
        ("acknowledge", Command::Acknowledge { service: id("maip"), by: by.clone() }),
        (
            "note-automatic",
            Command::NoteAutomatic { service: id("maip"), to: region("us-west-2"), text: "it would move".to_owned() },
        ),
        (
            "ask-notice",
            Command::AskNotice {
                service: id("maip"),
                step: id("sns-notify-oncall"),
                at: at(4_005),
                topic: "arn:aws:sns:us-west-2:123456789012:oncall".to_owned(),
                agent: id("usw2-a"),
            },
        ),
        (
            "close-notice",
            Command::CloseNotice {
                service: id("maip"),
                step: id("sns-notify-oncall"),
                seq: IntentSeq(22),
                outcome: Telling::Failed { reason: "denied".to_owned() },
            },
        ),
        ("note-loss", Command::NoteLoss { run: run.clone(), loss: losses().remove(1) }),
        ("pause", Command::Pause { run: run.clone(), by: by.clone() }),
        ("resume", Command::Resume { run: run.clone(), by: by.clone() }),
        ("abort", Command::Abort { run: run.clone(), by: by.clone(), reason }),
        ("retry", Command::Retry { run: run.clone(), by: by.clone() }),
        ("approve", Command::Approve { run, approval: approval(), by: by.clone() }),
        (
            "enroll-key",
            Command::EnrollKey {
                key: id("ada-1"),
                owner: "ada".to_owned(),
                public_key: (100..132).collect(),
                approvals: approvals.clone(),
                by: by.clone(),
            },
        ),
        ("revoke-key", Command::RevokeKey { key: id("ada-1"), approvals: approvals.clone(), by: by.clone() }),
        ("set-armed", Command::SetArmed { service: id("maip"), armed: true, by: by.clone() }),
        ("note-membership", Command::NoteMembership { text: "promote 4".to_owned(), approvals, by }),
    ]
}

pub fn replies() -> Vec<Reply> {
    let codes = [
        RefusalCode::Invalid,
        RefusalCode::NotFound,
        RefusalCode::Conflict,
        RefusalCode::Precondition,
        RefusalCode::NeedsApproval,
    ];
    let refused = codes.map(|code| Reply::Refused(Refusal { code, message: "no".to_owned() }));
    let started = |existing| Reply::RunStarted { run: id("maip-g7"), existing };
    let others = [
        Reply::Ok,
        Reply::ManifestApplied { version: 4 },
        started(true),
        started(false),
        Reply::IntentOpened { seq: IntentSeq(5) },
    ];
    refused.into_iter().chain(others).collect()
}

pub fn hash(byte: u8) -> Hash32 {
    Hash32([byte; 32])
}

pub fn survey_questions() -> Vec<Question> {
    let examination = |depth, names, armed, probe| {
        let manifest = manifest();
        Question::Examine(Box::new(Examination { manifest, active: region("us-east-1"), depth, names, armed, probe }))
    };
    vec![
        Question::Discover { names: true },
        Question::Discover { names: false },
        examination(Depth::Agent, true, false, false),
        examination(Depth::Region, false, true, false),
        examination(Depth::Region, false, false, true),
    ]
}

pub fn findings() -> Vec<Finding> {
    let finding = |level: Level| Finding {
        level,
        subject: format!("subject of {}", level.as_str()),
        text: "text".to_owned(),
        mend: "mend".to_owned(),
    };
    Level::ALL.into_iter().map(finding).collect()
}

pub fn inventory() -> Inventory {
    let text = str::to_owned;
    Inventory {
        account: text("123456789012"),
        databases: vec![
            Database {
                instance: text("primary"),
                arn: text("arn:aws:rds:us-east-1:1:db:primary"),
                engine: text("postgres"),
                status: text("available"),
                source: None,
                security_groups: vec![text("sg-1"), text("sg-2")],
                endpoint: Some(text("primary.example.com:5432")),
                backup_retention_days: 7,
            },
            Database { instance: text("replica"), source: Some(text("arn")), ..Database::default() },
        ],
        tables: vec![Table {
            name: text("analytics"),
            status: text("ACTIVE"),
            replicas: [(text("us-east-1"), text("ACTIVE")), (text("us-west-2"), text("CREATING"))].into(),
        }],
        clusters: vec![Cluster {
            name: text("east"),
            status: text("ACTIVE"),
            node_groups: vec![NodeGroup { name: text("nodes"), status: text("ACTIVE"), min: 1, max: 20, desired: 8 }],
            namespaces: [(text("maip"), [(text("api"), 4)].into())].into(),
        }],
        task_services: vec![TaskService {
            cluster: text("tasks"),
            service: text("reports"),
            status: text("ACTIVE"),
            desired: 3,
            running: 2,
        }],
        kafka: vec![Kafka { name: text("kafka"), state: text("ACTIVE") }],
        topics: vec![text("arn:aws:sns:us-east-1:1:oncall")],
        zones: vec![Zone {
            id: text("Z1"),
            name: text("example.com"),
            private: true,
            names: vec![ZoneName {
                record: text("api.example.com"),
                sets: record_sets(),
                foreign: vec![text("latency routing")],
            }],
        }],
        gaps: findings(),
    }
}

pub fn survey_answers() -> Vec<Answer> {
    vec![
        Answer::Inventory(Box::new(inventory())),
        Answer::Inventory(Box::default()),
        Answer::Findings(findings()),
        Answer::Findings(Vec::new()),
    ]
}
