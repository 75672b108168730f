//! Random walks: any order of outcomes, orders and lost agents keeps the invariants, and a healed mesh ends every run.

use crate::access;
use crate::engine;
use crate::fixtures::{EAST, HASH, WEST, at, fleet, region, service, start, view};
use crate::fleet::apply::writers;
use crate::fleet::{Command, Fleet};
use crate::plan::{Action, SecurityGroupPurpose};
use crate::run::{Approval, OutcomeResult, RunState};

use super::outcome;

/// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % sides
    }
}

/// What the outside did, as a double would log it.
#[derive(Default)]
struct World {
    east_open: bool,
    promoted: bool,
}

#[derive(Default)]
struct Seen {
    done: u32,
    compensated: u32,
    held: u32,
    unknown: u32,
    consents: u32,
}

#[test]
fn no_walk_lets_two_regions_write_and_every_healed_run_ends() {
    let mut seen = Seen::default();
    for seed in 1..=3_000 {
        walk(seed, &mut seen);
    }
    let counts = [seen.done, seen.compensated, seen.held, seen.unknown, seen.consents];
    assert!(counts.iter().all(|count| *count > 100), "an interesting case was hardly reached: {counts:?}");
}

fn walk(seed: u64, seen: &mut Seen) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut fleet = fleet();
    super::enroll(&mut fleet);
    let mut world = World { east_open: true, promoted: false };
    fleet.apply(at(1), &start(&fleet, WEST));
    let mut second = 2;
    for _ in 0..200 {
        second += dice.roll(20);
        disturb(&mut fleet, &mut dice, second, seen);
        let gone: &[&str] = match dice.roll(6) {
            0 => &[EAST],
            1 => &[WEST],
            _ => &[],
        };
        turn(&mut fleet, &mut world, &mut dice, second, gone, seen, false);
        check(seed, &fleet, &world);
    }
    heal(seed, &mut fleet, &mut world, &mut dice, second, seen);
}

/// After the faults: agents are there, nothing fails, people decide what they are asked.
fn heal(seed: u64, fleet: &mut Fleet, world: &mut World, dice: &mut Dice, from: u64, seen: &mut Seen) {
    for round in 0..3_000 {
        let second = from + round;
        let Some(run) = current(fleet) else { break };
        let (id, state, paused) = (run.id.clone(), run.state.clone(), run.paused.is_some());
        if paused {
            fleet.apply(at(second), &Command::Resume { run: id.clone(), by: "ann".to_owned() });
        }
        if matches!(state, RunState::Held { .. }) {
            fleet.apply(at(second), &Command::Retry { run: id, by: "ann".to_owned() });
        }
        turn(fleet, world, dice, second, &[], seen, true);
        check(seed, fleet, world);
    }
    assert!(current(fleet).is_none(), "seed {seed}: the run never ended: {:?}", current(fleet).map(|run| &run.state));
    let run = fleet.runs.values().next_back().expect("a run");
    match run.state {
        RunState::Done => {
            seen.done += 1;
            assert!(world.promoted, "seed {seed}: done without a promotion");
        }
        RunState::Compensated => {
            seen.compensated += 1;
            assert!(world.east_open && !world.promoted, "seed {seed}: compensated, but not as it was");
        }
        _ => assert!(matches!(run.state, RunState::Refused { .. }), "seed {seed}: ended as {:?}", run.state),
    }
}

fn current(fleet: &Fleet) -> Option<&crate::run::Run> {
    fleet.services[&service("maip")].current_run.as_ref().and_then(|run| fleet.runs.get(run))
}

