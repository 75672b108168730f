//! The mesh as the commands see it: one method for each call, with values that were checked on arrival.

use std::future::Future;
use std::time::Duration;

use mesh_core::fleet::{EnrolledKey, Service};
use mesh_core::ids::{Hash32, KeyId, RegionId, RunId, ServiceId};
use mesh_core::manifest::Manifest;
use mesh_core::plan::{Plan, PlanKind};
use mesh_core::run::{Approval, Run};
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use mesh_proto::v1::operator_client::OperatorClient;
use mesh_runtime::client::{CallError, CallLimits, MeshClient};
use mesh_runtime::connect_error::ConnectError;
use mesh_runtime::grpc::MESSAGE_MAX;
use mesh_runtime::tls::Identities;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::profile::Profile;

mod survey;
mod why;

pub use survey::Surveyed;
pub use why::Frozen;

/// Asking every provider about every step takes longer than a read of the state.
const SLOW: CallLimits = CallLimits { per_try: Duration::from_secs(60), total: Duration::from_secs(90) };

type Client = OperatorClient<Channel>;

pub struct Mesh {
    name: String,
    client: MeshClient,
}

pub struct Planned {
    pub plan: Plan,
    pub hash: Hash32,
    pub wave: u32,
    pub existing_run: Option<RunId>,
}

pub struct Skipped {
    pub service: String,
    pub reason: String,
}

pub struct Plans {
    pub planned: Vec<Planned>,
    pub skipped: Vec<Skipped>,
}

pub struct StepCheck {
    pub step: String,
    pub verdict: v1::CheckVerdict,
    pub detail: String,
    pub agent: String,
}

/// What a person says that a start is to pass over.
#[derive(Clone, Copy, Default)]
pub struct Despite<'a> {
    /// Overrides of safety rules.
    pub approvals: &'a [Approval],
    /// Why, though the service is frozen.
    pub freeze: Option<&'a str>,
}

pub enum Order {
    Pause,
    Resume,
    Retry,
    Abort(String),
}

pub struct Controlled {
    pub run: Run,
    pub unacknowledged: Vec<String>,
    pub silent_after_ms: u64,
}

pub struct RunLine {
    pub run: String,
    pub service: String,
    pub kind: String,
    pub from: String,
    pub to: String,
    pub state: String,
    pub paused: bool,
    pub requested_by: String,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// A run as it changes.
pub struct RunStream(Streaming<v1::GetRunResponse>);

/// A backup in pieces.
pub struct BackupStream(Streaming<v1::BackupChunk>);

pub struct AuditStream(Streaming<v1::AuditRecord>);

impl Mesh {
    /// Nothing is sent yet.
    pub fn open(profile: &Profile) -> Result<Self, Failure> {
        let identities = Identities::load(&profile.tls, &profile.mesh).map_err(|error| {
            Failure::new(Exit::NotAllowed, format!("your certificate cannot be used: {error}"))
                .hint("[tls] of the profile names certificate, key and authorities; `meshctl pki issue` makes them")
        })?;
        let client = MeshClient::new(&profile.coordinators, &identities)
            .map_err(|error| Failure::usage(format!("coordinators: {error}")).hint(error.hint()))?;
        Ok(Self { name: profile.mesh.clone(), client })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same mesh with other limits for each call.
    pub fn with_limits(&self, limits: CallLimits) -> Self {
        Self { name: self.name.clone(), client: self.client.clone().with_limits(limits) }
    }

    async fn call<T, F, Fut>(&self, call: F) -> Result<T, Failure>
    where
        F: Fn(Client) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let answered = self.client.call(|channel| call(Client::new(channel).max_decoding_message_size(MESSAGE_MAX)));
        answered.await.map(Response::into_inner).map_err(call_failure)
    }

    pub async fn status(&self, stale: bool) -> Result<v1::GetStatusResponse, Failure> {
        self.call(|mut client| async move { client.get_status(v1::GetStatusRequest { stale }).await }).await
    }

    /// `None` if there is no such service.
    pub async fn find_service(&self, service: &ServiceId) -> Result<Option<Service>, Failure> {
        let request = v1::GetServiceRequest { service: service.to_string() };
        let answered = self
            .client
            .call(|channel| {
                let request = request.clone();
                async move { Client::new(channel).max_decoding_message_size(MESSAGE_MAX).get_service(request).await }
            })
            .await;
        match answered {
            Ok(answer) => present(answer.into_inner().entity, "service").map(Some),
            Err(CallError::Refused { status, .. }) if status.code() == Code::NotFound => Ok(None),
            Err(error) => Err(call_failure(error)),
        }
    }

