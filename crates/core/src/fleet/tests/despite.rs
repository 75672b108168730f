//! A freeze is meant for whoever does not know of it. A person who does may start a failover all the same, says why, and is
//! halted by what people say later (invariant HumanWins).

use super::{accepted, all_done, play, refused};
use crate::engine;
use crate::fixtures::{WEST, at, service, start, view};
use crate::fleet::{Command, Fleet, RefusalCode, Reply};
use crate::ids::RunId;
use crate::run::{Cause, Run, RunState};

const FOREVER: u64 = 1_000_000;

fn frozen(of: Option<&str>) -> Fleet {
    let mut fleet = crate::fixtures::fleet();
    accepted(&mut fleet, at(10), &freeze(of, FOREVER));
    fleet
}

fn freeze(of: Option<&str>, until: u64) -> Command {
    let (by, reason) = ("ann".to_owned(), "a migration".to_owned());
    Command::Freeze { service: of.map(service), until: at(until), by, reason }
}

fn despite(fleet: &Fleet, reason: &str) -> Command {
    match start(fleet, WEST) {
        Command::StartRun { plan, plan_hash, by, safety, approvals, .. } => {
            let cause = Cause::DespiteFreeze { reason: reason.to_owned() };
            Command::StartRun { plan, plan_hash, by, cause, safety, approvals }
        }
        other => panic!("a start: {other:?}"),
    }
}

fn run(fleet: &Fleet) -> &Run {
    &fleet.runs[&RunId::new("maip-g1").expect("a run")]
}

fn refusal(fleet: &mut Fleet, second: u64, command: &Command) -> String {
    match fleet.apply(at(second), command).reply {
        Reply::Refused(refusal) => refusal.message,
        other => panic!("{command:?} was accepted: {other:?}"),
    }
}

#[test]
fn who_does_not_say_why_is_told_of_the_freeze_and_of_what_ends_it() {
    for (of, end) in [(None, "`meshctl unfreeze` ends it"), (Some("maip"), "`meshctl unfreeze maip` ends it")] {
        let mut fleet = frozen(of);
        let begin = start(&fleet, WEST);
        let said = refusal(&mut fleet, 11, &begin);
        assert!(said.contains("maip") && said.contains("by ann: a migration"), "{said}");
        assert!(said.contains(end) && said.contains("--despite-freeze"), "{said}");
        let begin = despite(&fleet, " ");
        assert_eq!(refused(&mut fleet, at(11), &begin), RefusalCode::Invalid);
    }
}

#[test]
fn a_failover_that_a_person_wants_despite_the_freeze_goes_to_its_end_and_the_reason_is_kept() {
    for of in [None, Some("maip")] {
        let mut fleet = frozen(of);
        let begin = despite(&fleet, "the region burns");
        let audited = fleet.apply(at(11), &begin).note.text;
        assert!(audited.contains("despite the freeze: the region burns"), "{audited}");
        assert!(run(&fleet).timeline[0].text.contains("the region burns"), "{:?}", run(&fleet).timeline);
        assert_eq!(fleet.halted(run(&fleet), at(12)), None);
        play(&mut fleet, 12, &[], &mut all_done);
        assert_eq!(run(&fleet).state, RunState::Done);
    }
}

#[test]
fn a_later_freeze_halts_it_too() {
    for of in [None, Some("maip")] {
        let mut fleet = frozen(None);
        let begin = despite(&fleet, "the region burns");
        accepted(&mut fleet, at(11), &begin);
        accepted(&mut fleet, at(12), &freeze(of, FOREVER));
        assert!(fleet.halted(run(&fleet), at(13)).is_some_and(|why| why.contains("maip")));
        assert_eq!(engine::next(&fleet, &view(&fleet, at(13), &[])), Vec::new());
    }
}
