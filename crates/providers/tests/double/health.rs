//! Probes of what AWS says: status, metrics, alarms.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, MetricDatum, StateValue, Statistic};
use mesh_core::manifest::{Metric, Missing, Threshold};
use mesh_core::plan::Action;
use mesh_providers::Provider;
use mesh_providers::probe::{Answer, Asks, AwsResource, MetricQuestion, Question};
use serde_json::{Value, json};

use crate::rig::{CLUSTER, NODE_GROUP, Rig, job, providers, region};

const EAST: &str = "us-east-1";
const WEST: &str = "us-west-2";
const PATIENT: Duration = Duration::from_secs(10);

async fn ask(rig: &Rig, question: Question, about: &str) -> Answer {
    Asks::ask(rig.providers.as_ref(), &question, &region(about), PATIENT).await
}

#[track_caller]
fn failed(answer: Answer, words: &str) {
    assert!(matches!(&answer, Answer::Failed { reason } if reason.contains(words)), "{words:?}: {answer:?}");
}

#[track_caller]
fn unknown(answer: Answer, words: &str) {
    assert!(matches!(&answer, Answer::Unknown { reason } if reason.contains(words)), "{words:?}: {answer:?}");
}

#[track_caller]
fn passed(answer: Answer) {
    assert!(matches!(answer, Answer::Passed { .. }), "{answer:?}");
}

fn rds(instance: &str) -> Question {
    Question::AwsStatus(AwsResource::Rds { instance: instance.to_owned() })
}

fn eks() -> Question {
    let (cluster, node_group) = (CLUSTER.to_owned(), NODE_GROUP.to_owned());
    Question::AwsStatus(AwsResource::Eks { cluster, node_group })
}

fn ecs(service: &str) -> Question {
    let (cluster, service) = ("maip-prod-dr-ecs".to_owned(), service.to_owned());
    Question::AwsStatus(AwsResource::Ecs { cluster, service })
}

fn msk(cluster: &str) -> Question {
    Question::AwsStatus(AwsResource::Msk { cluster: cluster.to_owned() })
}

async fn control(rig: &Rig, path: &str, order: Value) {
    let url = format!("{}/_double/{path}", rig.double.addresses.aws);
    let sent = reqwest::Client::new().post(url).json(&order).send().await.expect("the double answers");
    assert!(sent.status().is_success(), "{path}: {}", sent.status());
}

#[tokio::test]
async fn what_aws_says_of_each_kind_counts() {
    let rig = Rig::start(|_| {}).await;
    passed(ask(&rig, rds("maip-prod-postgres-replica"), WEST).await);
    passed(ask(&rig, rds("maip-prod-postgres"), EAST).await);
    passed(ask(&rig, eks(), WEST).await);
    passed(ask(&rig, ecs("maip-reports"), WEST).await);
    passed(ask(&rig, msk("maip-prod-dr-kafka"), WEST).await);

    failed(ask(&rig, rds("gone"), WEST).await, "DBInstanceNotFound");
    failed(ask(&rig, ecs("gone"), WEST).await, "MISSING");
    failed(ask(&rig, msk("gone"), WEST).await, "no cluster");
    control(&rig, "msk/us-west-2/maip-prod-dr-kafka", json!({ "state": "FAILED" })).await;
    failed(ask(&rig, msk("maip-prod-dr-kafka"), WEST).await, "FAILED");
    let group = format!("eks/us-west-2/{CLUSTER}/{NODE_GROUP}");
    control(&rig, &group, json!({ "status": "DEGRADED" })).await;
    failed(ask(&rig, eks(), WEST).await, "DEGRADED");
}

#[tokio::test]
async fn an_instance_that_reboots_does_not_answer() {
    let rig = Rig::start(|file| file.settings.reboot_ms = 3_000).await;
    let instance = "maip-prod-postgres-replica";
    let reboot = job("rds-reboot", "7.1", Action::RdsReboot { instance: instance.to_owned() });
    rig.providers.call(&reboot, "{}").await;
    failed(ask(&rig, rds(instance), WEST).await, "rebooting");
}

