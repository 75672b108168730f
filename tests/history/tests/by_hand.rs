//! Histories whose verdict is known: both checkers find it.

use mesh_history::{Judged, Line, Op, Outcome, operations};

/// For ever.
const OPEN: u32 = u32::MAX;

/// Of one object, each with the times at which it was asked and answered.
struct Draft(Vec<(u32, Line)>, u64);

fn draft() -> Draft {
    Draft(Vec::new(), 0)
}

impl Draft {
    fn add(mut self, from: u32, to: u32, op: Op, outcome: Outcome) -> Self {
        self.1 += 1;
        let (process, object) = (self.1, "o".to_owned());
        self.0.push((from, Line::Invoke { process, object: object.clone(), op }));
        if to != OPEN {
            self.0.push((to, Line::Return { process, object, outcome }));
        }
        self
    }

    fn write(self, from: u32, to: u32, value: u64) -> Self {
        self.add(from, to, Op::Write { value }, Outcome::Written)
    }

    fn read(self, from: u32, to: u32, value: u64) -> Self {
        let value = (value > 0).then_some(value);
        self.add(from, to, Op::Read, Outcome::Found { version: 0, value })
    }

    fn look(self, from: u32, to: u32, version: u64, value: u64) -> Self {
        let value = (value > 0).then_some(value);
        self.add(from, to, Op::Read, Outcome::Found { version, value })
    }

    fn apply(self, from: u32, to: u32, expected: u64, value: u64) -> Self {
        self.add(from, to, Op::Apply { expected, value }, Outcome::Applied { version: expected + 1 })
    }

    fn refuse(self, from: u32, to: u32, expected: u64, value: u64) -> Self {
        self.add(from, to, Op::Apply { expected, value }, Outcome::Refused)
    }

    fn not_sent(self, from: u32, to: u32, value: u64) -> Self {
        self.add(from, to, Op::Write { value }, Outcome::NotSent)
    }

    fn judged(mut self) -> Judged {
        self.0.sort_by_key(|(at, _)| *at);
        let times: std::collections::BTreeSet<u32> = self.0.iter().map(|(at, _)| *at).collect();
        assert_eq!(times.len(), self.0.len(), "each time is one line's");
        let lines: Vec<Line> = self.0.into_iter().map(|(_, line)| line).collect();
        let mut all = operations(&lines).expect("a sound recording");
        Judged::of(all.remove("o").unwrap_or_default())
    }

    fn accepted(self) {
        let judged = self.judged();
        assert!(judged.is_linearizable(), "{judged}");
    }

    fn rejected(self) {
        let judged = self.judged();
        assert!(judged.is_refuted(), "{judged}");
    }
}

#[test]
fn an_empty_history_is_good() {
    draft().accepted();
    draft().read(0, 1, 0).look(2, 3, 0, 0).accepted();
}

#[test]
fn a_stale_read_is_found() {
    draft().write(0, 1, 1).write(2, 3, 2).read(4, 5, 2).read(6, 7, 1).rejected();
    draft().apply(0, 1, 0, 1).apply(2, 3, 1, 2).look(4, 5, 1, 1).rejected();
    draft().write(0, 1, 1).read(2, 3, 0).rejected();
    draft().apply(0, 1, 0, 1).look(2, 3, 0, 0).rejected();
}

#[test]
fn a_lost_write_is_found() {
    draft().write(0, 1, 1).write(2, 3, 2).read(4, 5, 1).rejected();
    draft().apply(0, 1, 0, 1).apply(2, 3, 1, 2).look(4, 5, 1, 1).apply(6, 7, 1, 3).rejected();
    draft().apply(0, 1, 0, 1).apply(2, 3, 0, 2).rejected();
}

#[test]
fn a_read_from_the_future_is_found() {
    draft().read(0, 1, 1).write(2, 3, 1).rejected();
    draft().look(0, 1, 1, 1).apply(2, 3, 0, 1).rejected();
    draft().read(0, 1, 9).rejected();
    draft().look(0, 1, 1, 9).rejected();
    draft().look(0, 1, 1, 1).apply(2, OPEN, 0, 1).rejected();
}

#[test]
fn what_never_left_its_client_is_never_read() {
    draft().not_sent(0, 1, 1).read(2, 3, 0).accepted();
    draft().not_sent(0, 1, 1).read(2, 3, 1).rejected();
}

#[test]
fn two_clients_do_not_see_time_go_back() {
    // The write is under way all the time: one sees it, and another who asks afterwards does not.
    draft().write(0, 1, 1).write(2, 9, 2).read(3, 4, 2).read(5, 6, 1).rejected();
    draft().apply(0, 1, 0, 1).apply(2, 9, 1, 2).look(3, 4, 2, 2).look(5, 6, 1, 1).rejected();
    draft().write(0, 1, 1).write(2, OPEN, 2).read(3, 4, 2).read(5, 6, 1).rejected();
    draft().write(0, 1, 1).write(2, 9, 2).read(3, 4, 1).read(5, 6, 2).accepted();
}

