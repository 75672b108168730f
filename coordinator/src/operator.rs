//! `mesh.v1.Operator`: what people ask. Every answer but a status that was asked for as stale is the leader's.

use std::pin::Pin;
use std::sync::Arc;

use mesh_proto::v1;
use tonic::{Request, Response, Status};

use crate::node::Node;

pub mod approvals;
pub mod audit;
pub mod backup;
pub mod check;
pub mod control;
pub mod fit;
pub mod looking;
pub mod membership;
pub mod plans;
pub mod reads;
pub mod refusal;
pub mod route;
pub mod survey;
pub mod watch;
pub mod why;
pub mod writes;

use route::{Asked, Route, pass_on, pass_on_within};

pub struct OperatorService {
    node: Arc<Node>,
}

impl OperatorService {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

type StreamOf<T> = Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send>>;

/// Answers here when this node leads, and has the leader answer otherwise.
macro_rules! at_leader {
    ($self:ident, $request:ident, $method:ident, $handler:path) => {{
        let asked = Asked::of($request)?;
        match route::route(&$self.node, asked.passed_on).await? {
            Route::Here => $handler(&$self.node, &asked.caller, asked.body).await.map(Response::new),
            Route::There(mut leader) => leader.$method(pass_on(&asked.caller, asked.body)).await,
        }
    }};
}

/// As `at_leader`, for a handler that reads nothing and only commits: the commit itself proves who leads.
macro_rules! commit_at_leader {
    ($self:ident, $request:ident, $method:ident, $handler:path) => {{
        let asked = Asked::of($request)?;
        if $self.node.leads() {
            return $handler(&$self.node, &asked.caller, asked.body).await.map(Response::new);
        }
        match route::route(&$self.node, asked.passed_on).await? {
            Route::Here => $handler(&$self.node, &asked.caller, asked.body).await.map(Response::new),
            Route::There(mut leader) => leader.$method(pass_on(&asked.caller, asked.body)).await,
        }
    }};
}

#[tonic::async_trait]
impl v1::operator_server::Operator for OperatorService {
    type WatchRunStream = StreamOf<v1::GetRunResponse>;
    type ExportAuditStream = StreamOf<v1::AuditRecord>;
    type BackupStream = StreamOf<v1::BackupChunk>;

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        if request.get_ref().stale {
            return Ok(Response::new(reads::status(&self.node, true)));
        }
        at_leader!(self, request, get_status, reads::get_status)
    }

    async fn get_service(
        &self,
        request: Request<v1::GetServiceRequest>,
    ) -> Result<Response<v1::GetServiceResponse>, Status> {
        at_leader!(self, request, get_service, reads::get_service)
    }

    async fn make_plan(&self, request: Request<v1::MakePlanRequest>) -> Result<Response<v1::MakePlanResponse>, Status> {
        at_leader!(self, request, make_plan, plans::make_plan)
    }

    async fn check_plan(
        &self,
        request: Request<v1::CheckPlanRequest>,
    ) -> Result<Response<v1::CheckPlanResponse>, Status> {
        at_leader!(self, request, check_plan, check::check_plan)
    }

    async fn survey(&self, request: Request<v1::SurveyRequest>) -> Result<Response<v1::SurveyResponse>, Status> {
        let asked = Asked::of(request)?;
        match route::route(&self.node, asked.passed_on).await? {
            Route::Here => survey::survey(&self.node, &asked.caller, asked.body).await.map(Response::new),
            Route::There(mut leader) => {
                leader.survey(pass_on_within(&asked.caller, asked.body, survey::SURVEY_MAX)).await
            }
        }
    }

    async fn apply_manifest(
        &self,
        request: Request<v1::ApplyManifestRequest>,
    ) -> Result<Response<v1::ApplyManifestResponse>, Status> {
        commit_at_leader!(self, request, apply_manifest, writes::apply_manifest)
    }

    async fn start_run(&self, request: Request<v1::StartRunRequest>) -> Result<Response<v1::StartRunResponse>, Status> {
        at_leader!(self, request, start_run, plans::start_run)
    }

    async fn control_run(
        &self,
        request: Request<v1::ControlRunRequest>,
    ) -> Result<Response<v1::ControlRunResponse>, Status> {
        at_leader!(self, request, control_run, control::control_run)
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        at_leader!(self, request, get_run, reads::get_run)
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        at_leader!(self, request, list_runs, reads::list_runs)
    }

    async fn watch_run(
        &self,
        request: Request<v1::GetRunRequest>,
    ) -> Result<Response<StreamOf<v1::GetRunResponse>>, Status> {
        watch::watch_run(&self.node, Asked::of(request)?).await
    }

    async fn approve(&self, request: Request<v1::ApproveRequest>) -> Result<Response<v1::ApproveResponse>, Status> {
        at_leader!(self, request, approve, approvals::approve)
    }

    async fn set_armed(&self, request: Request<v1::SetArmedRequest>) -> Result<Response<v1::SetArmedResponse>, Status> {
        at_leader!(self, request, set_armed, writes::set_armed)
    }

    async fn list_keys(&self, request: Request<v1::ListKeysRequest>) -> Result<Response<v1::ListKeysResponse>, Status> {
        at_leader!(self, request, list_keys, reads::list_keys)
    }

    async fn enroll_key(
        &self,
        request: Request<v1::EnrollKeyRequest>,
    ) -> Result<Response<v1::EnrollKeyResponse>, Status> {
        at_leader!(self, request, enroll_key, approvals::enroll_key)
    }

    async fn revoke_key(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Result<Response<v1::RevokeKeyResponse>, Status> {
        at_leader!(self, request, revoke_key, approvals::revoke_key)
    }

    async fn export_audit(
        &self,
        request: Request<v1::ExportAuditRequest>,
    ) -> Result<Response<StreamOf<v1::AuditRecord>>, Status> {
        audit::export_audit(&self.node, Asked::of(request)?).await
    }

    async fn get_membership(
        &self,
        request: Request<v1::GetMembershipRequest>,
    ) -> Result<Response<v1::GetMembershipResponse>, Status> {
        at_leader!(self, request, get_membership, membership::get_membership)
    }

    async fn change_membership(
        &self,
        request: Request<v1::ChangeMembershipRequest>,
    ) -> Result<Response<v1::ChangeMembershipResponse>, Status> {
        at_leader!(self, request, change_membership, membership::change_membership)
    }

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<StreamOf<v1::BackupChunk>>, Status> {
        backup::backup(&self.node, Asked::of(request)?).await
    }

    async fn why(&self, request: Request<v1::WhyRequest>) -> Result<Response<v1::WhyResponse>, Status> {
        at_leader!(self, request, why, why::why)
    }

    async fn why_not(&self, request: Request<v1::WhyNotRequest>) -> Result<Response<v1::WhyNotResponse>, Status> {
        at_leader!(self, request, why_not, why::why_not)
    }

    async fn freeze(&self, request: Request<v1::FreezeRequest>) -> Result<Response<v1::FreezeResponse>, Status> {
        at_leader!(self, request, freeze, why::freeze::freeze)
    }

    async fn unfreeze(&self, request: Request<v1::UnfreezeRequest>) -> Result<Response<v1::UnfreezeResponse>, Status> {
        at_leader!(self, request, unfreeze, why::freeze::unfreeze)
    }

    async fn acknowledge(
        &self,
        request: Request<v1::AcknowledgeRequest>,
    ) -> Result<Response<v1::AcknowledgeResponse>, Status> {
        at_leader!(self, request, acknowledge, why::freeze::acknowledge)
    }
}
