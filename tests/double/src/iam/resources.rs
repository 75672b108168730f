//! Which resources a call touches, as AWS's service authorization reference has it. Where it names none, that is `*`,
//! which only a policy for all resources allows.

use super::policy::Context;
use crate::eks::ClusterKey;
use crate::eks::describe as eks;
use crate::wire::Node;
use crate::wire::request::{Call, Service};
use crate::world::World;
use crate::{ecs, route53};

pub fn of(world: &World, call: &Call) -> Vec<String> {
    let found = match call.service {
        Service::Route53 => route53_of(call),
        Service::Rds => rds_of(world, call),
        Service::Sns => call.input.str("TopicArn").into_iter().collect(),
        Service::Sqs => sqs_of(world, call),
        Service::CloudWatch => cloudwatch_of(world, call),
        Service::DynamoDb => dynamodb_of(world, call),
        Service::Eks => eks_of(world, call),
        Service::Ecs => ecs_of(world, call),
        Service::Kafka => call.input.str("clusterArn").into_iter().collect(),
        Service::ApiGateway => vec![api_of(call)],
        Service::Sts | Service::Kubernetes => Vec::new(),
    };
    if found.is_empty() { vec!["*".to_owned()] } else { found }
}

fn arn(world: &World, call: &Call, service: &str, rest: &str) -> String {
    format!("arn:aws:{service}:{}:{}:{rest}", call.region, world.account)
}

fn route53_of(call: &Call) -> Vec<String> {
    let kind = match call.operation.as_str() {
        "ChangeResourceRecordSets" | "ListResourceRecordSets" | "GetHostedZone" => "hostedzone",
        "GetChange" => "change",
        "GetHealthCheck" | "UpdateHealthCheck" | "DeleteHealthCheck" | "GetHealthCheckStatus" => "healthcheck",
        _ => return Vec::new(),
    };
    let id = call.input.str("Id").unwrap_or_default();
    vec![format!("arn:aws:route53:::{kind}/{}", route53::bare(&id))]
}

fn rds_of(world: &World, call: &Call) -> Vec<String> {
    let named = |name: &str| arn(world, call, "rds", &format!("db:{}", name.to_lowercase()));
    let id = call.input.str("DBInstanceIdentifier");
    match call.operation.as_str() {
        "DescribeDBInstances" => vec![named(id.as_deref().unwrap_or("*"))],
        "DescribeEvents" => Vec::new(),
        // Both the replica and what it is made from.
        "CreateDBInstanceReadReplica" => {
            let source = call
                .input
                .str("SourceDBInstanceIdentifier")
                .map(|source| if source.starts_with("arn:") { source } else { named(&source) });
            id.map(|id| named(&id)).into_iter().chain(source).collect()
        }
        _ => id.map(|id| named(&id)).into_iter().collect(),
    }
}

fn sqs_of(world: &World, call: &Call) -> Vec<String> {
    let url = call.input.str("QueueUrl").and_then(|url| url.rsplit('/').next().map(str::to_owned));
    let name = url.or_else(|| call.input.str("QueueName"));
    name.map(|name| arn(world, call, "sqs", &name)).into_iter().collect()
}

