"""A caller's policy is evaluated on every call, and the refusal is the service's own."""

import urllib.error
import urllib.request

import pytest

from double import EAST, REPLICA, WEST, ZONE
from errors import refused

ACCOUNT = "123456789012"


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.fixture
def limited(double):
    """Sets the policy of the key named `test`."""

    def set_policy(*statements):
        double.control("POST", "policies/test", policy(*statements))

    return set_policy


@pytest.mark.parametrize("service,call,code,status", [
    ("rds", "describe_db_instances", "AccessDenied", 403),
    ("route53", "list_hosted_zones", "AccessDenied", 403),
    ("sns", "list_topics", "AuthorizationError", 403),
    ("cloudwatch", "list_metrics", "AccessDenied", 403),
    ("eks", "list_clusters", "AccessDeniedException", 403),
    ("kafka", "list_clusters", "AccessDeniedException", 403),
    ("ecs", "list_clusters", "AccessDeniedException", 400),
    ("dynamodb", "list_tables", "AccessDeniedException", 400),
])
def test_what_no_statement_allows_is_refused_as_the_service_refuses(double, limited, service, call, code, status):
    getattr(double.client(service), call)()
    limited(allow("sts:*"))
    with refused(code, status, says="is not authorized to perform"):
        getattr(double.client(service), call)()
    assert double.effects()[-1]["outcome"] == "refused"


def test_the_refusal_names_user_action_and_resource(double, limited):
    limited(allow("rds:DescribeDBInstances"))
    says = f"User: arn:aws:iam::{ACCOUNT}:user/test is not authorized to perform: rds:PromoteReadReplica"
    says += f" on resource: arn:aws:rds:{WEST}:{ACCOUNT}:db:{REPLICA} because no identity-based policy allows"
    with refused("AccessDenied", 403, says=says):
        double.client("rds", WEST).promote_read_replica(DBInstanceIdentifier=REPLICA)
    assert double.instance(WEST, REPLICA)["status"] == "available"


def test_a_resource_is_one_of_those_named(double, limited):
    limited(allow("rds:PromoteReadReplica", f"arn:aws:rds:{WEST}:{ACCOUNT}:db:maip-prod-*"))
    rds = double.client("rds", WEST)
    rds.promote_read_replica(DBInstanceIdentifier=REPLICA)
    with refused("AccessDenied"):
        rds.promote_read_replica(DBInstanceIdentifier="other")


def test_a_call_without_a_resource_needs_all_of_them(double, limited):
    limited(allow("route53:*", f"arn:aws:route53:::hostedzone/{ZONE}"))
    route53 = double.client("route53")
    assert route53.list_resource_record_sets(HostedZoneId=ZONE)["ResourceRecordSets"]
    with refused("AccessDenied"):
        route53.list_hosted_zones()


def test_a_denial_outweighs(double, limited):
    limited(allow("*"), {"Effect": "Deny", "Action": "eks:Update*", "Resource": "*"})
    eks = double.client("eks", WEST)
    cluster = eks.list_clusters()["clusters"][0]
    with refused("AccessDeniedException", 403, says="with an explicit deny in an identity-based policy"):
        eks.update_nodegroup_config(
            clusterName=cluster, nodegroupName="maip-prod-dr-nodegroup", scalingConfig={"desiredSize": 2}
        )


def test_a_condition_on_the_region(double, limited):
    limited(allow(["ecs:List*", "rds:Describe*"], Condition={"StringEquals": {"aws:RequestedRegion": WEST}}))
    assert double.client("ecs", WEST).list_clusters()["clusterArns"]
    with refused("AccessDeniedException"):
        double.client("ecs", EAST).list_clusters()
    with refused("AccessDenied"):
        double.client("rds", EAST).describe_db_instances()


def test_a_condition_on_what_a_batch_changes(double, limited):
    names = {"route53:ChangeResourceRecordSetsNormalizedRecordNames": ["api.maip.example.com"]}
    limited(allow("route53:ChangeResourceRecordSets", Condition={"ForAllValues:StringEquals": names}))
    route53 = double.client("route53")

    def change(name):
        record = {"Name": name, "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"1"'}]}
        changes = [{"Action": "CREATE", "ResourceRecordSet": record}]
        route53.change_resource_record_sets(HostedZoneId=ZONE, ChangeBatch={"Changes": changes})

    change("api.maip.example.com.")
    with refused("AccessDenied"):
        change("other.maip.example.com.")


def test_a_node_groups_arn_carries_its_cluster(double, limited):
    cluster, group = "maip-prod-dr-eks-cluster", "maip-prod-dr-nodegroup"
    limited(allow("eks:DescribeNodegroup", f"arn:aws:eks:{WEST}:{ACCOUNT}:nodegroup/{cluster}/{group}/*"))
    eks = double.client("eks", WEST)
    assert eks.describe_nodegroup(clusterName=cluster, nodegroupName=group)["nodegroup"]
    with refused("AccessDeniedException"):
        eks.describe_cluster(name=cluster)


def test_who_one_is_may_always_be_asked(double, limited):
    limited({"Effect": "Deny", "Action": "*", "Resource": "*"})
    assert double.client("sts").get_caller_identity()["Account"] == ACCOUNT


def test_without_a_policy_everything_is_allowed_again(double, limited):
    limited(allow("sts:*"))
    request = urllib.request.Request(f"{double.aws}/_double/policies/test", data=b"null", method="POST")
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert reply.status == 200
    assert double.client("rds").describe_db_instances()["DBInstances"]


@pytest.mark.parametrize("document", [
    {"Statement": []},
    policy({"Effect": "Allow", "Action": "rds:*"}),
    policy(allow("rds:*", Condition={"NumericEquals": {"aws:RequestedRegion": "1"}})),
    policy(allow("rds:*", Condition={"StringEquals": {"aws:Moon": "full"}})),
    policy(allow("rds:*", "arn:aws:rds:*:*:db:${aws:username}")),
])
def test_what_the_double_cannot_evaluate_it_does_not_take(double, document):
    with pytest.raises(urllib.error.HTTPError):
        double.control("POST", "policies/test", document)


def test_a_policy_of_nobody_is_refused(double):
    with pytest.raises(urllib.error.HTTPError):
        double.control("POST", "policies/nobody", policy(allow("*")))
