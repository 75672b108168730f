//! What must hold of what is done outside. The judge knows what is committed from the replicas, what was sent and applied from
//! the cloud, what is on disk from the agents' journals, and who may write from their leases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_agent::journal::{Book, IntentId};
use mesh_core::execute::Job;
use mesh_core::fleet::{Authority, AuthorityState, Fleet, Service};
use mesh_core::ids::{AgentId, Generation, IntentSeq, RegionId, RunId, ServiceId, Token};
use mesh_core::lease::Proof;
use mesh_core::manifest::{RecordSet, Routing};
use mesh_core::notice::Telling;
use mesh_core::plan::Action;
use mesh_core::run::{Direction, Intent, OutcomeResult, Run};

use crate::cloud::{Published, Shown};
use crate::judge::Judge;
use crate::site::Right;

type Id = (ServiceId, IntentSeq);

#[derive(Default)]
pub struct Effects {
    /// What is committed: who may carry each intent out, and how it ended.
    intents: BTreeMap<Id, Known>,
    /// Calls that were sent, and the newest generation of each sender's.
    calls: BTreeMap<(AgentId, Id), u32>,
    floors: BTreeMap<(AgentId, ServiceId), Generation>,
    /// The last mutation of each thing, and which thing each intent changed.
    touched: BTreeMap<String, Token>,
    applied: BTreeMap<Id, String>,
    /// Promotions, batches and messages, by key.
    once: BTreeMap<String, u32>,
    servers: BTreeMap<RegionId, Shown>,
    names: BTreeMap<String, Published>,
    delivered: BTreeSet<String>,
    authority: BTreeMap<ServiceId, BTreeMap<RegionId, Authority>>,
    /// The state that it is of.
    authority_at: u64,
    rights: BTreeSet<RegionId>,
    /// The intent of each notice about what was decided automatically.
    asked: BTreeMap<String, Id>,
    /// Since when each region's right ends, for which generation.
    ending: BTreeMap<(RegionId, Generation), Duration>,
    /// Runs that granted once the old region's lease had run out.
    waited: BTreeSet<RunId>,
}

struct Known {
    agent: AgentId,
    closed: Option<OutcomeResult>,
}

fn id_of(job: &Job) -> Id {
    (job.service.clone(), job.token.intent)
}

impl Judge {
    /// What a replica has applied.
    pub fn look_at_fleet(&mut self, at: Duration, index: u64, fleet: &Fleet) {
        if index > self.effects.authority_at {
            let authority = |(id, service): (&ServiceId, &Service)| (id.clone(), service.authority.clone());
            self.effects.authority = fleet.services.iter().map(authority).collect();
            self.effects.authority_at = index;
        }
        for (service, state) in &fleet.services {
            let writers = mesh_core::fleet::apply::writers(&state.authority);
            if writers.len() > 1 {
                self.violated(at, "OneWriter", format!("{service}: {writers:?} are granted at {index}"));
            }
            self.look_at_closed(at, state);
            self.look_at_note(at, service, state);
        }
        for run in fleet.runs.values() {
            self.look_at_automatic(at, run);
            for (step, carried) in &run.steps {
                let undo = carried.undo.iter().map(|work| (Direction::Undo, work));
                for (direction, work) in [(Direction::Forward, &carried.forward)].into_iter().chain(undo) {
                    let action = run.plan.step(step).and_then(|step| match direction {
                        Direction::Forward => Some(&step.action),
                        Direction::Undo => step.undo.as_ref(),
                    });
                    work.intents.iter().for_each(|intent| self.look_at_intent(at, run, intent, action));
                }
            }
        }
    }

