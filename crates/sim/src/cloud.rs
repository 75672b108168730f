//! What the mesh acts on: a database server in each region that has a workload, and a proxy on the writers' way to it that
//! asks the lease endpoint of its own region's agents.

use std::collections::VecDeque;
use std::time::Duration;

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::Generation;
use mesh_core::manifest::PostgresInstance;
use mesh_core::plan::Action;

use crate::event::{Call, Event};
use crate::fault::Point;
use crate::net::{Part, Place};
use crate::plant::Bug;
use crate::rng::Rng;
use crate::scenario::Provider;
use crate::setting::AGENTS_PER_REGION;
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

/// The proxy asks so often.
const ASKED_EVERY: Micros = SECOND;
pub const PROMOTION_MIN: u64 = 300;
pub const PROMOTION_MAX: u64 = 4_000;
/// Measurements of lag that are reckoned later are no older than so many writes.
const WRITES_MAX: usize = 128;
/// The look at a server takes so long at least.
const LOOK: Micros = 5 * MILLI;

#[derive(Clone, Debug)]
pub struct Server {
    pub primary: bool,
    pub fenced: bool,
    pub timeline: u64,
    pub promoting: bool,
    /// Health questions that its faults met.
    pub met: u64,
    /// The newest generation that changed anything here.
    pub touched: Generation,
    /// Writes that it has: the time of the last, as replication carries it.
    pub written: Micros,
    /// Of what was written elsewhere, up to when it had all when it was promoted.
    pub through: Option<Micros>,
    /// Since when it has them: the last few times.
    writes: VecDeque<(Micros, Micros)>,
    /// Down as a whole.
    pub down: u32,
    /// Of a thousand questions, so many fail.
    pub sick: u64,
    /// Answers are late by up to this.
    pub late: Micros,
    pub proxy_open: bool,
    /// When the proxy will be shut, if nobody says yes before.
    shuts: Option<Micros>,
}

impl Server {
    /// No fault changes how it answers.
    pub const fn is_untouched(&self) -> bool {
        self.down == 0 && self.sick == 0 && self.late == 0
    }

    fn write(&mut self, now: Micros, written: Micros) {
        if written <= self.written {
            return;
        }
        self.written = written;
        if self.writes.len() >= WRITES_MAX {
            self.writes.pop_front();
        }
        self.writes.push_back((now, written));
    }

    fn written_at(&self, at: Micros) -> Micros {
        if self.writes.back().is_none_or(|(since, _)| *since <= at) {
            return self.written;
        }
        let known = self.writes.iter().rev().find(|(since, _)| *since <= at);
        known.or(self.writes.front()).map_or(0, |(_, written)| *written)
    }
}

pub struct Cloud {
    pub servers: Vec<Server>,
    /// Of a thousand replies, so many are lost.
    pub replies_lost: u64,
    /// Of a thousand calls, so many are late.
    pub calls_late: u64,
    /// Of a thousand calls and looks, so many end with an error of the provider.
    pub errors: u64,
    pub provider: Provider,
}

impl Cloud {
    pub fn new(workloads: usize) -> Self {
        let server = |at: usize| Server {
            primary: at == 0,
            fenced: false,
            timeline: 1,
            promoting: false,
            met: 0,
            touched: Generation(0),
            written: 0,
            through: None,
            writes: VecDeque::new(),
            down: 0,
            sick: 0,
            late: 0,
            proxy_open: false,
            shuts: None,
        };
        let servers = (0..workloads).map(server).collect();
        Self { servers, replies_lost: 0, calls_late: 0, errors: 0, provider: Provider::default() }
    }

    /// Does the workload answer a health question, and how late?
    pub fn answers(&mut self, region: usize, rng: &mut Rng) -> Option<Micros> {
        let server = &mut self.servers[region];
        if server.down > 0 || rng.per_mille(server.sick) {
            server.met += 1;
            return None;
        }
        if server.late == 0 {
            return Some(MILLI);
        }
        server.met += 1;
        Some(rng.below(server.late))
    }

    pub fn tells_lag(&self, region: usize) -> Option<Micros> {
        let server = &self.servers[region];
        (!server.primary && server.down == 0).then_some(MILLI)
    }

    /// How far the replica is behind, while it streams.
    pub fn lag(&self, region: usize, now: Micros) -> Option<Duration> {
        let server = &self.servers[region];
        (!server.primary).then(|| Duration::from_micros(now.saturating_sub(server.written_at(now))))
    }

    pub fn primary_writes(&self, region: usize) -> bool {
        let server = &self.servers[region];
        server.primary && !server.fenced && server.down == 0 && server.proxy_open
    }
}

/// Of which region it is: `pg0.example.com`.
fn host(name: &str) -> usize {
    name[2..3].parse().expect("the manifest numbers them")
}

