use super::{Instance, events};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

pub fn instances(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let wanted = match input.str("DBInstanceIdentifier") {
        Some(id) => vec![world.rds.find(region, &id)?],
        None => world.rds.instances.values().filter(|instance| instance.key.region == region).collect(),
    };
    let mut kept = wanted;
    for filter in input.list("Filters") {
        let (name, values) = (filter.need("Name")?, filter.str_list("Values"));
        if name != "db-instance-id" {
            return Err(ApiError::unsupported(format!("the filter {name}")));
        }
        kept.retain(|instance| values.contains(&instance.key.id));
    }
    let (page, marker) = events::page(kept.into_iter().map(|instance| render(world, instance)).collect(), input)?;
    Ok(Node::map().with("DBInstances", Node::List("DBInstance", page)).with_some("Marker", marker))
}

pub fn one(world: &World, region: &str, id: &str) -> Result<Node, ApiError> {
    Ok(Node::map().with("DBInstance", render(world, world.rds.find(region, id)?)))
}

fn render(world: &World, instance: &Instance) -> Node {
    let key = &instance.key;
    let groups = instance
        .groups
        .iter()
        .map(|(id, state)| Node::map().with("VpcSecurityGroupId", id).with("Status", state.name()))
        .collect();
    let replicas = world
        .rds
        .instances
        .values()
        .filter(|other| other.source.as_ref() == Some(key))
        .map(|other| name_from(world, &key.region, other));
    let source = instance.source.as_ref().and_then(|source| world.rds.instances.get(source));
    let endpoint = Node::map()
        .with("Address", format!("{}.double.{}.rds.amazonaws.com", key.id, key.region))
        .with("Port", i64::from(instance.port))
        .with("HostedZoneId", "Z2R2ITUGPM61AM");
    let mut pending = Node::map();
    if let Some(days) = instance.pending_backup_retention {
        pending = pending.with("BackupRetentionPeriod", days);
    }
    Node::map()
        .with("DBInstanceIdentifier", &key.id)
        .with("DBInstanceClass", &instance.class)
        .with("Engine", &instance.engine)
        .with("EngineVersion", "15.8")
        .with("DBInstanceStatus", instance.shown_status(world.now_ms).name())
        .with("MasterUsername", "maip")
        .with("Endpoint", endpoint)
        .with("AllocatedStorage", 100i64)
        .with("InstanceCreateTime", Node::Time(instance.created_ms))
        .with("BackupRetentionPeriod", instance.backup_retention)
        .with("VpcSecurityGroups", Node::List("VpcSecurityGroupMembership", groups))
        .with("AvailabilityZone", format!("{}a", key.region))
        .with("PendingModifiedValues", pending)
        .with("MultiAZ", false)
        .with_some("ReadReplicaSourceDBInstanceIdentifier", source.map(|source| name_from(world, &key.region, source)))
        .with("ReadReplicaDBInstanceIdentifiers", Node::texts("ReadReplicaDBInstanceIdentifier", replicas))
        .with("StatusInfos", status_infos(instance))
        .with("PubliclyAccessible", false)
        .with("StorageType", "gp3")
        .with("DbiResourceId", &instance.resource_id)
        .with("DBInstanceArn", arn(world, instance))
}

fn status_infos(instance: &Instance) -> Node {
    if instance.source.is_none() {
        return Node::List("DBInstanceStatusInfo", Vec::new());
    }
    let healthy = instance.link_lost.is_none();
    let info = Node::map()
        .with("StatusType", "read replication")
        .with("Normal", healthy)
        .with("Status", if healthy { "replicating" } else { "error" });
    Node::List("DBInstanceStatusInfo", vec![info])
}

/// Within a region by identifier, across regions by ARN.
fn name_from(world: &World, region: &str, instance: &Instance) -> String {
    if instance.key.region == region { instance.key.id.clone() } else { arn(world, instance) }
}

fn arn(world: &World, instance: &Instance) -> String {
    format!("arn:aws:rds:{}:{}:db:{}", instance.key.region, world.account, instance.key.id)
}
