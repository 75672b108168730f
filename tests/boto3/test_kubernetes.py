"""The Kubernetes API of an EKS cluster: who may ask, what a deployment shows, and how it is scaled."""

import socket
import ssl
import threading
import urllib.error

import pytest

from double import EAST, WEST, WITNESS, eventually
from kube import MERGE, STRATEGIC, Kube, token

EAST_CLUSTER, CLUSTER, GROUP = "maip-prod-eks-cluster", "maip-prod-dr-eks-cluster", "maip-prod-dr-nodegroup"
PODS = "/api/v1/namespaces/maip-services/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/maip-services/deployments"
LOST = (OSError, ssl.SSLError)


@pytest.fixture
def kube(double):
    double.settings(pod_ready_ms=200, controller_ms=50, nodegroup_update_ms=50, node_ready_ms=100)
    return Kube(double, WEST, CLUSTER)


# Who asks.


def test_a_token_made_as_the_cli_makes_it_is_believed(kube):
    assert kube.get("/version")["major"] == "1"
    names = [one["metadata"]["name"] for one in kube.get(DEPLOYMENTS)["items"]]
    assert names == ["api", "gateway", "worker"]


def test_an_endpoint_proves_itself_by_its_own_authority(double, kube):
    other = Kube(double, EAST, EAST_CLUSTER)
    kube.authority = other.authority
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        kube.get("/version")


@pytest.mark.parametrize("bad", [
    dict(secret="wrong"),
    dict(key="AKIANOBODY"),
    dict(cluster=EAST_CLUSTER),
    dict(header="x-k8s-aws-name"),
    dict(expires=901),
    dict(host="sts.us-east-1.amazonaws.com"),
    dict(host="127.0.0.1:1"),
    dict(action="AssumeRole"),
])
def test_a_token_that_is_not_this_clusters_own_is_refused(kube, bad):
    made = token(**{"cluster": CLUSTER, "region": WEST, **bad})
    status, refusal = kube.ask("GET", PODS, bearer=made)
    assert (status, refusal["kind"], refusal["reason"]) == (401, "Status", "Unauthorized")


def test_a_token_is_good_for_its_lifetime_and_no_longer(double, kube):
    double.settings(kubernetes_token_ms=0)
    eventually(lambda: kube.ask("GET", PODS)[0] == 401, "it expires")


def test_what_is_no_token_is_refused(kube):
    for bearer in ["", "abc", "k8s-aws-v1.%%%", "k8s-aws-v1.", "k8s-aws-v1." + "a" * 5000]:
        assert kube.ask("GET", PODS, bearer=bearer)[0] == 401


def test_without_a_token_a_caller_is_anonymous(kube):
    assert kube.ask("GET", "/version", bearer=None)[0] == 200
    status, refusal = kube.ask("GET", PODS, bearer=None)
    assert (status, refusal["reason"], refusal["code"]) == (403, "Forbidden", 403)
    assert 'User "system:anonymous" cannot list resource "pods"' in refusal["message"]


def test_a_token_of_a_dead_regions_sts_cannot_be_checked(double, kube):
    east = token(CLUSTER, EAST, host="sts.amazonaws.com")
    assert kube.ask("GET", PODS, bearer=east)[0] == 200
    double.region(EAST, "down")
    assert kube.ask("GET", PODS, bearer=east)[0] == 401
    assert kube.ask("GET", PODS)[0] == 200


