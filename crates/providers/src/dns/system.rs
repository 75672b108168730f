//! Names as the system resolves them.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{ADDRESSES_MAX, NAMESERVERS_MAX};
use crate::probe::Trouble;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;
/// What getaddrinfo(3) of glibc and of musl says where the name was looked up and has no address. All else (no server
/// answers, one is not well) says nothing about the name.
const NO_ADDRESS: [&str; 4] =
    ["Name or service not known", "No address associated with", "Name does not resolve", "Name has no usable address"];

/// The thread is given back when the lookup ends, which may be long after the one who asked gave up.
pub(super) async fn addresses(at_once: &Arc<Semaphore>, host: &str) -> Result<Vec<IpAddr>, Trouble> {
    let own = |error: &dyn std::fmt::Display| Trouble::Own(error.to_string());
    let permit = Arc::clone(at_once).acquire_owned().await.map_err(|error| own(&error))?;
    let asked = host.to_owned();
    let looked_up = tokio::task::spawn_blocking(move || {
        let found = (asked.as_str(), 0).to_socket_addrs();
        drop(permit);
        found.map(|found| found.map(|address| address.ip()).take(ADDRESSES_MAX).collect::<Vec<_>>())
    });
    match looked_up.await.map_err(|error| own(&error))? {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Trouble::Target("it has no address".to_owned())),
        Err(error) => Err(classified(&error.to_string())),
    }
}

fn classified(said: &str) -> Trouble {
    match NO_ADDRESS.iter().any(|words| said.contains(words)) {
        true => Trouble::Target(said.to_owned()),
        false => Trouble::Own(said.to_owned()),
    }
}

/// The system's resolvers, for what getaddrinfo cannot be asked.
pub(super) async fn nameservers() -> Result<Vec<SocketAddr>, Trouble> {
    let text = tokio::fs::read_to_string(RESOLV_CONF).await;
    let text = text.map_err(|error| Trouble::Own(format!("{RESOLV_CONF}: {error}")))?;
    let found = listed(&text);
    if found.is_empty() { Err(Trouble::Own(format!("{RESOLV_CONF} names no server"))) } else { Ok(found) }
}

fn listed(resolv_conf: &str) -> Vec<SocketAddr> {
    resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, DNS_PORT))
        .take(NAMESERVERS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_was_looked_up_and_has_no_address_counts_against_it() {
        let said = |text: &str| format!("failed to lookup address information: {text}");
        for text in ["Name or service not known", "No address associated with hostname", "Name does not resolve"] {
            assert!(matches!(classified(&said(text)), Trouble::Target(_)), "{text}");
        }
        for text in ["Temporary failure in name resolution", "Non-recoverable failure in name resolution", "Try again"]
        {
            assert!(matches!(classified(&said(text)), Trouble::Own(_)), "{text}");
        }
    }

    #[test]
    fn resolv_conf_is_read_as_it_is_written() {
        let text = "# none\nsearch example.com\nnameserver 192.0.2.1\n nameserver\t2001:db8::1\nnameserver x\n";
        assert_eq!(listed(text), ["192.0.2.1:53", "[2001:db8::1]:53"].map(|address| address.parse().expect("one")));
    }
}