const fn workload(region: usize) -> Place {
    Place { region, part: Part::Workload }
}

impl World {
    /// The proxy of a region asks whether it may let writers through; writes reach the replicas.
    pub fn proxy(&mut self, region: usize) {
        let jitter = self.rng.below(ASKED_EVERY / 5);
        self.after(ASKED_EVERY + jitter, Event::Proxy { region });
        self.replicate_writes(region);
        let mut of_region = region * AGENTS_PER_REGION..(region + 1) * AGENTS_PER_REGION;
        let allowed = !self.set.is_gated() || of_region.any(|agent| self.endpoint_allows(agent));
        let reaction = self.set.reaction_s * SECOND;
        let now = self.now;
        let server = &mut self.cloud.servers[region];
        if allowed {
            server.shuts = None;
            if !server.proxy_open {
                server.proxy_open = true;
                self.judge_writers("a proxy opened");
            }
            return;
        }
        if !server.proxy_open {
            return;
        }
        // It was allowed up to the question before: within the reaction from there it is shut.
        let shuts = *server.shuts.get_or_insert((now + reaction).saturating_sub(2 * ASKED_EVERY));
        if now >= shuts {
            server.proxy_open = false;
            server.shuts = None;
        }
    }

    /// What an agent's lease endpoint says now; nothing, if it stands still.
    fn endpoint_allows(&self, agent: usize) -> bool {
        let it = &self.agents[agent];
        let reached = self.net.is_joined(Self::agents_of(it.region), workload(it.region));
        it.alive && !it.paused && reached && self.standing_of(agent).is_some()
    }

    pub fn agents_in(&self, region: usize) -> Vec<usize> {
        (0..self.agents.len()).filter(|agent| self.agents[*agent].region == region).collect()
    }

    fn replicate_writes(&mut self, from: usize) {
        let (now, writes) = (self.now, self.cloud.primary_writes(from));
        if !self.cloud.servers[from].primary || self.cloud.servers[from].down > 0 {
            return;
        }
        if writes {
            self.cloud.servers[from].write(now, now);
        }
        let (written, timeline) = (self.cloud.servers[from].written, self.cloud.servers[from].timeline);
        for to in 0..self.cloud.servers.len() {
            let reached = self.net.joined(workload(from), workload(to));
            let server = &mut self.cloud.servers[to];
            if reached && !server.primary && server.timeline <= timeline {
                server.write(now, written.min(now.saturating_sub(self.set.lag)));
            }
        }
    }

    /// What the provider shows, and how long the look takes.
    pub fn observe(&mut self, agent: usize, job: &Job, _accepted: bool) -> (Observation, Micros) {
        let region = self.names.region(&job.region);
        let from = Self::agents_of(self.agents[agent].region);
        let took = self.net.round_trip(from, workload(region), 5 * SECOND, &mut self.rng);
        let unreadable = |reason: &str| Observation::Unreadable { reason: reason.to_owned() };
        let Some(took) = took else { return (unreadable("no answer"), 5 * SECOND) };
        let took = took + LOOK;
        if self.rng.per_mille(self.cloud.errors) {
            self.counts.provider_errors += 1;
            return (unreadable("throttled"), took);
        }
        if self.cloud.servers[region].down > 0 {
            return (unreadable("refused"), took);
        }
        self.replicate_all();
        let server = &self.cloud.servers[region];
        let satisfied = |read_back: String| Observation::Satisfied { read_back };
        let ready = || Observation::Ready { before: "{}".to_owned() };
        let seen = match &job.action {
            Action::PostgresCheckReplica { promoted_ok, .. } if server.primary && !promoted_ok => {
                Observation::Blocked { reason: "it is a primary".to_owned() }
            }
            Action::PostgresCheckReplica { .. } => satisfied(format!("{{\"timeline\":{}}}", server.timeline)),
            Action::PostgresFence { .. } if server.fenced => satisfied(format!("{{\"written\":{}}}", server.written)),
            Action::PostgresFence { .. } => ready(),
            Action::PostgresUnfence { .. } if !server.fenced => satisfied("{}".to_owned()),
            Action::PostgresUnfence { .. } => ready(),
            Action::PostgresAwaitCaughtUp { .. } => {
                let last = self.cloud.servers.iter().filter(|other| other.primary).map(|other| other.written).max();
                if last.is_none_or(|last| server.written >= last) {
                    satisfied("{}".to_owned())
                } else {
                    Observation::Pending { note: "behind".to_owned() }
                }
            }
            Action::PostgresRejoin { source, .. } => self.observe_rejoin(region, source),
            Action::PostgresPromote { .. } if server.primary => {
                satisfied(format!("{{\"timeline\":{}}}", server.timeline))
            }
            Action::PostgresPromote { .. } if server.promoting && self.bug(Bug::PromotingIsDone) => {
                satisfied("{}".to_owned())
            }
            Action::PostgresPromote { .. } if server.promoting => Observation::Pending { note: "promoting".to_owned() },
            Action::PostgresPromote { .. } => ready(),
            other => panic!("the model has no {}", other.name()),
        };
        (seen, took)
    }

