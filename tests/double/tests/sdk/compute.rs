use aws_sdk_ecs::types::DeploymentRolloutState;
use aws_sdk_eks::types::{NodegroupScalingConfig, NodegroupStatus, UpdateStatus};
use aws_sdk_kafka::types::ClusterState;
use serde_json::json;

use crate::{POLL, POLLS_MAX, config, double};

const CLUSTER: &str = "maip-prod-dr-eks-cluster";
const GROUP: &str = "maip-prod-dr-nodegroup";

#[tokio::test]
async fn eks_is_understood() {
    let double = double().await;
    let client = aws_sdk_eks::Client::new(&config(&double, "us-west-2", "test").await);
    let cluster = client.describe_cluster().name(CLUSTER).send().await.expect("known").cluster.expect("described");
    let listed = double.addresses.kubernetes.get(&format!("us-west-2/{CLUSTER}")).map(String::as_str);
    assert!(listed.is_some() && cluster.endpoint() == listed);
    assert!(cluster.certificate_authority().and_then(|authority| authority.data()).is_some());
    let scale = |desired: i32| {
        let sizes = NodegroupScalingConfig::builder().min_size(1).max_size(20).desired_size(desired).build();
        let call = client.update_nodegroup_config().cluster_name(CLUSTER).nodegroup_name(GROUP);
        call.scaling_config(sizes).client_request_token(format!("to-{desired}")).send()
    };
    let update = scale(2).await.expect("accepted").update.expect("described");
    assert_eq!(update.status(), Some(&UpdateStatus::InProgress));
    assert!(scale(3).await.expect_err("updating").into_service_error().is_resource_in_use_exception());
    assert!(scale(21).await.expect_err("above max").into_service_error().is_invalid_parameter_exception());
    let mut group = None;
    for _ in 0..POLLS_MAX {
        let answer = client.describe_nodegroup().cluster_name(CLUSTER).nodegroup_name(GROUP).send().await;
        group = answer.expect("known").nodegroup.filter(|group| group.status() == Some(&NodegroupStatus::Active));
        if group.is_some() {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    let group = group.expect("it becomes active");
    assert_eq!(group.scaling_config().and_then(|sizes| sizes.desired_size()), Some(2));
    assert!(group.health().is_some_and(|health| health.issues().is_empty()));
    let gone = client.describe_cluster().name("gone").send().await;
    assert!(gone.expect_err("gone").into_service_error().is_resource_not_found_exception());
}

#[tokio::test]
async fn ecs_is_understood() {
    let double = double().await;
    let client = aws_sdk_ecs::Client::new(&config(&double, "us-west-2", "test").await);
    let update =
        |service: &str| client.update_service().cluster("maip-prod-dr-ecs").service(service).desired_count(2).send();
    let service = update("maip-reports").await.expect("accepted").service.expect("described");
    let deployment = service.deployments().first().expect("one");
    assert_eq!((service.desired_count(), deployment.status()), (2, Some("PRIMARY")));
    assert_eq!(deployment.rollout_state(), Some(&DeploymentRolloutState::InProgress));
    assert!(update("gone").await.expect_err("gone").into_service_error().is_service_not_found_exception());
    let call = client.describe_services().cluster("gone").services("maip-reports");
    assert!(call.send().await.expect_err("gone").into_service_error().is_cluster_not_found_exception());
    let missing = client.describe_services().cluster("maip-prod-dr-ecs").services("gone").send().await;
    let missing = missing.expect("answered");
    assert_eq!(missing.failures().first().and_then(|failure| failure.reason()), Some("MISSING"));
}

#[tokio::test]
async fn msk_is_understood() {
    let double = double().await;
    let client = aws_sdk_kafka::Client::new(&config(&double, "us-west-2", "test").await);
    let listed = client.list_clusters().cluster_name_filter("maip-prod-dr-kafka").send().await.expect("answered");
    let arn = listed.cluster_info_list().first().and_then(|info| info.cluster_arn()).expect("one").to_owned();
    let info = client.describe_cluster().cluster_arn(&arn).send().await.expect("known").cluster_info;
    assert_eq!(info.as_ref().and_then(|info| info.state()), Some(&ClusterState::Active));
    assert!(info.is_some_and(|info| info.creation_time().is_some()));
    let gone = client.describe_cluster_v2().cluster_arn(format!("{arn}0")).send().await;
    assert!(gone.expect_err("gone").into_service_error().is_not_found_exception());
}

#[tokio::test]
async fn a_policys_refusal_is_understood() {
    let double = double().await;
    double.double.world(|world| {
        let policy = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Deny", "Action": "*", "Resource": "*" },
        ]});
        world.access_keys.get_mut("test").expect("the world has it").policy = Some(policy);
    });
    let config = config(&double, "us-west-2", "test").await;
    let refused = aws_sdk_ecs::Client::new(&config).list_clusters().send().await.expect_err("denied");
    let code = refused.into_service_error().meta().code().map(str::to_owned);
    assert_eq!(code.as_deref(), Some("AccessDeniedException"));
    let refused = aws_sdk_rds::Client::new(&config).describe_db_instances().send().await.expect_err("denied");
    let code = refused.into_service_error().meta().code().map(str::to_owned);
    assert_eq!(code.as_deref(), Some("AccessDenied"));
}
