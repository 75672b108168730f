//! Offers open intents: once a session, so again after a reconnection and by a new leader. Agents know an intent that
//! they have already by its number.

use std::collections::BTreeSet;

use mesh_core::engine;
use mesh_core::fleet::Fleet;
use mesh_core::ids::{AgentId, IntentSeq, RunId, ServiceId, StepId};
use mesh_core::notice;
use mesh_core::run::Direction;
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use tracing::info;
use v1::to_agent::Message;

use super::lost::Lost;
use crate::node::Node;

struct Open {
    intent: (ServiceId, IntentSeq),
    agent: AgentId,
    run: RunId,
    step: StepId,
    direction: Direction,
}

pub fn offer_open(node: &Node, lost: &Lost, now: Timestamp) {
    let (open, notices) = node.replica.with_fleet(|fleet| (open_intents(fleet), notice::jobs(fleet, now)));
    let mut known: BTreeSet<_> = open.iter().map(|open| open.intent.clone()).collect();
    known.extend(notices.iter().map(|(_, job)| (job.service.clone(), job.token.intent)));
    for (agent, job) in notices {
        let Some(session) = node.sessions.of(&agent) else { continue };
        if session.first_offer(&(job.service.clone(), job.token.intent), &known) {
            info!(%agent, service = %job.service, step = %job.step, intent = %job.token.intent, "notice offered");
            session.send(Message::Offer(v1::Job::from(&job)));
        }
    }
    for open in open {
        if lost.holds(&open.run, open.intent.1) {
            continue;
        }
        let Some(session) = node.sessions.of(&open.agent) else { continue };
        if !session.first_offer(&open.intent, &known) {
            continue;
        }
        let job = node.replica.with_fleet(|fleet| engine::job(fleet, &open.run, &open.step, open.direction, now));
        // Closed a moment ago, or the next intent of the same step: its own turn comes.
        let Some(job) = job.filter(|job| job.token.intent == open.intent.1) else { continue };
        info!(agent = %open.agent, run = %open.run, step = %open.step, intent = %open.intent.1, "intent offered");
        session.send(Message::Offer(v1::Job::from(&job)));
    }
}

/// Of the runs that are not paused: a pause that every executor has acknowledged must not reach a new one.
fn open_intents(fleet: &Fleet) -> Vec<Open> {
    let runs = fleet.services.values().filter_map(|service| fleet.runs.get(service.current_run.as_ref()?));
    let going = runs.filter(|run| run.paused.is_none());
    going
        .flat_map(|run| {
            run.open_intents().map(|(step, direction, intent)| Open {
                intent: (run.plan.service.clone(), intent.seq),
                agent: intent.agent.clone(),
                run: run.id.clone(),
                step: step.id.clone(),
                direction,
            })
        })
        .collect()
}
