//! A plan kept in a file, so that what two people sign is what is started: its hash covers all of it.

use std::io::Read;
use std::path::Path;

use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::plan::Plan;
use mesh_proto::{plan_hash, v1};
use prost::Message;

use crate::failure::Failure;
use crate::mesh::{Planned, Plans};

/// Larger than any plan that a message can carry.
const PLAN_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Keeps the one plan there is.
pub fn save(path: &Path, plans: &Plans) -> Result<(), Failure> {
    let [planned] = plans.planned.as_slice() else {
        return Err(Failure::usage(format!("{} services would move: name one with --service", plans.planned.len())));
    };
    if let Some(run) = &planned.existing_run {
        return Err(Failure::refused(format!("run {run} does this already")));
    }
    let bytes = v1::Plan::from(&planned.plan).encode_to_vec();
    std::fs::write(path, bytes).map_err(|error| Failure::file(path, "write", &error))
}

pub fn load(path: &Path, to: &RegionId, services: &[ServiceId]) -> Result<Plans, Failure> {
    let refuse = |error: std::io::Error| Failure::file(path, "read", &error);
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(refuse)?.take(PLAN_BYTES_MAX).read_to_end(&mut bytes).map_err(refuse)?;
    let no_plan = |why: String| Failure::usage(format!("{} holds no plan: {why}", path.display()));
    let wire = v1::Plan::decode(bytes.as_slice()).map_err(|error| no_plan(error.to_string()))?;
    let plan = Plan::try_from(wire).map_err(|error| no_plan(error.to_string()))?;
    if plan.to != *to || services.iter().any(|service| *service != plan.service) {
        return Err(Failure::usage(format!("{} is of {} to {}", path.display(), plan.service, plan.to)));
    }
    let hash = plan_hash(&plan);
    Ok(Plans { planned: vec![Planned { plan, hash, wave: 0, existing_run: None }], skipped: Vec::new() })
}
