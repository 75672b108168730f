"""MSK: the state of a cluster, found by name."""

import pytest

from double import WEST
from errors import refused

CLUSTER = "maip-prod-dr-kafka"


@pytest.fixture
def kafka(double):
    return double.client("kafka", WEST)


def arn(kafka):
    (found,) = kafka.list_clusters(ClusterNameFilter=CLUSTER)["ClusterInfoList"]
    return found["ClusterArn"]


def test_a_cluster_is_found_by_name_and_described_by_arn(kafka):
    info = kafka.describe_cluster(ClusterArn=arn(kafka))["ClusterInfo"]
    assert (info["ClusterName"], info["State"], info["NumberOfBrokerNodes"]) == (CLUSTER, "ACTIVE", 3)
    assert info["CreationTime"].year > 2000


def test_the_second_version_of_the_api_tells_the_same(kafka):
    (listed,) = kafka.list_clusters_v2(ClusterNameFilter=CLUSTER)["ClusterInfoList"]
    assert (listed["ClusterType"], listed["State"]) == ("PROVISIONED", "ACTIVE")
    described = kafka.describe_cluster_v2(ClusterArn=listed["ClusterArn"])["ClusterInfo"]
    assert described["Provisioned"]["NumberOfBrokerNodes"] == 3


def test_a_name_filter_is_a_prefix(kafka):
    assert len(kafka.list_clusters(ClusterNameFilter="maip")["ClusterInfoList"]) == 1
    assert kafka.list_clusters(ClusterNameFilter="dr-kafka")["ClusterInfoList"] == []


@pytest.mark.parametrize("state", ["MAINTENANCE", "UPDATING", "HEALING", "REBOOTING_BROKER", "FAILED"])
def test_a_state_is_what_the_test_sets(double, kafka, state):
    double.control("POST", f"msk/{WEST}/{CLUSTER}", {"state": state})
    assert kafka.describe_cluster(ClusterArn=arn(kafka))["ClusterInfo"]["State"] == state


def test_what_does_not_exist(kafka):
    with refused("NotFoundException", 404):
        kafka.describe_cluster(ClusterArn=arn(kafka) + "0")
    with refused("BadRequestException", 400):
        kafka.describe_cluster(ClusterArn="maip-prod-dr-kafka")


def test_a_state_that_msk_does_not_have_is_refused(double):
    import urllib.error

    for path, state in [(f"msk/{WEST}/{CLUSTER}", "SLEEPY"), (f"msk/{WEST}/gone", "ACTIVE")]:
        with pytest.raises(urllib.error.HTTPError):
            double.control("POST", path, {"state": state})
