//! Resources whose state a failover looks at first: the same looks, by the same code and permissions.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::execute::{Job, Observation};
use mesh_core::ids::{Generation, IntentSeq, RegionId, RunId, StepId, Token};
use mesh_core::lease::ApiStage;
use mesh_core::manifest::{EksCluster, ResourceKind};
use mesh_core::plan::{Action, Retry};
use mesh_core::run::Direction;
use mesh_core::survey::{Examination, Finding};
use serde_json::Value;

use super::Scene;

const RETRY: Retry =
    Retry { attempts_max: 1, backoff_min: Duration::from_secs(1), backoff_max: Duration::from_secs(1) };

pub(super) async fn look(scene: &Scene<'_>, examination: &Examination, kind: &ResourceKind) -> Vec<Finding> {
    let region = scene.region;
    match kind {
        ResourceKind::Rds { .. } => Vec::new(),
        ResourceKind::DynamodbGlobalTable { table, regions } => {
            let Some(other) = other_end(regions.iter(), region, &examination.active) else { return Vec::new() };
            let action = Action::DynamodbCheckReplica { table: table.clone(), from: other };
            vec![one(scene, examination, format!("{region} dynamodb {table}"), action).await.0]
        }
        ResourceKind::Eks { clusters } => match clusters.get(region) {
            Some(cluster) => cluster_here(scene, examination, cluster).await,
            None => Vec::new(),
        },
        ResourceKind::Ecs { services } => match services.get(region) {
            Some(found) => {
                let subject = format!("{region} ecs {}/{}", found.cluster, found.service);
                let action = Action::EcsCheckService { cluster: found.cluster.clone(), service: found.service.clone() };
                vec![one(scene, examination, subject, action).await.0]
            }
            None => Vec::new(),
        },
        ResourceKind::Msk { clusters } => match clusters.get(region) {
            Some(name) => {
                let action = Action::MskCheckCluster { cluster: name.clone() };
                vec![one(scene, examination, format!("{region} msk {name}"), action).await.0]
            }
            None => Vec::new(),
        },
        ResourceKind::Postgresql { instances } => match instances.get(region) {
            Some(instance) => {
                let subject = format!("{region} postgresql {}", instance.address());
                // The active region's is no replica and need not be one.
                let promoted_ok = examination.active == *region;
                let action = Action::PostgresCheckReplica { instance: instance.clone(), promoted_ok };
                vec![one(scene, examination, subject, action).await.0]
            }
            None => Vec::new(),
        },
    }
}

/// Of the region that serves, as it would be closed; of another, as it would be opened.
pub(super) async fn stage(scene: &Scene<'_>, examination: &Examination, subject: String, of: &ApiStage) -> Finding {
    let (api, stage) = (of.api.clone(), of.stage.clone());
    let serves = examination.active == *scene.region;
    let action = match serves {
        true => Action::ApiGatewayClose { api, stage },
        false => Action::ApiGatewayOpen { api, stage, open: of.open },
    };
    let Some(job) = job(scene, examination, action) else {
        return Finding::unknown(subject, "the look could not be made", "report this with the manifest");
    };
    match (scene.provider.observe(&job, None).await, serves) {
        (Observation::Ready { .. }, true) => Finding::ok(subject, "lets requests through, and can be closed"),
        (Observation::Satisfied { .. }, true) => Finding::warning(
            subject,
            "lets nothing through, in the region that serves",
            "if that is not meant, set its limits: aws apigatewayv2 update-stage --default-route-settings",
        ),
        (Observation::Ready { .. }, false) => Finding::ok(subject, "is closed, and can be opened"),
        (Observation::Satisfied { .. }, false) => Finding::ok(subject, "lets requests through already"),
        (other, _) => judge(subject, other).0,
    }
}

/// Of a standby the active region; of the active one any other.
fn other_end<'a>(
    regions: impl Iterator<Item = &'a RegionId> + Clone,
    here: &RegionId,
    active: &RegionId,
) -> Option<RegionId> {
    regions.clone().find(|region| *region == here)?;
    let mut others = regions.filter(|region| *region != here);
    others.clone().find(|region| *region == active).or_else(|| others.next()).cloned()
}

async fn cluster_here(scene: &Scene<'_>, examination: &Examination, cluster: &EksCluster) -> Vec<Finding> {
    let region = scene.region;
    let group = Action::EksCheckNodegroup { cluster: cluster.cluster.clone(), node_group: cluster.node_group.clone() };
    let pods = Action::KubernetesCheck {
        cluster: cluster.cluster.clone(),
        namespace: cluster.namespace.clone(),
        deployments: cluster.deployments.keys().cloned().collect(),
    };
    let subject = format!("{region} eks {}/{}", cluster.cluster, cluster.node_group);
    let namespace = format!("{region} kubernetes {}/{}", cluster.cluster, cluster.namespace);
    let ((group, evidence), (pods, _)) =
        tokio::join!(one(scene, examination, subject.clone(), group), one(scene, examination, namespace, pods),);
    let capacity = evidence.and_then(|evidence| capacity(&subject, &evidence, cluster));
    [Some(group), capacity, Some(pods)].into_iter().flatten().collect()
}

