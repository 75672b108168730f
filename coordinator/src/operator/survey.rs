//! `Survey`: has agents look at the world, read-only, and passes on what they answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mesh_core::access::{Identity, Role, is_allowed};
use mesh_core::ids::RegionId;
use mesh_core::manifest::Manifest;
use mesh_core::manifest::check;
use mesh_core::survey::{Answer, Depth, Examination, Question};
use mesh_proto::v1;
use prost::Message;
use tokio::time::Instant;
use tonic::Status;
use v1::agent_survey::Answer as Said;
use v1::survey_report::Result as Reported;
use v1::survey_request::About;

use super::looking::{BACK_WITHIN, Silence, look, settle};
use super::reads;
use crate::node::Node;
use crate::sessions::Session;

/// An agent looks for at most 40 s, each part of it for less; this is that and the way.
const ANSWER_WITHIN: Duration = Duration::from_secs(45);
/// What a passing coordinator and its client have to wait at least.
pub const SURVEY_MAX: Duration = Duration::from_secs(50);
/// Agents that are asked in one survey.
const ASKED_MAX: usize = 64;
/// A region whose agents were there so lately is told of when nobody names the regions to look at.
const LATELY: Duration = Duration::from_secs(600);
/// Answers of this size together fit one message, of 4 MiB, with room.
const ANSWERS_BYTES_MAX: usize = 3 * 1024 * 1024;

struct Ask {
    session: Arc<Session>,
    question: Question,
}

/// What is examined.
struct Subject {
    manifest: Manifest,
    active: RegionId,
    armed: bool,
    probe: bool,
}

struct Asks {
    asks: Vec<Ask>,
    /// Regions that nobody can be asked about.
    silent: Vec<RegionId>,
}

pub async fn survey(node: &Node, caller: &Identity, request: v1::SurveyRequest) -> Result<v1::SurveyResponse, Status> {
    let about = request.about.ok_or_else(|| Status::invalid_argument("SurveyRequest.about: is missing"))?;
    let deadline = Instant::now() + ANSWER_WITHIN;
    settle(node, BACK_WITHIN).await;
    let Asks { mut asks, silent } = match about {
        About::Discover(regions) => discoveries(node, regions.regions)?,
        About::Service(name) => {
            let id = reads::service_id(&name)?;
            let found = node.replica.with_fleet(|fleet| {
                fleet.services.get(&id).map(|service| (service.manifest.clone(), service.active.clone(), service.armed))
            });
            let (manifest, active, armed) = found.ok_or_else(|| reads::no_service(&id))?;
            examinations(node, &Subject { manifest, active, armed, probe: true })
        }
        About::Draft(draft) => {
            let manifest = Manifest::try_from(draft).map_err(|error| Status::invalid_argument(error.to_string()))?;
            if let Some(problem) = check::check(&manifest).first() {
                let text = format!("{}: {} ({})", problem.path, problem.message, problem.hint);
                return Err(Status::invalid_argument(text));
            }
            let (active, armed) = as_stored(node, &manifest)?;
            examinations(node, &Subject { manifest, active, armed, probe: may_probe(caller.role) })
        }
    };
    asks.truncate(ASKED_MAX);
    let mut agents = join_all(asks.into_iter().map(|one| ask(node, one, deadline))).await;
    agents.extend(silent.into_iter().map(|region| v1::AgentSurvey {
        answer: Some(Said::Failed(format!("no agent of {region} is connected to the leader"))),
        region: region.to_string(),
        agent: String::new(),
    }));
    bound(&mut agents);
    Ok(v1::SurveyResponse { agents })
}

/// Agents ask whatever URL a draft names, from inside its network: that is for those who could apply it.
fn may_probe(role: Role) -> bool {
    is_allowed(role, "/mesh.v1.Operator/ApplyManifest")
}

/// A service that is stored already may have moved.
fn as_stored(node: &Node, manifest: &Manifest) -> Result<(RegionId, bool), Status> {
    let stored = node.replica.with_fleet(|fleet| {
        fleet.services.get(&manifest.service).map(|service| (service.active.clone(), service.armed))
    });
    let known = stored.filter(|(active, _)| manifest.regions.contains_key(active));
    let new = || manifest.primary().map(|primary| (primary.clone(), false));
    known.or_else(new).ok_or_else(|| Status::invalid_argument("regions: none is primary"))
}

fn by_region(node: &Node) -> BTreeMap<RegionId, Vec<Arc<Session>>> {
    let mut regions: BTreeMap<RegionId, Vec<Arc<Session>>> = BTreeMap::new();
    for session in node.sessions.live() {
        regions.entry(session.region.clone()).or_default().push(session);
    }
    regions
}

