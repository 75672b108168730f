//! One agent's side of one service: its lease, its hold, the promises it gave, and its floor.
//!
//! Every method that changes the record says so: the caller has it on disk before it tells anyone or does anything that
//! follows from it. All of it is under one lock, so that promising and starting a call compare and write at once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Ack, Ask, AskList, News, Stamp, stretched};
use crate::ids::{AgentId, Generation};

/// What must survive a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// Highest generation heard of, wanted, promised or acted on.
    pub floor: Generation,
    pub promise: Option<Promise>,
    /// A call that lets somebody write may be out.
    pub open_call: Option<Generation>,
}

/// Given to holders of `generation`: nothing newer is taken for `length`, stretched, from its giving.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Promise {
    pub generation: Generation,
    pub length: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Holder {
    record: Record,
    /// Since when the promise of the record runs; from a restart on it runs in full again.
    promised_at: Stamp,
    lease: Option<Right>,
    hold: Option<Right>,
    asks: AskList,
    asking: Option<Asking>,
    rounds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Right {
    generation: Generation,
    from: Stamp,
    length: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asking {
    ask: Ask,
    at: Stamp,
    missing: BTreeSet<AgentId>,
}

/// The right to write that an agent has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub generation: Generation,
    pub left: Duration,
    pub kind: StandingKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingKind {
    Lease,
    Hold,
}

/// Why a promise is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    #[error("generation {0} was heard of")]
    Newer(Generation),
    #[error("a promise at generation {0} has not run out")]
    Promised(Generation),
    #[error("a call of generation {0} is out")]
    CallOpen(Generation),
}

/// Why a call that lets somebody write may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRight {
    #[error("generation {0} was heard of")]
    Newer(Generation),
    #[error("a promise at generation {0} has not run out")]
    Promised(Generation),
    #[error("neither lease nor hold lasts as long as the call can")]
    TooShort,
}

impl Holder {
    /// After a start: fenced, and whatever was promised is kept from the beginning.
    pub fn restarted(record: Record, now: Stamp) -> Self {
        Self { record, promised_at: now, ..Self::default() }
    }

    pub const fn record(&self) -> &Record {
        &self.record
    }

    pub const fn asks(&self) -> &AskList {
        &self.asks
    }

    /// Takes what the leader said in answer to a nonce that left at `sent`. True if the record changed.
    pub fn hear(&mut self, news: &News, sent: Stamp, now: Stamp) -> bool {
        let raised = self.raise(news.floor);
        let Some(lease) = &news.lease else { return raised };
        if self.bars(lease.generation, now) {
            return raised;
        }
        let raised = self.raise(lease.generation) || raised;
        // Two answers may overtake each other: the later sending is the longer right.
        let older = self.lease.as_ref().is_none_or(|known| {
            known.generation < lease.generation || sent.certainly_since(known.from) > Duration::ZERO
        });
        if older {
            self.lease = Some(Right { generation: lease.generation, from: sent, length: lease.length });
        }
        if lease.asks.version > self.asks.version {
            self.asks = lease.asks.clone();
        }
        raised
    }

    /// "g ends, h wanted": gives up whatever is older than `wanted`. True if the record changed.
    pub fn end(&mut self, wanted: Generation) -> bool {
        self.raise(wanted)
    }

    /// A promise to an agent of another region. Answered once the record is on disk.
    pub fn promise(&mut self, ask: &Ask, now: Stamp) -> Result<(), Refused> {
        if self.record.floor > ask.generation {
            return Err(Refused::Newer(self.record.floor));
        }
        if let Some(call) = self.record.open_call.filter(|call| *call > ask.generation) {
            return Err(Refused::CallOpen(call));
        }
        if let Some(older) = self.promised_below(ask.generation, now) {
            return Err(Refused::Promised(older));
        }
        self.raise(ask.generation);
        // An earlier, longer promise at the same generation is kept as well.
        if self.promise_left(now) <= stretched(ask.length) {
            self.record.promise = Some(Promise { generation: ask.generation, length: ask.length });
            self.promised_at = now;
        }
        Ok(())
    }

    /// Would [`Self::ask`] ask anybody?
    pub fn may_ask(&self) -> bool {
        let has_lease = self.lease.as_ref().is_some_and(|lease| lease.generation >= self.record.floor);
        has_lease && !self.asks.members.is_empty()
    }