def test_access_is_by_entry(double):
    def of(name):
        entry = next(one for one in double.world["access_keys"] if one["name"] == name)
        return Kube(double, WEST, CLUSTER, entry["id"], entry["secret"])

    agent = {"namespace": "maip-services", "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "patch"]}
    entries = {"use1-a": "view", "usw2-a": "edit", "euc1-a": "none", "euc1-b": [agent]}
    double.control("POST", f"access/{WEST}/{CLUSTER}", entries)
    assert of("usw2-b").ask("GET", PODS)[0] == 401, "no entry"
    assert of("euc1-a").ask("GET", PODS)[0] == 403, "no role"
    assert of("use1-a").ask("GET", PODS)[0] == 200
    status, refusal = of("use1-a").scale("api", 2)
    assert status == 403
    assert 'cannot patch resource "deployments" in API group "apps" in the namespace "maip-services"' in refusal["message"]
    assert refusal["details"] == {"name": "api", "group": "apps", "kind": "deployments"}
    assert of("usw2-a").scale("api", 2)[0] == 200
    assert of("euc1-b").scale("api", 1)[0] == 200
    assert of("euc1-b").ask("GET", PODS)[0] == 403
    assert of("euc1-b").ask("PATCH", f"{DEPLOYMENTS}/api/scale", {"spec": {"replicas": 3}}, MERGE)[0] == 403


# What is shown.


def test_a_settled_deployment(kube):
    found = kube.deployment("api")
    assert (found["kind"], found["apiVersion"]) == ("Deployment", "apps/v1")
    assert found["spec"]["replicas"] == 1
    status = found["status"]
    assert status["observedGeneration"] == found["metadata"]["generation"] == 1
    for count in ["replicas", "readyReplicas", "updatedReplicas", "availableReplicas"]:
        assert status[count] == 1
    assert "unavailableReplicas" not in status
    assert {one["type"]: one["status"] for one in status["conditions"]} == {"Available": "True", "Progressing": "True"}


def test_what_does_not_exist(kube):
    status, refusal = kube.ask("GET", f"{DEPLOYMENTS}/gone")
    assert (status, refusal["reason"], refusal["message"]) == (404, "NotFound", 'deployments.apps "gone" not found')
    status, refusal = kube.ask("GET", "/api/v1/namespaces/gone")
    assert (status, refusal["message"]) == (404, 'namespaces "gone" not found')
    assert kube.get("/api/v1/namespaces/maip-services")["status"]["phase"] == "Active"
    assert kube.ask("GET", "/apis/gone/v1/things")[0] == 404
    assert kube.get("/api/v1/namespaces/gone/pods")["items"] == [], "a namespace that is not there lists as empty"


def test_lists_come_in_pages_and_by_selector(kube):
    first = kube.get(f"{DEPLOYMENTS}?limit=2")
    assert [one["metadata"]["name"] for one in first["items"]] == ["api", "gateway"]
    assert "kind" not in first["items"][0] and first["metadata"]["remainingItemCount"] == 1
    rest = kube.get(f"{DEPLOYMENTS}?limit=2&continue={first['metadata']['continue']}")
    assert [one["metadata"]["name"] for one in rest["items"]] == ["worker"]
    (pod,) = kube.pods("worker")
    assert pod["status"]["phase"] == "Running" and pod["spec"]["nodeName"]
    assert kube.get(f"{PODS}/{pod['metadata']['name']}")["kind"] == "Pod"
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("ReplicaSet", f"worker-{pod['metadata']['labels']['pod-template-hash']}")
    assert kube.ask("GET", f"{PODS}?watch=true")[1]["reason"] == "UnsupportedByDouble"


# How it is scaled.


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC])
def test_a_scaled_deployment_is_seen_then_filled_then_ready(double, kube, kind):
    double.settings(controller_ms=300, pod_ready_ms=300)
    status, answer = kube.scale("api", 2, kind=kind)
    assert status == 200 and answer["spec"]["replicas"] == 2
    assert (answer["metadata"]["generation"], answer["status"]["observedGeneration"]) == (2, 1)
    assert answer["status"]["replicas"] == 1, "its controller has not seen it yet"
    seen = eventually(lambda: (found := kube.deployment("api"))["status"]["observedGeneration"] == 2 and found, "seen")
    assert (seen["status"]["replicas"], seen["status"]["readyReplicas"]) == (2, 1)
    assert seen["status"]["unavailableReplicas"] == 1
    eventually(lambda: kube.ready("api") == 2, "ready")
    (activity,) = [one for one in double.activities("deployment-scaling")]
    assert activity["resource"] == f"{WEST}/{CLUSTER}/maip-services/api"
    assert activity["ended_ms"] - activity["started_ms"] >= 600