#[tokio::test]
async fn a_control_plane_that_does_not_answer_says_nothing_about_what_it_controls() {
    let rig = Rig::start(|_| {}).await;
    for (kind, service, operation) in
        [("throttle", "rds", "DescribeDBInstances"), ("error", "rds", "DescribeDBInstances")]
    {
        let fault = rig.fault(json!({ "service": service, "operation": operation, "kind": kind }));
        unknown(ask(&rig, rds("maip-prod-postgres-replica"), WEST).await, operation);
        assert_eq!(rig.fired(fault), 1, "{kind}");
    }
    control(&rig, "regions/us-east-1", json!({ "state": "down" })).await;
    unknown(ask(&rig, rds("maip-prod-postgres"), EAST).await, "");
    passed(ask(&rig, rds("maip-prod-postgres-replica"), WEST).await);
}

#[tokio::test]
async fn an_agent_that_may_not_ask_knows_nothing() {
    let rig = Rig::start(|_| {}).await;
    let stranger = providers(&rig.double, ("AKIANOBODY", "secret")).await;
    for question in [rds("maip-prod-postgres-replica"), eks(), ecs("maip-reports"), msk("maip-prod-dr-kafka")] {
        let answer = Asks::ask(stranger.as_ref(), &question, &region(WEST), PATIENT).await;
        assert!(matches!(answer, Answer::Unknown { .. }), "{question:?}: {answer:?}");
    }
}

struct Publisher(Client);

impl Publisher {
    fn of(rig: &Rig, place: &'static str) -> Self {
        let config = aws_sdk_cloudwatch::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(place))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(&rig.double.addresses.aws)
            .build();
        Self(Client::from_conf(config))
    }

    /// One value a second, the newest two seconds ago.
    async fn publish(&self, metric: &str, values: &[f64]) {
        let now = unix_s();
        for (back, value) in (2i64..).zip(values.iter().rev()) {
            let datum = MetricDatum::builder()
                .metric_name(metric)
                .dimensions(Dimension::builder().name("LoadBalancer").value("app/shop").build())
                .timestamp(DateTime::from_secs(now - back))
                .storage_resolution(1)
                .value(*value)
                .build();
            self.0.put_metric_data().namespace("Shop").metric_data(datum).send().await.expect("it is put");
        }
    }
}

fn unix_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("small")
}

fn metric(name: &str, divided_by: Option<&str>, published_in: Option<&str>) -> MetricQuestion {
    MetricQuestion {
        metric: Metric {
            namespace: "Shop".to_owned(),
            metric: name.to_owned(),
            dimensions: BTreeMap::from([("LoadBalancer".to_owned(), "app/shop".to_owned())]),
            divided_by: divided_by.map(str::to_owned),
            published_in: published_in.map(region),
        },
        statistic: "Sum".to_owned(),
        period: Duration::from_secs(1),
        datapoints: 2,
        threshold: Threshold { above: Some("0.5".parse().expect("a number")), below: None },
        missing: Missing::Unknown,
    }
}

#[tokio::test]
async fn a_metric_is_compared_where_it_is_published() {
    let rig = Rig::start(|_| {}).await;
    let west = Publisher::of(&rig, WEST);
    west.publish("Latency", &[0.1, 0.9, 0.8]).await;
    west.publish("Errors", &[60.0, 90.0]).await;
    west.publish("Requests", &[1000.0, 1000.0]).await;
    let ask = async |question: MetricQuestion, about: &str| ask(&rig, Question::Cloudwatch(question), about).await;
    failed(ask(metric("Latency", None, None), WEST).await, "0.8 is above 0.5, as in 2 periods in a row");
    passed(ask(MetricQuestion { datapoints: 3, ..metric("Latency", None, None) }, WEST).await);
    failed(ask(metric("Latency", None, Some(WEST)), EAST).await, "above 0.5");
    unknown(ask(metric("Latency", None, None), EAST).await, "nothing was published lately");
    passed(ask(metric("Errors", Some("Requests"), None), WEST).await);
    failed(ask(metric("Errors", None, None), WEST).await, "90 is above");
    let missing = MetricQuestion { missing: Missing::Passing, ..metric("Gone", None, None) };
    passed(ask(missing, WEST).await);
}