    pub async fn plan(
        &self,
        kind: PlanKind,
        to: Option<&RegionId>,
        from: Option<&RegionId>,
        services: &[ServiceId],
    ) -> Result<Plans, Failure> {
        let text = |region: Option<&RegionId>| region.map(RegionId::to_string).unwrap_or_default();
        let request = v1::MakePlanRequest {
            kind: i32::from(v1::PlanKind::from(kind)),
            to: text(to),
            from: text(from),
            services: services.iter().map(ServiceId::to_string).collect(),
        };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.make_plan(request).await }
        });
        let answer = answer.await?;
        let skipped =
            answer.skipped.into_iter().map(|skipped| Skipped { service: skipped.service, reason: skipped.reason });
        Ok(Plans {
            planned: answer.plans.into_iter().map(planned).collect::<Result<_, _>>()?,
            skipped: skipped.collect(),
        })
    }

    pub async fn check(&self, plan: &Plan) -> Result<Vec<StepCheck>, Failure> {
        let request = v1::CheckPlanRequest { plan: Some(plan.into()) };
        let slow = self.with_limits(SLOW);
        let answer = slow.call(|mut client| {
            let request = request.clone();
            async move { client.check_plan(request).await }
        });
        let check = |step: v1::StepCheck| StepCheck {
            verdict: step.verdict(),
            step: step.step,
            detail: step.detail,
            agent: step.agent,
        };
        Ok(answer.await?.steps.into_iter().map(check).collect())
    }

    pub async fn apply(&self, manifest: &Manifest, source: &str, expected_version: u64) -> Result<u64, Failure> {
        let request =
            v1::ApplyManifestRequest { manifest: Some(manifest.into()), source: source.to_owned(), expected_version };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.apply_manifest(request).await }
        });
        Ok(answer.await?.version)
    }

    /// The run, and whether it was going already.
    pub async fn start_run(&self, plan: &Plan, hash: &Hash32, despite: &Despite<'_>) -> Result<(RunId, bool), Failure> {
        let request = v1::StartRunRequest {
            plan: Some(plan.into()),
            plan_hash: hash.0.to_vec(),
            approvals: despite.approvals.iter().map(Into::into).collect(),
            despite_freeze: despite.freeze.map(str::to_owned),
        };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.start_run(request).await }
        });
        let answer = answer.await?;
        Ok((RunId::new(answer.run).map_err(Failure::answer)?, answer.existing))
    }

    pub async fn control(&self, run: &RunId, order: Order) -> Result<Controlled, Failure> {
        use v1::control_run_request::Order as Wire;
        let order = match order {
            Order::Pause => Wire::Pause(v1::Nothing {}),
            Order::Resume => Wire::Resume(v1::Nothing {}),
            Order::Retry => Wire::Retry(v1::Nothing {}),
            Order::Abort(reason) => Wire::Abort(reason),
        };
        let request = v1::ControlRunRequest { run: run.to_string(), order: Some(order) };
        let slow = self.with_limits(SLOW);
        let answer = slow.call(|mut client| {
            let request = request.clone();
            async move { client.control_run(request).await }
        });
        let answer = answer.await?;
        Ok(Controlled {
            run: present(answer.run, "run")?,
            unacknowledged: answer.unacknowledged,
            silent_after_ms: answer.silent_after_ms,
        })
    }

    pub async fn run(&self, run: &RunId) -> Result<Run, Failure> {
        self.run_with_gaps(run).await.map(|(run, _)| run)
    }

    /// The run, and how many attempts and lines were left out because it is larger than a message.
    pub async fn run_with_gaps(&self, run: &RunId) -> Result<(Run, u32), Failure> {
        let request = v1::GetRunRequest { run: run.to_string() };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.get_run(request).await }
        });
        let answer = answer.await?;
        Ok((present(answer.run, "run")?, answer.left_out))
    }

    pub async fn watch(&self, run: &RunId) -> Result<RunStream, Failure> {
        let request = v1::GetRunRequest { run: run.to_string() };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.watch_run(request).await }
        });
        Ok(RunStream(answer.await?))
    }

    pub async fn runs(&self, service: Option<&ServiceId>, limit: u32) -> Result<Vec<RunLine>, Failure> {
        let request = v1::ListRunsRequest { service: service.map(ServiceId::to_string).unwrap_or_default(), limit };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.list_runs(request).await }
        });
        answer.await?.runs.into_iter().map(run_line).collect()
    }

    pub async fn approve(&self, run: &RunId, approval: &Approval) -> Result<(Run, u32), Failure> {
        let request = v1::ApproveRequest { run: run.to_string(), approval: Some(approval.into()) };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.approve(request).await }
        });
        let answer = answer.await?;
        Ok((present(answer.run, "run")?, answer.missing))
    }

    pub async fn keys(&self) -> Result<Vec<(KeyId, EnrolledKey)>, Failure> {
        let answer = self.call(|mut client| async move { client.list_keys(v1::ListKeysRequest {}).await }).await?;
        let named =
            |named: v1::NamedKey| Ok((KeyId::new(named.name).map_err(Failure::answer)?, present(named.key, "key")?));
        answer.keys.into_iter().map(named).collect()
    }

    /// Lets the mesh change things outside for a service, or no longer.
    pub async fn set_armed(&self, service: &ServiceId, armed: bool) -> Result<(), Failure> {
        let request = v1::SetArmedRequest { service: service.to_string(), armed };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.set_armed(request).await }
        });
        answer.await.map(drop)
    }

    pub async fn enroll(
        &self,
        key: &KeyId,
        owner: &str,
        public_key: &[u8],
        approvals: &[Approval],
    ) -> Result<(), Failure> {
        let request = v1::EnrollKeyRequest {
            key: key.to_string(),
            owner: owner.to_owned(),
            public_key: public_key.to_vec(),
            approvals: approvals.iter().map(Into::into).collect(),
        };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.enroll_key(request).await }
        });
        answer.await.map(drop)
    }

    pub async fn revoke(&self, key: &KeyId, approvals: &[Approval]) -> Result<(), Failure> {
        let request =
            v1::RevokeKeyRequest { key: key.to_string(), approvals: approvals.iter().map(Into::into).collect() };
        let answer = self.call(|mut client| {
            let request = request.clone();
            async move { client.revoke_key(request).await }
        });
        answer.await.map(drop)
    }

    pub async fn audit(&self, from_index: u64) -> Result<AuditStream, Failure> {
        let call = |mut client: Client| async move { client.export_audit(v1::ExportAuditRequest { from_index }).await };
        Ok(AuditStream(self.call(call).await?))
    }

    /// Begins to arrive once the leader has written all of it to its own disk.
    pub async fn backup(&self) -> Result<BackupStream, Failure> {
        let call = |mut client: Client| async move { client.backup(v1::BackupRequest {}).await };
        Ok(BackupStream(self.with_limits(SLOW).call(call).await?))
    }

    pub async fn membership(&self) -> Result<v1::Membership, Failure> {
        let answer = self.call(|mut client| async move { client.get_membership(v1::GetMembershipRequest {}).await });
        answer.await?.membership.ok_or_else(|| Failure::answer("membership is missing"))
    }

    pub async fn change_membership(
        &self,
        change: v1::change_membership_request::Change,
        approvals: &[Approval],
    ) -> Result<v1::Membership, Failure> {
        let request =
            v1::ChangeMembershipRequest { change: Some(change), approvals: approvals.iter().map(Into::into).collect() };
        let slow = self.with_limits(SLOW);
        let answer = slow.call(|mut client| {
            let request = request.clone();
            async move { client.change_membership(request).await }
        });
        answer.await?.membership.ok_or_else(|| Failure::answer("membership is missing"))
    }
}