#[test]
fn two_who_write_and_each_read_their_own_are_a_split_brain() {
    draft().write(0, 2, 1).write(1, 3, 2).read(4, 6, 1).read(5, 7, 2).rejected();
    draft().write(0, 2, 1).write(1, 3, 2).read(4, 6, 1).read(5, 7, 1).accepted();
}

#[test]
fn of_two_who_expect_one_version_one_is_refused() {
    draft().apply(0, 2, 0, 1).apply(1, 3, 0, 2).rejected();
    draft().apply(0, 2, 0, 1).refuse(1, 3, 0, 2).accepted();
    draft().refuse(0, 2, 0, 1).refuse(1, 3, 0, 2).rejected();
    // Whoever was not answered may have been the one.
    draft().apply(0, OPEN, 0, 1).refuse(1, 3, 0, 2).accepted();
    draft().apply(4, OPEN, 0, 1).refuse(1, 3, 0, 2).rejected();
}

#[test]
fn a_refusal_needs_its_reason_in_time() {
    // The version that was expected stood all the time.
    draft().apply(0, 1, 0, 1).refuse(2, 3, 1, 2).apply(4, 5, 1, 3).rejected();
    draft().apply(0, 1, 0, 1).refuse(2, 5, 1, 2).apply(4, 6, 1, 3).accepted();
    // It had not come yet.
    draft().refuse(0, 1, 1, 9).apply(2, 3, 0, 1).accepted();
    draft().refuse(0, 4, 1, 9).apply(1, 5, 0, 1).look(2, 3, 1, 1).accepted();
    draft().apply(0, 1, 0, 1).refuse(2, 3, 1, 9).look(4, 5, 1, 1).rejected();
    // One raises the other: the first refusal puts the version late, the second then has no reason left.
    draft().apply(0, 9, 0, 1).refuse(1, 4, 1, 8).look(5, 6, 1, 1).refuse(7, 8, 1, 7).rejected();
}

#[test]
fn what_is_there_already_is_applied_once_more_without_a_change() {
    draft().apply(0, OPEN, 0, 1).apply(1, 2, 0, 1).look(3, 4, 1, 1).accepted();
    draft().apply(0, 1, 0, 1).apply(2, 3, 0, 1).apply(4, 5, 1, 2).accepted();
    // Once another has followed it is refused, and only then.
    draft().apply(0, OPEN, 0, 1).look(1, 2, 1, 1).apply(3, 4, 1, 2).refuse(5, 6, 0, 1).accepted();
    draft().apply(0, OPEN, 0, 1).look(1, 2, 1, 1).refuse(3, 4, 0, 1).apply(5, 6, 1, 2).rejected();
    draft().apply(0, 1, 0, 1).apply(2, 3, 1, 2).apply(4, 5, 0, 1).rejected();
}

#[test]
fn what_nobody_answered_may_take_effect_late_or_never() {
    draft().write(0, OPEN, 1).read(1, 2, 0).read(3, 4, 0).accepted();
    draft().write(0, OPEN, 1).write(1, 2, 2).read(3, 4, 2).read(5, 6, 1).accepted();
    draft().write(0, OPEN, 1).read(1, 2, 1).write(3, 4, 2).read(5, 6, 1).rejected();
    draft().apply(0, OPEN, 0, 1).look(1, 2, 0, 0).look(3, 4, 1, 1).accepted();
    draft().apply(0, OPEN, 0, 1).look(1, 2, 1, 1).look(3, 4, 0, 0).rejected();
}

#[test]
fn versions_that_nobody_saw_are_filled_by_whoever_may_have_stored_them() {
    draft().apply(0, OPEN, 0, 1).apply(1, OPEN, 1, 2).apply(2, 3, 2, 3).accepted();
    draft().apply(0, OPEN, 0, 1).apply(4, OPEN, 1, 2).apply(2, 3, 2, 3).rejected();
    draft().apply(0, 1, 2, 3).rejected();
    // Either of two may have; only with one of them is the other's refusal right.
    draft().apply(0, OPEN, 0, 1).apply(1, OPEN, 0, 2).refuse(2, 3, 0, 1).apply(4, 5, 1, 4).accepted();
    draft().apply(0, OPEN, 0, 1).refuse(2, 3, 0, 1).look(4, 5, 0, 0).rejected();
}

#[test]
fn writes_that_are_read_in_the_reverse_of_their_order_are_good_while_they_last() {
    draft().write(0, 20, 1).write(1, 21, 2).write(2, 22, 3).read(3, 4, 3).read(5, 6, 2).read(7, 8, 1).accepted();
    draft().write(0, 20, 1).write(1, 21, 2).write(2, 22, 3).read(3, 4, 3).read(5, 6, 2).read(7, 8, 3).rejected();
}

#[test]
fn a_value_is_not_there_in_the_middle_of_another() {
    draft().write(0, 1, 1).read(2, 3, 1).write(4, 5, 2).read(6, 7, 1).rejected();
    draft().write(0, 1, 1).write(2, 9, 2).read(3, 4, 1).read(5, 6, 2).read(7, 8, 2).accepted();
    draft().write(0, 1, 1).write(2, 3, 2).read(4, 5, 1).rejected();
}
