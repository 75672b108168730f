//! Keys of the health questions.

use super::{Field, Kind, NAME, Record, STATUS, TEXT_BY_REGION, Words, default, optional, record, required, words};

const PASSES: Kind = Kind::Integer { min: 1, max: 100 };
const LATENCY_MAX: Field = optional("latency-max", Kind::Duration, "A later answer fails, whatever it says.");
const CA_FILE: Field = optional(
    "ca-file",
    Kind::Text,
    "Authorities of the server's certificate (PEM): a name in the agents' directory of credentials. Without it the system's.",
);
const ABOVE: Field = optional("above", Kind::Decimal, "A greater value fails.");
const BELOW: Field = optional("below", Kind::Decimal, "A smaller value fails.");
const MISSING: Field =
    default("missing", Kind::Word(&MISSING_WORDS), "unknown", "What it means that there is no value.");
const PUBLISHED_IN: Field =
    optional("published-in", Kind::Name, "Region whose CloudWatch is asked. Without it the one that it is about.");

pub(super) static CHECK: Record = Record {
    fields: &[
        required("name", Kind::Name, NAME),
        optional("http", Kind::Record(&HTTP), "GET a URL of each region."),
        optional("tcp", Kind::Record(&TCP), "Open a connection to each region."),
        optional("grpc", Kind::Record(&GRPC), "Ask the gRPC health service of each region."),
        optional("dns", Kind::Record(&DNS), "Look up a name of each region."),
        optional("postgresql", Kind::Record(&POSTGRESQL), "Ask the servers of a `postgresql` resource."),
        optional("aws-status", Kind::Record(&AWS_STATUS), "Ask AWS for the status of a resource."),
        optional("cloudwatch", Kind::Record(&CLOUDWATCH), "Compare a CloudWatch metric with a threshold."),
        optional("alarm", Kind::Record(&ALARM), "Ask for the state of a CloudWatch alarm."),
        optional("prometheus", Kind::Record(&PROMETHEUS), "Compare what a Prometheus query says with a threshold."),
        default("interval", Kind::Duration, "10s", "Time between two probes of one agent, 1s to 1h."),
        default("timeout", Kind::Duration, "1s", "Time that one probe may take; not longer than the interval."),
        default("fail-after", PASSES, "3", "Failures in a row before the check counts as failing."),
        default("pass-after", PASSES, "2", "Passes in a row before it counts as passing again."),
        default("critical", Kind::Boolean, "true", "Whether its failure alone makes the region unhealthy."),
        default("observe-only", Kind::Boolean, "false", "Asked and shown, and counted for nothing."),
        default(
            "from",
            Kind::Word(&FROM),
            "both",
            "Who asks about a region: its own agents, those of the others, or both.",
        ),
    ],
    one_of: &["http", "tcp", "grpc", "dns", "postgresql", "aws-status", "cloudwatch", "alarm", "prometheus"],
    at_most_one: &[],
    needs: &[],
};

static FROM: Words = words(&["own", "others", "both"]);
static MISSING_WORDS: Words = words(&["unknown", "passing"]);

static HTTP: Record = record(&[
    required("urls", TEXT_BY_REGION, "The URL to ask about each region."),
    default("expect-status", STATUS, "200", "The status that passes."),
    optional("body-contains", Kind::Text, "A text that the body must hold."),
    LATENCY_MAX,
    CA_FILE,
]);

static TCP: Record = record(&[required("addresses", TEXT_BY_REGION, "host:port of each region.")]);

static GRPC: Record = record(&[
    required("targets", TEXT_BY_REGION, "http:// or https://host:port of each region."),
    default("service", Kind::Text, "", "The service whose health is asked. Without it the server's as a whole."),
    LATENCY_MAX,
    CA_FILE,
]);

static DNS: Record = record(&[
    required("names", TEXT_BY_REGION, "The name to look up about each region."),
    optional(
        "servers",
        TEXT_BY_REGION,
        "host:port of the name server that is in question itself. Without it the agents' own resolvers are asked.",
    ),
    default("record", Kind::Word(&words(&["A", "AAAA", "CNAME", "TXT"])), "A", "Record type."),
    optional("answer", Kind::Text, "A value that has to be among those answered."),
]);

static POSTGRESQL: Record = record(&[
    required("resource", Kind::Name, "Name of the resource."),
    default(
        "role",
        Kind::Word(&words(&["any", "active"])),
        "any",
        "any: it answers. active: it is the primary where the service is active, and in recovery everywhere else.",
    ),
    optional("lag-max", Kind::Duration, "Longest replay lag of a replica."),
    optional("lag-bytes-max", Kind::Integer { min: 1, max: u32::MAX }, "Most bytes that a replica has yet to replay."),
]);

static AWS_STATUS: Record =
    record(&[required("resource", Kind::Name, "Name of a resource of the kind rds, eks, ecs or msk.")]);

static CLOUDWATCH: Record = record(&[
    required("metrics", Kind::Regions(&Kind::Record(&METRIC)), "The metric that tells of each region."),
    default(
        "statistic",
        Kind::Text,
        "Average",
        "Average, Sum, Maximum, Minimum, SampleCount, or a percentile like p99.",
    ),
    default("period", Kind::Seconds, "1m", "Of the points: 1s, 5s, 10s, 20s, 30s, or whole minutes up to 1h."),
    default(
        "datapoints",
        Kind::Integer { min: 1, max: 10 },
        "1",
        "So many of the newest points must all be beyond the threshold.",
    ),
    ABOVE,
    BELOW,
    MISSING,
]);

static METRIC: Record = record(&[
    required("namespace", Kind::Text, "Like AWS/ApplicationELB."),
    required("metric", Kind::Text, "Like TargetResponseTime."),
    optional("dimensions", Kind::List(&Kind::Text), "Each as NAME=VALUE."),
    optional(
        "divided-by",
        Kind::Text,
        "A metric of the same namespace and dimensions. What counts is the quotient, as errors by requests.",
    ),
    PUBLISHED_IN,
]);

static ALARM: Record = record(&[required(
    "alarms",
    Kind::Regions(&Kind::Record(&ALARM_NAME)),
    "The metric or composite alarm that tells of each region.",
)]);

static ALARM_NAME: Record = record(&[required("alarm", Kind::Text, "Its name."), PUBLISHED_IN]);

static PROMETHEUS: Record = record(&[
    required("urls", TEXT_BY_REGION, "The server that knows of each region, without /api/v1/query."),
    required("query", Kind::Text, "PromQL. {region} stands for the region that is asked about."),
    ABOVE,
    BELOW,
    MISSING,
    CA_FILE,
    optional("token-file", Kind::Text, "File with a bearer token: a name in the agents' directory of credentials."),
]);
