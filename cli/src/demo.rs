//! A whole mesh on one machine, as real processes, against the AWS double; and scenarios that are judged from outside.

pub mod checklist;
pub mod child;
pub mod configs;
pub mod dialler;
pub mod double;
pub mod floor;
pub mod keep;
pub mod lookup;
pub mod maip;
pub mod network;
pub mod no_failover;
pub mod ports;
pub mod region_loss;
pub mod scenario;
pub mod stage;
pub mod stand;
pub mod verdict;
pub mod writers;

use crate::args::demo::{Demo, DemoCommand};
use crate::commands::Context;
use crate::failure::Outcome;

pub async fn demo(context: &Context, args: Demo) -> Outcome {
    match args.command {
        None => scenario::run(context, args.scenario).await,
        Some(DemoCommand::Up(place)) => keep::up(context, place.dir.as_deref()).await,
        Some(DemoCommand::Down(place)) => keep::down(context, place.dir.as_deref()),
        Some(DemoCommand::Status(place)) => keep::status(context, place.dir.as_deref()).await,
    }
}
