//! DynamoDB: tables, their items, and global tables (version 2019.11.21): replicas that all take writes and send them to
//! each other, of two writes to an item the later one staying.

pub mod batch;
pub mod build;
pub mod describe;
pub mod expression;
pub mod item;
pub mod manage;
pub mod number;
pub mod query;
pub mod read;
pub mod replica;
pub mod replication;
pub mod schema;
pub mod table;
pub mod transact;
pub mod value;
pub mod write;

use std::collections::BTreeMap;
use std::fmt;

use crate::error::ApiError;
use crate::wire::Node;
use crate::wire::request::Call;
use crate::world::World;
use table::{Status, Table};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableKey {
    pub region: String,
    pub name: String,
}

impl fmt::Display for TableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region, self.name)
    }
}

#[derive(Debug, Default)]
pub struct DynamoDb {
    pub tables: BTreeMap<TableKey, Table>,
    transactions: transact::Tokens,
}

impl DynamoDb {
    /// The table of that name, whatever its state.
    pub fn table(&self, region: &str, name: &str) -> Result<&Table, ApiError> {
        self.tables.get(&key(region, name)).ok_or_else(|| not_found(name))
    }

    pub fn table_mut(&mut self, region: &str, name: &str) -> Result<&mut Table, ApiError> {
        self.tables.get_mut(&key(region, name)).ok_or_else(|| not_found(name))
    }

    /// A table that takes reads and writes: one that is being made or taken away is not there for them.
    pub fn open(&self, region: &str, name: &str) -> Result<&Table, ApiError> {
        let open = |table: &&Table| matches!(table.status, Status::Active | Status::Updating);
        self.table(region, name).ok().filter(open).ok_or_else(no_resource)
    }
}

pub fn key(region: &str, name: &str) -> TableKey {
    TableKey { region: region.to_owned(), name: name.to_owned() }
}

pub fn call(world: &mut World, call: &Call) -> Result<Node, ApiError> {
    dispatch(world, call).map_err(own)
}

fn dispatch(world: &mut World, call: &Call) -> Result<Node, ApiError> {
    let (region, input) = (call.region.as_str(), &call.input);
    match call.operation.as_str() {
        "CreateTable" => manage::create(world, region, input),
        "UpdateTable" => manage::update(world, region, input),
        "DeleteTable" => manage::delete(world, region, input),
        "DescribeTable" => describe::table(world, region, input),
        "ListTables" => describe::list(world, region, input),
        "PutItem" | "UpdateItem" | "DeleteItem" => write::one(world, region, &call.operation, input),
        "BatchWriteItem" => batch::write(world, region, input),
        "TransactWriteItems" => transact::write(world, region, input),
        "GetItem" => read::get(world, region, input),
        "BatchGetItem" => batch::get(world, region, input),
        "Query" => query::query(world, region, input),
        "Scan" => query::scan(world, region, input),
        other => Err(ApiError::unsupported(format!("dynamodb {other}"))),
    }
}

/// What the protocols' common checks call by the names of the older services.
fn own(error: ApiError) -> ApiError {
    match error.code.as_str() {
        "MissingParameter" => ApiError { code: "ValidationException".to_owned(), ..error },
        "InvalidParameterValue" => ApiError { code: "SerializationException".to_owned(), ..error },
        _ => error,
    }
}

pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::bad("ValidationException", message)
}

fn not_found(name: &str) -> ApiError {
    ApiError::bad("ResourceNotFoundException", format!("Requested resource not found: Table: {name} not found"))
}

fn no_resource() -> ApiError {
    ApiError::bad("ResourceNotFoundException", "Requested resource not found")
}

/// A parameter that is not modelled must not be taken as done.
fn allow(input: &Node, known: &[&str]) -> Result<(), ApiError> {
    match input.keys().into_iter().find(|name| !known.contains(name)) {
        Some(name) => Err(ApiError::unsupported(format!("the parameter {name}"))),
        None => Ok(()),
    }
}

/// The calls without capacity in their answers, which is all that a client sees who does not ask for it.
fn no_metrics(input: &Node) -> Result<(), ApiError> {
    for name in ["ReturnConsumedCapacity", "ReturnItemCollectionMetrics"] {
        if input.str(name).is_some_and(|wanted| wanted != "NONE") {
            return Err(ApiError::unsupported(name));
        }
    }
    Ok(())
}

/// The name in `TableName`, which AWS also takes as an ARN.
fn table_name(input: &Node) -> Result<String, ApiError> {
    let name = input.need("TableName")?;
    if name.starts_with("arn:") {
        return Err(ApiError::unsupported("tables named by ARN"));
    }
    schema::check_name(&name)?;
    Ok(name)
}
