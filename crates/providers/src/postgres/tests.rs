//! Rules of the actions on PostgreSQL, as tables over plain values.

use mesh_core::execute::Observation;
use mesh_core::ids::{Generation, IntentSeq, Token};

use super::fence::{self, Look, Open};
use super::notes::{Notes, Stand};
use super::rejoin::{self, Progress};
use super::state::{State, last_switch};
use super::{Fenced, Looked, caught_up, check_replica, lsn, promote, unfence};
use crate::test_jobs::kind;

fn replica() -> State {
    State {
        in_recovery: true,
        system_identifier: "7".to_owned(),
        timeline: 3,
        followed: 3,
        replay_lsn: Some(500),
        receive_lsn: Some(500),
        flush_lsn: None,
        streaming: true,
        source: Some("db:5432".to_owned()),
        replayed_ago_ms: Some(90_000),
        replay_paused: false,
        read_only: false,
        noted: true,
        retry_interval_ms: 100,
        now_ms: 1_700_000_000_000,
    }
}

fn primary() -> State {
    State {
        in_recovery: false,
        replay_lsn: None,
        receive_lsn: None,
        flush_lsn: Some(500),
        streaming: false,
        source: None,
        replayed_ago_ms: None,
        ..replica()
    }
}

fn notes(state: Stand, generation: u64) -> Notes {
    let closed = state == Stand::Closed;
    Notes {
        state,
        generation,
        intent: 1,
        sealed: closed,
        read_only: None,
        kept: closed.then(|| "on".to_owned()),
        admitting: if closed { 0 } else { 3 },
        differing: 0,
    }
}

fn token(generation: u64) -> Token {
    Token { generation: Generation(generation), intent: IntentSeq(9) }
}

fn fenced() -> Fenced {
    Fenced { timeline: 3, system_identifier: "7".to_owned(), last_lsn: 500 }
}

fn looked() -> Looked {
    Looked { in_recovery: true, timeline: 3, system_identifier: "7".to_owned() }
}

