//! The one session with the leader. Coordinators are tried in turn until one welcomes the agent; whatever ends a
//! session, the next begins after a jittered pause.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::detect::SelfReport;
use mesh_core::ids::{AgentId, RegionId};
use mesh_proto::v1;
use mesh_providers::Surveys;
use mesh_runtime::backoff::Backoff;
use mesh_runtime::tls::Identities;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::executor::Executor;
use crate::gate::Gate;
use crate::lease::Leases;
use crate::prober::board::Board;
use crate::prober::slip::Slip;
use crate::prober::watched::Watched;
use crate::timers::Timers;

pub mod seek;
mod stream;
mod survey;

use seek::Seeker;

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
    Stopped,
}

#[derive(Debug)]
struct Loss {
    reason: String,
    welcomed: bool,
    /// What someone has to do first, where trying again alone does not help.
    cure: Option<&'static str>,
}

/// Keeps a session until `stop`.
pub async fn run(link: &Link, stop: &CancellationToken) {
    let mut seeker = Seeker::new(link.coordinators.clone());
    let mut backoff = Backoff::seeded_by_os(RECONNECT_MIN, RECONNECT_MAX);
    // A leader of an older term than this was deposed before it welcomed us.
    let mut highest_term = 0;
    // Once between two sessions: the attempts go on, and each would say the same.
    let mut warned = false;
    while !stop.is_cancelled() {
        let Some(address) = seeker.target() else { return };
        let ending = tokio::select! {
            ending = stream::converse(link, &address, &mut highest_term, stop) => ending,
            () = stop.cancelled() => Ending::Stopped,
        };
        match ending {
            Ending::Stopped => return,
            Ending::NotLeader(leader) => {
                tracing::debug!(coordinator = address, leader, "not the leader");
                if seeker.redirect(leader) {
                    continue;
                }
            }
            Ending::Lost(Loss { reason, welcomed, cure }) => {
                match cure {
                    Some(cure) if !warned => {
                        warned = true;
                        tracing::warn!(coordinator = address, reason, cure, "no session, and waiting does not mend it");
                    }
                    Some(_) | None => tracing::info!(coordinator = address, reason, welcomed, "no session"),
                }
                seeker.failed();
                if welcomed {
                    warned = false;
                    backoff.reset();
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = stop.cancelled() => return,
        }
    }
}
