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


def test_statistic_sets_and_value_arrays_are_summed_up(cloudwatch):
    at = minute(5)
    data = {"MetricName": "Errors", "Timestamp": at, "Unit": "Count"}
    sums = {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 5}
    cloudwatch.put_metric_data(
        Namespace="Maip",
        MetricData=[{**data, "StatisticValues": sums}, {**data, "Values": [7, 2], "Counts": [1, 3]}, {**data, "Value": 0.5}],
    )
    (found,) = get(cloudwatch, statistics=("Average", "Maximum", "Minimum", "Sum", "SampleCount"))
    assert [found[one] for one in ("Maximum", "Minimum", "Sum", "SampleCount")] == [7, 0.5, 23.5, 9]


def test_data_that_do_not_make_sense_are_refused(cloudwatch):
    def put_one(**datum):
        cloudwatch.put_metric_data(Namespace="Maip", MetricData=[{"MetricName": "Errors", **datum}])

    with refused("InvalidParameterCombination"):
        put_one(Value=1, Values=[1])
    with refused("InvalidParameterCombination"):
        put_one()
    for wrong in (
        dict(Values=[1, 2], Counts=[1]),
        dict(Values=[1.0] * 151),
        dict(Value=1e200),
        dict(Value=1, Timestamp=now() - datetime.timedelta(days=15)),
        dict(Value=1, Timestamp=now() + datetime.timedelta(hours=3)),
        dict(Value=1, Dimensions=[{"Name": f"d{number}", "Value": "v"} for number in range(31)]),
        dict(Value=1, Dimensions=[{"Name": "d", "Value": "v"}] * 2),
    ):
        with refused("InvalidParameterValue", 400):
            put_one(**wrong)
    assert cloudwatch.list_metrics(Namespace="Maip")["Metrics"] == []


def test_old_data_are_kept_by_longer_periods_only(cloudwatch):
    with refused("InvalidParameterValue"):
        get(cloudwatch, period=10, start=minute(181))
    with refused("InvalidParameterValue"):
        get(cloudwatch, period=60, start=minute(16 * 24 * 60), end=minute(16 * 24 * 60 - 60))
    assert get(cloudwatch, period=300, start=minute(16 * 24 * 60), end=minute(16 * 24 * 60 - 60)) == []


def test_metrics_are_chosen_by_dimension(cloudwatch):
    for value in ("a", "b"):
        dimensions = [{"Name": "Service", "Value": value}, {"Name": "Kind", "Value": "x"}]
        datum = {"MetricName": "Errors", "Value": 1, "Dimensions": dimensions}
        cloudwatch.put_metric_data(Namespace="Maip", MetricData=[datum])

    def count(*dimensions):
        return len(cloudwatch.list_metrics(Namespace="Maip", Dimensions=list(dimensions))["Metrics"])

    assert count({"Name": "Service"}) == 2 and count({"Name": "Service", "Value": "a"}) == 1
    assert count({"Name": "Service", "Value": "a"}, {"Name": "Kind", "Value": "y"}) == 0


def test_metric_data_come_in_pages(cloudwatch):
    put(cloudwatch, *[(minute(ago), float(ago)) for ago in range(2, 7)])
    metric = {"Namespace": "Maip", "MetricName": "Errors"}
    stat = {"Metric": metric, "Period": 60, "Stat": "Sum"}
    queries = [{"Id": "a", "MetricStat": stat}, {"Id": "b", "MetricStat": stat, "Label": "again"}]
    asked = dict(MetricDataQueries=queries, StartTime=minute(10), EndTime=minute())
    first = cloudwatch.get_metric_data(**asked, MaxDatapoints=3)
    assert first["MetricDataResults"][0]["StatusCode"] == "PartialData" and first["NextToken"]
    pages = cloudwatch.get_paginator("get_metric_data").paginate(**asked, PaginationConfig={"PageSize": 3})
    found = {"a": [], "b": []}
    for page in pages:
        for result in page["MetricDataResults"]:
            found[result["Id"]] += result["Values"]
    assert found == {"a": [2, 3, 4, 5, 6], "b": [2, 3, 4, 5, 6]}


def test_metric_queries_that_do_not_make_sense_are_refused(cloudwatch):
    stat = {"Metric": {"Namespace": "Maip", "MetricName": "Errors"}, "Period": 60, "Stat": "Sum"}

    def ask(*queries, **more):
        cloudwatch.get_metric_data(MetricDataQueries=list(queries), StartTime=minute(10), EndTime=minute(), **more)

    with refused("ValidationError"):
        ask({"Id": "a", "MetricStat": stat}, {"Id": "a", "MetricStat": stat})
    with refused("ValidationError"):
        ask({"Id": "Upper", "MetricStat": stat})
    with refused("UnsupportedByDouble"):
        ask({"Id": "a", "Expression": "SUM(METRICS())"})
    with refused("InvalidNextToken"):
        ask({"Id": "a", "MetricStat": stat}, NextToken="x")