#[tokio::test]
async fn a_percentile_is_of_the_values_themselves() {
    let rig = Rig::start(|_| {}).await;
    let values: Vec<f64> = (1..=100).map(|value| f64::from(value) / 100.0).collect();
    let datum = MetricDatum::builder()
        .metric_name("Latency")
        .dimensions(Dimension::builder().name("LoadBalancer").value("app/shop").build())
        .timestamp(DateTime::from_secs(unix_s() - 2))
        .storage_resolution(1)
        .set_values(Some(values))
        .build();
    let west = Publisher::of(&rig, WEST);
    west.0.put_metric_data().namespace("Shop").metric_data(datum).send().await.expect("it is put");
    let percentile = |statistic: &str| MetricQuestion {
        statistic: statistic.to_owned(),
        datapoints: 1,
        threshold: Threshold { above: Some("0.9".parse().expect("a number")), below: None },
        ..metric("Latency", None, None)
    };
    failed(ask(&rig, Question::Cloudwatch(percentile("p99")), WEST).await, "(p99)");
    passed(ask(&rig, Question::Cloudwatch(percentile("p50")), WEST).await);
}

#[tokio::test]
async fn the_lag_that_rds_publishes_is_a_metric_like_others() {
    let rig = Rig::start(|file| file.settings.metric_period_ms = 1_000).await;
    let lag = MetricQuestion {
        metric: Metric {
            namespace: "AWS/RDS".to_owned(),
            metric: "ReplicaLag".to_owned(),
            dimensions: BTreeMap::from([("DBInstanceIdentifier".to_owned(), "maip-prod-postgres-replica".to_owned())]),
            divided_by: None,
            published_in: Some(region(WEST)),
        },
        statistic: "Maximum".to_owned(),
        datapoints: 1,
        threshold: Threshold { above: Some("3600".parse().expect("a number")), below: None },
        ..metric("", None, None)
    };
    for _ in 0..100 {
        match ask(&rig, Question::Cloudwatch(lag.clone()), EAST).await {
            Answer::Passed { .. } => return,
            Answer::Failed { reason } => panic!("{reason}"),
            Answer::Unknown { .. } => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    panic!("it was never published");
}

#[tokio::test]
async fn an_alarm_counts_when_it_is_one_and_says_nothing_while_it_has_no_data() {
    let rig = Rig::start(|file| file.settings.alarm_evaluation_ms = 3_600_000).await;
    let west = Publisher::of(&rig, WEST).0;
    west.put_metric_alarm()
        .alarm_name("shop canary")
        .namespace("Shop")
        .metric_name("Canary")
        .statistic(Statistic::Sum)
        .comparison_operator(ComparisonOperator::GreaterThanThreshold)
        .threshold(1.0)
        .period(60)
        .evaluation_periods(1)
        .send()
        .await
        .expect("it is put");
    let alarm = |name: &str, place: &str| Question::Alarm { alarm: name.to_owned(), published_in: region(place) };
    unknown(ask(&rig, alarm("shop canary", WEST), EAST).await, "INSUFFICIENT_DATA");
    for (state, fails) in [(StateValue::Alarm, true), (StateValue::Ok, false)] {
        let set =
            west.set_alarm_state().alarm_name("shop canary").state_reason("three canaries died").state_value(state);
        set.send().await.expect("it is set");
        let answer = ask(&rig, alarm("shop canary", WEST), EAST).await;
        if fails { failed(answer, "three canaries died") } else { passed(answer) }
    }
    unknown(ask(&rig, alarm("gone", WEST), EAST).await, "there is no alarm gone");
    unknown(ask(&rig, alarm("shop canary", EAST), EAST).await, "there is no alarm");
    let fault = rig.fault(json!({ "service": "cloudwatch", "operation": "DescribeAlarms", "kind": "throttle" }));
    unknown(ask(&rig, alarm("shop canary", WEST), EAST).await, "DescribeAlarms");
    assert_eq!(rig.fired(fault), 1);
}