impl RunStream {
    /// The run after its next change; `None` when the coordinator has ended the stream.
    pub async fn next(&mut self) -> Result<Option<Run>, Failure> {
        match self.0.message().await? {
            Some(answer) => present(answer.run, "run").map(Some),
            None => Ok(None),
        }
    }
}

impl BackupStream {
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.0.message().await?.map(|piece| piece.data))
    }
}

impl AuditStream {
    pub async fn next(&mut self) -> Result<Option<v1::AuditRecord>, Failure> {
        Ok(self.0.message().await?)
    }
}

fn planned(planned: v1::PlannedService) -> Result<Planned, Failure> {
    let plan: Plan = present(planned.plan, "plan")?;
    let hash = <[u8; 32]>::try_from(planned.plan_hash.as_slice()).map(Hash32);
    let hash = hash.map_err(|_| Failure::answer("plan_hash is no SHA-256"))?;
    // What the operator confirms is what is shown: the hash must be of this very plan.
    if mesh_proto::plan_hash(&plan) != hash {
        return Err(Failure::answer("the plan does not have the hash it came with"));
    }
    let existing_run = planned.existing_run.map(RunId::new).transpose().map_err(Failure::answer)?;
    Ok(Planned { plan, hash, wave: planned.wave, existing_run })
}

