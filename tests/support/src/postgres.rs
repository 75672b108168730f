//! Real PostgreSQL servers, one pair a test: started from nothing under a temporary directory, never as root, on an own
//! loopback address, and ended with the test.

mod binaries;
mod pair;
mod proxy;
mod relay;
mod server;
mod writer;

pub use binaries::{bin_dir, wrappers, wrappers_in};
pub use pair::{Pair, Settings};
pub use proxy::{Checks, Proxy};
pub use relay::Relay;
pub use server::{APP, MESH, PASSWORD, Place, Server};
pub use writer::{Pace, Writer, Written};
