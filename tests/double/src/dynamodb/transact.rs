//! Up to 100 writes that happen together or not at all, once for each client token.

use std::collections::BTreeMap;

use super::write::{Effect, Write};
use super::{allow, invalid, no_metrics};
use crate::error::ApiError;
use crate::wire::{Node, digest, json};
use crate::world::World;

const WRITES_MAX: usize = 100;
const TOKEN_LENGTH_MAX: usize = 36;
/// For how long a token stands for the call that it came with.
const TOKEN_MS: u64 = 10 * 60 * 1000;

/// When each token was used, and for what.
#[derive(Debug, Default)]
pub struct Tokens(BTreeMap<(String, String), (u64, [u8; 32])>);

pub fn write(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let known = ["TransactItems", "ClientRequestToken", "ReturnConsumedCapacity", "ReturnItemCollectionMetrics"];
    allow(input, &known)?;
    no_metrics(input)?;
    let items = input.list("TransactItems");
    if items.is_empty() || items.len() > WRITES_MAX {
        return Err(invalid(format!(
            "1 validation error detected: 'transactItems' failed to satisfy constraint: Member must have length less than or equal to {WRITES_MAX}, greater than or equal to 1"
        )));
    }
    let token = token(region, input)?;
    if let Some(token) = &token
        && is_repeated(world, token, input)?
    {
        return Ok(Node::map());
    }
    let mut writes: Vec<Write> = Vec::new();
    for item in items {
        let Node::Map(entries) = item else { return Err(invalid("a transaction's item is a structure")) };
        let [(kind, what)] = entries.as_slice() else {
            return Err(invalid("TransactItems can only contain one of Check, Put, Update or Delete"));
        };
        let operation = match kind.as_str() {
            "Put" => "PutItem",
            "Update" => "UpdateItem",
            "Delete" => "DeleteItem",
            "ConditionCheck" => "ConditionCheck",
            other => return Err(invalid(format!("{other} is no part of a transaction"))),
        };
        let write = Write::read(world, region, operation, what)?;
        if writes.iter().any(|other| other.table == write.table && other.key == write.key) {
            return Err(invalid("Transaction request cannot include multiple operations on one item"));
        }
        writes.push(write);
    }
    let effects = check(world, &writes)?;
    for (write, effect) in writes.iter().zip(&effects) {
        write.commit(world, effect)?;
    }
    if let Some(token) = token {
        let now_ms = world.now_ms;
        world.dynamodb.transactions.0.insert(token, (now_ms, digest_of(input)));
    }
    Ok(Node::map())
}

/// All of them, or the reasons of each.
fn check(world: &World, writes: &[Write]) -> Result<Vec<Effect>, ApiError> {
    let results: Vec<Result<Effect, ApiError>> = writes.iter().map(|write| write.check(world)).collect();
    if results.iter().all(Result::is_ok) {
        return Ok(results.into_iter().flatten().collect());
    }
    let codes: Vec<String> = results.iter().map(code).collect();
    let reasons = results.iter().zip(&codes).map(|(result, code)| reason(result, code)).collect();
    let mut error = ApiError::bad(
        "TransactionCanceledException",
        format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", ")),
    );
    error.more.push(("CancellationReasons".to_owned(), Node::List("member", reasons)));
    Err(error)
}

fn code(result: &Result<Effect, ApiError>) -> String {
    match result {
        Ok(_) => "None".to_owned(),
        Err(error) if error.code == "ConditionalCheckFailedException" => "ConditionalCheckFailed".to_owned(),
        Err(error) if error.code == "ValidationException" => "ValidationError".to_owned(),
        Err(error) => error.code.clone(),
    }
}

fn reason(result: &Result<Effect, ApiError>, code: &str) -> Node {
    let node = Node::map().with("Code", code);
    match result {
        Ok(_) => node,
        Err(error) => error
            .more
            .iter()
            .fold(node.with("Message", &error.message), |node, (name, value)| node.with(name, value.clone())),
    }
}

fn token(region: &str, input: &Node) -> Result<Option<(String, String)>, ApiError> {
    let Some(token) = input.str("ClientRequestToken") else { return Ok(None) };
    if token.is_empty() || token.len() > TOKEN_LENGTH_MAX {
        return Err(invalid(format!("ClientRequestToken must have 1 to {TOKEN_LENGTH_MAX} characters")));
    }
    Ok(Some((region.to_owned(), token)))
}

fn is_repeated(world: &mut World, token: &(String, String), input: &Node) -> Result<bool, ApiError> {
    let now_ms = world.now_ms;
    let tokens = &mut world.dynamodb.transactions.0;
    tokens.retain(|_, (at, _)| *at + TOKEN_MS > now_ms);
    match tokens.get(token) {
        None => Ok(false),
        Some((_, digest)) if *digest == digest_of(input) => Ok(true),
        Some(_) => Err(ApiError::bad(
            "IdempotentParameterMismatchException",
            "Request token was used for a request with different parameters",
        )),
    }
}

fn digest_of(input: &Node) -> [u8; 32] {
    digest::sha256(json::to_value(input).to_string().as_bytes())
}