    /// How the old region was closed before another had its right.
    fn look_at_closed(&mut self, at: Duration, service: &Service) {
        for (region, authority) in &service.authority {
            if let AuthorityState::Ending { wanted } = authority.state {
                self.effects.ending.entry((region.clone(), wanted)).or_insert(at);
            }
        }
        let granted = service.authority.values().find(|authority| authority.state == AuthorityState::Granted);
        let Some(wanted) = granted.map(|authority| authority.generation) else { return };
        for (region, authority) in &service.authority {
            let AuthorityState::Proven { run, proof: Proof::LeaseEnded { .. } } = &authority.state else { continue };
            if self.effects.waited.insert(run.clone()) {
                self.count("lease ran out");
                let ended = self.effects.ending.get(&(region.clone(), wanted)).copied();
                if ended.is_some_and(|ended| self.outages.covers(region, ended, at)) {
                    self.count("lease ran out unheard");
                }
            }
        }
    }

    /// What was decided automatically is told beside every run, by intents of the service.
    fn look_at_note(&mut self, at: Duration, id: &ServiceId, service: &Service) {
        let Some(note) = &service.noted else { return };
        for (step, telling) in &note.told {
            let key = format!("{id}/{step}/{}", note.at.as_millis());
            let closed = match telling {
                Telling::Due => continue,
                Telling::Asked { agent, seq, .. } => {
                    self.effects.asked.entry(key).or_insert((id.clone(), *seq));
                    let known = Known { agent: agent.clone(), closed: None };
                    self.effects.intents.entry((id.clone(), *seq)).or_insert(known);
                    continue;
                }
                Telling::Published { .. } => OutcomeResult::Done,
                Telling::Failed { .. } => OutcomeResult::Unknown,
            };
            let intent = self.effects.asked.get(&key).and_then(|intent| self.effects.intents.get_mut(intent));
            let Some(known) = intent.filter(|known| known.closed.is_none()) else { continue };
            known.closed = Some(closed);
            self.trace.line(at, format!("{key} is {closed:?}"));
            if closed == OutcomeResult::Done && !self.effects.delivered.contains(&key) {
                self.violated(at, "DoneMeansReadBack", format!("{key} was told as done: no notice was delivered"));
            }
        }
    }

    fn look_at_intent(&mut self, at: Duration, run: &Run, intent: &Intent, action: Option<&Action>) {
        let id = (run.plan.service.clone(), intent.seq);
        let known = self.effects.intents.entry(id.clone());
        let known = known.or_insert_with(|| Known { agent: intent.agent.clone(), closed: None });
        let (Some(outcome), None) = (&intent.outcome, known.closed) else { return };
        known.closed = Some(outcome.result);
        self.trace.line(at, format!("{} {} is {:?}: {}", intent.key, intent.seq, outcome.result, outcome.detail));
        match outcome.result {
            OutcomeResult::Refused { .. } => {
                self.count("refused intent");
                let thing = self.effects.applied.get(&id);
                let replaced = |thing: &String| self.effects.touched[thing].intent != intent.seq;
                if thing.is_some_and(|thing| !replaced(thing)) {
                    let text = format!("{} {} was told as refused, and it was applied", intent.key, intent.seq);
                    self.violated(at, "UnknownIsNotFailed", text);
                }
            }
            OutcomeResult::Unknown => self.count("unknown intent"),
            OutcomeResult::Done => {
                self.count("done intent");
                if let Some(action) = action {
                    self.look_at_done(at, intent, action);
                }
            }
        }
    }

    /// It was told as done: is it so, unless something newer was done since?
    fn look_at_done(&mut self, at: Duration, intent: &Intent, action: &Action) {
        let wrong = match action {
            Action::Route53Replace { record, sets, .. } => {
                let shown = &self.effects.names[record];
                let newer = shown.token.generation > intent.generation;
                (!newer && (shown.sets != *sets || shown.in_sync > at)).then(|| format!("{record} is {shown:?}"))
            }
            Action::SnsNotify { .. } => {
                (!self.effects.delivered.contains(&intent.key)).then(|| "no notice was delivered".to_owned())
            }
            action if action.is_postgres() && action.mutates() => self.server_lacks(intent, action),
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.violated(at, "DoneMeansReadBack", format!("{} was told as done: {wrong}", intent.key));
        }
    }

