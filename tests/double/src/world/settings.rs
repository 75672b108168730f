use serde::{Deserialize, Serialize};

/// How calls to a region that cannot be reached end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unreachable {
    /// No answer until the caller gives up.
    Silent,
    /// The connection is closed at once.
    Reset,
}

/// Delays are scaled down from AWS's minutes; rules are not scaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub promotion_ms: u64,
    pub backing_up_ms: u64,
    pub reboot_ms: u64,
    pub modify_ms: u64,
    /// How long after an accepted call the instance still shows its old status.
    pub status_delay_ms: u64,
    pub security_group_ms: u64,
    pub route53_insync_ms: u64,
    /// A zone takes one change call at a time, for this long.
    pub route53_accept_ms: u64,
    /// 0 switches throttling off.
    pub route53_requests_per_second: u32,
    pub route53_control_plane_region: String,
    /// Route 53 tells of a refused batch in the common form of errors, or in one of its own: both are seen on AWS.
    pub route53_own_batch_error: bool,
    pub replication_lag_ms: u64,
    /// An idle source still writes this often, so that its replicas' lag stays meaningful.
    pub source_heartbeat_ms: u64,
    /// Whether what the replica had not received is lost at promotion. Otherwise the lag is one of replay only.
    pub lose_tail: bool,
    /// Creating, changing or deleting a table.
    pub dynamodb_table_ms: u64,
    /// Adding a replica to a global table, or taking it away.
    pub dynamodb_replica_ms: u64,
    pub dynamodb_replication_lag_ms: u64,
    /// Whether `ReplicationLatency` is also measured while nobody writes. AWS does not say.
    pub dynamodb_idle_latency: bool,
    /// `ItemCount` is this old, at most. On AWS it is six hours.
    pub dynamodb_item_count_ms: u64,
    /// From a read replica's creation until it is available.
    pub replica_creation_ms: u64,
    pub metric_period_ms: u64,
    pub alarm_evaluation_ms: u64,
    pub signature_lifetime_ms: u64,
    /// How long a connection whose reply is lost stays open.
    pub lost_reply_ms: u64,
    pub unreachable: Unreachable,
    pub health_check_interval_ms: u64,
    pub fifo_deduplication_ms: u64,
    /// How long a node group stays UPDATING.
    pub nodegroup_update_ms: u64,
    /// From the call that asks for a node until it is Ready: longer than the update, as on AWS.
    pub node_ready_ms: u64,
    pub pods_per_node: usize,
    /// From a change of a deployment until its controller has seen it.
    pub controller_ms: u64,
    /// From a change of a deployment until its autoscaler, if any, looks at it.
    pub autoscaler_ms: u64,
    /// From a pod's binding to a node until it is Ready.
    pub pod_ready_ms: u64,
    /// A token is good for this long after its X-Amz-Date, whatever its X-Amz-Expires says.
    pub kubernetes_token_ms: u64,
    pub ecs_task_ms: u64,
    /// From a change of a stage's limits until requests meet them.
    pub api_gateway_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            promotion_ms: 3000,
            backing_up_ms: 500,
            reboot_ms: 1500,
            modify_ms: 500,
            status_delay_ms: 100,
            security_group_ms: 400,
            route53_insync_ms: 1500,
            route53_accept_ms: 30,
            route53_requests_per_second: 5,
            route53_control_plane_region: "us-east-1".to_owned(),
            route53_own_batch_error: false,
            replication_lag_ms: 200,
            source_heartbeat_ms: 100,
            lose_tail: true,
            dynamodb_table_ms: 500,
            dynamodb_replica_ms: 1500,
            dynamodb_replication_lag_ms: 300,
            dynamodb_idle_latency: true,
            dynamodb_item_count_ms: 5000,
            replica_creation_ms: 3000,
            metric_period_ms: 1000,
            alarm_evaluation_ms: 5000,
            signature_lifetime_ms: 300_000,
            lost_reply_ms: 30_000,
            unreachable: Unreachable::Silent,
            health_check_interval_ms: 1000,
            fifo_deduplication_ms: 300_000,
            nodegroup_update_ms: 400,
            node_ready_ms: 1000,
            pods_per_node: 4,
            controller_ms: 20,
            autoscaler_ms: 300,
            pod_ready_ms: 500,
            kubernetes_token_ms: 900_000,
            ecs_task_ms: 600,
            api_gateway_ms: 500,
        }
    }
}

impl Settings {
    /// These settings with the given keys replaced; a key that does not exist is an error.
    pub fn patched(&self, patch: &serde_json::Value) -> Result<Self, String> {
        let mut value = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let (Some(all), Some(patch)) = (value.as_object_mut(), patch.as_object()) else {
            return Err("settings are a JSON object".to_owned());
        };
        all.extend(patch.clone());
        let settings: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if settings.metric_period_ms == 0 || settings.source_heartbeat_ms == 0 || settings.health_check_interval_ms == 0
        {
            return Err("metric_period_ms, source_heartbeat_ms and health_check_interval_ms must be above 0".to_owned());
        }
        Ok(settings)
    }
}
