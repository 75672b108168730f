//! Whose trouble a failed probe is: only what says something about the target may count against it.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::io::Errno;

/// Why a probe did not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Seen at the target, or on the way to it.
    #[error("{0}")]
    Target(String),
    /// The prober's own, or that of somebody it has to ask: no evidence about the target.
    #[error("{0}")]
    Own(String),
}

/// What one probe found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Passed {
        latency: Duration,
    },
    Failed {
        reason: String,
    },
    /// It could not find out.
    Unknown {
        reason: String,
    },
}

impl From<Result<Duration, Trouble>> for Answer {
    fn from(asked: Result<Duration, Trouble>) -> Self {
        match asked {
            Ok(latency) => Self::Passed { latency },
            Err(Trouble::Target(reason)) => Self::Failed { reason },
            Err(Trouble::Own(reason)) => Self::Unknown { reason },
        }
    }
}

impl From<Trouble> for String {
    fn from(trouble: Trouble) -> Self {
        trouble.to_string()
    }
}

impl Trouble {
    /// The same words about somebody who is not the target: a resolver, a metrics server.
    pub(crate) fn of_another(self) -> Self {
        Self::Own(self.into())
    }

    /// What an operation on the way to `peer` ended with.
    pub(crate) fn io(what: &str, peer: SocketAddr, error: &io::Error) -> Self {
        let text = match error.kind() {
            ErrorKind::ConnectionRefused => format!("{what}: {peer} refused the connection"),
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                format!("{what}: {peer} reset the connection")
            }
            ErrorKind::UnexpectedEof => format!("{what}: {peer} closed the connection"),
            _ => format!("{what}: {peer}: {error}"),
        };
        if is_own(error, peer) { Self::Own(text) } else { Self::Target(text) }
    }
}

fn is_own(error: &io::Error, peer: SocketAddr) -> bool {
    let Some(errno) = Errno::from_io_error(error) else {
        return false;
    };
    match errno {
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => true,
        Errno::ADDRNOTAVAIL | Errno::ACCESS | Errno::PERM | Errno::AFNOSUPPORT | Errno::NETDOWN => true,
        // A router far away says the same as a missing route here.
        Errno::NETUNREACH => !has_route(peer),
        _ => false,
    }
}

/// Connecting a datagram socket sends nothing: it looks the route up.
fn has_route(peer: SocketAddr) -> bool {
    let any = if peer.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    UdpSocket::bind(any).and_then(|socket| socket.connect(peer)).is_ok()
}

/// The first cause of that type.
pub(crate) fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// The error with all its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    fn is_own_trouble(errno: Errno) -> bool {
        matches!(Trouble::io("connecting", PEER, &errno.into()), Trouble::Own(_))
    }

    #[test]
    fn what_this_host_lacks_is_no_evidence_about_the_target() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL, Errno::PERM] {
            assert!(is_own_trouble(errno), "{errno}");
        }
        for errno in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::HOSTUNREACH, Errno::TIMEDOUT, Errno::PIPE] {
            assert!(!is_own_trouble(errno), "{errno}");
        }
    }

    #[test]
    fn an_unreachable_network_is_the_targets_where_there_is_a_route_to_it() {
        assert!(!is_own_trouble(Errno::NETUNREACH), "a router on the way said so: there is a route to 127.0.0.1");
        let reserved = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9));
        let elsewhere = SocketAddr::from(([255, 255, 255, 255], 9));
        let told = |peer| matches!(Trouble::io("connecting", peer, &Errno::NETUNREACH.into()), Trouble::Own(_));
        assert_eq!(told(reserved), !has_route(reserved));
        assert_eq!(told(elsewhere), !has_route(elsewhere));
    }

    #[test]
    fn each_way_to_fail_reads_differently() {
        let kinds = [
            ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset,
            ErrorKind::UnexpectedEof,
            ErrorKind::HostUnreachable,
        ];
        let texts: std::collections::BTreeSet<String> =
            kinds.map(|kind| Trouble::io("x", PEER, &kind.into()).into()).into_iter().collect();
        assert_eq!(texts.len(), kinds.len(), "{texts:?}");
    }
}
