//! The SDK clients of production against the double, each protocol once: what they send is understood, and what they
//! get they can read, errors included.

#[path = "sdk/compute.rs"]
mod compute;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, ReplicaStatus, TableStatus, TransactWriteItem};
use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecord, ResourceRecordSet, RrType,
};
use aws_smithy_types::DateTime;
use mesh_double::{Running, WorldFile};

const REPLICA: &str = "maip-prod-postgres-replica";
const ZONE: &str = "ZMAIP0000000000";
const TABLE: &str = "maip-prod-merchant-analytics";
const POLLS_MAX: usize = 500;
const POLL: Duration = Duration::from_millis(20);

async fn double() -> Running {
    let mut file: WorldFile =
        serde_json::from_str(include_str!("../worlds/maip.json")).expect("the shipped world is well formed");
    file.settings.promotion_ms = 100;
    file.settings.route53_insync_ms = 100;
    file.settings.metric_period_ms = 50;
    file.settings.replica_creation_ms = 100;
    file.settings.route53_requests_per_second = 0;
    Running::start(&file, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.expect("the double starts")
}

async fn config(double: &Running, region: &'static str, secret: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::from_static(region))
        .retry_config(RetryConfig::disabled())
        .endpoint_url(&double.addresses.aws)
        .credentials_provider(Credentials::new("test", secret, None, None, "test"))
        .load()
        .await
}

fn token(value: &str) -> ResourceRecordSet {
    ResourceRecordSet::builder()
        .name("_mesh.api.maip.example.com")
        .r#type(RrType::Txt)
        .ttl(60)
        .resource_records(ResourceRecord::builder().value(format!("\"{value}\"")).build().expect("complete"))
        .build()
        .expect("complete")
}

fn batch(changes: impl IntoIterator<Item = (ChangeAction, ResourceRecordSet)>) -> ChangeBatch {
    let changes = changes
        .into_iter()
        .map(|(action, set)| Change::builder().action(action).resource_record_set(set).build().expect("complete"));
    ChangeBatch::builder().set_changes(Some(changes.collect())).build().expect("complete")
}

#[tokio::test]
async fn route53_is_understood() {
    let double = double().await;
    let client = aws_sdk_route53::Client::new(&config(&double, "us-east-1", "test").await);
    let create = batch([(ChangeAction::Create, token("1.a"))]);
    let sent = client.change_resource_record_sets().hosted_zone_id(ZONE).change_batch(create.clone()).send().await;
    let info = sent.expect("accepted").change_info.expect("described");
    assert_eq!(info.status, ChangeStatus::Pending);
    let mut synced = false;
    for _ in 0..POLLS_MAX {
        let change = client.get_change().id(&info.id).send().await.expect("known").change_info.expect("described");
        synced = change.status == ChangeStatus::Insync;
        if synced {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    assert!(synced, "the change reaches the name servers");
    let again = client.change_resource_record_sets().hosted_zone_id(ZONE).change_batch(create).send().await;
    let refused = again.expect_err("it exists").into_service_error();
    assert!(refused.is_invalid_change_batch(), "{refused:?}");
    let listed = client.list_resource_record_sets().hosted_zone_id(ZONE).send().await.expect("listed");
    assert!(
        listed.resource_record_sets.contains(
            &ResourceRecordSet::builder()
                .name("_mesh.api.maip.example.com.")
                .r#type(RrType::Txt)
                .ttl(60)
                .resource_records(ResourceRecord::builder().value("\"1.a\"").build().expect("complete"))
                .build()
                .expect("complete")
        )
    );
}

#[tokio::test]
async fn rds_and_sts_are_understood() {
    let double = double().await;
    let config = config(&double, "us-west-2", "test").await;
    let identity = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await.expect("known");
    assert_eq!(identity.account.as_deref(), Some("123456789012"));
    let client = aws_sdk_rds::Client::new(&config);
    client.promote_read_replica().db_instance_identifier(REPLICA).send().await.expect("a replica");
    let again = client.promote_read_replica().db_instance_identifier(REPLICA).send().await;
    assert!(again.expect_err("promoting").into_service_error().is_invalid_db_instance_state_fault());
    let gone = client.describe_db_instances().db_instance_identifier("gone").send().await;
    assert!(gone.expect_err("gone").into_service_error().is_db_instance_not_found_fault());
    let found = client.describe_db_instances().db_instance_identifier(REPLICA).send().await.expect("described");
    let instance = found.db_instances().first().expect("one");
    assert_eq!(instance.vpc_security_groups().first().and_then(|group| group.status()), Some("active"));
}

#[tokio::test]
async fn sns_is_understood() {
    let double = double().await;
    let client = aws_sdk_sns::Client::new(&config(&double, "us-west-2", "test").await);
    let publish = |arn: &str| {
        client.publish().topic_arn(arn).message("m").message_group_id("g").message_deduplication_id("k").send()
    };
    publish("arn:aws:sns:us-west-2:123456789012:maip-prod-alerts.fifo").await.expect("published");
    let gone = publish("arn:aws:sns:us-west-2:123456789012:gone.fifo").await;
    assert!(gone.expect_err("gone").into_service_error().is_not_found_exception());
}

#[tokio::test]
async fn cloudwatch_is_understood() {
    let double = double().await;
    let client = aws_sdk_cloudwatch::Client::new(&config(&double, "us-west-2", "test").await);
    let dimension = Dimension::builder().name("DBInstanceIdentifier").value(REPLICA).build();
    let mut found = Vec::new();
    for _ in 0..POLLS_MAX {
        let now = SystemTime::now();
        let answer = client
            .get_metric_statistics()
            .namespace("AWS/RDS")
            .metric_name("ReplicaLag")
            .dimensions(dimension.clone())
            .statistics(Statistic::Maximum)
            .period(1)
            .start_time(DateTime::from(now - Duration::from_secs(60)))
            .end_time(DateTime::from(now + Duration::from_secs(1)))
            .send()
            .await
            .expect("answered");
        found = answer.datapoints().to_vec();
        if !found.is_empty() {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    let point = found.first().expect("a sample");
    assert!(point.timestamp().is_some() && point.maximum().is_some_and(|lag| (0.0..60.0).contains(&lag)));
    let wrong = client.get_metric_statistics().namespace("A").metric_name("B").period(7).send().await;
    let error = wrong.expect_err("incomplete").into_service_error();
    assert!(error.is_missing_required_parameter_exception(), "{error:?}");
}

#[tokio::test]
async fn dynamodb_is_understood() {
    let double = double().await;
    let east = aws_sdk_dynamodb::Client::new(&config(&double, "us-east-1", "test").await);
    let west = aws_sdk_dynamodb::Client::new(&config(&double, "us-west-2", "test").await);
    let id = AttributeValue::S("m".to_owned());
    let put = || {
        let first = "attribute_not_exists(merchant_id)";
        east.put_item().table_name(TABLE).item("merchant_id", id.clone()).condition_expression(first).send()
    };
    put().await.expect("a new item");
    let again = put().await.expect_err("it exists").into_service_error();
    assert!(again.is_conditional_check_failed_exception(), "{again:?}");
    let mut arrived = false;
    for _ in 0..POLLS_MAX {
        let found = west.get_item().table_name(TABLE).key("merchant_id", id.clone()).send().await.expect("answered");
        arrived = found.item().is_some();
        if arrived {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    assert!(arrived, "the write reaches the other replica");
    let table = west.describe_table().table_name(TABLE).send().await.expect("answered").table.expect("described");
    assert_eq!(table.table_status(), Some(&TableStatus::Active));
    assert!(table.creation_date_time().is_some());
    let replica = table.replicas().first().expect("the other region's");
    assert_eq!((replica.region_name(), replica.replica_status()), (Some("us-east-1"), Some(&ReplicaStatus::Active)));
    let gone = west.describe_table().table_name("gone").send().await.expect_err("gone").into_service_error();
    assert!(gone.is_resource_not_found_exception(), "{gone:?}");
    let known = TransactWriteItem::builder()
        .condition_check(
            ConditionCheck::builder()
                .table_name(TABLE)
                .key("merchant_id", id.clone())
                .condition_expression("attribute_not_exists(merchant_id)")
                .build()
                .expect("complete"),
        )
        .build();
    let cancelled = east.transact_write_items().transact_items(known).send().await.expect_err("it exists");
    let cancelled = cancelled.into_service_error();
    let reasons = match &cancelled {
        TransactWriteItemsError::TransactionCanceledException(error) => error.cancellation_reasons(),
        _ => &[],
    };
    assert_eq!(reasons.first().and_then(|reason| reason.code()), Some("ConditionalCheckFailed"), "{cancelled:?}");
}

#[tokio::test]
async fn a_new_read_replica_is_where_it_says() {
    let double = double().await;
    let client = aws_sdk_rds::Client::new(&config(&double, "us-west-2", "test").await);
    let source = "arn:aws:rds:us-east-1:123456789012:db:maip-prod-postgres";
    let create = |id: &str| {
        let create = client.create_db_instance_read_replica().db_instance_identifier(id);
        create.source_db_instance_identifier(source).vpc_security_group_ids("sg-open-us-west-2").send()
    };
    let taken = create(REPLICA).await.expect_err("its name is taken").into_service_error();
    assert!(taken.is_db_instance_already_exists_fault(), "{taken:?}");
    create("new").await.expect("the source has backups");
    let mut port = None;
    for _ in 0..POLLS_MAX {
        let found = client.describe_db_instances().db_instance_identifier("new").send().await.expect("described");
        let instance = found.db_instances().first().expect("one");
        if instance.db_instance_status() == Some("available") {
            port = instance.endpoint().and_then(|endpoint| endpoint.port());
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    let port = u16::try_from(port.expect("it becomes available")).expect("a port");
    assert!(tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok());
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let double = double().await;
    let config = config(&double, "us-west-2", "wrong").await;
    let refused = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await;
    let error = refused.expect_err("not authentic").into_service_error();
    assert_eq!(error.meta().code(), Some("SignatureDoesNotMatch"));
}
