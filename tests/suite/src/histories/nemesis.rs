//! Who kills, stops and parts the coordinators. Each fault lasts until what it is for has come about.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesh_history::Recorder;
use mesh_proto::v1;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use v1::change_membership_request::Change;

use super::door::{Answer, Doors, ask};
use crate::Rig;
use crate::processes::Signal;
use crate::relay::Relays;
use crate::rig::{LONG, POLL};

/// After others have gone on without it for so long: time for an old leader to tell what it still believes.
const BEYOND_MS: std::ops::Range<u64> = 300..2500;
/// One that nobody waits for stands still, or is away, for so long.
const AWAY_MS: std::ops::Range<u64> = 100..2500;
const LOOK_WITHIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    KillLeader,
    KillFollower,
    KillAll,
    /// Until another leads: when it goes on it believes to lead.
    StopLeader,
    StopFollower,
    Transfer,
    /// Neither hears nor is heard by the others.
    PartLeader,
    /// Hears nobody.
    DeafLeader,
    /// Nobody hears it.
    MuteLeader,
    PartFollower,
}

pub const ALL: [Fault; 10] = [
    Fault::StopLeader,
    Fault::KillLeader,
    Fault::PartLeader,
    Fault::Transfer,
    Fault::MuteLeader,
    Fault::KillAll,
    Fault::DeafLeader,
    Fault::StopFollower,
    Fault::KillFollower,
    Fault::PartFollower,
];

pub struct Nemesis {
    doors: Doors,
    rng: StdRng,
    /// What is being done, for a failing test.
    now: Option<Fault>,
    /// Terms, and who was seen to lead. A term may have several leaders, one after the other.
    led: BTreeSet<(u64, u64)>,
}

fn name(node: u64) -> String {
    format!("coordinator-{node}")
}

impl Nemesis {
    pub fn new(doors: Doors, seed: u64) -> Self {
        Self { doors, rng: StdRng::seed_from_u64(seed), now: None, led: BTreeSet::new() }
    }

    /// How often another node led than before.
    pub fn leader_changes(&self) -> usize {
        let leaders: Vec<u64> = self.led.iter().map(|(_, leader)| *leader).collect();
        leaders.windows(2).filter(|pair| pair.first() != pair.last()).count()
    }

    /// Strikes, waits, heals, and waits for a leader. It panics if the fault did not come about.
    pub async fn strike(&mut self, rig: &mut Rig, relays: &Relays, fault: Fault, recorder: &Recorder) {
        let (term, leader) = self.until_led().await;
        let others: Vec<u64> = (1..=3).filter(|node| *node != leader).collect();
        self.now = Some(fault);
        let follower = others[self.rng.random_range(0..others.len())];
        recorder.note(format!("{fault:?}: {} leads in term {term}", name(leader)));
        match fault {
            Fault::KillLeader => {
                rig.kill(&name(leader));
                self.until_other(leader).await;
                self.linger(BEYOND_MS).await;
                self.bring_back(rig, relays, &[leader]);
            }
            Fault::KillFollower => {
                rig.kill(&name(follower));
                self.linger(AWAY_MS).await;
                self.bring_back(rig, relays, &[follower]);
            }
            Fault::KillAll => {
                (1..=3).for_each(|node| rig.kill(&name(node)));
                self.bring_back(rig, relays, &[1, 2, 3]);
            }
            Fault::StopLeader => {
                self.stop(rig, leader).await;
                self.until_other(leader).await;
                self.linger(BEYOND_MS).await;
                rig.signal(&name(leader), Signal::CONT);
            }
            Fault::StopFollower => {
                self.stop(rig, follower).await;
                self.linger(AWAY_MS).await;
                rig.signal(&name(follower), Signal::CONT);
            }
            Fault::Transfer => self.transfer(leader, follower).await,
            Fault::PartLeader => self.part(relays, leader, &others, |one, other| relays.part(one, other)).await,
            Fault::DeafLeader => self.part(relays, leader, &others, |one, other| relays.cut(other, one)).await,
            Fault::MuteLeader => self.part(relays, leader, &others, |one, other| relays.cut(one, other)).await,
            Fault::PartFollower => {
                relays.forget_delays();
                (1..=3).filter(|node| *node != follower).for_each(|node| relays.part(&name(follower), &name(node)));
                until_delayed(relays).await;
                self.linger(AWAY_MS).await;
                relays.heal();
            }
        }
        let (term, leader) = self.until_led().await;
        recorder.note(format!("healed: {} leads in term {term}", name(leader)));
    }

    async fn part(&mut self, relays: &Relays, leader: u64, others: &[u64], cut: impl Fn(&str, &str)) {
        relays.forget_delays();
        others.iter().for_each(|other| cut(&name(leader), &name(*other)));
        until_delayed(relays).await;
        self.until_other(leader).await;
        self.linger(BEYOND_MS).await;
        relays.heal();
    }

    async fn stop(&self, rig: &Rig, node: u64) {
        rig.signal(&name(node), Signal::STOP);
        let deadline = Instant::now() + LONG;
        while !rig.stands_still(&name(node)) {
            assert!(Instant::now() < deadline, "{} never stood still", name(node));
            tokio::time::sleep(POLL).await;
        }
    }

    fn bring_back(&self, rig: &mut Rig, relays: &Relays, nodes: &[u64]) {
        for node in nodes {
            rig.restart(&name(*node));
            // Before it dials anyone.
            rig.meet(relays);
        }
    }

    /// Asked again until it leads: a leader may refuse while the other is behind.
    async fn transfer(&mut self, leader: u64, to: u64) {
        let deadline = Instant::now() + LONG;
        loop {
            let request =
                v1::ChangeMembershipRequest { change: Some(Change::TransferLeader(to)), approvals: Vec::new() };
            let mut door = self.doors.at(usize::try_from(leader).expect("small"));
            let _ = ask(door.change_membership(request)).await;
            if self.until_led().await.1 != leader {
                return;
            }
            assert!(Instant::now() < deadline, "{} never gave way to {}", name(leader), name(to));
            tokio::time::sleep(POLL).await;
        }
    }

    async fn linger(&mut self, range: std::ops::Range<u64>) {
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(range))).await;
    }

    async fn until_other(&mut self, old: u64) {
        self.until(|(_, leader)| leader != old).await;
    }

    /// Waits until a quorum says who leads.
    pub async fn until_led(&mut self) -> (u64, u64) {
        self.until(|_| true).await
    }

    async fn until(&mut self, is_it: impl Fn((u64, u64)) -> bool) -> (u64, u64) {
        let deadline = Instant::now() + LONG;
        loop {
            for at in 0..self.doors.len() {
                let mut door = self.doors.at(at);
                let asked = ask(door.get_membership(v1::GetMembershipRequest {}));
                let Ok(Answer::Ok(answer)) = tokio::time::timeout(LOOK_WITHIN, asked).await else { continue };
                let Some(found) =
                    answer.membership.map(|all| (all.term, all.leader)).filter(|(_, leader)| *leader != 0)
                else {
                    continue;
                };
                self.led.insert(found);
                if is_it(found) {
                    return found;
                }
            }
            assert!(Instant::now() < deadline, "nobody else ever led: {:?}, {:?}", self.now, self.led);
            tokio::time::sleep(POLL).await;
        }
    }
}

/// A cut that delays nothing shows nothing.
async fn until_delayed(relays: &Relays) {
    let deadline = Instant::now() + LONG;
    while relays.delayed().is_empty() {
        assert!(Instant::now() < deadline, "nothing was held up");
        tokio::time::sleep(POLL).await;
    }
}
