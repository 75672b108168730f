//! The one session with the leader. Coordinators are tried in turn until one welcomes the agent; whatever ends a
//! session, the next begins after a jittered pause. A leader that is out of reach is spoken to by way of another
//! coordinator, until it has been within reach again for a while.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::detect::SelfReport;
use mesh_core::ids::{AgentId, RegionId};
use mesh_core::seek::{Next, Patience, Seeker, Target};
use mesh_proto::v1;
use mesh_providers::Surveys;
use mesh_runtime::backoff::Backoff;
use mesh_runtime::tls::Identities;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::executor::Executor;
use crate::gate::Gate;
use crate::lease::Leases;
use crate::prober::board::Board;
use crate::prober::slip::Slip;
use crate::prober::watched::Watched;
use crate::timers::Timers;

mod back;
mod stream;
mod survey;

use stream::Opened;

/// Attempts without a pause, however coordinators contradict each other.
const AT_ONCE_MAX: u32 = 16;
const RECONNECT_MIN: Duration = Duration::from_millis(50);
const RECONNECT_MAX: Duration = Duration::from_secs(2);

/// What a session connects with the rest of the agent.
pub struct Link {
    pub agent: AgentId,
    pub region: RegionId,
    pub coordinators: Vec<String>,
    pub identities: Arc<Identities>,
    pub executor: Arc<Executor>,
    pub gate: Arc<Gate>,
    pub leases: Arc<Leases>,
    /// Where other agents ask this one for promises.
    pub promise_address: Option<String>,
    pub board: Arc<Board>,
    pub clock: Arc<dyn Clock>,
    pub timers: Arc<Timers>,
    pub slip: Arc<Slip>,
    pub watchlist: watch::Sender<Arc<Vec<Watched>>>,
    pub surveys: Arc<dyn Surveys>,
}

impl Link {
    /// What the leader has to know to judge this agent's word.
    fn self_report(&self) -> v1::SelfReport {
        let (peers, peers_dead) = self.board.peers();
        let now = self.clock.stamp();
        let timer_slip = self.timers.worst(now).max(self.slip.worst(now));
        v1::SelfReport::from(&SelfReport { timer_slip, peers, peers_dead })
    }
}

/// How a session, or the attempt at one, ended.
#[derive(Debug)]
enum Ending {
    NotLeader(Option<String>),
    Lost(Loss),
    /// A session that stands, and no Pong comes.
    Silent,
    Stopped,
}

#[derive(Debug)]
struct Loss {
    reason: String,
    /// It was within reach.
    reached: bool,
    /// What someone has to do first, where trying again alone does not help.
    cure: Option<&'static str>,
}