fn reason(observation: &Observation) -> String {
    match observation {
        Observation::Blocked { reason } | Observation::Pending { note: reason } => reason.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn an_idle_replica_that_has_all_is_not_behind_however_long_nothing_was_written() {
    assert_eq!(replica().lag_ms(), Some(0));
    assert_eq!(State { replay_lsn: Some(400), ..replica() }.lag_ms(), Some(90_000));
    assert_eq!(State { replay_lsn: Some(400), ..replica() }.lag_bytes(), Some(100));
    assert_eq!(State { replay_lsn: Some(400), replayed_ago_ms: Some(-5), ..replica() }.lag_ms(), Some(0));
}

#[test]
fn without_a_stream_there_is_no_lag_to_tell() {
    let cut_off = State { streaming: false, replay_lsn: Some(400), ..replica() };
    assert_eq!((cut_off.lag_ms(), cut_off.lag_bytes()), (None, None));
}

#[test]
fn a_target_is_a_replica_that_can_follow_or_one_that_was_promoted_before_the_service_came() {
    for (found, promoted_ok, expected) in [
        (replica(), false, "satisfied"),
        (State { streaming: false, ..replica() }, false, "satisfied"),
        (State { streaming: false, followed: 2, ..replica() }, false, "blocked"),
        (State { replay_paused: true, ..replica() }, false, "blocked"),
        (primary(), false, "blocked"),
        (primary(), true, "satisfied"),
    ] {
        assert_eq!(kind(&check_replica::observe(&found, promoted_ok)), expected, "{found:?}");
    }
}

#[test]
fn a_fence_is_done_when_nothing_can_write_and_a_write_was_refused() {
    let look = || Look {
        state: State { read_only: true, ..primary() },
        notes: Some(notes(Stand::Closed, 7)),
        arriving: 0,
        sessions: Open { superuser_new: 2, ..Open::default() },
        write_refused: true,
    };
    let of = |look: Look| kind(&fence::observe(&look, token(7)));
    assert_eq!(of(look()), "satisfied");
    assert_eq!(of(Look { arriving: 1, ..look() }), "ready");
    assert_eq!(of(Look { sessions: Open { ordinary: 1, ..Open::default() }, ..look() }), "ready");
    assert_eq!(of(Look { sessions: Open { superuser_old: 1, ..Open::default() }, ..look() }), "ready");
    assert_eq!(of(Look { write_refused: false, ..look() }), "ready");
    assert_eq!(of(Look { state: primary(), ..look() }), "ready");
    assert_eq!(of(Look { notes: Some(Notes { sealed: false, ..notes(Stand::Closed, 7) }), ..look() }), "ready");
    assert_eq!(of(Look { notes: Some(Notes { admitting: 1, ..notes(Stand::Closed, 7) }), ..look() }), "ready");
    assert_eq!(of(Look { notes: Some(notes(Stand::Closed, 6)), ..look() }), "ready", "the token has to be ours");
    assert_eq!(of(Look { notes: Some(notes(Stand::Closed, 8)), ..look() }), "superseded");
    assert_eq!(of(Look { notes: None, ..look() }), "ready");
    assert_eq!(of(Look { state: replica(), ..look() }), "blocked");
}

#[test]
fn an_unfence_is_done_when_its_own_token_stands_over_what_was_before() {
    let of = |notes: Option<Notes>, state: State| kind(&unfence::observe(&state, &notes, token(7)));
    assert_eq!(of(Some(notes(Stand::Open, 7)), primary()), "satisfied");
    assert_eq!(of(Some(notes(Stand::Open, 6)), primary()), "ready");
    assert_eq!(of(Some(notes(Stand::Closed, 6)), primary()), "ready");
    assert_eq!(of(Some(notes(Stand::Closed, 8)), primary()), "superseded");
    assert_eq!(of(Some(notes(Stand::Open, 7)), State { read_only: true, ..primary() }), "ready", "not in force yet");
    let set = Some("on".to_owned());
    assert_eq!(of(Some(Notes { kept: set.clone(), ..notes(Stand::Open, 7) }), primary()), "ready");
    let as_before = Notes { kept: set.clone(), read_only: set, ..notes(Stand::Open, 7) };
    assert_eq!(of(Some(as_before), State { read_only: true, ..primary() }), "satisfied");
    assert_eq!(of(None, primary()), "ready", "so that a fence on its way comes too late");
    assert_eq!(of(Some(notes(Stand::Closed, 6)), replica()), "blocked");
}

#[test]
fn a_replica_has_caught_up_when_it_replayed_the_last_write_on_the_primarys_own_timeline() {
    let of = |found: State, left: Option<u64>| kind(&caught_up::observe(&found, left, Some(&fenced())));
    assert_eq!(of(replica(), None), "satisfied");
    assert_eq!(of(State { replay_lsn: Some(499), ..replica() }, None), "pending");
    assert_eq!(of(State { replay_lsn: None, ..replica() }, None), "pending");
    assert_eq!(of(State { followed: 2, ..replica() }, None), "pending", "it is ahead on another timeline");
    assert_eq!(of(State { timeline: 4, ..replica() }, None), "blocked");
    assert_eq!(of(State { system_identifier: "8".to_owned(), ..replica() }, None), "blocked");
    let promoted = State { timeline: 4, ..primary() };
    assert_eq!(of(promoted.clone(), Some(500)), "satisfied");
    assert_eq!(of(promoted.clone(), Some(499)), "blocked");
    assert_eq!(of(promoted, None), "blocked");
    assert_eq!(kind(&caught_up::observe(&replica(), None, None)), "pending");
}

#[test]
fn a_promotion_is_of_the_timeline_that_was_looked_at() {
    let seen = |state: State, notes: Option<Notes>| promote::Seen {
        state,
        notes,
        left: Some(500),
        looked: Some(looked()),
        fenced: Some(fenced()),
        positions: Default::default(),
    };
    let of = |seen: promote::Seen, accepted: bool| kind(&promote::observe(&seen, token(7), accepted));
    let promoted = || State { timeline: 4, ..primary() };
    assert_eq!(of(seen(replica(), None), false), "ready");
    assert_eq!(of(seen(replica(), None), true), "pending");
    assert_eq!(of(seen(State { timeline: 4, ..replica() }, None), false), "blocked");
    assert_eq!(of(seen(replica(), Some(notes(Stand::Open, 8))), false), "superseded");
    assert_eq!(of(seen(promoted(), Some(notes(Stand::Closed, 7))), true), "ready", "the limits are to be restored");
    assert_eq!(of(seen(promoted(), Some(notes(Stand::Open, 7))), true), "satisfied");
    assert_eq!(of(seen(State { timeline: 5, ..primary() }, None), false), "blocked", "promoted twice");
    assert_eq!(of(seen(primary(), None), false), "blocked", "a primary on the old timeline is no promotion");
    let lacking = promote::Seen { left: Some(499), ..seen(promoted(), None) };
    assert!(reason(&promote::observe(&lacking, token(7), false)).contains("somebody promoted"));
    let other = State { system_identifier: "8".to_owned(), ..replica() };
    assert_eq!(of(seen(other, None), false), "blocked");
    assert_eq!(of(promote::Seen { looked: None, ..seen(replica(), None) }, false), "pending");
}

#[test]
fn what_was_promoted_before_the_run_only_takes_the_token() {
    let looked = Looked { in_recovery: false, ..looked() };
    let seen = |state: State, notes| promote::Seen {
        state,
        notes,
        left: None,
        looked: Some(looked.clone()),
        fenced: None,
        positions: Default::default(),
    };
    assert_eq!(kind(&promote::observe(&seen(primary(), None), token(7), false)), "ready");
    let open = Some(notes(Stand::Open, 7));
    assert_eq!(kind(&promote::observe(&seen(primary(), open), token(7), false)), "satisfied");
    let newer = State { timeline: 4, ..primary() };
    assert_eq!(kind(&promote::observe(&seen(newer, None), token(7), false)), "blocked");
}

#[test]
fn a_rejoin_rebuilds_what_is_behind_and_never_what_may_be_newer() {
    let source = State { timeline: 4, ..primary() };
    let of = |here: Option<&State>, progress: Option<&Progress>| kind(&rejoin::observe(here, &source, progress));
    let follows = State { timeline: 4, followed: 4, ..replica() };
    assert_eq!(of(None, None), "ready");
    assert_eq!(of(None, Some(&Progress::Running)), "pending");
    assert_eq!(of(Some(&primary()), None), "ready");
    assert_eq!(of(Some(&replica()), None), "ready");
    assert_eq!(of(Some(&follows), Some(&Progress::Ended { how: "pg_rewind" })), "satisfied");
    assert_eq!(of(Some(&State { streaming: false, ..follows.clone() }), None), "pending");
    assert_eq!(of(Some(&State { timeline: 4, ..primary() }), None), "blocked");
    assert_eq!(of(Some(&State { system_identifier: "8".to_owned(), ..follows }), None), "blocked");
    assert_eq!(of(None, Some(&Progress::Failed { by: token(7), reason: String::new() })), "ready");
    assert_eq!(kind(&rejoin::observe(None, &replica(), None)), "blocked", "the source has to be the writer");
}

#[test]
fn a_position_is_read_and_written_as_postgresql_does() {
    assert_eq!(lsn(0x16_B374_D848), "16/B374D848");
    let history = "1\t0/3000148\tno recovery target specified\n\n2\t16/B374D848\tno recovery target specified\n";
    assert_eq!(last_switch(history), Some(0x16_B374_D848));
    for odd in ["", "\n", "# a comment\n", "1\n", "1\tx/y\tz\n", "1\t0-5\tz\n"] {
        assert_eq!(last_switch(odd), None, "{odd:?}");
    }
}
