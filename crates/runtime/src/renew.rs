//! A program renews its own certificate: at two thirds of the lifetime, again and again until it succeeds.
//!
//! Certificate and key are two files. The new key goes to `KEY.next` first, then the certificate is renamed into
//! place, then the key. [`crate::tls`] serves a certificate with the key in `KEY.next` where that is the matching one,
//! so a crash at any point leaves a usable pair: the old one before the certificate's rename, the new one after it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::time::Timestamp;
use mesh_proto::v1::RenewRequest;
use mesh_proto::v1::pki_client::PkiClient;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::backoff::{Backoff, jittered, os_seed};
use crate::client::MeshClient;
use crate::clock::unix_now;
use crate::files;
use crate::identity::Subject;
use crate::pki::{self, BACKDATE, PkiError};
use crate::tls::{Identities, TlsError, TlsFiles, pending_key};

/// Longest wait for one renewal's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Between looks at the clock: the wall clock may be set, and someone may replace the files by hand.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Never more often than this, however short the certificates are.
const PAUSE_MIN: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    #[error("no coordinator renewed it: {0}")]
    Call(String),
    #[error("no answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    #[error("the answer is not usable: {0}")]
    Answer(String),
    #[error("writing the files: {0}")]
    Write(#[from] std::io::Error),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error(transparent)]
    Load(#[from] TlsError),
}

/// Renews until `shutdown`. `renewer` gets a PKCS#10 request (DER) and returns the chain as PEM, leaf first.
pub async fn run<F, Fut>(identities: Arc<Identities>, files: TlsFiles, renewer: F, shutdown: CancellationToken)
where
    F: Fn(Vec<u8>) -> Fut,
    Fut: Future<Output = Result<String, RenewError>>,
{
    let mut rng = StdRng::seed_from_u64(os_seed());
    let mut backoff = Backoff::seeded_by_os(RETRY_MIN, RETRY_MAX);
    let mut early = None;
    loop {
        let subject = identities.current().subject.clone();
        // Programs that were started together must not renew together.
        let early_by = *early.get_or_insert_with(|| jittered(lifetime(&subject) / 20, &mut rng));
        let wait = due(&subject).since(unix_now()).saturating_sub(early_by);
        if !wait.is_zero() {
            if pause(wait.min(LOOK_EVERY), &shutdown).await {
                return;
            }
            continue;
        }
        match renew_once(&identities, &files, &renewer).await {
            Ok(not_after) => {
                let identity = &subject.identity;
                tracing::info!(%identity, not_after_ms = not_after.as_millis(), "certificate renewed");
                backoff.reset();
                early = None;
                if pause(PAUSE_MIN, &shutdown).await {
                    return;
                }
            }
            Err(err) => {
                let retry_in = backoff.next_delay();
                report(&subject, &err, retry_in);
                if pause(retry_in, &shutdown).await {
                    return;
                }
            }
        }
    }
}

/// Asks the coordinators, through `Pki.Renew`, until one signs: not each needs to have an issuing key.
pub async fn through(client: &MeshClient, csr: Vec<u8>) -> Result<String, RenewError> {
    let renewed = client.call(|channel| {
        let request = RenewRequest { csr: csr.clone() };
        async move { PkiClient::new(channel).renew(request).await.map_err(ask_the_next) }
    });
    let renewed = renewed.await.map_err(|err| RenewError::Call(err.to_string()))?;
    Ok(renewed.into_inner().chain)
}

fn ask_the_next(status: Status) -> Status {
    if status.code() == Code::FailedPrecondition { Status::unavailable(status.message()) } else { status }
}

/// One renewal, now. Returns the end of the new certificate, which is in use for the next handshake.
pub async fn renew_once<F, Fut>(identities: &Identities, files: &TlsFiles, renewer: F) -> Result<Timestamp, RenewError>
where
    F: FnOnce(Vec<u8>) -> Fut,
    Fut: Future<Output = Result<String, RenewError>>,
{
    let request = pki::request()?;
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, renewer(request.csr_der)).await;
    let chain = answer.map_err(|_| RenewError::Timeout)??;
    check(&identities.current().subject, &chain, &request.key_pem)?;
    store(files, &chain, &request.key_pem)?;
    identities.reload()?;
    Ok(identities.not_after())
}

/// The answer must be for us, for the key we just made, and last longer than what we have.
fn check(current: &Subject, chain: &str, key_pem: &str) -> Result<(), RenewError> {
    let refuse = |reason: &str| Err(RenewError::Answer(reason.to_owned()));
    let renewed = pki::inspect(chain).map_err(|err| RenewError::Answer(err.to_string()))?;
    if renewed.identity != current.identity {
        return refuse(&format!("it is for {}", renewed.identity));
    }
    if !pki::is_for_key(chain, key_pem)? {
        return refuse("it is for another key");
    }
    if renewed.not_after <= current.not_after {
        return refuse("it ends no later than the present one; does the issuing authority end?");
    }
    Ok(())
}

/// Replaces the pair so that it is usable at every moment.
fn store(files: &TlsFiles, chain: &str, key_pem: &str) -> Result<(), RenewError> {
    let pending = pending_key(&files.key);
    finish_interrupted(files, &pending)?;
    files::replace(&pending, key_pem.as_bytes(), files::MODE_PRIVATE)?;
    files::replace(&files.certificate, chain.as_bytes(), files::MODE_PUBLIC)?;
    files::rename(&pending, &files.key)?;
    Ok(())
}

/// A key that an earlier, interrupted renewal left in `KEY.next` may be the only one for the certificate in place.
fn finish_interrupted(files: &TlsFiles, pending: &std::path::Path) -> Result<(), RenewError> {
    let Ok(key) = files::read_small(pending) else { return Ok(()) };
    let chain = files::read_small(&files.certificate)?;
    let (key, chain) = (String::from_utf8_lossy(&key), String::from_utf8_lossy(&chain));
    if pki::is_for_key(&chain, &key).unwrap_or(false) {
        files::rename(pending, &files.key)?;
    }
    Ok(())
}

fn report(subject: &Subject, err: &RenewError, retry_in: Duration) {
    let left = subject.not_after.since(unix_now());
    let (identity, left_s, retry_ms) = (&subject.identity, left.as_secs(), retry_in.as_millis());
    if left < lifetime(subject) / 6 {
        tracing::warn!(%identity, left_s, retry_ms, error = %err, "certificate ends soon and cannot be renewed");
    } else {
        tracing::info!(%identity, left_s, retry_ms, error = %err, "certificate not renewed yet");
    }
}

/// From its making, not from the earlier moment that it is dated back to.
fn begin(subject: &Subject) -> Timestamp {
    subject.not_before.plus(BACKDATE).min(subject.not_after)
}

fn lifetime(subject: &Subject) -> Duration {
    subject.not_after.since(begin(subject))
}

fn due(subject: &Subject) -> Timestamp {
    begin(subject).plus(lifetime(subject) * 2 / 3)
}

/// `true` when the shutdown came first.
async fn pause(duration: Duration, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => true,
        () = tokio::time::sleep(duration) => false,
    }
}
