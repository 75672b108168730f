//! What goes wrong on purpose, between a caller and a service.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

const FAULTS_MAX: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Error,
    Throttle,
    /// Neither the request arrives nor a reply.
    TimeoutNotApplied,
    /// The request is carried out, its reply is lost.
    TimeoutApplied,
    /// The request waits before the service until the fault is deleted.
    HoldBefore,
    /// The request is carried out, its reply waits until the fault is deleted.
    HoldAfter,
    Slow,
    /// The reply is lost now, the request arrives later, if its signature is still good then.
    Late,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub service: String,
    #[serde(default)]
    pub region: Option<String>,
    #[serde(default)]
    pub operation: Option<String>,
    pub kind: Kind,
    /// How many calls it strikes; 0 is all of them.
    #[serde(default = "once")]
    pub count: u64,
    #[serde(default)]
    pub delay_ms: Option<u64>,
    #[serde(default)]
    pub code: Option<String>,
    #[serde(default)]
    pub status: Option<u16>,
}

fn once() -> u64 {
    1
}

#[derive(Debug, Serialize)]
pub struct Fault {
    pub id: u64,
    pub service: String,
    pub region: Option<String>,
    pub operation: Option<String>,
    pub kind: Kind,
    pub count: u64,
    pub delay_ms: Option<u64>,
    pub code: Option<String>,
    pub status: Option<u16>,
    pub fired: u64,
    #[serde(skip)]
    released: watch::Sender<bool>,
}

/// A fault that strikes one call.
#[derive(Clone, Debug)]
pub struct Strike {
    pub fault: u64,
    pub kind: Kind,
    pub delay_ms: Option<u64>,
    pub code: Option<String>,
    pub status: Option<u16>,
    released: watch::Receiver<bool>,
}

impl Strike {
    /// Until the fault is deleted, or its delay (where it has one) is over.
    pub async fn released(&mut self) {
        let released = async {
            // A sender that is gone released everyone, too.
            let _ = self.released.wait_for(|released| *released).await;
        };
        match self.delay_ms {
            Some(delay) => {
                let limit = std::time::Duration::from_millis(delay);
                // Either end of the wait lets the call go on.
                let _ = tokio::time::timeout(limit, released).await;
            }
            None => released.await,
        }
    }
}

#[derive(Debug, Default)]
pub struct Faults {
    all: Vec<Fault>,
    count: u64,
}

impl Faults {
    pub fn add(&mut self, order: Order) -> Result<u64, String> {
        if self.all.len() >= FAULTS_MAX {
            return Err("too many faults".to_owned());
        }
        if order.service != "*" && crate::wire::request::Service::named(&order.service).is_none() {
            return Err(format!("unknown service {}", order.service));
        }
        if matches!(order.kind, Kind::Slow | Kind::Late) && order.delay_ms.is_none() {
            return Err("slow and late need delay_ms".to_owned());
        }
        self.count += 1;
        self.all.push(Fault {
            id: self.count,
            service: order.service,
            region: order.region,
            operation: order.operation,
            kind: order.kind,
            count: order.count,
            delay_ms: order.delay_ms,
            code: order.code,
            status: order.status,
            fired: 0,
            released: watch::Sender::new(false),
        });
        Ok(self.count)
    }

    /// The oldest fault that still strikes such a call.
    pub fn strike(
        &mut self,
        service: crate::wire::request::Service,
        regions: [&str; 2],
        operation: &str,
    ) -> Option<Strike> {
        let fits = |fault: &&mut Fault| {
            (fault.service == "*" || crate::wire::request::Service::named(&fault.service) == Some(service))
                && fault.region.as_deref().is_none_or(|region| regions.contains(&region))
                && fault.operation.as_deref().is_none_or(|name| name == operation)
                && (fault.count == 0 || fault.fired < fault.count)
        };
        let fault = self.all.iter_mut().find(fits)?;
        fault.fired += 1;
        Some(Strike {
            fault: fault.id,
            kind: fault.kind,
            delay_ms: fault.delay_ms,
            code: fault.code.clone(),
            status: fault.status,
            released: fault.released.subscribe(),
        })
    }

    /// Ends a fault and lets go of the calls that it holds.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(at) = self.all.iter().position(|fault| fault.id == id) else { return false };
        let fault = self.all.remove(at);
        fault.released.send_replace(true);
        true
    }

    pub fn all(&self) -> &[Fault] {
        &self.all
    }
}
