//! Who opened a connection to us: found by the inode of its socket among the open files of processes we started. So one
//! address can behave otherwise for each of them, as a network does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Entry of /proc/net/tcp: `sl local_address rem_address st …`, and the inode in the tenth place: so many after the addresses.
const INODE_FIELD: usize = 6;
const LOOKUPS_MAX: usize = 20;
const LOOKUP_PAUSE: Duration = Duration::from_millis(5);

/// Name and process id of each process that may dial, as it runs now.
#[derive(Clone, Debug, Default)]
pub struct Diallers(Arc<Mutex<Vec<(String, u32)>>>);

impl Diallers {
    pub fn know(&self, processes: Vec<(String, u32)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = processes;
    }

    /// The process whose socket `from` is; an empty name if it is none of them. `None`: it is closed already.
    pub async fn of(&self, from: SocketAddr, to: SocketAddr) -> Option<String> {
        // The kernel's table is no snapshot: a socket can be missed while others come and go.
        for _ in 0..LOOKUPS_MAX {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // On a machine with many sockets this takes long: others are relayed meanwhile.
            let looked = tokio::task::spawn_blocking(move || look(known, from, to)).await;
            if let Ok(Some(name)) = looked {
                return Some(name);
            }
            tokio::time::sleep(LOOKUP_PAUSE).await;
        }
        None
    }
}

fn look(known: Vec<(String, u32)>, from: SocketAddr, to: SocketAddr) -> Option<String> {
    let socket = format!("socket:[{}]", inode(from, to)?);
    let own = known.into_iter().find(|(_, pid)| owns(*pid, &socket));
    Some(own.map(|(name, _)| name).unwrap_or_default())
}

fn owns(pid: u32, socket: &str) -> bool {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok()).any(|link| link.as_os_str() == socket)
}

/// Of an open socket; a closed one has none any more.
fn inode(from: SocketAddr, to: SocketAddr) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    // The same local port may belong to connections with several others.
    let both = format!(" {} {} ", entry(from)?, entry(to)?);
    let (_, rest) = table.split_once(&both)?;
    let inode = rest.lines().next()?.split_ascii_whitespace().nth(INODE_FIELD)?;
    (inode != "0").then(|| inode.to_owned())
}

fn entry(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(v4) = address else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port()))
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_connection_is_known_by_the_process_that_opened_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("bound");
        let _dialling = TcpStream::connect(to).await.expect("connected");
        let (_accepted, from) = listener.accept().await.expect("accepted");
        let diallers = Diallers::default();
        assert_eq!(diallers.of(from, to).await.as_deref(), Some(""), "nobody is known yet");
        diallers.know(vec![("us".to_owned(), std::process::id())]);
        assert_eq!(diallers.of(from, to).await.as_deref(), Some("us"));
    }
}
