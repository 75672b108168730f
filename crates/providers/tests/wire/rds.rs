//! RDS as it answers.

use mesh_core::execute::{CallResult, Observation};
use mesh_providers::Provider;
use serde_json::Value;

use crate::jobs;
use crate::stub::{Reply, Request, Stub};

fn instance(status: &str, group: &str, group_status: &str, source: &str) -> String {
    let source = match source {
        "" => String::new(),
        arn => format!("<ReadReplicaSourceDBInstanceIdentifier>{arn}</ReadReplicaSourceDBInstanceIdentifier>"),
    };
    format!(
        "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance>\
         <DBInstanceIdentifier>maip-db</DBInstanceIdentifier><DBInstanceStatus>{status}</DBInstanceStatus>\
         <BackupRetentionPeriod>1</BackupRetentionPeriod>{source}\
         <VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>{group}</VpcSecurityGroupId>\
         <Status>{group_status}</Status></VpcSecurityGroupMembership></VpcSecurityGroups>\
         </DBInstance></DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>"
    )
}

fn is(request: &Request, action: &str) -> bool {
    request.body.contains(&format!("Action={action}"))
}

fn restarted(at: &str) -> String {
    format!(
        "<DescribeEventsResponse><DescribeEventsResult><Events><Event><SourceIdentifier>maip-db\
         </SourceIdentifier><Message>DB instance restarted</Message><Date>{at}</Date></Event></Events>\
         </DescribeEventsResult></DescribeEventsResponse>"
    )
}

#[tokio::test]
async fn the_fences_read_back_holds_the_providers_own_time_and_the_restarts_listed_after_it() {
    let stub = Stub::start(|request| match is(request, "DescribeEvents") {
        true => Reply::Text(200, restarted("2014-04-29T18:30:38.250Z")),
        false => Reply::Text(200, instance("available", "sg-closed", "active", "")),
    })
    .await;
    let Observation::Satisfied { read_back } = stub.providers().await.observe(&jobs::fence(), None).await else {
        panic!("the fence holds");
    };
    let read_back: Value = serde_json::from_str(&read_back).expect("JSON");
    assert_eq!(read_back["security_groups"], serde_json::json!(["sg-closed"]));
    assert_eq!(read_back["status"], "available");
    assert_eq!(read_back["provider_time_ms"], 1_398_796_238_000u64, "the Date header of the reply");
    assert_eq!(read_back["known_events_ms"], serde_json::json!([1_398_796_238_250u64]));
    let order: Vec<_> = stub.seen().iter().map(|request| is(request, "DescribeEvents")).collect();
    assert_eq!(order, [false, true], "what is not listed came after the sight");
}

#[tokio::test]
async fn an_unfence_asks_for_no_events() {
    let stub = Stub::start(|_| Reply::Text(200, instance("available", "sg-open", "active", ""))).await;
    let mut job = jobs::fence();
    job.action = mesh_core::plan::Action::RdsSetSecurityGroups {
        instance: "maip-db".to_owned(),
        security_groups: ["sg-open".to_owned()].into(),
        purpose: mesh_core::plan::SecurityGroupPurpose::Unfence,
    };
    let observed = stub.providers().await.observe(&job, None).await;
    assert!(matches!(observed, Observation::Satisfied { .. }), "{observed:?}");
    assert_eq!(stub.seen_with("Action=DescribeEvents").len(), 0);
}

#[tokio::test]
async fn a_fence_sends_exactly_the_closed_groups_at_once() {
    let stub = Stub::start(|request| match is(request, "ModifyDBInstance") {
        true => Reply::Text(
            200,
            "<ModifyDBInstanceResponse><ModifyDBInstanceResult/></ModifyDBInstanceResponse>".to_owned(),
        ),
        false => Reply::Text(200, instance("available", "sg-open", "active", "")),
    })
    .await;
    let providers = stub.providers().await;
    let Observation::Ready { before } = providers.observe(&jobs::fence(), None).await else {
        panic!("it can be fenced");
    };
    assert_eq!(before, r#"{"security_groups":["sg-open"]}"#);
    let result = providers.call(&jobs::fence(), &before).await;
    assert_eq!(result, CallResult::Accepted { reference: "request-1".to_owned() });
    let sent = stub.seen_with("Action=ModifyDBInstance");
    assert_eq!(sent.len(), 1);
    assert!(sent[0].body.contains("VpcSecurityGroupIds.VpcSecurityGroupId.1=sg-closed"), "{}", sent[0].body);
    assert!(!sent[0].body.contains("VpcSecurityGroupId.2"), "no other group");
    assert!(sent[0].body.contains("ApplyImmediately=true"), "not in the maintenance window");
    assert!(sent[0].head.contains("/us-west-2/rds/aws4_request"), "signed for the agent's own region");
}

#[tokio::test]
async fn a_reboot_is_proven_by_a_restart_event_later_than_the_fence() {
    let mut job =
        jobs::job("rds-reboot-database", mesh_core::plan::Action::RdsReboot { instance: "maip-db".to_owned() });
    for (at, expected) in [("2014-04-29T18:30:20.900Z", false), ("2014-04-29T18:30:21.000Z", true)] {
        let stub = Stub::start(move |request| match is(request, "DescribeEvents") {
            true => Reply::Text(200, restarted(at)),
            false => Reply::Text(200, instance("available", "sg-closed", "active", "")),
        })
        .await;
        let providers = stub.providers().await;
        job.evidence.clear();
        assert!(matches!(providers.observe(&job, None).await, Observation::Pending { .. }), "no fence, no reboot");
        let fence = r#"{"security_groups":["sg-closed"],"status":"available","provider_time_ms":1398796220000}"#;
        let step = mesh_core::ids::StepId::new("rds-fence-database").expect("a name");
        job.evidence.insert(step, fence.to_owned());
        let observed = providers.observe(&job, None).await;
        assert_eq!(matches!(observed, Observation::Satisfied { .. }), expected, "{at}: {observed:?}");
        assert_eq!(matches!(observed, Observation::Ready { .. }), !expected, "{at}: {observed:?}");
    }
}

#[tokio::test]
async fn a_replica_is_promoted_once_and_a_promoted_one_is_done() {
    let source = "arn:aws:rds:us-east-1:123456789012:db:maip-primary";
    for (status, source, expected) in
        [("available", source, "ready"), ("modifying", source, "pending"), ("available", "", "satisfied")]
    {
        let body = instance(status, "sg-open", "active", source);
        let stub = Stub::start(move |_| Reply::Text(200, body.clone())).await;
        let seen = match stub.providers().await.observe(&jobs::promote(), None).await {
            Observation::Ready { .. } => "ready",
            Observation::Pending { .. } => "pending",
            Observation::Satisfied { .. } => "satisfied",
            _ => "other",
        };
        assert_eq!(seen, expected, "{status} {source:?}");
    }
}
