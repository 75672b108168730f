use mesh_core::manifest::{EcsService, EksCluster, PostgresInstance, RdsInstance, Resource, ResourceKind};

use crate::DecodeError;
use crate::fields::{Fields, by_name, strings};
use crate::v1::{self, resource::Kind};

impl From<&Resource> for v1::Resource {
    fn from(resource: &Resource) -> Self {
        let Resource { name, kind } = resource;
        let kind = match kind {
            ResourceKind::Rds { instances, backup_retention_days } => Kind::Rds(v1::RdsResource {
                instances: by_name(instances, Into::into),
                backup_retention_days: *backup_retention_days,
            }),
            ResourceKind::DynamodbGlobalTable { table, regions } => {
                Kind::DynamodbGlobalTable(v1::DynamodbGlobalTable { table: table.clone(), regions: strings(regions) })
            }
            ResourceKind::Eks { clusters } => Kind::Eks(v1::EksResource { clusters: by_name(clusters, Into::into) }),
            ResourceKind::Ecs { services } => Kind::Ecs(v1::EcsResource { services: by_name(services, Into::into) }),
            ResourceKind::Msk { clusters } => Kind::Msk(v1::MskResource { clusters: by_name(clusters, Clone::clone) }),
            ResourceKind::Postgresql { instances } => {
                Kind::Postgresql(v1::PostgresResource { instances: by_name(instances, Into::into) })
            }
        };
        Self { name: name.clone(), kind: Some(kind) }
    }
}

impl TryFrom<v1::Resource> for Resource {
    type Error = DecodeError;

    fn try_from(wire: v1::Resource) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Resource");
        let v1::Resource { name, kind } = wire;
        Ok(Self { name: F.text("name", name)?, kind: F.message("kind", kind)? })
    }
}

impl TryFrom<Kind> for ResourceKind {
    type Error = DecodeError;

    fn try_from(wire: Kind) -> Result<Self, DecodeError> {
        match wire {
            Kind::Rds(v1::RdsResource { instances, backup_retention_days }) => {
                const F: Fields = Fields("RdsResource");
                Ok(Self::Rds {
                    instances: F.map("instances", instances, |path, instance| F.nested(path, instance))?,
                    backup_retention_days,
                })
            }
            Kind::DynamodbGlobalTable(v1::DynamodbGlobalTable { table, regions }) => {
                const F: Fields = Fields("DynamodbGlobalTable");
                Ok(Self::DynamodbGlobalTable {
                    table: F.text("table", table)?,
                    regions: F.name_set("regions", regions)?,
                })
            }
            Kind::Eks(v1::EksResource { clusters }) => {
                const F: Fields = Fields("EksResource");
                Ok(Self::Eks { clusters: F.map("clusters", clusters, |path, cluster| F.nested(path, cluster))? })
            }
            Kind::Ecs(v1::EcsResource { services }) => {
                const F: Fields = Fields("EcsResource");
                Ok(Self::Ecs { services: F.map("services", services, |path, service| F.nested(path, service))? })
            }
            Kind::Msk(v1::MskResource { clusters }) => {
                Ok(Self::Msk { clusters: Fields("MskResource").text_map("clusters", clusters)? })
            }
            Kind::Postgresql(v1::PostgresResource { instances }) => {
                const F: Fields = Fields("PostgresResource");
                Ok(Self::Postgresql { instances: F.map("instances", instances, |path, wire| F.nested(path, wire))? })
            }
        }
    }
}

impl From<&PostgresInstance> for v1::PostgresInstance {
    fn from(instance: &PostgresInstance) -> Self {
        let PostgresInstance { host, port, database, user, password_file, ca_file, data_directory } = instance.clone();
        Self { host, port: u32::from(port), database, user, password_file, ca_file, data_directory }
    }
}

impl TryFrom<v1::PostgresInstance> for PostgresInstance {
    type Error = DecodeError;

    fn try_from(wire: v1::PostgresInstance) -> Result<Self, DecodeError> {
        const F: Fields = Fields("PostgresInstance");
        let v1::PostgresInstance { host, port, database, user, password_file, ca_file, data_directory } = wire;
        Ok(Self {
            host: F.text("host", host)?,
            port: u16::try_from(port).map_err(|_| F.refuse("port", format!("{port} is no port")))?,
            database: F.text("database", database)?,
            user: F.text("user", user)?,
            password_file: F.text_optional("password_file", password_file)?,
            ca_file: F.text_optional("ca_file", ca_file)?,
            data_directory: F.text_optional("data_directory", data_directory)?,
        })
    }
}

impl From<&RdsInstance> for v1::RdsInstance {
    fn from(rds: &RdsInstance) -> Self {
        let RdsInstance { instance, security_groups, closed_security_group } = rds;
        Self {
            instance: instance.clone(),
            security_groups: strings(security_groups),
            closed_security_group: closed_security_group.clone(),
        }
    }
}

impl TryFrom<v1::RdsInstance> for RdsInstance {
    type Error = DecodeError;

    fn try_from(wire: v1::RdsInstance) -> Result<Self, DecodeError> {
        const F: Fields = Fields("RdsInstance");
        let v1::RdsInstance { instance, security_groups, closed_security_group } = wire;
        Ok(Self {
            instance: F.text("instance", instance)?,
            security_groups: F.text_set("security_groups", security_groups)?,
            closed_security_group: F.text("closed_security_group", closed_security_group)?,
        })
    }
}

impl From<&EksCluster> for v1::EksCluster {
    fn from(eks: &EksCluster) -> Self {
        let EksCluster { cluster, node_group, nodes_min, nodes_max, nodes_desired, namespace, replicas, deployments } =
            eks;
        Self {
            cluster: cluster.clone(),
            node_group: node_group.clone(),
            nodes_min: *nodes_min,
            nodes_max: *nodes_max,
            nodes_desired: *nodes_desired,
            namespace: namespace.clone(),
            replicas: *replicas,
            deployments: deployments.clone(),
        }
    }
}

impl TryFrom<v1::EksCluster> for EksCluster {
    type Error = DecodeError;

    fn try_from(wire: v1::EksCluster) -> Result<Self, DecodeError> {
        const F: Fields = Fields("EksCluster");
        let v1::EksCluster {
            cluster,
            node_group,
            nodes_min,
            nodes_max,
            nodes_desired,
            namespace,
            replicas,
            deployments,
        } = wire;
        Ok(Self {
            cluster: F.text("cluster", cluster)?,
            node_group: F.text("node_group", node_group)?,
            nodes_min,
            nodes_max,
            nodes_desired,
            namespace: F.text("namespace", namespace)?,
            replicas,
            deployments: F.counts("deployments", deployments)?,
        })
    }
}

impl From<&EcsService> for v1::EcsService {
    fn from(ecs: &EcsService) -> Self {
        let EcsService { cluster, service, tasks } = ecs;
        Self { cluster: cluster.clone(), service: service.clone(), tasks: *tasks }
    }
}

impl TryFrom<v1::EcsService> for EcsService {
    type Error = DecodeError;

    fn try_from(wire: v1::EcsService) -> Result<Self, DecodeError> {
        const F: Fields = Fields("EcsService");
        let v1::EcsService { cluster, service, tasks } = wire;
        Ok(Self { cluster: F.text("cluster", cluster)?, service: F.text("service", service)?, tasks })
    }
}
