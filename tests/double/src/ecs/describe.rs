use super::{Service, ServiceKey, cluster_of, invalid, short};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const PAGE: usize = 10;
const PAGE_MAX: usize = 100;
const DESCRIBED_MAX: usize = 10;

pub fn list_clusters(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let here = world.ecs.clusters.keys().filter(|(of, _)| of == region);
    let arns = here.map(|(_, name)| cluster_arn(world, region, name)).collect();
    page(arns, input, "clusterArns", PAGE_MAX)
}

pub fn clusters(world: &World, region: &str, input: &Node) -> Node {
    let mut asked = input.str_list("clusters");
    if asked.is_empty() {
        asked.push("default".to_owned());
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in asked {
        let name = short(&text);
        let arn = cluster_arn(world, region, name);
        if world.ecs.clusters.contains_key(&(region.to_owned(), name.to_owned())) {
            found.push(cluster(world, region, name));
        } else {
            failures.push(Node::map().with("arn", arn).with("reason", "MISSING"));
        }
    }
    Node::map().with("clusters", Node::List("member", found)).with("failures", Node::List("member", failures))
}

fn cluster(world: &World, region: &str, name: &str) -> Node {
    let services = of_cluster(world, region, name);
    let count = |of: fn(&Service) -> usize| services.iter().map(|(_, service)| of(service)).sum::<usize>();
    Node::map()
        .with("clusterArn", cluster_arn(world, region, name))
        .with("clusterName", name)
        .with("status", "ACTIVE")
        .with("registeredContainerInstancesCount", 0u32)
        .with("runningTasksCount", count(Service::running))
        .with("pendingTasksCount", count(Service::pending))
        .with("activeServicesCount", services.len())
}

pub fn list_services(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let cluster = cluster_of(world, region, input)?;
    let arns = of_cluster(world, region, &cluster).iter().map(|(key, _)| service_arn(world, key)).collect();
    page(arns, input, "serviceArns", PAGE)
}

pub fn services(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let cluster = cluster_of(world, region, input)?;
    let asked = input.str_list("services");
    if asked.is_empty() {
        return Err(invalid("Services cannot be empty."));
    }
    if asked.len() > DESCRIBED_MAX {
        return Err(invalid("Services cannot have more than 10 elements."));
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in asked {
        let key = ServiceKey { region: region.to_owned(), cluster: cluster.clone(), service: short(&text).to_owned() };
        match world.ecs.services.get(&key) {
            Some(one) => found.push(service(world, &key, one)),
            None => failures.push(Node::map().with("arn", service_arn(world, &key)).with("reason", "MISSING")),
        }
    }
    Ok(Node::map().with("services", Node::List("member", found)).with("failures", Node::List("member", failures)))
}

pub fn service(world: &World, key: &ServiceKey, service: &Service) -> Node {
    let state = if service.completed { "COMPLETED" } else { "IN_PROGRESS" };
    let task_definition = format!("arn:aws:ecs:{}:{}:task-definition/{}:1", key.region, world.account, key.service);
    let deployment = with_counts(Node::map(), service)
        .with("id", &service.deployment)
        .with("status", "PRIMARY")
        .with("taskDefinition", &task_definition)
        .with("failedTasks", 0u32)
        .with("createdAt", Node::Time(service.created_ms))
        .with("updatedAt", Node::Time(service.updated_ms))
        .with("launchType", "FARGATE")
        .with("rolloutState", state)
        .with("rolloutStateReason", format!("ECS deployment {} {}.", service.deployment, state.to_lowercase()));
    let events = service.events.iter().map(|(at, id, message)| {
        Node::map().with("id", id).with("createdAt", Node::Time(*at)).with("message", message)
    });
    with_counts(Node::map(), service)
        .with("serviceArn", service_arn(world, key))
        .with("serviceName", &key.service)
        .with("clusterArn", cluster_arn(world, &key.region, &key.cluster))
        .with("status", "ACTIVE")
        .with("launchType", "FARGATE")
        .with("taskDefinition", task_definition)
        .with("schedulingStrategy", "REPLICA")
        .with("createdAt", Node::Time(service.created_ms))
        .with("deployments", Node::List("member", vec![deployment]))
        .with("events", Node::List("member", events.collect()))
}

/// No closure: rustc 1.95 lets two calls of one share their argument (docs/decisions, release builds).
fn with_counts(node: Node, service: &Service) -> Node {
    node.with("desiredCount", service.desired)
        .with("runningCount", service.running())
        .with("pendingCount", service.pending())
}

pub fn list_tasks(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let cluster = cluster_of(world, region, input)?;
    let stopped = input.str("desiredStatus").is_some_and(|status| status == "STOPPED");
    let only = input.str("serviceName").map(|name| short(&name).to_owned());
    let services = of_cluster(world, region, &cluster);
    if let Some(name) = &only
        && !services.iter().any(|(key, _)| key.service == *name)
    {
        return Err(ApiError::bad("ServiceNotFoundException", "Service not found."));
    }
    let wanted = services.iter().filter(|(key, _)| !stopped && only.as_ref().is_none_or(|name| key.service == *name));
    let arns = wanted
        .flat_map(|(_, service)| &service.tasks)
        .map(|task| format!("arn:aws:ecs:{region}:{}:task/{cluster}/{}", world.account, task.id));
    page(arns.collect(), input, "taskArns", PAGE_MAX)
}

fn of_cluster<'a>(world: &'a World, region: &str, cluster: &str) -> Vec<(&'a ServiceKey, &'a Service)> {
    world.ecs.services.iter().filter(|(key, _)| key.region == region && key.cluster == cluster).collect()
}

fn cluster_arn(world: &World, region: &str, name: &str) -> String {
    format!("arn:aws:ecs:{region}:{}:cluster/{name}", world.account)
}

pub fn service_arn(world: &World, key: &ServiceKey) -> String {
    format!("arn:aws:ecs:{}:{}:service/{}/{}", key.region, world.account, key.cluster, key.service)
}

fn page(all: Vec<String>, input: &Node, member: &str, default: usize) -> Result<Node, ApiError> {
    let wanted = input.int("maxResults").map_err(|_| invalid("maxResults must be an integer."))?;
    let size = match wanted {
        None => default,
        Some(number) => usize::try_from(number)
            .ok()
            .filter(|number| (1..=PAGE_MAX).contains(number))
            .ok_or_else(|| invalid("maxResults must be from 1 to 100."))?,
    };
    let from: usize = match input.str("nextToken") {
        None => 0,
        Some(text) => text.parse().map_err(|_| invalid("Invalid token"))?,
    };
    let next = (all.len() > from.saturating_add(size)).then(|| (from + size).to_string());
    let shown: Vec<String> = all.into_iter().skip(from).take(size).collect();
    Ok(Node::map().with(member, Node::texts("member", shown)).with_some("nextToken", next))
}
