//! Hundreds of agents: none is turned away, all are counted, and what one commit costs does not grow with their number.
//! The bench `many_agents` has the thousands.

use std::time::Duration;

use mesh_core::access::Role;
use mesh_core::fleet::Command;
use mesh_core::manifest::AutomaticMode;
use mesh_proto::v1;
use v1::from_agent::Message as Say;
use v1::to_agent::Message as Hear;

use crate::fixture::{EAST, WEST, maip};
use crate::judging::{SUSTAINED, WITNESS, adopt, sees, why_not};
use crate::world::{Agent, PATIENCE, World};

const AGENTS: usize = 300;
/// Of other regions than the one that fails.
const OUTSIDE: u32 = 200;
const COMMITS: u64 = 40;
/// Looks at the state that one commit may cost: of the driver's loops and of the watchlist, not of each session.
const LOOKS_PER_COMMIT: u64 = 50;

struct Member {
    region: &'static str,
    name: String,
    agent: Agent,
}

async fn crowd(world: &World) -> Vec<Member> {
    let mut members = Vec::new();
    for (nth, region) in (0..AGENTS).zip([EAST, WEST, WITNESS].into_iter().cycle()) {
        let name = format!("sim-{nth:03}");
        let agent = world.agent(1, region, &name).await;
        members.push(Member { region, name, agent });
    }
    members
}

/// When this is answered, every session has had its turn.
async fn ping(member: &mut Member, nonce: u64) {
    member.agent.say(Say::Ping(v1::Ping { nonce, ..Default::default() })).await;
    while member.agent.pong().await.nonce != nonce {}
}

#[tokio::test]
async fn a_commit_costs_no_look_of_each_agents_session() {
    let world = World::start(1).await;
    let before = world.shared.looks();
    let mut members = crowd(&world).await;
    let looks = world.shared.looks() - before;
    assert!(looks < AGENTS as u64 * LOOKS_PER_COMMIT, "{looks} looks at the state for {AGENTS} that join");
    let before = world.shared.looks();
    for nonce in 1..=COMMITS {
        world.shared.apply(&Command::SetArmed {
            service: maip().service,
            armed: nonce % 2 == 0,
            by: "test".to_owned(),
        });
        ping(&mut members[0], nonce).await;
    }
    let looks = world.shared.looks() - before;
    assert!(looks >= COMMITS, "{looks} looks: somebody takes notice");
    assert!(
        looks < COMMITS * LOOKS_PER_COMMIT,
        "{looks} looks at the state for {COMMITS} commits, with {AGENTS} agents"
    );
    // A change that matters to them reaches the last of them all the same.
    let mut manifest = maip();
    manifest.description = "changed".to_owned();
    world.shared.apply(&Command::ApplyManifest {
        manifest: Box::new(manifest),
        source: "changed".to_owned(),
        by: "test".to_owned(),
        expected_version: 1,
    });
    for member in &mut members {
        let changed = |message| match message {
            Hear::Watchlist(list) => list
                .services
                .iter()
                .any(|it| it.manifest.as_ref().is_some_and(|manifest| manifest.description == "changed"))
                .then_some(()),
            _ => None,
        };
        member.agent.until("the new watchlist", changed).await;
    }
}

#[tokio::test]
async fn hundreds_of_agents_are_all_heard_and_make_one_verdict() {
    let world = World::start(1).await;
    adopt(&world, AutomaticMode::Off);
    let members = crowd(&world).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        for member in &members {
            sees(&member.agent, (member.region, &member.name), Some(SUSTAINED + Duration::from_secs(1))).await;
        }
        let judged = why_not(&world, 1).await;
        let east = judged.regions.get(EAST).expect("the east is judged");
        let fresh = east.quorum.as_ref().map_or(0, |quorum| quorum.fresh);
        if east.verdict() == v1::Verdict::Down && fresh == OUTSIDE {
            break;
        }
        let (verdict, missing) = (east.verdict(), &east.missing);
        assert!(tokio::time::Instant::now() < deadline, "{fresh} of {OUTSIDE} outside, {verdict:?}: {missing:?}");
    }
    let status = world.operator(1, Role::Viewer, "vic").get_status(v1::GetStatusRequest::default()).await;
    let status = status.expect("a status").into_inner();
    assert_eq!(status.agents.iter().filter(|agent| agent.connected).count(), AGENTS);
    assert_eq!((status.signals.len(), status.signals_left_out), (2 * AGENTS, 0));
}
