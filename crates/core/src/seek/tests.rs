use super::*;

fn seeker() -> Seeker<String> {
    Seeker::new(vec!["a:1".to_owned(), "b:1".to_owned(), "c:1".to_owned()], region("near"))
}

fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a name")
}

fn direct(address: &str) -> Target<String> {
    Target { address: address.to_owned(), pass_on_to: None }
}

fn beyond(address: &str, leader: &str) -> Target<String> {
    Target { address: address.to_owned(), pass_on_to: Some(leader.to_owned()) }
}

fn next(seeker: &mut Seeker<String>) -> Target<String> {
    seeker.target().expect("there are coordinators")
}

fn leader(address: &str) -> Option<String> {
    Some(address.to_owned())
}

#[test]
fn coordinators_are_tried_in_turn() {
    let mut seeker = seeker();
    for address in ["a:1", "b:1", "c:1", "a:1"] {
        let target = next(&mut seeker);
        assert_eq!(target, direct(address));
        assert_eq!(seeker.failed(&target), Next::AfterAPause);
    }
}

#[test]
fn a_hint_is_followed_at_once_even_to_an_unlisted_node() {
    let mut seeker = seeker();
    let target = next(&mut seeker);
    assert_eq!(seeker.redirect(&target, leader("d:1")), Next::AtOnce);
    assert_eq!(next(&mut seeker), direct("d:1"));
}

#[test]
fn nodes_that_point_at_each_other_are_not_followed_for_ever() {
    let mut seeker = seeker();
    let mut steps = 0;
    loop {
        let target = next(&mut seeker);
        let other = if target.address == "a:1" { "b:1" } else { "a:1" };
        if seeker.redirect(&target, leader(other)) == Next::AfterAPause {
            break;
        }
        steps += 1;
        assert!(steps <= HINTS_MAX + 3, "no pause");
    }
}

#[test]
fn without_coordinators_there_is_no_target() {
    assert_eq!(Seeker::<String>::new(Vec::new(), region("near")).target(), None);
}

#[test]
fn a_leader_that_falls_silent_is_reached_by_way_of_our_own_region_first() {
    let mut seeker = seeker();
    seeker.learn(&"c:1".to_owned(), region("near"));
    seeker.learn(&"b:1".to_owned(), region("far"));
    seeker.welcomed(&direct("a:1"));
    assert_eq!(seeker.fell_silent(&direct("a:1")), Next::AtOnce);
    assert_eq!(next(&mut seeker), beyond("c:1", "a:1"));
    assert_eq!(
        seeker.redirect(&beyond("c:1", "a:1"), leader("a:1")),
        Next::AtOnce,
        "it does not hear the leader either"
    );
    assert_eq!(next(&mut seeker), beyond("b:1", "a:1"));
}

#[test]
fn a_leader_that_a_coordinator_names_and_that_does_not_answer_is_reached_by_way_of_another() {
    let mut seeker = seeker();
    let target = next(&mut seeker);
    seeker.redirect(&target, leader("c:1"));
    let named = next(&mut seeker);
    assert_eq!(seeker.failed(&named), Next::AtOnce);
    assert_eq!(next(&mut seeker), beyond("a:1", "c:1"));
}

#[test]
fn a_leader_that_ended_the_session_is_spoken_to_again_directly() {
    let mut seeker = seeker();
    let first = next(&mut seeker);
    seeker.welcomed(&first);
    assert_eq!(seeker.lost(&first), Next::AfterAPause);
    let other = next(&mut seeker);
    assert_eq!(seeker.redirect(&other, leader("a:1")), Next::AtOnce);
    assert_eq!(next(&mut seeker), direct("a:1"));
}

#[test]
fn one_that_passes_on_and_is_lost_is_followed_by_the_next() {
    let mut seeker = seeker();
    seeker.fell_silent(&direct("a:1"));
    let first = next(&mut seeker);
    seeker.welcomed(&first);
    assert_eq!(seeker.fell_silent(&first), Next::AtOnce);
    let second = next(&mut seeker);
    assert_eq!((second.pass_on_to.as_deref(), second.address != first.address), (Some("a:1"), true));
    assert_eq!(seeker.failed(&second), Next::AfterAPause, "each was asked once");
    assert_eq!(next(&mut seeker).pass_on_to, None, "then the leader itself is tried again");
}

#[test]
fn a_new_leader_is_spoken_to_directly() {
    let mut seeker = seeker();
    seeker.fell_silent(&direct("a:1"));
    let passes_on = next(&mut seeker);
    seeker.welcomed(&passes_on);
    assert_eq!(seeker.redirect(&passes_on, leader("c:1")), Next::AtOnce);
    assert_eq!(next(&mut seeker), direct("c:1"));
}

#[test]
fn nobody_is_asked_to_pass_on_without_end() {
    let mut seeker = seeker();
    seeker.fell_silent(&direct("a:1"));
    for steps in 0.. {
        assert!(steps < 10, "no pause");
        let target = next(&mut seeker);
        if seeker.redirect(&target, leader("a:1")) == Next::AfterAPause {
            break;
        }
    }
    assert_eq!(next(&mut seeker).pass_on_to, None);
}

#[test]
fn a_way_that_does_not_last_is_waited_for_longer_each_time_and_one_that_lasted_is_not() {
    let mut patience = Patience::default();
    patience.note(Duration::from_secs(10));
    assert_eq!(patience.steady, STEADY_MIN * 2);
    for _ in 0..20 {
        patience.note(Duration::ZERO);
    }
    assert_eq!(patience.steady, STEADY_MAX);
    patience.note(LASTED);
    assert_eq!(patience.steady, STEADY_MIN);
}
