//! The rules of the lease that need no history; histories are explored by `tests/models`.

use super::*;
use crate::ids::{RegionId, ServiceId};
use crate::lease::closing::FenceSeen;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Stamp {
    let now = Duration::from_secs(1_000 + seconds);
    Stamp { boottime: now, monotonic: now, realtime: now }
}

fn agent(name: &str) -> AgentId {
    AgentId::new(name).expect("a name")
}

fn members(names: &[&str]) -> BTreeSet<AgentId> {
    names.iter().map(|name| agent(name)).collect()
}

fn granted(generation: u64) -> News {
    let generation = Generation(generation);
    let asks = AskList { version: 1, members: members(&["x1", "w1"]) };
    News { floor: generation, lease: Some(Lease { generation, length: 15 * SECOND, asks }) }
}

fn leased(generation: u64, sent: u64) -> Holder {
    let mut holder = Holder::default();
    holder.hear(&granted(generation), at(sent), at(sent));
    holder
}

fn ask(generation: u64) -> Ask {
    Ask { generation: Generation(generation), length: 15 * SECOND, round: 1 }
}

#[test]
fn an_agent_starts_fenced() {
    let record = leased(3, 0).record().clone();
    assert_eq!(Holder::restarted(record, at(1)).standing(at(1)), None, "a lease does not survive a restart");
}

#[test]
fn a_lease_counts_from_the_sending_of_the_nonce() {
    let mut holder = Holder::default();
    holder.hear(&granted(3), at(0), at(10));
    assert_eq!(holder.standing(at(14)).map(|own| own.left), Some(SECOND));
    assert_eq!(holder.standing(at(15)), None);
}

#[test]
fn an_answer_that_comes_late_does_not_shorten_a_lease() {
    let mut holder = leased(3, 5);
    holder.hear(&granted(3), at(2), at(6));
    assert_eq!(holder.standing(at(6)).map(|own| own.left), Some(14 * SECOND));
}

#[test]
fn a_suspended_machine_and_a_clock_set_forward_end_a_lease() {
    let holder = leased(3, 0);
    let suspended = Stamp { boottime: at(15).boottime, ..at(1) };
    let set_forward = Stamp { realtime: at(15).realtime, ..at(1) };
    assert_eq!(holder.standing(suspended), None);
    assert_eq!(holder.standing(set_forward), None);
    let set_back = Stamp { realtime: Duration::ZERO, ..at(14) };
    assert!(holder.standing(set_back).is_some(), "the other clocks count");
}

#[test]
fn what_is_wanted_ends_every_older_right_on_disk() {
    let mut holder = leased(3, 0);
    assert!(holder.end(Generation(4)), "the record changed");
    assert_eq!(holder.standing(at(1)), None);
    holder.hear(&granted(3), at(1), at(1));
    assert_eq!(holder.standing(at(1)), None, "an answer from before is not taken");
    assert_eq!(holder.ack(at(1)).floor, Generation(4));
}

#[test]
fn a_hold_needs_the_promise_of_all_and_counts_from_the_asking() {
    let mut holder = leased(3, 0);
    let (asked, givers) = holder.ask(at(10)).expect("it has a lease to prolong");
    assert_eq!(givers, members(&["w1", "x1"]));
    assert!(!holder.promised(&agent("x1"), asked.round, at(12)));
    assert_eq!(holder.standing(at(15)), None, "one of two is none");
    assert!(holder.promised(&agent("w1"), asked.round, at(15)));
    assert_eq!(holder.standing(at(20)).map(|own| (own.kind, own.left)), Some((StandingKind::Hold, 5 * SECOND)));
}

#[test]
fn only_who_had_a_lease_and_has_others_to_ask_may_ask() {
    let mut holder = Holder::default();
    assert!(!holder.may_ask() && holder.ask(at(0)).is_none(), "it never had a lease");
    holder.hear(&granted(3), at(0), at(0));
    assert!(holder.may_ask() && holder.ask(at(20)).is_some(), "also when it has run out");
    holder.end(Generation(4));
    assert!(!holder.may_ask() && holder.ask(at(21)).is_none(), "something newer is wanted");
}

