//! The judges. They see everything, decide nothing, and share no code with what they judge. One rule of design.md 4 a file.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use mesh_core::detect::{Pattern, Verdict};
use mesh_core::fleet::{Applied, Command, Fleet, Reply};
use mesh_core::ids::{Generation, IntentSeq};
use mesh_core::time::Timestamp;

use crate::Micros;
use crate::aim::Moment;
use crate::event::{Answer, Entry, Log};
use crate::world::World;

pub mod audit_chain;
pub mod blast_cap;
pub mod cold_start;
pub mod converges;
pub mod done_means_read_back;
pub mod durable_ack;
pub mod fail_static;
pub mod failover_deadline;
pub mod fenced_generation;
pub mod human_wins;
pub mod intent_before_effect;
pub mod least_privilege;
pub mod linearizable;
pub mod never_empty;
pub mod no_flap;
pub mod observer_quorum;
pub mod one_effect_per_key;
pub mod one_writer;
pub mod repairs_any;
pub mod replica_agreement;
pub mod rpo_gate;
pub mod self_doubt;
pub mod two_person;
pub mod unknown_is_not_failed;

/// Violations that are kept of one world: the first is what counts.
const VIOLATIONS_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub at: Micros,
    pub rule: &'static str,
    pub text: String,
}

/// Unbroken rows of failed answers, first and last: the present one, and the one before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows {
    pub now: Option<(Micros, Micros)>,
    pub before: Option<(Micros, Micros)>,
    /// When the last three rows began, the newest first.
    pub began: [Option<Micros>; 3],
}

pub struct Judge {
    pub violations: Vec<Violation>,
    /// The runs as they stood at the first of them.
    pub told: Vec<String>,
    /// What was committed, by whoever said so first, and the state that it makes.
    pub committed: Vec<Rc<Entry>>,
    pub fleet: Fleet,
    /// What each agent was really answered about each region, lately.
    pub answers: Vec<Rows>,
    pub workloads: usize,
    /// Calls that a provider really carried out.
    pub effects: BTreeMap<IntentSeq, Generation>,
    /// Intents of which it is committed that nothing was done.
    pub refused: BTreeSet<IntentSeq>,
    /// Intents of which it is committed that they are done.
    pub done: BTreeSet<IntentSeq>,
    /// Interesting situations that came about.
    pub sometimes: BTreeMap<&'static str, u64>,
    pub starts: Vec<Micros>,
    /// When somebody began to lead last.
    pub led_since: Micros,
    /// When a region other than the first took writes first.
    pub first_write: Option<Micros>,
    pub last_verdict: Option<(Verdict, Pattern)>,
    pub granted: BTreeSet<(usize, Generation)>,
    pub results: replica_agreement::Results,
    pub chain: audit_chain::Chain,
    pub quorum: fail_static::Quorum,
    pub halted: human_wins::Halted,
    pub ring: two_person::Ring,
    pub moves: blast_cap::Moves,
    pub flaps: no_flap::Flaps,
    pub once: one_effect_per_key::Once,
    pub names: never_empty::Names,
    pub stood: self_doubt::Stood,
    pub cold: Option<cold_start::Cold>,
    pub finale: Option<failover_deadline::Finale>,
    pub tries: repairs_any::Tries,
}

impl Judge {
    pub fn new(log: &Log, fleet: Fleet, agents: usize, workloads: usize) -> Self {
        Self {
            violations: Vec::new(),
            told: Vec::new(),
            committed: log.to_vec(),
            fleet,
            answers: vec![Rows::default(); agents * workloads],
            workloads,
            effects: BTreeMap::new(),
            refused: BTreeSet::new(),
            done: BTreeSet::new(),
            sometimes: BTreeMap::new(),
            starts: Vec::new(),
            led_since: 0,
            first_write: None,
            last_verdict: None,
            granted: BTreeSet::new(),
            results: replica_agreement::Results::after(log.len()),
            chain: audit_chain::Chain::default(),
            quorum: fail_static::Quorum::default(),
            halted: human_wins::Halted::default(),
            ring: two_person::Ring::of(log),
            moves: blast_cap::Moves::default(),
            flaps: no_flap::Flaps::default(),
            once: one_effect_per_key::Once::default(),
            names: never_empty::Names::default(),
            stood: self_doubt::Stood::of(agents),
            cold: None,
            finale: None,
            tries: repairs_any::Tries::default(),
        }
    }
}

impl World {
    pub fn violated(&mut self, rule: &'static str, text: String) {
        self.trace.note_text(&text);
        if self.judge.violations.is_empty() {
            self.judge.told = self.told();
        }
        if self.judge.violations.len() < VIOLATIONS_MAX {
            self.judge.violations.push(Violation { at: self.now, rule, text });
        }
    }

    /// A situation in which something could go wrong came about.
    pub fn reached(&mut self, what: &'static str) {
        *self.judge.sometimes.entry(what).or_default() += 1;
    }