    fn server_lacks(&self, intent: &Intent, action: &Action) -> Option<String> {
        let agents_region = |region: &&RegionId| {
            self.effects.touched.get(&action.resource(region)).is_some_and(|token| token.intent == intent.seq)
        };
        // Only where this very intent was the last to change it is it known what must be there.
        let region = self.effects.servers.keys().find(agents_region)?;
        let shown = &self.effects.servers[region];
        let as_told = match action {
            Action::PostgresFence { .. } => shown.fenced,
            Action::PostgresUnfence { .. } => !shown.fenced,
            Action::PostgresPromote { .. } => shown.primary,
            Action::PostgresRejoin { .. } => !shown.primary,
            _ => true,
        };
        (!as_told).then(|| format!("{region} is {shown:?}"))
    }

    /// An agent sends a mutating call. `journal` is what its disk has; `right` the generation of its own right to let its
    /// region write.
    pub fn called(&mut self, at: Duration, agent: &AgentId, job: &Job, journal: &Book, right: Option<Generation>) {
        let id = id_of(job);
        self.trace.line(at, format!("{agent} sends {} {}", job.key, job.token));
        let sent = self.effects.calls.entry((agent.clone(), id.clone())).or_default();
        *sent += 1;
        let sent = *sent;
        let floor = self.effects.floors.entry((agent.clone(), job.service.clone())).or_default();
        *floor = job.token.generation.max(*floor);
        match self.effects.intents.get(&id) {
            Some(known) if known.agent != *agent => {
                let text = format!("{agent} sends {}, whose intent is of {}", job.key, known.agent);
                self.violated(at, "IntentBeforeEffect", text);
            }
            Some(Known { closed: Some(closed), .. }) => {
                let text = format!("{agent} sends {} {}, which was closed as {closed:?}", job.key, job.token);
                self.violated(at, "IntentBeforeEffect", text);
            }
            Some(_) => {}
            None => self.violated(at, "IntentBeforeEffect", format!("{}: no such intent is committed", job.key)),
        }
        let noted = journal.entry(&IntentId::from(job)).map_or(0, |entry| entry.progress.calls);
        if noted < sent {
            let text = format!("{agent} sends {} for the {sent}. time, its journal has {noted} calls", job.key);
            self.violated(at, "IntentBeforeEffect", text);
        }
        if job.action.lets_write() && right != Some(job.token.generation) {
            self.violated(at, "OneWriter", format!("{agent} sends {} with the right {right:?}", job.key));
        }
    }

    /// An agent starts, with what its disk has.
    pub fn comes_back(&mut self, at: Duration, agent: &AgentId, journal: &Book) {
        self.trace.line(at, format!("{agent} starts"));
        let mut forgotten = Vec::new();
        for ((_, service), floor) in self.effects.floors.iter().filter(|((of, _), _)| of == agent) {
            if journal.floor(service) < *floor {
                forgotten.push(format!("that it acted on {service} at {floor}"));
            }
        }
        for ((_, id), calls) in self.effects.calls.iter().filter(|((of, _), _)| of == agent) {
            let open = self.effects.intents.get(id).is_some_and(|known| known.closed.is_none());
            let intent = IntentId { service: id.0.clone(), seq: id.1 };
            if open && journal.entry(&intent).is_none_or(|entry| entry.progress.calls < *calls) {
                forgotten.push(format!("{calls} calls of {intent}"));
            }
            if open {
                *self.counts.entry("came back to an open call").or_default() += 1;
            }
        }
        for what in forgotten {
            self.violated(at, "DurableAck", format!("{agent} starts and has forgotten {what}"));
        }
    }

