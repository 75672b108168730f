//! The judges. They see everything, decide nothing, and share no code with what they judge. One rule of design.md 4 a file.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use mesh_core::detect::{Pattern, Verdict};
use mesh_core::fleet::{Command, Fleet};
use mesh_core::ids::{Generation, IntentSeq};

use crate::Micros;
use crate::event::{Answer, Entry, Log};
use crate::world::World;

pub mod converges;
pub mod done_means_read_back;
pub mod durable_ack;
pub mod fenced_generation;
pub mod intent_before_effect;
pub mod no_flap;
pub mod observer_quorum;
pub mod one_writer;
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
}

pub struct Judge {
    pub violations: Vec<Violation>,
    /// What was committed, by whoever said so first, and the state that it makes.
    pub committed: Vec<Rc<Entry>>,
    pub fleet: Fleet,
    /// What each agent was really answered about each region, lately.
    pub answers: Vec<Rows>,
    pub workloads: usize,
    /// Calls that a provider really carried out.
    pub effects: BTreeMap<IntentSeq, Generation>,
    /// Interesting situations that came about.
    pub sometimes: BTreeMap<&'static str, u64>,
    pub starts: Vec<Micros>,
    /// When a region other than the first took writes first.
    pub first_write: Option<Micros>,
    pub last_verdict: Option<(Verdict, Pattern)>,
    pub granted: BTreeSet<(usize, Generation)>,
}

impl Judge {
    pub fn new(log: &Log, fleet: Fleet, agents: usize, workloads: usize) -> Self {
        Self {
            violations: Vec::new(),
            committed: log.to_vec(),
            fleet,
            answers: vec![Rows::default(); agents * workloads],
            workloads,
            effects: BTreeMap::new(),
            sometimes: BTreeMap::new(),
            starts: Vec::new(),
            first_write: None,
            last_verdict: None,
            granted: BTreeSet::new(),
        }
    }
}

impl World {
    pub fn violated(&mut self, rule: &'static str, text: String) {
        self.trace.note_text(&text);
        if self.judge.violations.len() < VIOLATIONS_MAX {
            self.judge.violations.push(Violation { at: self.now, rule, text });
        }
    }

    /// A situation in which something could go wrong came about.
    pub fn reached(&mut self, what: &'static str) {
        *self.judge.sometimes.entry(what).or_default() += 1;
    }

    pub fn judge_commit(&mut self, node: usize, index: usize, entry: &Rc<Entry>) {
        if !self.agrees_with_committed(node, index, entry) {
            return;
        }
        self.judge.committed.push(Rc::clone(entry));
        let Some(command) = &entry.command else { return };
        let before = self.judge.fleet.services[&self.names.service].automatic_at;
        let applied = self.judge.fleet.apply(entry.at, command);
        let kind = applied.note.kind.clone();
        self.trace.note_text(&kind);
        self.trace.note_text(&applied.note.text);
        if applied.note.refused {
            self.reached("refused at commit");
            return;
        }
        *self.counts.decisions.entry(kind).or_default() += 1;
        match command {
            Command::StartRun { plan, cause, .. } => {
                self.counts.failovers += 1;
                let now = self.now;
                self.judge.starts.push(now);
                let plan = plan.clone();
                self.judge_start(&plan, cause, before, entry.at);
            }
            Command::CloseIntent { run, step, direction, seq, outcome } => {
                self.judge_closed(run, step, *direction, *seq, outcome);
            }
            _ => {}
        }
        self.judge_authority();
    }

    pub fn judge_proposal(&mut self, node: usize, command: &Command) {
        if self.leader().is_some_and(|leader| leader != node) {
            self.reached("an old leader proposed");
        }
        if matches!(command, Command::ProveClosed { .. }) {
            self.reached("a region was proven closed");
        }
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
        let now = self.now;
        let rows = &mut self.judge.answers[agent * self.judge.workloads + about];
        if passed {
            rows.before = rows.now.take().or(rows.before);
        } else {
            rows.now = Some((rows.now.map_or(now, |(first, _)| first), now));
        }
    }
}
