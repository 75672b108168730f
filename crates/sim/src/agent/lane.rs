//! Probes: a lane for each thing that an agent asks again and again.
//!
//! A lane *rests* while nothing can come of it: its way and what it asks are untouched by any fault, its process runs, and
//! it passes. Its answers are not played then but reckoned, with the same draws, when somebody looks or before anything
//! changes. `tests/resting.rs` plays seeds with and without.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::detect::hysteresis::{Hysteresis, Seen};
use mesh_core::lease::Stamp;
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::Timestamp;

use super::{seen, whole_millis};
use crate::desk::{Told, ToldLag};
use crate::event::{Answer, Event, Say};
use crate::net::{Part, Place};
use crate::plant::Bug;
use crate::rng::{Rng, scaled};
use crate::setting::AGENTS_PER_REGION;
use crate::world::World;
use crate::{MILLI, Micros};

const LAGS_MAX: usize = 64;

pub struct Lane {
    pub region: usize,
    pub is_lag: bool,
    hysteresis: Hysteresis,
    pub signal: Arc<Signal>,
    seen: Seen,
    /// Number of its last publication; 0: none.
    number: u64,
    lags: VecDeque<Lag>,
    /// The grid of its turns, and when in its turn it was asked last.
    anchor: Micros,
    offset: Micros,
    rng: Rng,
    /// Questions whose answers are being played.
    asked: u32,
    resting: Option<Resting>,
}

#[derive(Clone, Copy)]
struct Resting {
    /// What was asked is answered then.
    answer: Option<Micros>,
    /// It asks again.
    next: Micros,
}

#[derive(Clone, Copy)]
struct Lag {
    lag: Duration,
    at: Timestamp,
    seen: Seen,
}

impl Lane {
    pub fn fails(&self) -> bool {
        matches!(self.signal.reading, Reading::Failing { .. })
    }

    pub fn passes(&self) -> bool {
        matches!(self.signal.reading, Reading::Passing { .. })
    }

    pub const fn rests(&self) -> bool {
        self.resting.is_some()
    }

    /// Its last measurement.
    pub fn last_lag(&self, now: Stamp) -> Option<ToldLag> {
        let lag = self.lags.back().filter(|_| self.is_lag)?;
        Some(self.told_lag(lag, now))
    }

    fn told_lag(&self, lag: &Lag, now: Stamp) -> ToldLag {
        ToldLag { region: self.region, lag: lag.lag, at: lag.at, age: whole_millis(lag.seen.age(now)) }
    }

    /// `age`: how old it was when it was read.
    fn publish_lag(&mut self, (lag, age): (Duration, Duration), stamp: Stamp) {
        if self.lags.len() >= LAGS_MAX {
            self.lags.pop_front();
        }
        let at = stamp.unix().minus(age);
        self.lags.push_back(Lag { lag, at, seen: Seen::measured(stamp, at) });
    }

    /// When it asks again, as `agent/src/prober/schedule.rs` has it: a turn's moment is drawn anew each time.
    fn next_turn(&mut self, now: Micros, took: Micros, interval: Micros, in_step: bool) -> Micros {
        let turn = (now - self.anchor.min(now)) / interval + 1;
        let spread = if in_step { interval / 10 } else { (self.offset + interval / 2).min(interval / 10 * 9) };
        self.offset = scaled(self.rng.draw(), spread);
        (self.anchor + turn * interval + self.offset).max(now + took)
    }
}

