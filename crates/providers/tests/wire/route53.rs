//! Route 53 as it answers.

use mesh_core::execute::{CallResult, Observation};
use mesh_providers::Provider;

use crate::dns::DnsStub;
use crate::jobs;
use crate::stub::{Reply, Request, Stub, providers_at};

fn listed(token: &str, target: &str) -> String {
    format!(
        "<ListResourceRecordSetsResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
         <ResourceRecordSets>\
         <ResourceRecordSet><Name>api.example.com.</Name><Type>A</Type><AliasTarget>\
         <HostedZoneId>Z1H1FL5HABSF5</HostedZoneId><DNSName>{target}.elb.amazonaws.com.</DNSName>\
         <EvaluateTargetHealth>true</EvaluateTargetHealth></AliasTarget></ResourceRecordSet>\
         <ResourceRecordSet><Name>_mesh.api.example.com.</Name><Type>TXT</Type><TTL>60</TTL><ResourceRecords>\
         <ResourceRecord><Value>\"{token}\"</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>\
         </ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>100</MaxItems>\
         </ListResourceRecordSetsResponse>"
    )
}

fn change(kind: &str, status: &str) -> String {
    format!(
        "<{kind} xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeInfo><Id>/change/C1</Id>\
         <Status>{status}</Status><SubmittedAt>2014-04-29T18:30:38Z</SubmittedAt></ChangeInfo></{kind}>"
    )
}

fn is_post(request: &Request) -> bool {
    request.head.starts_with("POST ")
}

#[tokio::test]
async fn a_move_deletes_what_was_observed_and_is_done_when_in_sync() {
    let stub = Stub::start(|request| {
        Reply::Text(
            200,
            match is_post(request) {
                true => change("ChangeResourceRecordSetsResponse", "PENDING"),
                false => listed("6.40", "use1"),
            },
        )
    })
    .await;
    let providers = stub.providers().await;
    let Observation::Ready { before } = providers.observe(&jobs::replace(), None).await else {
        panic!("it can be moved");
    };
    let CallResult::Accepted { reference } = providers.call(&jobs::replace(), &before).await else {
        panic!("it was accepted");
    };
    assert_eq!(reference, "/change/C1");
    let posts = stub.seen_with("POST ");
    assert_eq!(posts.len(), 1);
    assert!(posts[0].head.contains("/us-east-1/route53/aws4_request"), "Route 53 is signed for us-east-1");
    let body = &posts[0].body;
    let order =
        ["DELETE", "&quot;6.40&quot;", "CREATE", "&quot;7.12&quot;", "DELETE", "use1.elb", "CREATE", "usw2.elb"];
    let mut from = 0;
    for part in order {
        let at = body[from..].find(part).unwrap_or_else(|| panic!("{part} in {order:?} of {body}"));
        from += at + part.len();
    }

    for (status, expected) in [("PENDING", false), ("INSYNC", true)] {
        let stub = Stub::start(move |request| {
            Reply::Text(
                200,
                match request.head.contains("/change/C1") {
                    true => change("GetChangeResponse", status),
                    false => listed("7.12", "usw2"),
                },
            )
        })
        .await;
        let observed = stub.providers().await.observe(&jobs::replace(), Some(&reference)).await;
        assert_eq!(matches!(observed, Observation::Satisfied { .. }), expected, "{status}: {observed:?}");
        assert_eq!(matches!(observed, Observation::Pending { .. }), !expected, "{status}: {observed:?}");
    }
}

#[tokio::test]
async fn a_lost_reply_is_settled_by_the_name_servers() {
    let stub = Stub::start(|_| Reply::Text(200, listed("7.12", "usw2"))).await;
    for (first, second, expected) in [("6.40", "7.12", false), ("7.12", "7.12", true)] {
        let servers = [DnsStub::start(first, false).await, DnsStub::start(second, true).await];
        let addresses = servers.iter().map(|server| server.address).collect();
        let providers = providers_at(&stub.endpoint(), addresses).await;
        let observed = providers.observe(&jobs::replace(), None).await;
        assert_eq!(matches!(observed, Observation::Satisfied { .. }), expected, "{first} {second}: {observed:?}");
        assert_eq!(matches!(observed, Observation::Pending { .. }), !expected, "{first} {second}: {observed:?}");
    }
}

#[tokio::test]
async fn a_batch_made_from_a_stale_look_may_be_made_again_and_a_wrong_one_may_not() {
    for (message, stale) in [
        ("Tried to delete resource record set [name='_mesh.api.example.com.', type='TXT'] but it was not found", true),
        (
            "Tried to delete resource record set [name='a.', type='A'] but the values provided do not match the current \
          values",
            true,
        ),
        ("Tried to create resource record set [name='a.', type='A'] but it already exists", true),
        (
            "Tried to create an alias that targets nothing., type A in zone Z1, but the alias target name does not lie \
          within the target zone",
            false,
        ),
    ] {
        for messages in [
            format!(
                "<ErrorResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Error><Type>Sender</Type>\
                 <Code>InvalidChangeBatch</Code><Message>[{message}]</Message></Error></ErrorResponse>"
            ),
            format!(
                "<InvalidChangeBatch xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Messages><Message>\
                 {message}</Message></Messages><RequestId>r</RequestId></InvalidChangeBatch>"
            ),
        ] {
            let body = messages.clone();
            let stub = Stub::start(move |request| match is_post(request) {
                true => Reply::Text(400, body.clone()),
                false => Reply::Text(200, listed("6.40", "use1")),
            })
            .await;
            let providers = stub.providers().await;
            let Observation::Ready { before } = providers.observe(&jobs::replace(), None).await else {
                panic!("it can be moved");
            };
            let result = providers.call(&jobs::replace(), &before).await;
            assert_eq!(matches!(result, CallResult::NotApplied { .. }), stale, "{messages}: {result:?}");
            assert_eq!(matches!(result, CallResult::Rejected { .. }), !stale, "{messages}: {result:?}");
        }
    }
}