#[test]
fn promises_of_an_earlier_round_do_not_count() {
    let mut holder = leased(3, 0);
    let (first, _) = holder.ask(at(10)).expect("asked");
    holder.promised(&agent("x1"), first.round, at(11));
    let (second, _) = holder.ask(at(12)).expect("asked again");
    assert!(!holder.promised(&agent("w1"), first.round, at(12)));
    assert!(!holder.promised(&agent("w1"), second.round, at(12)), "x1 has not answered this round");
}

#[test]
fn nobody_promises_below_its_floor() {
    let mut giver = Holder::default();
    giver.end(Generation(4));
    assert_eq!(giver.promise(&ask(3), at(0)), Err(Refused::Newer(Generation(4))));
}

#[test]
fn a_giver_takes_nothing_newer_until_its_promise_has_run_out() {
    let mut giver = Holder::default();
    giver.promise(&ask(3), at(0)).expect("it knows of nothing newer");
    giver.end(Generation(4));
    assert_eq!(giver.promise(&ask(4), at(15)), Err(Refused::Promised(Generation(3))));
    giver.hear(&granted(4), at(15), at(15));
    assert_eq!(giver.standing(at(15)), None, "15 s and the drift have not passed");
    giver.hear(&granted(4), at(16), at(16));
    assert!(giver.standing(at(16)).is_some());
}

#[test]
fn a_promise_runs_in_full_again_after_a_restart() {
    let mut giver = Holder::default();
    giver.promise(&ask(3), at(0)).expect("given");
    let mut giver = Holder::restarted(giver.record().clone(), at(14));
    giver.end(Generation(4));
    assert_eq!(giver.ack(at(14)).promise_left, stretched(15 * SECOND));
}

#[test]
fn an_acknowledgement_states_the_promise_time_left() {
    let mut giver = Holder::default();
    giver.promise(&ask(3), at(0)).expect("given");
    assert_eq!(giver.ack(at(1)).promise_left, Duration::ZERO, "nothing newer is wanted yet");
    giver.end(Generation(4));
    assert_eq!(giver.ack(at(5)).promise_left, stretched(15 * SECOND) - 5 * SECOND);
}

#[test]
fn a_call_that_lets_somebody_write_starts_only_with_a_right_that_outlasts_it() {
    let mut holder = leased(3, 0);
    assert_eq!(holder.begin_call(Generation(3), 10 * SECOND, at(5)), Err(NoRight::TooShort));
    assert_eq!(holder.begin_call(Generation(4), SECOND, at(5)), Err(NoRight::TooShort), "the right is at 3");
    assert_eq!(holder.begin_call(Generation(2), SECOND, at(5)), Err(NoRight::Newer(Generation(3))));
    assert_eq!(holder.begin_call(Generation(3), 9 * SECOND, at(5)), Ok(()));
    assert_eq!(holder.ack(at(20)).writes, Some(Generation(3)), "the call is out when the lease has ended");
}

// ---- the leader ----

struct Closed {
    service: ServiceId,
    region: RegionId,
}

impl Closed {
    fn new() -> Self {
        Self { service: ServiceId::new("maip").expect("a name"), region: RegionId::new("y").expect("a name") }
    }

    fn case(&self, fence: FenceSeen, dead_man: Option<Duration>) -> Case<'_> {
        Case {
            service: &self.service,
            region: &self.region,
            wanted: Generation(4),
            holders: members(&["y1", "y2"]),
            lists: vec![members(&["x1"]), members(&["w1"])],
            terms: Terms { length: 10 * SECOND, margin: SECOND },
            dead_man,
            fence,
        }
    }

    fn acked(&self, ledger: &mut Ledger, name: &str, left: Duration, writes: Option<u64>, now: u64) {
        let ack = Ack {
            floor: Generation(4),
            promise_left: left,
            free_for: Duration::ZERO,
            writes: writes.map(Generation),
            asks: 1,
        };
        ledger.acknowledged(&self.service, &agent(name), ack, Duration::from_secs(now));
    }
}

fn is_closed(case: &Case<'_>, ledger: &Ledger, now: u64) -> bool {
    matches!(closing(case, ledger, Duration::from_secs(now)), Closing::Proven(_))
}

