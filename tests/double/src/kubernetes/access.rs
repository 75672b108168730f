//! Who may do what in a cluster: access entries map a caller to a role, or to rules as RBAC has them.

use serde::{Deserialize, Serialize};

use super::request::{Ask, Target, Verb};
use super::status::Status;
use crate::eks::Cluster;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Access {
    Role(Role),
    Rules(Vec<Rule>),
}

/// A rule of a Role in one namespace or, without one, of a ClusterRole. `*` stands for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    #[serde(default)]
    pub namespace: Option<String>,
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub verbs: Vec<String>,
}

impl Rule {
    fn allows(&self, ask: &Ask) -> bool {
        let (group, resource) = ask.target.resource();
        // Of a namespace itself, the request is one in that namespace.
        let namespace = if ask.target == Target::Namespaces { &ask.scope.name } else { &ask.scope.namespace };
        let lists = |all: &[String], one: &str| all.iter().any(|listed| listed == "*" || listed == one);
        self.namespace.as_ref().is_none_or(|of| of == namespace)
            && lists(&self.api_groups, group)
            && lists(&self.resources, resource)
            && lists(&self.verbs, ask.verb.name())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Known, and bound to no role.
    None,
    View,
    Edit,
}

impl Access {
    fn allows(&self, ask: &Ask) -> bool {
        match self {
            Self::Role(Role::None) => false,
            Self::Role(Role::View) => matches!(ask.verb, Verb::Get | Verb::List),
            Self::Role(Role::Edit) => true,
            Self::Rules(rules) => rules.iter().any(|rule| rule.allows(ask)),
        }
    }
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
    let (user, allowed) = match identity {
        Identity::Anonymous => ("system:anonymous", false),
        Identity::User { name, arn } => match &cluster.access {
            None => (arn.as_str(), true),
            Some(entries) => (arn.as_str(), entries.get(name).ok_or_else(Status::unauthorized)?.allows(ask)),
        },
    };
    if allowed { Ok(()) } else { Err(forbidden(user, ask)) }
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
