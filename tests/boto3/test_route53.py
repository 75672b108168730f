import threading

import pytest

from double import EAST, EAST_ALB, EAST_ALB_ZONE, NAME, WEST, WEST_ALB, WEST_ALB_ZONE, ZONE, eventually
from errors import refused


def simple(name="www.maip.example.com.", kind="A", values=("192.0.2.1",), ttl=60, **more):
    records = [{"Value": value} for value in values]
    return {"Name": name, "Type": kind, "TTL": ttl, "ResourceRecords": records, **more}


def weighted(identifier, weight, value="192.0.2.1", **more):
    return simple("w.maip.example.com.", values=(value,), SetIdentifier=identifier, Weight=weight, **more)


def alias(target=EAST_ALB, zone=EAST_ALB_ZONE, name=NAME, evaluate=True, **more):
    target = {"HostedZoneId": zone, "DNSName": target, "EvaluateTargetHealth": evaluate}
    return {"Name": name, "Type": "A", "AliasTarget": target, **more}


def change(client, *changes, zone=ZONE):
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
    answer = client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
    return answer["ChangeInfo"]


def records(client, name=None):
    sets = client.list_resource_record_sets(HostedZoneId=ZONE)["ResourceRecordSets"]
    return [one for one in sets if name in (None, one["Name"])]


def settle(client, info):
    eventually(lambda: client.get_change(Id=info["Id"])["ChangeInfo"]["Status"] == "INSYNC", "INSYNC")


@pytest.fixture
def route53(double):
    return double.client("route53")


def test_a_change_is_pending_and_then_insync(double, route53):
    double.settings(route53_insync_ms=2000)
    info = change(route53, ("CREATE", simple()))
    assert info["Status"] == "PENDING"
    assert route53.get_change(Id=info["Id"])["ChangeInfo"]["Status"] == "PENDING"
    settle(route53, info)
    (activity,) = double.activities("route53-propagation")
    assert activity["ended_ms"] - activity["started_ms"] >= 2000


def test_every_change_has_its_own_id(route53):
    ids = {change(route53, ("UPSERT", simple(ttl=ttl)))["Id"] for ttl in (60, 61, 62)}
    assert len(ids) == 3


def test_an_unknown_change_id_is_refused(route53):
    with refused("NoSuchChange", 404):
        route53.get_change(Id="C2682N5HXP0BZ4")


def test_name_servers_answer_only_what_is_insync(double, route53):
    double.settings(route53_insync_ms=2000)
    info = change(route53, ("CREATE", simple()))
    assert records(route53, "www.maip.example.com."), "the API shows it at once"
    assert double.resolve("www.maip.example.com")[0] == 3, "the name servers do not"
    settle(route53, info)
    assert double.resolve("www.maip.example.com") == (0, [("www.maip.example.com.", 1, 60, "192.0.2.1")])


def test_a_stale_delete_is_refused(route53):
    change(route53, ("CREATE", simple()))
    for stale in (simple(ttl=61), simple(values=("192.0.2.2",)), simple(values=("192.0.2.1", "192.0.2.2"))):
        with refused("InvalidChangeBatch", 400, "values provided do not match"):
            change(route53, ("DELETE", stale))
    change(route53, ("DELETE", simple()))
    with refused("InvalidChangeBatch", 400, "not found"):
        change(route53, ("DELETE", simple()))


def test_a_delete_matches_weight_and_health_check_and_alias_too(route53):
    change(route53, ("CREATE", weighted("a", 10)))
    with refused("InvalidChangeBatch"):
        change(route53, ("DELETE", weighted("a", 11)))
    check = health_check(route53)
    with refused("InvalidChangeBatch"):
        change(route53, ("DELETE", weighted("a", 10, HealthCheckId=check)))
    with refused("InvalidChangeBatch"):
        change(route53, ("DELETE", alias(evaluate=False)))
    with refused("InvalidChangeBatch"):
        change(route53, ("DELETE", alias(WEST_ALB, WEST_ALB_ZONE)))


def test_values_match_in_any_order(route53):
    change(route53, ("CREATE", simple(values=("192.0.2.1", "192.0.2.2"))))
    change(route53, ("DELETE", simple(values=("192.0.2.2", "192.0.2.1"))))


def test_creating_what_exists_is_refused_however_it_differs(route53):
    change(route53, ("CREATE", simple()), ("CREATE", weighted("a", 10)))
    for again in (simple(), simple(ttl=5), simple(values=("192.0.2.9",)), weighted("a", 20), weighted("a", 10)):
        with refused("InvalidChangeBatch", 400, "already exists"):
            change(route53, ("CREATE", again))


