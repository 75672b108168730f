"""Signatures, faults, regions and the log: what is true of a call to any service."""

import threading
import time

import botocore.exceptions
import pytest

from double import EAST, PRIMARY, REPLICA, WEST, WITNESS, eventually
from errors import refused

LOST = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)


def promote(client):
    return client.promote_read_replica(DBInstanceIdentifier=REPLICA)


def test_who_calls_is_known_by_the_key(double):
    answer = double.inside("sts", WEST).get_caller_identity()
    assert (answer["Account"], answer["Arn"]) == ("123456789012", "arn:aws:iam::123456789012:user/usw2-a")


@pytest.mark.parametrize("service,call", [
    ("sts", "get_caller_identity"),
    ("rds", "describe_db_instances"),
    ("route53", "list_hosted_zones"),
    ("sns", "list_topics"),
    ("cloudwatch", "list_metrics"),
])
def test_a_bad_signature_or_an_unknown_key_is_refused(double, service, call):
    getattr(double.client(service), call)()
    with refused("SignatureDoesNotMatch", 403):
        getattr(double.client(service, secret="wrong"), call)()
    with refused("InvalidClientTokenId", 403):
        getattr(double.client(service, key="AKIANOBODY"), call)()
    assert [one["outcome"] for one in double.effects()] == ["applied", "refused", "refused"]


def test_a_session_token_is_not_ours(double):
    client = double.client("sts")
    client._request_signer._credentials.token = "made-up"
    with refused("InvalidClientTokenId"):
        client.get_caller_identity()


def test_a_request_is_good_for_the_lifetime_of_its_signature(double):
    double.settings(signature_lifetime_ms=0)
    time.sleep(1.1 - time.time() % 1)
    with refused("SignatureDoesNotMatch", says="expired"):
        for _ in range(20):
            double.client("sts").get_caller_identity()
            time.sleep(0.1)


def test_an_operation_that_is_not_modelled_is_said_to_be(double):
    with refused("UnsupportedByDouble", 400):
        double.client("rds").describe_db_clusters()
    with refused("UnsupportedByDouble", 400):
        double.client("dynamodb").list_backups()
    with refused("UnsupportedByDouble", 400):
        double.client("kinesis").list_streams()


# Faults.


def test_an_error_strikes_as_often_as_told(double):
    fault = double.fault(service="rds", operation="PromoteReadReplica", kind="error", count=2)
    client = double.client("rds", WEST)
    for _ in range(2):
        with refused("InternalFailure", 500):
            promote(client)
    promote(client)
    assert [one["outcome"] for one in double.effects("PromoteReadReplica")] == ["refused", "refused", "applied"]
    (shown,) = double.control("GET", "faults")
    assert (shown["id"], shown["fired"]) == (fault, 2)


def test_a_throttle_or_a_chosen_error(double):
    double.fault(service="sns", region=EAST, kind="throttle")
    double.fault(service="sts", kind="error", code="ServiceUnavailable", status=503)
    double.client("sns", WEST).list_topics()
    with refused("Throttling", 400):
        double.client("sns", EAST).list_topics()
    with refused("ServiceUnavailable", 503):
        double.client("sts").get_caller_identity()


def test_a_timeout_that_was_not_applied(double):
    double.fault(service="rds", operation="PromoteReadReplica", kind="timeout-not-applied")
    with pytest.raises(LOST):
        promote(double.client("rds", WEST))
    (effect,) = double.effects("PromoteReadReplica")
    assert (effect["outcome"], effect["reply"]) == ("dropped", "lost")
    assert double.instance(WEST, REPLICA)["status"] == "available"


def test_a_timeout_that_was_applied(double):
    double.fault(service="rds", operation="PromoteReadReplica", kind="timeout-applied")
    with pytest.raises(LOST):
        promote(double.client("rds", WEST))
    (effect,) = double.effects("PromoteReadReplica")
    assert (effect["outcome"], effect["reply"]) == ("applied", "lost")
    assert double.activities("promotion")


def in_background(call):
    done = []
    thread = threading.Thread(target=lambda: done.append(call()))
    thread.start()
    return thread, done


def test_a_held_request_is_applied_when_it_is_released(double):
    fault = double.fault(service="rds", kind="hold-before")
    thread, done = in_background(lambda: promote(double.client("rds", WEST)))
    eventually(lambda: double.control("GET", "faults")[0]["fired"] == 1, "held")
    assert double.effects() == [] and not done
    double.release(fault)
    thread.join()
    assert done and double.effects("PromoteReadReplica")[0]["outcome"] == "applied"


def test_a_held_reply_comes_after_the_effect(double):
    fault = double.fault(service="rds", kind="hold-after")
    thread, done = in_background(lambda: promote(double.client("rds", WEST)))
    eventually(lambda: double.effects("PromoteReadReplica"), "applied")
    assert not done
    double.release(fault)
    thread.join()
    assert done


def test_a_held_request_is_applied_although_its_sender_has_given_up(double):
    fault = double.fault(service="rds", kind="hold-before")
    with pytest.raises(botocore.exceptions.ReadTimeoutError):
        promote(double.client("rds", WEST, read_timeout=0.3))
    double.release(fault)
    eventually(lambda: double.effects("PromoteReadReplica"), "applied")
    eventually(lambda: double.effects("PromoteReadReplica")[0]["reply"] == "lost", "nobody heard")