impl World {
    /// A number of its own for a lane in each life of its process.
    pub fn lane(&self, agent: usize, about: usize, is_lag: bool, epoch: u32) -> Lane {
        let gap = Duration::from_secs(self.set.interval_s * 3) + Duration::from_micros(self.set.probe_timeout());
        let signal = Signal {
            observer: self.names.agents[agent].clone(),
            observer_region: self.names.regions[agent / AGENTS_PER_REGION].clone(),
            service: self.names.service.clone(),
            region: self.names.regions[about].clone(),
            subject: if is_lag { self.set.database() } else { self.set.check() }.to_owned(),
            reading: Reading::Unknown { reason: String::new() },
            at: Timestamp::default(),
        };
        let thing = ((u64::from(epoch) << 8 | agent as u64) << 8 | about as u64) << 1 | u64::from(is_lag);
        Lane {
            region: about,
            is_lag,
            hysteresis: Hysteresis::new(self.set.fail_after, self.set.pass_after, gap),
            signal: Arc::new(signal),
            seen: Seen::default(),
            number: 0,
            lags: VecDeque::new(),
            anchor: 0,
            offset: 0,
            rng: Rng::of(self.seed, thing),
            asked: 0,
            resting: None,
        }
    }

    pub fn start_lane(&mut self, agent: usize, subject: usize) {
        let interval = self.set.every(self.agents[agent].subjects[subject].is_lag);
        let epoch = self.agents[agent].epoch;
        let now = self.now;
        let of = &mut self.agents[agent].subjects[subject];
        of.anchor = now + of.rng.below(interval) + 1;
        let anchor = of.anchor;
        self.at(anchor, Event::Probe { agent, subject, epoch });
    }

    pub fn probe(&mut self, agent: usize, subject: usize, epoch: u32, due: Micros) {
        if self.agents[agent].epoch != epoch {
            return;
        }
        self.note_slip(agent, Duration::from_micros(self.now - due));
        self.counts.probes += 1;
        let (took, answer) = self.question(agent, subject);
        let interval = self.set.every(self.agents[agent].subjects[subject].is_lag);
        let (now, in_step) = (self.now, self.bug(Bug::InStep));
        let next = self.agents[agent].subjects[subject].next_turn(now, took, interval, in_step);
        // To a process that stood still, an older answer may come after the question.
        if self.agents[agent].subjects[subject].asked == 0 && self.may_rest(agent, subject) {
            let answer = Some(now + took);
            self.agents[agent].subjects[subject].resting = Some(Resting { answer, next });
            return;
        }
        self.at(next, Event::Probe { agent, subject, epoch });
        self.agents[agent].subjects[subject].asked += 1;
        self.after(took, Event::Answer { agent, subject, epoch, answer });
    }

    /// How long it takes, and what it is answered.
    fn question(&mut self, agent: usize, subject: usize) -> (Micros, Answer) {
        let timeout = self.set.probe_timeout();
        let it = &mut self.agents[agent];
        if it.names_fail > 0 {
            it.unnamed += 1;
            return (timeout / 2, Answer::Unknown);
        }
        let of = &mut it.subjects[subject];
        let from = Self::agents_of(it.region);
        let to = Place { region: of.region, part: Part::Workload };
        let took = self.net.round_trip(from, to, timeout, &mut of.rng);
        let answers =
            if of.is_lag { self.cloud.tells_lag(of.region) } else { self.cloud.answers(of.region, &mut of.rng) };
        match (took, answers) {
            (Some(took), Some(late)) if took + late <= timeout => (took + late, Answer::Passed),
            // Refused at once, or no answer in time.
            (Some(took), None) => (took, Answer::Failed),
            _ => (timeout, Answer::Failed),
        }
    }

    /// Nothing can come of it until a fault begins: what was asked just now passes, and so does all that follows.
    fn may_rest(&self, agent: usize, subject: usize) -> bool {
        let it = &self.agents[agent];
        let of = &it.subjects[subject];
        let to = Place { region: of.region, part: Part::Workload };
        self.rests
            && !it.paused
            && it.names_fail == 0
            // While most look dead, each answer says how long that lasted.
            && !self.report(agent).most_look_dead()
            && (of.is_lag || of.hysteresis.is_steady())
            && self.cloud.servers[of.region].is_untouched()
            && self.net.is_clear(Self::agents_of(it.region), to)
    }

