//! Could this service fail over, as this region is now?

use std::collections::BTreeMap;

use mesh_core::ids::RegionId;
use mesh_core::lease::ApiStage;
use mesh_core::manifest::{Resource, ResourceKind};
use mesh_core::survey::{Depth, Examination, Finding};

use super::{Scene, agent_itself, bounded, databases, looks, names, probes, topics};

pub(super) async fn examine(scene: &Scene<'_>, examination: &Examination) -> Vec<Finding> {
    let mut findings = match bounded(&subject_of_agent(scene), agent_itself::look(scene)).await {
        Ok(found) => found,
        Err(finding) => vec![finding],
    };
    // Without credentials every further look fails for the same reason.
    let blind = findings.first().is_some_and(|credentials| credentials.level.stands_in_the_way());
    if examination.depth == Depth::Agent || blind {
        return findings;
    }
    let manifest = &examination.manifest;
    let of_service = manifest.regions.contains_key(scene.region);
    let resources: Vec<&Resource> = if of_service { manifest.resources.iter().collect() } else { Vec::new() };
    let resources =
        futures::future::join_all(resources.into_iter().map(|resource| of_resource(scene, examination, resource)));
    let (resources, stages, records, topics, probes) = tokio::join!(
        resources,
        of_stages(scene, examination),
        names::look(scene, examination),
        topics::look(scene, examination),
        probes::look(scene, examination),
    );
    findings.extend(resources.into_iter().flatten());
    findings.extend(stages);
    findings.extend(records);
    findings.extend(topics);
    findings.extend(probes);
    findings
}

pub(super) fn subject_of_agent(scene: &Scene<'_>) -> String {
    format!("{} agent {}", scene.region, scene.agent)
}

async fn of_stages(scene: &Scene<'_>, examination: &Examination) -> Vec<Finding> {
    let here = |(_, stages): (_, &BTreeMap<RegionId, ApiStage>)| stages.get(scene.region).cloned();
    let stages: Vec<ApiStage> = examination.manifest.fence.throttled().filter_map(here).collect();
    let looks = stages.iter().map(|stage| async move {
        let subject = format!("{} api-gateway {}/{}", scene.region, stage.api, stage.stage);
        bounded(&subject.clone(), looks::stage(scene, examination, subject, stage))
            .await
            .unwrap_or_else(|finding| finding)
    });
    futures::future::join_all(looks).await
}

async fn of_resource(scene: &Scene<'_>, examination: &Examination, resource: &Resource) -> Vec<Finding> {
    let part = async {
        match &resource.kind {
            ResourceKind::Rds { instances, .. } => databases::look(scene, examination, instances).await,
            ResourceKind::DynamodbGlobalTable { .. }
            | ResourceKind::Eks { .. }
            | ResourceKind::Ecs { .. }
            | ResourceKind::Msk { .. }
            | ResourceKind::Postgresql { .. } => looks::look(scene, examination, &resource.kind).await,
        }
    };
    bounded(&format!("{} {}", scene.region, resource.name), part).await.unwrap_or_else(|finding| vec![finding])
}
