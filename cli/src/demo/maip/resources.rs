//! What serves beside the database: clusters, tables and brokers of the double's world, as resources of the manifest.

use std::fmt::Write as _;

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
pub struct Resources {
    #[serde(default)]
    eks: Vec<Eks>,
    #[serde(default)]
    ecs: Vec<Ecs>,
    #[serde(default)]
    msk: Vec<Msk>,
    #[serde(default)]
    dynamodb: Vec<Table>,
}

#[derive(Debug, Deserialize)]
struct Eks {
    region: String,
    cluster: String,
    node_groups: Vec<NodeGroup>,
}

#[derive(Debug, Deserialize)]
struct NodeGroup {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Ecs {
    region: String,
    cluster: String,
    services: Vec<EcsService>,
}

#[derive(Debug, Deserialize)]
struct EcsService {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Msk {
    region: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Table {
    table: String,
    regions: Vec<String>,
}

/// The numbers of the runbook.
pub const NODES_DESIRED: u32 = 8;
pub const NAMESPACE: &str = "maip-services";
pub const REPLICAS: u32 = 4;
pub const TASKS: u32 = 2;

impl Resources {
    /// YAML entries of `resources`; empty for a world that has none of these.
    pub fn manifest(&self, sites: [&str; 2]) -> String {
        let mut yaml = String::new();
        self.tables(&mut yaml, sites);
        self.clusters(&mut yaml);
        self.services(&mut yaml);
        self.brokers(&mut yaml);
        yaml
    }

    fn tables(&self, yaml: &mut String, [old, new]: [&str; 2]) {
        let both = |table: &&Table| [old, new].iter().all(|region| table.regions.iter().any(|has| has == region));
        for Table { table, .. } in self.dynamodb.iter().filter(both) {
            let name = table.strip_prefix("maip-prod-").unwrap_or(table);
            let _ = write!(
                yaml,
                "  - name: {name}\n    dynamodb-global-table:\n      table: {table}\n      regions: [{old}, {new}]\n"
            );
        }
    }

    fn clusters(&self, yaml: &mut String) {
        let clusters: String = self
            .eks
            .iter()
            .filter_map(|eks| {
                let group = &eks.node_groups.first()?.name;
                Some(format!(
                    "        {}:\n          cluster: {}\n          node-group: {group}\n          nodes: {{ min: 4, max: 20, desired: {NODES_DESIRED} }}\n          \
                     namespace: {NAMESPACE}\n          replicas: {REPLICAS}\n",
                    eks.region, eks.cluster
                ))
            })
            .collect();
        if !clusters.is_empty() {
            let _ = write!(yaml, "  - name: cluster\n    eks:\n      clusters:\n{clusters}");
        }
    }

    fn services(&self, yaml: &mut String) {
        let services: String = self
            .ecs
            .iter()
            .filter_map(|ecs| {
                let service = &ecs.services.first()?.name;
                Some(format!(
                    "        {}: {{ cluster: {}, service: {service}, tasks: {TASKS} }}\n",
                    ecs.region, ecs.cluster
                ))
            })
            .collect();
        if !services.is_empty() {
            let _ = write!(yaml, "  - name: reports\n    ecs:\n      services:\n{services}");
        }
    }

    fn brokers(&self, yaml: &mut String) {
        let clusters: String = self.msk.iter().map(|msk| format!("        {}: {}\n", msk.region, msk.name)).collect();
        if !clusters.is_empty() {
            let _ = write!(yaml, "  - name: kafka\n    msk:\n      clusters:\n{clusters}");
        }
    }
}
