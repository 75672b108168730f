//! Freezes, acknowledgements; and what an automatic start must find when it is
//! committed, whatever its leader saw.

use std::time::Duration;

use super::{Change, Outcome, conflict, invalid, not_found, precondition};
use crate::access;
use crate::decide::rules::replicated;
use crate::decide::{RuleRecord, RuleState, order, safety};
use crate::fleet::{Entity, Fleet, Freeze, Refusal, RefusalCode, Reply, Service};
use crate::ids::{Hash32, RunId, ServiceId};
use crate::manifest::{AutomaticMode, LossPolicy};
use crate::plan::{Plan, PlanKind, PredictedLoss};
use crate::run::{Approval, Cause, Run};
use crate::time::Timestamp;

/// Longest freeze: one that is forgotten must not outlive its reason by much.
pub const FREEZE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// A judgement that took longer to be committed is of another time.
pub const JUDGEMENT_AGE_MAX: Duration = Duration::from_secs(30);
/// Longest reason of a freeze.
const REASON_MAX: usize = 1024;

impl Fleet {
    /// The freeze that holds the service back at `now`: of those that do, the one that lasts longest.
    pub fn frozen(&self, service: &ServiceId, now: Timestamp) -> Option<&Freeze> {
        self.freezes(service).filter(|freeze| freeze.until > now).max_by_key(|freeze| freeze.until)
    }

    /// When the last freeze that halts or halted the run ends or ended.
    pub fn thawed_at(&self, run: &Run) -> Option<Timestamp> {
        self.freezes_of(run).map(|freeze| freeze.until).max()
    }

    /// A run that was asked for despite a freeze is halted by what people say later alone.
    fn freezes_of(&self, run: &Run) -> impl Iterator<Item = &Freeze> {
        let despite = matches!(run.cause, Cause::DespiteFreeze { .. });
        let started = run.started_at;
        self.freezes(&run.plan.service).filter(move |freeze| !despite || freeze.at > started)
    }

    fn freezes(&self, service: &ServiceId) -> impl Iterator<Item = &Freeze> {
        let own = self.services.get(service).and_then(|service| service.freeze.as_ref());
        own.into_iter().chain(&self.freeze)
    }

    /// Why no mutating call of the run may be sent now: it is paused, or its service is frozen (invariant HumanWins).
    pub fn halted(&self, run: &Run, now: Timestamp) -> Option<String> {
        if let Some(pause) = &run.paused {
            return Some(format!("run {} is paused by {}", run.id, pause.by));
        }
        let freezes = self.freezes_of(run).filter(|freeze| freeze.until > now);
        Some(self.in_words(&run.plan.service, freezes.max_by_key(|freeze| freeze.until)?))
    }

    /// What is frozen, and what ends it.
    fn in_words(&self, service: &ServiceId, freeze: &Freeze) -> String {
        let own = self.services.get(service).and_then(|service| service.freeze.as_ref());
        let (what, end) = if own == Some(freeze) {
            (service.to_string(), format!("meshctl unfreeze {service}"))
        } else {
            (format!("the whole mesh, and so {service},"), "meshctl unfreeze".to_owned())
        };
        format!("{what} is frozen until {} by {}: {}. `{end}` ends it", freeze.until, freeze.by, freeze.reason)
    }

    pub(super) fn freeze(&mut self, service: Option<&ServiceId>, until: Timestamp, by: &str, reason: &str) -> Outcome {
        let now = self.now;
        if until <= now {
            return Err(invalid("the freeze would be over already"));
        }
        if until.since(now) > FREEZE_MAX {
            return Err(invalid("a freeze lasts at most 30 days: give a nearer end, and freeze again then"));
        }
        if reason.trim().is_empty() || reason.len() > REASON_MAX {
            return Err(invalid("a freeze needs a reason of 1 to 1024 bytes: others will ask"));
        }
        let freeze = Freeze { until, by: by.to_owned(), reason: reason.to_owned(), at: now };
        let text = format!("frozen until {until}: {reason}");
        match service {
            None => {
                self.freeze = Some(freeze);
                self.note_runs(None, &format!("the mesh is frozen by {by} until {until}: {reason}"));
            }
            Some(id) => {
                let known = self.services.get_mut(id).ok_or_else(|| no_service(id))?;
                known.freeze = Some(freeze);
                self.note_runs(Some(id), &format!("frozen by {by} until {until}: {reason}"));
            }
        }
        Ok(Change { reply: Reply::Ok, touched: self.touched_by_freeze(service), text })
    }

