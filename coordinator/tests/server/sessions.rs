use std::sync::Arc;

use mesh_coordinator::sessions::evidence::Snapshot;
use mesh_core::access::Role;
use mesh_core::detect::Doubt;
use mesh_core::fleet::Command;
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use mesh_proto::v1::agent_session_client::AgentSessionClient;
use tonic::Code;
use v1::from_agent::Message as Say;
use v1::to_agent::Message as Hear;

use crate::fixture::{EAST, FIRST, WEST, close, done, maip, report, run, start_failover};
use crate::world::World;

#[tokio::test]
async fn a_hello_that_contradicts_the_certificate_is_refused() {
    let world = World::start(1).await;
    for (place, name) in [(WEST, "use1-a"), (EAST, "use1-b")] {
        let mut agent = world.connect(1, EAST, "use1-a").await;
        agent.hello(place, name).await;
        let status = agent.ending().await;
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    }
    assert!(world.shared.with_fleet(|fleet| fleet.agents.is_empty()), "a refused agent is not registered");
}

#[tokio::test]
async fn a_session_that_does_not_begin_with_hello_is_refused() {
    let world = World::start(1).await;
    let mut agent = world.connect(1, EAST, "use1-a").await;
    agent.say(Say::Ping(v1::Ping { nonce: 1, ..Default::default() })).await;
    assert_eq!(agent.ending().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_agents_id_never_moves_to_another_region() {
    let world = World::start(1).await;
    drop(world.agent(1, EAST, "roamer").await);
    let mut agent = world.connect(1, WEST, "roamer").await;
    agent.hello(WEST, "roamer").await;
    assert_eq!(agent.ending().await.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_person_gets_no_agent_session() {
    let world = World::start(1).await;
    let channel = world.channel(1, Role::Admin, "ann");
    let refused = AgentSessionClient::new(channel).open(tokio_stream::empty()).await;
    assert_eq!(refused.expect_err("refused").code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_node_that_does_not_lead_names_the_leader_and_ends_the_session() {
    let world = World::start(2).await;
    let mut agent = world.connect(2, EAST, "use1-a").await;
    agent.hello(EAST, "use1-a").await;
    match agent.next().await {
        Ok(Some(Hear::NotLeader(not_leader))) => {
            assert_eq!(not_leader.leader.as_deref(), Some(world.nodes[0].address.as_str()));
        }
        other => panic!("{other:?} instead of NotLeader"),
    }
    assert_eq!(agent.ending().await.code(), Code::Ok);
}

#[tokio::test]
async fn a_session_ends_when_its_node_leads_no_more() {
    let world = World::start(2).await;
    let mut agent = world.agent(1, EAST, "use1-a").await;
    world.shared.elect(2);
    let leader = agent.until("NotLeader", |message| match message {
        Hear::NotLeader(not_leader) => Some(not_leader.leader),
        _ => None,
    });
    assert_eq!(leader.await.as_deref(), Some(world.nodes[1].address.as_str()));
}

#[tokio::test]
async fn a_newer_session_of_an_agent_ends_the_older() {
    let world = World::start(1).await;
    let mut older = world.agent(1, EAST, "use1-a").await;
    let mut newer = world.agent(1, EAST, "use1-a").await;
    assert_eq!(older.ending().await.code(), Code::Aborted);
    newer.say(Say::Ping(v1::Ping { nonce: 9, ..Default::default() })).await;
    assert_eq!(newer.pong().await.nonce, 9);
}

#[tokio::test]
async fn a_pong_names_the_runs_that_are_paused() {
    let world = World::start(1).await;
    let mut agent = world.agent(1, EAST, "use1-a").await;
    agent.say(Say::Ping(v1::Ping { nonce: 1, ..Default::default() })).await;
    assert!(agent.pong().await.paused_runs.is_empty());
    world.shared.apply(&world.shared.with_fleet(start_failover));
    world.shared.apply(&Command::Pause { run: run("maip-g1"), by: "ann".to_owned() });
    agent.say(Say::Ping(v1::Ping { nonce: 2, ..Default::default() })).await;
    assert_eq!(agent.pong().await.paused_runs, ["maip-g1"]);
}

#[tokio::test]
async fn no_pong_is_given_without_a_quorum() {
    let world = World::start(1).await;
    let mut agent = world.agent(1, EAST, "use1-a").await;
    world.shared.set_quorum(false);
    for nonce in 1..=3 {
        agent.say(Say::Ping(v1::Ping { nonce, ..Default::default() })).await;
        world.shared.counted(&world.shared.refused, nonce).await;
    }
    world.shared.set_quorum(true);
    agent.say(Say::Ping(v1::Ping { nonce: 4, ..Default::default() })).await;
    let first = agent.pong().await.nonce;
    assert_eq!(first, 4, "a ping that no quorum confirmed must stay unanswered");
}

#[tokio::test]
async fn an_outcome_is_acknowledged_only_after_its_commit() {
    let world = World::start(1).await;
    let mut agent = world.agent(1, FIRST, "first-a").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let job = agent.offer().await;
    world.shared.set_quorum(false);
    let proposed = *world.shared.proposed.borrow();
    agent.say(Say::Outcome(report(&job))).await;
    let shared = Arc::clone(&world.shared);
    let acknowledged = tokio::spawn(async move {
        let acknowledgement = agent.acknowledgement().await;
        let closed = |command: &Command| matches!(command, Command::CloseIntent { .. });
        (acknowledgement.intent, shared.commands().iter().any(closed))
    });
    world.shared.counted(&world.shared.proposed, proposed + 1).await;
    // An acknowledgement that was sent too early would be here by now.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    world.shared.set_quorum(true);
    let (intent, committed) = acknowledged.await.expect("no panic");
    assert_eq!(intent, job.intent);
    assert!(committed, "an acknowledgement says that the outcome is committed");
}

#[tokio::test]
async fn an_outcome_that_is_reported_again_is_acknowledged_again_and_committed_once() {
    let world = World::start(1).await;
    let mut agent = world.agent(1, FIRST, "first-a").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let job = agent.offer().await;
    for _ in 0..2 {
        agent.say(Say::Outcome(report(&job))).await;
        assert_eq!(agent.acknowledgement().await.intent, job.intent);
    }
    let closes = world
        .shared
        .commands()
        .into_iter()
        .filter(|command| matches!(command, Command::CloseIntent { seq, .. } if seq.0 == job.intent));
    assert_eq!(closes.count(), 1);
}

#[tokio::test]
async fn an_agents_own_word_replaces_the_unknown_of_a_leader_that_had_lost_it() {
    let world = World::start(1).await;
    let mut agent = world.agent(1, FIRST, "first-a").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let job = agent.offer().await;
    let unknown = v1::Outcome { result: v1::OutcomeResult::Unknown.into(), ..done() };
    world.shared.apply(&close(&job, unknown));
    agent.say(Say::Outcome(report(&job))).await;
    assert_eq!(agent.acknowledgement().await.intent, job.intent);
    let settled = world.shared.with_fleet(|fleet| {
        let run = &fleet.runs[&run("maip-g1")];
        run.steps.iter().any(|(id, step)| id.as_str() == job.step && step.forward.state.name() == "done")
    });
    assert!(settled, "what the agent knows must not be thrown away");
}

#[tokio::test]
async fn an_agent_cannot_close_anothers_intent() {
    let world = World::start(1).await;
    let mut holder = world.agent(1, FIRST, "first-a").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let job = holder.offer().await;
    let mut other = world.agent(1, FIRST, "first-b").await;
    other.say(Say::Outcome(report(&job))).await;
    other.say(Say::Ping(v1::Ping { nonce: 1, ..Default::default() })).await;
    other.pong().await;
    let open = world.shared.with_fleet(|fleet| fleet.runs[&run("maip-g1")].open_intents().count());
    assert_eq!(open, 1, "the intent must still be open");
}

#[tokio::test]
async fn the_watchlist_comes_with_the_session_and_again_with_a_new_manifest() {
    let world = World::start(1).await;
    let mut agent = world.connect(1, EAST, "use1-a").await;
    agent.hello(EAST, "use1-a").await;
    let description = |message| match message {
        Hear::Watchlist(watchlist) => {
            let services: Vec<String> =
                watchlist.services.into_iter().filter_map(|watched| Some(watched.manifest?.description)).collect();
            Some(services)
        }
        _ => None,
    };
    assert_eq!(agent.until("a watchlist", description).await, [""]);
    let mut manifest = maip();
    manifest.description = "changed".to_owned();
    world.shared.apply(&Command::ApplyManifest {
        manifest: Box::new(manifest),
        source: "changed".to_owned(),
        by: "test".to_owned(),
        expected_version: 1,
    });
    assert_eq!(agent.until("a watchlist", description).await, ["changed"]);
}

#[tokio::test]
async fn a_signal_in_anothers_name_ends_the_session() {
    let world = World::start(1).await;
    let mut agent = world.agent(1, EAST, "use1-a").await;
    let signal = |observer: &str| {
        v1::Signal::from(&Signal {
            observer: observer.parse().expect("an agent"),
            observer_region: EAST.parse().expect("a region"),
            service: "maip".parse().expect("a service"),
            region: WEST.parse().expect("a region"),
            subject: "database".to_owned(),
            reading: Reading::Unknown { reason: "test".to_owned() },
            at: Timestamp::from_millis(1),
        })
    };
    agent.say(Say::Signals(v1::Signals { signals: vec![signal("use1-a")] })).await;
    agent.say(Say::Signals(v1::Signals { signals: vec![signal("use1-b")] })).await;
    assert_eq!(agent.ending().await.code(), Code::PermissionDenied);
    let observers: Vec<String> =
        world.nodes[0].node.signals.all().iter().map(|signal| signal.observer.to_string()).collect();
    assert_eq!(observers, ["use1-a"], "only its own signal is kept");
}

#[tokio::test]
async fn what_an_agent_saw_is_dated_here_and_what_it_doubts_is_known() {
    let world = World::start(1).await;
    let mut agent = world.agent(1, WEST, "usw2-a").await;
    let failing = v1::Signal {
        // Its wall clock is a century ahead.
        at: u64::MAX,
        age_ms: 2_000,
        failing_for_ms: Some(40_000),
        alternations: 2,
        ..v1::Signal::from(&Signal {
            observer: "usw2-a".parse().expect("an agent"),
            observer_region: WEST.parse().expect("a region"),
            service: "maip".parse().expect("a service"),
            region: EAST.parse().expect("a region"),
            subject: "health".to_owned(),
            reading: Reading::Failing { reason: "refused".to_owned(), since: Timestamp::from_millis(1) },
            at: Timestamp::default(),
        })
    };
    let report = v1::SelfReport { timer_slip_ms: 0, peers: 3, peers_dead: 2 };
    agent.say(Say::Signals(v1::Signals { signals: vec![failing] })).await;
    agent.say(Say::Ping(v1::Ping { nonce: 1, self_report: Some(report), ..Default::default() })).await;
    agent.until("a pong", |message| matches!(message, Hear::Pong(_)).then_some(())).await;
    let node = &world.nodes[0].node;
    let service = "maip".parse().expect("a service");
    let evidence = Snapshot::take(node, Timestamp::default()).evidence(node, [&service]);
    let observer = &evidence.observers[&"usw2-a".parse().expect("an agent")];
    assert_eq!(observer.doubt, Some(Doubt::PeersLookDead { dead: 2, of: 3 }));
    assert!(observer.heard_at.is_some());
    let [sight] = evidence.of_service(&service) else { panic!("one sight") };
    let failing_since = sight.failing_since.expect("in an unbroken row");
    assert_eq!(sight.observed_at.since(failing_since).as_millis(), 38_000, "by its ages alone");
    assert!(evidence.now.since(sight.observed_at).as_millis() >= 2_000);
    assert_eq!(sight.alternations, 2);
}

fn hello_beyond(leader: &str) -> Say {
    Say::Hello(v1::Hello {
        agent: "use1-a".to_owned(),
        region: EAST.to_owned(),
        version: "test".to_owned(),
        pass_on_to: Some(leader.to_owned()),
        ..Default::default()
    })
}

#[tokio::test]
async fn a_session_is_passed_on_to_a_leader_that_the_agent_does_not_reach() {
    let world = World::start(2).await;
    let mut agent = world.connect(2, EAST, "use1-a").await;
    agent.say(hello_beyond(&world.nodes[0].address)).await;
    let welcome = agent
        .until("a welcome", |message| match message {
            Hear::Welcome(welcome) => Some(welcome),
            _ => None,
        })
        .await;
    assert!(welcome.passed_on);
    assert_eq!(welcome.leader, 1);
    agent.say(Say::Ping(v1::Ping { nonce: 4, ..Default::default() })).await;
    assert_eq!(agent.pong().await.nonce, 4, "answered by the leader, after ReadIndex");
    let status = world.operator(1, Role::Viewer, "vic").get_status(v1::GetStatusRequest::default()).await;
    let agents = status.expect("answered").into_inner().agents;
    assert_eq!(agents[0].via.as_deref(), Some("c2 of us-east-1"), "{agents:?}");
    assert_eq!(world.nodes[1].node.peers.lanes.in_use(), 1);
    let _newer = world.agent(1, EAST, "use1-a").await;
    assert_eq!(agent.ending().await.code(), Code::Aborted, "the newer session replaces it, whatever its way");
    let status = world.operator(1, Role::Viewer, "vic").get_status(v1::GetStatusRequest::default()).await;
    assert_eq!(status.expect("answered").into_inner().agents[0].via, None);
}

#[tokio::test]
async fn a_run_is_carried_out_over_a_session_that_is_passed_on() {
    let world = World::start(2).await;
    let mut agent = world.connect(2, WEST, "usw2-a").await;
    agent
        .say(Say::Hello(v1::Hello {
            agent: "usw2-a".to_owned(),
            region: FIRST.to_owned(),
            pass_on_to: Some(world.nodes[0].address.clone()),
            ..Default::default()
        }))
        .await;
    agent.until("a welcome", |message| matches!(message, Hear::Welcome(_)).then_some(())).await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let job = agent.offer().await;
    agent.say(Say::Outcome(report(&job))).await;
    assert_eq!(agent.acknowledgement().await.intent, job.intent);
}

#[tokio::test]
async fn a_session_that_was_passed_on_goes_no_further() {
    let world = World::start(2).await;
    let channel = world.channel(2, Role::Coordinator, "c9");
    let (say, messages) = tokio::sync::mpsc::channel(4);
    let hello = v1::FromAgent { message: Some(hello_beyond(&world.nodes[0].address)) };
    say.send(hello).await.expect("room");
    let mut request = tonic::Request::new(tokio_stream::wrappers::ReceiverStream::new(messages));
    let agent = "spiffe://test/region/us-east-1/agent/use1-a".parse().expect("an identity");
    mesh_runtime::identity::speak_for(&mut request, &agent);
    let mut heard = AgentSessionClient::new(channel).open(request).await.expect("opened").into_inner();
    let first = heard.message().await.expect("an answer").and_then(|first| first.message);
    assert!(matches!(first, Some(Hear::NotLeader(_))), "{first:?}");
    assert_eq!(world.nodes[1].node.peers.lanes.in_use(), 0);
}

#[tokio::test]
async fn a_coordinator_passes_a_session_on_only_to_a_leader_that_it_follows_and_hears() {
    let world = World::start(2).await;
    let leader = world.nodes[0].address.clone();
    for (named, hears) in [("127.0.0.1:1", true), (leader.as_str(), false)] {
        world.shared.hears_leader.store(hears, std::sync::atomic::Ordering::Relaxed);
        let mut agent = world.connect(2, EAST, "use1-a").await;
        agent.say(hello_beyond(named)).await;
        match agent.next().await {
            Ok(Some(Hear::NotLeader(not))) => assert_eq!(not.leader.as_ref(), Some(&leader), "{named}"),
            other => panic!("{other:?} instead of NotLeader"),
        }
    }
}

#[tokio::test]
async fn a_session_that_is_passed_on_ends_with_the_leader_or_the_one_that_passes_it_on() {
    let world = World::start(3).await;
    let passed_on = async |id| {
        let mut agent = world.connect(id, EAST, "use1-a").await;
        agent.say(hello_beyond(&world.nodes[0].address)).await;
        agent.until("a welcome", |message| matches!(message, Hear::Welcome(_)).then_some(())).await;
        agent
    };
    let mut agent = passed_on(2).await;
    world.nodes[1].node.draining.cancel();
    assert_eq!(agent.ending().await.code(), Code::Unavailable, "the one that passed it on is stopping");
    let mut agent = passed_on(3).await;
    world.shared.elect(3);
    let leader = agent.until("NotLeader", |message| match message {
        Hear::NotLeader(not) => Some(not.leader),
        _ => None,
    });
    assert_ne!(leader.await, Some(world.nodes[0].address.clone()));
    assert_eq!(world.nodes[1].node.peers.lanes.in_use(), 0);
}
