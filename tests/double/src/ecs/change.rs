use super::{Service, ServiceKey, Task, cluster_of, describe, invalid, short};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;
use crate::world::timers::Timer;

pub const SCALING: &str = "service-scaling";
const DESIRED_MAX: i64 = 5000;
const EVENTS_MAX: usize = 100;

/// A task's start is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub service: ServiceKey,
    pub task: String,
}

pub fn task_id(world: &mut World) -> String {
    world.uuid().replace('-', "")
}

pub fn update(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let cluster = cluster_of(world, region, input)?;
    let name = input.str("service").ok_or_else(|| invalid("Service cannot be empty."))?;
    let key = ServiceKey { region: region.to_owned(), cluster, service: short(&name).to_owned() };
    let missing = || ApiError::bad("ServiceNotFoundException", "Service not found.");
    let desired = input.int("desiredCount").map_err(|_| invalid("desiredCount must be an integer."))?;
    let wanted = match desired {
        None => None,
        Some(number) if (0..=DESIRED_MAX).contains(&number) => u32::try_from(number).ok(),
        Some(_) => return Err(invalid("Invalid request provided: desiredCount is out of range.")),
    };
    let now_ms = world.now_ms;
    let service = world.ecs.services.get_mut(&key).ok_or_else(missing)?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != service.desired) {
        service.desired = wanted;
        service.updated_ms = now_ms;
        service.completed = false;
        world.activities.end(&key.to_string(), SCALING, now_ms);
        world.activities.start(key.to_string(), SCALING, now_ms);
        place(world, &key);
    }
    let service = world.ecs.services.get(&key).ok_or_else(missing)?;
    Ok(Node::map().with("service", describe::service(world, &key, service)))
}

/// Starts what is missing and stops what is too much: first what does not run yet, then the newest.
fn place(world: &mut World, key: &ServiceKey) {
    let (now_ms, delay) = (world.now_ms, world.settings.ecs_task_ms);
    let Some(service) = world.ecs.services.get_mut(key) else { return };
    let desired = usize::try_from(service.desired).unwrap_or(usize::MAX);
    service.tasks.sort_by_key(|task| (!task.running, task.created_ms));
    service.tasks.truncate(desired);
    let missing = desired - service.tasks.len();
    for _ in 0..missing {
        let id = task_id(world);
        world.timers.set(now_ms + delay, Timer::Ecs(Due { service: key.clone(), task: id.clone() }));
        if let Some(service) = world.ecs.services.get_mut(key) {
            service.tasks.push(Task { id, running: false, created_ms: now_ms });
        }
    }
    settle(world, key);
}

pub fn due(world: &mut World, due: Due) {
    if let Some(service) = world.ecs.services.get_mut(&due.service) {
        service.tasks.iter_mut().filter(|task| task.id == due.task).for_each(|task| task.running = true);
    }
    settle(world, &due.service);
}

fn settle(world: &mut World, key: &ServiceKey) {
    let (now_ms, event) = (world.now_ms, world.uuid());
    let Some(service) = world.ecs.services.get_mut(key) else { return };
    let steady = service.pending() == 0 && u32::try_from(service.running()) == Ok(service.desired);
    if !steady || service.completed {
        return;
    }
    service.completed = true;
    service.updated_ms = now_ms;
    note(service, now_ms, event, format!("(service {}) has reached a steady state.", key.service));
    world.activities.end(&key.to_string(), SCALING, now_ms);
}

fn note(service: &mut Service, now_ms: u64, id: String, message: String) {
    service.events.insert(0, (now_ms, id, message));
    service.events.truncate(EVENTS_MAX);
}
