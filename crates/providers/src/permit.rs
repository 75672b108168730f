//! Permission to call, asked once more when a request is signed.
//!
//! A provider accepts a signed request for minutes, and those minutes are waited out from the moment at which whoever
//! gave the permission may take it as ended. So nothing may be signed after that moment; but between an executor's
//! decision to call and the signature lie a credentials' renewal, a busy machine, a stopped process. A request that is
//! signed while permission holds, and leaves late, is no later than its signature's end.

use std::sync::Arc;

tokio::task_local! {
    static PERMIT: Arc<dyn Fn() -> bool + Send + Sync>;
}

/// The call was ready to be sent, and permission to send it had ended.
#[derive(Debug, thiserror::Error)]
#[error("permission ended before it was sent")]
pub struct PermissionEnded;

/// Runs `calling`, whose requests are sent only while `permit` says so.
pub async fn while_permitted<F: Future>(permit: Arc<dyn Fn() -> bool + Send + Sync>, calling: F) -> F::Output {
    PERMIT.scope(permit, calling).await
}

/// May what was just signed be sent? Outside of [`while_permitted`] nothing limits it.
pub fn holds() -> bool {
    PERMIT.try_with(|permit| permit()).unwrap_or(true)
}
