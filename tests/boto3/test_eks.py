"""EKS: what is described, and how a node group grows."""

import base64

import pytest

from double import EAST, WEST, eventually
from errors import refused
from kube import Kube

EAST_CLUSTER, CLUSTER, GROUP = "maip-prod-eks-cluster", "maip-prod-dr-eks-cluster", "maip-prod-dr-nodegroup"


@pytest.fixture
def eks(double):
    double.settings(nodegroup_update_ms=300, node_ready_ms=800)
    return double.client("eks", WEST)


def group(eks):
    return eks.describe_nodegroup(clusterName=CLUSTER, nodegroupName=GROUP)["nodegroup"]


def scale(eks, token=None, **sizes):
    more = {"clientRequestToken": token} if token else {}
    answer = eks.update_nodegroup_config(clusterName=CLUSTER, nodegroupName=GROUP, scalingConfig=sizes, **more)
    return answer["update"]


def test_a_cluster_tells_where_its_api_is_and_whom_to_trust(double, eks):
    assert eks.list_clusters()["clusters"] == [CLUSTER]
    cluster = eks.describe_cluster(name=CLUSTER)["cluster"]
    assert cluster["status"] == "ACTIVE"
    assert cluster["arn"] == f"arn:aws:eks:{WEST}:123456789012:cluster/{CLUSTER}"
    assert cluster["endpoint"] == double.addresses["kubernetes"][f"{WEST}/{CLUSTER}"]
    assert base64.b64decode(cluster["certificateAuthority"]["data"]).startswith(b"-----BEGIN CERTIFICATE-----")
    assert cluster["createdAt"].year > 2000


def test_a_node_group_tells_its_sizes_and_health(eks):
    assert eks.list_nodegroups(clusterName=CLUSTER)["nodegroups"] == [GROUP]
    found = group(eks)
    assert (found["status"], found["health"]) == ("ACTIVE", {"issues": []})
    assert found["scalingConfig"] == {"minSize": 1, "maxSize": 20, "desiredSize": 1}


def test_what_does_not_exist_is_not_found(eks):
    for call in [
        lambda: eks.describe_cluster(name=EAST_CLUSTER),
        lambda: eks.describe_nodegroup(clusterName=CLUSTER, nodegroupName="gone"),
        lambda: eks.update_nodegroup_config(clusterName="gone", nodegroupName=GROUP, scalingConfig={"minSize": 1}),
        lambda: eks.describe_update(name=CLUSTER, nodegroupName=GROUP, updateId="gone"),
    ]:
        with refused("ResourceNotFoundException", 404):
            call()


def test_an_update_shows_the_old_sizes_until_it_is_over(eks):
    update = scale(eks, minSize=4, maxSize=20, desiredSize=8)
    assert (update["status"], update["type"]) == ("InProgress", "ConfigUpdate")
    assert {"type": "MinSize", "value": "4"} in update["params"]
    found = group(eks)
    assert (found["status"], found["scalingConfig"]["desiredSize"]) == ("UPDATING", 1)
    with refused("ResourceInUseException", 409):
        scale(eks, desiredSize=9)
    eventually(lambda: group(eks)["status"] == "ACTIVE", "active")
    assert group(eks)["scalingConfig"] == {"minSize": 4, "maxSize": 20, "desiredSize": 8}
    ids = eks.list_updates(name=CLUSTER, nodegroupName=GROUP)["updateIds"]
    assert ids == [update["id"]]
    after = eks.describe_update(name=CLUSTER, nodegroupName=GROUP, updateId=update["id"])["update"]
    assert (after["status"], after["errors"]) == ("Successful", [])


