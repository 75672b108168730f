//! Telling people by SNS what the mesh decided by itself, or was kept from: once an episode, beside every run and never
//! before one. As with a step the intent is committed first, an agent acts and looks, and its outcome is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::View;
use crate::execute::Job;
use crate::fleet::{Command, Fleet, Service};
use crate::ids::{AgentId, IntentSeq, RegionId, RunId, ServiceId, StepId, Token};
use crate::manifest::Manifest;
use crate::plan::{Action, Retry};
use crate::run::Direction;
use crate::time::Timestamp;

/// As much as a run's notice by default, and with as many attempts.
const TIME: Duration = Duration::from_secs(120);
const RETRY: Retry =
    Retry { attempts_max: 5, backoff_min: Duration::from_millis(250), backoff_max: Duration::from_secs(10) };
/// An agent that has had a notice for so long, and is gone, will not say what came of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(180);

/// What the mesh has made of a service by itself, last; and who was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomaticNote {
    pub at: Timestamp,
    pub to: RegionId,
    pub text: String,
    pub about: About,
    /// By the notices that the manifest has, as steps of a run would be named.
    pub told: BTreeMap<StepId, Telling>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// Mode `notify`: what a person should do.
    #[default]
    ShouldMove,
    /// It was due to act, and a rule keeps it from that.
    Blocked,
    /// A run began.
    Began,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Telling {
    Due,
    /// An agent may publish it.
    Asked {
        agent: AgentId,
        seq: IntentSeq,
        topic: String,
        at: Timestamp,
    },
    Published {
        agent: AgentId,
        topic: String,
    },
    /// Or nobody knows whether it was; it is not tried again.
    Failed {
        reason: String,
    },
}

impl AutomaticNote {
    pub fn new(at: Timestamp, to: &RegionId, text: &str, about: About, manifest: &Manifest) -> Self {
        let named = manifest.notices.iter().filter_map(|notice| step(&notice.name));
        let told = named.map(|step| (step, Telling::Due)).collect();
        Self { at, to: to.clone(), text: text.to_owned(), about, told }
    }

    /// For people: who was told.
    pub fn telling(&self) -> String {
        let one = |(step, telling): (&StepId, &Telling)| match telling {
            Telling::Due => format!("{step} is due"),
            Telling::Asked { agent, topic, .. } => format!("{agent} publishes it to {topic}"),
            Telling::Published { agent, topic } => format!("{agent} has published it to {topic}"),
            Telling::Failed { reason } => format!("{step} failed: {reason}"),
        };
        if self.told.is_empty() {
            return "the manifest has no notice to send".to_owned();
        }
        self.told.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

fn step(notice: &str) -> Option<StepId> {
    StepId::new(format!("sns-notify-{notice}")).ok()
}

/// The name under which agents know it: no run has it, since theirs end in a generation.
pub fn run_name(service: &ServiceId) -> Option<RunId> {
    RunId::new(format!("{service}-note")).ok()
}

/// The notices that an agent has to publish now.
pub fn jobs(fleet: &Fleet, now: Timestamp) -> Vec<(AgentId, Job)> {
    let of = |(id, service): (&ServiceId, &Service)| {
        let note = service.noted.as_ref()?;
        let jobs = note.told.iter().filter_map(|(step, telling)| match telling {
            Telling::Asked { agent, seq, topic, at } => {
                let region = fleet.agents.get(agent)?.region.clone();
                let time_left = TIME.saturating_sub(now.since(*at));
                Some((agent.clone(), job(id, service, note, step, *seq, topic, region, time_left, now)?))
            }
            Telling::Due | Telling::Published { .. } | Telling::Failed { .. } => None,
        });
        Some(jobs.collect::<Vec<_>>())
    };
    fleet.services.iter().filter_map(of).flatten().collect()
}

#[expect(clippy::too_many_arguments, reason = "all that a job says")]
fn job(
    id: &ServiceId,
    service: &Service,
    note: &AutomaticNote,
    step: &StepId,
    seq: IntentSeq,
    topic: &str,
    region: RegionId,
    time_left: Duration,
    now: Timestamp,
) -> Option<Job> {
    let subject = match note.about {
        About::ShouldMove => format!("{id} should be moved to {}", note.to),
        About::Blocked => format!("{id} is down and is not moved"),
        About::Began => format!("{id} is being moved to {}", note.to),
    };
    let action = Action::SnsNotify { topic_arn: topic.to_owned(), subject, message: note.text.clone() };
    Some(Job {
        service: id.clone(),
        run: run_name(id)?,
        step: step.clone(),
        direction: Direction::Forward,
        token: Token { generation: service.generation, intent: seq },
        key: format!("{id}/{step}/{}", note.at.as_millis()),
        region,
        action,
        time_left,
        retry: RETRY,
        maybe_sent_since: None,
        mesh_time: Some(now),
        retried_by_person: false,
        evidence: BTreeMap::new(),
    })
}

/// What the leader proposes: to ask an agent, or to give one up.
pub fn due(fleet: &Fleet, view: &View) -> Vec<Command> {
    let mut commands = Vec::new();
    for (id, service) in &fleet.services {
        let Some(note) = &service.noted else { continue };
        for (step, telling) in &note.told {
            match telling {
                Telling::Due => commands.extend(ask(id, service, note, step, view)),
                Telling::Asked { agent, seq, at, .. } if view.now.since(*at) >= ANSWER_WITHIN => {
                    let reason = format!("{agent} had it and did not say what came of it: it may have been published");
                    let outcome = Telling::Failed { reason };
                    commands.push(Command::CloseNotice { service: id.clone(), step: step.clone(), seq: *seq, outcome });
                }
                Telling::Asked { .. } | Telling::Published { .. } | Telling::Failed { .. } => {}
            }
        }
    }
    commands
}

/// An agent of the region that the service goes to, else of another; of the one that is being left, last.
fn ask(id: &ServiceId, service: &Service, note: &AutomaticNote, step: &StepId, view: &View) -> Option<Command> {
    let notice = service.manifest.notices.iter().find(|notice| self::step(&notice.name).as_ref() == Some(step))?;
    let mut regions: Vec<&RegionId> = notice.topics.keys().collect();
    regions.sort_by_key(|region| (**region == service.active && **region != note.to, **region != note.to));
    let heard = |region: &RegionId| {
        let agents = view.agents.iter().filter(|(_, seen)| seen.region == *region);
        let present = agents.filter(|(_, seen)| view.now.since(seen.last_heard) < view.agent_silence);
        present.min_by_key(|(agent, seen)| (seen.load, *agent)).map(|(agent, _)| agent.clone())
    };
    let (topic, agent) = regions.into_iter().find_map(|region| Some((notice.topics.get(region)?, heard(region)?)))?;
    Some(Command::AskNotice { service: id.clone(), step: step.clone(), at: note.at, topic: topic.clone(), agent })
}

/// When `due` may have more, though nothing has happened.
pub fn next_wakeup(fleet: &Fleet, now: Timestamp) -> Option<Timestamp> {
    let notes = fleet.services.values().filter_map(|service| service.noted.as_ref());
    let asked = notes.flat_map(|note| note.told.values()).filter_map(|telling| match telling {
        Telling::Asked { at, .. } => Some(at.plus(ANSWER_WITHIN)),
        Telling::Due | Telling::Published { .. } | Telling::Failed { .. } => None,
    });
    asked.filter(|at| *at > now).min()
}
