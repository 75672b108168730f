//! Who may do what in a cluster: access entries map a caller to one of two roles.

use serde::{Deserialize, Serialize};

use super::request::{Ask, Target, Verb};
use super::status::Status;
use crate::eks::Cluster;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Known, and bound to no role.
    None,
    View,
    Edit,
}

/// A caller, as its token proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    Anonymous,
    User { name: String, arn: String },
}

/// A caller without an access entry is no user of the cluster (401); one whose role lacks the verb is refused (403).
pub fn authorize(cluster: &Cluster, identity: &Identity, ask: &Ask) -> Result<(), Status> {
    if ask.target == Target::Version {
        return Ok(());
    }
    let (user, access) = match identity {
        Identity::Anonymous => ("system:anonymous", Access::None),
        Identity::User { name, arn } => match &cluster.access {
            None => (arn.as_str(), Access::Edit),
            Some(entries) => (arn.as_str(), *entries.get(name).ok_or_else(Status::unauthorized)?),
        },
    };
    let reads = matches!(ask.verb, Verb::Get | Verb::List);
    if access == Access::Edit || (access == Access::View && reads) {
        return Ok(());
    }
    Err(forbidden(user, ask))
}

fn forbidden(user: &str, ask: &Ask) -> Status {
    let (group, resource) = ask.target.resource();
    let named = if ask.scope.name.is_empty() { String::new() } else { format!(" \"{}\"", ask.scope.name) };
    let place = if ask.scope.namespace.is_empty() {
        " at the cluster scope".to_owned()
    } else {
        format!(" in the namespace \"{}\"", ask.scope.namespace)
    };
    let qualified = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let verb = ask.verb.name();
    let message = format!(
        "{qualified}{named} is forbidden: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\"{place}"
    );
    Status {
        about: Some(Box::new((group.to_owned(), resource.to_owned(), ask.scope.name.clone()))),
        ..Status::new(403, "Forbidden", message)
    }
}
