//! Why the mesh acted or does not, and what people tell it about acting by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::decide::JudgementRecord;
use mesh_core::ids::{RegionId, RunId, ServiceId};
use mesh_core::run::Run;
use mesh_core::time::{Timestamp, duration_millis};
use mesh_proto::v1;

use super::{Mesh, SLOW, present};
use crate::failure::Failure;

/// What a freeze came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    pub until: Timestamp,
    /// Runs that are going and stand still.
    pub halted: Vec<String>,
    /// Agents that have not said that they stopped. Their permission ends at the latest so long from now.
    pub unacknowledged: Vec<String>,
    pub silent_after: Duration,
}

impl Mesh {
    /// The run with its cause, and how much of it was left out.
    pub async fn why(&self, run: &RunId) -> Result<(Run, u32), Failure> {
        let request = v1::WhyRequest { run: run.to_string() };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.why(request).await }
        });
        let answer = answer.await?;
        Ok((present(answer.run, "run")?, answer.left_out))
    }

    /// What the leader makes of a service now; `to`: as if it had to go there.
    pub async fn why_not(&self, service: &ServiceId, to: Option<&RegionId>) -> Result<JudgementRecord, Failure> {
        self.why_not_by_way(service, to).await.map(|(judged, _)| judged)
    }

    /// As [`Self::why_not`], with the agents that it hears by way of another coordinator.
    pub async fn why_not_by_way(
        &self,
        service: &ServiceId,
        to: Option<&RegionId>,
    ) -> Result<(JudgementRecord, BTreeMap<String, String>), Failure> {
        let to = to.map(RegionId::to_string).unwrap_or_default();
        let request = v1::WhyNotRequest { service: service.to_string(), to };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.why_not(request).await }
        });
        let answer = answer.await?;
        Ok((present(answer.judgement, "judgement")?, answer.passed_on))
    }

    /// No service, and every service is frozen.
    pub async fn freeze(
        &self,
        service: Option<&ServiceId>,
        lasting: Duration,
        reason: &str,
    ) -> Result<Frozen, Failure> {
        let request = v1::FreezeRequest {
            service: service.map(ServiceId::to_string).unwrap_or_default(),
            lasting_ms: duration_millis(lasting),
            reason: reason.to_owned(),
        };
        let slow = self.with_limits(SLOW);
        let answer = slow.call(|mut client| {
            let request = request.clone();
            async move { client.freeze(request).await }
        });
        let answer = answer.await?;
        Ok(Frozen {
            until: Timestamp::from_millis(answer.until),
            halted: answer.halted,
            unacknowledged: answer.unacknowledged,
            silent_after: Duration::from_millis(answer.silent_after_ms),
        })
    }

    pub async fn unfreeze(&self, service: Option<&ServiceId>) -> Result<(), Failure> {
        let request = v1::UnfreezeRequest { service: service.map(ServiceId::to_string).unwrap_or_default() };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.unfreeze(request).await }
        });
        answer.await.map(drop)
    }

    /// A person has looked: the cool-down of the service is over.
    pub async fn acknowledge(&self, service: &ServiceId) -> Result<(), Failure> {
        let request = v1::AcknowledgeRequest { service: service.to_string() };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.acknowledge(request).await }
        });
        answer.await.map(drop)
    }
}
