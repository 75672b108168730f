use mesh_double::error::ApiError;
use mesh_double::wire::Node;
use mesh_double::wire::request::Service;
use mesh_double::world::{RegionState, World};

use crate::asking::{EAST, START_MS, WEST, ask, code, world};

const TABLE: &str = "maip-prod-merchant-analytics";
const MINUTE_MS: u64 = 60_000;

fn call(world: &mut World, after_ms: u64, region: &str, operation: &str, input: Node) -> Result<Node, ApiError> {
    ask(world, after_ms, (Service::CloudWatch, region), operation, input)
}

fn pairs(all: &[(&str, &str)]) -> Node {
    Node::List(
        "member",
        all.iter().map(|(name, value)| Node::map().with("Name", *name).with("Value", *value)).collect(),
    )
}

/// The greatest latency of each second, in the region that is asked.
fn latencies(world: &mut World, after_ms: u64, asked: &str, receiving: &str) -> Vec<(u64, f64)> {
    let input = Node::map()
        .with("Namespace", "AWS/DynamoDB")
        .with("MetricName", "ReplicationLatency")
        .with("Dimensions", pairs(&[("TableName", TABLE), ("ReceivingRegion", receiving)]))
        .with("StartTime", Node::Time(START_MS))
        .with("EndTime", Node::Time(START_MS + after_ms + 1))
        .with("Period", 1i64)
        .with("Statistics", Node::texts("member", ["Maximum"]));
    let answer = call(world, after_ms, asked, "GetMetricStatistics", input).expect("it is asked well");
    let point = |node: &Node| {
        let at = node.time("Timestamp").expect("a time").expect("each has one");
        (at - START_MS, node.float("Maximum").expect("a number").expect("each has one"))
    };
    answer.list("Datapoints").into_iter().map(point).collect()
}

fn put_item(world: &mut World, after_ms: u64) {
    let item = Node::map().with("merchant_id", Node::map().with("S", "m"));
    let input = Node::map().with("TableName", TABLE).with("Item", item);
    ask(world, after_ms, (Service::DynamoDb, EAST), "PutItem", input).expect("the table takes writes");
}

#[test]
fn latency_is_published_by_the_region_that_writes_and_by_no_other() {
    let mut world = world();
    assert_eq!(latencies(&mut world, 2500, EAST, WEST), [(0, 300.0), (1000, 300.0), (2000, 300.0)]);
    assert_eq!(latencies(&mut world, 2500, WEST, EAST).len(), 3);
    assert_eq!(latencies(&mut world, 2500, EAST, EAST), []);
    assert_eq!(latencies(&mut world, 2500, WEST, WEST), []);
}

#[test]
fn latency_follows_the_lag() {
    let mut world = world();
    world.settings.dynamodb_replication_lag_ms = 45_000;
    assert_eq!(latencies(&mut world, 1500, EAST, WEST).last(), Some(&(1000, 45_000.0)));
    world.settings.dynamodb_replication_lag_ms = 20;
    assert_eq!(latencies(&mut world, 2500, EAST, WEST).last(), Some(&(2000, 20.0)));
}

#[test]
fn a_write_that_waited_for_its_region_was_that_long_under_way() {
    let mut world = world();
    world.settings.dynamodb_idle_latency = false;
    world.set_region(WEST, RegionState::Down);
    put_item(&mut world, 500);
    assert_eq!(latencies(&mut world, 20_400, EAST, WEST), [], "what has not arrived has no latency");
    world.set_region(WEST, RegionState::Up);
    assert_eq!(latencies(&mut world, 21_500, EAST, WEST), [(21_000, 19_900.0)]);
    assert_eq!(latencies(&mut world, 25_000, EAST, WEST).len(), 1, "nobody writes");
}

#[test]
fn a_dead_region_publishes_nothing_and_one_that_is_cut_off_measures_nothing() {
    for fate in [RegionState::Down, RegionState::Partitioned] {
        let mut world = world();
        assert_eq!(latencies(&mut world, 1500, EAST, WEST).len(), 2);
        world.set_region(EAST, fate);
        for (asked, receiving) in [(EAST, WEST), (WEST, EAST)] {
            assert_eq!(latencies(&mut world, 60_000, asked, receiving).len(), 2, "{fate:?} {asked}");
        }
    }
}

fn datum(world: &mut World, minute: u64, value: f64) {
    let at = Node::Time(START_MS + minute * MINUTE_MS);
    let datum = Node::map().with("MetricName", "Errors").with("Timestamp", at).with("Value", value);
    let input = Node::map().with("Namespace", "Maip").with("MetricData", Node::List("member", vec![datum]));
    call(world, minute * MINUTE_MS, EAST, "PutMetricData", input).expect("it is put well");
}

