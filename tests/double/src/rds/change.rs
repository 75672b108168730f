//! The calls that change an instance, and what follows from each when its time has come.

use super::{Attachment, Instance, InstanceKey, Status, data, describe, publication, replication};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;
use crate::world::timers::Timer;

const RETENTION_DAYS_MAX: i64 = 35;
/// What AWS gives a promoted replica when it is not told.
const RETENTION_DAYS_PROMOTED: u32 = 1;

pub const PROMOTION: &str = "promotion";
pub const BACKUP: &str = "backing-up";
pub const REBOOT: &str = "reboot";
pub const MODIFICATION: &str = "modification";
pub const SECURITY_GROUPS: &str = "security-group-change";

pub fn modify(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let id = input.need("DBInstanceIdentifier")?;
    let groups = input.get("VpcSecurityGroupIds").map(|_| input.str_list("VpcSecurityGroupIds"));
    let retention = retention(input)?;
    let immediately = input.bool("ApplyImmediately")?.unwrap_or(false);
    available(world.rds.find(region, &id)?)?;
    if let Some(groups) = &groups {
        check_groups(world, region, groups)?;
    }
    if let Some(days) = retention {
        check_retention(world, region, &id, days)?;
    }
    if let Some(groups) = groups {
        change_groups(world, region, &id, &groups)?;
    }
    if let Some(days) = retention {
        change_retention(world, region, &id, days, immediately)?;
    }
    describe::one(world, region, &id)
}

pub fn check_groups(world: &World, region: &str, groups: &[String]) -> Result<(), ApiError> {
    if groups.is_empty() {
        return Err(ApiError::bad("InvalidParameterValue", "VpcSecurityGroupIds must not be empty"));
    }
    let unknown = groups.iter().find(|id| world.rds.groups.get(*id).is_none_or(|group| group.region != region));
    match unknown {
        Some(id) => {
            Err(ApiError::bad("InvalidParameterValue", format!("Invalid security group , groupId= {id}, groupName=")))
        }
        None => Ok(()),
    }
}

fn check_retention(world: &World, region: &str, id: &str, days: u32) -> Result<(), ApiError> {
    let key = &world.rds.find(region, id)?.key;
    let is_source = world.rds.instances.values().any(|other| other.source.as_ref() == Some(key));
    if days == 0 && is_source {
        return Err(ApiError::bad(
            "InvalidParameterCombination",
            "Backups of a source of read replicas cannot be disabled",
        ));
    }
    Ok(())
}

fn change_groups(world: &mut World, region: &str, id: &str, wanted: &[String]) -> Result<(), ApiError> {
    let delay = world.settings.security_group_ms;
    let now_ms = world.now_ms;
    let instance = world.rds.find_mut(region, id)?;
    let in_force = |id: &String, groups: &[(String, Attachment)]| {
        groups.iter().any(|(other, state)| other == id && *state != Attachment::Adding)
    };
    let kept = wanted.iter().map(|id| {
        let state = if in_force(id, &instance.groups) { Attachment::Active } else { Attachment::Adding };
        (id.clone(), state)
    });
    let leaving = instance
        .groups
        .iter()
        .filter(|(id, state)| !wanted.contains(id) && *state != Attachment::Adding)
        .map(|(id, _)| (id.clone(), Attachment::Removing));
    let groups: Vec<(String, Attachment)> = kept.chain(leaving).collect();
    let unchanged = groups.iter().all(|(_, state)| *state == Attachment::Active);
    if unchanged && groups.len() == instance.groups.len() {
        return Ok(());
    }
    instance.groups = groups;
    instance.groups_generation += 1;
    let timer = Timer::GroupsApplied { instance: instance.key.clone(), generation: instance.groups_generation };
    let resource = instance.key.to_string();
    world.activities.start(resource, SECURITY_GROUPS, now_ms);
    world.timers.set(now_ms + delay, timer);
    Ok(())
}

/// From one non-zero number of days to another AWS applies at once; otherwise only when asked to.
fn change_retention(world: &mut World, region: &str, id: &str, days: u32, immediately: bool) -> Result<(), ApiError> {
    let (now_ms, settings) = (world.now_ms, world.settings.clone());
    let instance = world.rds.find_mut(region, id)?;
    if instance.backup_retention == days {
        instance.pending_backup_retention = None;
        return Ok(());
    }
    instance.pending_backup_retention = Some(days);
    let both_set = instance.backup_retention > 0 && days > 0;
    if immediately || both_set {
        begin(instance, Status::Modifying, now_ms + settings.status_delay_ms);
        let key = instance.key.clone();
        world.activities.start(key.to_string(), MODIFICATION, now_ms);
        world.timers.set(now_ms + settings.modify_ms, Timer::Modified { instance: key });
    }
    Ok(())
}

pub fn reboot(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let id = input.need("DBInstanceIdentifier")?;
    let force = input.bool("ForceFailover")?.unwrap_or(false);
    let (now_ms, delay) = (world.now_ms, world.settings.reboot_ms);
    let instance = world.rds.find_mut(region, &id)?;
    available(instance)?;
    if force {
        return Err(ApiError::bad(
            "InvalidParameterCombination",
            "Cannot specify ForceFailover on a Single-AZ instance",
        ));
    }
    begin(instance, Status::Rebooting, now_ms);
    let key = instance.key.clone();
    data::stop(instance);
    world.emit(&key, "DB instance shutdown", &["availability"]);
    world.activities.start(key.to_string(), REBOOT, now_ms);
    world.timers.set(now_ms + delay, Timer::Rebooted { instance: key });
    describe::one(world, region, &id)
}