    pub fn answer(&mut self, agent: usize, subject: usize, epoch: u32, answer: Answer, late: Micros) {
        if self.agents[agent].epoch != epoch {
            return;
        }
        self.agents[agent].subjects[subject].asked -= 1;
        // What was answered while the process stood still may have been a timeout to it.
        let answer = if late > self.set.probe_timeout() && self.rng.per_mille(500) { Answer::Unknown } else { answer };
        let (now, stamp) = (self.now, self.stamp(agent));
        let about = self.agents[agent].subjects[subject].region;
        if self.agents[agent].subjects[subject].is_lag {
            if answer == Answer::Passed
                && let Some(lag) = self.lag_of(about, now)
            {
                let it = &mut self.agents[agent];
                it.published += 1;
                let of = &mut it.subjects[subject];
                of.publish_lag(lag, stamp);
                of.number = it.published;
            }
            return;
        }
        self.judge_answer(agent, about, &answer);
        let it = &mut self.agents[agent];
        let of = &mut it.subjects[subject];
        let was = std::mem::discriminant(&of.signal.reading);
        let reading = match answer {
            Answer::Passed => of.hysteresis.record(Ok(Duration::from_millis(5)), stamp),
            Answer::Failed => of.hysteresis.record(Err("no answer".to_owned()), stamp),
            Answer::Unknown => of.hysteresis.record_unknown("no resolver".to_owned(), stamp),
        };
        of.seen = of.hysteresis.seen(stamp);
        // A reading that stays passing is the same signal, seen again.
        if !(answer == Answer::Passed && was == std::mem::discriminant(&reading)) {
            of.signal = Arc::new(Signal { reading, at: stamp.unix(), ..(*of.signal).clone() });
        }
        it.published += 1;
        of.number = it.published;
        let seen_at = of.seen.at;
        let isolated = self.report(agent).most_look_dead() && !self.bug(Bug::IsolationCounts);
        if isolated {
            self.reckon_lanes(agent);
        }
        self.agents[agent].isolation.note(isolated, seen_at);
        if isolated {
            self.wake_lanes_of(agent);
        }
        // A user's figures want what `agent/src/prober/board.rs` has: each failure is told at once.
        let of = &self.agents[agent].subjects[subject];
        let at_once = self.set.given.is_some() && of.fails();
        if at_once || was != std::mem::discriminant(&of.signal.reading) {
            self.tell_signals(agent);
        }
    }

    // Lanes that rest.

    /// What their answers were up to now.
    pub fn reckon_lanes(&mut self, agent: usize) {
        for subject in 0..self.agents[agent].subjects.len() {
            self.reckon(agent, subject);
        }
    }

    pub fn reckon_all(&mut self) {
        (0..self.agents.len()).for_each(|agent| self.reckon_lanes(agent));
    }

    fn reckon(&mut self, agent: usize, subject: usize) {
        if !self.agents[agent].subjects[subject].rests() {
            return;
        }
        let interval = self.set.every(self.agents[agent].subjects[subject].is_lag);
        let (now, in_step, plant) = (self.now, self.bug(Bug::InStep), self.plant);
        let it = &mut self.agents[agent];
        let of = &mut it.subjects[subject];
        let stamp_at = |at| seen(it.clocks.stamp(at), plant);
        let Some(mut resting) = of.resting else { return };
        let (from, to) = (Self::agents_of(it.region), Place { region: of.region, part: Part::Workload });
        let is_primary = self.cloud.servers[of.region].primary;
        let late = if of.is_lag && is_primary { 0 } else { MILLI };
        let (mut passes, mut last) = (0, 0);
        loop {
            if let Some(at) = resting.answer {
                if at > now {
                    break;
                }
                resting.answer = None;
                (passes, last) = (passes + 1, at);
                if of.is_lag
                    && let Some(lag) = self.cloud.lag(of.region, at)
                {
                    of.publish_lag((lag, Duration::ZERO), stamp_at(at));
                }
            }
            if resting.next > now {
                break;
            }
            let asked = resting.next;
            let took = self.net.clear_round_trip(from, to, &mut of.rng) + late;
            resting.answer = Some(asked + took);
            resting.next = of.next_turn(asked, took, interval, in_step);
            self.counts.probes += 1;
        }
        of.resting = Some(resting);
        if passes == 0 || (of.is_lag && is_primary) {
            return;
        }
        if !of.is_lag {
            let stamp = stamp_at(last);
            of.hysteresis.pass_again(passes, stamp);
            of.seen = of.hysteresis.seen(stamp);
        }
        it.published += u64::from(passes);
        of.number = it.published;
    }