def test_a_batch_is_all_or_nothing(route53):
    before = records(route53)
    bad = [
        ("CREATE", simple("www.example.org.")),
        ("DELETE", simple("gone.maip.example.com.")),
        ("CREATE", simple()),
        ("CREATE", simple("c.maip.example.com.", kind="CNAME", values=("a.", "b."))),
    ]
    for wrong in bad:
        with refused("InvalidChangeBatch"):
            change(route53, ("CREATE", simple()), ("DELETE", alias()), wrong, ("CREATE", weighted("a", 1)))
        assert records(route53) == before


def test_delete_and_create_in_one_batch_replaces(double, route53):
    double.settings(route53_insync_ms=2000)
    info = change(route53, ("DELETE", alias()), ("CREATE", alias(WEST_ALB, WEST_ALB_ZONE)))
    assert double.resolve(NAME)[1][0][3] == double.app_ip(EAST)
    settle(route53, info)
    assert double.resolve(NAME)[1][0][3] == double.app_ip(WEST)


def test_a_token_works_as_compare_and_swap(route53):
    def token(value):
        return simple("_mesh.api.maip.example.com.", "TXT", (f'"{value}"',))

    change(route53, ("CREATE", token("1.a")))
    change(route53, ("DELETE", token("1.a")), ("CREATE", token("2.b")), ("DELETE", alias()), ("CREATE", alias(WEST_ALB, WEST_ALB_ZONE)))
    with refused("InvalidChangeBatch"):
        change(route53, ("DELETE", token("1.a")), ("CREATE", token("1.c")))
    assert records(route53, "_mesh.api.maip.example.com.")[0]["ResourceRecords"] == [{"Value": '"2.b"'}]


def test_one_set_twice_in_a_batch_is_refused(route53):
    with refused("InvalidChangeBatch", says="invalid set of changes"):
        change(route53, ("CREATE", simple()), ("DELETE", simple()))
    with refused("InvalidChangeBatch", says="invalid set of changes"):
        change(route53, ("UPSERT", simple()), ("UPSERT", simple(ttl=5)))


def test_weighted_and_simple_do_not_mix(route53):
    change(route53, ("CREATE", weighted("a", 1)))
    with refused("InvalidChangeBatch"):
        change(route53, ("CREATE", simple("w.maip.example.com.")))
    with refused("InvalidChangeBatch"):
        change(route53, ("CREATE", alias(name="w.maip.example.com.", SetIdentifier="p", Failover="PRIMARY")))


def test_a_weight_is_between_0_and_255(route53):
    change(route53, ("CREATE", weighted("a", 0)), ("CREATE", weighted("b", 255)))
    with refused("InvalidInput"):
        change(route53, ("CREATE", weighted("c", 256)))


def test_a_name_outside_the_zone_is_refused(route53):
    for name in ("example.com.", "notmaip.example.com.", "www.example.org."):
        with refused("InvalidChangeBatch", says="not permitted in zone"):
            change(route53, ("CREATE", simple(name)))


def test_a_cname_stands_alone(route53):
    change(route53, ("CREATE", simple("c.maip.example.com.", "CNAME", ("x.example.org.",))))
    with refused("InvalidChangeBatch", says="conflicts"):
        change(route53, ("CREATE", simple("c.maip.example.com.")))
    with refused("InvalidChangeBatch", says="apex"):
        change(route53, ("CREATE", simple("maip.example.com.", "CNAME", ("x.example.org.",))))


def test_an_alias_has_no_ttl_and_an_existing_target(route53):
    with refused("InvalidInput"):
        change(route53, ("UPSERT", alias(TTL=60)))
    for target, zone in ((EAST_ALB, WEST_ALB_ZONE), ("other.us-east-1.elb.amazonaws.com.", EAST_ALB_ZONE), ("gone.maip.example.com.", ZONE)):
        with refused("InvalidChangeBatch", says="alias"):
            change(route53, ("UPSERT", alias(target, zone)))


def test_a_thousand_records_and_no_more(route53):
    def batch(count):
        return [("CREATE", simple(f"n{number}.maip.example.com.")) for number in range(count)]

    with refused("InvalidChangeBatch", says="limit"):
        change(route53, *batch(1001))
    change(route53, *batch(1000))
    with refused("InvalidChangeBatch", says="limit"):
        change(route53, *[("UPSERT", record) for _, record in batch(501)])


def test_the_apex_keeps_its_soa_and_ns(route53):
    apex = [one for one in records(route53, "maip.example.com.")]
    assert {one["Type"] for one in apex} == {"NS", "SOA"}
    for record in apex:
        with refused("InvalidChangeBatch"):
            change(route53, ("DELETE", record))


def test_two_primaries_are_refused(route53):
    change(route53, ("CREATE", simple("f.maip.example.com.", SetIdentifier="p", Failover="PRIMARY")))
    with refused("InvalidChangeBatch"):
        change(route53, ("CREATE", simple("f.maip.example.com.", SetIdentifier="q", Failover="PRIMARY")))


