//! The boxes of the runbook's checklist, ticked from what stands outside the mesh after the run.

use serde::Serialize;
use serde_json::Value;

use super::maip::resources::{NAMESPACE, NODES_DESIRED, REPLICAS, TASKS};

/// One box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tick {
    pub step: &'static str,
    /// What was seen that says so, or says otherwise.
    pub seen: String,
    pub held: bool,
}

fn tick(step: &'static str, held: bool, seen: String) -> Tick {
    Tick { step, seen, held }
}

/// What the clients, the queue and the public name said.
#[derive(Clone, Copy, Debug)]
pub struct Outside<'a> {
    pub writers_max: Option<u32>,
    pub notices: Option<usize>,
    pub api_region: Option<&'a str>,
}

/// `state` is the double's own account of everything in it.
pub fn checklist(state: &Value, outside: Outside<'_>, old: &str, new: &str) -> Vec<Tick> {
    vec![
        primary(state, outside, old),
        promoted(state, new),
        available(state, new),
        tick("Update Route 53", outside.api_region == Some(new), answers(outside)),
        nodes(state, new),
        deployments(state, new),
        services(state, new),
        tick("Verify API responding", outside.api_region == Some(new), answers(outside)),
        tick(
            "Notify stakeholders",
            outside.notices == Some(1),
            format!("{} notice in the on-call queue", outside.notices.map_or("no".to_owned(), |n| n.to_string())),
        ),
    ]
}

fn answers(outside: Outside<'_>) -> String {
    format!("the public name is answered by {}", outside.api_region.unwrap_or("nobody"))
}

fn of<'a>(state: &'a Value, list: &str, region: &str) -> impl Iterator<Item = &'a Value> {
    let region = region.to_owned();
    state[list].as_array().into_iter().flatten().filter(move |one| one["region"] == region.as_str())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("nothing")
}

/// The runbook asks whether it is down; what matters is that it takes no writes.
fn primary(state: &Value, outside: Outside<'_>, old: &str) -> Tick {
    let groups: Vec<&str> = of(state, "instances", old)
        .flat_map(|instance| instance["security_groups"].as_array().into_iter().flatten())
        .map(|group| text(&group["id"]))
        .collect();
    let fenced = !groups.is_empty() && groups.iter().all(|group| group.contains("closed"));
    let seen =
        format!("{old} is fenced ({}); writers at a time: {}", groups.join(", "), outside.writers_max.unwrap_or(0));
    tick("Verify primary is down", fenced && outside.writers_max == Some(1), seen)
}

fn promoted(state: &Value, new: &str) -> Tick {
    let sources: Vec<&str> = of(state, "instances", new).filter_map(|instance| instance["source"].as_str()).collect();
    let any = of(state, "instances", new).next().is_some();
    let seen = if sources.is_empty() {
        "names no source".to_owned()
    } else {
        format!("replicates from {}", sources.join(", "))
    };
    tick("Promote RDS replica", any && sources.is_empty(), seen)
}

fn available(state: &Value, new: &str) -> Tick {
    let all: Vec<&Value> = of(state, "instances", new).collect();
    let good = |instance: &Value| instance["status"] == "available" && number(&instance["backup_retention"]) > 0;
    let seen: Vec<String> = all
        .iter()
        .map(|one| {
            format!(
                "{} is {}, backups kept {} days",
                text(&one["id"]),
                text(&one["status"]),
                number(&one["backup_retention"])
            )
        })
        .collect();
    tick("Wait for RDS to be available", !all.is_empty() && all.iter().all(|one| good(one)), seen.join("; "))
}

fn nodes(state: &Value, new: &str) -> Tick {
    let groups: Vec<&Value> =
        of(state, "eks", new).flat_map(|cluster| cluster["node_groups"].as_array().into_iter().flatten()).collect();
    let wanted = u64::from(NODES_DESIRED);
    let good = |group: &Value| group["status"] == "ACTIVE" && number(&group["ready"]) >= wanted;
    let seen: Vec<String> = groups
        .iter()
        .map(|one| format!("{} of {} nodes ready", number(&one["ready"]), number(&one["desired"])))
        .collect();
    tick("Scale DR EKS nodes", !groups.is_empty() && groups.iter().all(|one| good(one)), seen.join("; "))
}

