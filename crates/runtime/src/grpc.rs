//! gRPC over mutual TLS. Accepting and connecting are done here and not by tonic, whose TLS settings cannot change
//! while it runs.

mod accept;
mod connect;
mod net;
mod serve;

use std::time::Duration;

pub use connect::{connect, connect_to_agent, connect_within};
pub use net::{Listener, Net, Socket, Tcp};
pub use serve::{ServeError, serve};

/// Largest message either way. tonic's own limit for decoding is the same; services and clients that lift or set it
/// use this one.
pub const MESSAGE_MAX: usize = 4 * 1024 * 1024;

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// From the accepted TCP connection to verified certificates on both sides.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The 10,000 agents of one mesh, with its coordinators and people. Each is an open file.
pub const CONNECTIONS_MAX: usize = 11_000;
/// Connections that have not shown a certificate yet.
pub const HANDSHAKES_MAX: usize = 128;
pub const STREAMS_PER_CONNECTION_MAX: u32 = 256;
pub const HEADERS_MAX: u32 = 16 * 1024;
/// After this a connection is verified anew, against the certificates and authorities of then.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// What calls and streams of an aged connection have left.
pub const CONNECTION_AGE_GRACE: Duration = Duration::from_secs(60);
/// A silent peer is found dead after interval + timeout.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
