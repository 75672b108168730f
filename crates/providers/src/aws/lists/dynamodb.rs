use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use futures::{StreamExt, TryStreamExt, stream};
use mesh_core::survey::{TABLES_MAX, Table};

use super::{AT_ONCE, Listed, PAGES_MAX, next};
use crate::aws::dynamodb::Dynamodb;
use crate::aws::error::ReadError;

pub(crate) async fn tables(config: &SdkConfig) -> Result<Listed<Table>, ReadError> {
    let Listed { items: names, more } = names(config).await?;
    let dynamodb = Dynamodb::new(config);
    let described = names.into_iter().map(|name| {
        let dynamodb = &dynamodb;
        async move {
            let found = dynamodb.table(&name).await?;
            Ok::<_, ReadError>(Table { name, status: found.status, replicas: found.replicas })
        }
    });
    let items = stream::iter(described).buffered(AT_ONCE).try_collect().await?;
    Ok(Listed { items, more })
}

async fn names(config: &SdkConfig) -> Result<Listed<String>, ReadError> {
    let client = Client::new(config);
    let mut listed = Listed::new();
    let mut from = None;
    for _ in 0..PAGES_MAX {
        let sent = client.list_tables().set_exclusive_start_table_name(from).send().await;
        let output = sent.map_err(|error| ReadError::of("dynamodb:ListTables", &error))?;
        from = next(output.last_evaluated_table_name());
        if listed.take(output.table_names().iter().cloned(), TABLES_MAX, from.is_none()) {
            return Ok(listed);
        }
    }
    listed.more = true;
    Ok(listed)
}