#[test]
fn a_region_whose_agents_all_gave_up_is_closed_once_its_fence_was_seen() {
    let (closed, mut ledger) = (Closed::new(), Ledger::elected(Duration::ZERO));
    closed.acked(&mut ledger, "y1", Duration::ZERO, None, 1);
    assert!(!is_closed(&closed.case(FenceSeen::Closed, None), &ledger, 1), "y2 has not acknowledged");
    closed.acked(&mut ledger, "y2", Duration::ZERO, Some(3), 1);
    assert!(!is_closed(&closed.case(FenceSeen::Closed, None), &ledger, 1), "y2 has a call out");
    closed.acked(&mut ledger, "y2", Duration::ZERO, None, 2);
    assert!(is_closed(&closed.case(FenceSeen::Closed, None), &ledger, 2));
    assert!(!is_closed(&closed.case(FenceSeen::Open, None), &ledger, 2), "an open fence is not closed by words");
}

#[test]
fn a_dead_region_is_closed_after_lease_promises_and_reaction() {
    let (closed, mut ledger) = (Closed::new(), Ledger::elected(Duration::ZERO));
    let case = closed.case(FenceSeen::Open, Some(5 * SECOND));
    closed.acked(&mut ledger, "x1", Duration::ZERO, None, 1);
    assert!(!is_closed(&case, &ledger, 100), "nobody of the second list has acknowledged");
    closed.acked(&mut ledger, "w1", 20 * SECOND, None, 1);
    // 1 s, 20 s stretched by 1 %, the margin of 1 s, then the reaction of 5 s stretched: 27.25 s.
    assert!(!is_closed(&case, &ledger, 27));
    assert!(is_closed(&case, &ledger, 28));
    assert!(
        !is_closed(&closed.case(FenceSeen::Open, None), &ledger, 1000),
        "without a dead-man fence time proves nothing"
    );
}

#[test]
fn a_promise_that_ran_out_long_ago_is_not_waited_for_again() {
    let closed = Closed::new();
    let case = closed.case(FenceSeen::Open, Some(5 * SECOND));
    let closed_at = |free_for: Duration| {
        let mut ledger = Ledger::elected(Duration::ZERO);
        for name in ["x1", "w1"] {
            let (promise_left, writes) = (Duration::ZERO, None);
            let ack = Ack { floor: Generation(4), promise_left, free_for, writes, asks: 1 };
            ledger.acknowledged(&closed.service, &agent(name), ack, Duration::from_secs(14));
        }
        (0..100).find(|now| is_closed(&case, &ledger, *now))
    };
    // 10 s stretched, the margin of 1 s and the reaction of 5 s stretched: 16.15 s after the election.
    assert_eq!(closed_at(Duration::MAX), Some(17), "it never gave one");
    assert_eq!(closed_at(60 * SECOND), Some(17));
    // From the acknowledgement on, less 2 s that may be 1.98 s: 12.02 s, then the margin and the reaction.
    assert_eq!(closed_at(2 * SECOND), Some(19));
    assert_eq!(closed_at(Duration::ZERO), Some(21), "it may have run out just then");
}

#[test]
fn an_acknowledgement_states_how_long_nothing_was_promised() {
    let mut giver = Holder::default();
    giver.end(Generation(2));
    assert_eq!(giver.ack(at(3)).free_for, Duration::MAX);
    giver.promise(&ask(3), at(4)).expect("it knows of nothing newer");
    assert_eq!(giver.ack(at(19)).free_for, Duration::ZERO, "15 s and the drift");
    assert_eq!(giver.ack(at(30)).free_for, 26 * SECOND - stretched(15 * SECOND));
    let giver = Holder::restarted(giver.record().clone(), at(40));
    assert_eq!(giver.ack(at(50)).free_for, Duration::ZERO, "it runs in full again");
}

#[test]
fn a_new_leader_waits_for_leases_that_it_does_not_know_of() {
    let (closed, mut ledger) = (Closed::new(), Ledger::elected(Duration::from_secs(100)));
    let case = closed.case(FenceSeen::Open, Some(Duration::ZERO));
    closed.acked(&mut ledger, "x1", Duration::ZERO, None, 101);
    closed.acked(&mut ledger, "w1", Duration::ZERO, None, 101);
    assert!(!is_closed(&case, &ledger, 111), "10 s, 1 % and the margin after the election");
    assert!(is_closed(&case, &ledger, 112));
}
