//! From an HTTP request to what it asks of the cluster.

use http::Method;
use serde_json::Value;

use super::selector::Selector;
use super::status::Status;
use crate::wire::query;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Patch,
    Update,
}

impl Verb {
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Version,
    Nodes,
    Namespaces,
    Pods,
    Events,
    Deployments,
    Scale,
    Autoscalers,
}

impl Target {
    /// API group and resource, as RBAC names them.
    pub fn resource(self) -> (&'static str, &'static str) {
        match self {
            Self::Version => ("", "version"),
            Self::Nodes => ("", "nodes"),
            Self::Namespaces => ("", "namespaces"),
            Self::Pods => ("", "pods"),
            Self::Events => ("", "events"),
            Self::Deployments => ("apps", "deployments"),
            Self::Scale => ("apps", "deployments/scale"),
            Self::Autoscalers => ("autoscaling", "horizontalpodautoscalers"),
        }
    }
}

/// Empty where the request names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub from: usize,
    pub limit: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Ask {
    pub verb: Verb,
    pub target: Target,
    pub scope: Scope,
    pub selector: Selector,
    pub page: Page,
    pub dry_run: bool,
    pub content_type: String,
    pub body: Value,
}

impl Ask {
    pub fn read(
        method: &Method,
        path: &str,
        query_text: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Self, Status> {
        let (target, scope) = place(path)?;
        let verb = verb(method, &scope, target)?;
        let content_type = content_type.split(';').next().unwrap_or_default().trim().to_owned();
        let body = match verb {
            Verb::Get | Verb::List => Value::Null,
            Verb::Patch | Verb::Update => serde_json::from_slice(body)
                .map_err(|error| Status::bad_request(format!("the body of the request is not JSON: {error}")))?,
        };
        let mut ask = Self {
            verb,
            target,
            scope,
            selector: Selector::default(),
            page: Page::default(),
            dry_run: false,
            content_type,
            body,
        };
        query::pairs(query_text).iter().try_for_each(|(key, value)| ask.option(key, value))?;
        Ok(ask)
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), Status> {
        let number = |value: &str| {
            value.parse().map_err(|_| Status::bad_request(format!("invalid value \"{value}\" of the parameter {key}")))
        };
        match (key, value) {
            ("labelSelector", text) => self.selector.read_labels(text)?,
            ("fieldSelector", text) => self.selector.read_fields(text)?,
            ("limit", "" | "0") | ("continue", "") => {}
            ("limit", text) => self.page.limit = Some(number(text)?),
            ("continue", text) => self.page.from = number(text)?,
            ("dryRun", "All") => self.dry_run = true,
            // A list at least as new as a known version, or as any: all lists here are the newest.
            ("resourceVersion", "" | "0") | ("watch", "false" | "0") => {}
            ("fieldManager" | "fieldValidation" | "pretty" | "timeout" | "timeoutSeconds", _) => {}
            _ => return Err(Status::unsupported(&format!("the parameter {key}={value}"))),
        }
        Ok(())
    }

    /// In the log and to the fault API, in the manner of AWS: verb and kind.
    pub fn operation(&self) -> &'static str {
        match (self.verb, self.target) {
            (Verb::Get, Target::Version) => "GetVersion",
            (Verb::Get, Target::Nodes) => "GetNode",
            (Verb::List, Target::Nodes) => "ListNodes",
            (Verb::Get, Target::Namespaces) => "GetNamespace",
            (Verb::List, Target::Namespaces) => "ListNamespaces",
            (Verb::Get, Target::Pods) => "GetPod",
            (Verb::List, Target::Pods) => "ListPods",
            (Verb::List, Target::Events) => "ListEvents",
            (Verb::Get, Target::Deployments) => "GetDeployment",
            (Verb::List, Target::Deployments) => "ListDeployments",
            (Verb::Patch, Target::Deployments) => "PatchDeployment",
            (Verb::Update, Target::Deployments) => "UpdateDeployment",
            (Verb::Get, Target::Scale) => "GetDeploymentScale",
            (Verb::Patch, Target::Scale) => "PatchDeploymentScale",
            (Verb::Update, Target::Scale) => "UpdateDeploymentScale",
            (Verb::Get, Target::Autoscalers) => "GetHorizontalPodAutoscaler",
            (Verb::List, Target::Autoscalers) => "ListHorizontalPodAutoscalers",
            (Verb::Get, Target::Events) => "GetEvent",
            (Verb::List, Target::Version | Target::Scale) => "ListUnknown",
            (Verb::Patch, _) => "PatchUnknown",
            (Verb::Update, _) => "UpdateUnknown",
        }
    }
}

fn place(path: &str) -> Result<(Target, Scope), Status> {
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(query::decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let scope = |namespace: &str, name: &str| Scope { namespace: namespace.to_owned(), name: name.to_owned() };
    let found = match parts.as_slice() {
        ["version"] => (Target::Version, scope("", "")),
        ["api", "v1", "nodes"] => (Target::Nodes, scope("", "")),
        ["api", "v1", "nodes", name] => (Target::Nodes, scope("", name)),
        ["api", "v1", "namespaces"] => (Target::Namespaces, scope("", "")),
        ["api", "v1", "namespaces", name] => (Target::Namespaces, scope("", name)),
        ["api", "v1", "pods"] => (Target::Pods, scope("", "")),
        ["api", "v1", "namespaces", namespace, "pods"] => (Target::Pods, scope(namespace, "")),
        ["api", "v1", "namespaces", namespace, "pods", name] => (Target::Pods, scope(namespace, name)),
        ["api", "v1", "namespaces", namespace, "events"] => (Target::Events, scope(namespace, "")),
        ["apis", "apps", "v1", "deployments"] => (Target::Deployments, scope("", "")),
        ["apis", "apps", "v1", "namespaces", namespace, "deployments"] => (Target::Deployments, scope(namespace, "")),
        ["apis", "apps", "v1", "namespaces", namespace, "deployments", name] => {
            (Target::Deployments, scope(namespace, name))
        }
        ["apis", "apps", "v1", "namespaces", namespace, "deployments", name, "scale"] => {
            (Target::Scale, scope(namespace, name))
        }
        ["apis", "autoscaling", "v2", "namespaces", namespace, "horizontalpodautoscalers"] => {
            (Target::Autoscalers, scope(namespace, ""))
        }
        ["apis", "autoscaling", "v2", "namespaces", namespace, "horizontalpodautoscalers", name] => {
            (Target::Autoscalers, scope(namespace, name))
        }
        _ => return Err(Status::no_such_path()),
    };
    Ok(found)
}

fn verb(method: &Method, scope: &Scope, target: Target) -> Result<Verb, Status> {
    let named = !scope.name.is_empty() || target == Target::Version;
    match (method.as_str(), named) {
        ("GET", true) => Ok(Verb::Get),
        ("GET", false) => Ok(Verb::List),
        ("PATCH", true) => Ok(Verb::Patch),
        ("PUT", true) => Ok(Verb::Update),
        ("PATCH" | "PUT", false) => {
            Err(Status::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"))
        }
        (other, _) => Err(Status::unsupported(&format!("the method {other}"))),
    }
}
