import datetime

import pytest

from double import EAST, PRIMARY, REPLICA, WEST, WITNESS, Session, eventually
from errors import refused

OPEN, CLOSED = "sg-open-us-east-1", "sg-closed-us-east-1"


@pytest.fixture
def east(double):
    return double.client("rds", EAST)


@pytest.fixture
def west(double):
    return double.client("rds", WEST)


def describe(client, instance):
    return client.describe_db_instances(DBInstanceIdentifier=instance)["DBInstances"][0]


def status(client, instance):
    return describe(client, instance)["DBInstanceStatus"]


def groups(client):
    return {one["VpcSecurityGroupId"]: one["Status"] for one in describe(client, PRIMARY)["VpcSecurityGroups"]}


def available(client, instance):
    eventually(lambda: status(client, instance) == "available", f"{instance} available")


def promoted(client):
    eventually(lambda: "ReadReplicaSourceDBInstanceIdentifier" not in describe(client, REPLICA), "no source")
    available(client, REPLICA)


def test_each_region_has_its_own_instances(east, west):
    assert [one["DBInstanceIdentifier"] for one in east.describe_db_instances()["DBInstances"]] == [PRIMARY]
    with refused("DBInstanceNotFound", 404):
        describe(west, PRIMARY)
    assert describe(east, PRIMARY)["ReadReplicaDBInstanceIdentifiers"] == [
        f"arn:aws:rds:{WEST}:123456789012:db:{REPLICA}"
    ]


def test_a_promotion_takes_time_and_the_source_goes_only_at_its_end(double, west):
    double.settings(promotion_ms=2000)
    answer = west.promote_read_replica(DBInstanceIdentifier=REPLICA, BackupRetentionPeriod=7)["DBInstance"]
    assert (answer["DBInstanceStatus"], "ReadReplicaSourceDBInstanceIdentifier" in answer) == ("available", True)
    steps = [("available", True), ("modifying", True), ("backing-up", False), ("available", False)]
    seen = []

    def over():
        found = describe(west, REPLICA)
        state = (found["DBInstanceStatus"], "ReadReplicaSourceDBInstanceIdentifier" in found)
        if not seen or seen[-1] != state:
            seen.append(state)
        return state == ("available", False)

    eventually(over, "promoted")
    assert seen == [step for step in steps if step in seen], "no other state, and in this order"
    assert ("modifying", True) in seen
    assert describe(west, REPLICA)["BackupRetentionPeriod"] == 7
    (activity,) = double.activities("promotion")
    assert activity["ended_ms"] - activity["started_ms"] >= 2000


def test_a_second_promote_is_refused_at_every_moment(west):
    west.promote_read_replica(DBInstanceIdentifier=REPLICA)
    with refused("InvalidDBInstanceState", 400):
        west.promote_read_replica(DBInstanceIdentifier=REPLICA)
    promoted(west)
    with refused("InvalidDBInstanceState", 400):
        west.promote_read_replica(DBInstanceIdentifier=REPLICA)


def test_promoting_what_is_no_replica_or_not_there_is_refused(east, west):
    with refused("InvalidDBInstanceState", 400):
        east.promote_read_replica(DBInstanceIdentifier=PRIMARY)
    with refused("DBInstanceNotFound", 404):
        west.promote_read_replica(DBInstanceIdentifier="gone")


def test_the_old_primary_lists_no_replica_and_stays_writable_after_a_promotion(double, east, west):
    west.promote_read_replica(DBInstanceIdentifier=REPLICA)
    promoted(west)
    assert describe(east, PRIMARY)["ReadReplicaDBInstanceIdentifiers"] == []
    assert double.session(EAST, PRIMARY).ask("WRITE a") == "OK 1"
    assert double.session(WEST, REPLICA).ask("WRITE b") == "OK 1"


def test_a_replica_takes_no_writes_until_it_is_promoted(double, west):
    double.settings(promotion_ms=2000)
    session = double.session(WEST, REPLICA)
    assert session.ask("PING") == "PONG replica"
    assert session.ask("WRITE a") == "ERR read-only"
    west.promote_read_replica(DBInstanceIdentifier=REPLICA)
    assert session.ask("WRITE a") == "ERR read-only"
    eventually(lambda: session.ask("PING") is None, "promotion ends the sessions")
    assert double.session(WEST, REPLICA).ask("WRITE a") == "OK 1"