    /// Begins a round of asking for the generation that this agent last had a lease on. `None`: there is nothing to ask
    /// for, or nobody to ask.
    pub fn ask(&mut self, now: Stamp) -> Option<(Ask, BTreeSet<AgentId>)> {
        let lease = self.lease.as_ref().filter(|lease| lease.generation >= self.record.floor)?;
        if self.asks.members.is_empty() {
            return None;
        }
        self.rounds = self.rounds.wrapping_add(1);
        let ask = Ask { generation: lease.generation, length: lease.length, round: self.rounds };
        self.asking = Some(Asking { ask: ask.clone(), at: now, missing: self.asks.members.clone() });
        Some((ask, self.asks.members.clone()))
    }

    /// `giver` has promised. True once all have: the hold counts from the asking.
    pub fn promised(&mut self, giver: &AgentId, round: u64, now: Stamp) -> bool {
        let Some(asking) = self.asking.as_mut().filter(|asking| asking.ask.round == round) else { return false };
        asking.missing.remove(giver);
        if !asking.missing.is_empty() {
            return false;
        }
        let Some(Asking { ask, at, .. }) = self.asking.take() else { return false };
        if self.bars(ask.generation, now) {
            return false;
        }
        self.hold = Some(Right { generation: ask.generation, from: at, length: ask.length });
        true
    }

    /// What it may write at now, and for how long: the longer of lease and hold.
    pub fn standing(&self, now: Stamp) -> Option<Standing> {
        let standing = |right: &Option<Right>, kind| {
            let right = right.as_ref().filter(|right| right.generation >= self.record.floor)?;
            let left = right.length.checked_sub(now.since(right.from)).filter(|left| !left.is_zero())?;
            Some(Standing { generation: right.generation, left, kind })
        };
        let (lease, hold) = (standing(&self.lease, StandingKind::Lease), standing(&self.hold, StandingKind::Hold));
        match (lease, hold) {
            (Some(lease), Some(hold)) if hold.left > lease.left => Some(hold),
            (lease, hold) => lease.or(hold),
        }
    }

    /// May a call that lets somebody write at `generation`, and takes at most `deadline`, start now? If so it is open in
    /// the record, which must be on disk before the call is sent.
    pub fn begin_call(&mut self, generation: Generation, deadline: Duration, now: Stamp) -> Result<(), NoRight> {
        self.permits_call(generation, deadline, now)?;
        self.raise(generation);
        self.record.open_call = Some(generation);
        Ok(())
    }

    /// As [`Self::begin_call`], changing nothing.
    pub fn permits_call(&self, generation: Generation, deadline: Duration, now: Stamp) -> Result<(), NoRight> {
        if self.record.floor > generation {
            return Err(NoRight::Newer(self.record.floor));
        }
        if let Some(older) = self.promised_below(generation, now) {
            return Err(NoRight::Promised(older));
        }
        let lasts = self.standing(now).is_some_and(|own| own.generation == generation && own.left > deadline);
        if lasts { Ok(()) } else { Err(NoRight::TooShort) }
    }

    /// The call has ended, and nothing of it can still arrive.
    pub const fn end_call(&mut self) {
        self.record.open_call = None;
    }

    pub fn ack(&self, now: Stamp) -> Ack {
        let held = self.standing(now).map(|own| own.generation);
        Ack {
            floor: self.record.floor,
            promise_left: self
                .promised_below(self.record.floor, now)
                .map_or(Duration::ZERO, |_| self.promise_left(now)),
            free_for: self.free_for(now),
            writes: held.max(self.record.open_call),
            asks: self.asks.version,
        }
    }

    /// Whatever is older ends here.
    fn raise(&mut self, generation: Generation) -> bool {
        if generation <= self.record.floor {
            return false;
        }
        self.record.floor = generation;
        let ended = |right: &Right| right.generation < generation;
        self.lease.take_if(|right| ended(right));
        self.hold.take_if(|right| ended(right));
        self.asking.take_if(|asking| asking.ask.generation < generation);
        true
    }

    /// Is something of `generation` not taken now?
    fn bars(&self, generation: Generation, now: Stamp) -> bool {
        self.record.floor > generation || self.promised_below(generation, now).is_some()
    }

    /// The generation of a promise that is older than `generation` and has not run out.
    fn promised_below(&self, generation: Generation, now: Stamp) -> Option<Generation> {
        let promise = self.record.promise.as_ref().filter(|promise| promise.generation < generation)?;
        (!self.promise_left(now).is_zero()).then_some(promise.generation)
    }

    /// Since the last promise, to whomever, has run out.
    fn free_for(&self, now: Stamp) -> Duration {
        let Some(promise) = &self.record.promise else { return Duration::MAX };
        now.certainly_since(self.promised_at).saturating_sub(stretched(promise.length))
    }

    fn promise_left(&self, now: Stamp) -> Duration {
        let Some(promise) = &self.record.promise else { return Duration::ZERO };
        stretched(promise.length).saturating_sub(now.certainly_since(self.promised_at))
    }
}
