import datetime
import uuid

import pytest

from double import EAST, WEST, WITNESS, eventually
from errors import refused

TABLE = "maip-prod-merchant-analytics"
ON_DEMAND = {"BillingMode": "PAY_PER_REQUEST"}
STREAM = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}}


@pytest.fixture
def east(double):
    double.settings(dynamodb_table_ms=200, dynamodb_replica_ms=400, dynamodb_replication_lag_ms=50)
    return double.client("dynamodb", EAST)


@pytest.fixture
def west(double):
    return double.client("dynamodb", WEST)


def table(client, name=TABLE):
    return client.describe_table(TableName=name)["Table"]


def create(client, name="orders", range_key=None, **more):
    keys = [("pk", "HASH", "S")] + ([(range_key, "RANGE", "N")] if range_key else [])
    return client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, _, kind in keys],
        KeySchema=[{"AttributeName": key, "KeyType": role} for key, role, _ in keys],
        **{**ON_DEMAND, **more},
    )["TableDescription"]


def active(client, name="orders"):
    return eventually(lambda: table(client, name)["TableStatus"] == "ACTIVE" and table(client, name), f"{name} active")


def item(merchant, **attributes):
    return {"merchant_id": {"S": merchant}, **{name: {"N": str(value)} for name, value in attributes.items()}}


def put(client, merchant, **attributes):
    client.put_item(TableName=TABLE, Item=item(merchant, **attributes))


def get(client, merchant):
    return client.get_item(TableName=TABLE, Key=item(merchant), ConsistentRead=True).get("Item")


def replicas(client, name=TABLE):
    return {one["RegionName"]: one["ReplicaStatus"] for one in table(client, name).get("Replicas", [])}


# Tables.