def test_a_reboot_shows_its_states_ends_sessions_and_leaves_an_event(double, east):
    double.settings(reboot_ms=2000)
    session = double.session(EAST, PRIMARY)
    answer = east.reboot_db_instance(DBInstanceIdentifier=PRIMARY)["DBInstance"]
    assert answer["DBInstanceStatus"] == "rebooting"
    assert session.ask("PING") is None
    assert double.session(EAST, PRIMARY).ask("PING") is None, "no session while it is down"
    with refused("InvalidDBInstanceState"):
        east.reboot_db_instance(DBInstanceIdentifier=PRIMARY)
    available(east, PRIMARY)
    assert double.session(EAST, PRIMARY).ask("PING") == "PONG primary"
    events = east.describe_events(SourceIdentifier=PRIMARY, SourceType="db-instance")["Events"]
    assert [one["Message"] for one in events] == ["DB instance shutdown", "DB instance restarted"]
    assert (events[1]["Date"] - events[0]["Date"]).total_seconds() >= 2


def test_events_are_chosen_by_source_time_and_category(east):
    east.reboot_db_instance(DBInstanceIdentifier=PRIMARY)
    available(east, PRIMARY)
    with refused("InvalidParameterCombination"):
        east.describe_events(SourceIdentifier=PRIMARY)
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
    end = later + datetime.timedelta(minutes=5)
    assert east.describe_events(StartTime=later, EndTime=end)["Events"] == []
    assert east.describe_events(EventCategories=["backup"])["Events"] == []
    assert len(east.describe_events(EventCategories=["availability"])["Events"]) == 2


def test_a_security_group_change_is_adding_and_removing_and_then_active(double, east):
    answer = east.modify_db_instance(DBInstanceIdentifier=PRIMARY, VpcSecurityGroupIds=[CLOSED])["DBInstance"]
    states = {one["VpcSecurityGroupId"]: one["Status"] for one in answer["VpcSecurityGroups"]}
    assert states == {CLOSED: "adding", OPEN: "removing"}
    assert answer["DBInstanceStatus"] == "available"
    eventually(lambda: groups(east) == {CLOSED: "active"}, "active")
    (activity,) = double.activities("security-group-change")
    assert activity["ended_ms"] - activity["started_ms"] >= 300


def test_a_closed_group_refuses_new_sessions_and_keeps_open_ones_until_a_reboot(double, east):
    double.settings(security_group_ms=2000)
    session = double.session(EAST, PRIMARY)
    assert double.http(EAST)[0] == 200
    east.modify_db_instance(DBInstanceIdentifier=PRIMARY, VpcSecurityGroupIds=[CLOSED])
    assert double.session(EAST, PRIMARY).ask("PING") == "PONG primary", "not yet in force"
    eventually(lambda: groups(east) == {CLOSED: "active"}, "active")
    assert double.session(EAST, PRIMARY).ask("PING") is None
    assert session.ask("WRITE a") == "OK 1", "an open session goes on"
    assert double.http(EAST)[0] == 200, "so does the application's pool"
    east.reboot_db_instance(DBInstanceIdentifier=PRIMARY)
    assert session.ask("WRITE b") is None
    available(east, PRIMARY)
    assert double.session(EAST, PRIMARY).ask("PING") is None
    assert double.http(EAST)[0] == 503
    assert double.instance(EAST, PRIMARY)["writes"] == 1


def test_a_later_group_change_takes_the_place_of_the_earlier(east):
    east.modify_db_instance(DBInstanceIdentifier=PRIMARY, VpcSecurityGroupIds=[CLOSED])
    east.modify_db_instance(DBInstanceIdentifier=PRIMARY, VpcSecurityGroupIds=[OPEN])
    eventually(lambda: groups(east) == {OPEN: "active"}, "back")
    assert groups(east) == {OPEN: "active"}


