//! Histories of a simulated object are good, and of what becomes of them by a change at random both checkers say the same.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a helper that finds something else fails its test, and the test says what it met"
)]

use std::collections::BTreeMap;

use mesh_history::{Judged, Line, Op, Outcome, operations};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

const SEEDS: u64 = 1_000;
const STEPS: usize = 90;
const CLIENTS: usize = 4;
const MUTANTS: usize = 4;

/// Where a client's operation stands.
#[derive(Clone, Copy)]
enum Stage {
    Idle,
    Asked(Op),
    Done(Outcome),
}

/// A sequential object and clients that ask it at the same time.
struct World {
    rng: StdRng,
    versioned: bool,
    state: (u64, Option<u64>),
    next_value: u64,
    next_process: u64,
    clients: Vec<(u64, Stage)>,
    /// Nobody waits for them any more; they may still be carried out.
    given_up: Vec<Op>,
    /// Values that were proposed, with what they expected.
    proposed: Vec<Op>,
    lines: Vec<Line>,
}

impl World {
    fn new(seed: u64) -> Self {
        let clients = (1..=CLIENTS as u64).map(|process| (process, Stage::Idle)).collect();
        Self {
            rng: StdRng::seed_from_u64(seed),
            versioned: seed.is_multiple_of(2),
            state: (0, None),
            next_value: 1,
            next_process: CLIENTS as u64 + 1,
            clients,
            given_up: Vec::new(),
            proposed: Vec::new(),
            lines: Vec::new(),
        }
    }

    fn play(mut self) -> Vec<Line> {
        for _ in 0..STEPS {
            let at = self.rng.random_range(0..self.clients.len());
            let (process, stage) = self.clients[at];
            self.clients[at] = match stage {
                Stage::Idle => {
                    let op = self.draw();
                    self.lines.push(Line::Invoke { process, object: "o".to_owned(), op });
                    (process, Stage::Asked(op))
                }
                Stage::Asked(op) if self.rng.random_bool(0.08) => {
                    self.given_up.push(op);
                    self.fresh()
                }
                Stage::Asked(op) => (process, Stage::Done(self.carry_out(op))),
                Stage::Done(_) if self.rng.random_bool(0.05) => self.fresh(),
                Stage::Done(outcome) => {
                    self.lines.push(Line::Return { process, object: "o".to_owned(), outcome });
                    (process, Stage::Idle)
                }
            };
            if !self.given_up.is_empty() && self.rng.random_bool(0.1) {
                let late = self.rng.random_range(0..self.given_up.len());
                let late = self.given_up.swap_remove(late);
                self.carry_out(late);
            }
        }
        self.lines
    }

    fn fresh(&mut self) -> (u64, Stage) {
        self.next_process += 1;
        (self.next_process, Stage::Idle)
    }

    fn draw(&mut self) -> Op {
        if self.rng.random_bool(0.4) {
            return Op::Read;
        }
        if self.versioned
            && self.rng.random_bool(0.15)
            && let Some(again) = self.proposed.choose(&mut self.rng)
        {
            return *again;
        }
        self.next_value += 1;
        let value = self.next_value;
        let around = (self.state.0 + self.rng.random_range(0..4)).saturating_sub(2);
        let expected = if self.rng.random_bool(0.7) { self.state.0 } else { around };
        let op = if self.versioned { Op::Apply { expected, value } } else { Op::Write { value } };
        self.proposed.push(op);
        op
    }

    fn carry_out(&mut self, op: Op) -> Outcome {
        match op {
            Op::Read => Outcome::Found { version: self.state.0, value: self.state.1 },
            Op::Write { value } => {
                self.state.1 = Some(value);
                Outcome::Written
            }
            Op::Apply { value, .. } if self.state.1 == Some(value) => Outcome::Applied { version: self.state.0 },
            Op::Apply { expected, value } if expected == self.state.0 => {
                self.state = (expected + 1, Some(value));
                Outcome::Applied { version: expected + 1 }
            }
            Op::Apply { .. } => Outcome::Refused,
        }
    }
}