def test_a_late_request_arrives_after_its_sender_has_given_up(double):
    double.fault(service="rds", kind="late", delay_ms=400)
    with pytest.raises(LOST):
        promote(double.client("rds", WEST))
    assert double.effects("PromoteReadReplica") == []
    (effect,) = eventually(lambda: double.effects("PromoteReadReplica"), "it arrives")
    assert (effect["outcome"], effect["reply"]) == ("applied", "lost")
    assert effect["at_ms"] - effect["received_ms"] >= 400


def test_a_late_request_is_refused_when_its_signature_has_expired(double):
    double.settings(signature_lifetime_ms=2000)
    double.fault(service="rds", kind="late", delay_ms=3200)
    with pytest.raises(LOST):
        promote(double.client("rds", WEST))
    (effect,) = eventually(lambda: double.effects("PromoteReadReplica"), "it arrives")
    assert (effect["outcome"], effect["error"]) == ("refused", "SignatureDoesNotMatch")
    assert double.instance(WEST, REPLICA)["status"] == "available"


def test_a_slow_call_takes_its_time(double):
    double.fault(service="sts", kind="slow", delay_ms=300)
    began = time.monotonic()
    double.client("sts").get_caller_identity()
    assert time.monotonic() - began >= 0.3


# Regions.


def test_a_dead_region_answers_nobody(double):
    double.region(EAST, "down")
    for client in (double.client("rds", EAST), double.inside("rds", EAST)):
        with pytest.raises(LOST):
            client.describe_db_instances()
    assert double.client("rds", WEST).describe_db_instances()["DBInstances"]
    assert [one["outcome"] for one in double.effects()] == ["dropped", "dropped", "applied"]


def test_a_partitioned_region_answers_from_inside_only(double):
    def inside(at, of):
        key = next(one for one in double.world["access_keys"] if one.get("region") == at)
        return double.client("rds", of, key["id"], key["secret"])

    double.region(EAST, "partitioned")
    assert inside(EAST, EAST).describe_db_instances()["DBInstances"]
    for client in (inside(WEST, EAST), inside(EAST, WEST), double.client("rds", EAST)):
        with pytest.raises(LOST):
            client.describe_db_instances()
    assert inside(WEST, WEST).describe_db_instances()["DBInstances"]
    double.region(EAST, "up")
    assert double.client("rds", EAST).describe_db_instances()["DBInstances"]


def test_a_partitioned_us_east_1_keeps_route_53_to_itself(double):
    double.region(EAST, "partitioned")
    assert double.inside("route53", EAST).list_hosted_zones()["HostedZones"]
    with pytest.raises(LOST):
        double.inside("route53", WEST).list_hosted_zones()
    double.settings(route53_control_plane_region=WITNESS)
    assert double.inside("route53", WEST).list_hosted_zones()["HostedZones"]


# The log and the control API.


def test_the_log_says_what_was_asked_of_what_and_by_whom(double):
    client = double.inside("rds", EAST)
    client.modify_db_instance(DBInstanceIdentifier=PRIMARY, VpcSecurityGroupIds=["sg-closed-us-east-1"])
    client.describe_db_instances(DBInstanceIdentifier=PRIMARY)
    change, read = double.effects()
    assert (change["seq"], change["service"], change["region"], change["resource"]) == (1, "rds", EAST, PRIMARY)
    assert change["parameters"]["VpcSecurityGroupIds"] == ["sg-closed-us-east-1"]
    assert (change["access_key"], change["mutating"], change["error"]) == ("AKIAMESHUSE1A", True, None)
    assert not read["mutating"]


def test_a_batch_is_logged_change_by_change(double):
    record = {"Name": "a.maip.example.com.", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
    changes = [{"Action": "CREATE", "ResourceRecordSet": record}]
    double.client("route53").change_resource_record_sets(HostedZoneId="ZMAIP0000000000", ChangeBatch={"Changes": changes})
    (effect,) = double.effects("ChangeResourceRecordSets")
    assert effect["resource"] == "ZMAIP0000000000"
    logged = effect["parameters"]["ChangeBatch"]["Changes"][0]
    assert logged["Action"] == "CREATE"
    assert logged["ResourceRecordSet"]["ResourceRecords"] == [{"Value": "192.0.2.1"}]


def test_the_control_api_refuses_what_it_does_not_know(double):
    import urllib.error

    for method, path, body in [
        ("POST", "settings", {"promotion": 1}),
        ("POST", "faults", {"service": "rds", "kind": "meteor"}),
        ("POST", "faults", {"service": "s3", "kind": "error"}),
        ("POST", "regions/mars", {"state": "down"}),
        ("POST", f"regions/{EAST}", {"state": "sleepy"}),
        ("DELETE", "faults/99", None),
        ("GET", "secrets", None),
    ]:
        with pytest.raises(urllib.error.HTTPError) as caught:
            double.control(method, path, body)
        assert caught.value.code in (400, 404)


def test_every_reply_is_dated_by_the_provider(double):
    answer = double.client("rds").describe_db_instances()
    assert answer["ResponseMetadata"]["HTTPHeaders"]["date"].endswith("GMT")
    assert answer["ResponseMetadata"]["RequestId"]


def test_all_applications_share_a_port_on_addresses_of_their_own(double):
    addresses = [address.split(":") for address in double.addresses["apps"].values()]
    assert len({port for _, port in addresses}) == 1 and len({ip for ip, _ in addresses}) == len(addresses)