    /// A call has arrived and changes something.
    pub fn effect(&mut self, at: Duration, job: &Job) {
        let (id, thing) = (id_of(job), job.action.resource(&job.region));
        self.trace.line(at, format!("cloud: {} {} {}", job.action.name(), job.key, job.token));
        self.count("effect");
        if let Some(OutcomeResult::Refused { .. }) = self.effects.intents.get(&id).and_then(|known| known.closed) {
            let text = format!("{} {} is applied, and was told as refused", job.key, job.token);
            self.violated(at, "UnknownIsNotFailed", text);
        }
        let newest = self.effects.touched.get(&thing).copied();
        let guarded = job.action.is_postgres() || job.action.provider_checked();
        if guarded && newest.is_some_and(|newest| newest.generation > job.token.generation) {
            self.violated(at, "FencedGeneration", format!("{thing}: {} after {newest:?}", job.token));
        }
        if job.action.lets_write() {
            let authority = self.effects.authority.get(&job.service).and_then(|of| of.get(&job.region));
            let granted = authority
                .is_some_and(|it| it.state == AuthorityState::Granted && it.generation == job.token.generation);
            if !granted {
                self.violated(at, "OneWriter", format!("{} {} without authority", job.key, job.token));
            }
        }
        self.effects.touched.insert(thing.clone(), newest.map_or(job.token, |newest| newest.max(job.token)));
        self.effects.applied.insert(id, thing);
    }

    /// What must happen once for a key.
    pub fn happens(&mut self, at: Duration, job: &Job, what: &'static str) {
        self.count(what);
        if matches!(job.action, Action::SnsNotify { .. }) {
            self.effects.delivered.insert(job.key.clone());
        }
        let times = self.effects.once.entry(job.key.clone()).or_default();
        *times += 1;
        if *times > 1 {
            let text = format!("{what} for {}, {times} times", job.key);
            self.violated(at, "OneEffectPerKey", text);
        }
    }

    pub fn promoted(&mut self, at: Duration, region: &RegionId, timeline: u64) {
        self.trace.line(at, format!("cloud: {region} is promoted, timeline {timeline}"));
        self.count("promoted");
    }

    /// What a name answers from now on.
    pub fn answers(&mut self, at: Duration, name: &str, sets: &[RecordSet], job: &Job) {
        if !sets.iter().any(|set| set.routing != Routing::Weighted(0)) {
            self.violated(at, "NeverEmpty", format!("{name} answers nothing after {}", job.key));
        }
        if let Action::Route53Replace { sets: wanted, .. } = &job.action
            && !sets.is_empty()
            && let Some(set) = wanted.iter().find(|set| !sets.contains(set))
        {
            self.violated(at, "NeverEmpty", format!("{name} lacks {set:?}"));
        }
    }

    /// How the outside stands now.
    pub fn shown(&mut self, at: Duration, servers: BTreeMap<RegionId, Shown>, names: &BTreeMap<String, Published>) {
        if *names != self.effects.names {
            self.effects.names = names.clone();
        }
        if servers == self.effects.servers {
            return;
        }
        let writing: Vec<&RegionId> = servers.iter().filter(|(_, server)| server.writes).map(|(it, _)| it).collect();
        self.trace.line(at, format!("cloud: writes go to {writing:?}"));
        if writing.len() > 1 {
            self.violated(at, "OneWriter", format!("{writing:?} take writes: {servers:?}"));
        }
        self.effects.servers = servers;
    }

    /// The agents that may let their region write now, each with its region.
    pub fn rights(&mut self, at: Duration, held: &[Right]) {
        let regions: BTreeSet<RegionId> = held.iter().map(|(_, region, _)| region.clone()).collect();
        if regions == self.effects.rights {
            return;
        }
        self.trace.line(at, format!("rights: {regions:?}"));
        if regions.len() > 1 {
            self.violated(at, "OneWriter", format!("they may write: {held:?}"));
        }
        self.effects.rights = regions;
    }
}