def test_an_unknown_group_or_one_of_another_region_is_refused(east):
    for group in ("sg-gone", "sg-open-us-west-2"):
        with refused("InvalidParameterValue"):
            east.modify_db_instance(DBInstanceIdentifier=PRIMARY, VpcSecurityGroupIds=[group])
    assert groups(east) == {OPEN: "active"}


def test_backup_retention_waits_unless_applied_immediately(double, west):
    double.settings(modify_ms=2000, backing_up_ms=2000)
    west.modify_db_instance(DBInstanceIdentifier=REPLICA, BackupRetentionPeriod=3)
    found = describe(west, REPLICA)
    assert (found["BackupRetentionPeriod"], found["PendingModifiedValues"]) == (0, {"BackupRetentionPeriod": 3})
    west.modify_db_instance(DBInstanceIdentifier=REPLICA, BackupRetentionPeriod=3, ApplyImmediately=True)
    eventually(lambda: status(west, REPLICA) == "modifying", "modifying")
    eventually(lambda: status(west, REPLICA) == "backing-up", "the first backup")
    available(west, REPLICA)
    found = describe(west, REPLICA)
    assert (found["BackupRetentionPeriod"], found["PendingModifiedValues"]) == (3, {})


def test_one_retention_to_another_needs_no_window(east):
    east.modify_db_instance(DBInstanceIdentifier=PRIMARY, BackupRetentionPeriod=14)
    eventually(lambda: describe(east, PRIMARY)["BackupRetentionPeriod"] == 14, "applied")
    for days in (36, -1):
        with refused("InvalidParameterValue"):
            east.modify_db_instance(DBInstanceIdentifier=PRIMARY, BackupRetentionPeriod=days)
    with refused("InvalidParameterCombination"):
        east.modify_db_instance(DBInstanceIdentifier=PRIMARY, BackupRetentionPeriod=0)


def test_nothing_is_changed_while_another_change_is_under_way(double, west):
    double.settings(promotion_ms=3000)
    west.promote_read_replica(DBInstanceIdentifier=REPLICA)
    with refused("InvalidDBInstanceState"):
        west.modify_db_instance(DBInstanceIdentifier=REPLICA, BackupRetentionPeriod=3)
    with refused("InvalidDBInstanceState"):
        west.reboot_db_instance(DBInstanceIdentifier=REPLICA)


def test_a_parameter_that_is_not_modelled_is_refused(east):
    with refused("UnsupportedByDouble"):
        east.modify_db_instance(DBInstanceIdentifier=PRIMARY, AllocatedStorage=200)
    with refused("UnsupportedByDouble"):
        east.stop_db_instance(DBInstanceIdentifier=PRIMARY)
    with refused("InvalidParameterCombination"):
        east.reboot_db_instance(DBInstanceIdentifier=PRIMARY, ForceFailover=True)


# Replicas that are made.

NEW = "maip-prod-postgres-new"
SOURCE_ARN = f"arn:aws:rds:{EAST}:123456789012:db:{PRIMARY}"


def replica(client, instance=NEW, source=SOURCE_ARN, **more):
    return client.create_db_instance_read_replica(
        DBInstanceIdentifier=instance, SourceDBInstanceIdentifier=source, **more
    )["DBInstance"]


def test_a_cross_region_replica_is_creating_and_then_available_and_follows(double, east, west):
    double.settings(replica_creation_ms=1500, replication_lag_ms=0)
    assert double.session(EAST, PRIMARY).ask("WRITE before") == "OK 1"
    answer = replica(west, DBInstanceClass="db.r6g.xlarge", VpcSecurityGroupIds=["sg-open-us-west-2"])
    assert (answer["DBInstanceStatus"], answer["DBInstanceClass"]) == ("creating", "db.r6g.xlarge")
    assert answer["ReadReplicaSourceDBInstanceIdentifier"] == SOURCE_ARN
    assert answer["BackupRetentionPeriod"] == 0
    made = f"arn:aws:rds:{WEST}:123456789012:db:{NEW}"
    assert made in describe(east, PRIMARY)["ReadReplicaDBInstanceIdentifiers"]
    for change in ("reboot_db_instance", "promote_read_replica"):
        with refused("InvalidDBInstanceState", 400):
            getattr(west, change)(DBInstanceIdentifier=NEW)
    available(west, NEW)
    assert describe(west, NEW)["StatusInfos"][0]["Status"] == "replicating"
    host = double.addresses["databases"][f"{EAST}/{PRIMARY}"].split(":")[0]
    session = Session(f"{host}:{describe(west, NEW)['Endpoint']['Port']}")
    assert session.ask("PING") == "PONG replica" and session.list() == ["before"]
    assert double.session(EAST, PRIMARY).ask("WRITE after") == "OK 2"
    eventually(lambda: session.list() == ["before", "after"], "it follows")
    (activity,) = double.activities("replica-creation")
    assert activity["ended_ms"] - activity["started_ms"] >= 1500


