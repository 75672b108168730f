//! `ApplyManifest` and `SetArmed`.

use mesh_core::access::Identity;
use mesh_core::fleet::{Command, Reply};
use mesh_core::ids::ServiceId;
use mesh_core::manifest::check::SOURCE_BYTES_MAX;
use mesh_core::manifest::{Manifest, check};
use mesh_proto::v1;
use tonic::Status;

use super::refusal;
use crate::node::Node;

pub async fn apply_manifest(
    node: &Node,
    caller: &Identity,
    request: v1::ApplyManifestRequest,
) -> Result<v1::ApplyManifestResponse, Status> {
    if request.source.len() > SOURCE_BYTES_MAX {
        return Err(Status::invalid_argument(format!("the manifest is longer than {SOURCE_BYTES_MAX} bytes")));
    }
    let manifest = request.manifest.ok_or_else(|| Status::invalid_argument("manifest is missing"))?;
    let manifest = Manifest::try_from(manifest).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let problems = check::check(&manifest);
    if !problems.is_empty() {
        let lines: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {} ({})", problem.path, problem.message, problem.hint))
            .collect();
        return Err(Status::invalid_argument(lines.join("\n")));
    }
    let command = Command::ApplyManifest {
        manifest: Box::new(manifest),
        source: request.source,
        by: caller.to_string(),
        expected_version: request.expected_version,
    };
    match refusal::commit(node, command).await? {
        Reply::ManifestApplied { version } => Ok(v1::ApplyManifestResponse { version }),
        other => Err(unexpected(&other)),
    }
}

pub async fn set_armed(
    node: &Node,
    caller: &Identity,
    request: v1::SetArmedRequest,
) -> Result<v1::SetArmedResponse, Status> {
    let service = ServiceId::new(request.service).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let command = Command::SetArmed { service, armed: request.armed, by: caller.to_string() };
    refusal::commit(node, command).await?;
    Ok(v1::SetArmedResponse {})
}

/// The core answered a command with another's reply: a mistake of ours.
pub fn unexpected(reply: &Reply) -> Status {
    Status::internal(format!("unexpected reply: {reply:?}"))
}
