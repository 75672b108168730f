//! Calls to whichever coordinator answers.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::backoff::Backoff;
use crate::clock::Deadline;
use crate::connect_error::{ConnectError, connect_error};
use crate::grpc;
use crate::tls::Identities;

/// Coordinators of one mesh.
pub const COORDINATORS_MAX: usize = 16;

/// What tonic says of a connection that ended under a call.
const TRANSPORT_ERROR: &str = "transport error";
const ROUND_PAUSE_MIN: Duration = Duration::from_millis(100);
const ROUND_PAUSE_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// For one coordinator to answer.
    pub per_try: Duration,
    /// For all attempts together: long enough for a new leader to be elected.
    pub total: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { per_try: Duration::from_secs(5), total: Duration::from_secs(15) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub address: String,
    pub said: String,
    /// When no connection came about.
    pub connect: Option<ConnectError>,
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A coordinator answered with a refusal that another would repeat.
    #[error("{}", .status.message())]
    Refused { address: String, status: Status },
    /// None could answer in time. One line for each coordinator, its last answer.
    #[error("no coordinator could answer within {} ms: {}", .within.as_millis(), said(.attempts))]
    Unavailable { within: Duration, attempts: Vec<Attempt> },
}

impl CallError {
    /// What a person can do about it, where no connection came about.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { .. } => None,
            Self::Unavailable { attempts, .. } => {
                attempts.iter().find_map(|attempt| attempt.connect.as_ref()?.hint().into())
            }
        }
    }

    pub fn code(&self) -> Code {
        match self {
            Self::Refused { status, .. } => status.code(),
            Self::Unavailable { .. } => Code::Unavailable,
        }
    }
}

impl From<CallError> for Status {
    fn from(err: CallError) -> Self {
        match err {
            CallError::Refused { status, .. } => status,
            unavailable @ CallError::Unavailable { .. } => Self::unavailable(unavailable.to_string()),
        }
    }
}

/// A mesh, reached through any of its coordinators. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct MeshClient {
    inner: Arc<Inner>,
    limits: CallLimits,
}

#[derive(Debug)]
struct Inner {
    targets: Vec<(String, Channel)>,
    /// The one that answered last.
    preferred: AtomicUsize,
}

impl MeshClient {
    pub fn new(addresses: &[String], identities: &Arc<Identities>) -> Result<Self, ConnectError> {
        let targets = addresses.iter().take(COORDINATORS_MAX);
        let targets = targets.map(|address| Ok((address.clone(), grpc::connect(address, identities)?)));
        let inner = Inner { targets: targets.collect::<Result<_, _>>()?, preferred: AtomicUsize::new(0) };
        Ok(Self { inner: Arc::new(inner), limits: CallLimits::default() })
    }

    #[must_use]
    pub fn with_limits(mut self, limits: CallLimits) -> Self {
        self.limits = limits;
        self
    }

    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.inner.targets.iter().map(|(address, _)| address.as_str())
    }

    /// Calls begin with the coordinator at `address`, if it is one of ours.
    pub fn prefer(&self, address: &str) {
        if let Some(index) = self.inner.targets.iter().position(|(ours, _)| ours == address) {
            self.inner.preferred.store(index, Ordering::Relaxed);
        }
    }

    /// Calls one coordinator after another until one answers, beginning with the one that did so last.
    ///
    /// The next is tried when a coordinator cannot be reached, says `UNAVAILABLE`, loses the connection or lets the
    /// time run out. So a call may arrive more than once: every call of the mesh bears that. For a streaming call the
    /// limits end with the response headers.
    pub async fn call<T, F, Fut>(&self, call: F) -> Result<T, CallError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let deadline = Deadline::after(self.limits.total);
        let mut backoff = Backoff::seeded_by_os(ROUND_PAUSE_MIN, ROUND_PAUSE_MAX);
        let mut last_round = Vec::new();
        while !deadline.is_over() {
            match self.round(&call, deadline, &mut last_round).await {
                Round::Answered(answer) => return Ok(answer),
                Round::Refused(refused) => return Err(refused),
                Round::Hopeless => break,
                Round::Unavailable => {
                    tokio::time::sleep(backoff.next_delay().min(deadline.left())).await;
                }
            }
        }
        Err(CallError::Unavailable { within: self.limits.total, attempts: last_round })
    }

    async fn round<T, F, Fut>(&self, call: &F, deadline: Deadline, attempts: &mut Vec<Attempt>) -> Round<T>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let first = self.inner.preferred.load(Ordering::Relaxed);
        let count = self.inner.targets.len();
        let mut hopeless = true;
        for (index, (address, channel)) in self.inner.targets.iter().enumerate().cycle().skip(first).take(count) {
            let limit = self.limits.per_try.min(deadline.left());
            if limit.is_zero() {
                return Round::Unavailable;
            }
            let status = match tokio::time::timeout(limit, call(channel.clone())).await {
                Ok(Ok(answer)) => {
                    self.inner.preferred.store(index, Ordering::Relaxed);
                    return Round::Answered(answer);
                }
                Ok(Err(status)) => status,
                Err(_) => Status::unavailable(format!("no answer within {} ms", limit.as_millis())),
            };
            if !may_try_another(&status) {
                self.inner.preferred.store(index, Ordering::Relaxed);
                return Round::Refused(CallError::Refused { address: address.clone(), status });
            }
            let connect = connect_error(&status).cloned();
            hopeless &= connect.as_ref().is_some_and(ConnectError::is_lasting);
            note(attempts, Attempt { address: address.clone(), said: status.message().to_owned(), connect });
        }
        if hopeless { Round::Hopeless } else { Round::Unavailable }
    }
}

enum Round<T> {
    Answered(T),
    Refused(CallError),
    Unavailable,
    /// Each coordinator failed in a way that waiting does not mend.
    Hopeless,
}

/// The latest answer of each coordinator is kept.
fn note(attempts: &mut Vec<Attempt>, attempt: Attempt) {
    match attempts.iter_mut().find(|known| known.address == attempt.address) {
        Some(known) => *known = attempt,
        None => attempts.push(attempt),
    }
}

fn may_try_another(status: &Status) -> bool {
    // A transport error is the status's source when the call or its answer got lost on the way.
    let lost = std::error::Error::source(status).is_some_and(|source| source.is::<tonic::transport::Error>());
    // Of one that got lost behind a coordinator that passed it on, only code and words arrive.
    let lost_behind = status.code() == Code::Unknown && status.message() == TRANSPORT_ERROR;
    status.code() == Code::Unavailable || lost || lost_behind
}

fn said(attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return "no addresses are configured".to_owned();
    }
    let lines =
        attempts.iter().map(
            |Attempt { address, said, .. }| {
                if said.starts_with(address) { said.clone() } else { format!("{address}: {said}") }
            },
        );
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_got_lost_behind_a_coordinator_is_repeated_and_a_refused_one_is_not() {
        assert!(may_try_another(&Status::unknown(TRANSPORT_ERROR)));
        assert!(may_try_another(&Status::unavailable("an election is going on")));
        for refused in [Status::unknown("something else"), Status::invalid_argument(TRANSPORT_ERROR)] {
            assert!(!may_try_another(&refused), "{refused}");
        }
    }
}
