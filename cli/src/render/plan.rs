//! A plan as a tree: what follows stands below, what can go on at the same time branches off. A step hangs below the
//! last of those that it waits for.

use mesh_core::ids::Hash32;
use mesh_core::manifest::{RecordData, RecordSet, Routing};
use mesh_core::plan::{Action, Plan, Step};

use crate::output::Paint;
use crate::render::text;

pub fn render(plan: &Plan, hash: &Hash32, paint: Paint) -> String {
    let mut out = format!(
        "{}  {} → {}   {}, generation {}, manifest version {}, plan {}\n",
        paint.bold(plan.service.as_str()),
        plan.from,
        plan.to,
        plan.kind,
        plan.generation,
        plan.manifest_version,
        hash.short()
    );
    out.push_str(&format!("  expected loss: {}\n", text::loss(&plan.loss)));
    for warning in &plan.warnings {
        out.push_str(&format!("  {} {warning}\n", paint.yellow("warning:")));
    }
    below(plan, None, "  ", paint, &mut out);
    out
}

/// Position of the predecessor that stands last. Only earlier steps count, so the tree has no circle.
fn parent(plan: &Plan, position: usize) -> Option<usize> {
    let step = plan.steps.get(position)?;
    (0..position).rev().find(|earlier| plan.steps.get(*earlier).is_some_and(|earlier| step.after.contains(&earlier.id)))
}

/// The steps that hang below `parent`. A single one continues the line, several branch off.
fn below(plan: &Plan, above: Option<usize>, indent: &str, paint: Paint, out: &mut String) {
    let children: Vec<usize> = (0..plan.steps.len()).filter(|position| parent(plan, *position) == above).collect();
    if let [only] = children.as_slice() {
        return show(plan, *only, above, (indent, indent), paint, out);
    }
    for (position, nth) in children.iter().zip(1..) {
        let (knot, line) = if nth == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let (first, rest) = (format!("{indent}{knot}"), format!("{indent}{line}"));
        show(plan, *position, above, (&first, &rest), paint, out);
    }
}

/// A step and all below it. `indents`: of its first line, and of the others.
fn show(plan: &Plan, at: usize, above: Option<usize>, indents: (&str, &str), paint: Paint, out: &mut String) {
    let Some(step) = plan.steps.get(at) else { return };
    let (first, rest) = indents;
    let goes_on = (0..plan.steps.len()).any(|position| parent(plan, position) == Some(at));
    let line = if goes_on { "│" } else { " " };
    out.push_str(&format!("{first}● {}\n", heading(step, paint)));
    for detail in details(plan, step, above) {
        out.push_str(&format!("{rest}{line}     {}\n", paint.dim(&detail)));
    }
    below(plan, Some(at), rest, paint, out);
}

fn heading(step: &Step, paint: Paint) -> String {
    format!(
        "{}  {}  [{}]  {}, at most {}",
        paint.bold(step.id.as_str()),
        step.title,
        step.region,
        step.reversibility,
        text::duration(step.timeout)
    )
}

fn details(plan: &Plan, step: &Step, shown_below: Option<usize>) -> Vec<String> {
    let shown = shown_below.and_then(|position| plan.steps.get(position)).map(|step| &step.id);
    let also: Vec<&str> = step.after.iter().filter(|id| Some(*id) != shown).map(|id| id.as_str()).collect();
    let mut lines = vec![format!("does      {}", action(&step.action))];
    if !also.is_empty() {
        lines.push(format!("also after {}", also.join(", ")));
    }
    lines.push(format!("needs     {}", step.action.precondition()));
    lines.push(format!("read back {}", step.action.read_back()));
    if let Some(undo) = &step.undo {
        lines.push(format!("undo      {}", action(undo)));
    }
    lines
}

