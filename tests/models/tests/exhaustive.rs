//! The runbook's plan under every fault at every place, one at a time, in both directions; and under pairs of faults.
//!
//! `MESH_EXHAUSTIVE=pairs` plays all pairs, `MESH_EXHAUSTIVE=n` one in n; without it one in very many.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use mesh_core::ids::StepId;
use mesh_core::plan::{Action, Plan, Reversibility};
use mesh_core::run::{Direction, RunState};
use mesh_models::runs::{Abort, Armed, Broken, Fault, Mesh, judge, places, runbook};

const MANIFEST: &str = include_str!("../../../examples/maip.yaml");
/// Of the pairs, when not all are asked for. A prime: it is in step with nothing.
const EVERY: usize = 997;
/// Of so few it is no use to keep how it stood.
const FEW: usize = 8;

#[derive(Default)]
struct Tally {
    played: usize,
    /// Faults that struck, and those that had no occasion to.
    struck: usize,
    idle: usize,
    ends: BTreeMap<&'static str, usize>,
    held: BTreeMap<String, usize>,
    broken: Vec<String>,
}

impl Tally {
    fn play(&mut self, begun: &Mesh, faults: Vec<Fault>, abort: Option<Abort>) {
        self.play_on(begun, begun.with(faults, abort));
    }