fn cloudwatch_of(world: &World, call: &Call) -> Vec<String> {
    let named = |name: &str| arn(world, call, "cloudwatch", &format!("alarm:{name}"));
    match call.operation.as_str() {
        "DescribeAlarms" => vec![named("*")],
        "PutMetricAlarm" | "SetAlarmState" => {
            call.input.str("AlarmName").map(|name| named(&name)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Each table once, of a batch or transaction, too.
fn dynamodb_of(world: &World, call: &Call) -> Vec<String> {
    let batch = call.input.get("RequestItems").map(Node::keys).unwrap_or_default();
    let transaction = call.input.list("TransactItems").into_iter().flat_map(|item| {
        let of = |action: &str| item.get(action).and_then(|inner| inner.str("TableName"));
        item.keys().into_iter().filter_map(of).collect::<Vec<_>>()
    });
    let one = call.input.str("TableName");
    let mut names: Vec<String> =
        one.into_iter().chain(batch.into_iter().map(str::to_owned)).chain(transaction).collect();
    names.sort();
    names.dedup();
    let table = |name: String| match name.starts_with("arn:") {
        true => name,
        false => arn(world, call, "dynamodb", &format!("table/{name}")),
    };
    names.into_iter().map(table).collect()
}

fn eks_of(world: &World, call: &Call) -> Vec<String> {
    let name = call.input.str("clusterName").or_else(|| call.input.str("name"));
    let Some(name) = name else { return Vec::new() };
    let key = ClusterKey { region: call.region.clone(), name };
    match (call.operation.as_str(), call.input.str("nodegroupName")) {
        ("DescribeNodegroup" | "UpdateNodegroupConfig", Some(group)) => vec![eks::group_arn(world, &key, &group)],
        (_, Some(group)) => vec![eks::arn(world, &key), eks::group_arn(world, &key, &group)],
        (_, None) => vec![eks::arn(world, &key)],
    }
}

/// The path of the request, without its version. The ARN has no account.
fn api_of(call: &Call) -> String {
    let stages = if call.operation.contains("Stage") { "/stages" } else { "" };
    let id = call.input.str("apiId").map(|id| format!("/{id}{stages}")).unwrap_or_default();
    let stage = call.input.str("stageName").map(|name| format!("/{name}")).unwrap_or_default();
    format!("arn:aws:apigateway:{}::/apis{id}{stage}", call.region)
}

fn ecs_of(world: &World, call: &Call) -> Vec<String> {
    let cluster = call.input.str("cluster").unwrap_or_else(|| "default".to_owned());
    let cluster = ecs::short(&cluster);
    let service = |name: &str| arn(world, call, "ecs", &format!("service/{cluster}/{}", ecs::short(name)));
    match call.operation.as_str() {
        "DescribeClusters" => {
            let names = call.input.str_list("clusters");
            names.iter().map(|name| arn(world, call, "ecs", &format!("cluster/{}", ecs::short(name)))).collect()
        }
        "DescribeServices" => call.input.str_list("services").iter().map(|name| service(name)).collect(),
        "UpdateService" => call.input.str("service").iter().map(|name| service(name)).collect(),
        _ => Vec::new(),
    }
}

pub fn context(world: &World, call: &Call, user: &str) -> Context {
    let region = if call.service == Service::Route53 { "us-east-1" } else { call.region.as_str() };
    let mut context = Context::new();
    let mut set = |key: &str, values: Vec<String>| context.insert(key.to_owned(), values);
    set("aws:requestedregion", vec![region.to_owned()]);
    set("aws:principalarn", vec![user.to_owned()]);
    // The endpoint override of tests is plain; AWS's own are not.
    set("aws:securetransport", vec!["true".to_owned()]);
    if call.service == Service::CloudWatch {
        set("cloudwatch:namespace", call.input.str("Namespace").into_iter().collect());
    }
    if let (Service::Ecs, Some(cluster)) = (call.service, call.input.str("cluster")) {
        set("ecs:cluster", vec![arn(world, call, "ecs", &format!("cluster/{}", ecs::short(&cluster)))]);
    }
    if call.operation == "ChangeResourceRecordSets" {
        let batch = call.input.get("ChangeBatch");
        let changes = batch.map(|batch| batch.list("Changes")).unwrap_or_default();
        let of = |read: &dyn Fn(&Node) -> Option<String>| -> Vec<String> {
            changes.iter().filter_map(|change| read(change)).collect()
        };
        let set_of = |change: &Node, name: &str| change.get("ResourceRecordSet").and_then(|set| set.str(name));
        let normal = |name: String| name.trim_end_matches('.').to_lowercase();
        set("route53:changeresourcerecordsetsactions", of(&|change| change.str("Action")));
        set("route53:changeresourcerecordsetsrecordtypes", of(&|change| set_of(change, "Type")));
        set("route53:changeresourcerecordsetsnormalizedrecordnames", of(&|change| set_of(change, "Name").map(normal)));
    }
    context
}
