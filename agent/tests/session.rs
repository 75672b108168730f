//! The agent's session with fake coordinators, over real mTLS gRPC.

#[path = "support/all.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh_agent::agent;
use mesh_agent::config::{AgentConfig, TimingConfig};
use mesh_core::access::Role;
use mesh_proto::v1;
use mesh_runtime::shutdown::Shutdown;
use tokio::task::JoinHandle;
use v1::to_agent::Message as Say;

use support::coordinator::{Coordinator, Stance};
use support::outside::Thing;
use support::pki::Mesh;

struct Agent {
    thing: Arc<Thing>,
    shutdown: Shutdown,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn config(mesh: &Mesh, coordinators: &[&Coordinator]) -> AgentConfig {
    AgentConfig {
        mesh: "demo".to_owned(),
        agent: "use1-a".parse().expect("a name"),
        region: "us-east-1".parse().expect("a region"),
        coordinators: coordinators.iter().map(|coordinator| coordinator.address.clone()).collect(),
        data_dir: mesh.path().join("data"),
        tls: mesh.issue(Role::Agent, "us-east-1", "use1-a"),
        aws: Default::default(),
        dns: Default::default(),
        credentials_dir: None,
        postgresql: Default::default(),
        log: Default::default(),
        timing: TimingConfig::default(),
        lease: Default::default(),
        hooks: Default::default(),
    }
}

fn start(mesh: &Mesh, coordinators: &[&Coordinator]) -> Agent {
    let config = config(mesh, coordinators);
    let identities = agent::identities(&config).expect("its own certificate");
    let thing = Arc::new(Thing::default());
    let (outside, shutdown) = (thing.outside(), Shutdown::manual(Duration::from_secs(10)));
    let token = shutdown.clone();
    let running = tokio::spawn(async move { agent::run(&config, identities, outside, &token).await });
    Agent { thing, shutdown, running }
}

const LEADS: Stance = Stance::Leads { term: 3 };

fn job(seq: u64) -> v1::Job {
    let reboot = v1::RdsReboot { instance: "db".to_owned() };
    v1::Job {
        service: "maip".to_owned(),
        run: "maip-g3".to_owned(),
        step: "rds-reboot-database".to_owned(),
        direction: v1::Direction::Forward.into(),
        generation: 3,
        intent: seq,
        key: "maip-g3/rds-reboot-database".to_owned(),
        region: "us-east-1".to_owned(),
        action: Some(v1::Action { action: Some(v1::action::Action::RdsReboot(reboot)) }),
        time_left_ms: 300_000,
        retry: Some(v1::Retry { attempts_max: 3, backoff_min_ms: 100, backoff_max_ms: 1000 }),
        ..v1::Job::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_to_the_leader_is_followed() {
    let mesh = Mesh::new();
    let leader = Coordinator::start(&mesh, "c2", LEADS).await;
    let hint = Some(leader.address.clone());
    let follower = Coordinator::start(&mesh, "c1", Stance::Follows { leader: hint }).await;
    let _agent = start(&mesh, &[&follower]);
    let heard = leader.session(0).await;
    assert_eq!((heard.hello.agent.as_str(), heard.hello.region.as_str()), ("use1-a", "us-east-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_falls_silent_is_reached_by_way_of_another_and_directly_once_it_answers_again() {
    let mesh = Mesh::new();
    let leader = Coordinator::start(&mesh, "c1", LEADS).await;
    let passes_on = Stance::PassesOn { leader: leader.address.clone(), term: 3 };
    let follower = Coordinator::start(&mesh, "c2", passes_on).await;
    let agent = start(&mesh, &[&leader, &follower]);
    leader.session(0).await;
    leader.told().answers_pings = false;
    let passed_on = follower.session(0).await;
    assert_eq!(passed_on.hello.pass_on_to.as_ref(), Some(&leader.address));
    follower.say(Say::Offer(job(7)));
    follower.until("the outcome", |told| told.sessions[0].outcomes.first().cloned()).await;
    assert_eq!(agent.thing.calls(), 1, "a run goes on over the other way");
    leader.told().answers_pings = true;
    let direct = leader.session(1).await;
    assert_eq!(direct.hello.pass_on_to, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_named_and_cannot_be_reached_is_reached_by_way_of_who_named_it() {
    let mesh = Mesh::new();
    let nobody = "127.0.0.1:1".to_owned();
    let follower = Coordinator::start(&mesh, "c1", Stance::PassesOn { leader: nobody.clone(), term: 3 }).await;
    let _agent = start(&mesh, &[&follower]);
    assert_eq!(follower.session(0).await.hello.pass_on_to, Some(nobody));
    follower.kick();
    follower.session(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_session_is_opened_again() {
    let mesh = Mesh::new();
    let leader = Coordinator::start(&mesh, "c1", LEADS).await;
    let _agent = start(&mesh, &[&leader]);
    for number in 0..3 {
        leader.session(number).await;
        leader.kick();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_leader_is_left_for_another() {
    let mesh = Mesh::new();
    let silent = Coordinator::start(&mesh, "c1", LEADS).await;
    let leader = Coordinator::start(&mesh, "c2", Stance::Leads { term: 4 }).await;
    silent.told().answers_pings = false;
    let _agent = start(&mesh, &[&silent, &leader]);
    silent.session(0).await;
    leader.session(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_of_an_older_term_is_refused() {
    let mesh = Mesh::new();
    let leader = Coordinator::start(&mesh, "c1", LEADS).await;
    let _agent = start(&mesh, &[&leader]);
    leader.session(0).await;
    leader.told().stance = Stance::Leads { term: 2 };
    leader.kick();
    let old = leader.until("two refused sessions", |told| (told.sessions.len() > 2).then(|| told.sessions[1].clone()));
    assert_eq!(old.await.pings, 0, "it must not get a session");
    let number = {
        let mut told = leader.told();
        told.stance = LEADS;
        told.sessions.len()
    };
    let again = |told: &support::coordinator::Told| told.sessions[number..].iter().any(|s| s.pings > 0).then_some(());
    leader.until("a session in the known term", again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_is_sent_in_every_session_until_it_is_acknowledged() {
    let mesh = Mesh::new();
    let leader = Coordinator::start(&mesh, "c1", LEADS).await;
    leader.told().acknowledges = false;
    let agent = start(&mesh, &[&leader]);
    leader.session(0).await;
    leader.say(Say::Offer(job(7)));
    for number in 0..2 {
        let report = leader
            .until("the outcome", |told| told.sessions.get(number).and_then(|heard| heard.outcomes.first()).cloned())
            .await;
        assert_eq!((report.intent, report.run.as_str()), (7, "maip-g3"));
        let outcome = report.outcome.expect("an outcome");
        assert_eq!(outcome.result, v1::OutcomeResult::Done as i32, "{outcome:?}");
        leader.kick();
    }
    let third = leader.session(2).await;
    assert_eq!(third.hello.unfinished, [7]);
    leader.told().acknowledges = true;
    // From the third session on every report is answered; a session that is ended too early may lose the answer.
    for number in 2..60 {
        leader
            .until("a report, or nothing to report", |told| {
                let heard = told.sessions.get(number)?;
                (heard.hello.unfinished.is_empty() || !heard.outcomes.is_empty()).then_some(())
            })
            .await;
        if leader.session(number).await.hello.unfinished.is_empty() {
            assert_eq!(agent.thing.calls(), 1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        leader.kick();
    }
    panic!("the acknowledgement was never taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_offer_of_the_same_intent_is_answered_from_the_journal() {
    let mesh = Mesh::new();
    let leader = Coordinator::start(&mesh, "c1", LEADS).await;
    leader.told().acknowledges = false;
    let agent = start(&mesh, &[&leader]);
    leader.session(0).await;
    leader.say(Say::Offer(job(7)));
    leader.until("the outcome", |told| told.sessions[0].outcomes.first().cloned()).await;
    leader.say(Say::Offer(job(7)));
    leader.until("it again", |told| told.sessions[0].outcomes.get(1).cloned()).await;
    assert_eq!(agent.thing.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_run_waits_and_a_halt_is_acknowledged() {
    let mesh = Mesh::new();
    let leader = Coordinator::start(&mesh, "c1", LEADS).await;
    leader.told().paused.push("maip-g3".to_owned());
    let agent = start(&mesh, &[&leader]);
    leader.session(0).await;
    leader.say(Say::Halt(v1::Halt { run: "maip-g3".to_owned() }));
    leader.until("the acknowledgement", |told| told.sessions[0].halted.first().cloned()).await;
    leader.say(Say::Offer(job(7)));
    let pings = leader.session(0).await.pings;
    leader.until("further pings", |told| (told.sessions[0].pings > pings + 1).then_some(())).await;
    assert_eq!(agent.thing.calls(), 0);
    leader.told().paused.clear();
    leader.until("the outcome", |told| told.sessions[0].outcomes.first().cloned()).await;
    assert_eq!(agent.thing.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_is_answered_without_a_call() {
    let mesh = Mesh::new();
    let leader = Coordinator::start(&mesh, "c1", LEADS).await;
    let agent = start(&mesh, &[&leader]);
    leader.session(0).await;
    leader.say(Say::Check(v1::CheckRequest { id: 42, job: Some(job(0)) }));
    let report = leader.until("the report", |told| told.sessions[0].checks.first().cloned()).await;
    assert_eq!((report.id, report.verdict()), (42, v1::CheckVerdict::Ready));
    assert_eq!(agent.thing.calls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watched_checks_become_signals_about_every_region() {
    let mesh = Mesh::new();
    let leader = Coordinator::start(&mesh, "c1", LEADS).await;
    let _agent = start(&mesh, &[&leader]);
    leader.session(0).await;
    leader.say(Say::Watchlist(v1::Watchlist { services: vec![watched()] }));
    let find = |region: &'static str, subject: &'static str| {
        move |told: &support::coordinator::Told| {
            let signals = told.sessions.iter().flat_map(|heard| &heard.signals);
            signals.filter(|s| s.region == region && s.subject == subject).find_map(|s| s.reading.clone())
        }
    };
    use v1::signal::Reading;
    let up = leader.until("us-west-2", find("us-west-2", "health")).await;
    assert!(matches!(up, Reading::PassingMs(3)), "{up:?}");
    let down = leader.until("eu-west-1", find("eu-west-1", "health")).await;
    assert!(matches!(down, Reading::Failing(_)), "{down:?}");
    let lag = leader.until("the lag of this region's replica", find("us-east-1", "database")).await;
    assert!(matches!(lag, Reading::ReplicaLagMs(2000)), "{lag:?}");
}

fn watched() -> v1::WatchedService {
    let text = |text: &str| text.to_owned();
    let urls = [("us-west-2", "http://up/"), ("eu-west-1", "http://dead/")];
    let http = v1::HttpProbe {
        urls: urls.iter().map(|(region, url)| (text(region), text(url))).collect(),
        expect_status: 200,
        ..v1::HttpProbe::default()
    };
    let check = v1::Check {
        name: text("health"),
        interval_ms: 200,
        timeout_ms: 1000,
        fail_after: 1,
        pass_after: 1,
        critical: true,
        probe: Some(v1::check::Probe::Http(http)),
        ..v1::Check::default()
    };
    let instance = v1::RdsInstance {
        instance: text("replica"),
        security_groups: vec![text("sg-1")],
        closed_security_group: text("sg-0"),
    };
    let rds = v1::RdsResource { instances: [(text("us-east-1"), instance)].into(), backup_retention_days: 7 };
    let manifest = v1::Manifest {
        service: text("maip"),
        writer: v1::WriterMode::Single.into(),
        regions: [
            (text("us-west-2"), v1::RegionRole::Primary.into()),
            (text("us-east-1"), v1::RegionRole::Standby.into()),
        ]
        .into(),
        rto_ms: 60_000,
        rpo_ms: 60_000,
        checks: vec![check],
        resources: vec![v1::Resource { name: text("database"), kind: Some(v1::resource::Kind::Rds(rds)) }],
        policy: Some(v1::Policy {
            automatic: v1::AutomaticMode::Off.into(),
            fence_timeout_ms: 1000,
            catch_up_timeout_ms: 1000,
            scale_timeout_ms: 1000,
            gate_timeout_ms: 1000,
            promote_timeout_ms: 1000,
            traffic_timeout_ms: 1000,
            verify_timeout_ms: 1000,
            notice_timeout_ms: 1000,
            ..v1::Policy::default()
        }),
        ..v1::Manifest::default()
    };
    v1::WatchedService { manifest: Some(manifest), active: text("us-west-2") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_agent_leaves_its_intents_to_the_next_start() {
    let mesh = Mesh::new();
    let leader = Coordinator::start(&mesh, "c1", LEADS).await;
    leader.told().paused.push("maip-g3".to_owned());
    let mut agent = start(&mesh, &[&leader]);
    leader.session(0).await;
    leader.say(Say::Offer(job(7)));
    leader.kick();
    assert_eq!(leader.session(1).await.hello.unfinished, [7]);
    agent.shutdown.begin();
    (&mut agent.running).await.expect("no panic").expect("it stops as asked");
    drop(agent);
    let agent = start(&mesh, &[&leader]);
    assert_eq!(leader.session(2).await.hello.unfinished, [7]);
    leader.told().paused.clear();
    leader.say(Say::Offer(job(7)));
    leader.until("the outcome", |told| told.sessions[2].outcomes.first().cloned()).await;
    assert_eq!(agent.thing.calls(), 1);
}

#[test]
fn another_agents_certificate_is_refused() {
    let mesh = Mesh::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let coordinators: [&Coordinator; 0] = [];
    let mut wrong = config(&mesh, &coordinators);
    wrong.tls = mesh.issue(Role::Agent, "us-east-1", "use1-b");
    let error = agent::identities(&wrong).expect_err("it is another's");
    assert!(error.to_string().contains("use1-b"), "{error}");
    wrong.tls = mesh.issue(Role::Viewer, "us-east-1", "use1-a");
    assert!(agent::identities(&wrong).is_err(), "it is a person's");
}
