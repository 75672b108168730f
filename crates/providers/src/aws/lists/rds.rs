use aws_config::SdkConfig;
use aws_sdk_rds::Client;
use aws_sdk_rds::types::DbInstance;
use mesh_core::survey::{DATABASES_MAX, Database};

use super::{Listed, PAGES_MAX, next};
use crate::aws::error::ReadError;

pub(crate) async fn databases(config: &SdkConfig) -> Result<Listed<Database>, ReadError> {
    let client = Client::new(config);
    let mut listed = Listed::new();
    let mut marker = None;
    for _ in 0..PAGES_MAX {
        let sent = client.describe_db_instances().set_marker(marker).send().await;
        let output = sent.map_err(|error| ReadError::of("rds:DescribeDBInstances", &error))?;
        marker = next(output.marker());
        if listed.take(output.db_instances().iter().map(plain), DATABASES_MAX, marker.is_none()) {
            return Ok(listed);
        }
    }
    listed.more = true;
    Ok(listed)
}

fn plain(found: &DbInstance) -> Database {
    let text = |given: Option<&str>| given.unwrap_or_default().to_owned();
    let source = found.read_replica_source_db_instance_identifier().filter(|source| !source.is_empty());
    let groups = found.vpc_security_groups().iter().filter_map(|group| group.vpc_security_group_id());
    let endpoint = found.endpoint().and_then(|endpoint| Some(format!("{}:{}", endpoint.address()?, endpoint.port()?)));
    Database {
        instance: text(found.db_instance_identifier()),
        arn: text(found.db_instance_arn()),
        engine: text(found.engine()),
        status: text(found.db_instance_status()),
        source: source.map(str::to_owned),
        security_groups: groups.take(mesh_core::survey::SETS_MAX).map(str::to_owned).collect(),
        endpoint,
        backup_retention_days: found
            .backup_retention_period()
            .and_then(|days| u32::try_from(days).ok())
            .unwrap_or_default(),
    }
}
