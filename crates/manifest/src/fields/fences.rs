//! How a region that may not write is kept from it.

use super::{Kind, Record, Words, default, optional, record, required, words};

pub(super) static FENCE: Record = Record {
    fields: &[
        optional(
            "lease-endpoint",
            Kind::Record(&REACTION),
            "Dead-man: what stands on the writer's path asks an agent of its region, and cuts sessions when it may not write.",
        ),
        optional(
            "watchdog",
            Kind::Record(&REACTION),
            "Dead-man: a unit on the writer's own host stops the writer when the region may not write.",
        ),
        optional(
            "active",
            Kind::Word(&words(&["postgresql-read-only"])),
            "An agent of the region closes it: the fence step of a postgresql resource.",
        ),
        optional(
            "hook",
            Kind::Name,
            "An agent of the region closes it with a command that its own configuration has under this name.",
        ),
        optional(
            "api-gateway-throttle",
            Kind::Record(&THROTTLE),
            "An agent of the region lets no request through an HTTP API. It proves nothing: beside another fence.",
        ),
        optional(
            "unfenced",
            Kind::Word(&words(&["accepted"])),
            "accepted: a region that cannot be fenced counts as closed, and two regions may be written.",
        ),
    ],
    one_of: &["lease-endpoint", "watchdog", "active", "hook", "api-gateway-throttle", "unfenced"],
    at_most_one: &[],
    needs: &[],
};

static REACTION: Record = record(&[required(
    "reaction",
    Kind::Duration,
    "Longest time from the end of the right to write to the end of the last write: check interval, session kill, request.",
)]);

static THROTTLE: Record = record(&[
    required("name", Kind::Name, "Its name: 1 to 40 of a-z, 0-9, '-', '.', '_'. Steps of a plan are named after it."),
    default("kind", Kind::Word(&API_KIND), "http", "http: an HTTP API. Others are closed by a hook."),
    required("stages", Kind::Regions(&Kind::Record(&API_STAGE)), "The stage that lets requests in, in each region."),
]);

static API_KIND: Words = Words {
    accepted: &["http"],
    when_false: None,
    refused: &[
        ("rest", "a REST API (apigateway, not apigatewayv2) is not throttled by the mesh: use a `hook` of your own"),
        ("websocket", "the connections of a WebSocket API outlast a throttle: use a `hook` of your own"),
    ],
};

/// Largest limits that the wire of API Gateway carries.
const LIMIT: Kind = Kind::Integer { min: 1, max: 2_147_483_647 };

static API_STAGE: Record = record(&[
    required("api", Kind::Text, "API identifier, as `aws apigatewayv2 get-apis` shows it."),
    required("stage", Kind::Text, "Name of the stage, like prod or $default."),
    required("rate", LIMIT, "Requests a second that it lets through when it is opened and no fence noted a limit."),
    required("burst", LIMIT, "Requests at once, likewise."),
]);

pub(super) static LEASE: Record = record(&[
    default("length", Kind::Duration, "15s", "How long a region may write after its agents last heard the leader."),
    default(
        "margin",
        Kind::Duration,
        "2s",
        "Waited beyond a lease: longer than any pause that stops every clock of an agent's machine.",
    ),
]);
