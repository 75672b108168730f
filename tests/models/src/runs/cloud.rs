//! What the run acts on, as strict as the provider where it matters: a busy instance refuses, a second promotion is
//! refused, a batch whose token is not there is refused, a FIFO topic drops a repeat, and a call that is older than its
//! signature's lifetime does not arrive.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::execute::{CallResult, Job, Observation, repeat};
use mesh_core::ids::{StepId, Token};
use mesh_core::plan::Action;
use mesh_core::time::Timestamp;

pub const SECOND: u64 = 1_000;
/// SNS drops a repeat for five minutes.
const DEDUPLICATED: u64 = 300 * SECOND;
/// A repeat is sent within two minutes. One that needs longer than what is left may come when SNS has forgotten the first:
/// nobody can recall it.
const ON_THE_WAY: u64 = DEDUPLICATED - 120 * SECOND;

/// One resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thing {
    /// What of it has which value. Absent: as it always was.
    pub values: BTreeMap<&'static str, String>,
    pub busy_until: u64,
    pub token: Option<Token>,
    restarted_at: Option<u64>,
    /// When it was changed last.
    changed_at: u64,
}

/// A call that changed something.
#[derive(Clone, Debug)]
pub struct Effect {
    pub at: u64,
    pub key: String,
    pub resource: String,
    pub aspect: &'static str,
    pub token: Token,
    pub value: String,
    /// A repeat that the provider cannot tell from the first and that arrived late: another restart of an instance that is
    /// closed to everybody, or a notice that comes twice.
    pub harmless: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Cloud {
    pub things: BTreeMap<String, Thing>,
    pub effects: Vec<Effect>,
    /// Key of each notice that was delivered, and when first.
    pub notices: BTreeMap<String, u64>,
}

impl Cloud {
    pub fn thing(&self, job: &Job) -> Thing {
        self.things.get(&job.action.resource(&job.region)).cloned().unwrap_or_default()
    }

    pub fn observe(&self, job: &Job, accepted: bool, now: u64) -> Observation {
        let thing = self.thing(job);
        if let Action::SnsNotify { .. } = job.action {
            return match repeat::within_reach(job, None, Timestamp::from_millis(now)) {
                _ if accepted => satisfied("published"),
                Ok(_) => ready("", false),
                Err(reason) => Observation::Ambiguous { reason },
            };
        }
        if thing.busy_until > now {
            return Observation::Pending { note: "it is in change".to_owned() };
        }
        let Some((aspect, wanted)) = wanted(job) else { return self.look(job, &thing) };
        let is = thing.values.get(aspect).cloned().unwrap_or_else(|| initially(aspect));
        match job.action {
            Action::RdsReboot { .. } => match thing.restarted_at {
                Some(at) if at > thing.changed_at => satisfied(&is),
                _ => ready(&is, accepted),
            },
            Action::Route53Replace { .. } => match thing.token {
                Some(token) if token > job.token => Observation::Superseded { found: token.to_string() },
                Some(token) if token.generation == job.token.generation && is == wanted => satisfied(&is),
                Some(token) if token.generation == job.token.generation => {
                    Observation::Blocked { reason: "it was changed after this run had moved it".to_owned() }
                }
                Some(token) => ready(&token.to_string(), false),
                None => Observation::Blocked { reason: "no token".to_owned() },
            },
            _ if is == wanted => satisfied(&is),
            _ => ready(&is, accepted),
        }
    }

    /// A step that only looks.
    fn look(&self, job: &Job, thing: &Thing) -> Observation {
        match &job.action {
            Action::EksCheckNodegroup { .. } => satisfied(&value(thing, "nodes")),
            Action::KubernetesCheck { .. } => satisfied(&value(thing, "replicas")),
            Action::HttpVerify { .. } => {
                let moved = self.things.values().filter_map(|thing| thing.token);
                match moved.max().is_some_and(|token| token.generation == job.token.generation) {
                    true => satisfied("200"),
                    false => Observation::Pending { note: "the other region answers".to_owned() },
                }
            }
            _ => satisfied("{}"),
        }
    }

