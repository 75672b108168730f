//! Providers other than PostgreSQL, as far as time goes: what is called is in place after a time that is assumed. No
//! throttling, no foreign edits, no refusals.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::plan::{Action, SecurityGroupPurpose};

use crate::cloud::{PROMOTION_MAX, PROMOTION_MIN};
use crate::event::{Call, Event};
use crate::net::{Part, Place};
use crate::world::World;
use crate::{MILLI, MINUTE, Micros, SECOND};

/// Where Route 53 is changed (AWS, "Fault isolation boundaries").
const ROUTE53_REGION: &str = "us-east-1";
const NO_ANSWER: Micros = 5 * SECOND;
/// Points of ReplicaLag are a minute apart, each dated by the beginning of its minute.
const MEASURED_EVERY: Micros = MINUTE;

/// When what was called is in place, by the key of its effect.
#[derive(Debug, Default)]
pub struct Provider(BTreeMap<String, Micros>);

const fn workload(region: usize) -> Place {
    Place { region, part: Part::Workload }
}

fn satisfied() -> Observation {
    Observation::Satisfied { read_back: "{}".to_owned() }
}

fn pending(note: &str) -> Observation {
    Observation::Pending { note: note.to_owned() }
}

impl World {
    /// What the provider shows, and how long the look takes; nothing, if another part of the model has it.
    pub fn observe_given(&mut self, agent: usize, job: &Job) -> Option<(Observation, Micros)> {
        if job.action.is_postgres() {
            return None;
        }
        self.set.given.as_ref()?;
        if !self.provider_answers(agent, job) {
            return Some((Observation::Unreadable { reason: "no answer".to_owned() }, NO_ANSWER));
        }
        let took = self.provider_takes(job);
        Some((self.shown(job), took))
    }

    fn shown(&mut self, job: &Job) -> Observation {
        let region = self.names.region(&job.region);
        let server = &self.cloud.servers[region];
        match &job.action {
            Action::RdsCheckReplica { standalone_ok, .. } if server.primary && !standalone_ok => {
                Observation::Blocked { reason: "it is no replica".to_owned() }
            }
            Action::RdsPromote { .. } if server.primary => satisfied(),
            Action::RdsPromote { .. } if server.promoting => pending("it is being promoted"),
            Action::RdsAwaitCaughtUp { .. } if !self.source_tells(region) => pending("its source does not answer"),
            Action::RdsAwaitCaughtUp { .. } => self.in_time(job, 1),
            Action::HttpVerify { consecutive, .. } => self.in_time(job, u64::from(*consecutive)),
            action if action.mutates() => self.in_place(job, region),
            _ => satisfied(),
        }
    }

    /// Of what takes its time from the first look on.
    fn in_time(&mut self, job: &Job, times: u64) -> Observation {
        if !self.cloud.provider.0.contains_key(&job.key) {
            let at = self.now + self.takes(&job.action) * times;
            self.cloud.provider.0.insert(job.key.clone(), at);
        }
        if self.cloud.provider.0[&job.key] > self.now { pending("not yet") } else { satisfied() }
    }

    fn in_place(&mut self, job: &Job, region: usize) -> Observation {
        match self.cloud.provider.0.get(&job.key) {
            None => Observation::Ready { before: "{}".to_owned() },
            Some(at) if *at > self.now => pending("not yet"),
            Some(_) => {
                self.put_in_place(&job.action, region);
                satisfied()
            }
        }
    }

    fn put_in_place(&mut self, action: &Action, region: usize) {
        use SecurityGroupPurpose::{Fence, Unfence};
        match action {
            Action::RdsSetSecurityGroups { purpose: Fence, .. } | Action::HookFence { .. } => {
                self.cloud.servers[region].fenced = true;
            }
            Action::RdsSetSecurityGroups { purpose: Unfence, .. } | Action::HookUnfence { .. } => {
                self.cloud.servers[region].fenced = false;
                self.judge_writers("a server was unfenced");
            }
            _ => {}
        }
    }

