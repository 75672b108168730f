//! Work that waits for the disk, off the threads that answer.
//!
//! A simulation has one thread, whose time stands still while it works: there the work is done at once, so that its end
//! does not depend on how busy the machine is.

use std::cell::Cell;

thread_local! {
    static AT_ONCE: Cell<bool> = const { Cell::new(false) };
}

/// The work panicked, or the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was not brought to its end")]
pub struct Unfinished;

/// From now on this thread does such work itself.
pub fn at_once_on_this_thread() {
    AT_ONCE.set(true);
}

/// What `work` comes to. It goes on when this is dropped.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Unfinished> {
    match AT_ONCE.get() {
        true => Ok(work()),
        false => tokio::task::spawn_blocking(work).await.map_err(|_| Unfinished),
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use super::*;

    fn where_it_runs() -> impl FnOnce() -> ThreadId + Send {
        || thread::current().id()
    }

    #[tokio::test]
    async fn it_runs_elsewhere_and_at_once_only_where_that_was_said() {
        assert_ne!(run(where_it_runs()).await, Ok(thread::current().id()));
        at_once_on_this_thread();
        assert_eq!(run(where_it_runs()).await, Ok(thread::current().id()));
    }

    #[tokio::test]
    async fn work_that_panics_is_unfinished() {
        assert_eq!(run(|| assert!(std::env::args().count() == 0, "always")).await, Err(Unfinished));
    }
}