def test_an_unknown_health_check_is_refused(route53):
    with refused("NoSuchHealthCheck", 404):
        change(route53, ("CREATE", weighted("a", 1, HealthCheckId="b9a6ac13-6b4c-4b9b-8a4f-000000000000")))


def test_a_missing_zone_is_refused(route53):
    with refused("NoSuchHostedZone", 404):
        change(route53, ("CREATE", simple()), zone="Z000000000000")
    with refused("NoSuchHostedZone", 404):
        route53.get_hosted_zone(Id="Z000000000000")


def test_a_second_change_while_one_is_being_accepted_is_refused(double, route53):
    double.settings(route53_accept_ms=2000)
    other = double.client("route53")
    first = threading.Thread(target=change, args=(other, ("CREATE", simple())))
    first.start()
    eventually(lambda: double.effects("ChangeResourceRecordSets"), "the first arrives")
    with refused("PriorRequestNotComplete", 400):
        change(route53, ("CREATE", weighted("a", 1)))
    first.join()
    double.settings(route53_accept_ms=0)
    change(route53, ("CREATE", weighted("a", 1)))


def test_five_requests_a_second_for_the_account(double, route53):
    double.settings(route53_requests_per_second=5)
    with refused("Throttling", 400, "Rate exceeded"):
        for _ in range(50):
            route53.list_hosted_zones()
    throttled = [one for one in double.effects() if one["error"] == "Throttling"]
    assert len(throttled) == 1 and throttled[0]["outcome"] == "refused"


def test_listing_pages_by_name_type_and_identifier(route53):
    change(route53, *[("CREATE", weighted(f"s{number}", 1)) for number in range(5)], ("CREATE", simple()))
    paginator = route53.get_paginator("list_resource_record_sets")
    paged = [one for page in paginator.paginate(HostedZoneId=ZONE, PaginationConfig={"PageSize": 2}) for one in page["ResourceRecordSets"]]
    assert paged == records(route53)
    page = route53.list_resource_record_sets(HostedZoneId=ZONE, StartRecordName="w.maip.example.com.", StartRecordType="A", MaxItems="2")
    assert page["NextRecordIdentifier"] == "s2" and page["IsTruncated"]
    rest = route53.list_resource_record_sets(
        HostedZoneId=ZONE, StartRecordName="w.maip.example.com.", StartRecordType="A", StartRecordIdentifier="s2"
    )
    assert rest["ResourceRecordSets"][0]["SetIdentifier"] == "s2"


def test_zones_are_listed_and_have_name_servers(route53):
    (zone,) = route53.list_hosted_zones()["HostedZones"]
    assert (zone["Id"], zone["Name"]) == (f"/hostedzone/{ZONE}", "maip.example.com.")
    assert route53.list_hosted_zones_by_name(DNSName="maip.example.com")["HostedZones"][0]["Id"] == zone["Id"]
    assert len(route53.get_hosted_zone(Id=ZONE)["DelegationSet"]["NameServers"]) == 4


def test_changes_of_a_zone_reach_the_name_servers_in_their_order(double, route53):
    double.settings(route53_insync_ms=2000)
    first = change(route53, ("UPSERT", simple(values=("192.0.2.1",))))
    double.settings(route53_insync_ms=0, route53_accept_ms=0)
    second = change(route53, ("UPSERT", simple(values=("192.0.2.2",))))
    settle(route53, second)
    assert route53.get_change(Id=first["Id"])["ChangeInfo"]["Status"] == "INSYNC"
    assert double.resolve("www.maip.example.com")[1][0][3] == "192.0.2.2"


def test_the_control_plane_dies_with_its_region_and_dns_goes_on(double, route53):
    double.region(EAST, "down")
    with pytest.raises(Exception, match="Connection was closed|Read timeout|Could not connect"):
        change(route53, ("CREATE", simple()))
    (effect,) = double.effects("ChangeResourceRecordSets")
    assert (effect["outcome"], effect["reply"]) == ("dropped", "lost")
    assert double.resolve(NAME)[0] == 0
    double.region(EAST, "up")
    change(route53, ("CREATE", simple()))


# What the name servers answer.


def health_check(client, ip="127.0.0.1", port=9, **more):
    config = {"Type": "HTTP", "IPAddress": ip, "Port": port, "ResourcePath": "/actuator/health", "FailureThreshold": 1, **more}
    answer = client.create_health_check(CallerReference=f"{ip}-{port}-{len(more)}", HealthCheckConfig=config)
    return answer["HealthCheck"]["Id"]


def app_check(double, client, region):
    ip, port = double.addresses["apps"][region].split(":")
    return health_check(client, ip, int(port))


