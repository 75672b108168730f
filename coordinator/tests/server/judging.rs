//! What agents see comes to a judgement, a judgement to a run; and what people say to that.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::access::Role;
use mesh_core::fleet::Command;
use mesh_core::ids::ServiceId;
use mesh_core::manifest::{AutomaticMode, Check, Manifest, Probe, Vantage, WriterMode};
use mesh_core::run::Cause;
use mesh_proto::v1;
use tonic::Code;
use v1::from_agent::Message as Say;
use v1::signal::Reading;

use crate::fixture::{EAST, WEST, maip, region};
use crate::world::{Agent, PATIENCE, World};

pub const WITNESS: &str = "eu-central-1";
pub const SUSTAINED: Duration = Duration::from_secs(3);

/// Without a database, so that nothing but the verdict stands in the way.
fn web(automatic: AutomaticMode) -> Manifest {
    let mut manifest = maip();
    manifest.service = ServiceId::new("web").expect("a name");
    (manifest.writer, manifest.resources) = (WriterMode::Multi, Vec::new());
    let urls = [EAST, WEST].map(|place| (region(place), format!("http://{place}.example.com/")));
    manifest.checks = vec![Check {
        name: "app".to_owned(),
        probe: Probe::Http {
            urls: BTreeMap::from(urls),
            expect_status: 200,
            body_contains: None,
            latency_max: None,
            ca_file: None,
        },
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        fail_after: 2,
        pass_after: 2,
        critical: true,
        observe_only: false,
        from: Vantage::Both,
    }];
    (manifest.policy.automatic, manifest.policy.sustained) = (automatic, SUSTAINED);
    manifest
}

pub fn adopt(world: &World, automatic: AutomaticMode) {
    let manifest = Box::new(web(automatic));
    let service = manifest.service.clone();
    let by = "test".to_owned();
    world.shared.apply(&Command::ApplyManifest {
        manifest,
        source: String::new(),
        by: by.clone(),
        expected_version: 0,
    });
    world.shared.apply(&Command::SetArmed { service, armed: true, by });
}

/// What one agent says: the east fails for so long, or passes; the west passes.
pub async fn sees(agent: &Agent, (place, name): (&str, &str), east_fails_for: Option<Duration>) {
    let signal = |about: &str, reading, failing_for_ms| v1::Signal {
        observer: name.to_owned(),
        observer_region: place.to_owned(),
        service: "web".to_owned(),
        region: about.to_owned(),
        subject: "app".to_owned(),
        reading: Some(reading),
        at: 1,
        age_ms: 0,
        failing_for_ms,
        ..Default::default()
    };
    let failing = |_| Reading::Failing(v1::Failing { reason: "no answer".to_owned(), since: 1 });
    let for_ms = east_fails_for.map(|lasting| u64::try_from(lasting.as_millis()).expect("short"));
    let east = signal(EAST, for_ms.map_or(Reading::PassingMs(5), failing), for_ms);
    let west = signal(WEST, Reading::PassingMs(5), None);
    agent.say(Say::Signals(v1::Signals { signals: vec![east, west] })).await;
}

/// The agents that watch: two in each region.
async fn observers(world: &World) -> Vec<(&'static str, &'static str, Agent)> {
    let mut all = Vec::new();
    for (place, name) in [
        (EAST, "use1-a"),
        (EAST, "use1-b"),
        (WEST, "usw2-a"),
        (WEST, "usw2-b"),
        (WITNESS, "euc1-a"),
        (WITNESS, "euc1-b"),
    ] {
        all.push((place, name, world.agent(1, place, name).await));
    }
    all
}

pub async fn why_not(world: &World, node: usize) -> v1::Judgement {
    let request = v1::WhyNotRequest { service: "web".to_owned(), to: String::new() };
    let answer = world.operator(node, Role::Viewer, "vic").why_not(request).await.expect("an answer");
    answer.into_inner().judgement.expect("a judgement")
}