fn deployments(state: &Value, new: &str) -> Tick {
    let all: Vec<&Value> = of(state, "eks", new)
        .flat_map(|cluster| cluster["deployments"].as_array().into_iter().flatten())
        .filter(|deployment| deployment["namespace"] == NAMESPACE)
        .collect();
    let good = |one: &Value| number(&one["ready"]) >= u64::from(REPLICAS);
    let seen: Vec<String> = all.iter().map(|one| format!("{} {}", text(&one["name"]), number(&one["ready"]))).collect();
    let seen = format!("ready pods: {}", seen.join(", "));
    tick("Scale DR deployments", !all.is_empty() && all.iter().all(|one| good(one)), seen)
}

fn services(state: &Value, new: &str) -> Tick {
    let tasks: u64 = of(state, "ecs", new).map(|service| number(&service["running"])).sum();
    let brokers: Vec<&str> = of(state, "msk", new).map(|cluster| text(&cluster["state"])).collect();
    let good = tasks >= u64::from(TASKS) && !brokers.is_empty() && brokers.iter().all(|state| *state == "ACTIVE");
    tick("Verify services healthy", good, format!("{tasks} tasks running; Kafka {}", brokers.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GOOD: Outside<'static> = Outside { writers_max: Some(1), notices: Some(1), api_region: Some("west") };

    fn after() -> Value {
        let deployment = |name: &str, ready: u32| json!({ "namespace": NAMESPACE, "name": name, "ready": ready });
        json!({
            "instances": [
                { "region": "east", "id": "db", "status": "available", "source": null,
                  "security_groups": [{ "id": "sg-closed" }], "backup_retention": 7 },
                { "region": "west", "id": "replica", "status": "available", "source": null,
                  "security_groups": [{ "id": "sg-open" }], "backup_retention": 7 },
            ],
            "eks": [{
                "region": "west",
                "node_groups": [{ "status": "ACTIVE", "desired": NODES_DESIRED, "ready": NODES_DESIRED }],
                "deployments": [deployment("api", REPLICAS), deployment("worker", REPLICAS)],
            }],
            "ecs": [{ "region": "west", "running": TASKS }],
            "msk": [{ "region": "west", "state": "ACTIVE" }],
        })
    }

    fn open(state: &Value, outside: Outside<'_>) -> Vec<&'static str> {
        let all = checklist(state, outside, "east", "west");
        assert_eq!(all.len(), 9, "the runbook has nine boxes");
        all.into_iter().filter(|tick| !tick.held).map(|tick| tick.step).collect()
    }

    #[test]
    fn every_box_is_ticked_after_a_whole_failover() {
        assert_eq!(open(&after(), GOOD), Vec::<&str>::new());
    }

    #[test]
    fn a_box_stays_open_when_the_outside_says_otherwise() {
        let changed = |pointer: &str, to: Value| {
            let mut state = after();
            *state.pointer_mut(pointer).expect("a place in the state") = to;
            open(&state, GOOD)
        };
        assert_eq!(changed("/instances/0/security_groups/0/id", json!("sg-open")), ["Verify primary is down"]);
        assert_eq!(changed("/instances/1/source", json!("db")), ["Promote RDS replica"]);
        assert_eq!(changed("/instances/1/status", json!("modifying")), ["Wait for RDS to be available"]);
        assert_eq!(changed("/eks/0/node_groups/0/ready", json!(1)), ["Scale DR EKS nodes"]);
        assert_eq!(changed("/eks/0/deployments/1/ready", json!(0)), ["Scale DR deployments"]);
        assert_eq!(changed("/msk/0/state", json!("MAINTENANCE")), ["Verify services healthy"]);
        assert_eq!(changed("/ecs/0/running", json!(0)), ["Verify services healthy"]);
        assert_eq!(open(&json!({}), GOOD).len(), 6, "what is not there is not ticked");
        let elsewhere = Outside { api_region: Some("east"), ..GOOD };
        assert_eq!(open(&after(), elsewhere), ["Update Route 53", "Verify API responding"]);
        assert_eq!(open(&after(), Outside { notices: Some(2), ..GOOD }), ["Notify stakeholders"]);
    }
}