fn disturb(fleet: &mut Fleet, dice: &mut Dice, second: u64, seen: &mut Seen) {
    let Some(run) = current(fleet).map(|run| run.id.clone()) else { return };
    let by = "ann".to_owned();
    let command = match dice.roll(40) {
        0 => Command::Pause { run, by },
        1..=3 => Command::Resume { run, by },
        4 => Command::Abort { run, by, reason: "a whim".to_owned() },
        5..=7 => Command::Retry { run, by },
        8..=11 => {
            let key = ["k1", "k2"][usize::try_from(dice.roll(2)).expect("small")].parse().expect("a name");
            let approval = Approval {
                key,
                subject: access::loss_subject(&run, &HASH, &crate::plan::PredictedLoss::Unknown),
                expires_at: at(second + 60),
                signature: vec![0; 64],
                at: at(0),
            };
            seen.consents += 1;
            Command::Approve { run, approval, by }
        }
        _ => return,
    };
    fleet.apply(at(second), &command);
}

fn turn(
    fleet: &mut Fleet,
    world: &mut World,
    dice: &mut Dice,
    second: u64,
    gone: &[&str],
    seen: &mut Seen,
    healed: bool,
) {
    let view = view(fleet, at(second), gone);
    for command in engine::next(fleet, &view) {
        fleet.apply(at(second), &command);
    }
    let Some(run) = current(fleet) else { return };
    if matches!(run.state, RunState::Held { .. }) {
        seen.held += 1;
    }
    let id = run.id.clone();
    let open: Vec<_> =
        run.open_intents().map(|(step, direction, intent)| (step.id.clone(), direction, intent.seq)).collect();
    for (step, direction, seq) in open {
        let job = engine::job(fleet, &id, &step, direction, at(second)).expect("an open intent has a job");
        if gone.contains(&job.region.as_str()) || (!healed && dice.roll(3) == 0) {
            continue;
        }
        let result = match dice.roll(if healed { 1 } else { 8 }) {
            5 => OutcomeResult::Unknown,
            6 => OutcomeResult::Refused { retry: true },
            7 => OutcomeResult::Refused { retry: false },
            _ => OutcomeResult::Done,
        };
        // An unknown call may have been applied.
        let applied = result == OutcomeResult::Done || (result == OutcomeResult::Unknown && dice.roll(2) == 0);
        if result == OutcomeResult::Unknown {
            seen.unknown += 1;
        }
        if applied {
            act(fleet, world, &job.action);
        }
        fleet.apply(
            at(second),
            &Command::CloseIntent { run: id.clone(), step, direction, seq, outcome: outcome(result) },
        );
    }
}

fn act(fleet: &Fleet, world: &mut World, action: &Action) {
    match action {
        Action::RdsSetSecurityGroups { purpose: SecurityGroupPurpose::Fence, .. } => world.east_open = false,
        Action::RdsSetSecurityGroups { purpose: SecurityGroupPurpose::Unfence, .. } => {
            assert!(!world.promoted, "the old region was un-fenced after the promotion");
            world.east_open = true;
        }
        Action::RdsPromote { .. } => {
            let authority = &fleet.services[&service("maip")].authority;
            assert_eq!(writers(authority), vec![&region(WEST)], "promoted without authority");
            world.promoted = true;
        }
        _ => {}
    }
}

fn check(seed: u64, fleet: &Fleet, world: &World) {
    let maip = &fleet.services[&service("maip")];
    assert!(writers(&maip.authority).len() <= 1, "seed {seed}: two regions have write authority");
    let by_consent = maip
        .authority
        .values()
        .any(|authority| matches!(authority.state, crate::fleet::AuthorityState::ClosedByConsent { .. }));
    assert!(
        !(world.promoted && world.east_open) || by_consent,
        "seed {seed}: both databases can be written and nobody consented"
    );
    for run in fleet.runs.values() {
        for step in run.steps.values() {
            for work in std::iter::once(&step.forward).chain(step.undo.as_ref()) {
                let open = work.intents.iter().filter(|intent| intent.outcome.is_none()).count();
                assert!(open <= 1, "seed {seed}: two open intents for one step");
                assert!(
                    work.intents.windows(2).all(|pair| pair[0].seq < pair[1].seq),
                    "seed {seed}: intents out of order"
                );
            }
        }
    }
}