/// Asks until `reached`; agents repeat themselves meanwhile, as they do.
async fn until(
    world: &World,
    observers: &[(&str, &str, Agent)],
    fails_for: impl Fn(&str) -> Option<Duration>,
    reached: impl Fn(&v1::Judgement) -> bool,
) -> v1::Judgement {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        for (place, name, agent) in observers {
            sees(agent, (place, name), fails_for(place)).await;
        }
        let judged = why_not(world, 1).await;
        if reached(&judged) {
            return judged;
        }
        assert!(tokio::time::Instant::now() < deadline, "{judged:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn verdict(judged: &v1::Judgement, place: &str) -> v1::Verdict {
    judged.regions.get(place).map_or(v1::Verdict::Unspecified, v1::RegionVerdict::verdict)
}

fn web_runs(world: &World) -> Vec<Cause> {
    let of_web = |run: &&mesh_core::run::Run| run.plan.service.as_str() == "web";
    world.shared.with_fleet(|fleet| fleet.runs.values().filter(of_web).map(|run| run.cause.clone()).collect())
}

#[tokio::test]
async fn what_a_quorum_saw_for_long_enough_starts_a_run_that_says_why() {
    let world = World::start(1).await;
    adopt(&world, AutomaticMode::Full);
    let observers = observers(&world).await;
    until(&world, &observers, |_| None, |judged| verdict(judged, EAST) == v1::Verdict::Healthy).await;
    assert!(web_runs(&world).is_empty());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while web_runs(&world).is_empty() {
        for (place, name, agent) in &observers {
            sees(agent, (place, name), Some(2 * SUSTAINED)).await;
        }
        assert!(tokio::time::Instant::now() < deadline, "{:?}", why_not(&world, 1).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let causes = web_runs(&world);
    let [Cause::Automatic { judgement }] = causes.as_slice() else { panic!("{causes:?}") };
    assert_eq!(judgement.regions[&region(EAST)].verdict, mesh_core::detect::Verdict::Down);
    let request = v1::WhyRequest { run: "web-g1".to_owned() };
    let answer = world.operator(1, Role::Viewer, "vic").why(request).await.expect("an answer").into_inner();
    let told = answer.run.and_then(|run| run.cause).expect("a cause");
    assert_eq!(verdict(&told, EAST), v1::Verdict::Down);
}

#[tokio::test]
async fn what_one_region_alone_sees_starts_nothing_and_every_node_says_why_not() {
    let world = World::start(2).await;
    adopt(&world, AutomaticMode::Full);
    let observers = observers(&world).await;
    let witness = |place: &str| (place == WITNESS).then_some(2 * SUSTAINED);
    until(&world, &observers, witness, |judged| verdict(judged, EAST) == v1::Verdict::Suspect).await;
    let passed_on = why_not(&world, 2).await;
    assert_eq!(verdict(&passed_on, EAST), v1::Verdict::Suspect);
    let blocking = |rule: &&v1::RuleResult| rule.state() == v1::RuleState::Blocks;
    let blocking: Vec<&str> = passed_on.rules.iter().filter(blocking).map(|rule| rule.rule.as_str()).collect();
    assert!(blocking.contains(&"verdict"), "{passed_on:?}");
    assert!(web_runs(&world).is_empty());
}

#[tokio::test]
async fn a_freeze_needs_an_operator_an_end_and_a_reason() {
    let world = World::start(1).await;
    adopt(&world, AutomaticMode::Full);
    let freeze = |lasting_ms, reason: &str| v1::FreezeRequest {
        service: "web".to_owned(),
        lasting_ms,
        reason: reason.to_owned(),
    };
    let mut viewer = world.operator(1, Role::Viewer, "vic");
    assert_eq!(viewer.freeze(freeze(1000, "x")).await.expect_err("refused").code(), Code::PermissionDenied);
    let mut operator = world.operator(1, Role::Operator, "olga");
    for bad in [freeze(0, "x"), freeze(u64::MAX, "x"), freeze(1000, " ")] {
        assert_eq!(operator.freeze(bad).await.expect_err("refused").code(), Code::InvalidArgument);
    }
    let answer = operator.freeze(freeze(60_000, "a release")).await.expect("frozen").into_inner();
    let service = ServiceId::new("web").expect("a name");
    let frozen = world.shared.with_fleet(|fleet| fleet.services[&service].freeze.clone()).expect("a freeze");
    assert_eq!((frozen.until.as_millis(), frozen.reason.as_str()), (answer.until, "a release"));
    let unheard = v1::FreezeRequest { service: "unheard".to_owned(), ..freeze(1000, "x") };
    assert_eq!(operator.freeze(unheard).await.expect_err("refused").code(), Code::NotFound);
    let thaw = v1::UnfreezeRequest { service: "web".to_owned() };
    operator.unfreeze(thaw).await.expect("thawed");
    let still = world.shared.with_fleet(|fleet| fleet.services[&service].freeze.clone());
    assert!(still.is_none_or(|freeze| freeze.until <= mesh_runtime::clock::unix_now()), "it goes on");
}

#[tokio::test]
async fn why_not_names_what_does_not_exist() {
    let world = World::start(1).await;
    let mut viewer = world.operator(1, Role::Viewer, "vic");
    for (service, to, code) in [("unheard", "", Code::NotFound), ("maip", "mars-1", Code::InvalidArgument)] {
        let request = v1::WhyNotRequest { service: service.to_owned(), to: to.to_owned() };
        assert_eq!(viewer.why_not(request).await.expect_err("refused").code(), code, "{service} {to}");
    }
}