ALARM = dict(Namespace="Maip", MetricName="Errors", Threshold=1.0, Period=60, EvaluationPeriods=1, Statistic="Sum")


def put_alarm(client, name="a", **more):
    client.put_metric_alarm(AlarmName=name, **{"ComparisonOperator": "GreaterThanThreshold", **ALARM, **more})


def state(client, name="a"):
    return client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]


def test_an_alarm_starts_without_data_and_can_be_set(double, cloudwatch):
    double.settings(alarm_evaluation_ms=3_600_000)
    put_alarm(cloudwatch)
    assert state(cloudwatch) == "INSUFFICIENT_DATA"
    cloudwatch.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="drill")
    assert [one["AlarmName"] for one in cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"]] == ["a"]
    put_alarm(cloudwatch, Threshold=2.0)
    assert state(cloudwatch) == "ALARM", "an alarm that is put again keeps its state"
    with refused("ResourceNotFound", 404):
        cloudwatch.set_alarm_state(AlarmName="b", StateValue="OK", StateReason="x")


def test_an_alarm_follows_its_metric(double, cloudwatch):
    double.settings(alarm_evaluation_ms=50)
    put_alarm(cloudwatch)
    put(cloudwatch, (minute(1), 5.0), (minute(), 5.0))
    eventually(lambda: state(cloudwatch) == "ALARM", "beyond")
    put_alarm(cloudwatch, Threshold=100.0)
    eventually(lambda: state(cloudwatch) == "OK", "within")
    put_alarm(cloudwatch, MetricName="Other")
    eventually(lambda: state(cloudwatch) == "INSUFFICIENT_DATA", "no data")
    put_alarm(cloudwatch, MetricName="Other", TreatMissingData="breaching")
    eventually(lambda: state(cloudwatch) == "ALARM", "no data is bad")
    cloudwatch.set_alarm_state(AlarmName="a", StateValue="OK", StateReason="drill")
    eventually(lambda: state(cloudwatch) == "ALARM", "a state that was set lasts until the next look")


def test_alarms_of_a_region_stay_as_they_are_while_it_is_dead(double, cloudwatch):
    double.settings(alarm_evaluation_ms=50)
    put_alarm(cloudwatch, TreatMissingData="notBreaching")
    eventually(lambda: state(cloudwatch) == "OK", "evaluated")
    double.region(EAST, "down")
    double.region(EAST, "up")
    assert state(cloudwatch) == "OK"
    assert double.client("cloudwatch", WEST).describe_alarms()["MetricAlarms"] == []


def test_alarms_come_in_pages_and_can_be_deleted(double, cloudwatch):
    for name in ("a1", "a2", "b1"):
        put_alarm(cloudwatch, name)
    page = cloudwatch.describe_alarms(MaxRecords=2)
    assert [one["AlarmName"] for one in page["MetricAlarms"]] == ["a1", "a2"]
    rest = cloudwatch.describe_alarms(MaxRecords=2, NextToken=page["NextToken"])
    assert [one["AlarmName"] for one in rest["MetricAlarms"]] == ["b1"] and "NextToken" not in rest
    assert len(cloudwatch.describe_alarms(AlarmNamePrefix="a")["MetricAlarms"]) == 2
    with refused("InvalidParameterCombination"):
        cloudwatch.describe_alarms(AlarmNamePrefix="a", AlarmNames=["b1"])
    with refused("ResourceNotFound", 404):
        cloudwatch.delete_alarms(AlarmNames=["a1", "gone"])
    cloudwatch.delete_alarms(AlarmNames=["a1", "a2"])
    assert [one["AlarmName"] for one in cloudwatch.describe_alarms()["MetricAlarms"]] == ["b1"]


def test_alarms_that_do_not_make_sense_are_refused(cloudwatch):
    for wrong in (
        dict(Period=45),
        dict(Period=86_400, EvaluationPeriods=8),
        dict(EvaluationPeriods=2, DatapointsToAlarm=3),
        dict(TreatMissingData="perhaps"),
    ):
        with refused("ValidationError"):
            put_alarm(cloudwatch, **wrong)
    with refused("UnsupportedByDouble"):
        put_alarm(cloudwatch, AlarmActions=["arn:aws:sns:us-east-1:123456789012:maip-prod-alerts.fifo"])


def test_metrics_are_sampled_while_nobody_asks(double):
    client = double.client("cloudwatch", WEST)
    eventually(lambda: client.list_metrics(Namespace="AWS/RDS")["Metrics"], "ReplicaLag")
