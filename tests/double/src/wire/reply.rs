use super::request::{Protocol, Service};
use super::{Node, cbor, json, xml};
use crate::error::ApiError;

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

pub fn encode(
    service: Service,
    protocol: Protocol,
    operation: &str,
    request_id: &str,
    result: &Result<Node, ApiError>,
) -> Reply {
    match result {
        Ok(output) => success(service, protocol, operation, request_id, output),
        Err(error) => failure(service, protocol, request_id, error),
    }
}

fn success(service: Service, protocol: Protocol, operation: &str, request_id: &str, output: &Node) -> Reply {
    let namespace = service.namespace();
    match protocol {
        Protocol::RestXml => {
            let mut body = format!("<?xml version=\"1.0\"?>\n<{operation}Response xmlns=\"{namespace}\">");
            xml::write_content(&mut body, output);
            body.push_str(&format!("</{operation}Response>"));
            let created = operation.starts_with("Create");
            let mut reply = Reply::new(if created { 201 } else { 200 }, "text/xml", request_id, body.into_bytes());
            if created {
                let id = output.get("HealthCheck").and_then(|check| check.str("Id")).unwrap_or_default();
                let location = format!("https://route53.amazonaws.com/2013-04-01/healthcheck/{id}");
                reply.headers.push(("location", location));
            }
            reply
        }
        Protocol::Query => {
            let mut body = format!("<{operation}Response xmlns=\"{namespace}\"><{operation}Result>");
            xml::write_content(&mut body, output);
            body.push_str(&format!(
                "</{operation}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
            ));
            Reply::new(200, "text/xml", request_id, body.into_bytes())
        }
        Protocol::Json => {
            Reply::new(200, json_type(service), request_id, json::to_value(output).to_string().into_bytes())
        }
        Protocol::RestJson => {
            Reply::new(200, "application/json", request_id, json::to_value(output).to_string().into_bytes())
        }
        Protocol::Cbor => Reply::cbor(200, request_id, output),
    }
}

fn failure(service: Service, protocol: Protocol, request_id: &str, error: &ApiError) -> Reply {
    let side = if error.status >= 500 { "Receiver" } else { "Sender" };
    match protocol {
        Protocol::RestXml | Protocol::Query => {
            let node = Node::map()
                .with("Error", Node::map().with("Type", side).with("Code", &error.code).with("Message", &error.message))
                .with("RequestId", request_id);
            let mut body = format!("<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"{}\">", service.namespace());
            xml::write_content(&mut body, &node);
            body.push_str("</ErrorResponse>");
            Reply::new(error.status, "text/xml", request_id, body.into_bytes())
        }
        Protocol::Json | Protocol::Cbor => {
            let shape = format!("com.amazonaws.{}#{}", service.name(), shape(service, &error.code));
            let node = Node::map().with("__type", shape).with("message", &error.message);
            let node = error.more.iter().fold(node, |node, (name, value)| node.with(name, value.clone()));
            let mut reply = if protocol == Protocol::Cbor {
                Reply::cbor(error.status, request_id, &node)
            } else {
                let body = json::to_value(&node).to_string().into_bytes();
                Reply::new(error.status, json_type(service), request_id, body)
            };
            // Of the services whose clients once spoke the query protocol.
            if matches!(service, Service::Sqs | Service::CloudWatch) {
                reply.headers.push(("x-amzn-query-error", format!("{};{side}", error.code)));
            }
            reply
        }
        Protocol::RestJson => {
            let body = json::to_value(&Node::map().with("message", &error.message)).to_string().into_bytes();
            let mut reply = Reply::new(error.status, "application/json", request_id, body);
            reply.headers.push(("x-amzn-errortype", error.code.clone()));
            reply
        }
    }
}

/// Where an error's name in the protocols without XML is not its code.
fn shape(service: Service, code: &str) -> &str {
    match (service, code) {
        (Service::CloudWatch, "InvalidParameterValue") => "InvalidParameterValueException",
        (Service::CloudWatch, "InvalidParameterCombination") => "InvalidParameterCombinationException",
        (Service::CloudWatch, "MissingParameter") => "MissingRequiredParameterException",
        (Service::CloudWatch, "LimitExceeded") => "LimitExceededFault",
        _ => code,
    }
}

fn json_type(service: Service) -> &'static str {
    if service == Service::Ecs { "application/x-amz-json-1.1" } else { "application/x-amz-json-1.0" }
}

/// The documented body of a refused batch, whose root is the error itself.
pub fn own_batch_error(request_id: &str, error: &ApiError) -> Reply {
    let text = error.message.trim_start_matches('[').trim_end_matches(']');
    let node = Node::map().with("Messages", Node::texts("Message", [text])).with("RequestId", request_id);
    let mut body = format!("<?xml version=\"1.0\"?>\n<InvalidChangeBatch xmlns=\"{}\">", Service::Route53.namespace());
    xml::write_content(&mut body, &node);
    body.push_str("</InvalidChangeBatch>");
    Reply::new(error.status, "text/xml", request_id, body.into_bytes())
}

impl Reply {
    pub fn new(status: u16, content_type: &str, request_id: &str, body: Vec<u8>) -> Self {
        let headers = vec![("content-type", content_type.to_owned()), ("x-amzn-requestid", request_id.to_owned())];
        Self { status, headers, body }
    }

    fn cbor(status: u16, request_id: &str, node: &Node) -> Self {
        let mut reply = Self::new(status, "application/cbor", request_id, cbor::write(node));
        reply.headers.push(("smithy-protocol", "rpc-v2-cbor".to_owned()));
        reply
    }
}
