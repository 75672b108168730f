//! Connections to the leader for agents' sessions that this node passes on, apart from all others: so many streams would
//! hold up what people ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_runtime::grpc::{self, STREAMS_PER_CONNECTION_MAX};
use mesh_runtime::tls::Identities;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Sessions on one connection.
const PER_LANE_MAX: usize = 200;
const _: () = assert!(PER_LANE_MAX < STREAMS_PER_CONNECTION_MAX as usize, "none may wait for another's end");
const LANES_MAX: usize = 20;
const WARM_WITHIN: Duration = Duration::from_secs(2);
/// Sessions that one coordinator passes on: the agents of one region of a large mesh.
pub const PASSED_ON_MAX: usize = PER_LANE_MAX * LANES_MAX;

pub struct Lanes {
    identities: Arc<Identities>,
    lanes: Vec<Arc<Lane>>,
}

struct Lane {
    room: Arc<Semaphore>,
    /// With the leader's address.
    channel: Mutex<Option<(String, Channel)>>,
}

/// One session's place; dropping it leaves it to another.
pub struct Place {
    pub channel: Channel,
    lane: Arc<Lane>,
    _room: OwnedSemaphorePermit,
}

impl Place {
    /// The connection is of no use: whoever comes next makes another.
    pub fn give_up(&self) {
        *self.lane.channel.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Lanes {
    pub fn new(identities: Arc<Identities>) -> Self {
        let lane = || Lane { room: Arc::new(Semaphore::new(PER_LANE_MAX)), channel: Mutex::default() };
        Self { identities, lanes: std::iter::repeat_with(|| Arc::new(lane())).take(LANES_MAX).collect() }
    }

    /// How many sessions are passed on now.
    pub fn in_use(&self) -> usize {
        self.lanes.iter().map(|lane| PER_LANE_MAX.saturating_sub(lane.room.available_permits())).sum()
    }

    /// A place on a connection to `leader`.
    pub fn enter(&self, leader: &str) -> Result<Place, Status> {
        let free = self.lanes.iter().find_map(|lane| Some((lane, Arc::clone(&lane.room).try_acquire_owned().ok()?)));
        let (lane, room) = free.ok_or_else(|| {
            Status::resource_exhausted(format!("this coordinator passes on {PASSED_ON_MAX} agents' sessions already"))
        })?;
        Ok(Place { channel: self.channel(lane, leader)?, lane: Arc::clone(lane), _room: room })
    }

    /// Has a connection to `leader` made before a session needs it: agents whose leases run have no time for it.
    pub async fn warm(&self, leader: &str) {
        let Some(lane) = self.lanes.first() else { return };
        let Ok(channel) = self.channel(lane, leader) else { return };
        let mut health = HealthClient::new(channel);
        let answer = timeout(WARM_WITHIN, health.check(HealthCheckRequest::default())).await;
        let reached = match answer {
            // A refusal has come all the way, too.
            Ok(answer) => answer.err().is_none_or(|status| status.code() != Code::Unavailable),
            Err(_) => false,
        };
        if !reached && Arc::strong_count(lane) == 1 {
            *lane.channel.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn channel(&self, lane: &Lane, leader: &str) -> Result<Channel, Status> {
        let mut known = lane.channel.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((address, channel)) = known.as_ref()
            && address == leader
        {
            return Ok(channel.clone());
        }
        let channel = grpc::connect(leader, &self.identities)
            .map_err(|error| Status::unavailable(format!("coordinator at {leader}: {error}")))?;
        *known = Some((leader.to_owned(), channel.clone()));
        Ok(channel)
    }
}
