//! One question, asked turn by turn.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::decide::safety::ITEMS_FRESH;
use mesh_core::detect::hysteresis::{Hysteresis, Seen};
use mesh_core::ids::RegionId;
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::Timestamp;
use mesh_providers::Count;
use mesh_providers::probe::Answer;
use rand::rngs::StdRng;

use super::Probes;
use super::board::Board;
use super::schedule::{Schedule, Turn};
use super::slip::Slip;
use super::slots::{Slot, Slots};
use super::watched::{Ask, Question};
use crate::clock::{Clock, Stamp};

/// A failure that took so much longer than its time-out was seen by a process that was held up itself.
const HELD_UP: Duration = Duration::from_secs(1);
/// The pause after a count, in times that it took.
const COUNT_REST: u32 = 10;
/// No room at all for a turn is a slip that costs this agent its vote (`core/detect`).
const LOST_TURN: Duration = Duration::from_secs(1);

pub(super) struct Asker {
    pub signal: Signal,
    pub question: Question,
    pub probes: Arc<dyn Probes>,
    pub board: Arc<Board>,
    pub clock: Arc<dyn Clock>,
    pub slots: Arc<Slots>,
    pub slip: Arc<Slip>,
    pub rng: StdRng,
    /// Why the lag could not be read, as it was last logged.
    pub trouble: String,
    pub count: Counting,
}

/// Of a table that is counted, by the clock that nobody sets.
#[derive(Default)]
pub(super) struct Counting {
    rest_until: Duration,
    last: Option<Duration>,
}

impl Asker {
    pub async fn run(mut self) {
        let gap_max = self.question.interval.saturating_mul(3).saturating_add(self.question.timeout);
        let mut hysteresis = Hysteresis::new(self.question.fail_after, self.question.pass_after, gap_max);
        let mut schedule = Schedule::new(self.now(), self.question.interval, &mut self.rng);
        loop {
            let (turn, lost) = schedule.next(self.now(), &mut self.rng);
            if lost > 0 {
                tracing::debug!(subject = self.signal.subject, region = %self.signal.region, lost, "turns were lost");
            }
            self.clock.sleep(turn.at.saturating_sub(self.now())).await;
            let Some(slot) = self.slot(turn).await else { continue };
            let seen = self.ask(&mut hysteresis).await;
            drop(slot);
            if let Some((reading, at, seen)) = seen {
                self.board.publish(Signal { reading, at, ..self.signal.clone() }, seen);
            }
        }
    }

    fn now(&self) -> Duration {
        self.clock.stamp().monotonic
    }

    /// A turn without a slot is lost: its signal grows old, and that check loses this agent's vote. How late a turn begins, and
    /// that there is no room though the region's share has some, says how far the agent may be trusted at all.
    async fn slot(&self, turn: Turn) -> Option<Slot> {
        let begins = self.clock.stamp();
        self.slip.note(begins.monotonic.saturating_sub(turn.at), begins);
        let share = self.while_it_lasts(turn, self.slots.share(&self.signal.region)).await?;
        let waiting = self.clock.stamp();
        let slot = self.while_it_lasts(turn, self.slots.slot(share)).await;
        let now = self.clock.stamp();
        let waited = now.monotonic.saturating_sub(waiting.monotonic);
        self.slip.note(if slot.is_some() { waited } else { waited.max(LOST_TURN) }, now);
        slot
    }

    async fn while_it_lasts<T>(&self, turn: Turn, wanted: impl Future<Output = Option<T>>) -> Option<T> {
        let left = turn.over.saturating_sub(self.now());
        tokio::select! {
            biased;
            given = wanted => given,
            () = self.clock.sleep(left) => None,
        }
    }

