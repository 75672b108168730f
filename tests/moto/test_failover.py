import json
import urllib.request

from stand import NEW, OLD, wait_for

ACCOUNT = "123456789012"
NAME = "api.example.com"


def zone(stand):
    route53 = stand.client("route53")
    made = route53.create_hosted_zone(Name="example.com.", CallerReference="1")["HostedZone"]["Id"].split("/")[-1]
    change = {
        "Action": "CREATE",
        "ResourceRecordSet": {"Name": NAME, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "127.0.0.1"}]},
    }
    route53.change_resource_record_sets(HostedZoneId=made, ChangeBatch={"Changes": [change]})
    return made


def records(stand, zone_id):
    found = stand.client("route53").list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    return {
        (one["Name"].rstrip("."), one["Type"]): [value["Value"] for value in one.get("ResourceRecords", [])]
        for one in found
    }


def topic(stand, region):
    attributes = {"FifoTopic": "true"}
    return stand.client("sns", region).create_topic(Name="oncall.fifo", Attributes=attributes)["TopicArn"]


def adopt(stand, service, yaml):
    path = stand.dir / f"{service}.yaml"
    path.write_text(yaml)
    stand.ctl("validate", "-f", path)
    stand.ctl("apply", "-f", path, "--yes")


def manifest(service, writer, resources, traffic):
    return f"""apiVersion: mesh/v1
service: {service}
writer: {writer}
regions: {{ {OLD}: primary, {NEW}: standby }}
objectives: {{ rto: 15m, rpo: 30s }}
{resources}{traffic}"""


def traffic_of(stand, zone_id):
    topics = {region: topic(stand, region) for region in (OLD, NEW)}
    return topics, f"""traffic:
  - name: api
    zone-id: {zone_id}
    record: {NAME}
    active:
      {OLD}: [{{ type: A, ttl: 60s, values: [127.0.0.1] }}]
      {NEW}: [{{ type: A, ttl: 60s, values: [127.0.0.2] }}]
verify:
  - name: api
    url: http://{NAME}:{stand.port}/health
    body-contains: '"region":"{{region}}"'
notices:
  - name: oncall
    sns: {{ {OLD}: "{topics[OLD]}", {NEW}: "{topics[NEW]}" }}
"""


def test_a_service_of_records_fails_over_with_verification_and_notice(stand):
    zone_id = zone(stand)
    topics, traffic = traffic_of(stand, zone_id)
    sqs = stand.client("sqs", NEW)
    queue = sqs.create_queue(QueueName="oncall.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    stand.client("sns", NEW).subscribe(TopicArn=topics[NEW], Protocol="sqs", Endpoint=arn)

    adopt(stand, "web", manifest("web", "multi", "", traffic))
    assert records(stand, zone_id)[(NAME, "A")] == ["127.0.0.1"], "adoption changes nothing"
    refused = stand.ctl("failover", "--to", NEW, "--yes", code=3)
    assert "meshctl arm" in refused, refused
    stand.ctl("arm", "web", "--yes")
    stand.ctl("traffic", "setup", "--service", "web", "--yes")
    stand.ctl("failover", "--to", NEW, "--yes")

    now = records(stand, zone_id)
    assert now[(NAME, "A")] == ["127.0.0.2"]
    assert now[(f"_mesh.{NAME}", "TXT")][0].startswith('"2.'), "the token is of the second generation"
    [notice] = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert json.loads(notice["Body"])["Subject"] == f"web now runs in {NEW}"
    stand.ctl("audit", "verify")


def database(stand):
    east, west = stand.client("rds", OLD), stand.client("rds", NEW)
    groups = {}
    for region in (OLD, NEW):
        ec2 = stand.client("ec2", region)
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        groups[region] = [
            ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"] for name in ("open", "closed")
        ]
    source = east.create_db_instance(
        DBInstanceIdentifier="orders",
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        MasterUsername="u",
        MasterUserPassword="secretsecret",
        AllocatedStorage=10,
        BackupRetentionPeriod=7,
        VpcSecurityGroupIds=[groups[OLD][0]],
    )["DBInstance"]["DBInstanceArn"]
    west.create_db_instance_read_replica(
        DBInstanceIdentifier="orders-replica", SourceDBInstanceIdentifier=source, VpcSecurityGroupIds=[groups[NEW][0]]
    )
    return groups


def groups_of(stand, region, instance):
    [found] = stand.client("rds", region).describe_db_instances(DBInstanceIdentifier=instance)["DBInstances"]
    return [group["VpcSecurityGroupId"] for group in found["VpcSecurityGroups"]]


def test_a_database_is_fenced_and_not_promoted_without_proof(stand):
    groups = database(stand)
    _, traffic = traffic_of(stand, zone(stand))
    resources = f"""resources:
  - name: database
    rds:
      instances:
        {OLD}: {{ instance: orders, security-groups: [{groups[OLD][0]}], closed-security-group: {groups[OLD][1]} }}
        {NEW}: {{ instance: orders-replica, security-groups: [{groups[NEW][0]}], closed-security-group: {groups[NEW][1]} }}
policy:
  fence-timeout: 15s
"""
    adopt(stand, "orders", manifest("orders", "single", resources, traffic))
    stand.ctl("arm", "orders", "--yes")
    stand.ctl("traffic", "setup", "--service", "orders", "--yes")
    stand.ctl("failover", "--to", NEW, "--yes", "--no-wait")

    def fenced():
        return groups_of(stand, OLD, "orders") == [groups[OLD][1]]

    wait_for("the fence", fenced)

    # moto restarts without an event, so the end of the sessions cannot be proven: the run must not promote.
    def state():
        [run] = [one for one in stand.ctl("history", json_output=True) if one["run"] == "orders-g2"]
        return run["state"] if isinstance(run["state"], str) else run["state"].get("state")

    wait_for("the run is held", lambda: state() == "held")
    [replica] = stand.client("rds", NEW).describe_db_instances(DBInstanceIdentifier="orders-replica")["DBInstances"]
    assert replica["ReadReplicaSourceDBInstanceIdentifier"], "nothing was promoted"
    stand.ctl("abort", "orders-g2", "--reason", "moto goes no further", "--yes")
    # The reboot is in doubt, and RDS could not refuse it if it came late: the fence stays until it no longer can.
    assert state() == "unwinding"
    assert fenced()


def test_what_moto_holds_is_found(stand):
    database(stand)
    zone_id = zone(stand)
    stand.client("dynamodb").create_table(
        TableName="analytics",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    stand.client("ecs").create_cluster(clusterName="jobs")
    for region in (OLD, NEW):
        topic(stand, region)
    balancer = {"Name": "www.example.com", "Type": "CNAME", "TTL": 60}
    balancer["ResourceRecords"] = [{"Value": "found-alb.us-east-1.elb.amazonaws.com"}]
    changes = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": balancer}]}
    stand.client("route53").change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=changes)
    draft = stand.ctl("import", "--service", "found", "--primary", OLD, "--standby", NEW)
    for name in ("instance: orders\n", "instance: orders-replica\n", zone_id, "www.example.com", "oncall.fifo"):
        assert name in draft, f"{name} is missing in:\n{draft}"


def test_moto_itself_answers(stand):
    """The suite's own footing: what is asserted about the mesh is not an effect of a dead moto."""
    with urllib.request.urlopen(stand.aws + "/moto-api/", timeout=5) as answer:
        assert answer.status == 200