/// What an action does, with its parameters.
pub fn action(action: &Action) -> String {
    match action {
        Action::RdsSetSecurityGroups { instance, security_groups, .. } => {
            let groups: Vec<&str> = security_groups.iter().map(String::as_str).collect();
            format!("security groups of {instance} become {}", groups.join(", "))
        }
        Action::RdsReboot { instance } => format!("reboot {instance}, which ends its sessions"),
        Action::RdsCheckReplica { instance, source_instance, .. } => {
            format!("see that {instance} is available and replicates from {source_instance}; changes nothing")
        }
        Action::RdsAwaitCaughtUp { instance } => format!("wait until {instance} has caught up with the fenced primary"),
        Action::Grant => "commit the write authority of the target".to_owned(),
        Action::RdsPromote { instance, backup_retention_days } => {
            format!("promote {instance}, backups kept {backup_retention_days} days")
        }
        Action::RdsSetBackupRetention { instance, days } => format!("backups of {instance} kept {days} days"),
        Action::Route53Replace { zone_id, record, sets } => {
            let sets: Vec<String> = sets.iter().map(record_set).collect();
            format!("{record} in zone {zone_id} becomes {}", sets.join("; "))
        }
        Action::Route53CreateToken { zone_id, record } => format!("create TXT _mesh.{record} in zone {zone_id}"),
        Action::EksCheckNodegroup { cluster, node_group } => {
            format!("see that node group {node_group} of {cluster} can be scaled, and note its sizes; changes nothing")
        }
        Action::EksScaleNodegroup { cluster, node_group, min, max, desired } => {
            format!("node group {node_group} of {cluster}: at least min {min}, max {max}, desired {desired}")
        }
        Action::EksRestoreNodegroup { cluster, node_group, as_of } => {
            format!("node group {node_group} of {cluster}: the sizes that {as_of} noted")
        }
        Action::KubernetesCheck { cluster, namespace, deployments } => {
            let which = if deployments.is_empty() { "the deployments".to_owned() } else { names(deployments) };
            format!("see that {which} of {namespace} in {cluster} are there, and note their replicas; changes nothing")
        }
        Action::KubernetesScale { cluster, namespace, replicas, deployments } if deployments.is_empty() => {
            format!("every deployment of {namespace} in {cluster}: at least {replicas} ready replicas")
        }
        Action::KubernetesScale { cluster, namespace, deployments, .. } => {
            let each: Vec<String> = deployments.iter().map(|(name, replicas)| format!("{name} {replicas}")).collect();
            format!("deployments of {namespace} in {cluster}: at least {} ready replicas", each.join(", "))
        }
        Action::KubernetesRestore { cluster, namespace, as_of } => {
            format!("deployments of {namespace} in {cluster}: the replicas that {as_of} noted")
        }
        Action::EcsCheckService { cluster, service } => {
            format!("see that service {service} of {cluster} is active, and note its count; changes nothing")
        }
        Action::EcsScaleService { cluster, service, tasks } => {
            format!("service {service} of {cluster}: at least {tasks} running tasks, steady")
        }
        Action::EcsRestoreService { cluster, service, as_of } => {
            format!("service {service} of {cluster}: the count that {as_of} noted")
        }
        Action::MskCheckCluster { cluster } => format!("see that {cluster} is active; changes nothing"),
        Action::DynamodbCheckReplica { table, from } => {
            format!("see that {table} is active here, as a replica beside {from}; changes nothing")
        }
        Action::DynamodbAwaitLag { table, from, lag_max } => format!(
            "wait until replication of {table} from {from} is at most {} behind; not if {from} cannot be asked",
            text::duration(*lag_max)
        ),
        Action::PostgresCheckReplica { instance, .. } => {
            format!("see that {} is a replica that can be promoted; changes nothing", instance.address())
        }
        Action::PostgresFence { instance } => format!(
            "{}: connection limit 0 on every database, new transactions read-only, open sessions ended",
            instance.address()
        ),
        Action::PostgresUnfence { instance } => {
            format!("{}: the limits and settings that the fence noted", instance.address())
        }
        Action::PostgresAwaitCaughtUp { instance } => {
            format!("wait until {} has replayed the last WAL of the fenced primary", instance.address())
        }
        Action::PostgresPromote { instance } => {
            format!("promote {} to a newer timeline and admit sessions there", instance.address())
        }
        Action::PostgresRejoin { instance, source } => format!(
            "make {} a replica of {}, by pg_rewind or else by a base backup",
            instance.address(),
            source.address()
        ),
        Action::HookFence { hook } => format!("run the agent's hook {hook} until its check says closed"),
        Action::HookUnfence { hook } => format!("run the agent's hook {hook} until its check says open"),
        Action::ApiGatewayClose { api, stage } => {
            format!("stage {stage} of API {api}: rate and burst 0 for every route, the former limits noted on it")
        }
        Action::ApiGatewayOpen { api, stage, open } => format!(
            "stage {stage} of API {api}: the limits that were noted, or {} requests a second and {} at once",
            open.rate, open.burst
        ),
        Action::HttpVerify { url, expect_status, body_contains, consecutive } => {
            let body = body_contains.as_ref().map(|text| format!(" and {text:?} in the body")).unwrap_or_default();
            format!("GET {url} until it answers {expect_status}{body}, {consecutive} times in a row")
        }
        Action::SnsNotify { topic_arn, subject, .. } => format!("publish {subject:?} to {topic_arn}"),
    }
}

fn names(names: &std::collections::BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn record_set(set: &RecordSet) -> String {
    let routing = match set.routing {
        Routing::Simple => String::new(),
        Routing::Weighted(weight) => format!(" weight {weight}"),
        Routing::FailoverPrimary => " failover primary".to_owned(),
        Routing::FailoverSecondary => " failover secondary".to_owned(),
    };
    let data = match &set.data {
        RecordData::Values { ttl_seconds, values } => format!("{} (TTL {ttl_seconds} s)", values.join(", ")),
        RecordData::Alias { dns_name, .. } => format!("alias {dns_name}"),
    };
    format!("{}{routing} {data}", set.kind.as_str())
}
