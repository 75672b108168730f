//! Jobs and records for this crate's own tests.

pub mod scripted;
pub mod sim;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_core::execute::Job;
use mesh_core::ids::{Generation, IntentSeq, RegionId, RunId, ServiceId, StepId, Token};
use mesh_core::plan::{Action, Retry};
use mesh_core::run::Direction;
use mesh_core::time::Timestamp;

use crate::clock::{Clock, Stamp};
use crate::journal::{Event, Record};

pub fn job(generation: u64, seq: u64) -> Job {
    let run = format!("maip-g{generation}");
    Job {
        service: ServiceId::new("maip").expect("a name"),
        run: RunId::new(&run).expect("a name"),
        step: StepId::new(format!("rds-reboot-{seq}")).expect("a name"),
        direction: Direction::Forward,
        token: Token { generation: Generation(generation), intent: IntentSeq(seq) },
        key: format!("{run}/rds-reboot-{seq}"),
        region: RegionId::new("us-east-1").expect("a name"),
        action: Action::RdsReboot { instance: "db".to_owned() },
        time_left: Duration::from_secs(300),
        retry: Retry { attempts_max: 5, backoff_min: Duration::from_millis(200), backoff_max: Duration::from_secs(5) },
        maybe_sent_since: None,
        mesh_time: None,
        retried_by_person: false,
        evidence: BTreeMap::new(),
    }
}

pub fn record(at: u64, event: Event) -> Record {
    Record { at: Timestamp::from_millis(at), event }
}

/// A clock that stands still until a test moves it; sleeping moves it at once.
#[derive(Default)]
pub struct FakeClock(Mutex<Stamp>);

impl FakeClock {
    pub fn new() -> Arc<Self> {
        let start = Duration::from_secs(1_000_000);
        Arc::new(Self(Mutex::new(Stamp { boottime: start, monotonic: start, realtime: start })))
    }

    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().expect("no test panics while it holds this");
        now.boottime += by;
        now.monotonic += by;
        now.realtime += by;
    }

    /// As a suspended machine: the monotonic clock stands still.
    pub fn suspend(&self, by: Duration) {
        self.0.lock().expect("no test panics while it holds this").boottime += by;
    }
}

struct FakeSleep {
    clock: Arc<FakeClock>,
    duration: Duration,
}

impl FakeSleep {
    async fn run(self) {
        // Others may go first: what is ready now happens before time passes.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        self.clock.advance(self.duration);
    }
}

/// Sleeps of this one pass at once.
#[derive(Clone)]
pub struct FastClock(pub Arc<FakeClock>);

impl Clock for FastClock {
    fn stamp(&self) -> Stamp {
        self.0.stamp()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(FakeSleep { clock: Arc::clone(&self.0), duration }.run())
    }
}

impl Clock for FakeClock {
    fn stamp(&self) -> Stamp {
        *self.0.lock().expect("no test panics while it holds this")
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}
