use std::collections::BTreeSet;
use std::time::Duration;

use mesh_core::fleet::Command;
use mesh_core::run::RunState;
use mesh_proto::v1;
use v1::from_agent::Message as Say;
use v1::to_agent::Message as Hear;

use crate::fixture::{EAST, FIRST, WEST, report, run, start_failover};
use crate::world::{Agent, World};

/// Carries out whatever it is offered, at once, until the session ends.
async fn obey(mut agent: Agent) {
    while let Ok(Some(message)) = agent.next().await {
        if let Hear::Offer(job) = message {
            agent.say(Say::Outcome(report(&job))).await;
        }
    }
}

#[tokio::test]
async fn a_run_goes_from_its_start_to_done_by_offers_and_outcomes() {
    let world = World::start(1).await;
    let (east, west) = (world.agent(1, EAST, "use1-a").await, world.agent(1, WEST, "usw2-a").await);
    let (east, west) = (tokio::spawn(obey(east)), tokio::spawn(obey(west)));
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let id = run("maip-g1");
    world.shared.until("the run is done", |fleet| fleet.runs[&id].state == RunState::Done).await;
    let twice = world
        .shared
        .with_fleet(|fleet| fleet.runs[&id].steps.values().filter(|step| step.forward.intents.len() > 1).count());
    assert_eq!(twice, 0, "each step needs one intent when nothing fails");
    let opened: Vec<_> = world.shared.commands().into_iter().filter_map(|command| opened(&command)).collect();
    let once: BTreeSet<_> = opened.iter().collect();
    assert_eq!(opened.len(), once.len(), "the driver leaves alone what is opened together with an outcome: {opened:?}");
    east.abort();
    west.abort();
}

fn opened(command: &Command) -> Option<String> {
    match command {
        Command::OpenIntent { step, .. } => Some(step.to_string()),
        _ => None,
    }
}

#[tokio::test]
async fn what_an_outcome_makes_due_is_proposed_with_it() {
    let world = World::start(1).await;
    let mut west = world.agent(1, FIRST, "first-a").await;
    let mut east = world.agent(1, EAST, "use1-a").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let looked = west.offer().await;
    world.shared.set_commits(false);
    let before = *world.shared.proposed.borrow();
    west.say(Say::Outcome(report(&looked))).await;
    world.shared.counted(&world.shared.proposed, before + 2).await;
    assert!(world.shared.with_fleet(|fleet| {
        let run = &fleet.runs[&run("maip-g1")];
        run.open_intents().all(|(step, _, _)| step.id.as_str() == looked.step)
    }));
    world.shared.set_commits(true);
    let fence = east.offer().await;
    assert!(fence.step.starts_with("rds-fence"), "{}", fence.step);
}

#[tokio::test]
async fn an_open_intent_is_offered_again_on_a_new_session() {
    let world = World::start(1).await;
    let mut agent = world.agent(1, FIRST, "first-a").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let first = agent.offer().await;
    drop(agent);
    let mut again = world.agent(1, FIRST, "first-a").await;
    let second = again.offer().await;
    assert_eq!((first.step, first.intent), (second.step, second.intent));
}

#[tokio::test]
async fn a_new_leader_offers_what_the_old_one_opened() {
    let world = World::start(2).await;
    let mut agent = world.agent(1, FIRST, "first-a").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let first = agent.offer().await;
    world.shared.elect(2);
    let mut agent = world.agent(2, FIRST, "first-a").await;
    let second = agent.offer().await;
    assert_eq!((first.step, first.intent), (second.step, second.intent));
}

#[tokio::test]
async fn an_intent_is_not_offered_while_its_run_is_paused() {
    let world = World::start(1).await;
    let mut agent = world.agent(1, FIRST, "first-a").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let first = agent.offer().await;
    world.shared.apply(&Command::Pause { run: run("maip-g1"), by: "ann".to_owned() });
    let mut again = world.agent(1, FIRST, "first-a").await;
    again.say(Say::Ping(v1::Ping { nonce: 1, ..Default::default() })).await;
    loop {
        match again.next().await.expect("the session goes on").expect("the session goes on") {
            Hear::Offer(job) => panic!("{} was offered in spite of the pause", job.step),
            Hear::Pong(_) => break,
            _ => {}
        }
    }
    world.shared.apply(&Command::Resume { run: run("maip-g1"), by: "ann".to_owned() });
    assert_eq!(again.offer().await.intent, first.intent);
}

/// Long enough for a loaded machine between a session's beginning and its first ping.
const SILENCE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn an_intent_that_is_being_closed_as_lost_is_offered_to_no_later_session() {
    let world = World::start_with_silence(1, SILENCE).await;
    let mut agent = world.agent(1, FIRST, "first-a").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let job = agent.offer().await;
    world.shared.set_commits(false);
    let proposed = *world.shared.proposed.borrow();
    drop(agent);
    world.shared.counted(&world.shared.proposed, proposed + 1).await;
    let mut again = world.agent(1, FIRST, "first-a").await;
    for nonce in 1..=3 {
        again.say(Say::Ping(v1::Ping { nonce, ..Default::default() })).await;
        loop {
            match again.next().await.expect("the session goes on").expect("the session goes on") {
                Hear::Offer(offered) => panic!("intent {} was offered, and will be closed", offered.intent),
                Hear::Pong(_) => break,
                _ => {}
            }
        }
    }
    world.shared.set_commits(true);
    assert!(again.offer().await.intent > job.intent, "the next intent is another one");
}

#[tokio::test]
async fn an_agent_that_was_silent_for_too_long_needs_a_new_session() {
    let world = World::start_with_silence(1, Duration::from_millis(200)).await;
    let mut agent = world.agent(1, FIRST, "first-a").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    agent.say(Say::Ping(v1::Ping { nonce: 1, ..Default::default() })).await;
    assert_eq!(agent.ending().await.code(), tonic::Code::Aborted);
}

#[tokio::test]
async fn a_node_that_does_not_lead_proposes_nothing() {
    let world = World::start(2).await;
    let mut agent = world.agent(1, FIRST, "first-a").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    agent.offer().await;
    let opens = world.shared.commands().into_iter().filter(|command| matches!(command, Command::OpenIntent { .. }));
    assert_eq!(opens.count(), 1, "one leader opens one intent");
}