def test_a_table_is_creating_and_then_active(double, east):
    double.settings(dynamodb_table_ms=2000)
    assert create(east)["TableStatus"] == "CREATING"
    with refused("ResourceNotFoundException", 400, "Requested resource not found"):
        east.put_item(TableName="orders", Item={"pk": {"S": "a"}})
    with refused("ResourceInUseException", 400, "already exists"):
        create(east)
    with refused("ResourceInUseException", 400):
        east.delete_table(TableName="orders")
    found = active(east)
    assert found["TableArn"] == f"arn:aws:dynamodb:{EAST}:123456789012:table/orders"
    assert found["KeySchema"] == [{"AttributeName": "pk", "KeyType": "HASH"}]
    assert found["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert "GlobalTableVersion" not in found and "Replicas" not in found
    (activity,) = double.activities("table-creation")
    assert activity["ended_ms"] - activity["started_ms"] >= 2000


def test_a_deleted_table_is_deleting_and_then_gone(double, east):
    double.settings(dynamodb_table_ms=100)
    create(east)
    active(east)
    double.settings(dynamodb_table_ms=1000)
    assert east.delete_table(TableName="orders")["TableDescription"]["TableStatus"] == "DELETING"
    with refused("ResourceNotFoundException"):
        east.get_item(TableName="orders", Key={"pk": {"S": "a"}})
    eventually(lambda: "orders" not in east.list_tables()["TableNames"], "gone")
    with refused("ResourceNotFoundException", 400, "orders"):
        table(east, "orders")


def test_tables_of_a_region_are_listed_in_pages(double, east, west):
    double.settings(dynamodb_table_ms=0)
    for name in ("aaa", "bbb", "ccc"):
        create(east, name)
    page = east.list_tables(Limit=2)
    assert (page["TableNames"], page["LastEvaluatedTableName"]) == (["aaa", "bbb"], "bbb")
    rest = east.list_tables(ExclusiveStartTableName="bbb")
    assert rest["TableNames"] == ["ccc", TABLE] and "LastEvaluatedTableName" not in rest
    assert west.list_tables()["TableNames"] == [TABLE]
    with refused("ValidationException"):
        east.list_tables(Limit=101)


def test_a_table_that_does_not_make_sense_is_refused(east):
    with refused("ValidationException", 400, "at least 3"):
        create(east, "ab")
    with refused("ValidationException", 400, "ReadCapacityUnits"):
        create(east, BillingMode="PROVISIONED")
    with refused("ValidationException", 400, "AttributeDefinitions"):
        east.create_table(
            TableName="orders",
            AttributeDefinitions=[{"AttributeName": "other", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            **ON_DEMAND,
        )
    with refused("UnsupportedByDouble"):
        create(east, Tags=[{"Key": "a", "Value": "b"}])
    with refused("UnsupportedByDouble"):
        east.describe_time_to_live(TableName=TABLE)


# Items.


def test_items_are_put_got_changed_and_deleted(east):
    put(east, "m1", orders=3)
    assert get(east, "m1") == item("m1", orders=3)
    old = east.put_item(TableName=TABLE, Item=item("m1", orders=4), ReturnValues="ALL_OLD")
    assert old["Attributes"] == item("m1", orders=3)
    new = east.update_item(
        TableName=TABLE,
        Key=item("m1"),
        UpdateExpression="SET orders = orders + :one, #n = if_not_exists(#n, :name) ADD refunds :one",
        ExpressionAttributeNames={"#n": "name"},
        ExpressionAttributeValues={":one": {"N": "1"}, ":name": {"S": "Acme"}},
        ReturnValues="UPDATED_NEW",
    )
    assert new["Attributes"] == {"orders": {"N": "5"}, "refunds": {"N": "1"}, "name": {"S": "Acme"}}
    gone = east.delete_item(TableName=TABLE, Key=item("m1"), ReturnValues="ALL_OLD")
    assert gone["Attributes"]["orders"] == {"N": "5"}
    assert get(east, "m1") is None
    east.delete_item(TableName=TABLE, Key=item("m1"))


def test_every_kind_of_value_comes_back_as_it_was(east):
    values = {
        "s": {"S": "é"},
        "n": {"N": "-12.5"},
        "b": {"B": b"\x00\xff"},
        "t": {"BOOL": True},
        "z": {"NULL": True},
        "l": {"L": [{"S": "a"}, {"N": "1"}]},
        "m": {"M": {"k": {"L": []}}},
        "ss": {"SS": ["a", "b"]},
        "ns": {"NS": ["1", "2"]},
        "bs": {"BS": [b"a"]},
    }
    east.put_item(TableName=TABLE, Item={**item("m"), **values})
    assert get(east, "m") == {**item("m"), **values}


def test_a_condition_decides_about_a_write(east):
    new = dict(ConditionExpression="attribute_not_exists(merchant_id)")
    east.put_item(TableName=TABLE, Item=item("m", v=1), **new)
    with refused("ConditionalCheckFailedException", 400, "The conditional request failed"):
        east.put_item(TableName=TABLE, Item=item("m", v=2), **new)
    versioned = dict(
        Key=item("m"),
        UpdateExpression="SET v = :next",
        ConditionExpression="attribute_exists(merchant_id) AND v = :seen",
    )
    values = {":seen": {"N": "1.0"}, ":next": {"N": "2"}}
    east.update_item(TableName=TABLE, ExpressionAttributeValues=values, **versioned)
    with pytest.raises(east.exceptions.ConditionalCheckFailedException) as caught:
        more = dict(ReturnValuesOnConditionCheckFailure="ALL_OLD")
        east.update_item(TableName=TABLE, ExpressionAttributeValues=values, **versioned, **more)
    assert caught.value.response["Item"] == item("m", v=2)
    with refused("ConditionalCheckFailedException"):
        east.delete_item(TableName=TABLE, Key=item("gone"), ConditionExpression="attribute_exists(merchant_id)")


@pytest.mark.parametrize(
    "condition, holds",
    [
        ("v BETWEEN :one AND :five", True),
        ("v IN (:one, :three)", True),
        ("v <> :three", False),
        ("absent <> :three", True),
        ("absent = :three", False),
        ("NOT v < :three AND (v >= :five OR begins_with(s, :pre))", True),
        ("contains(s, :mid) AND size(s) = :five", True),
        ("attribute_type(s, :kind)", True),
        ("doc.parts[1] = :three", True),
        ("attribute_exists(doc.parts[2])", False),
    ],
)
def test_conditions(east, condition, holds):
    document = {"doc": {"M": {"parts": {"L": [{"N": "1"}, {"N": "3"}]}}}, "s": {"S": "hello"}}
    east.put_item(TableName=TABLE, Item={**item("m", v=3), **document})
    all_values = {":one": {"N": "1"}, ":three": {"N": "3"}, ":five": {"N": "5"}, ":pre": {"S": "he"}, ":mid": {"S": "ell"}, ":kind": {"S": "S"}}
    values = {name: value for name, value in all_values.items() if name in condition}
    more = {"ExpressionAttributeValues": values} if values else {}
    if holds:
        east.delete_item(TableName=TABLE, Key=item("m"), ConditionExpression=condition, **more)
    else:
        with refused("ConditionalCheckFailedException"):
            east.delete_item(TableName=TABLE, Key=item("m"), ConditionExpression=condition, **more)


def test_requests_that_do_not_make_sense_are_refused(east):
    with refused("ValidationException", 400, "Missing the key merchant_id"):
        east.put_item(TableName=TABLE, Item={"other": {"S": "a"}})
    with refused("ValidationException", 400, "Type mismatch for key merchant_id expected: S actual: N"):
        east.put_item(TableName=TABLE, Item={"merchant_id": {"N": "1"}})
    with refused("ValidationException", 400, "empty string value"):
        east.put_item(TableName=TABLE, Item=item(""))
    with refused("ValidationException", 400, "does not match the schema"):
        east.get_item(TableName=TABLE, Key=item("m", v=1))
    with refused("ValidationException", 400, "part of the key"):
        east.update_item(
            TableName=TABLE,
            Key=item("m"),
            UpdateExpression="SET merchant_id = :a",
            ExpressionAttributeValues={":a": {"S": "b"}},
        )
    with refused("ValidationException", 400, "is not defined"):
        east.put_item(TableName=TABLE, Item=item("m"), ConditionExpression="v = :a")
    with refused("ValidationException", 400, "unused in expressions"):
        east.put_item(
            TableName=TABLE,
            Item=item("m"),
            ConditionExpression="attribute_exists(v)",
            ExpressionAttributeValues={":a": {"S": "b"}},
        )
    with refused("ValidationException", 400, "reserved keyword: Status"):
        east.put_item(TableName=TABLE, Item=item("m"), ConditionExpression="attribute_not_exists(Status)")
    for wrong in ("v =", "= :a", "v = :a AND", "(v = :a", "nonsense(v) AND v = :a"):
        with refused("ValidationException", 400, "Invalid ConditionExpression"):
            values = {":a": {"S": "b"}}
            east.put_item(TableName=TABLE, Item=item("m"), ConditionExpression=wrong, ExpressionAttributeValues=values)
    with refused("ResourceNotFoundException", 400):
        east.put_item(TableName="gone", Item=item("m"))
    with refused("UnsupportedByDouble"):
        east.put_item(TableName=TABLE, Item=item("m"), Expected={"v": {"Exists": False}})


def test_an_item_has_at_most_400_kilobytes(east):
    room = 400 * 1024 - len("merchant_id") - len("m") - len("body")
    east.put_item(TableName=TABLE, Item={**item("m"), "body": {"S": "x" * room}})
    with refused("ValidationException", 400, "Item size has exceeded the maximum allowed size"):
        east.put_item(TableName=TABLE, Item={**item("m"), "body": {"S": "x" * (room + 1)}})
    with refused("ValidationException", 400, "Item size to update has exceeded"):
        east.update_item(
            TableName=TABLE, Key=item("m"), UpdateExpression="SET a = :a", ExpressionAttributeValues={":a": {"S": "b"}}
        )


def test_a_batch_has_at_most_25_writes_and_no_item_twice(east):
    def puts(count):
        return [{"PutRequest": {"Item": item(f"m{number}")}} for number in range(count)]

    assert east.batch_write_item(RequestItems={TABLE: puts(25)})["UnprocessedItems"] == {}
    with refused("ValidationException", 400, "25"):
        east.batch_write_item(RequestItems={TABLE: puts(26)})
    with refused("ValidationException", 400, "duplicates"):
        east.batch_write_item(RequestItems={TABLE: puts(1) + [{"DeleteRequest": {"Key": item("m0")}}]})
    east.batch_write_item(RequestItems={TABLE: [{"DeleteRequest": {"Key": item("m0")}}]})
    found = east.batch_get_item(RequestItems={TABLE: {"Keys": [item("m0"), item("m1"), item("m2")]}})
    assert sorted(one["merchant_id"]["S"] for one in found["Responses"][TABLE]) == ["m1", "m2"]


def test_a_transaction_is_all_or_nothing(east):
    put(east, "a", v=1)

    def transact(seen, token=None):
        check = dict(ConditionExpression="v = :seen", ExpressionAttributeValues={":seen": {"N": str(seen)}})
        writes = [
            {"Put": {"TableName": TABLE, "Item": item("b", v=7)}},
            {"ConditionCheck": {"TableName": TABLE, "Key": item("a"), **check}},
        ]
        more = {"ClientRequestToken": token} if token else {}
        east.transact_write_items(TransactItems=writes, **more)

    with pytest.raises(east.exceptions.TransactionCanceledException) as caught:
        transact(2)
    reasons = [one["Code"] for one in caught.value.response["CancellationReasons"]]
    assert reasons == ["None", "ConditionalCheckFailed"] and get(east, "b") is None
    token = str(uuid.uuid4())
    transact(1, token)
    assert get(east, "b") == item("b", v=7)
    east.delete_item(TableName=TABLE, Key=item("b"))
    transact(1, token)
    assert get(east, "b") is None, "once for each token"
    with refused("IdempotentParameterMismatchException", 400):
        transact(2, token)


def test_a_query_reads_a_partition_in_order(double, east):
    double.settings(dynamodb_table_ms=0)
    create(east, range_key="stamp")
    active(east)
    for at in (10, 9, 100, -1):
        east.put_item(TableName="orders", Item={"pk": {"S": "a"}, "stamp": {"N": str(at)}, "odd": {"BOOL": at % 2 == 1}})
    east.put_item(TableName="orders", Item={"pk": {"S": "b"}, "stamp": {"N": "1"}})
    values = {":pk": {"S": "a"}}

    def query(condition="pk = :pk", more_values=None, **more):
        more_values = {**values, **(more_values or {})}
        answer = east.query(
            TableName="orders", KeyConditionExpression=condition, ExpressionAttributeValues=more_values, **more
        )
        return [int(one["stamp"]["N"]) for one in answer["Items"]], answer

    assert query()[0] == [-1, 9, 10, 100]
    assert query(ScanIndexForward=False)[0] == [100, 10, 9, -1]
    assert query("pk = :pk AND stamp BETWEEN :a AND :b", {":a": {"N": "9"}, ":b": {"N": "10"}})[0] == [9, 10]
    found, page = query(Limit=2)
    assert found == [-1, 9]
    assert query(ExclusiveStartKey=page["LastEvaluatedKey"])[0] == [10, 100]
    found, page = query(more_values={":yes": {"BOOL": True}}, FilterExpression="odd = :yes")
    assert found == [-1, 9] and page["ScannedCount"] == 4
    assert east.scan(TableName="orders", Select="COUNT")["Count"] == 5
    pages = east.get_paginator("scan").paginate(TableName="orders", PaginationConfig={"PageSize": 2})
    assert sum(len(page["Items"]) for page in pages) == 5
    for wrong in ("stamp = :pk", "pk > :pk", "pk = :pk OR stamp = :pk", "pk = :pk AND odd = :pk"):
        with refused("ValidationException"):
            query(wrong)


def test_a_page_ends_at_a_megabyte(east):
    for number in range(4):
        east.put_item(TableName=TABLE, Item={**item(f"m{number}"), "body": {"S": "x" * 390_000}})
    page = east.scan(TableName=TABLE)
    assert page["Count"] == 3 and "LastEvaluatedKey" in page
    assert east.scan(TableName=TABLE, ExclusiveStartKey=page["LastEvaluatedKey"])["Count"] == 1


def test_throttling_is_told_as_aws_tells_it(double, east):
    double.fault(service="dynamodb", operation="PutItem", kind="throttle")
    with refused("ProvisionedThroughputExceededException", 400):
        put(east, "m")
    double.fault(service="dynamodb", operation="PutItem", kind="error")
    with refused("InternalServerError", 500):
        put(east, "m")
    put(east, "m")
    outcomes = [one["outcome"] for one in double.effects("PutItem")]
    assert outcomes == ["refused", "refused", "applied"] and double.effects("PutItem")[0]["resource"] == TABLE


def test_the_item_count_is_an_old_one(double, east):
    double.settings(dynamodb_item_count_ms=1000)
    eventually(lambda: table(east)["ItemCount"] == 0, "counted")
    put(east, "m")
    eventually(lambda: table(east)["ItemCount"] == 1 and table(east)["TableSizeBytes"] == 12, "counted again")


# Global tables.


def test_each_replica_tells_of_the_others(east, west):
    assert replicas(east) == {WEST: "ACTIVE"} and replicas(west) == {EAST: "ACTIVE"}
    assert table(east)["GlobalTableVersion"] == "2019.11.21"
    assert table(east)["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"


def test_a_write_reaches_the_other_replica_a_lag_later(double, east, west):
    double.settings(dynamodb_replication_lag_ms=1500)
    put(east, "m", v=1)
    assert get(east, "m") and get(west, "m") is None
    eventually(lambda: get(west, "m") == item("m", v=1), "replicated")
    west.delete_item(TableName=TABLE, Key=item("m"))
    eventually(lambda: get(east, "m") is None, "both write, and deletion is a write")


def test_of_two_writes_the_later_one_stays_everywhere(double, east, west):
    double.settings(dynamodb_replication_lag_ms=1000)
    put(east, "m", v=1)
    put(west, "m", v=2)
    put(west, "n", v=1)
    put(east, "n", v=2)

    def waiting():
        tables = double.control("GET", "state")["tables"]
        return [other for one in tables for other in one["replicas"].values() if other["waiting"]]

    eventually(lambda: not waiting(), "everything has arrived")
    for client in (east, west):
        assert get(client, "m") == item("m", v=2) and get(client, "n") == item("n", v=2)


@pytest.mark.parametrize("fate", ["down", "partitioned"])
def test_replication_stops_with_a_region_and_loses_nothing(double, east, west, fate):
    put(east, "before", v=1)
    eventually(lambda: get(west, "before"), "replicated")
    inside = double.inside("dynamodb", EAST)
    double.settings(dynamodb_replication_lag_ms=1000)
    put(east, "tail", v=1)
    double.region(EAST, fate)
    if fate == "partitioned":
        put(inside, "inside", v=1)
    put(west, "outside", v=1)
    double.settings(dynamodb_replication_lag_ms=0)
    put(west, "tail", v=2)
    assert get(west, "tail") == item("tail", v=2) and get(west, "inside") is None
    double.region(EAST, "up")
    eventually(lambda: get(east, "outside") and get(east, "tail") == item("tail", v=2), "the west's writes arrive")
    if fate == "partitioned":
        eventually(lambda: get(west, "inside"), "so do those from inside")
    assert get(west, "tail") == item("tail", v=2), "the tail is late, and older"


def test_a_replica_is_creating_and_then_active_with_what_there_was(double, east):
    double.settings(dynamodb_replica_ms=1500)
    put(east, "old", v=1)
    witness = double.client("dynamodb", WITNESS)
    update = east.update_table(TableName=TABLE, ReplicaUpdates=[{"Create": {"RegionName": WITNESS}}])
    assert update["TableDescription"]["TableStatus"] == "UPDATING"
    assert replicas(east) == {WEST: "ACTIVE", WITNESS: "CREATING"}
    assert table(witness)["TableStatus"] == "CREATING"
    put(east, "meanwhile", v=1)
    with refused("ResourceNotFoundException"):
        get(witness, "old")
    with refused("ResourceInUseException", 400):
        east.update_table(TableName=TABLE, ReplicaUpdates=[{"Create": {"RegionName": WITNESS}}])
    eventually(lambda: replicas(east) == {WEST: "ACTIVE", WITNESS: "ACTIVE"}, "active")
    assert table(east)["TableStatus"] == "ACTIVE" and replicas(witness) == {EAST: "ACTIVE", WEST: "ACTIVE"}
    assert get(witness, "old") and get(witness, "meanwhile")
    put(witness, "new", v=1)
    eventually(lambda: get(east, "new") and get(double.client("dynamodb", WEST), "new"), "it sends, too")
    (activity,) = double.activities("replica-creation")
    assert activity["ended_ms"] - activity["started_ms"] >= 1500


def test_a_replica_is_deleted_through_another_one(double, east, west):
    put(west, "m", v=1)
    east.update_table(TableName=TABLE, ReplicaUpdates=[{"Delete": {"RegionName": WEST}}])
    assert replicas(east) == {WEST: "DELETING"}
    eventually(lambda: replicas(east) == {}, "gone")
    with refused("ResourceNotFoundException"):
        table(west)
    assert get(east, "m"), "what it held has arrived first"
    with refused("ValidationException", 400, "not part of the global table"):
        east.update_table(TableName=TABLE, ReplicaUpdates=[{"Delete": {"RegionName": WEST}}])


def test_a_replica_can_delete_itself(east, west):
    west.delete_table(TableName=TABLE)
    eventually(lambda: replicas(east) == {}, "gone")
    assert west.list_tables()["TableNames"] == []


def test_replica_updates_that_do_not_make_sense_are_refused(double, east, west):
    def update(name, *changes):
        east.update_table(TableName=name, ReplicaUpdates=list(changes))

    with refused("ValidationException", 400, "local region"):
        update(TABLE, {"Create": {"RegionName": EAST}})
    with refused("ValidationException", 400, "already existed as tables"):
        update(TABLE, {"Create": {"RegionName": WEST}})
    with refused("ValidationException", 400, "not valid"):
        update(TABLE, {"Create": {"RegionName": "mars-east-1"}})
    with refused("ValidationException", 400):
        update(TABLE, {"Create": {"RegionName": WITNESS}}, {"Delete": {"RegionName": WEST}})
    double.settings(dynamodb_table_ms=0)
    create(east, "plain")
    active(east, "plain")
    with refused("ValidationException", 400, "stream"):
        update("plain", {"Create": {"RegionName": WEST}})
    units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    create(east, "fixed", BillingMode="PROVISIONED", ProvisionedThroughput=units, **STREAM)
    active(east, "fixed")
    with refused("ValidationException", 400, "Pay-Per-Request or AutoScaled"):
        update("fixed", {"Create": {"RegionName": WEST}})


def test_the_source_of_a_new_replica_stays_for_a_day(double, east, west):
    double.settings(dynamodb_table_ms=0, dynamodb_replica_ms=0)
    create(east, **STREAM)
    active(east)
    east.update_table(TableName="orders", ReplicaUpdates=[{"Create": {"RegionName": WEST}}])
    eventually(lambda: replicas(east, "orders") == {WEST: "ACTIVE"}, "active")
    with refused("ValidationException", 400, "24 hours"):
        west.update_table(TableName="orders", ReplicaUpdates=[{"Delete": {"RegionName": EAST}}])
    with refused("ValidationException", 400, "24 hours"):
        east.delete_table(TableName="orders")
    west.delete_table(TableName="orders")


# ReplicationLatency.


def latency(client, receiving, ago=60):
    now = datetime.datetime.now(datetime.timezone.utc)
    answer = client.get_metric_statistics(
        Namespace="AWS/DynamoDB",
        MetricName="ReplicationLatency",
        Dimensions=[{"Name": "TableName", "Value": TABLE}, {"Name": "ReceivingRegion", "Value": receiving}],
        StartTime=now - datetime.timedelta(seconds=ago),
        EndTime=now + datetime.timedelta(seconds=1),
        Period=1,
        Statistics=["Maximum", "Average"],
    )
    return sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])


def test_latency_is_published_where_the_writes_are_made(double, east):
    double.settings(dynamodb_replication_lag_ms=70)
    here, there = double.client("cloudwatch", EAST), double.client("cloudwatch", WEST)
    eventually(lambda: latency(here, WEST), "measured")
    newest = latency(here, WEST)[-1]
    assert newest["Unit"] == "Milliseconds"
    assert latency(here, EAST) == [] and latency(there, WEST) == []
    assert eventually(lambda: latency(there, EAST), "the other way in the other region")
    names = here.list_metrics(Namespace="AWS/DynamoDB", Dimensions=[{"Name": "ReceivingRegion", "Value": WEST}])
    assert [one["MetricName"] for one in names["Metrics"]] == ["ReplicationLatency"]


def test_a_high_latency_falls_when_the_lag_does(double, east):
    client = double.client("cloudwatch", EAST)
    double.settings(dynamodb_replication_lag_ms=60_000)
    eventually(lambda: latency(client, WEST) and latency(client, WEST)[-1]["Maximum"] >= 60_000, "high")
    double.settings(dynamodb_replication_lag_ms=40)
    eventually(lambda: latency(client, WEST)[-1]["Maximum"] < 1000, "low")


def test_latency_is_what_a_write_took(double, east, west):
    client = double.client("cloudwatch", EAST)
    double.settings(dynamodb_idle_latency=False, dynamodb_replication_lag_ms=700)
    put(east, "m", v=1)
    eventually(lambda: get(west, "m"), "replicated")
    eventually(lambda: any(700 <= one["Maximum"] < 20_000 for one in latency(client, WEST)), "measured")


@pytest.mark.parametrize("fate", ["down", "partitioned"])
def test_no_latency_is_published_of_a_region_that_is_cut_off(double, east, fate):
    client = double.client("cloudwatch", WEST)
    eventually(lambda: latency(client, EAST), "measured")
    double.region(EAST, fate)
    double.settings(metric_period_ms=50)
    now = double.control("GET", "state")["now_ms"]
    eventually(lambda: double.control("GET", "state")["now_ms"] > now + 2500, "a while")
    newest = latency(client, EAST)[-1]["Timestamp"].timestamp() * 1000
    assert newest <= now, "nothing since"
    with pytest.raises(Exception, match="Connection was closed|Read timeout|Could not connect"):
        latency(double.client("cloudwatch", EAST), WEST)
