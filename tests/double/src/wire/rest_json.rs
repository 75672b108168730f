//! REST with JSON bodies: the path names the operation and carries some of its input, the query more.

use http::Method;

use super::request::Service;
use super::{Node, json, query};
use crate::error::ApiError;

/// An operation and the names of the labels in its path, in order.
type Route = (&'static str, &'static [&'static str]);

pub fn operation(service: Service, method: &Method, path: &str) -> Option<&'static str> {
    route(service, Some(method), &segments(path)).map(|(name, _)| name)
}

pub fn input(service: Service, path: &str, query_text: &str, body: &[u8]) -> Result<Node, ApiError> {
    let parts = segments(path);
    let labels = route(service, None, &parts).map_or(&[][..], |(_, labels)| labels);
    let mut input = match json::parse(body)? {
        node @ Node::Map(_) => node,
        _ => return Err(ApiError::bad("SerializationException", "the body is not a JSON object")),
    };
    // Labels are every second segment, after the version that some services have.
    let at_first = parts.iter().position(|part| matches!(*part, "clusters" | "apis")).map_or(0, |at| at + 1);
    for (label, part) in labels.iter().zip(parts.iter().skip(at_first).step_by(2)) {
        input = input.with(label, query::decode(part));
    }
    Ok(query::pairs(query_text).into_iter().fold(input, |input, (key, value)| input.with(&key, value)))
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

/// Without a method, any route whose path fits: they carry the same labels.
fn route(service: Service, method: Option<&Method>, parts: &[&str]) -> Option<Route> {
    let method = method.map(Method::as_str);
    let is = |wanted: &str| method.is_none_or(|method| method == wanted);
    match (service, parts) {
        (Service::Eks, ["clusters"]) if is("GET") => Some(("ListClusters", &[])),
        (Service::Eks, ["clusters", _]) if is("GET") => Some(("DescribeCluster", &["name"])),
        (Service::Eks, ["clusters", _, "node-groups"]) if is("GET") => Some(("ListNodegroups", &["clusterName"])),
        (Service::Eks, ["clusters", _, "node-groups", _]) if is("GET") => {
            Some(("DescribeNodegroup", &["clusterName", "nodegroupName"]))
        }
        (Service::Eks, ["clusters", _, "node-groups", _, "update-config"]) if is("POST") => {
            Some(("UpdateNodegroupConfig", &["clusterName", "nodegroupName"]))
        }
        (Service::Eks, ["clusters", _, "updates"]) if is("GET") => Some(("ListUpdates", &["name"])),
        (Service::Eks, ["clusters", _, "updates", _]) if is("GET") => Some(("DescribeUpdate", &["name", "updateId"])),
        (Service::Kafka, ["v1", "clusters"]) if is("GET") => Some(("ListClusters", &[])),
        (Service::Kafka, ["v1", "clusters", _]) if is("GET") => Some(("DescribeCluster", &["clusterArn"])),
        (Service::Kafka, ["api", "v2", "clusters"]) if is("GET") => Some(("ListClustersV2", &[])),
        (Service::Kafka, ["api", "v2", "clusters", _]) if is("GET") => Some(("DescribeClusterV2", &["clusterArn"])),
        (Service::ApiGateway, ["v2", "apis"]) if is("GET") => Some(("GetApis", &[])),
        (Service::ApiGateway, ["v2", "apis", _]) if is("GET") => Some(("GetApi", &["apiId"])),
        (Service::ApiGateway, ["v2", "apis", _, "stages"]) if is("GET") => Some(("GetStages", &["apiId"])),
        (Service::ApiGateway, ["v2", "apis", _, "stages", _]) if is("GET") => {
            Some(("GetStage", &["apiId", "stageName"]))
        }
        (Service::ApiGateway, ["v2", "apis", _, "stages", _]) if is("PATCH") => {
            Some(("UpdateStage", &["apiId", "stageName"]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_the_query_and_the_body_are_one_input() {
        let path = "/clusters/a/node-groups/b/update-config";
        let body = br#"{"scalingConfig":{"minSize":1}}"#;
        let input = input(Service::Eks, path, "x=1", body).expect("an object");
        assert_eq!(operation(Service::Eks, &Method::POST, path), Some("UpdateNodegroupConfig"));
        assert_eq!((input.str("clusterName"), input.str("nodegroupName")), (Some("a".into()), Some("b".into())));
        assert_eq!(input.str("x").as_deref(), Some("1"));
        assert_eq!(input.get("scalingConfig").and_then(|config| config.int("minSize").ok()?), Some(1));
    }

    #[test]
    fn an_arn_in_a_path_is_one_label() {
        let path = "/v1/clusters/arn%3Aaws%3Akafka%3Aus-west-2%3A1%3Acluster%2Fa%2Fb";
        let input = input(Service::Kafka, path, "", b"").expect("an object");
        assert_eq!(input.str("clusterArn").as_deref(), Some("arn:aws:kafka:us-west-2:1:cluster/a/b"));
    }
}