def test_active_comes_before_the_nodes_are_ready(double, eks):
    double.settings(node_ready_ms=60_000)
    kube = Kube(double, WEST, CLUSTER)
    scale(eks, desiredSize=3)
    eventually(lambda: group(eks)["status"] == "ACTIVE", "active")
    states = [
        next(one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready")
        for node in kube.get("/api/v1/nodes")["items"]
    ]
    assert sorted(states) == ["False", "False", "True"]


def test_min_desired_and_max_keep_their_order(eks):
    for sizes, why in [
        ({"minSize": 4}, "Minimum capacity 4 can't be greater than desired size 1"),
        ({"desiredSize": 21}, "desired capacity 21 can't be greater than max size 20"),
        ({"minSize": 5, "maxSize": 4, "desiredSize": 5}, "can't be greater than max size 4"),
    ]:
        with refused("InvalidParameterException", 400, says=why):
            scale(eks, **sizes)
    assert group(eks)["status"] == "ACTIVE"


def test_a_token_stands_for_one_update(double, eks):
    first = scale(eks, token="one", desiredSize=2)
    assert scale(eks, token="one", desiredSize=2)["id"] == first["id"], "while it is under way"
    eventually(lambda: group(eks)["status"] == "ACTIVE", "active")
    again = scale(eks, token="one", desiredSize=2)
    assert (again["id"], again["status"]) == (first["id"], "Successful")
    assert group(eks)["status"] == "ACTIVE", "the repetition began nothing"
    with refused("InvalidParameterException"):
        scale(eks, token="one", desiredSize=3)
    assert len(double.activities("node-group-update")) == 1


def test_a_region_without_machines_degrades_the_group(double, eks):
    path = f"eks/{WEST}/{CLUSTER}/{GROUP}"
    double.control("POST", path, {"machines_max": 2})
    scale(eks, desiredSize=4)
    degraded = eventually(lambda: group(eks)["status"] == "DEGRADED" and group(eks), "degraded")
    (issue,) = degraded["health"]["issues"]
    assert issue["code"] == "AsgInstanceLaunchFailures"
    double.control("POST", path, {"machines_max": -1})
    eventually(lambda: group(eks)["status"] == "ACTIVE", "machines are there again")
    assert group(eks)["health"]["issues"] == []


def test_pods_of_machines_that_are_taken_away_wait_for_room(double):
    eks = double.client("eks", EAST)
    kube = Kube(double, EAST, EAST_CLUSTER)
    double.settings(nodegroup_update_ms=50, pod_ready_ms=50)
    sizes = {"minSize": 1, "desiredSize": 2}
    eks.update_nodegroup_config(clusterName=EAST_CLUSTER, nodegroupName="maip-prod-nodegroup", scalingConfig=sizes)
    eventually(lambda: len(kube.get("/api/v1/nodes")["items"]) == 2, "two are left")
    names = ["api", "gateway", "worker"]
    eventually(lambda: sum(kube.ready(name) for name in names) == 8, "eight pods find room")
    waiting = kube.get("/api/v1/namespaces/maip-services/pods?fieldSelector=status.phase%3DPending")["items"]
    assert len(waiting) == 4 and not any("nodeName" in pod["spec"] for pod in waiting)


def test_a_parameter_that_is_not_modelled_is_refused(eks):
    with refused("UnsupportedByDouble"):
        eks.update_nodegroup_config(clusterName=CLUSTER, nodegroupName=GROUP, labels={"addOrUpdateLabels": {"a": "b"}})
    with refused("UnsupportedByDouble"):
        eks.update_nodegroup_config(clusterName=CLUSTER, nodegroupName=GROUP)


def test_the_log_names_cluster_and_group(double, eks):
    scale(eks, desiredSize=2)
    (effect,) = double.effects("UpdateNodegroupConfig")
    assert (effect["service"], effect["resource"], effect["mutating"]) == ("eks", f"{CLUSTER}/{GROUP}", True)
    assert effect["parameters"]["scalingConfig"] == {"desiredSize": 2}


def test_each_service_throttles_in_its_own_words(double):
    for service, call, code, status in [
        ("eks", "list_clusters", "ThrottlingException", 429),
        ("ecs", "list_clusters", "ThrottlingException", 400),
        ("kafka", "list_clusters", "TooManyRequestsException", 429),
    ]:
        double.fault(service=service, kind="throttle")
        with refused(code, status):
            getattr(double.client(service), call)()
