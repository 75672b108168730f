//! The actions on PostgreSQL against real servers: a primary and its streaming replica for each test.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "what fails here fails a test")]

#[path = "postgres/failover.rs"]
mod failover;
#[path = "postgres/fence.rs"]
mod fence;
#[path = "postgres/items.rs"]
mod items;
#[path = "postgres/lag.rs"]
mod lag;
#[path = "postgres/lost_replies.rs"]
mod lost_replies;
#[path = "postgres/rejoin.rs"]
mod rejoin;
#[path = "postgres/rig.rs"]
mod rig;
#[path = "postgres/stale.rs"]
mod stale;
#[path = "postgres/switchover.rs"]
mod switchover;
#[path = "postgres/tls.rs"]
mod tls;