def test_pods_without_room_wait_and_say_so(double, kube):
    kube.scale("api", 4)
    eventually(lambda: kube.ready("api") == 2, "the node has room for four pods in all")
    waiting = [pod for pod in kube.pods("api") if pod["status"]["phase"] == "Pending"]
    assert len(waiting) == 2
    (condition,) = waiting[0]["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert condition["message"].startswith("0/1 nodes are available: 1 Too many pods.")
    events = kube.get("/api/v1/namespaces/maip-services/events")["items"]
    assert {one["reason"] for one in events} == {"FailedScheduling"} and len(events) == 2
    assert kube.deployment("api")["status"]["conditions"][1]["status"] == "False", "not enough are available"
    sizes = {"minSize": 1, "desiredSize": 2}
    double.client("eks", WEST).update_nodegroup_config(clusterName=CLUSTER, nodegroupName=GROUP, scalingConfig=sizes)
    eventually(lambda: kube.ready("api") == 4, "a second node has room")


def test_fewer_replicas_leave_those_that_are_ready(kube):
    kube.scale("api", 4)
    eventually(lambda: kube.ready("api") == 2, "two of four are ready")
    kube.scale("api", 2)
    eventually(lambda: len(kube.pods("api")) == 2, "two are gone")
    assert all(pod["status"]["phase"] == "Running" for pod in kube.pods("api"))
    kube.scale("api", 0)
    found = eventually(lambda: "replicas" not in (one := kube.deployment("api"))["status"] and one, "none")
    assert "readyReplicas" not in found["status"], "zeros are left out"


def test_a_patch_with_an_old_version_is_a_conflict(kube):
    before = kube.deployment("api")["metadata"]["resourceVersion"]
    status, answer = kube.patch("api", {"metadata": {"resourceVersion": before, "annotations": {"a": "1"}}})
    assert status == 200 and answer["metadata"]["resourceVersion"] != before
    assert answer["metadata"]["annotations"]["a"] == "1"
    assert answer["metadata"]["generation"] == 1, "an annotation is no new generation"
    status, refusal = kube.patch("api", {"metadata": {"resourceVersion": before}, "spec": {"replicas": 2}})
    assert (status, refusal["reason"]) == (409, "Conflict")
    assert "the object has been modified" in refusal["message"]
    assert kube.deployment("api")["spec"]["replicas"] == 1


def test_pods_that_become_ready_change_the_version(kube):
    status, answer = kube.scale("api", 2)
    version = answer["metadata"]["resourceVersion"]
    eventually(lambda: kube.ready("api") == 2, "ready")
    assert kube.patch("api", {"metadata": {"resourceVersion": version, "annotations": {"a": "1"}}})[0] == 409


def test_a_patch_that_changes_nothing_leaves_the_version(kube):
    before = kube.deployment("api")["metadata"]["resourceVersion"]
    assert kube.scale("api", 1)[0] == 200
    assert kube.deployment("api")["metadata"]["resourceVersion"] == before


def test_null_takes_an_annotation_away(kube):
    kube.patch("api", {"metadata": {"annotations": {"failover-mesh/token": "1.a"}}})
    assert kube.deployment("api")["metadata"]["annotations"]["failover-mesh/token"] == "1.a"
    kube.patch("api", {"metadata": {"annotations": {"failover-mesh/token": None}}}, kind=STRATEGIC)
    assert "failover-mesh/token" not in kube.deployment("api")["metadata"]["annotations"]


def test_the_scale_of_a_deployment(kube):
    path = f"{DEPLOYMENTS}/api/scale"
    scale = kube.get(path)
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "app=api")
    status, answer = kube.ask("PATCH", path, {"spec": {"replicas": 2}}, MERGE)
    assert (status, answer["kind"], answer["spec"]) == (200, "Scale", {"replicas": 2})
    assert kube.ask("PUT", path, scale)[0] == 409, "it is of an older version"
    status, answer = kube.ask("PUT", path, {"metadata": {"name": "api", "namespace": "maip-services"}, "spec": {}})
    assert (status, answer["spec"]) == (200, {}), "zero is left out"
    assert kube.deployment("api")["spec"]["replicas"] == 0


def test_a_patch_that_makes_no_sense_is_refused(kube):
    for body, kind, code, reason in [
        ({"spec": {"replicas": -1}}, MERGE, 422, "Invalid"),
        ({"spec": {"replicas": "two"}}, MERGE, 400, "BadRequest"),
        ({"spec": {"replicas": 2}}, "application/json", 415, "UnsupportedMediaType"),
        ({"spec": {"replicas": 2}}, "application/apply-patch+yaml", 415, "UnsupportedMediaType"),
        ([], MERGE, 400, "BadRequest"),
        ({"metadata": {"name": "other"}}, MERGE, 400, "BadRequest"),
        ({"metadata": {"annotations": {"a": 1}}}, MERGE, 400, "BadRequest"),
        ({"spec": {"minReadySeconds": 5}}, MERGE, 501, "UnsupportedByDouble"),
        ({"metadata": {"$patch": "replace"}}, STRATEGIC, 501, "UnsupportedByDouble"),
    ]:
        status, refusal = kube.patch("api", body, kind=kind)
        assert (status, refusal["reason"]) == (code, reason), (body, refusal)
    assert kube.deployment("api")["metadata"]["generation"] == 1
    assert kube.patch("gone", {"spec": {"replicas": 1}})[0] == 404


def test_a_quota_shows_as_a_replica_failure(double, kube):
    double.control("POST", f"kubernetes/{WEST}/{CLUSTER}/maip-services", {"pods_max": 3})
    kube.scale("api", 2)
    failing = lambda: [one for one in kube.deployment("api")["status"]["conditions"] if one["type"] == "ReplicaFailure"]
    (condition,) = eventually(failing, "refused")
    assert (condition["reason"], "exceeded quota" in condition["message"]) == ("FailedCreate", True)
    double.control("POST", f"kubernetes/{WEST}/{CLUSTER}/maip-services", {"pods_max": -1})
    eventually(lambda: kube.ready("api") == 2 and not failing(), "admitted")