    /// A node commits an entry, before it applies it.
    pub fn judge_commit(&mut self, node: usize, index: usize, entry: &Rc<Entry>) {
        if !self.agrees_with_committed(node, index, entry) {
            return;
        }
        self.judge.committed.push(Rc::clone(entry));
        let mut fleet = std::mem::take(&mut self.judge.fleet);
        let applied = self.applied(&mut fleet, entry, entry.at);
        self.judge.fleet = fleet;
        self.judge.results.add(applied.as_ref(), &self.judge.fleet);
        let (Some(command), Some(applied)) = (&entry.command, applied) else { return };
        if self.audited(&applied) {
            self.judge.chain.canon.append(index + 1, entry.at, command, &applied, None);
        }
        let kind = applied.note.kind.clone();
        self.trace.note_text(&kind);
        self.trace.note_text(&applied.note.text);
        if applied.note.refused {
            self.reached("refused at commit");
            return;
        }
        *self.counts.decisions.entry(kind).or_default() += 1;
        self.judge_command(command, &applied, entry.at);
        self.judge_authority();
    }

    fn judge_command(&mut self, command: &Command, applied: &Applied, at: Timestamp) {
        // Who asks for the same again begins nothing.
        if !matches!(applied.reply, Reply::RunStarted { existing: true, .. }) {
            self.judge_two_person(command, at);
        }
        self.judge_lifted(command);
        match command {
            Command::StartRun { plan, cause, .. } => {
                let plan = plan.clone();
                if self.judge_waves(&plan, cause, applied) {
                    self.judge_start(&plan, cause, at);
                }
                let run = applied.note.run.clone();
                run.inspect(|run| self.aim(Moment::Started, run));
            }
            Command::Acknowledge { service, .. } => self.judge.flaps.acknowledged(service, at),
            Command::OpenIntent { run, step, agent, .. } => {
                self.judge_intents(run, step);
                if let Some(agent) = self.names.agent(agent) {
                    self.aim(Moment::Opened { agent }, run);
                }
            }
            Command::Grant { run, .. } => self.aim(Moment::Granted, run),
            Command::Revoke { .. } => self.strike_promisers(),
            Command::CloseIntent { run, step, direction, seq, outcome } => {
                self.judge_closed(run, step, *direction, *seq, outcome);
                self.judge_tries(run, step, *direction, *seq, outcome);
            }
            _ => {}
        }
    }

    pub fn judge_proposal(&mut self, node: usize, command: &Command) {
        if self.leader().is_some_and(|leader| leader != node) {
            self.reached("an old leader proposed");
        }
        match command {
            Command::ProveClosed { .. } => self.reached("a region was proven closed"),
            Command::StartRun { plan, .. } => self.judge_doubts(node, plan),
            _ => {}
        }
    }

    /// The runs, line by line, and what was found wrong.
    fn told(&self) -> Vec<String> {
        let mut lines: Vec<String> = vec![format!("{:?}", self.set)];
        for run in self.judge.fleet.runs.values() {
            lines.push(format!("{} from {} to {}: {:?}", run.id, run.plan.from, run.plan.to, run.state));
            let of = run.timeline.iter().map(|line| {
                let step = line.step.as_ref().map_or_else(String::new, ToString::to_string);
                format!("  {} {step} {}", line.at, line.text)
            });
            lines.extend(of);
        }
        let faults =
            self.faults.iter().filter(|planned| planned.from <= self.now && planned.until + 20_000_000 > self.now);
        lines.extend(faults.map(|at| format!("{} ms to {} ms: {:?}", at.from / 1_000, at.until / 1_000, at.fault)));
        lines.push(format!("now {} ms, {}", self.now / 1_000, self.judge.fleet.now));
        lines
    }

    pub fn judge_verdict(&mut self, active: Option<(Verdict, Pattern)>) {
        self.judge.last_verdict = active;
        match active.map(|(verdict, _)| verdict) {
            Some(Verdict::Down) => self.reached("the active region was down"),
            Some(Verdict::Suspect) => self.reached("the active region was suspect"),
            Some(Verdict::Healthy | Verdict::Unknown) | None => {}
        }
    }

    pub fn judge_answer(&mut self, agent: usize, about: usize, answer: &Answer) {
        let passed = match answer {
            Answer::Passed => true,
            Answer::Failed => false,
            Answer::Unknown => return,
        };
        self.judge_alone(agent);
        let now = self.now;
        let rows = &mut self.judge.answers[agent * self.judge.workloads + about];
        if passed {
            rows.before = rows.now.take().or(rows.before);
        } else {
            if rows.now.is_none() {
                let [last, before, _] = rows.began;
                rows.began = [Some(now), last, before];
            }
            rows.now = Some((rows.now.map_or(now, |(first, _)| first), now));
        }
    }
}