    /// From where it stands.
    fn play_on(&mut self, begun: &Mesh, mut mesh: Mesh) {
        let abort = mesh.abort.clone();
        let ended = mesh.play();
        self.played += 1;
        for armed in &mesh.faults {
            *(if armed.struck { &mut self.struck } else { &mut self.idle }) += 1;
        }
        let run = mesh.the_run();
        *self.ends.entry(run.state.name()).or_default() += 1;
        if let RunState::Held { reason, .. } | RunState::Refused { reason } = &run.state {
            *self.held.entry(reason.clone()).or_default() += 1;
        }
        let mut broken = judge(begun, &mesh);
        broken.extend(ended.err().map(|what| Broken { rule: "Converges", what }));
        if !broken.is_empty() {
            let faults: Vec<&Fault> = mesh.faults.iter().map(|armed| &armed.fault).collect();
            self.broken.push(format!("{broken:?}\n  under {faults:?}, {abort:?}"));
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.played += other.played;
        self.struck += other.struck;
        self.idle += other.idle;
        other.ends.into_iter().for_each(|(end, count)| *self.ends.entry(end).or_default() += count);
        other.held.into_iter().for_each(|(why, count)| *self.held.entry(why).or_default() += count);
        self.broken.extend(other.broken);
        self
    }

    fn check(&self, what: &str) {
        let mut told = format!("{what}: {} runs, {} faults struck, {} idle", self.played, self.struck, self.idle);
        let _ = write!(told, ", ends {:?}, held or refused {:#?}", self.ends, self.held);
        println!("{told}");
        for broken in self.broken.iter().take(5) {
            println!("{broken}");
        }
        assert!(self.broken.is_empty(), "{} of {} runs broke a rule", self.broken.len(), self.played);
        assert!(self.struck > 0, "no fault struck");
    }
}

/// One fault, and each of the others with it: what happens before the other could have struck is played once.
fn played(begun: &Mesh, one: &Fault, others: &[&Fault]) -> Tally {
    let mut tally = Tally::default();
    let mut alone = begun.with([one.clone()], None);
    let mut stood = BTreeMap::from([(0, alone.clone())]);
    if others.len() > FEW {
        // Its end, if it has none, is told of the pairs.
        let _ = alone.play();
        let turns: BTreeSet<usize> = alone.reached.values().copied().collect();
        let mut note = |mesh: &Mesh| {
            if turns.contains(&mesh.turns) {
                stood.insert(mesh.turns, mesh.clone());
            }
        };
        let _ = begun.with([one.clone()], None).play_noting(&mut note);
    }
    for other in others {
        let turn = alone.reached.get(&other.place.step).copied().unwrap_or_default();
        let mut mesh = stood.get(&turn).or_else(|| stood.get(&0)).expect("it stood at the first turn").clone();
        mesh.faults.push(Armed::new((*other).clone()));
        tally.play_on(begun, mesh);
    }
    tally
}

/// With a topic that drops repeats, as docs/manifest.md advises.
fn begun() -> Mesh {
    runbook(&MANIFEST.replace("maip-oncall", "maip-oncall.fifo"))
}

fn single(mesh: &Mesh, direction: Direction) -> Vec<Fault> {
    places(&mesh.the_run().plan, direction).iter().flat_map(|place| place.faults()).collect()
}

/// Steps that come after something that cannot be undone: a run is not unwound from there.
fn beyond_return(plan: &Plan) -> BTreeSet<StepId> {
    let mut beyond = BTreeSet::new();
    for step in &plan.steps {
        let one_way = step.reversibility == Reversibility::OneWay;
        if one_way || step.after.iter().any(|before| beyond.contains(before)) {
            beyond.insert(step.id.clone());
        }
    }
    beyond
}

#[test]
fn the_runbook_is_carried_out_without_a_fault() {
    let begun = begun();
    let mut mesh = begun.with([], None);
    mesh.play().expect("it ends");
    assert_eq!(mesh.the_run().state, RunState::Done, "{:#?}", mesh.the_run().timeline);
    assert_eq!(judge(&begun, &mesh), []);
    assert!(mesh.cloud.effects.len() >= 8, "{:?}", mesh.cloud.effects);
}

#[test]
fn every_single_fault_leaves_the_runbook_done_with_each_effect_once() {
    let begun = begun();
    let mut tally = Tally::default();
    for fault in single(&begun, Direction::Forward) {
        tally.play(&begun, vec![fault], None);
    }
    tally.check("single faults");
    assert_eq!(tally.idle, 0, "a fault that never struck proves nothing");
    assert_eq!(tally.ends.keys().copied().collect::<Vec<_>>(), ["done"]);
}

#[test]
fn every_single_fault_of_an_unwinding_leaves_everything_as_it_was() {
    let begun = begun();
    let mut tally = Tally::default();
    let plan = &begun.the_run().plan;
    let beyond = beyond_return(plan);
    let grant = plan.steps.iter().find(|step| step.action == Action::Grant).expect("the runbook grants").id.clone();
    for fault in single(&begun, Direction::Undo).into_iter().filter(|fault| !beyond.contains(&fault.place.step)) {
        tally.play(&begun, vec![fault], Some(Abort::After(grant.clone())));
    }
    tally.check("single faults of an unwinding");
    assert_eq!(tally.idle, 0, "a fault that never struck proves nothing");
    assert_eq!(tally.ends.keys().copied().collect::<Vec<_>>(), ["compensated"]);
}

#[test]
fn an_abort_in_the_middle_of_any_fault_is_safe() {
    let begun = begun();
    let mut tally = Tally::default();
    for fault in single(&begun, Direction::Forward) {
        tally.play(&begun, vec![fault], Some(Abort::AfterFault));
    }
    tally.check("aborts in the middle of a fault");
    assert!(tally.ends.contains_key("compensated"), "{:?}", tally.ends);
}

#[test]
fn pairs_of_faults_break_no_rule() {
    let begun = begun();
    let every = match std::env::var("MESH_EXHAUSTIVE").as_deref() {
        Ok("pairs") => 1,
        Ok(every) => every.parse().expect("`pairs`, or one of how many"),
        Err(_) => EVERY,
    };
    let faults = single(&begun, Direction::Forward);
    let pairs = faults.iter().enumerate().flat_map(|(at, one)| faults[at..].iter().map(move |other| (at, one, other)));
    let mut by_first: BTreeMap<usize, (&Fault, Vec<&Fault>)> = BTreeMap::new();
    for (at, one, other) in pairs.step_by(every) {
        by_first.entry(at).or_insert_with(|| (one, Vec::new())).1.push(other);
    }
    let (all, next) = (by_first.into_values().collect::<Vec<_>>(), AtomicUsize::new(0));
    let play = || {
        let mut tally = Tally::default();
        while let Some((one, others)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            tally = tally.and(played(&begun, one, others));
        }
        tally
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..threads).map(|_| scope.spawn(play)).collect();
        players.into_iter().map(|player| player.join().expect("a tally does not panic")).collect()
    });
    let tally = tallies.into_iter().fold(Tally::default(), Tally::and);
    tally.check("pairs of faults");
}
