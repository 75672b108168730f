//! Which actions a call needs: mostly the one of its name.

use crate::wire::Node;
use crate::wire::request::{Call, Service};

pub fn of(call: &Call) -> Vec<String> {
    let named = |name: &str| format!("{}:{name}", call.service.name());
    let own = vec![named(&call.operation)];
    // Its actions are the methods of HTTP.
    if call.service == Service::ApiGateway {
        return vec![named(if call.operation.starts_with("Get") { "GET" } else { "PATCH" })];
    }
    if call.service != Service::DynamoDb {
        return own;
    }
    match call.operation.as_str() {
        // There is no action of that name: each part needs that of the call which it stands for.
        "TransactWriteItems" => {
            parts(&call.input, "TransactItems").into_iter().map(|part| named(&format!("{part}Item"))).collect()
        }
        "UpdateTable" => {
            let replicas =
                parts(&call.input, "ReplicaUpdates").into_iter().map(|part| named(&format!("{part}TableReplica")));
            own.into_iter().chain(replicas).collect()
        }
        _ => own,
    }
}

/// What each item of the list is, by its one member's name.
fn parts<'a>(input: &'a Node, list: &str) -> Vec<&'a str> {
    input.list(list).into_iter().filter_map(|item| item.keys().first().copied()).collect()
}
