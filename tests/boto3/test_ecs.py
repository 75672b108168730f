"""ECS: the number of a service's tasks."""

import pytest

from double import EAST, WEST, eventually
from errors import refused

CLUSTER, SERVICE = "maip-prod-dr-ecs", "maip-reports"


@pytest.fixture
def ecs(double):
    double.settings(ecs_task_ms=300)
    return double.client("ecs", WEST)


def service(ecs, cluster=CLUSTER):
    answer = ecs.describe_services(cluster=cluster, services=[SERVICE])
    assert answer["failures"] == []
    return answer["services"][0]


def counts(found):
    return found["desiredCount"], found["runningCount"], found["pendingCount"]


def scale(ecs, desired):
    return ecs.update_service(cluster=CLUSTER, service=SERVICE, desiredCount=desired)["service"]


def test_clusters_and_services_are_listed(double, ecs):
    (arn,) = ecs.list_clusters()["clusterArns"]
    assert arn == f"arn:aws:ecs:{WEST}:123456789012:cluster/{CLUSTER}"
    (found,) = ecs.describe_clusters(clusters=[arn])["clusters"]
    assert (found["status"], found["activeServicesCount"]) == ("ACTIVE", 1)
    (arn,) = ecs.list_services(cluster=CLUSTER)["serviceArns"]
    assert ecs.describe_services(cluster=CLUSTER, services=[arn])["services"][0]["serviceName"] == SERVICE
    assert counts(service(double.client("ecs", EAST), "maip-prod-ecs")) == (2, 2, 0)


def test_tasks_are_pending_then_running_and_the_deployment_completes(double, ecs):
    found = scale(ecs, 2)
    assert counts(found) == (2, 0, 2)
    (deployment,) = found["deployments"]
    assert (deployment["status"], deployment["rolloutState"], deployment["pendingCount"]) == ("PRIMARY", "IN_PROGRESS", 2)
    done = eventually(lambda: counts(service(ecs)) == (2, 2, 0) and service(ecs), "running")
    assert done["deployments"][0]["rolloutState"] == "COMPLETED"
    assert "reached a steady state" in done["events"][0]["message"]
    assert len(ecs.list_tasks(cluster=CLUSTER, serviceName=SERVICE)["taskArns"]) == 2
    (activity,) = double.activities("service-scaling")
    assert activity["ended_ms"] - activity["started_ms"] >= 300


def test_fewer_tasks_stop_what_does_not_run_yet_first(double, ecs):
    scale(ecs, 1)
    eventually(lambda: counts(service(ecs)) == (1, 1, 0), "one runs")
    double.settings(ecs_task_ms=60_000)
    scale(ecs, 3)
    assert counts(scale(ecs, 1)) == (1, 1, 0)
    assert service(ecs)["deployments"][0]["rolloutState"] == "COMPLETED"
    assert counts(scale(ecs, 0)) == (0, 0, 0)


def test_the_same_number_again_starts_nothing(double, ecs):
    scale(ecs, 2)
    first = ecs.list_tasks(cluster=CLUSTER)["taskArns"]
    scale(ecs, 2)
    assert ecs.list_tasks(cluster=CLUSTER)["taskArns"] == first


def test_what_does_not_exist(ecs):
    with refused("ClusterNotFoundException", 400):
        ecs.update_service(cluster="gone", service=SERVICE, desiredCount=1)
    with refused("ServiceNotFoundException", 400):
        ecs.update_service(cluster=CLUSTER, service="gone", desiredCount=1)
    with refused("ClusterNotFoundException", 400):
        ecs.describe_services(services=[SERVICE])
    (failure,) = ecs.describe_services(cluster=CLUSTER, services=["gone"])["failures"]
    assert (failure["reason"], failure["arn"].endswith(f"service/{CLUSTER}/gone")) == ("MISSING", True)
    assert ecs.describe_clusters(clusters=["gone"])["failures"][0]["reason"] == "MISSING"


def test_parameters_are_checked(ecs):
    with refused("InvalidParameterException"):
        scale(ecs, -1)
    with refused("InvalidParameterException"):
        ecs.describe_services(cluster=CLUSTER, services=[f"s{number}" for number in range(11)])
    with refused("UnsupportedByDouble"):
        ecs.update_service(cluster=CLUSTER, service=SERVICE, forceNewDeployment=True)
    assert counts(service(ecs)) == (0, 0, 0)


def test_the_log_names_the_service(double, ecs):
    scale(ecs, 1)
    (effect,) = double.effects("UpdateService")
    assert (effect["service"], effect["resource"], effect["mutating"]) == ("ecs", f"{CLUSTER}/{SERVICE}", True)
