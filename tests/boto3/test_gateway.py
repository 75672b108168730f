"""API Gateway: the stages of HTTP APIs, their limits and variables."""

import pytest

from double import EAST, WEST
from errors import refused

API, STAGE, ACCOUNT = "aeast12345", "prod", "123456789012"
ORDER = "POST /orders"


@pytest.fixture
def gateway(double):
    return double.client("apigatewayv2", EAST)


def stage(gateway):
    return gateway.get_stage(ApiId=API, StageName=STAGE)


def update(gateway, **change):
    return gateway.update_stage(ApiId=API, StageName=STAGE, **change)


def test_apis_and_stages_are_shown(double, gateway):
    (api,) = gateway.get_apis()["Items"]
    assert (api["ApiId"], api["ProtocolType"]) == (API, "HTTP")
    assert gateway.get_api(ApiId=API)["CreatedDate"] == api["CreatedDate"]
    (shown,) = gateway.get_stages(ApiId=API)["Items"]
    assert shown == {key: value for key, value in stage(gateway).items() if key != "ResponseMetadata"}
    assert shown["DefaultRouteSettings"] == {
        "DetailedMetricsEnabled": True, "ThrottlingBurstLimit": 500, "ThrottlingRateLimit": 1000.0
    }
    assert shown["RouteSettings"][ORDER]["ThrottlingRateLimit"] == 200.5
    assert shown["StageVariables"] == {"color": "blue"}
    assert {api["ProtocolType"] for api in double.client("apigatewayv2", WEST).get_apis()["Items"]} == {"HTTP", "WEBSOCKET"}


def test_one_update_closes_every_route_and_leaves_a_note(double, gateway):
    closed = {"ThrottlingRateLimit": 0.0, "ThrottlingBurstLimit": 0}
    update(gateway, DefaultRouteSettings=closed, RouteSettings={ORDER: closed}, StageVariables={"note": "eyJnIjo3fQ"})
    found = stage(gateway)
    for settings in [found["DefaultRouteSettings"], found["RouteSettings"][ORDER]]:
        assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (0.0, 0)
    assert found["StageVariables"] == {"color": "blue", "note": "eyJnIjo3fQ"}
    update(gateway, StageVariables={"note": ""})
    assert stage(gateway)["StageVariables"] == {"color": "blue"}
    (first, _) = double.effects("UpdateStage")
    assert (first["resource"], first["mutating"], first["service"]) == (f"{API}/{STAGE}", True, "apigateway")
    assert first["parameters"]["defaultRouteSettings"]["throttlingRateLimit"] == 0


def test_the_default_stage_is_named_in_a_path(double):
    sockets = double.client("apigatewayv2", WEST)
    assert sockets.get_stage(ApiId="asocket123", StageName="$default")["StageName"] == "$default"


def test_what_is_not_there_is_told(gateway):
    with refused("NotFoundException", 404, says=f"Invalid API identifier specified {ACCOUNT}:gone"):
        gateway.get_stage(ApiId="gone", StageName=STAGE)
    with refused("NotFoundException", 404, says="Invalid stage identifier"):
        gateway.get_stage(ApiId=API, StageName="gone")
    with refused("NotFoundException", 404, says="Unable to find Route by key GET /gone"):
        update(gateway, RouteSettings={"GET /gone": {"ThrottlingBurstLimit": 0}})


@pytest.mark.parametrize("change", [
    {"DefaultRouteSettings": {"ThrottlingRateLimit": -1.0}},
    {"DefaultRouteSettings": {"LoggingLevel": "INFO"}},
    {"StageVariables": {"note": "two words"}},
])
def test_what_aws_does_not_take_is_refused(gateway, change):
    with refused("BadRequestException", 400):
        update(gateway, **change)


def test_a_fault_is_told_in_the_words_of_the_service(double, gateway):
    double.fault(service="apigateway", operation="UpdateStage", kind="throttle")
    with refused("TooManyRequestsException", 429):
        update(gateway, DefaultRouteSettings={"ThrottlingRateLimit": 1.0})


def test_permissions_are_methods_on_paths(double, gateway):
    path = f"arn:aws:apigateway:{EAST}::/apis"
    allow = [
        {"Effect": "Allow", "Action": "apigateway:GET", "Resource": f"{path}/*"},
        {"Effect": "Allow", "Action": "apigateway:PATCH", "Resource": f"{path}/{API}/stages/*"},
    ]
    double.control("POST", "policies/test", {"Version": "2012-10-17", "Statement": allow})
    assert gateway.get_api(ApiId=API) and stage(gateway)
    update(gateway, DefaultRouteSettings={"ThrottlingRateLimit": 1.0})
    with refused("AccessDeniedException", 403, says="apigateway:GET"):
        gateway.get_apis()
    allow.pop()
    double.control("POST", "policies/test", {"Version": "2012-10-17", "Statement": allow})
    with refused("AccessDeniedException", 403, says=f"apigateway:PATCH on resource: {path}/{API}/stages/{STAGE}"):
        update(gateway, DefaultRouteSettings={"ThrottlingRateLimit": 2.0})
