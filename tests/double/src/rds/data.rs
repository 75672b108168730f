//! What an instance does for its clients. A session, once open, ends with the server process only: a security group
//! decides about new ones.

use super::{Attachment, Instance, InstanceKey, Write};
use crate::world::World;

/// Enough for hours of a test's writing.
const WRITES_MAX: usize = 5_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub instance: InstanceKey,
    boot: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoSuchDatabase,
    RegionDown,
    NotServing,
    GroupClosed,
    SessionEnded,
    ReadOnly,
    Full,
}

pub fn open(world: &World, key: &InstanceKey) -> Result<Session, Refusal> {
    let instance = serving(world, key)?;
    let is_open = |id: &String| world.rds.groups.get(id).is_some_and(|group| group.open);
    let mut in_force = instance.groups.iter().filter(|(_, state)| *state != Attachment::Adding);
    if !in_force.any(|(id, _)| is_open(id)) {
        return Err(Refusal::GroupClosed);
    }
    Ok(Session { instance: key.clone(), boot: instance.boot })
}

pub fn check<'a>(world: &'a World, session: &Session) -> Result<&'a Instance, Refusal> {
    let instance = serving(world, &session.instance)?;
    if instance.boot == session.boot { Ok(instance) } else { Err(Refusal::SessionEnded) }
}

/// Whether a write would be taken now, without making one.
pub fn check_writable(world: &World, session: &Session) -> Result<(), Refusal> {
    if check(world, session)?.read_only { Err(Refusal::ReadOnly) } else { Ok(()) }
}

/// How many writes the instance now holds.
pub fn write(world: &mut World, session: &Session, id: &str) -> Result<usize, Refusal> {
    check_writable(world, session)?;
    let at_ms = world.now_ms;
    let instance = world.rds.instances.get_mut(&session.instance).ok_or(Refusal::NoSuchDatabase)?;
    if instance.writes.len() >= WRITES_MAX {
        return Err(Refusal::Full);
    }
    instance.writes.push(Write { id: id.to_owned(), at_ms });
    Ok(instance.writes.len())
}

fn serving<'a>(world: &'a World, key: &InstanceKey) -> Result<&'a Instance, Refusal> {
    let instance = world.rds.instances.get(key).ok_or(Refusal::NoSuchDatabase)?;
    if !world.is_alive(&key.region) {
        return Err(Refusal::RegionDown);
    }
    if instance.serving { Ok(instance) } else { Err(Refusal::NotServing) }
}

/// The server process ends, and with it every session.
pub fn stop(instance: &mut Instance) {
    instance.serving = false;
    instance.boot += 1;
}

pub fn start(instance: &mut Instance) {
    instance.serving = true;
}

pub fn cut_sessions(world: &mut World, region: &str) {
    for instance in world.rds.instances.values_mut().filter(|instance| instance.key.region == region) {
        instance.boot += 1;
    }
}
