//! What is noted of automatic decisions, and who is told of it.

use super::{Change, Outcome, conflict, invalid, not_found, precondition};
use crate::fleet::{Entity, Fleet, Refusal, Service};
use crate::ids::{AgentId, IntentSeq, RegionId, RunId, ServiceId, StepId};
use crate::manifest::AutomaticMode;
use crate::notice::{About, AutomaticNote, Telling};
use crate::plan::Plan;
use crate::time::Timestamp;

impl Fleet {
    pub(super) fn note_automatic(&mut self, id: &ServiceId, to: &RegionId, text: &str) -> Outcome {
        let now = self.now;
        let service = self.noting(id)?;
        let policy = &service.manifest.policy;
        let about = match policy.automatic {
            AutomaticMode::Notify => About::ShouldMove,
            AutomaticMode::Fence | AutomaticMode::Full => About::Blocked,
            AutomaticMode::Off => return Err(precondition(format!("nothing of {id} is decided automatically"))),
        };
        let known = service.noted.as_ref().filter(|note| note.about == about);
        if known.is_some_and(|note| now.since(note.at) < policy.cool_down) {
            return Err(conflict(format!("a person was told of {id} already, less than a cool-down ago")));
        }
        service.noted = Some(AutomaticNote::new(now, to, text, about, &service.manifest));
        let text = match about {
            About::Blocked => format!("{id} was due to move and is kept from it: {text}"),
            About::ShouldMove | About::Began => format!("{id} would fail over to {to}: {text}"),
        };
        Ok(changed(id, text))
    }

    /// An automatic run is news, whatever comes of it.
    pub(super) fn note_began(&mut self, run: &RunId, plan: &Plan) {
        let now = self.now;
        let Some(service) = self.services.get_mut(&plan.service) else { return };
        let text = format!(
            "{} is down. The mesh moves {} from {} to {} by itself: run {run}. `meshctl watch {run}` follows it, `meshctl \
             why {run}` says why",
            plan.from, plan.service, plan.from, plan.to
        );
        service.noted = Some(AutomaticNote::new(now, &plan.to, &text, About::Began, &service.manifest));
    }

    pub(super) fn ask_notice(
        &mut self,
        id: &ServiceId,
        step: &StepId,
        of: Timestamp,
        topic: &str,
        agent: &AgentId,
    ) -> Outcome {
        let now = self.now;
        if !self.agents.contains_key(agent) {
            return Err(not_found(format!("no agent {agent}")));
        }
        let service = self.noting(id)?;
        let named = service.manifest.notices.iter().any(|notice| notice.topics.values().any(|known| known == topic));
        if !named {
            return Err(invalid(format!("{id} has no topic {topic}")));
        }
        let seq = IntentSeq(service.intent.0.saturating_add(1));
        let note = service.noted.as_mut().filter(|note| note.at == of);
        let telling = note.and_then(|note| note.told.get_mut(step)).filter(|telling| **telling == Telling::Due);
        let Some(telling) = telling else { return Err(conflict(format!("{step} of {id} is not due"))) };
        *telling = Telling::Asked { agent: agent.clone(), seq, topic: topic.to_owned(), at: now };
        service.intent = seq;
        Ok(changed(id, format!("{agent} is asked to publish a notice about {id} to {topic}")))
    }

    pub(super) fn close_notice(
        &mut self,
        id: &ServiceId,
        step: &StepId,
        number: IntentSeq,
        outcome: &Telling,
    ) -> Outcome {
        let service = self.noting(id)?;
        let telling = service.noted.as_mut().and_then(|note| note.told.get_mut(step));
        let is_it = |telling: &Telling| matches!(telling, Telling::Asked { seq, .. } if *seq == number);
        let Some(telling) = telling.filter(|telling| is_it(telling)) else {
            return Err(conflict(format!("{step} of {id} is with nobody under this number")));
        };
        let text = match outcome {
            Telling::Published { agent, topic } => format!("{agent} has published a notice about {id} to {topic}"),
            Telling::Failed { reason } => format!("a notice about {id} failed: {reason}"),
            Telling::Due | Telling::Asked { .. } => return Err(invalid("that is no outcome of a notice")),
        };
        *telling = outcome.clone();
        Ok(changed(id, text))
    }

    fn noting(&mut self, id: &ServiceId) -> Result<&mut Service, Refusal> {
        self.services.get_mut(id).ok_or_else(|| not_found(format!("no service {id}: see `meshctl status`")))
    }
}

fn changed(id: &ServiceId, text: String) -> Change {
    Change { reply: crate::fleet::Reply::Ok, touched: vec![Entity::Service(id.clone())], text }
}
