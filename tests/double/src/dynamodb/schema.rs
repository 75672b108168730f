//! What a new table is to be, from `CreateTable`.

use super::invalid;
use super::item::{KeyPart, Schema};
use super::table::Billing;
use crate::error::ApiError;
use crate::wire::Node;

const NAME_LENGTHS: std::ops::RangeInclusive<usize> = 3..=255;

pub fn check_name(name: &str) -> Result<(), ApiError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !name.bytes().all(fits) {
        return Err(invalid(format!(
            "1 validation error detected: Value '{name}' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        )));
    }
    if !NAME_LENGTHS.contains(&name.len()) {
        return Err(invalid("TableName must be at least 3 characters long and at most 255 characters long"));
    }
    Ok(())
}

pub fn keys(input: &Node) -> Result<Schema, ApiError> {
    let mut defined = Vec::new();
    for attribute in input.list("AttributeDefinitions") {
        let part = KeyPart { name: attribute.need("AttributeName")?, kind: attribute.need("AttributeType")? };
        if !["S", "N", "B"].contains(&part.kind.as_str()) {
            return Err(invalid("AttributeType must be one of S, N and B"));
        }
        defined.push(part);
    }
    let mut parts = Vec::new();
    for entry in input.list("KeySchema") {
        parts.push((entry.need("AttributeName")?, entry.need("KeyType")?));
    }
    let part = |name: &String| {
        let found = defined.iter().find(|part| part.name == *name).cloned();
        found.ok_or_else(|| {
            invalid(format!("One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [{name}]"))
        })
    };
    let schema = match parts.as_slice() {
        [(hash, kind)] if kind == "HASH" => Schema { hash: part(hash)?, range: None },
        [(hash, first), (range, second)] if first == "HASH" && second == "RANGE" && hash != range => {
            Schema { hash: part(hash)?, range: Some(part(range)?) }
        }
        _ => return Err(invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")),
    };
    if defined.len() != parts.len() {
        return Err(invalid(
            "One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
        ));
    }
    Ok(schema)
}

pub fn billing(input: &Node) -> Result<Billing, ApiError> {
    let given = input.get("ProvisionedThroughput");
    match (input.str("BillingMode").as_deref(), given) {
        (Some("PAY_PER_REQUEST"), None) => Ok(Billing::OnDemand),
        (Some("PAY_PER_REQUEST"), Some(_)) => Err(invalid(
            "One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        )),
        (None | Some("PROVISIONED"), Some(given)) => {
            let units = |name: &str| match given.int(name)? {
                Some(units) if units >= 1 => Ok(units),
                _ => Err(invalid(format!("{name} must be at least 1"))),
            };
            Ok(Billing::Provisioned { reads: units("ReadCapacityUnits")?, writes: units("WriteCapacityUnits")? })
        }
        (None | Some("PROVISIONED"), None) => Err(invalid(
            "One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        )),
        (Some(other), _) => Err(invalid(format!("{other} is no billing mode"))),
    }
}

/// Whether a stream is asked for. The double has those with both images only, which global tables need.
pub fn stream(input: &Node) -> Result<Option<bool>, ApiError> {
    let Some(given) = input.get("StreamSpecification") else { return Ok(None) };
    let enabled = given.bool("StreamEnabled")?.ok_or_else(|| invalid("StreamEnabled is required"))?;
    match given.str("StreamViewType").as_deref() {
        Some("NEW_AND_OLD_IMAGES") if enabled => Ok(Some(true)),
        None if !enabled => Ok(Some(false)),
        Some(other) if enabled => Err(ApiError::unsupported(format!("streams of {other}"))),
        _ => Err(invalid(
            "One or more parameter values were invalid: StreamViewType is required when StreamEnabled is true, and only then",
        )),
    }
}