def test_a_failed_over_database_is_followed_back(double, west, east):
    double.settings(replica_creation_ms=300)
    west.promote_read_replica(DBInstanceIdentifier=REPLICA, BackupRetentionPeriod=7)
    promoted(west)
    back = f"arn:aws:rds:{WEST}:123456789012:db:{REPLICA}"
    with refused("DBInstanceAlreadyExists", 400):
        replica(east, PRIMARY, back)
    replica(east, "maip-prod-postgres-2", back)
    available(east, "maip-prod-postgres-2")
    assert describe(east, "maip-prod-postgres-2")["ReadReplicaSourceDBInstanceIdentifier"] == back


def test_a_source_without_backups_is_refused(east, west):
    west.promote_read_replica(DBInstanceIdentifier=REPLICA, BackupRetentionPeriod=0)
    promoted(west)
    with refused("InvalidDBInstanceState", 400, "Automated backups are not enabled"):
        replica(east, source=f"arn:aws:rds:{WEST}:123456789012:db:{REPLICA}")


def test_sources_and_identifiers_are_checked(double, east, west):
    with refused("DBInstanceNotFound", 404):
        replica(west, source=PRIMARY)
    with refused("DBInstanceNotFound", 404):
        replica(west, source=SOURCE_ARN + "-gone")
    for wrong in ("1st", "a--b", "a-", "a_b", "a" * 64):
        with refused("InvalidParameterValue", 400):
            replica(west, wrong)
    with refused("InvalidParameterValue", 400, "security group"):
        replica(west, VpcSecurityGroupIds=[OPEN])
    with refused("UnsupportedByDouble"):
        replica(west, MultiAZ=True)
    double.settings(reboot_ms=3000)
    east.reboot_db_instance(DBInstanceIdentifier=PRIMARY)
    with refused("InvalidDBInstanceState", 400):
        replica(west)


def test_a_replica_of_another_region_is_no_source_of_a_third(double, west):
    west.modify_db_instance(DBInstanceIdentifier=REPLICA, BackupRetentionPeriod=3, ApplyImmediately=True)
    eventually(lambda: describe(west, REPLICA)["BackupRetentionPeriod"] == 3, "backed up")
    available(west, REPLICA)
    witness = double.client("rds", WITNESS)
    with refused("InvalidDBInstanceState", 400, "itself a read replica"):
        replica(witness, source=f"arn:aws:rds:{WEST}:123456789012:db:{REPLICA}")
    double.settings(replica_creation_ms=0)
    replica(west, "cascaded", REPLICA)
    available(west, "cascaded")


def test_a_replica_whose_source_is_gone_waits_for_it(double, west):
    double.settings(replica_creation_ms=300)
    double.region(EAST, "down")
    with refused("InternalFailure", 500):
        replica(west)
    double.region(EAST, "up")
    double.settings(replica_creation_ms=700)
    replica(west)
    double.region(EAST, "partitioned")
    due = double.control("GET", "state")["now_ms"] + 1000
    eventually(lambda: double.control("GET", "state")["now_ms"] > due, "its time is over")
    assert status(west, NEW) == "creating"
    double.region(EAST, "up")
    available(west, NEW)


def test_the_url_that_clients_sign_for_the_source_is_taken(west):
    assert replica(west, SourceRegion=EAST)["DBInstanceStatus"] == "creating"