/// The state after these five minutes, in which X is beyond the threshold, O within it and - without data.
fn judged(minutes: &str, treatment: &str, (needed, of): (i64, i64)) -> String {
    let mut world = world();
    let alarm = Node::map()
        .with("AlarmName", "a")
        .with("Namespace", "Maip")
        .with("MetricName", "Errors")
        .with("Statistic", "Sum")
        .with("ComparisonOperator", "GreaterThanThreshold")
        .with("Threshold", 1.0)
        .with("Period", 60i64)
        .with("EvaluationPeriods", of)
        .with("DatapointsToAlarm", needed)
        .with("TreatMissingData", treatment);
    call(&mut world, 0, EAST, "PutMetricAlarm", alarm).expect("it is put well");
    let state = Node::map().with("AlarmName", "a").with("StateReason", "before");
    for (minute, sign) in (0..).zip(minutes.chars().filter(|sign| !sign.is_whitespace())) {
        match sign {
            'X' => datum(&mut world, minute, 5.0),
            'O' => datum(&mut world, minute, 0.0),
            _ => world.advance(START_MS + minute * MINUTE_MS),
        }
    }
    let at = 5 * MINUTE_MS;
    call(&mut world, at - 1, EAST, "SetAlarmState", state.with("StateValue", "ALARM")).expect("it exists");
    let answer = call(&mut world, at + 10_000, EAST, "DescribeAlarms", Node::map()).expect("described");
    answer.list("MetricAlarms").first().and_then(|alarm| alarm.str("StateValue")).expect("it has a state")
}

/// The table in CloudWatch's own guide; the state before is ALARM, which is what is kept where one is.
#[test]
fn missing_data_count_as_the_guide_says() {
    let cases = [
        ("O-X-X", ["OK", "OK", "OK", "OK"]),
        ("O----", ["OK", "OK", "OK", "OK"]),
        ("-----", ["INSUFFICIENT_DATA", "ALARM", "ALARM", "OK"]),
        ("OXX-X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("--X--", ["ALARM", "ALARM", "ALARM", "OK"]),
    ];
    for (minutes, expected) in cases {
        for (treatment, state) in ["missing", "ignore", "breaching", "notBreaching"].iter().zip(expected) {
            assert_eq!(judged(minutes, treatment, (3, 3)), state, "{minutes} {treatment}");
        }
    }
}

#[test]
fn so_many_of_so_many_periods_are_enough() {
    assert_eq!(judged("OOXOX", "missing", (2, 3)), "ALARM");
    assert_eq!(judged("XXOOX", "missing", (2, 3)), "OK");
}

#[test]
fn a_call_puts_a_thousand_data_at_most() {
    let mut world = world();
    let mut put = |count: usize| {
        let data = vec![Node::map().with("MetricName", "Errors").with("Value", 1.0); count];
        let input = Node::map().with("Namespace", "Maip").with("MetricData", Node::List("member", data));
        call(&mut world, 0, EAST, "PutMetricData", input)
    };
    assert_eq!(code(put(1001)), "InvalidParameterValue");
    put(1000).expect("as many as there may be");
}

#[test]
fn what_is_not_modelled_is_refused() {
    let mut world = world();
    let calls = [
        ("PutAnomalyDetector", Node::map()),
        ("GetMetricStatistics", Node::map().with("AccountId", "1")),
        ("PutMetricAlarm", Node::map().with("Metrics", Node::map())),
    ];
    for (operation, input) in calls {
        assert_eq!(code(call(&mut world, 0, EAST, operation, input)), "UnsupportedByDouble", "{operation}");
    }
}

/// What GetMetricData says of the one minute that has data.
fn statistic(world: &mut World, name: &str) -> Result<Vec<f64>, ApiError> {
    let metric = Node::map().with("Namespace", "Maip").with("MetricName", "Latency");
    let stat = Node::map().with("Metric", metric).with("Period", 60i64).with("Stat", name);
    let query = Node::map().with("Id", "m0").with("MetricStat", stat);
    let input = Node::map()
        .with("MetricDataQueries", Node::List("member", vec![query]))
        .with("StartTime", Node::Time(START_MS))
        .with("EndTime", Node::Time(START_MS + MINUTE_MS));
    let answer = call(world, MINUTE_MS, EAST, "GetMetricData", input)?;
    let results = answer.list("MetricDataResults");
    let values = results.first().map(|result| result.list("Values")).unwrap_or_default();
    let number =
        |value: &Node| Node::map().with("V", value.clone()).float("V").expect("a number").expect("it is there");
    Ok(values.into_iter().map(number).collect())
}

#[test]
fn a_percentile_is_of_values_and_not_of_their_statistics() {
    let put = |world: &mut World, of: &str, part: Node| {
        let datum = Node::map().with("MetricName", "Latency").with("Timestamp", Node::Time(START_MS)).with(of, part);
        let input = Node::map().with("Namespace", "Maip").with("MetricData", Node::List("member", vec![datum]));
        call(world, 0, EAST, "PutMetricData", input).expect("it is put well");
    };
    let mut world = world();
    let values = (1..=100).map(|value| Node::Float(f64::from(value))).collect();
    put(&mut world, "Values", Node::List("member", values));
    for (name, expected) in [("p99", 99.0), ("p50", 50.0), ("p0", 1.0), ("p100", 100.0), ("p99.5", 100.0)] {
        assert_eq!(statistic(&mut world, name).expect("it is asked well"), [expected], "{name}");
    }
    assert_eq!(code(statistic(&mut world, "p101").map(|_| Node::map())), "InvalidParameterValue");
    let set = Node::map().with("SampleCount", 2.0).with("Sum", 3.0).with("Minimum", 1.0).with("Maximum", 2.0);
    put(&mut world, "StatisticValues", set);
    assert_eq!(statistic(&mut world, "p99").expect("it is asked well"), [0.0; 0], "nobody knows the values now");
    assert_eq!(statistic(&mut world, "Maximum").expect("it is asked well"), [100.0]);
}
