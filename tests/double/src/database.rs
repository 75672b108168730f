//! The data plane of the databases: TCP, a line a request. Who connects is within the instance's network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::double::Double;
use crate::rds::InstanceKey;
use crate::rds::data::{self, Refusal, Session};
use crate::running::Binding;

const LINE_MAX: u64 = 1024;
const SESSIONS_MAX: usize = 1000;
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often databases that were created since are looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Gives each database that has no port yet one: where it is, `DescribeDBInstances` tells.
pub async fn serve_new(double: Arc<Double>, binding: Binding) {
    let mut listeners = JoinSet::new();
    loop {
        for key in double.world(|world| world.rds.without_port()) {
            let own = SocketAddr::new(binding.database(&key.region), 0);
            let Ok(listener) = TcpListener::bind(own).await else { continue };
            let Ok(address) = listener.local_addr() else { continue };
            double.world(|world| world.rds.set_port(&key, address.port()));
            listeners.spawn(serve(double.clone(), listener, key));
        }
        sleep(LOOK).await;
    }
}

pub async fn serve(double: Arc<Double>, listener: TcpListener, key: InstanceKey) {
    let slots = Arc::new(Semaphore::new(SESSIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        // A refused session is a connection that ends before it says anything.
        let Ok(session) = double.world(|world| data::open(world, &key)) else { continue };
        let double = double.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(&double, stream, &session).await {
                tracing::debug!(%error, "a database session broke");
            }
            drop(slot);
        });
    }
}

async fn converse(double: &Double, stream: TcpStream, session: &Session) -> std::io::Result<()> {
    let mut cuts = double.cuts();
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    loop {
        let line = tokio::select! {
            line = read_line(&mut input) => line?,
            changed = cuts.changed() => {
                if changed.is_err() || double.world(|world| data::check(world, session).is_err()) {
                    return Ok(());
                }
                continue;
            }
        };
        let Some(reply) = line.and_then(|line| answer(double, session, line.trim())) else { return Ok(()) };
        tokio::time::timeout(WRITE_TIMEOUT, output.write_all(reply.as_bytes())).await??;
    }
}

/// None at the end of the connection, or of a line that is too long.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let length = input.take(LINE_MAX).read_line(&mut line).await?;
    Ok((length > 0 && line.ends_with('\n')).then_some(line))
}

/// None where the session is over.
fn answer(double: &Double, session: &Session, line: &str) -> Option<String> {
    let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "WRITE" if !argument.is_empty() => match double.world(|world| data::write(world, session, argument)) {
            Ok(count) => Some(format!("OK {count}\n")),
            Err(Refusal::ReadOnly) => Some("ERR read-only\n".to_owned()),
            Err(Refusal::Full) => Some("ERR full\n".to_owned()),
            Err(_) => None,
        },
        "LIST" => double.world(|world| {
            let instance = data::check(world, session).ok()?;
            let ids = instance.writes.iter().flat_map(|write| [write.id.as_str(), "\n"]);
            Some(ids.chain([".\n"]).collect())
        }),
        "PING" => double.world(|world| {
            let instance = data::check(world, session).ok()?;
            Some(format!("PONG {}\n", if instance.read_only { "replica" } else { "primary" }))
        }),
        _ => Some("ERR unknown command\n".to_owned()),
    }
}