# Replication.


def written(double, region, instance):
    return double.session(region, instance).list()


def test_writes_reach_the_replica_a_lag_later(double):
    double.settings(replication_lag_ms=2000)
    assert double.session(EAST, PRIMARY).ask("WRITE a") == "OK 1"
    assert written(double, WEST, REPLICA) == []
    eventually(lambda: written(double, WEST, REPLICA) == ["a"], "replicated")


def test_the_tail_is_lost_at_promotion(double, west):
    double.settings(replication_lag_ms=60_000)
    double.session(EAST, PRIMARY).ask("WRITE a")
    west.promote_read_replica(DBInstanceIdentifier=REPLICA)
    promoted(west)
    assert written(double, WEST, REPLICA) == []
    assert written(double, EAST, PRIMARY) == ["a"]


def test_without_lost_tail_what_was_sent_is_replayed(double, west):
    double.settings(replication_lag_ms=60_000, lose_tail=False)
    session = double.session(EAST, PRIMARY)
    session.ask("WRITE a")
    double.region(EAST, "partitioned")
    assert session.ask("WRITE b") == "OK 2", "inside, the primary lives"
    west.promote_read_replica(DBInstanceIdentifier=REPLICA)
    promoted(west)
    assert written(double, WEST, REPLICA) == ["a"]


def lags(double, period=1, region=WEST):
    now = datetime.datetime.now(datetime.timezone.utc)
    answer = double.client("cloudwatch", region).get_metric_statistics(
        Namespace="AWS/RDS",
        MetricName="ReplicaLag",
        Dimensions=[{"Name": "DBInstanceIdentifier", "Value": REPLICA}],
        StartTime=now - datetime.timedelta(minutes=2),
        EndTime=now + datetime.timedelta(minutes=1),
        Period=period,
        Statistics=["Maximum", "Minimum"],
    )
    return sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])


def test_replica_lag_is_a_metric_in_seconds(double):
    double.settings(replication_lag_ms=500)
    newest = eventually(lambda: [one for one in lags(double) if 0.5 <= one["Maximum"] <= 1.5], "measured")
    assert newest[-1]["Unit"] == "Seconds"
    assert lags(double, region=EAST) == []


def test_lag_grows_while_the_primary_is_gone(double):
    double.region(EAST, "down")
    eventually(lambda: lags(double) and lags(double)[-1]["Maximum"] > 1.5, "it grows")
    double.region(EAST, "up")
    eventually(lambda: lags(double)[-1]["Minimum"] < 1, "it catches up")


def test_nothing_moves_in_a_dead_region(double, west):
    double.settings(promotion_ms=2000)
    west.promote_read_replica(DBInstanceIdentifier=REPLICA)
    double.region(WEST, "down")
    due = double.control("GET", "state")["now_ms"] + 2000
    eventually(lambda: double.control("GET", "state")["now_ms"] > due, "its time is over")
    assert double.instance(WEST, REPLICA)["read_only"]
    (activity,) = double.activities("promotion")
    assert activity["ended_ms"] is None
    double.region(WEST, "up")
    promoted(west)


def test_a_dead_region_ends_sessions_and_a_partition_does_not(double):
    session = double.session(EAST, PRIMARY)
    double.region(EAST, "partitioned")
    assert session.ask("WRITE a") == "OK 1"
    double.region(EAST, "down")
    assert session.ask("WRITE b") is None
    double.region(EAST, "up")
    assert written(double, EAST, PRIMARY) == ["a"]


def test_the_application_works_where_its_database_takes_writes(double, west):
    assert double.http(EAST) == (200, {"status": "UP", "region": EAST, "writable": True})
    assert double.http(WEST)[0] == 503
    status_code, order = double.http(EAST, "/orders", {"id": "one"})
    assert (status_code, order["n"]) == (201, 1)
    assert double.http(WEST, "/orders", {"id": "two"})[0] == 503
    west.promote_read_replica(DBInstanceIdentifier=REPLICA)
    eventually(lambda: double.http(WEST)[0] == 200, "the west serves")
    with pytest.raises(OSError):
        double.region(EAST, "down")
        double.http(EAST)