    /// A call arrives that was signed at `signed`.
    pub fn carry_out(&mut self, job: &Job, before: &str, signed: u64, now: u64) -> CallResult {
        if now.saturating_sub(signed) > u64::try_from(job.action.call_lifetime().as_millis()).unwrap_or(u64::MAX) {
            return CallResult::NotApplied { reason: "the signature expired".to_owned() };
        }
        if let Action::SnsNotify { .. } = job.action {
            return self.publish(job, signed, now);
        }
        let resource = job.action.resource(&job.region);
        let Some((aspect, wanted)) = wanted(job) else {
            return CallResult::Rejected { reason: "it sends no call".to_owned() };
        };
        let thing = self.things.entry(resource.clone()).or_default();
        if thing.busy_until > now {
            return CallResult::NotApplied { reason: "it is in change".to_owned() };
        }
        let is = thing.values.get(aspect).cloned().unwrap_or_else(|| initially(aspect));
        let mut harmless = false;
        match job.action {
            Action::RdsPromote { .. } if is == wanted => {
                return CallResult::Rejected { reason: "it is no replica".to_owned() };
            }
            Action::RdsReboot { .. } => {
                harmless = thing.restarted_at.is_some_and(|at| at > thing.changed_at);
                thing.restarted_at = Some(now + takes(aspect));
            }
            Action::Route53Replace { .. } => {
                if thing.token.map(|token| token.to_string()).as_deref() != Some(before) {
                    return CallResult::NotApplied {
                        reason: "the token that is to be deleted is not there".to_owned(),
                    };
                }
                thing.token = Some(job.token);
            }
            _ if is == wanted => return CallResult::Accepted { reference: "unchanged".to_owned() },
            _ => {}
        }
        thing.values.insert(aspect, wanted.clone());
        thing.busy_until = now + takes(aspect);
        if aspect == "groups" {
            thing.changed_at = now;
        }
        self.effects.push(Effect {
            at: now,
            key: job.key.clone(),
            resource,
            aspect,
            token: job.token,
            value: wanted,
            harmless,
        });
        CallResult::Accepted { reference: "changed".to_owned() }
    }

    fn publish(&mut self, job: &Job, signed: u64, now: u64) -> CallResult {
        let first = self.notices.get(&job.key).copied();
        if first.is_none_or(|at| now.saturating_sub(at) >= DEDUPLICATED) {
            self.notices.insert(job.key.clone(), now);
            let (key, resource) = (job.key.clone(), job.action.resource(&job.region));
            let value = String::new();
            let harmless = first.is_some() && now.saturating_sub(signed) > ON_THE_WAY;
            self.effects.push(Effect { at: now, key, resource, aspect: "notice", token: job.token, value, harmless });
        }
        CallResult::Accepted { reference: "published".to_owned() }
    }
}

/// What a job makes of which aspect of its thing; `None` if it only looks.
pub fn wanted(job: &Job) -> Option<(&'static str, String)> {
    let recorded = |step: &StepId| job.evidence.get(step).cloned().unwrap_or_else(|| "nothing recorded".to_owned());
    Some(match &job.action {
        Action::RdsSetSecurityGroups { security_groups, .. } => ("groups", joined(security_groups)),
        Action::RdsReboot { .. } => ("restart", format!("by {}", job.key)),
        Action::RdsPromote { .. } => ("source", "none".to_owned()),
        Action::RdsSetBackupRetention { days, .. } => ("retention", days.to_string()),
        Action::Route53Replace { sets, .. } => ("sets", format!("{sets:?}")),
        Action::EksScaleNodegroup { min, max, desired, .. } => ("nodes", format!("{min}/{max}/{desired}")),
        Action::KubernetesScale { replicas, .. } => ("replicas", replicas.to_string()),
        Action::EksRestoreNodegroup { as_of, .. } => ("nodes", recorded(as_of)),
        Action::KubernetesRestore { as_of, .. } => ("replicas", recorded(as_of)),
        _ => return None,
    })
}

pub fn joined(groups: &BTreeSet<String>) -> String {
    groups.iter().cloned().collect::<Vec<_>>().join(",")
}

fn value(thing: &Thing, aspect: &'static str) -> String {
    thing.values.get(aspect).cloned().unwrap_or_else(|| initially(aspect))
}

fn initially(aspect: &str) -> String {
    format!("initial {aspect}")
}

/// How long the provider needs.
fn takes(aspect: &str) -> u64 {
    match aspect {
        "source" => 20 * SECOND,
        "nodes" => 10 * SECOND,
        "restart" => 30 * SECOND,
        _ => 2 * SECOND,
    }
}

fn satisfied(read_back: &str) -> Observation {
    Observation::Satisfied { read_back: read_back.to_owned() }
}

/// As the providers have it: what was accepted is on its way, and a second call would be one too many.
fn ready(before: &str, accepted: bool) -> Observation {
    match accepted {
        true => Observation::Pending { note: "accepted, and not to be seen yet".to_owned() },
        false => Observation::Ready { before: before.to_owned() },
    }
}
