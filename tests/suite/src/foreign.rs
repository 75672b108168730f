//! Another client of the same AWS account: whatever people and other tools do beside the mesh.

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, ResourceRecordSetFailover,
    RrType,
};
use serde_json::Value;

use crate::Rig;
use crate::rig::{LONG, POLL};

/// The hosted zone of the double's world.
pub const ZONE: &str = "ZMAIP0000000000";
/// Load balancers of its two applications: region, zone and name.
pub const OLD_ALB: (&str, &str) = ("Z35SXDOTRQ7X7K", "maip-prod-alb.us-east-1.elb.amazonaws.com");
pub const NEW_ALB: (&str, &str) = ("Z1H1FL5HABSF5", "maip-prod-dr-alb.us-west-2.elb.amazonaws.com");
/// Route 53 serves five requests a second; ours must find a gap between those of six agents.
const ATTEMPTS: u32 = 12;

pub struct Foreign {
    route53: aws_sdk_route53::Client,
    endpoint: String,
}

impl Foreign {
    pub async fn new(rig: &Rig) -> Self {
        let endpoint = rig.stand.ready.aws.clone();
        let config = config(&endpoint, "us-east-1").await;
        Self { route53: aws_sdk_route53::Client::new(&config), endpoint }
    }

    pub async fn promote(&self, region: &str, instance: &str) {
        let rds = aws_sdk_rds::Client::new(&config(&self.endpoint, region).await);
        let sent = rds.promote_read_replica().db_instance_identifier(instance).backup_retention_period(7).send().await;
        sent.unwrap_or_else(|error| panic!("promote {instance}: {error:?}"));
    }

    pub async fn security_groups(&self, region: &str, instance: &str, group: &str) {
        let rds = aws_sdk_rds::Client::new(&config(&self.endpoint, region).await);
        let modify = rds.modify_db_instance().db_instance_identifier(instance).vpc_security_group_ids(group);
        let sent = modify.apply_immediately(true).send().await;
        sent.unwrap_or_else(|error| panic!("modify {instance}: {error:?}"));
    }

    /// An item of a table, by its key alone.
    pub async fn put_item(&self, region: &str, table: &str, key: &str, value: &str) {
        let dynamodb = aws_sdk_dynamodb::Client::new(&config(&self.endpoint, region).await);
        let value = aws_sdk_dynamodb::types::AttributeValue::S(value.to_owned());
        let sent = dynamodb.put_item().table_name(table).item(key, value).send().await;
        sent.unwrap_or_else(|error| panic!("put an item into {table}: {error:?}"));
    }

    /// Waits until the instance takes the order: another change may be under way.
    pub async fn reboot(&self, region: &str, instance: &str) {
        let rds = aws_sdk_rds::Client::new(&config(&self.endpoint, region).await);
        let deadline = std::time::Instant::now() + LONG;
        while let Err(error) = rds.reboot_db_instance().db_instance_identifier(instance).send().await {
            assert!(std::time::Instant::now() < deadline, "reboot {instance}: {error:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    pub async fn change(&self, changes: &[(ChangeAction, ResourceRecordSet)]) {
        let change = |(action, set): &(ChangeAction, ResourceRecordSet)| {
            let change = Change::builder().action(action.clone()).resource_record_set(set.clone()).build();
            change.expect("an action and a set")
        };
        let batch = ChangeBatch::builder().set_changes(Some(changes.iter().map(change).collect())).build();
        let batch = batch.expect("a batch has changes");
        let sent = self.route53.change_resource_record_sets().hosted_zone_id(ZONE).change_batch(batch).send().await;
        sent.unwrap_or_else(|error| panic!("change {changes:?}: {error:?}"));
    }

    pub async fn upsert(&self, set: ResourceRecordSet) {
        self.change(&[(ChangeAction::Upsert, set)]).await;
    }

    /// Takes the fencing token of the name away, as a person who does not know what it is for.
    pub async fn remove_token(&self, rig: &Rig, record: &str) {
        let token = rig.token(record).await.expect("there is a token");
        self.change(&[(
            ChangeAction::Delete,
            set(&format!("_mesh.{record}"), RrType::Txt).values(60, &[&token]).build(),
        )])
        .await;
    }
}

async fn config(endpoint: &str, region: &str) -> aws_config::SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("test", "test", None, None, "another client"))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .load()
        .await
}

/// One record set, field by field.
pub struct Set(aws_sdk_route53::types::builders::ResourceRecordSetBuilder);

pub fn set(name: &str, kind: RrType) -> Set {
    Set(ResourceRecordSet::builder().name(name).r#type(kind))
}

impl Set {
    pub fn values(self, ttl: i64, values: &[&str]) -> Self {
        let record = |value: &&str| ResourceRecord::builder().value(*value).build().expect("a value");
        Self(self.0.ttl(ttl).set_resource_records(Some(values.iter().map(record).collect())))
    }

    pub fn alias(self, (zone, name): (&str, &str), evaluate_target_health: bool) -> Self {
        let target = AliasTarget::builder().hosted_zone_id(zone).dns_name(name);
        let target = target.evaluate_target_health(evaluate_target_health);
        Self(self.0.alias_target(target.build().expect("a target")))
    }

    pub fn weight(self, identifier: &str, weight: i64) -> Self {
        Self(self.0.set_identifier(identifier).weight(weight))
    }

    pub fn failover(self, identifier: &str, role: ResourceRecordSetFailover) -> Self {
        Self(self.0.set_identifier(identifier).failover(role))
    }

    pub fn build(self) -> ResourceRecordSet {
        self.0.build().expect("a name and a type")
    }
}

impl Rig {
    /// Record sets of a name that all name servers have, without its token; as the double shows them.
    pub async fn records(&self, name: &str) -> Vec<Value> {
        self.sets(&format!("{name}.")).await
    }

    /// Text of the name's token, quotes included.
    pub async fn token(&self, name: &str) -> Option<String> {
        let sets = self.sets(&format!("_mesh.{name}.")).await;
        Some(sets.first()?["values"][0].as_str()?.to_owned())
    }

    async fn sets(&self, name: &str) -> Vec<Value> {
        let state = self.get("state").await;
        let zone = state["zones"].as_array().and_then(|zones| zones.iter().find(|zone| zone["id"] == ZONE)).cloned();
        let sets = zone.and_then(|zone| zone["published"].as_array().cloned()).unwrap_or_default();
        sets.into_iter().filter(|set| set["name"] == name).collect()
    }

    /// The instance as the double shows it.
    pub async fn instance(&self, id: &str) -> Value {
        let state = self.get("state").await;
        let found = state["instances"].as_array().and_then(|all| all.iter().find(|one| one["id"] == id)).cloned();
        found.unwrap_or_else(|| panic!("no instance {id}: {state}"))
    }

    /// Polls the sample application of a region until its health check has this status.
    pub async fn until_app(&self, region: &str, status: u16) {
        let address = self.stand.ready.apps.get(region).unwrap_or_else(|| panic!("no application in {region}"));
        let url = format!("http://{address}/actuator/health");
        let deadline = std::time::Instant::now() + LONG;
        while reqwest::get(&url).await.ok().map(|answer| answer.status().as_u16()) != Some(status) {
            assert!(std::time::Instant::now() < deadline, "{url} never answered {status}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Polls the double until `reached`.
    pub async fn until_state(&self, what: &str, mut reached: impl FnMut(&Value) -> bool) {
        let deadline = std::time::Instant::now() + LONG;
        loop {
            let state = self.get("state").await;
            if reached(&state) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "the double did not reach: {what}; {state}");
            tokio::time::sleep(POLL).await;
        }
    }
}