pub fn promote(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let id = input.need("DBInstanceIdentifier")?;
    let days = retention(input)?.unwrap_or(RETENTION_DAYS_PROMOTED);
    let (now_ms, settings) = (world.now_ms, world.settings.clone());
    let instance = world.rds.find_mut(region, &id)?;
    if instance.source.is_none() {
        return Err(ApiError::bad("InvalidDBInstanceState", format!("DB Instance {id} is not a read replica.")));
    }
    available(instance)?;
    begin(instance, Status::Modifying, now_ms + settings.status_delay_ms);
    instance.promoting = true;
    instance.backup_retention = days;
    let key = instance.key.clone();
    replication::drain_for_promotion(world, &key);
    publication::end(world, &key);
    world.activities.start(key.to_string(), PROMOTION, now_ms);
    world.timers.set(now_ms + settings.promotion_ms, Timer::Promoted { instance: key });
    describe::one(world, region, &id)
}

pub fn groups_applied(world: &mut World, key: &InstanceKey, generation: u64) {
    let now_ms = world.now_ms;
    world.activities.end(&key.to_string(), SECURITY_GROUPS, now_ms);
    let Some(instance) = world.rds.instances.get_mut(key) else { return };
    // A later change has taken this one's place.
    if instance.groups_generation != generation {
        return;
    }
    instance.groups.retain(|(_, state)| *state != Attachment::Removing);
    instance.groups.iter_mut().for_each(|(_, state)| *state = Attachment::Active);
}

pub fn rebooted(world: &mut World, key: &InstanceKey) {
    let now_ms = world.now_ms;
    let Some(instance) = world.rds.instances.get_mut(key) else { return };
    instance.status = Status::Available;
    data::start(instance);
    world.emit(key, "DB instance restarted", &["availability"]);
    world.activities.end(&key.to_string(), REBOOT, now_ms);
    publication::await_replicas(world, key);
}

/// The replica stops being one only here: until now it showed its source and took no writes.
pub fn promoted(world: &mut World, key: &InstanceKey) {
    let (now_ms, delay) = (world.now_ms, world.settings.backing_up_ms);
    let Some(instance) = world.rds.instances.get_mut(key) else { return };
    instance.promoted_from = instance.source.take();
    instance.read_only = false;
    instance.promoting = false;
    data::stop(instance);
    data::start(instance);
    let backs_up = instance.backup_retention > 0;
    instance.status = if backs_up { Status::BackingUp } else { Status::Available };
    world.emit(key, "Promoted Read Replica instance to a stand-alone database instance.", &["read replica"]);
    world.activities.end(&key.to_string(), PROMOTION, now_ms);
    if backs_up {
        world.emit(key, "Backing up DB instance", &["backup"]);
        world.activities.start(key.to_string(), BACKUP, now_ms);
        world.timers.set(now_ms + delay, Timer::BackedUp { instance: key.clone() });
    }
}

pub fn modified(world: &mut World, key: &InstanceKey) {
    let now_ms = world.now_ms;
    let delay = world.settings.backing_up_ms;
    let Some(instance) = world.rds.instances.get_mut(key) else { return };
    let before = instance.backup_retention;
    if let Some(days) = instance.pending_backup_retention.take() {
        instance.backup_retention = days;
    }
    let backs_up = before == 0 && instance.backup_retention > 0;
    instance.status = if backs_up { Status::BackingUp } else { Status::Available };
    world.activities.end(&key.to_string(), MODIFICATION, now_ms);
    if backs_up {
        world.activities.start(key.to_string(), BACKUP, now_ms);
        world.timers.set(now_ms + delay, Timer::BackedUp { instance: key.clone() });
    }
}

pub fn backed_up(world: &mut World, key: &InstanceKey) {
    let now_ms = world.now_ms;
    if let Some(instance) = world.rds.instances.get_mut(key) {
        instance.status = Status::Available;
    }
    world.emit(key, "Finished DB Instance backup", &["backup"]);
    world.activities.end(&key.to_string(), BACKUP, now_ms);
}

fn begin(instance: &mut Instance, status: Status, shown_from_ms: u64) {
    instance.status = status;
    instance.status_hidden_until_ms = shown_from_ms;
}

pub fn available(instance: &Instance) -> Result<(), ApiError> {
    if instance.status == Status::Available {
        return Ok(());
    }
    let (id, status) = (&instance.key.id, instance.status.name());
    Err(ApiError::bad(
        "InvalidDBInstanceState",
        format!("Database instance is not in available state: {id} is {status}."),
    ))
}

fn retention(input: &Node) -> Result<Option<u32>, ApiError> {
    let Some(days) = input.int("BackupRetentionPeriod")? else { return Ok(None) };
    if !(0..=RETENTION_DAYS_MAX).contains(&days) {
        let message = format!("Invalid backup retention period: {days}. Must be between 0 and {RETENTION_DAYS_MAX}.");
        return Err(ApiError::bad("InvalidParameterValue", message));
    }
    Ok(u32::try_from(days).ok())
}
