//! A new read replica: it is a copy of its source at the end of its creation, and follows it from then on.

use super::{Attachment, Instance, InstanceKey, Status, change, data, describe, replication};
use crate::error::ApiError;
use crate::wire::{Node, query};
use crate::world::World;
use crate::world::timers::Timer;

const ID_LENGTH_MAX: usize = 63;
/// PostgreSQL's, of one source.
const REPLICAS_MAX: usize = 15;
pub const CREATION: &str = "replica-creation";

pub fn read_replica(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let id = input.need("DBInstanceIdentifier")?;
    check_id(&id)?;
    let key = super::key(region, &id);
    let source = source(world, region, &input.need("SourceDBInstanceIdentifier")?)?;
    check_presigned(input, &source)?;
    if world.rds.instances.contains_key(&key) {
        return Err(ApiError::bad("DBInstanceAlreadyExists", "DB instance already exists"));
    }
    let groups = input.str_list("VpcSecurityGroupIds");
    if !groups.is_empty() {
        change::check_groups(world, region, &groups)?;
    }
    check_source(world, region, &source)?;
    let (now_ms, delay) = (world.now_ms, world.settings.replica_creation_ms);
    let resource_id = format!("db-{}", world.random_id(26));
    let of = world.rds.find(&source.region, &source.id)?;
    let instance = Instance {
        key: key.clone(),
        engine: of.engine.clone(),
        class: input.str("DBInstanceClass").unwrap_or_else(|| of.class.clone()),
        resource_id,
        created_ms: now_ms,
        port: 0,
        status: Status::Creating,
        status_hidden_until_ms: 0,
        groups: groups.into_iter().map(|id| (id, Attachment::Active)).collect(),
        groups_generation: 0,
        backup_retention: 0,
        pending_backup_retention: None,
        source: Some(source),
        read_only: true,
        promoting: false,
        serving: false,
        boot: 1,
        writes: Vec::new(),
        cursor: 0,
        applied_through_ms: now_ms,
        link_lost: None,
        promoted_from: None,
    };
    world.rds.instances.insert(key.clone(), instance);
    world.activities.start(key.to_string(), CREATION, now_ms);
    world.timers.set(now_ms + delay, Timer::ReplicaCopied { instance: key });
    describe::one(world, region, &id)
}

/// A name is of the same region, an ARN of another.
fn source(world: &World, region: &str, text: &str) -> Result<InstanceKey, ApiError> {
    let gone = || ApiError::new(404, "DBInstanceNotFound", format!("The source instance could not be found: {text}"));
    let key = match text.strip_prefix("arn:aws:rds:") {
        None => super::key(region, text),
        Some(rest) => {
            let parts: Vec<&str> = rest.split(':').collect();
            let [of, account, "db", id] = parts.as_slice() else {
                return Err(ApiError::bad("InvalidParameterValue", format!("Invalid database identifier: {text}")));
            };
            if *account != world.account {
                return Err(gone());
            }
            super::key(of, id)
        }
    };
    if world.rds.instances.contains_key(&key) { Ok(key) } else { Err(gone()) }
}

fn check_source(world: &World, region: &str, key: &InstanceKey) -> Result<(), ApiError> {
    if !replication::reached(world, &key.region, region) {
        return Err(ApiError::new(500, "InternalFailure", format!("The region {} cannot be reached", key.region)));
    }
    let source = world.rds.find(&key.region, &key.id)?;
    if source.backup_retention == 0 {
        return Err(ApiError::bad(
            "InvalidDBInstanceState",
            "Automated backups are not enabled for this database instance. To enable automated backups, use ModifyDBInstance to set the backup retention period to a non-zero value.",
        ));
    }
    change::available(source)?;
    if source.source.is_some() && key.region != region {
        return Err(ApiError::bad(
            "InvalidDBInstanceState",
            "Cannot create a cross region read replica of an instance that is itself a read replica.",
        ));
    }
    let replicas = world.rds.instances.values().filter(|other| other.source.as_ref() == Some(key)).count();
    if replicas >= REPLICAS_MAX {
        return Err(ApiError::bad(
            "InstanceQuotaExceeded",
            format!("The source has {REPLICAS_MAX} read replicas, which is as many as it can have."),
        ));
    }
    Ok(())
}

/// What clients sign for the source's region, which AWS asks for in some partitions only.
fn check_presigned(input: &Node, source: &InstanceKey) -> Result<(), ApiError> {
    let Some(url) = input.str("PreSignedUrl") else { return Ok(()) };
    let pairs = query::pairs(url.split_once('?').map_or("", |(_, query)| query));
    let has = |name: &str, value: Option<&str>| {
        pairs.iter().any(|(key, found)| key == name && value.is_none_or(|value| value == found))
    };
    let credential = format!("/{}/rds/aws4_request", source.region);
    let scoped = pairs.iter().any(|(key, value)| key == "X-Amz-Credential" && value.ends_with(&credential));
    if has("Action", Some("CreateDBInstanceReadReplica")) && has("X-Amz-Signature", None) && scoped {
        return Ok(());
    }
    Err(ApiError::bad("InvalidParameterValue", "The pre-signed URL is not one of the same call in the source's region"))
}

fn check_id(id: &str) -> Result<(), ApiError> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let starts = id.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if starts && id.len() <= ID_LENGTH_MAX && id.chars().all(fits) && !id.contains("--") && !id.ends_with('-') {
        return Ok(());
    }
    Err(ApiError::bad(
        "InvalidParameterValue",
        "The parameter DBInstanceIdentifier is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens.",
    ))
}

/// Nothing is copied while the source does not serve or cannot be reached: the creation goes on when it can.
pub fn copied(world: &mut World, key: &InstanceKey) {
    let (now_ms, delay) = (world.now_ms, world.settings.replica_creation_ms.max(1));
    let from = world.rds.instances.get(key).and_then(|instance| instance.source.clone());
    let Some(from) = from else { return };
    let reached = replication::reached(world, &from.region, &key.region);
    let source = world.rds.instances.get(&from).filter(|source| reached && source.serving);
    let Some(writes) = source.map(|source| source.writes.clone()) else {
        world.timers.set(now_ms + delay, Timer::ReplicaCopied { instance: key.clone() });
        return;
    };
    let Some(instance) = world.rds.instances.get_mut(key) else { return };
    instance.cursor = writes.len();
    instance.writes = writes;
    instance.applied_through_ms = now_ms;
    instance.link_lost = None;
    instance.status = Status::Available;
    data::start(instance);
    world.emit(key, "DB instance created", &["creation"]);
    world.emit(key, "Replication for the Read Replica resumed", &["read replica"]);
    world.activities.end(&key.to_string(), CREATION, now_ms);
}
