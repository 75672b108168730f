//! Free ports, on a loopback address of this mesh's own. Outgoing connections take their ports on 127.0.0.1, so a
//! coordinator that was killed finds its port free when it comes back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use crate::failure::Failure;

/// Bound all at once, so that no two are equal, then released.
pub fn free(count: usize) -> Result<Vec<SocketAddr>, Failure> {
    let ip = loopback()?;
    let refuse = |error: std::io::Error| Failure::failed(format!("cannot find a free port on {ip}: {error}"));
    let bind = || TcpListener::bind((ip, 0)).map_err(refuse);
    let held: Vec<TcpListener> = (0..count).map(|_| bind()).collect::<Result<_, _>>()?;
    held.iter().map(|listener| listener.local_addr().map_err(refuse)).collect()
}

/// One of 127.64.0.0/10, at random: meshes side by side do not meet.
fn loopback() -> Result<IpAddr, Failure> {
    let mut random = [0u8; 3];
    getrandom::fill(&mut random).map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
    let [a, b, c] = random;
    Ok(IpAddr::V4(Ipv4Addr::new(127, 64 + a % 64, b, 2 + c % 250)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ() {
        let ports: std::collections::BTreeSet<SocketAddr> = free(9).expect("ports").into_iter().collect();
        assert_eq!(ports.len(), 9);
    }
}
