//! ReadIndex for many at a time. Each round is a message to every other node; so whoever comes while enough rounds are under
//! way shares the next one with all who wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, FutureExt, Shared};
use tokio::sync::Semaphore;

use super::ConsensusError;

/// Rounds under way at a time. Whoever has to wait for the next waits for a fourth of a round trip, where rounds come
/// evenly.
const ROUNDS_MAX: usize = 4;

type Confirmed = Result<(), ConsensusError>;
type Round = Shared<BoxFuture<'static, Confirmed>>;

pub struct Rounds {
    under_way: Arc<Semaphore>,
    /// Has not begun.
    next: Arc<Mutex<Option<Round>>>,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { under_way: Arc::new(Semaphore::new(ROUNDS_MAX)), next: Arc::default() }
    }
}

impl Rounds {
    /// What a round comes to that begins after this call.
    pub fn join(&self, confirm: impl FnOnce() -> BoxFuture<'static, Confirmed> + Send + 'static) -> Round {
        let (under_way, waiting) = (Arc::clone(&self.under_way), Arc::clone(&self.next));
        lock(&self.next)
            .get_or_insert_with(|| {
                let round = async move {
                    let _permit = under_way.acquire().await;
                    // From here on it is too late to join.
                    lock(&waiting).take();
                    confirm().await
                };
                round.boxed().shared()
            })
            .clone()
    }
}

fn lock(next: &Mutex<Option<Round>>) -> MutexGuard<'_, Option<Round>> {
    next.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::watch;

    use super::*;

    /// Rounds that end when they are let.
    struct Quorum {
        begun: Arc<AtomicUsize>,
        ended: watch::Sender<usize>,
    }

    impl Quorum {
        fn new() -> Self {
            Self { begun: Arc::default(), ended: watch::Sender::new(0) }
        }

        fn ask(&self, rounds: &Rounds) -> Round {
            let (begun, mut ended) = (Arc::clone(&self.begun), self.ended.subscribe());
            rounds.join(move || {
                async move {
                    let nth = begun.fetch_add(1, Ordering::SeqCst) + 1;
                    ended.wait_for(|ended| *ended >= nth).await.expect("the test lives");
                    Ok(())
                }
                .boxed()
            })
        }

        fn begun(&self) -> usize {
            self.begun.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn a_thousand_who_ask_at_once_cost_a_few_rounds() {
        let (rounds, quorum) = (Rounds::default(), Quorum::new());
        quorum.ended.send_replace(usize::MAX);
        let asked: Vec<_> = (0..1_000).map(|_| quorum.ask(&rounds)).collect();
        assert!(join_all(asked).await.iter().all(Result::is_ok));
        assert_eq!(quorum.begun(), 1);
    }

    #[tokio::test]
    async fn nobody_is_answered_by_a_round_that_began_before_the_question() {
        let (rounds, quorum) = (Rounds::default(), Quorum::new());
        let mut asked: Vec<_> = (0..ROUNDS_MAX)
            .map(|nth| {
                let mut first = quorum.ask(&rounds);
                assert!((&mut first).now_or_never().is_none());
                assert_eq!(quorum.begun(), nth + 1, "as long as few are under way, each is its own");
                first
            })
            .collect();
        let mut late: Vec<_> = (0..100).map(|_| quorum.ask(&rounds)).collect();
        assert!(late.iter_mut().all(|one| one.now_or_never().is_none()));
        assert_eq!(quorum.begun(), ROUNDS_MAX);
        quorum.ended.send_replace(1);
        assert!(asked.remove(0).await.is_ok());
        assert!(late.iter_mut().all(|one| one.now_or_never().is_none()), "their round has only begun");
        assert_eq!(quorum.begun(), ROUNDS_MAX + 1);
        quorum.ended.send_replace(usize::MAX);
        assert!(join_all(late).await.iter().all(Result::is_ok));
        assert_eq!(quorum.begun(), ROUNDS_MAX + 1, "all of them shared it");
    }

    #[tokio::test]
    async fn who_gives_up_waiting_holds_nobody_up() {
        let (rounds, quorum) = (Rounds::default(), Quorum::new());
        let mut given_up: Vec<_> = (0..2 * ROUNDS_MAX).map(|_| quorum.ask(&rounds)).collect();
        assert!(given_up.iter_mut().all(|one| one.now_or_never().is_none()));
        drop(given_up);
        quorum.ended.send_replace(usize::MAX);
        assert!(quorum.ask(&rounds).await.is_ok());
    }
}