fn run_line(run: v1::RunSummary) -> Result<RunLine, Failure> {
    let kind = PlanKind::try_from(run.kind()).map_err(Failure::answer)?;
    let state: mesh_core::run::RunState = present(run.state, "state")?;
    Ok(RunLine {
        kind: kind.to_string(),
        state: state.name().to_owned(),
        run: run.run,
        service: run.service,
        from: run.from,
        to: run.to,
        paused: run.paused,
        requested_by: run.requested_by,
        started_at: Timestamp::from_millis(run.started_at),
        ended_at: run.ended_at.map(Timestamp::from_millis),
    })
}

fn present<W, C>(message: Option<W>, what: &str) -> Result<C, Failure>
where
    C: TryFrom<W>,
    C::Error: std::fmt::Display,
{
    let message = message.ok_or_else(|| Failure::answer(format!("{what} is missing")))?;
    C::try_from(message).map_err(Failure::answer)
}

/// What a call that did not succeed means to the operator.
pub fn call_failure(error: CallError) -> Failure {
    match error {
        CallError::Refused { status, .. } => Failure::from(status),
        CallError::Unavailable { within, ref attempts } => {
            let hint = error.hint();
            let certificate = |error: &ConnectError| match error {
                ConnectError::Unreachable { .. } | ConnectError::Timeout { .. } => false,
                ConnectError::OwnCertificateExpired { .. }
                | ConnectError::ServerCertificateExpired { .. }
                | ConnectError::ServerCertificateNotYetValid { .. }
                | ConnectError::UnknownAuthority { .. }
                | ConnectError::ServerIdentity { .. }
                | ConnectError::Refused { .. }
                | ConnectError::Tls { .. } => true,
            };
            let connects = || attempts.iter().filter_map(|attempt| attempt.connect.as_ref());
            let refused = connects().any(certificate)
                && attempts.iter().all(|attempt| attempt.connect.as_ref().is_some_and(certificate));
            let details: Vec<String> = attempts
                .iter()
                .map(|attempt| {
                    let said = attempt.connect.as_ref().map_or_else(|| attempt.said.clone(), ToString::to_string);
                    if said.contains(&attempt.address) { said } else { format!("{}: {said}", attempt.address) }
                })
                .collect();
            let failure = if refused {
                Failure::new(Exit::NotAllowed, "no coordinator accepted the connection")
            } else {
                let seconds = within.as_secs();
                Failure::new(Exit::Unreachable, format!("the mesh could not answer within {seconds} s"))
            };
            failure.details(details).hint(hint.unwrap_or(
                "without a majority of its coordinators the mesh changes nothing and traffic stays as it is; \
                 `meshctl status --stale` shows what each coordinator knows by itself",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_runtime::client::Attempt;

    use super::*;

    fn unavailable(connect: Vec<Option<ConnectError>>) -> Failure {
        let attempts = connect.into_iter().enumerate().map(|(nth, connect)| Attempt {
            address: format!("127.0.0.1:{nth}"),
            said: "no leader".to_owned(),
            connect,
        });
        call_failure(CallError::Unavailable { within: Duration::from_secs(15), attempts: attempts.collect() })
    }

    #[test]
    fn a_mesh_that_cannot_be_reached_names_every_coordinator_and_why() {
        let gone = ConnectError::Unreachable { address: "127.0.0.1:0".to_owned(), reason: "refused".to_owned() };
        let failure = unavailable(vec![Some(gone), None]);
        assert_eq!(failure.exit, Exit::Unreachable);
        assert_eq!(failure.details, ["127.0.0.1:0: refused", "127.0.0.1:1: no leader"]);
        assert!(failure.hint.is_some());
    }

    #[test]
    fn an_expired_certificate_is_not_a_network_problem() {
        let failure = unavailable(vec![Some(ConnectError::OwnCertificateExpired { since: Duration::from_secs(60) })]);
        assert_eq!(failure.exit, Exit::NotAllowed);
        assert!(failure.hint.expect("a hint").contains("pki issue"));
    }
}