    /// Something has changed: whoever may not rest any more is played.
    pub fn wake_lanes(&mut self) {
        (0..self.agents.len()).for_each(|agent| self.wake_lanes_of(agent));
    }

    fn wake_lanes_of(&mut self, agent: usize) {
        for subject in 0..self.agents[agent].subjects.len() {
            let Some(resting) = self.agents[agent].subjects[subject].resting else { continue };
            if self.may_rest(agent, subject) {
                continue;
            }
            let of = &mut self.agents[agent].subjects[subject];
            of.resting = None;
            let refused = of.is_lag && self.cloud.servers[of.region].primary;
            let answer = if refused { Answer::Failed } else { Answer::Passed };
            let epoch = self.agents[agent].epoch;
            if let Some(at) = resting.answer {
                self.agents[agent].subjects[subject].asked += 1;
                self.at(at, Event::Answer { agent, subject, epoch, answer });
            }
            self.at(resting.next, Event::Probe { agent, subject, epoch });
        }
    }

    pub fn tell_signals(&mut self, agent: usize) {
        let Some((mut signals, lags)) = self.news_of_lanes(agent) else { return };
        if self.plant == Some(Bug::FailsAtFirst) {
            let active = self.names.region(&self.judge.fleet.services[&self.names.service].active);
            signals.iter_mut().filter(|told| told.region == active).for_each(as_if_failing);
        }
        if let Some(conn) = self.agents[agent].conn.as_ref().map(|conn| conn.conn) {
            self.say_to_node(conn, Say::Signals(signals, lags));
        }
    }

    /// What was not told yet in this session.
    pub fn news_of_lanes(&mut self, agent: usize) -> Option<(Vec<Told>, Vec<ToldLag>)> {
        self.reckon_lanes(agent);
        let stamp = self.stamp(agent);
        let it = &mut self.agents[agent];
        let conn = it.conn.as_mut().filter(|conn| conn.welcomed)?;
        let (mut signals, mut lags) = (Vec::new(), Vec::new());
        let unasked = self.plant == Some(Bug::FailsAtFirst);
        for of in it.subjects.iter().filter(|of| of.number > conn.sent || unasked && of.number == 0) {
            if of.is_lag {
                let from = if conn.sent == 0 { 0 } else { of.lags.len().saturating_sub(1) };
                lags.extend(of.lags.range(from..).map(|lag| of.told_lag(lag, stamp)));
            } else {
                signals.push(Told {
                    signal: Arc::clone(&of.signal),
                    region: of.region,
                    age: whole_millis(of.seen.age(stamp)),
                    failing: of.fails().then(|| whole_millis(it.isolation.failing_for(&of.seen, stamp))),
                    alternations: of.seen.alternations,
                });
            }
        }
        conn.sent = it.published;
        (!signals.is_empty() || !lags.is_empty()).then_some((signals, lags))
    }
}

fn as_if_failing(told: &mut Told) {
    if let Reading::Unknown { .. } = told.signal.reading {
        let reading = Reading::Failing { reason: String::new(), since: Timestamp::default() };
        told.signal = Arc::new(Signal { reading, ..(*told.signal).clone() });
        (told.failing, told.age) = (Some(Duration::from_secs(180)), Duration::ZERO);
    }
}
