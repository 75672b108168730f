//! Sessions with a server: one that looks, kept open; and one for each call.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_core::ids::Token;
use mesh_core::manifest::PostgresInstance;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::tls::Connector;
use crate::dns::Resolver;
use crate::probe::{Trouble, chain};

/// A server that is well admits a session within a few round trips.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A password is one line.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Servers with an open session: no manifest has as many.
const SESSIONS_MAX: usize = 256;
/// Of every session: what it runs is bounded at the server too, and no other schema's functions stand in for
/// PostgreSQL's own. Its commits do not wait for a standby, which may be the lost one.
const OPTIONS: &str = "-c statement_timeout=4000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=5000 \
                       -c search_path=pg_catalog -c synchronous_commit=local";
/// Name of sessions that only look.
pub(super) const LOOKING: &str = "mesh-look";
/// Prefix of the name of sessions that change something; the intent's token follows.
pub(super) const CALLING: &str = "mesh-call";

/// Nothing was learnt: no session, or it broke.
#[derive(Debug)]
pub(super) struct ConnectError(pub Trouble);

impl ConnectError {
    pub(super) fn text(self) -> String {
        self.0.into()
    }

    fn at_the_server(reason: impl Into<String>) -> Self {
        Self(Trouble::Target(reason.into()))
    }
}

/// Why a statement has no answer.
#[derive(Debug)]
pub(super) enum StatementError {
    /// The server refused it and did nothing.
    Refused { code: String, message: String },
    /// The session broke: it may have been carried out.
    Lost(String),
}

impl StatementError {
    pub(super) fn text(self) -> String {
        match self {
            Self::Refused { code, message } => format!("{message} (SQLSTATE {code})"),
            Self::Lost(reason) => reason,
        }
    }
}

impl From<StatementError> for ConnectError {
    fn from(error: StatementError) -> Self {
        Self::at_the_server(error.text())
    }
}

pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Statements without parameters, in one round trip; the rows of the last one that has any, as text.
    pub(super) async fn run(&self, statements: &str) -> Result<Vec<Option<String>>, StatementError> {
        let messages = self.client.simple_query(statements).await.map_err(failed)?;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push(row.get(0).map(str::to_owned));
            }
        }
        Ok(rows)
    }

    /// The one value of a statement, which is JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, statement: &str) -> Result<T, ConnectError> {
        let rows = self.run(statement).await?;
        let text = rows.into_iter().flatten().next().ok_or_else(|| ConnectError::at_the_server("an empty answer"))?;
        let odd = |error| ConnectError::at_the_server(format!("an answer that is not understood: {error}"));
        serde_json::from_str(&text).map_err(odd)
    }
}

fn failed(error: tokio_postgres::Error) -> StatementError {
    match error.as_db_error() {
        // The session ends with these; what ran in it did not commit, but a COMMIT may have.
        Some(refused) if *refused.code() == SqlState::ADMIN_SHUTDOWN || *refused.code() == SqlState::CRASH_SHUTDOWN => {
            StatementError::Lost(refused.message().to_owned())
        }
        Some(refused) => {
            StatementError::Refused { code: refused.code().code().to_owned(), message: refused.message().to_owned() }
        }
        None => StatementError::Lost(chain(&error)),
    }
}

#[derive(Clone)]
pub(super) struct Sessions {
    credentials_dir: Option<PathBuf>,
    resolver: Resolver,
    open: Arc<Mutex<BTreeMap<PostgresInstance, Arc<Session>>>>,
}

impl Sessions {
    pub(super) fn new(credentials_dir: Option<PathBuf>, resolver: Resolver) -> Self {
        Self { credentials_dir, resolver, open: Arc::default() }
    }

    /// The session that looks.
    pub(super) async fn open(&self, instance: &PostgresInstance) -> Result<Arc<Session>, ConnectError> {
        if let Some(session) = self.kept().get(instance).filter(|session| !session.client.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.connect(instance, LOOKING).await?);
        let mut kept = self.kept();
        kept.retain(|_, session| !session.client.is_closed());
        if kept.len() < SESSIONS_MAX {
            kept.insert(instance.clone(), Arc::clone(&session));
        }
        Ok(session)
    }

    /// After an answer that did not come: the next look asks over a new connection.
    pub(super) fn forget(&self, instance: &PostgresInstance) {
        self.kept().remove(instance);
    }