fn discoveries(node: &Node, wanted: Vec<String>) -> Result<Asks, Status> {
    let wanted: Result<BTreeSet<RegionId>, _> = wanted.into_iter().map(RegionId::new).collect();
    let wanted = wanted.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let present = by_region(node);
    let silent = match wanted.is_empty() {
        true => node.sessions.lately_silent(LATELY),
        false => wanted.iter().filter(|region| !present.contains_key(region)).cloned().collect(),
    };
    let asked = present.iter().filter(|(region, _)| wanted.is_empty() || wanted.contains(region));
    let asks = asked.zip(0..).filter_map(|((_, sessions), nth)| {
        let session = sessions.first().cloned()?;
        Some(Ask { session, question: Question::Discover { names: nth == 0 } })
    });
    Ok(Asks { asks: asks.collect(), silent })
}

/// Every agent of the service's regions is asked about itself, one of each about the region. One of a region that is not
/// active judges the names, too: that is where a failover is carried out from.
fn examinations(node: &Node, subject: &Subject) -> Asks {
    let Subject { manifest, active, armed, probe } = subject;
    let present = by_region(node);
    let judge = present
        .keys()
        .filter(|region| manifest.regions.contains_key(region))
        .min_by_key(|region| **region == *active)
        .cloned();
    let question = |region: &RegionId, first: bool| {
        Question::Examine(Box::new(Examination {
            manifest: manifest.clone(),
            active: active.clone(),
            depth: if first { Depth::Region } else { Depth::Agent },
            names: first && judge.as_ref() == Some(region),
            armed: *armed,
            probe: *probe && first,
        }))
    };
    let asks = present.iter().flat_map(|(region, sessions)| {
        let of_service = manifest.regions.contains_key(region);
        let asked = sessions.iter().zip(0..).filter(move |(_, nth)| of_service || *nth == 0);
        asked.map(move |(session, nth)| (region, session, nth == 0))
    });
    let asks = asks
        .map(|(region, session, first)| Ask { session: Arc::clone(session), question: question(region, first) })
        .collect();
    let silent = manifest.regions.keys().filter(|region| !present.contains_key(region)).cloned().collect();
    Asks { asks, silent }
}

async fn ask(node: &Node, ask: Ask, deadline: Instant) -> v1::AgentSurvey {
    let Ask { session, question } = ask;
    let (agent, region) = (session.agent.to_string(), session.region.to_string());
    let question = v1::SurveyQuestion::from(&question);
    let said = match look(node, session, deadline, |session| session.survey(question.clone())).await {
        Ok(report) => checked(report.result, &agent),
        Err(Silence::Busy) => Said::Failed(format!("{agent} is busy with other surveys")),
        Err(Silence::Gone) => Said::Failed(format!("the session of {agent} ended")),
        Err(Silence::Late) => Said::Failed(format!("{agent} did not answer within {} s", ANSWER_WITHIN.as_secs())),
    };
    v1::AgentSurvey { region, agent, answer: Some(said) }
}

/// What an agent says is input: it is passed on only as what this version understands.
fn checked(result: Option<Reported>, agent: &str) -> Said {
    match result {
        Some(Reported::Answer(answer)) => match Answer::try_from(answer) {
            Ok(answer) => Said::Answered(answer.into()),
            Err(error) => Said::Failed(format!("{agent} answered what cannot be read: {error}")),
        },
        Some(Reported::Failed(reason)) => {
            Said::Failed(format!("{agent}: {}", reason.chars().take(1024).collect::<String>()))
        }
        None => Said::Failed(format!("{agent} answered nothing that this version knows")),
    }
}

fn bound(agents: &mut [v1::AgentSurvey]) {
    let mut left = ANSWERS_BYTES_MAX;
    for agent in agents {
        let size = agent.encoded_len();
        if size > left {
            agent.answer =
                Some(Said::Failed(format!("left out: its answer of {size} bytes does not fit; ask for fewer regions")));
        } else {
            left -= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_may_apply_a_manifest_has_agents_ask_its_urls() {
        let probing: Vec<Role> = Role::ALL.into_iter().filter(|role| may_probe(*role)).collect();
        assert_eq!(probing, [Role::Admin]);
    }

    #[test]
    fn answers_beyond_one_message_are_left_out_and_say_so() {
        let of = |size: usize| v1::AgentSurvey {
            region: "us-east-1".to_owned(),
            agent: "a".to_owned(),
            answer: Some(Said::Failed("x".repeat(size))),
        };
        let mut agents = [of(2_000_000), of(2_000_000), of(10)];
        bound(&mut agents);
        let said: Vec<bool> = agents
            .iter()
            .map(|agent| matches!(&agent.answer, Some(Said::Failed(text)) if text.starts_with("left out")))
            .collect();
        assert_eq!(said, [false, true, false]);
    }

    #[test]
    fn an_answer_that_no_agent_of_this_version_gives_is_not_passed_on() {
        let wrong = v1::SurveyAnswer {
            answer: Some(v1::survey_answer::Answer::Findings(v1::Findings {
                findings: vec![v1::Finding { level: 9, ..v1::Finding::default() }],
            })),
        };
        assert!(matches!(checked(Some(Reported::Answer(wrong)), "use1-a"), Said::Failed(_)));
        assert!(matches!(checked(None, "use1-a"), Said::Failed(_)));
    }
}