    pub(super) fn unfreeze(&mut self, service: Option<&ServiceId>, by: &str) -> Outcome {
        let now = self.now;
        let freeze = match service {
            None => &mut self.freeze,
            Some(id) => &mut self.services.get_mut(id).ok_or_else(|| no_service(id))?.freeze,
        };
        let Some(frozen) = freeze.as_mut().filter(|freeze| freeze.until > now) else {
            let what = service.map_or_else(|| "the mesh".to_owned(), ToString::to_string);
            return Err(precondition(format!("{what} is not frozen")));
        };
        // It stays as one that ended now, so that the time in which nothing could be done is no step's own.
        frozen.until = now;
        self.note_runs(service, &format!("unfrozen by {by}"));
        Ok(Change { reply: Reply::Ok, touched: self.touched_by_freeze(service), text: format!("unfrozen by {by}") })
    }

    fn note_runs(&mut self, service: Option<&ServiceId>, text: &str) {
        let now = self.now;
        for id in self.current_runs(service) {
            if let Some(run) = self.runs.get_mut(&id) {
                super::runs::note(run, now, None, text.to_owned());
            }
        }
    }

    fn current_runs(&self, service: Option<&ServiceId>) -> Vec<RunId> {
        let meant = |id: &ServiceId| service.is_none_or(|service| service == id);
        self.services.iter().filter(|(id, _)| meant(id)).filter_map(|(_, known)| known.current_run.clone()).collect()
    }

    fn touched_by_freeze(&self, service: Option<&ServiceId>) -> Vec<Entity> {
        let own = service.map_or(Entity::Mesh, |id| Entity::Service(id.clone()));
        self.current_runs(service).into_iter().map(Entity::Run).chain([own]).collect()
    }

    pub(super) fn acknowledge(&mut self, id: &ServiceId, by: &str) -> Outcome {
        let now = self.now;
        let service = self.services.get_mut(id).ok_or_else(|| no_service(id))?;
        service.acknowledged_at = Some(now);
        service.noted = None;
        let text = format!("{id}: acknowledged by {by}; the cool-down is over");
        Ok(Change { reply: Reply::Ok, touched: vec![Entity::Service(id.clone())], text })
    }

    pub(super) fn note_loss(&mut self, id: &RunId, loss: &PredictedLoss) -> Outcome {
        let now = self.now;
        let run = self.live_run(id)?;
        if !loss.exceeds(&run.loss) {
            return Err(conflict(format!("run {id} expects to lose as much already: {}", run.loss.in_words())));
        }
        let text = format!("expected to be lost now: {}; before: {}", loss.in_words(), run.loss.in_words());
        run.loss = loss.clone();
        super::runs::note(run, now, None, text.clone());
        Ok(Change { reply: Reply::Ok, touched: vec![Entity::Run(id.clone())], text })
    }

