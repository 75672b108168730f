import datetime

import pytest

from double import EAST, WEST, eventually
from errors import refused


@pytest.fixture
def cloudwatch(double):
    return double.client("cloudwatch", EAST)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def minute(ago=0):
    return now().replace(second=0, microsecond=0) - datetime.timedelta(minutes=ago)


def put(client, *points, name="Errors", namespace="Maip"):
    data = [{"MetricName": name, "Timestamp": at, "Value": value, "Unit": "Count"} for at, value in points]
    client.put_metric_data(Namespace=namespace, MetricData=data)


def get(client, period=60, start=None, end=None, statistics=("Average",), name="Errors"):
    answer = client.get_metric_statistics(
        Namespace="Maip",
        MetricName=name,
        StartTime=start or minute(10),
        EndTime=end or minute(-1),
        Period=period,
        Statistics=list(statistics),
    )
    return sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])


def test_data_are_summed_up_by_period(cloudwatch):
    at = minute(5)
    put(cloudwatch, (at, 1.0), (at + datetime.timedelta(seconds=30), 3.0), (minute(3), 7.0))
    found = get(cloudwatch, statistics=("Average", "Maximum", "Minimum", "Sum", "SampleCount"))
    first = found[0]
    assert (first["Timestamp"], first["Unit"]) == (at, "Count")
    assert [first[one] for one in ("Average", "Maximum", "Minimum", "Sum", "SampleCount")] == [2, 3, 1, 4, 2]
    assert len(found) == 2


def test_the_start_is_inclusive_and_the_end_exclusive(cloudwatch):
    put(cloudwatch, (minute(4), 1.0), (minute(3), 2.0), (minute(2), 3.0))
    assert [one["Average"] for one in get(cloudwatch, start=minute(4), end=minute(2))] == [1, 2]


def test_periods_and_times_are_checked(cloudwatch):
    for period in (7, 61, 90):
        with refused("InvalidParameterValue"):
            get(cloudwatch, period=period)
    with refused("InvalidParameterCombination"):
        get(cloudwatch, start=minute(1), end=minute(1))
    with refused("InvalidParameterCombination", says="1,440"):
        get(cloudwatch, period=1, start=minute(60))
    with refused("InvalidParameterValue"):
        get(cloudwatch, statistics=("Median",))


def test_the_namespaces_of_aws_are_its_own(cloudwatch):
    with refused("InvalidParameterValue"):
        put(cloudwatch, (minute(), 1.0), namespace="AWS/RDS")


def test_regions_do_not_share_metrics(double, cloudwatch):
    put(cloudwatch, (minute(1), 1.0))
    assert get(double.client("cloudwatch", WEST)) == []
    assert [one["MetricName"] for one in cloudwatch.list_metrics(Namespace="Maip")["Metrics"]] == ["Errors"]


def test_metric_data_has_the_newest_first(cloudwatch):
    put(cloudwatch, (minute(4), 1.0), (minute(3), 2.0))
    metric = {"Namespace": "Maip", "MetricName": "Errors"}
    query = {"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
    answer = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=minute(10), EndTime=minute())
    (result,) = answer["MetricDataResults"]
    assert result["Values"] == [2, 1] and result["Timestamps"] == [minute(3), minute(4)]


def test_an_alarm_starts_without_data_and_can_be_set(cloudwatch):
    alarm = dict(Namespace="Maip", MetricName="Errors", Threshold=1.0, Period=60, EvaluationPeriods=1, Statistic="Sum")
    cloudwatch.put_metric_alarm(AlarmName="a", ComparisonOperator="GreaterThanThreshold", **alarm)
    assert cloudwatch.describe_alarms()["MetricAlarms"][0]["StateValue"] == "INSUFFICIENT_DATA"
    cloudwatch.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="drill")
    assert [one["AlarmName"] for one in cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"]] == ["a"]
    with refused("ResourceNotFound", 404):
        cloudwatch.set_alarm_state(AlarmName="b", StateValue="OK", StateReason="x")


def test_metrics_are_sampled_while_nobody_asks(double):
    client = double.client("cloudwatch", WEST)
    eventually(lambda: client.list_metrics(Namespace="AWS/RDS")["Metrics"], "ReplicaLag")