/// The plan may raise a node group's maximum; whether AWS has that many instances is known only then.
fn capacity(subject: &str, evidence: &str, planned: &EksCluster) -> Option<Finding> {
    let found: Value = serde_json::from_str(evidence).ok()?;
    let max = found.get("max")?.as_u64()?;
    (max < u64::from(planned.nodes_desired)).then(|| {
        let text = format!("holds at most {max} nodes now, and a failover wants {}", planned.nodes_desired);
        let mend = format!(
            "the failover raises it to {}; check the instance quota, or raise it now: aws eks update-nodegroup-config \
             --cluster-name {} --nodegroup-name {} --scaling-config maxSize={}",
            planned.nodes_max, planned.cluster, planned.node_group, planned.nodes_max
        );
        Finding::warning(subject, text, mend)
    })
}

/// The finding, and the evidence if it was as wanted.
async fn one(
    scene: &Scene<'_>,
    examination: &Examination,
    subject: String,
    action: Action,
) -> (Finding, Option<String>) {
    let Some(job) = job(scene, examination, action) else {
        return (Finding::unknown(subject, "the look could not be made", "report this with the manifest"), None);
    };
    judge(subject, scene.provider.observe(&job, None).await)
}

fn judge(subject: String, observation: Observation) -> (Finding, Option<String>) {
    let finding = match observation {
        Observation::Satisfied { read_back } => return (Finding::ok(subject, said(&read_back)), Some(read_back)),
        Observation::Ready { before } => return (Finding::ok(subject, said(&before)), Some(before)),
        Observation::Pending { note } => {
            Finding::warning(subject, format!("is changing: {note}"), "wait until it has settled, then ask again")
        }
        Observation::Blocked { reason } => {
            let (text, mend) = blocked(&reason);
            Finding::problem(subject, text, mend)
        }
        Observation::Superseded { found } => {
            Finding::problem(subject, format!("a newer change is there: {found}"), "find out who made it")
        }
        Observation::Ambiguous { reason } | Observation::Unreadable { reason } => {
            Finding::unknown(subject, reason, "look whether AWS is well in this region, then ask again")
        }
    };
    (finding, None)
}

/// What stops a step often says itself, after its last semicolon, what to do.
fn blocked(reason: &str) -> (&str, &str) {
    reason.rsplit_once("; ").unwrap_or((reason, "bring it to the state that a failover needs, or correct the manifest"))
}

/// `{"status":"ACTIVE","max":4}` as `status ACTIVE, max 4`.
pub(crate) fn said(evidence: &str) -> String {
    let words = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string().replace(['"', '{', '}'], ""),
    };
    match serde_json::from_str::<Value>(evidence) {
        Ok(Value::Object(fields)) if !fields.is_empty() => {
            fields.iter().map(|(key, value)| format!("{key} {}", words(value))).collect::<Vec<_>>().join(", ")
        }
        _ => evidence.to_owned(),
    }
}

/// The step that would look, as an agent gets it; nothing of it is journalled.
fn job(scene: &Scene<'_>, examination: &Examination, action: Action) -> Option<Job> {
    Some(Job {
        service: examination.manifest.service.clone(),
        run: RunId::new("survey").ok()?,
        step: StepId::new("survey").ok()?,
        direction: Direction::Forward,
        token: Token { generation: Generation(u64::MAX), intent: IntentSeq(0) },
        key: "survey".to_owned(),
        region: scene.region.clone(),
        action,
        time_left: super::PART_MAX,
        retry: RETRY,
        maybe_sent_since: None,
        mesh_time: None,
        retried_by_person: false,
        evidence: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use mesh_core::survey::Level;

    use super::*;

    fn region(name: &str) -> RegionId {
        RegionId::new(name).expect("a region")
    }

    #[test]
    fn a_table_is_compared_with_the_region_that_serves() {
        let regions = [region("a"), region("b"), region("c")];
        let end = |here: &str, active: &str| other_end(regions.iter(), &region(here), &region(active));
        assert_eq!(end("c", "b"), Some(region("b")));
        assert_eq!(end("b", "b"), Some(region("a")));
        assert_eq!(end("elsewhere", "b"), None);
    }

    #[test]
    fn a_node_group_that_is_too_small_is_told_before_the_failover_finds_it() {
        let planned = EksCluster {
            cluster: "dr".to_owned(),
            node_group: "nodes".to_owned(),
            nodes_min: 4,
            nodes_max: 20,
            nodes_desired: 8,
            namespace: "maip".to_owned(),
            replicas: 4,
            deployments: BTreeMap::new(),
        };
        let small = capacity("x", r#"{"min":1,"max":6,"desired":1,"status":"ACTIVE"}"#, &planned).expect("a finding");
        assert_eq!(small.level, Level::Warning);
        assert!(small.mend.contains("maxSize=20"), "{}", small.mend);
        assert_eq!(capacity("x", r#"{"min":1,"max":8,"desired":1}"#, &planned), None);
    }

    #[test]
    fn evidence_is_shown_in_words() {
        assert_eq!(said(r#"{"deployments":{"api":2}}"#), "deployments api:2");
        assert_eq!(said(r#"{"status":"ACTIVE"}"#), "status ACTIVE");
        assert_eq!(said("plain"), "plain");
    }

    #[test]
    fn what_stops_a_failover_is_a_problem_and_what_was_not_seen_is_unknown() {
        let level = |observation| judge(String::new(), observation).0.level;
        assert_eq!(level(Observation::Blocked { reason: String::new() }), Level::Problem);
        assert_eq!(blocked("there is none; create it"), ("there is none", "create it"));
        assert_eq!(level(Observation::Unreadable { reason: String::new() }), Level::Unknown);
        assert_eq!(level(Observation::Pending { note: String::new() }), Level::Warning);
    }
}