    /// What holds for every start, and for an automatic one besides. The leader's evidence is not asked again; what it
    /// may have overlooked of the replicated state is.
    pub(super) fn check_start(&self, service: &Service, plan: &Plan, cause: &Cause) -> Result<(), Refusal> {
        let id = &service.manifest.service;
        let frozen = self.frozen(id, self.now).map(|freeze| self.in_words(id, freeze));
        let judgement = match (cause, frozen) {
            (Cause::DespiteFreeze { reason }, _) if reason.trim().is_empty() || reason.len() > REASON_MAX => {
                return Err(invalid("despite a freeze needs a reason of 1 to 1024 bytes: others will ask"));
            }
            (Cause::Asked | Cause::DespiteFreeze { .. }, None) | (Cause::DespiteFreeze { .. }, Some(_)) => {
                return Ok(());
            }
            (Cause::Asked, Some(frozen)) => {
                return Err(precondition(format!("{frozen}; `--despite-freeze REASON` starts it all the same")));
            }
            (Cause::Automatic { .. }, Some(frozen)) => return Err(precondition(frozen)),
            (Cause::Automatic { judgement }, None) => judgement,
        };
        if plan.kind != PlanKind::Failover || judgement.service != *id {
            return Err(invalid("only a failover of the service that was judged begins by itself"));
        }
        let mode = service.manifest.policy.automatic;
        if cause.mode() != Some(mode) || !matches!(mode, AutomaticMode::Fence | AutomaticMode::Full) {
            return Err(conflict(format!("{id} was judged in another mode than it has: {}", mode.name())));
        }
        if self.now.since(judgement.at) > JUDGEMENT_AGE_MAX {
            return Err(conflict(format!("the judgement of {id} is of {}: too long ago", judgement.at)));
        }
        let blocking = replicated(self, service, self.now).into_iter().find(|rule| rule.state == RuleState::Blocks);
        if let Some(rule) = blocking {
            return Err(precondition(format!("{}: {}", rule.rule, rule.text)));
        }
        if let Some((other, run)) = order::dependency_moving(self, service, &plan.from) {
            return Err(precondition(format!("order: {other}, which {id} depends on, has not moved: run {run}")));
        }
        let objective = service.manifest.objectives.rpo;
        let lossy = plan.loss != PredictedLoss::Nothing && !plan.loss.within(objective);
        if lossy && mode == AutomaticMode::Full && service.manifest.policy.loss == LossPolicy::Block {
            return Err(precondition(format!("rpo: expected to be lost: {}", plan.loss.in_words())));
        }
        Ok(())
    }

    /// The safety rules, and the names of those that two people set aside for this plan.
    pub(super) fn check_safety(
        &self,
        service: &Service,
        plan: &Plan,
        plan_hash: Hash32,
        evaluated: &[RuleRecord],
        approvals: &[Approval],
    ) -> Result<Vec<String>, Refusal> {
        let mut set_aside = Vec::new();
        if plan.kind != PlanKind::Failover {
            return Ok(set_aside);
        }
        let contradicted = safety::contradicted(self, service, plan);
        for rule in safety::rules_of(self, service) {
            let broken = if rule.rule.is_about_data() {
                match evaluated.iter().find(|known| known.rule == rule.name) {
                    Some(known) if matches!(known.state, RuleState::Held | RuleState::NotApplicable) => None,
                    Some(known) => Some(known.text.clone()),
                    None => Some("it was not evaluated".to_owned()),
                }
            } else {
                contradicted.iter().find(|(known, _)| known.name == rule.name).map(|(_, why)| why.clone())
            };
            let subject = access::override_subject(&rule.name, &service.manifest.service, &plan_hash);
            let overridden = self.owners(&subject, approvals)? >= access::APPROVALS_NEEDED;
            match broken {
                Some(why) if !overridden => {
                    let message = format!(
                        "safety rule {} (`{}`) does not hold: {why}. Two people can set it aside for this plan alone: \
                         `meshctl approval sign --subject {subject:?}`",
                        rule.name, rule.rule
                    );
                    return Err(super::refuse(RefusalCode::NeedsApproval, message));
                }
                Some(_) | None if overridden => set_aside.push(rule.name.clone()),
                Some(_) | None => {}
            }
        }
        Ok(set_aside)
    }

    /// How many different people have signed exactly this.
    fn owners(&self, subject: &str, approvals: &[Approval]) -> Result<usize, Refusal> {
        let mut owners = std::collections::BTreeSet::new();
        for approval in approvals.iter().filter(|approval| approval.subject == subject) {
            owners.insert(self.check_approval(approval)?);
        }
        Ok(owners.len())
    }
}

/// People who must let a run of mode `fence` go on: two where more may be lost than the objective allows.
pub(super) fn people_to_proceed(service: &Service, loss: &PredictedLoss) -> usize {
    let accepted = service.manifest.policy.loss == LossPolicy::Accept;
    if *loss == PredictedLoss::Nothing || accepted || loss.within(service.manifest.objectives.rpo) {
        access::APPROVALS_TO_PROCEED
    } else {
        access::APPROVALS_NEEDED
    }
}

fn no_service(id: &ServiceId) -> Refusal {
    not_found(format!("no service {id}: see `meshctl status`"))
}