def test_weights_are_honoured_per_query(double, route53):
    settle(route53, change(route53, ("CREATE", weighted("a", 75, "192.0.2.1")), ("CREATE", weighted("b", 25, "192.0.2.2"))))
    answers = [double.resolve("w.maip.example.com")[1] for _ in range(400)]
    assert all(len(answer) == 1 for answer in answers)
    first = sum(answer[0][3] == "192.0.2.1" for answer in answers)
    assert 240 < first < 360


def test_weight_0_is_not_answered_beside_others(double, route53):
    settle(route53, change(route53, ("CREATE", weighted("a", 1, "192.0.2.1")), ("CREATE", weighted("b", 0, "192.0.2.2"))))
    assert {double.resolve("w.maip.example.com")[1][0][3] for _ in range(50)} == {"192.0.2.1"}


def test_failover_follows_health(double, route53):
    check = app_check(double, route53, EAST)
    name = "f.maip.example.com."
    primary = simple(name, values=("192.0.2.1",), SetIdentifier="p", Failover="PRIMARY", HealthCheckId=check)
    secondary = simple(name, values=("192.0.2.2",), SetIdentifier="s", Failover="SECONDARY")
    settle(route53, change(route53, ("CREATE", primary), ("CREATE", secondary)))
    assert double.resolve(name)[1][0][3] == "192.0.2.1"
    double.region(EAST, "partitioned")
    eventually(lambda: double.resolve(name)[1][0][3] == "192.0.2.2", "the secondary answers")
    double.region(EAST, "up")
    eventually(lambda: double.resolve(name)[1][0][3] == "192.0.2.1", "the primary answers again")


def test_none_healthy_is_all_healthy(double, route53):
    dead = health_check(route53, port=9)
    name = "w.maip.example.com."
    members = [weighted(letter, 1, f"192.0.2.{number}", HealthCheckId=dead) for number, letter in enumerate("ab", 1)]
    settle(route53, change(route53, *[("CREATE", member) for member in members]))
    eventually(lambda: "Failure" in str(route53.get_health_check_status(HealthCheckId=dead)), "the check fails")
    assert {double.resolve(name)[1][0][3] for _ in range(50)} == {"192.0.2.1", "192.0.2.2"}


def test_an_alias_can_follow_its_targets_health(double, route53):
    name = "g.maip.example.com."
    east = alias(EAST_ALB, EAST_ALB_ZONE, name, SetIdentifier="e", Failover="PRIMARY")
    west = alias(WEST_ALB, WEST_ALB_ZONE, name, SetIdentifier="w", Failover="SECONDARY")
    settle(route53, change(route53, ("CREATE", east), ("CREATE", west)))
    assert double.resolve(name)[1] == [(name, 1, 60, double.app_ip(EAST))]
    promote(double)
    double.region(EAST, "down")
    assert double.resolve(name)[1][0][3] == double.app_ip(WEST)


def promote(double):
    rds = double.client("rds", WEST)
    rds.promote_read_replica(DBInstanceIdentifier="maip-prod-postgres-replica")
    eventually(lambda: not double.instance(WEST, "maip-prod-postgres-replica")["read_only"], "promoted")


def test_a_cname_is_followed_within_the_zone_and_out_to_a_load_balancer(double, route53):
    one = simple("one.maip.example.com.", "CNAME", ("two.maip.example.com.",))
    two = simple("two.maip.example.com.", "CNAME", (WEST_ALB,))
    settle(route53, change(route53, ("CREATE", one), ("CREATE", two)))
    _, answers = double.resolve("one.maip.example.com")
    assert [kind for _, kind, _, _ in answers] == [5, 5, 1]
    assert answers[-1][3] == double.app_ip(WEST)


def test_names_that_are_not_there(double):
    assert double.resolve("gone.maip.example.com")[0] == 3
    assert double.resolve(NAME, "AAAA") == (0, [])
    assert double.resolve("www.example.org")[0] == 5
    assert double.resolve(EAST_ALB, tcp=True)[1][0][3] == double.app_ip(EAST)


def test_a_health_check_in_use_is_not_deleted(route53):
    check = health_check(route53)
    change(route53, ("CREATE", weighted("a", 1, HealthCheckId=check)))
    with refused("HealthCheckInUse"):
        route53.delete_health_check(HealthCheckId=check)
    change(route53, ("DELETE", weighted("a", 1, HealthCheckId=check)))
    route53.delete_health_check(HealthCheckId=check)
    with refused("NoSuchHealthCheck", 404):
        route53.get_health_check(HealthCheckId=check)


def test_one_caller_reference_makes_one_health_check(route53):
    assert health_check(route53) == health_check(route53)
    config = {"Type": "TCP", "IPAddress": "127.0.0.1", "Port": 10}
    with refused("HealthCheckAlreadyExists", 409):
        route53.create_health_check(CallerReference="127.0.0.1-9-0", HealthCheckConfig=config)