    fn observe_rejoin(&self, region: usize, source: &PostgresInstance) -> Observation {
        let (of, server) = (&self.cloud.servers[host(&source.host)], &self.cloud.servers[region]);
        if !of.primary || of.timeline < server.timeline {
            return Observation::Blocked { reason: "the source is no primary, or an older one".to_owned() };
        }
        match !server.primary && server.timeline == of.timeline {
            true => Observation::Satisfied { read_back: "{}".to_owned() },
            false => Observation::Ready { before: "{}".to_owned() },
        }
    }

    /// A base backup: what the source has.
    fn rejoin(&mut self, region: usize, source: &str) {
        let Server { timeline, written, .. } = self.cloud.servers[host(source)];
        let now = self.now;
        let server = &mut self.cloud.servers[region];
        (server.primary, server.fenced, server.promoting) = (false, false, false);
        (server.timeline, server.written) = (timeline, 0);
        server.write(now, written);
    }

    fn replicate_all(&mut self) {
        for region in 0..self.cloud.servers.len() {
            self.replicate_writes(region);
        }
    }

    /// How long a call is on its way, if it arrives at all; and is its reply lost?
    pub fn way_of_call(&mut self, agent: usize, job: &Job) -> (Option<Micros>, bool) {
        let region = self.names.region(&job.region);
        let from = Self::agents_of(self.agents[agent].region);
        let Some(took) = self.net.round_trip(from, workload(region), 2 * SECOND, &mut self.rng) else {
            return (None, true);
        };
        let lost = self.rng.per_mille(self.cloud.replies_lost);
        self.counts.replies_lost += u64::from(lost);
        if self.rng.per_mille(self.cloud.calls_late) {
            self.counts.calls_late += 1;
            let longest = if self.rng.per_mille(300) { 60 } else { 4 };
            return (Some(took + self.rng.below(longest * SECOND)), lost);
        }
        (Some(took), lost)
    }

    pub fn effect(&mut self, call: Call) {
        if !call.job.action.is_postgres() {
            self.effect_outside(call);
            return;
        }
        let region = self.names.region(&call.job.region);
        let expired = self.now > call.until && !self.bug(Bug::CallsNeverExpire);
        if expired || self.cloud.servers[region].down > 0 {
            return;
        }
        self.judge_effect(&call, region);
        self.replicate_all();
        let server = &mut self.cloud.servers[region];
        let generation = call.job.token.generation;
        server.touched = server.touched.max(generation);
        match &call.job.action {
            Action::PostgresFence { .. } => server.fenced = true,
            Action::PostgresUnfence { .. } => {
                server.fenced = false;
                self.judge_writers("a server was unfenced");
            }
            Action::PostgresPromote { .. } if !server.primary && !server.promoting => {
                server.promoting = true;
                let key = call.job.key.clone();
                self.judge_once(&key, "a promotion began");
                let took = self.promotion_takes();
                self.after(took, Event::Promoted { region, generation });
            }
            Action::PostgresPromote { .. } => {}
            Action::PostgresRejoin { source, .. } => self.rejoin(region, &source.host.clone()),
            other => panic!("the model has no call {}", other.name()),
        }
        if self.crashes_here(call.agent, Point::Applied) {
            return;
        }
        if !call.reply_lost {
            let (region_of, agents) = (workload(region), Self::agents_of(self.agents[call.agent].region));
            let back = self.net.delay(region_of, agents, &mut self.rng);
            self.answer_call(&call, back, CallResult::Accepted { reference: String::new() });
        }
    }

    pub fn answer_call(&mut self, call: &Call, back: Micros, result: CallResult) {
        let (agent, epoch, seq) = (call.agent, call.epoch, call.job.token.intent);
        let number = self.agents[agent].works.get(&seq).map_or(0, super::agent::executor::Work::number);
        self.after(back, Event::CallEnded { agent, epoch, seq, call: number, result: Box::new(result) });
    }

    pub fn promoted(&mut self, region: usize, _generation: Generation) {
        let newest = self.cloud.servers.iter().map(|server| server.timeline).max().unwrap_or_default();
        let server = &mut self.cloud.servers[region];
        server.through = Some(server.written);
        server.promoting = false;
        server.primary = true;
        server.fenced = false;
        server.timeline = newest + 1;
        self.counts.promotions += 1;
        self.judge_writers("a server was promoted");
    }
}
