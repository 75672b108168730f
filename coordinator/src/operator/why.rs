//! `Why` and `WhyNot`: the judgement that a run came of, and what the leader makes of a service now.

use mesh_core::access::Identity;
use mesh_core::decide::JudgementRecord;
use mesh_core::ids::RegionId;
use mesh_proto::v1;
use tonic::Status;

use super::reads;
use crate::driver::automatic;
use crate::node::Node;
use crate::sessions::evidence::Snapshot;

pub mod freeze;

pub async fn why(node: &Node, _: &Identity, request: v1::WhyRequest) -> Result<v1::WhyResponse, Status> {
    let id = reads::run_id(&request.run)?;
    let v1::GetRunResponse { run, left_out } = reads::whole_run(node, &id).await?;
    Ok(v1::WhyResponse { run, left_out })
}

/// Judged anew for each question: what stands in memory may be a second old.
pub async fn why_not(node: &Node, _: &Identity, request: v1::WhyNotRequest) -> Result<v1::WhyNotResponse, Status> {
    let service = reads::service_id(&request.service)?;
    let to = match request.to.as_str() {
        "" => None,
        to => Some(RegionId::new(to).map_err(|error| Status::invalid_argument(error.to_string()))?),
    };
    known(node, &service, to.as_ref())?;
    let led_since = node.judgements.led_since();
    let led_since = led_since.ok_or_else(|| Status::unavailable("this node has only begun to lead: ask again"))?;
    let judgement = automatic::judge(node, &Snapshot::take(node, led_since), &service, to.as_ref());
    let judgement = judgement.ok_or_else(|| reads::no_service(&service))?;
    let judgement = v1::Judgement::from(JudgementRecord::from(&judgement));
    Ok(v1::WhyNotResponse { judgement: Some(judgement), passed_on: passed_on(node) })
}

/// Whom this node hears by way of another.
fn passed_on(node: &Node) -> std::collections::BTreeMap<String, String> {
    let live = node.sessions.live().into_iter();
    live.filter_map(|session| Some((session.agent.to_string(), session.via.clone()?))).collect()
}

fn known(node: &Node, service: &mesh_core::ids::ServiceId, to: Option<&RegionId>) -> Result<(), Status> {
    node.replica.with_fleet(|fleet| {
        let stored = fleet.services.get(service).ok_or_else(|| reads::no_service(service))?;
        match to.filter(|to| !stored.manifest.regions.contains_key(*to)) {
            Some(to) => Err(Status::invalid_argument(format!("{service} has no region {to}"))),
            None => Ok(()),
        }
    })
}

/// What was last made of a service, short enough for a status of all of them.
pub fn in_short(node: &Node, service: &mesh_core::ids::ServiceId) -> Option<v1::Judgement> {
    let judgement = node.judgements.of(service)?;
    let mut short = JudgementRecord::from(judgement.as_ref());
    for region in short.regions.values_mut() {
        region.views.clear();
    }
    short.rules.clear();
    Some(v1::Judgement::from(short))
}
