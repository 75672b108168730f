//! A wide-area network in user space, for tests that need real processes in regions far apart.
//!
//! A *site* is a network namespace with one TUN device; a *party* is an address in it. Whatever a party sends leaves
//! through the device, and a router in the test's own process decides for each packet, by its sender and its receiver,
//! whether and when it arrives: delay, jitter, loss and cuts are set for each direction of each pair of parties, at run
//! time, and counted. Within a site nothing passes the router.
//!
//! Namespaces have no name: each lives as long as the helper process that holds its device and whatever runs in it. The
//! helper ends when its standard input does, so that nothing is left behind however the test ends.

#![allow(clippy::panic, reason = "a network that cannot do what it was told fails its test")]

mod delivery;
pub mod frame;
mod link;
mod namespace;
mod packet;
mod permitted;
mod router;
mod wan;

pub use link::{Counters, Link};
pub use namespace::{Entered, Namespace};
pub use permitted::{port_program, skip_reason};
pub use wan::{Site, Wan};

/// Of every device: what a tunnel over the internet leaves of an Ethernet frame.
pub const MTU: u16 = 1400;
