//! From an HTTP request to a [`Call`]: which protocol, which operation, which input.

use http::{HeaderMap, Method};

use super::{Node, cbor, json, query, rest_json, xml};
use crate::error::ApiError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Route53,
    Rds,
    Sns,
    Sqs,
    Sts,
    CloudWatch,
    DynamoDb,
    Eks,
    Ecs,
    Kafka,
    /// HTTP APIs. Its other kind, REST APIs, has paths of its own.
    ApiGateway,
    /// The API servers of EKS clusters: not an AWS service, and reached at endpoints of their own.
    Kubernetes,
}

impl Service {
    /// By the name in a credential scope, or the one that people use.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "route53" => Some(Self::Route53),
            "rds" => Some(Self::Rds),
            "sns" => Some(Self::Sns),
            "sqs" => Some(Self::Sqs),
            "sts" => Some(Self::Sts),
            "monitoring" | "cloudwatch" => Some(Self::CloudWatch),
            "dynamodb" => Some(Self::DynamoDb),
            "eks" => Some(Self::Eks),
            "ecs" => Some(Self::Ecs),
            "kafka" => Some(Self::Kafka),
            "apigateway" | "apigatewayv2" => Some(Self::ApiGateway),
            "kubernetes" => Some(Self::Kubernetes),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Route53 => "route53",
            Self::Rds => "rds",
            Self::Sns => "sns",
            Self::Sqs => "sqs",
            Self::Sts => "sts",
            Self::CloudWatch => "cloudwatch",
            Self::DynamoDb => "dynamodb",
            Self::Eks => "eks",
            Self::Ecs => "ecs",
            Self::Kafka => "kafka",
            Self::ApiGateway => "apigateway",
            Self::Kubernetes => "kubernetes",
        }
    }

    pub fn namespace(self) -> &'static str {
        match self {
            Self::Route53 => "https://route53.amazonaws.com/doc/2013-04-01/",
            Self::Rds => "http://rds.amazonaws.com/doc/2014-10-31/",
            Self::Sns => "http://sns.amazonaws.com/doc/2010-03-31/",
            Self::Sqs => "http://queue.amazonaws.com/doc/2012-11-05/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Self::CloudWatch => "http://monitoring.amazonaws.com/doc/2010-08-01/",
            // These speak no XML.
            Self::DynamoDb | Self::Eks | Self::Ecs | Self::Kafka | Self::ApiGateway | Self::Kubernetes => "",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    RestXml,
    RestJson,
    Query,
    Json,
    Cbor,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub service: Service,
    pub region: String,
    pub protocol: Protocol,
    pub operation: String,
    pub input: Node,
    pub access_key: String,
}

impl Call {
    /// Reads change nothing outside; everything else does.
    pub fn mutates(operation: &str) -> bool {
        let reads = ["Get", "List", "Describe", "Test", "Receive", "Query", "Scan", "BatchGet"];
        !reads.iter().any(|prefix| operation.starts_with(prefix))
    }
}

pub struct Raw<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

impl Raw<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn protocol(&self, service: Service) -> Protocol {
        if service == Service::Route53 {
            Protocol::RestXml
        } else if matches!(service, Service::Eks | Service::Kafka | Service::ApiGateway) {
            Protocol::RestJson
        } else if self.header("smithy-protocol") == Some("rpc-v2-cbor") {
            Protocol::Cbor
        } else if self.header("x-amz-target").is_some() {
            Protocol::Json
        } else {
            Protocol::Query
        }
    }

    /// The operation's name, also of a request whose input will not parse.
    pub fn operation(&self, service: Service) -> Result<String, ApiError> {
        let unknown = || {
            ApiError::new(404, "UnknownOperationException", format!("no operation at {} {}", self.method, self.path))
        };
        match self.protocol(service) {
            Protocol::RestXml => route53_operation(self.method, self.path).map(str::to_owned).ok_or_else(unknown),
            Protocol::RestJson => {
                rest_json::operation(service, self.method, self.path).map(str::to_owned).ok_or_else(unknown)
            }
            Protocol::Cbor => self.path.rsplit_once("/operation/").map(|(_, name)| name.to_owned()).ok_or_else(unknown),
            Protocol::Json => {
                let target = self.header("x-amz-target").unwrap_or_default();
                target.rsplit_once('.').map(|(_, name)| name.to_owned()).ok_or_else(unknown)
            }
            Protocol::Query => query::pairs(&self.form())
                .into_iter()
                .find(|(key, _)| key == "Action")
                .map(|(_, action)| action)
                .ok_or_else(|| ApiError::bad("MissingAction", "The request must contain the parameter Action")),
        }
    }

    pub fn input(&self, service: Service) -> Result<Node, ApiError> {
        if self.header("content-encoding").is_some_and(|encoding| encoding != "identity") {
            return Err(ApiError::unsupported("compressed requests"));
        }
        match self.protocol(service) {
            Protocol::RestXml => self.rest_input(),
            Protocol::RestJson => rest_json::input(service, self.path, self.query, self.body),
            Protocol::Cbor => cbor::parse(self.body),
            Protocol::Json => json::parse(self.body),
            Protocol::Query => query::parse(&self.form()),
        }
    }

    fn form(&self) -> String {
        let body = String::from_utf8_lossy(self.body);
        if self.query.is_empty() { body.into_owned() } else { format!("{}&{body}", self.query) }
    }

    fn rest_input(&self) -> Result<Node, ApiError> {
        let mut input = Node::map();
        if !self.body.is_empty() {
            let body =
                std::str::from_utf8(self.body).map_err(|_| ApiError::bad("MalformedXML", "the body is not UTF-8"))?;
            if let (_, content @ Node::Map(_)) = xml::parse(body)? {
                input = content;
            }
        }
        if let Some(id) = segments(self.path).get(2) {
            input = input.with("Id", query::decode(id));
        }
        Ok(query::pairs(self.query).into_iter().fold(input, |input, (key, value)| input.with(&key, value)))
    }
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

fn route53_operation(method: &Method, path: &str) -> Option<&'static str> {
    let parts = segments(path);
    let Some(("2013-04-01", rest)) = parts.split_first().map(|(first, rest)| (*first, rest)) else { return None };
    match (method.as_str(), rest) {
        ("POST", ["hostedzone", _, "rrset"]) => Some("ChangeResourceRecordSets"),
        ("GET", ["hostedzone", _, "rrset"]) => Some("ListResourceRecordSets"),
        ("GET", ["hostedzone"]) => Some("ListHostedZones"),
        ("GET", ["hostedzonesbyname"]) => Some("ListHostedZonesByName"),
        ("GET", ["hostedzone", _]) => Some("GetHostedZone"),
        ("GET", ["change", _]) => Some("GetChange"),
        ("POST", ["healthcheck"]) => Some("CreateHealthCheck"),
        ("POST", ["healthcheck", _]) => Some("UpdateHealthCheck"),
        ("GET", ["healthcheck"]) => Some("ListHealthChecks"),
        ("GET", ["healthcheck", _]) => Some("GetHealthCheck"),
        ("GET", ["healthcheck", _, "status"]) => Some("GetHealthCheckStatus"),
        ("DELETE", ["healthcheck", _]) => Some("DeleteHealthCheck"),
        ("GET", ["testdnsanswer"]) => Some("TestDNSAnswer"),
        _ => None,
    }
}