    /// A session of its own, for one call.
    pub(super) async fn call(&self, instance: &PostgresInstance, token: Token) -> Result<Session, ConnectError> {
        self.connect(instance, &format!("{CALLING} {}.{}", token.generation.0, token.intent.0)).await
    }

    pub(super) async fn connect(&self, instance: &PostgresInstance, name: &str) -> Result<Session, ConnectError> {
        let at = instance.address();
        tokio::time::timeout(CONNECT_TIMEOUT, self.dial(instance, name))
            .await
            .unwrap_or_else(|_| Err(Trouble::Target(format!("no session within {} ms", CONNECT_TIMEOUT.as_millis()))))
            .map_err(|trouble| ConnectError(named(&at, trouble)))
    }

    async fn dial(&self, instance: &PostgresInstance, name: &str) -> Result<Session, Trouble> {
        let mut config = Config::new();
        config.user(&instance.user).dbname(&instance.database).application_name(name).options(OPTIONS);
        if let Some(file) = &instance.password_file {
            let password = self.credential(file).await.map_err(Trouble::Own)?;
            config.password(password.trim_ascii_end());
        }
        let tls = match &instance.ca_file {
            Some(file) => {
                let authorities = self.credential(file).await.map_err(Trouble::Own)?;
                let unfit = |reason| Trouble::Own(format!("{file}: {reason}"));
                Some(Connector::new(&authorities, &instance.host).map_err(unfit)?)
            }
            None => None,
        };
        let stream = self.reach(instance).await?;
        match tls {
            Some(tls) => {
                let config = config.ssl_mode(SslMode::Require);
                let (client, connection) =
                    config.connect_raw(stream, tls).await.map_err(|error| not_admitted(&error))?;
                Ok(Session { client, driver: tokio::spawn(async { drop(connection.await) }) })
            }
            None => {
                let config = config.ssl_mode(SslMode::Disable);
                let (client, connection) =
                    config.connect_raw(stream, NoTls).await.map_err(|error| not_admitted(&error))?;
                Ok(Session { client, driver: tokio::spawn(async { drop(connection.await) }) })
            }
        }
    }

    async fn reach(&self, instance: &PostgresInstance) -> Result<TcpStream, Trouble> {
        let mut last = Trouble::Target(format!("{} has no address", instance.host));
        for ip in self.resolver.addresses(&instance.host).await? {
            match TcpStream::connect((ip, instance.port)).await {
                Ok(stream) => {
                    // Without it a small statement waits for the acknowledgement of the one before.
                    stream.set_nodelay(true).map_err(|error| Trouble::Own(error.to_string()))?;
                    return Ok(stream);
                }
                Err(error) => last = Trouble::io("connecting", (ip, instance.port).into(), &error),
            }
        }
        Err(last)
    }

    /// A manifest names a file; where it lies, the agent's own configuration says.
    pub(super) async fn credential(&self, name: &str) -> Result<Vec<u8>, String> {
        let directory = self
            .credentials_dir
            .as_deref()
            .ok_or("the manifest names a file of credentials and this agent has no `credentials_dir`")?;
        read_bounded(&directory.join(plain(name)?)).await
    }

    pub(super) fn path_of(&self, name: &str) -> Option<PathBuf> {
        Some(self.credentials_dir.as_deref()?.join(plain(name).ok()?))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<PostgresInstance, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refused password is this agent's own trouble: the server is well.
fn not_admitted(error: &tokio_postgres::Error) -> Trouble {
    match error.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            Trouble::Own(chain(error))
        }
        Some(_) | None => Trouble::Target(chain(error)),
    }
}

fn named(at: &str, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Target(reason) => Trouble::Target(format!("{at}: {reason}")),
        Trouble::Own(reason) => Trouble::Own(format!("{at}: {reason}")),
    }
}

/// The manifest's check says so too; this is where it would do harm.
fn plain(name: &str) -> Result<&str, String> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(format!("{name:?} is no file name"));
    }
    Ok(name)
}

async fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let at = path.display();
    let about = tokio::fs::metadata(path).await.map_err(|error| format!("{at}: {error}"))?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(format!("{at} is no file of at most {FILE_BYTES_MAX} bytes"));
    }
    tokio::fs::read(path).await.map_err(|error| format!("{at}: {error}"))
}
