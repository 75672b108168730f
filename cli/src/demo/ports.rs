//! Free ports: bound all at once, so that no two are equal, then released.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::failure::Failure;

pub fn free(count: usize) -> Result<Vec<SocketAddr>, Failure> {
    let refuse = |error: std::io::Error| Failure::failed(format!("cannot find a free port on 127.0.0.1: {error}"));
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(refuse);
    let held: Vec<TcpListener> = (0..count).map(|_| bind()).collect::<Result<_, _>>()?;
    held.iter().map(|listener| listener.local_addr().map_err(refuse)).collect()
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
