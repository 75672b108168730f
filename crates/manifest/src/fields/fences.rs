//! How a region that may not write is kept from it.

use super::{Kind, Record, default, optional, record, required, words};

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
            "unfenced",
            Kind::Word(&words(&["accepted"])),
            "accepted: a region that cannot be fenced counts as closed, and two regions may be written.",
        ),
    ],
    one_of: &["lease-endpoint", "watchdog", "active", "hook", "unfenced"],
    at_most_one: &[],
    needs: &[],
};

static REACTION: Record = record(&[required(
    "reaction",
    Kind::Duration,
    "Longest time from the end of the right to write to the end of the last write: check interval, session kill, request.",
)]);

pub(super) static LEASE: Record = record(&[
    default("length", Kind::Duration, "15s", "How long a region may write after its agents last heard the leader."),
    default(
        "margin",
        Kind::Duration,
        "2s",
        "Waited beyond a lease: longer than any pause that stops every clock of an agent's machine.",
    ),
]);
