//! The rules of the services, the agent sessions and the leader's loop, over real gRPC and TLS, with a replica that
//! applies at once in place of consensus.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "helpers of tests fail by panicking")]

#[path = "server/crowd.rs"]
mod crowd;
#[path = "server/driving.rs"]
mod driving;
#[path = "server/fake.rs"]
mod fake;
#[path = "server/fixture.rs"]
mod fixture;
#[path = "server/judging.rs"]
mod judging;
#[path = "server/operating.rs"]
mod operating;
#[path = "server/passing_on.rs"]
mod passing_on;
#[path = "server/sessions.rs"]
mod sessions;
#[path = "server/two_people.rs"]
mod two_people;
#[path = "server/world.rs"]
mod world;
