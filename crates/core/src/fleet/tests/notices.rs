//! People are told once an episode, by one agent, and no failover waits for it.

use super::{accepted, refused};
use crate::decide::tests::stand::{NOW, Stand};
use crate::fixtures::{EAST, WEST, agent, at, service, view};
use crate::fleet::{Command, Fleet, RefusalCode};
use crate::ids::StepId;
use crate::manifest::AutomaticMode;
use crate::notice::{self, About, Telling};

fn step() -> StepId {
    StepId::new("sns-notify-oncall").expect("a name")
}

fn telling(fleet: &Fleet) -> &Telling {
    &fleet.services[&service("maip")].noted.as_ref().expect("a note").told[&step()]
}

/// The notices that the leader proposes to send, with only these agents there.
fn proposed(fleet: &Fleet, second: u64, without: &[&str]) -> Vec<Command> {
    notice::due(fleet, &view(fleet, at(second), without))
}

fn commit(fleet: &mut Fleet, second: u64, commands: Vec<Command>) {
    assert!(!commands.is_empty());
    for command in commands {
        accepted(fleet, at(second), &command);
    }
}

fn notify() -> Stand {
    let mut stand = Stand::outage();
    stand.maip().manifest.policy.automatic = AutomaticMode::Notify;
    let due = stand.due();
    commit(&mut stand.fleet, NOW, due);
    stand
}

#[test]
fn mode_notify_asks_an_agent_of_the_target_region_once_and_keeps_what_came_of_it() {
    let mut stand = notify();
    assert_eq!(telling(&stand.fleet), &Telling::Due);
    let ask = proposed(&stand.fleet, NOW + 1, &[EAST]);
    commit(&mut stand.fleet, NOW + 1, ask.clone());
    assert_eq!(proposed(&stand.fleet, NOW + 2, &[EAST]), [], "it is with an agent");
    assert_eq!(refused(&mut stand.fleet, at(NOW + 2), &ask[0]), RefusalCode::Conflict, "whoever proposes it again");
    let jobs = notice::jobs(&stand.fleet, at(NOW + 2));
    let [(to, job)] = jobs.as_slice() else { panic!("{jobs:?}") };
    assert_eq!((to, job.region.as_str()), (&agent("west-a"), WEST));
    assert!(job.action.resource(&job.region).starts_with("arn:aws:sns:us-west-2:"), "{:?}", job.action);
    let Telling::Asked { seq, topic, .. } = telling(&stand.fleet).clone() else { panic!("asked") };
    assert_eq!(job.token.intent, seq);
    let outcome = Telling::Published { agent: to.clone(), topic };
    let close = Command::CloseNotice { service: service("maip"), step: step(), seq, outcome: outcome.clone() };
    commit(&mut stand.fleet, NOW + 3, vec![close.clone()]);
    assert_eq!(telling(&stand.fleet), &outcome);
    refused(&mut stand.fleet, at(NOW + 4), &close);
    assert!(notice::jobs(&stand.fleet, at(NOW + 4)).is_empty() && stand.due().is_empty(), "once an episode");
    let concluded = format!("{:?}", stand.judged().conclusion);
    assert!(concluded.contains("west-a has published it"), "why-not tells: {concluded}");
}

#[test]
fn a_region_without_agents_is_not_waited_for() {
    let stand = notify();
    let asked = proposed(&stand.fleet, NOW + 1, &[WEST]);
    let [Command::AskNotice { topic, agent: asked, .. }] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((asked, topic.contains(EAST)), (&agent("east-a"), true));
    assert_eq!(proposed(&stand.fleet, NOW + 1, &[EAST, WEST]), [], "it stays due");
}

#[test]
fn an_agent_that_never_answers_is_given_up_and_the_notice_is_not_repeated() {
    let mut stand = notify();
    let ask = proposed(&stand.fleet, NOW + 1, &[]);
    commit(&mut stand.fleet, NOW + 1, ask);
    let wakeup = notice::next_wakeup(&stand.fleet, at(NOW + 2)).expect("a time");
    let later = wakeup.as_millis() / 1000;
    assert_eq!(proposed(&stand.fleet, later - 1, &[]), []);
    let given_up = proposed(&stand.fleet, later, &[]);
    commit(&mut stand.fleet, later, given_up);
    assert!(matches!(telling(&stand.fleet), Telling::Failed { reason } if reason.contains("may have been published")));
    assert_eq!(proposed(&stand.fleet, later + 1, &[]), []);
}

#[test]
fn an_automatic_run_is_told_of_and_does_not_wait_for_it() {
    let mut stand = Stand::outage();
    let starts = stand.starts();
    commit(&mut stand.fleet, NOW, starts);
    let note = stand.fleet.services[&service("maip")].noted.clone().expect("a note");
    assert_eq!((note.about, note.to.as_str()), (About::Began, WEST));
    assert!(note.text.contains("maip-g1"), "{}", note.text);
    let going = crate::engine::next(&stand.fleet, &view(&stand.fleet, at(NOW + 1), &[EAST]));
    assert!(!going.is_empty(), "its steps are due, told or not");
    let job = {
        let ask = proposed(&stand.fleet, NOW + 1, &[EAST]);
        commit(&mut stand.fleet, NOW + 1, ask);
        notice::jobs(&stand.fleet, at(NOW + 1)).remove(0).1
    };
    assert_eq!(job.token.generation, stand.fleet.services[&service("maip")].generation, "no agent holds it for stale");
}

#[test]
fn what_is_due_and_blocked_for_long_is_told_once_in_a_cool_down() {
    let mut stand = Stand::outage();
    let freeze = Command::Freeze {
        service: None,
        until: at(NOW + 100_000),
        by: "ann".to_owned(),
        reason: "a migration".to_owned(),
    };
    accepted(&mut stand.fleet, at(NOW), &freeze);
    let due = stand.due();
    commit(&mut stand.fleet, NOW + 1, due);
    let note = stand.fleet.services[&service("maip")].noted.clone().expect("a note");
    assert_eq!(note.about, About::Blocked);
    assert!(note.text.contains("freeze"), "{}", note.text);
    assert_eq!(stand.due(), [], "not with every look");
    let again = Command::NoteAutomatic { service: service("maip"), to: note.to, text: note.text };
    assert_eq!(refused(&mut stand.fleet, at(NOW + 2), &again), RefusalCode::Conflict, "nor by another leader");
}

#[test]
fn what_blocks_for_a_moment_wakes_nobody() {
    let mut stand = Stand::outage();
    stand.maip().manifest.policy.sustained = std::time::Duration::from_secs(50);
    let freeze = Command::Freeze { service: None, until: at(NOW + 60), by: "ann".to_owned(), reason: "x".to_owned() };
    accepted(&mut stand.fleet, at(NOW), &freeze);
    assert_eq!(stand.due(), []);
}

#[test]
fn a_service_without_notices_tells_nobody() {
    let mut stand = Stand::outage();
    stand.maip().manifest.notices.clear();
    let starts = stand.starts();
    commit(&mut stand.fleet, NOW, starts);
    assert_eq!(proposed(&stand.fleet, NOW + 1, &[]), []);
    assert!(notice::jobs(&stand.fleet, at(NOW + 1)).is_empty());
}