fn judged(lines: &[Line]) -> Judged {
    Judged::of(operations(lines).expect("a sound recording").remove("o").unwrap_or_default())
}

#[test]
fn what_a_sequential_object_answers_is_linearizable() {
    for seed in 0..SEEDS {
        let judged = judged(&World::new(seed).play());
        assert!(judged.is_linearizable(), "seed {seed}: {judged}");
    }
}

/// Another answer, or an answer at another time. The recording stays a sound one.
fn mutate(lines: &mut Vec<Line>, rng: &mut StdRng) {
    let at = rng.random_range(0..lines.len());
    match rng.random_range(0..3) {
        0 => exchange(lines, at, rng),
        1 => change(lines, at, rng),
        _ => shift(lines, at, rng),
    }
}

/// An answer to a read becomes that to another one.
fn exchange(lines: &mut [Line], at: usize, rng: &mut StdRng) {
    let is_found = |line: &Line| matches!(line, Line::Return { outcome: Outcome::Found { .. }, .. });
    let found: Vec<usize> = (0..lines.len()).filter(|nth| is_found(&lines[*nth])).collect();
    let (Some(&one), Some(&other)) = (found.iter().find(|nth| **nth >= at), found.choose(rng)) else { return };
    let taken = match &lines[other] {
        Line::Return { outcome, .. } => *outcome,
        _ => unreachable!("it was found"),
    };
    if let Line::Return { outcome, .. } = &mut lines[one] {
        *outcome = taken;
    }
}

fn change(lines: &mut [Line], at: usize, rng: &mut StdRng) {
    match &mut lines[at] {
        Line::Return { outcome, .. } => match outcome {
            Outcome::Applied { .. } => *outcome = Outcome::Refused,
            Outcome::Refused => *outcome = Outcome::Applied { version: rng.random_range(1..8) },
            Outcome::Found { version, value } if rng.random_bool(0.5) => {
                *version += u64::from(rng.random_bool(0.5));
                *value = rng.random_bool(0.7).then(|| rng.random_range(1..20));
            }
            Outcome::Found { .. } | Outcome::Written | Outcome::NotSent => {}
        },
        Line::Invoke { .. } | Line::Note(_) => {}
    }
}

/// Later or earlier, as far as its process allows; an answer may get lost.
fn shift(lines: &mut Vec<Line>, at: usize, rng: &mut StdRng) {
    let line = lines.remove(at);
    let of = |line: &Line| match line {
        Line::Invoke { process, .. } | Line::Return { process, .. } => *process,
        Line::Note(_) => 0,
    };
    let own = of(&line);
    let earliest = lines.iter().take(at).rposition(|other| of(other) == own).map_or(0, |nth| nth + 1);
    let latest = lines.iter().skip(at).position(|other| of(other) == own).map_or(lines.len(), |nth| nth + at);
    lines.insert(rng.random_range(earliest..=latest), line);
}

#[test]
fn both_checkers_say_the_same_of_whatever_is_changed() {
    let mut said: BTreeMap<(bool, bool), usize> = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        for mutant in 0..MUTANTS {
            let mut lines = World::new(seed).play();
            for _ in 0..rng.random_range(1..5) {
                mutate(&mut lines, &mut rng);
            }
            let judged = judged(&lines);
            assert!(judged.is_agreed(), "seed {seed}, mutant {mutant}: {judged}\n{lines:#?}");
            *said.entry((seed.is_multiple_of(2), judged.is_linearizable())).or_default() += 1;
        }
    }
    println!("(with versions, linearizable): {said:?}");
    let enough = usize::try_from(SEEDS / 10).expect("a small number");
    assert!(said.len() == 4 && said.values().all(|times| *times > enough), "one-sided: {said:?}");
}