    /// The old primary lives and reaches the replica.
    fn source_tells(&self, replica: usize) -> bool {
        let servers = self.cloud.servers.iter().enumerate();
        let mut sources = servers.filter(|(region, server)| *region != replica && server.primary);
        sources.any(|(region, server)| server.down == 0 && self.net.is_joined(workload(region), workload(replica)))
    }

    fn provider_answers(&self, agent: usize, job: &Job) -> bool {
        let answers = self.set.given.as_ref().is_none_or(|given| given.assumed.route53_answers);
        if answers || !matches!(job.action, Action::Route53Replace { .. }) {
            return true;
        }
        let Some(there) = self.names.regions.iter().position(|region| region.as_str() == ROUTE53_REGION) else {
            return true;
        };
        let down = self.cloud.servers.get(there).is_some_and(|server| server.down > 0);
        !down && self.net.is_joined(Self::agents_of(self.agents[agent].region), workload(there))
    }

    /// One call or look on its way through the provider.
    pub fn provider_takes(&mut self, job: &Job) -> Micros {
        let Some(given) = self.set.given.as_ref().filter(|_| !job.action.is_postgres()) else { return 0 };
        given.assumed.range("provider-call").draw(&mut self.rng)
    }

    pub fn promotion_takes(&mut self) -> Micros {
        match &self.set.given {
            Some(given) => given.assumed.range("postgresql-promotion").draw(&mut self.rng),
            None => self.rng.between(PROMOTION_MIN, PROMOTION_MAX) * MILLI,
        }
    }

    /// From a call, or from the first look, until the provider shows the end of it.
    fn takes(&mut self, action: &Action) -> Micros {
        let Some(given) = &self.set.given else { return 0 };
        let name = match action {
            Action::RdsPromote { .. } => "rds-promotion",
            Action::RdsSetSecurityGroups { .. } => "rds-change",
            Action::RdsReboot { .. } => "rds-reboot",
            Action::RdsAwaitCaughtUp { .. } => "rds-caught-up",
            Action::EksScaleNodegroup { .. } | Action::EksRestoreNodegroup { .. } => "eks-nodes",
            Action::KubernetesScale { .. } | Action::KubernetesRestore { .. } => "kubernetes-pods",
            Action::EcsScaleService { .. } | Action::EcsRestoreService { .. } => "ecs-tasks",
            Action::Route53Replace { .. } | Action::Route53CreateToken { .. } => "route53-insync",
            Action::HttpVerify { .. } => "verification",
            Action::HookFence { .. } | Action::HookUnfence { .. } => "hook",
            _ => "provider-call",
        };
        given.assumed.range(name).draw(&mut self.rng)
    }

    pub fn effect_given(&mut self, call: &Call) {
        let (job, region) = (&call.job, self.names.region(&call.job.region));
        let took = self.takes(&job.action);
        let server = &mut self.cloud.servers[region];
        if !matches!(job.action, Action::RdsPromote { .. }) {
            self.cloud.provider.0.entry(job.key.clone()).or_insert(self.now + took);
        } else if !server.primary && !server.promoting {
            server.promoting = true;
            self.after(took, Event::Promoted { region, generation: job.token.generation });
        }
        if !call.reply_lost {
            let back = self.provider_takes(job);
            self.answer_call(call, back, CallResult::Accepted { reference: String::new() });
        }
    }

    /// How far a replica was behind, and how old that is.
    pub fn lag_of(&self, region: usize, now: Micros) -> Option<(Duration, Duration)> {
        let Some(given) = &self.set.given else {
            return Some((self.cloud.lag(region, now)?, Duration::ZERO));
        };
        if self.cloud.servers[region].primary {
            return None;
        }
        let lag = Duration::from_micros(self.set.lag);
        if !given.is_rds {
            return self.source_tells(region).then_some((lag, Duration::ZERO));
        }
        let late = given.assumed.range("cloudwatch-late").from + self.set.calendar % MEASURED_EVERY;
        let age = late.min(given.assumed.range("cloudwatch-late").to) + (now + self.set.calendar) % MEASURED_EVERY;
        Some((lag, Duration::from_micros(age)))
    }
}