/// Keeps a session until `stop`.
pub async fn run(link: &Link, stop: &CancellationToken) {
    let seeker = Mutex::new(Seeker::new(link.coordinators.clone(), link.region.clone()));
    let mut ways = Ways { link, stop, seeker: &seeker, terms: AtomicU64::new(0), patience: Patience::default() };
    let mut backoff = Backoff::seeded_by_os(RECONNECT_MIN, RECONNECT_MAX);
    // Once between two sessions: the attempts go on, and each would say the same.
    let mut warned = false;
    // Since the last welcome, and since the last pause.
    let (mut attempts, mut at_once) = (0usize, 0u32);
    while !stop.is_cancelled() {
        let Some(target) = lock(&seeker).target() else { return };
        let opened = tokio::select! {
            opened = stream::begin(link, &target, &seeker, &ways.terms, stream::answer_within(link, attempts)) => opened,
            () = stop.cancelled() => return,
        };
        let (welcomed, target, ending) = match opened {
            Ok(opened) => {
                (warned, attempts, at_once) = (false, 0, 0);
                backoff.reset();
                let (target, ending) = ways.keep(target, opened).await;
                (true, target, ending)
            }
            Err(ending) => {
                attempts = attempts.saturating_add(1);
                (false, target, ending)
            }
        };
        let next = match ending {
            Ending::Stopped => return,
            Ending::NotLeader(leader) => {
                tracing::debug!(coordinator = target.address, leader, "not the leader");
                lock(&seeker).redirect(&target, leader)
            }
            Ending::Silent => {
                tracing::info!(coordinator = target.address, "no session: it does not answer any more");
                lock(&seeker).fell_silent(&target)
            }
            Ending::Lost(Loss { reason, reached, cure }) => {
                let coordinator = &target.address;
                match cure {
                    Some(cure) if !warned => {
                        warned = true;
                        tracing::warn!(coordinator, reason, cure, "no session, and waiting does not mend it");
                    }
                    Some(_) | None => tracing::info!(coordinator, reason, welcomed, "no session"),
                }
                if reached { lock(&seeker).lost(&target) } else { lock(&seeker).failed(&target) }
            }
        };
        if next == Next::AtOnce && at_once < AT_ONCE_MAX {
            at_once += 1;
            continue;
        }
        at_once = 0;
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// A session and, while another coordinator passes it on, the way back to the leader itself.
struct Ways<'a> {
    link: &'a Link,
    stop: &'a CancellationToken,
    seeker: &'a Mutex<Seeker<String>>,
    /// A leader of an older term than this was deposed before it welcomed us.
    terms: AtomicU64,
    patience: Patience,
}

impl Ways<'_> {
    /// Until no session is left, with whom the last one was.
    async fn keep(&mut self, mut target: Target<String>, mut opened: Opened) -> (Target<String>, Ending) {
        let mut returned = None;
        loop {
            // One that was to pass it on may lead by now.
            if !opened.passed_on {
                target.pass_on_to = None;
            }
            lock(self.seeker).welcomed(&target);
            let Some(leader) = target.pass_on_to.clone() else {
                let began = returned.take();
                let ending = stream::converse(self.link, opened, self.stop).await;
                if let Some(began) = began {
                    self.patience.note(Instant::elapsed(&began));
                }
                return (target, ending);
            };
            let leader = Target { address: leader, pass_on_to: None };
            match self.passed_on_until_direct(opened, &leader).await {
                Ok(direct) => {
                    tracing::info!(coordinator = leader.address, by = target.address, "the direct way works again");
                    returned = Some(Instant::now());
                    (target, opened) = (leader, direct);
                }
                Err(ending) => return (target, ending),
            }
        }
    }

    /// The direct session is there before the other one is let go. The leader ends that one itself, which may be seen
    /// first: then what has been begun is waited for.
    async fn passed_on_until_direct(&self, opened: Opened, leader: &Target<String>) -> Result<Opened, Ending> {
        let beginning = AtomicBool::new(false);
        let direct = async {
            loop {
                back::until_mended(&leader.address, &self.link.identities, self.patience).await;
                beginning.store(true, Ordering::Relaxed);
                if let Ok(direct) =
                    stream::begin(self.link, leader, self.seeker, &self.terms, stream::ANSWER_WITHIN).await
                    && !direct.passed_on
                {
                    return direct;
                }
                beginning.store(false, Ordering::Relaxed);
            }
        };
        tokio::pin!(direct);
        let ending = tokio::select! {
            direct = &mut direct => return Ok(direct),
            ending = stream::converse(self.link, opened, self.stop) => ending,
        };
        if beginning.load(Ordering::Relaxed) && !matches!(ending, Ending::Stopped) {
            // It begins anew only after a while, which is longer than this.
            if let Ok(direct) = timeout(stream::ANSWER_WITHIN, &mut direct).await {
                return Ok(direct);
            }
        }
        Err(ending)
    }
}

fn lock(seeker: &Mutex<Seeker<String>>) -> MutexGuard<'_, Seeker<String>> {
    seeker.lock().unwrap_or_else(PoisonError::into_inner)
}
