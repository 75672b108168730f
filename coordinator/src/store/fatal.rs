//! What happens when the disk fails: the process ends.
//!
//! After a failed write or fsync nobody knows what the disk holds (the kernel may have dropped the dirty pages), so
//! going on could acknowledge what is not there. A restart reads what is.

use std::fmt;
use std::sync::Arc;

use super::StoreError;

/// EX_IOERR of sysexits.h.
pub const EXIT_CODE: i32 = 74;

/// Called once something is lost that cannot be repaired in this process. Tests put their own in its place.
#[derive(Clone)]
pub struct Fatal(Arc<dyn Fn(&str) + Send + Sync>);

impl Fatal {
    pub fn new(hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub fn exit_process() -> Self {
        Self::new(|reason| {
            let next = match reason.contains("os error 28") {
                true => "the disk is full: make room, then start this coordinator again",
                false => "look at the disk, then start this coordinator again: it reads what is there",
            };
            tracing::error!(reason, next, exit_code = EXIT_CODE, "storage failed; the process ends");
            std::process::exit(EXIT_CODE);
        })
    }

    pub fn call(&self, reason: &str) {
        (self.0)(reason);
    }

    /// Ends the process; where a hook of tests returns, the error that stands for it.
    pub fn fail(&self, attempted: &str, error: impl fmt::Display) -> StoreError {
        let reason = format!("{attempted}: {error}");
        self.call(&reason);
        StoreError::Failed(reason)
    }
}

impl fmt::Debug for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fatal")
    }
}
