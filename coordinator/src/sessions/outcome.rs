//! An agent's report of how an intent ended: committed first, acknowledged then.

use mesh_core::fleet::{Command, Fleet, Reply};
use mesh_core::ids::{AgentId, IntentSeq, RunId, ServiceId, StepId};
use mesh_core::notice::{self, Telling};
use mesh_core::run::{Direction, Outcome, OutcomeResult};
use mesh_proto::v1;
use tonic::Status;
use tracing::{info, warn};

use crate::driver::ahead;
use crate::node::Node;
use crate::operator::refusal;

/// A report, decoded.
#[derive(Clone, Debug)]
pub struct Report {
    service: String,
    run: RunId,
    step: StepId,
    direction: Direction,
    seq: IntentSeq,
    outcome: Outcome,
}

/// What the replicated state says of the reported intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Open,
    /// Closed as unknown, by a leader that had lost the agent: the agent may know better.
    Doubtful,
    Closed,
    /// Given to another agent.
    Foreign,
    Unheard,
}

/// Commits the outcome. The acknowledgement, if the agent may forget it; an error ends the session.
pub async fn settle(node: &Node, agent: &AgentId, report: v1::OutcomeReport) -> Result<Option<v1::OutcomeAck>, Status> {
    let report = decode(report)?;
    let acknowledgement = v1::OutcomeAck { service: report.service.clone(), intent: report.seq.0 };
    let mut standing = node.replica.with_fleet(|fleet| standing(fleet, agent, &report));
    if standing == Standing::Unheard {
        // Only an answer that holds every commit may say that there is no such intent.
        node.replica.read_index().await.map_err(|error| refusal::of_consensus(&error))?;
        standing = node.replica.with_fleet(|fleet| self::standing(fleet, agent, &report));
    }
    match standing {
        Standing::Open | Standing::Doubtful => {
            commit(node, agent, report).await.map(|closed| closed.then_some(acknowledgement))
        }
        Standing::Closed => Ok(Some(acknowledgement)),
        Standing::Unheard => {
            warn!(%agent, run = %report.run, step = %report.step, intent = %report.seq, "outcome of an unknown intent");
            Ok(Some(acknowledgement))
        }
        Standing::Foreign => {
            warn!(%agent, run = %report.run, step = %report.step, intent = %report.seq, "outcome of another's intent");
            Ok(None)
        }
    }
}

async fn commit(node: &Node, agent: &AgentId, report: Report) -> Result<bool, Status> {
    let command = closing(node, agent, &report);
    let reply = ahead::commit(node, command).await.map_err(|error| refusal::of_consensus(&error))?;
    match reply {
        Reply::Refused(refused) => {
            // The leader may have closed it as unknown in the meantime.
            let closed = node.replica.with_fleet(|fleet| standing(fleet, agent, &report)) == Standing::Closed;
            if !closed {
                warn!(%agent, run = %report.run, step = %report.step, reason = %refused, "outcome refused");
            }
            Ok(closed)
        }
        Reply::Ok | Reply::ManifestApplied { .. } | Reply::RunStarted { .. } | Reply::IntentOpened { .. } => {
            info!(
                %agent, run = %report.run, step = %report.step, intent = %report.seq,
                result = ?report.outcome.result, detail = %report.outcome.detail, "outcome committed"
            );
            Ok(true)
        }
    }
}

fn closing(node: &Node, agent: &AgentId, report: &Report) -> Command {
    let notice = node.replica.with_fleet(|fleet| asked(fleet, report).map(|(service, _, topic)| (service, topic)));
    if let Some((service, topic)) = notice {
        let outcome = match report.outcome.result {
            OutcomeResult::Done => Telling::Published { agent: agent.clone(), topic },
            OutcomeResult::Refused { .. } => Telling::Failed { reason: report.outcome.detail.clone() },
            OutcomeResult::Unknown => {
                Telling::Failed { reason: format!("it may have been published: {}", report.outcome.detail) }
            }
        };
        return Command::CloseNotice { service, step: report.step.clone(), seq: report.seq, outcome };
    }
    Command::CloseIntent {
        run: report.run.clone(),
        step: report.step.clone(),
        direction: report.direction,
        seq: report.seq,
        outcome: report.outcome.clone(),
    }
}

/// The notice that is reported: its service, whom it is with, and the topic.
fn asked(fleet: &Fleet, report: &Report) -> Option<(ServiceId, AgentId, String)> {
    let service = ServiceId::new(report.service.as_str()).ok()?;
    if notice::run_name(&service).as_ref() != Some(&report.run) {
        return None;
    }
    match fleet.services.get(&service)?.noted.as_ref()?.told.get(&report.step)? {
        Telling::Asked { agent, seq, topic, .. } if *seq == report.seq => Some((service, agent.clone(), topic.clone())),
        Telling::Asked { .. } | Telling::Due | Telling::Published { .. } | Telling::Failed { .. } => None,
    }
}

fn standing(fleet: &Fleet, agent: &AgentId, report: &Report) -> Standing {
    if let Some((_, asked, _)) = asked(fleet, report) {
        return if asked == *agent { Standing::Open } else { Standing::Foreign };
    }
    let work = fleet.runs.get(&report.run).and_then(|run| run.work(&report.step, report.direction));
    let intent = work.and_then(|work| work.intents.iter().find(|intent| intent.seq == report.seq));
    match intent {
        None => Standing::Unheard,
        Some(intent) if intent.agent != *agent => Standing::Foreign,
        Some(intent) => match intent.outcome.as_ref().map(|outcome| outcome.result) {
            None => Standing::Open,
            Some(OutcomeResult::Unknown) if report.outcome.result != OutcomeResult::Unknown => Standing::Doubtful,
            Some(_) => Standing::Closed,
        },
    }
}

pub fn decode(report: v1::OutcomeReport) -> Result<Report, Status> {
    let invalid = |error: String| Status::invalid_argument(format!("outcome report: {error}"));
    let direction = v1::Direction::try_from(report.direction).map_err(|error| invalid(error.to_string()))?;
    let outcome = report.outcome.ok_or_else(|| invalid("outcome is missing".to_owned()))?;
    Ok(Report {
        service: report.service,
        run: RunId::new(report.run).map_err(|error| invalid(error.to_string()))?,
        step: StepId::new(report.step).map_err(|error| invalid(error.to_string()))?,
        direction: Direction::try_from(direction).map_err(|error| invalid(error.to_string()))?,
        seq: IntentSeq(report.intent),
        outcome: Outcome::try_from(outcome).map_err(|error| invalid(error.to_string()))?,
    })
}