    async fn ask(&mut self, hysteresis: &mut Hysteresis) -> Option<(Reading, Timestamp, Seen)> {
        match self.question.ask.clone() {
            Ask::Health(question) => {
                let began = self.clock.stamp();
                let asking = self.probes.ask(&question, &self.signal.region, self.question.timeout);
                let answer = match self.bounded(asking).await {
                    Some(answer) => self.trusted(answer, began),
                    None => Answer::Unknown { reason: "the probe did not end".to_owned() },
                };
                Some(self.health(answer, hysteresis))
            }
            Ask::Lag { instance } => {
                let answer = self.bounded(self.probes.rds_lag(&instance)).await;
                self.lag(&instance, answer)
            }
            Ask::TableLag { table } => {
                let answer = self.bounded(self.probes.dynamodb_lag(&table, &self.signal.region)).await;
                self.lag(&table, answer)
            }
            Ask::Items { count, from } => self.count(&count, from).await,
            Ask::PostgresqlLag { instance, primary } => {
                let asking = self.probes.postgres_lag(&instance, primary.as_deref(), self.question.timeout);
                let answer = self.bounded(asking).await;
                let now = self.clock.stamp().unix();
                self.lag(&instance.address(), answer.map(|answer| answer.map(|lag| lag.map(|lag| (lag, now)))))
            }
        }
    }

    /// Reading a whole table costs its owner: it is done for one part in [`COUNT_REST`] of the time at most. What was counted
    /// stands while the other region cannot be asked, growing old.
    async fn count(&mut self, count: &Count, from: RegionId) -> Option<(Reading, Timestamp, Seen)> {
        let began = self.clock.stamp();
        if began.monotonic < self.count.rest_until {
            return None;
        }
        let answer = self.bounded(self.probes.items(count)).await;
        let now = self.clock.stamp();
        let took = now.monotonic.saturating_sub(began.monotonic);
        self.count.rest_until = now.monotonic.saturating_add(took.saturating_mul(COUNT_REST));
        let reason = match answer {
            Some(Ok((there, here))) => {
                self.count.last = Some(began.monotonic);
                // As of when it began: what was written since may be missing here.
                return Some((Reading::Items { from, there, here }, began.unix(), Seen::measured(now, began.unix())));
            }
            Some(Err(reason)) => reason,
            None => format!("no count within {:?}", self.question.timeout),
        };
        let stands = self.count.last.is_some_and(|last| now.monotonic.saturating_sub(last) < ITEMS_FRESH);
        (!stands).then(|| (Reading::Unknown { reason }, now.unix(), Seen::measured(now, now.unix())))
    }

    /// The probe bounds itself; this bounds one that does not.
    async fn bounded<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        let most = self.question.timeout.saturating_mul(2);
        tokio::select! {
            biased;
            answer = asked => Some(answer),
            () = self.clock.sleep(most) => None,
        }
    }

    /// A stopped process finds every time-out past when it goes on.
    fn trusted(&self, answer: Answer, began: Stamp) -> Answer {
        let took = self.clock.stamp().since(began);
        match answer {
            Answer::Failed { reason } if took > self.question.timeout.saturating_add(HELD_UP) => {
                let reason = format!("this agent was held up for {} ms; {reason}", took.as_millis());
                Answer::Unknown { reason }
            }
            other => other,
        }
    }

    fn health(&self, answer: Answer, hysteresis: &mut Hysteresis) -> (Reading, Timestamp, Seen) {
        let now = self.clock.stamp();
        let reading = match answer {
            Answer::Passed { latency } => hysteresis.record(Ok(latency), now),
            Answer::Failed { reason } => hysteresis.record(Err(reason), now),
            Answer::Unknown { reason } => hysteresis.record_unknown(reason, now),
        };
        (reading, now.unix(), hysteresis.seen(now))
    }

    /// Of the time when it was measured. When it cannot be read the last measurement stands, growing old: it is what
    /// the loss to expect is told from.
    fn lag(
        &mut self,
        replica: &str,
        answer: Option<Result<Option<(Duration, Timestamp)>, String>>,
    ) -> Option<(Reading, Timestamp, Seen)> {
        let trouble = match answer {
            Some(Ok(Some((lag, at)))) => {
                self.trouble.clear();
                return Some((Reading::ReplicaLag { lag }, at, Seen::measured(self.clock.stamp(), at)));
            }
            Some(Ok(None)) => "none was measured lately".to_owned(),
            Some(Err(reason)) => reason,
            None => format!("no answer within {:?}", self.question.timeout),
        };
        if trouble != self.trouble {
            tracing::info!(replica, reason = trouble, "replica lag is not known");
            self.trouble = trouble;
        }
        None
    }
}