def test_a_deployment_can_be_paused_and_resumed(kube):
    assert kube.patch("api", {"spec": {"paused": True}})[1]["spec"]["paused"] is True
    assert "paused" not in kube.patch("api", {"spec": {"paused": None}})[1]["spec"]


def test_without_autoscalers_there_are_none(kube):
    listed = kube.get("/apis/autoscaling/v2/namespaces/maip-services/horizontalpodautoscalers")
    assert (listed["kind"], listed["items"]) == ("HorizontalPodAutoscalerList", [])


def test_a_dry_run_changes_nothing(kube):
    assert kube.ask("PATCH", f"{DEPLOYMENTS}/api?dryRun=All", {"spec": {"replicas": 3}}, MERGE)[0] == 200
    assert kube.deployment("api")["spec"]["replicas"] == 1


# Faults, regions, the log.


def test_the_log_names_the_deployment(double, kube):
    kube.scale("api", 2)
    kube.deployment("api")
    (write,) = double.effects("PatchDeployment")
    assert (write["service"], write["region"], write["mutating"]) == ("kubernetes", WEST, True)
    assert write["resource"] == f"{CLUSTER}/maip-services/api"
    assert (write["parameters"], write["outcome"]) == ({"spec": {"replicas": 2}}, "applied")
    assert write["access_key"] == "test"
    assert not double.effects("GetDeployment")[0]["mutating"]


def test_errors_and_throttles(double, kube):
    double.fault(service="kubernetes", operation="PatchDeployment", kind="throttle")
    status, refusal = kube.scale("api", 2)
    assert (status, refusal["reason"], refusal["headers"]["retry-after"]) == (429, "TooManyRequests", "1")
    double.fault(service="kubernetes", region=EAST, kind="error")
    double.fault(service="kubernetes", region=WEST, kind="error", status=503, code="ServiceUnavailable")
    status, refusal = kube.scale("api", 2)
    assert (status, refusal["reason"]) == (503, "ServiceUnavailable")
    assert kube.scale("api", 2)[0] == 200
    assert [one["outcome"] for one in double.effects("PatchDeployment")] == ["refused", "refused", "applied"]


@pytest.mark.parametrize("kind,outcome,replicas", [("timeout-applied", "applied", 2), ("timeout-not-applied", "dropped", 1)])
def test_a_lost_reply(double, kube, kind, outcome, replicas):
    double.fault(service="kubernetes", operation="PatchDeployment", kind=kind)
    with pytest.raises(LOST):
        kube.scale("api", 2)
    (effect,) = double.effects("PatchDeployment")
    assert (effect["outcome"], effect["reply"]) == (outcome, "lost")
    assert kube.deployment("api")["spec"]["replicas"] == replicas


def test_a_late_patch_meets_the_version_of_its_arrival(double, kube):
    version = kube.deployment("api")["metadata"]["resourceVersion"]
    double.fault(service="kubernetes", operation="PatchDeployment", kind="late", delay_ms=300)
    guarded = {"metadata": {"resourceVersion": version}, "spec": {"replicas": 3}}
    with pytest.raises(LOST):
        kube.patch("api", guarded)
    assert kube.scale("api", 2)[0] == 200
    late = eventually(lambda: double.effects("PatchDeployment")[1:], "it arrives")[0]
    assert (late["outcome"], late["error"], late["reply"]) == ("refused", "Conflict", "lost")
    assert kube.deployment("api")["spec"]["replicas"] == 2


def test_a_held_patch_is_applied_when_released(double, kube):
    fault = double.fault(service="kubernetes", operation="PatchDeployment", kind="hold-before")
    done = []
    thread = threading.Thread(target=lambda: done.append(kube.scale("api", 2)[0]))
    thread.start()
    eventually(lambda: double.control("GET", "faults")[0]["fired"] == 1, "held")
    assert kube.deployment("api")["spec"]["replicas"] == 1 and not done
    double.release(fault)
    thread.join()
    assert done == [200]


def test_a_dead_regions_cluster_does_not_answer(double, kube):
    double.settings(lost_reply_ms=30_000)
    double.region(WEST, "down")
    with pytest.raises((TimeoutError, socket.timeout, urllib.error.URLError)):
        kube.ask("GET", "/version", timeout=0.5)
    double.region(WEST, "up")
    assert kube.get("/version")


def test_a_partitioned_cluster_answers_those_inside(double, kube):
    double.region(WEST, "partitioned")
    of = lambda region: next(one for one in double.world["access_keys"] if one.get("region") == region)
    inside, outside = (token(CLUSTER, WEST, of(region)["id"], of(region)["secret"]) for region in (WEST, WITNESS))
    assert kube.ask("GET", PODS, bearer=inside)[0] == 200
    with pytest.raises(LOST):
        kube.ask("GET", PODS, bearer=outside)
