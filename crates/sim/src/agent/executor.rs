//! Carries out intents as `agent/src/executor` does: accepted on disk, observed, permitted, the call on disk, the call,
//! its end on disk, observed until terminal, the outcome on disk, reported. `mesh_core::execute` decides.

use std::time::Duration;

use mesh_core::execute::{self, CallResult, Job, Next, Observation, Progress};
use mesh_core::ids::{Generation, IntentSeq};
use mesh_core::lease::Stamp;
use mesh_core::plan::Action;
use mesh_core::run::{Outcome, OutcomeResult};
use mesh_core::time::Timestamp;

use super::gate::PERMIT_FOR;
use super::{Agent, Steady};
use crate::event::{Call, Event, Report, Say, Written};
use crate::fault::Point;
use crate::plant::Bug;
use crate::setting::is_light;
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

/// A call without an answer for so long is unknown.
const CALL_DEADLINE: Duration = Duration::from_secs(5);
const OBSERVE_DEADLINE: Micros = 5 * SECOND;
/// A provider that refuses says so.
const ERROR_AFTER: Micros = 50 * MILLI;
const REPORT_AGAIN: Duration = Duration::from_secs(5);
/// A statement names the time of the server's clock after which it does nothing.
const STATEMENT_LIFETIME: Micros = 2 * SECOND;
/// A signed request is carried out for so long.
const SIGNATURE_LIFETIME: Micros = 300 * SECOND;

/// An intent as the journal has it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub job: Job,
    pub progress: Progress,
    pub outcome: Option<Outcome>,
    doubtful_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Accepting,
    Looking,
    Waiting,
    Starting,
    Calling,
    Ending,
    Finished,
}

/// The task of one intent.
pub struct Work {
    job: Job,
    stage: Stage,
    progress: Progress,
    started: Stamp,
    last_call: Option<Stamp>,
    looked_at: Stamp,
    unreadable: u32,
    calls: u32,
    reported: Option<Stamp>,
    /// What the look before the last call saw.
    before: String,
    /// Was it permitted before the last look?
    offered: bool,
}

impl Agent {
    pub fn open_call_on_disk(&self) -> Option<Generation> {
        let open = self
            .disk
            .entries
            .values()
            .filter(|entry| entry.job.action.lets_write() && entry.outcome.is_none() && entry.progress.calls > 0);
        open.map(|entry| entry.job.token.generation).max()
    }

    fn is_stale(&self, job: &Job) -> bool {
        let replaced = |entry: &Entry| entry.job.key == job.key && entry.job.token > job.token;
        let older = self.disk.floor > job.token.generation && job.is_leased();
        older || self.disk.entries.values().any(replaced)
    }

    /// `lease`: how long one is, if the service has any.
    fn permits(&self, job: &Job, now: Stamp, lease: Option<Duration>, permit_for: Duration) -> bool {
        let right = |lease| self.holder.permits_call(job.token.generation, deadline(lease), now).is_ok();
        self.gate.permits(job, now, permit_for) && (!job.action.lets_write() || lease.is_none_or(right))
    }
}

/// The others have no leases.
trait Leased {
    fn is_leased(&self) -> bool;
}

impl Leased for Job {
    fn is_leased(&self) -> bool {
        !is_light(&self.service)
    }
}

impl Work {
    /// Of its last call.
    pub const fn number(&self) -> u32 {
        self.calls
    }
}

fn deadline(lease: Duration) -> Duration {
    CALL_DEADLINE.min(lease / 2)
}

impl World {
    fn lease(&self) -> Duration {
        Duration::from_secs(self.set.lease_s)
    }

    fn permits(&self, agent: usize, job: &Job) -> bool {
        let it = &self.agents[agent];
        if self.bug(Bug::CallWithoutPermission) {
            return true;
        }
        if self.bug(Bug::RightUnasked) {
            return it.gate.permits(job, self.stamp(agent), PERMIT_FOR);
        }
        let permit_for = if self.bug(Bug::PermitTooLong) { Duration::from_secs(60) } else { PERMIT_FOR };
        let lease = self.set.is_leased().then(|| self.lease());
        it.permits(job, self.stamp(agent), lease, permit_for)
    }

    pub fn hear_offer(&mut self, agent: usize, mut job: Job) {
        if self.bug(Bug::WrongServer) {
            to_another(&mut job.action);
        }
        let (seq, heard) = (job.token.intent, self.stamp(agent));
        let it = &mut self.agents[agent];
        if it.disk.settled.contains(&seq) {
            return;
        }
        if it.disk.entries.get(&seq).is_some_and(|entry| entry.outcome.is_some()) {
            self.report_outcomes(agent, true);
            return;
        }
        it.mesh_time = job.mesh_time.map(|at| (at, heard)).or(it.mesh_time);
        it.gate.offered(seq);
        if job.action.mutates() && job.is_leased() {
            it.holder.end(job.token.generation);
        }
        if job.action.lets_write()
            && let Some(conn) = it.conn.as_ref().map(|conn| conn.conn)
        {
            self.ping(agent, conn);
        }
        if self.agents[agent].works.contains_key(&seq) {
            self.wake_works(agent);
            return;
        }
        let now = self.stamp(agent);
        let work = Work {
            job,
            stage: Stage::Accepting,
            progress: Progress::default(),
            started: now,
            last_call: None,
            looked_at: now,
            unreadable: 0,
            calls: 0,
            reported: None,
            before: String::new(),
            offered: false,
        };
        self.agents[agent].works.insert(seq, work);
        self.write(agent, Written::Accepted(seq));
    }

    /// After a restart, from the journal.
    pub fn resume_work(&mut self, agent: usize, entry: Entry) {
        let (seq, now) = (entry.job.token.intent, self.stamp(agent));
        let called = entry.progress.calls > 0;
        let work = Work {
            calls: entry.progress.calls,
            progress: entry.progress,
            job: entry.job,
            stage: Stage::Waiting,
            started: now,
            last_call: called.then_some(now),
            looked_at: now,
            unreadable: 0,
            reported: None,
            before: String::new(),
            offered: false,
        };
        self.agents[agent].works.insert(seq, work);
        self.work_after(agent, seq, MILLI);
    }

    fn work_after(&mut self, agent: usize, seq: IntentSeq, delay: Micros) {
        let epoch = self.agents[agent].epoch;
        self.after(delay.max(1), Event::Work { agent, epoch, seq });
    }

    /// Permission may have come.
    pub fn wake_works(&mut self, agent: usize) {
        let waiting = self.agents[agent].works.iter().filter(|(_, work)| work.stage == Stage::Waiting);
        let waiting: Vec<IntentSeq> = waiting.map(|(seq, _)| *seq).collect();
        for seq in waiting {
            self.work_after(agent, seq, 1);
        }
    }

    /// It looks.
    pub fn work(&mut self, agent: usize, epoch: u32, seq: IntentSeq) {
        if self.agents[agent].epoch != epoch {
            return;
        }
        let stamp = self.stamp(agent);
        let Some(work) = self.agents[agent].works.get_mut(&seq).filter(|work| work.stage == Stage::Waiting) else {
            return;
        };
        work.stage = Stage::Looking;
        work.looked_at = stamp;
        let (job, accepted) = (work.job.clone(), work.progress.accepted.clone());
        let offered = self.permits(agent, &job);
        if let Some(work) = self.agents[agent].works.get_mut(&seq) {
            work.offered = offered;
        }
        let job = self.for_provider(agent, &job);
        let (observation, took) = if job.action.is_postgres() {
            self.observe(agent, &job, accepted.is_some())
        } else {
            self.observe_zone(agent, &job, accepted.as_deref())
        };
        self.after(
            took.min(OBSERVE_DEADLINE),
            Event::Observed { agent, epoch, seq, observation: Box::new(observation) },
        );
    }

    fn for_provider(&self, agent: usize, job: &Job) -> Job {
        let (it, now) = (&self.agents[agent], self.stamp(agent));
        let mesh_now = it.mesh_time.map(|(at, heard)| at.plus(now.since_steady(heard)));
        match it.disk.entries.get(&job.token.intent) {
            Some(entry) => entry.job.for_provider(entry.doubtful_since, mesh_now),
            None => job.clone(),
        }
    }

    pub fn observed(&mut self, agent: usize, epoch: u32, seq: IntentSeq, observation: Observation) {
        if self.agents[agent].epoch != epoch {
            return;
        }
        let now = self.stamp(agent);
        let Some(entry) = self.agents[agent].disk.entries.get(&seq).cloned() else {
            self.agents[agent].works.remove(&seq);
            return;
        };
        let Some(work) = self.agents[agent].works.get_mut(&seq).filter(|work| work.stage == Stage::Looking) else {
            return;
        };
        work.unreadable = match observation {
            Observation::Unreadable { .. } => work.unreadable + 1,
            _ => 0,
        };
        let progress = Progress {
            since_call: work.last_call.map(|at| now.since(at)).unwrap_or_default(),
            elapsed: now.since(work.started),
            look_took: now.since(work.looked_at),
            unreadable: work.unreadable,
            ..entry.progress.clone()
        };
        let progress =
            if self.plant == Some(Bug::ForgetsDoubt) { Progress { in_doubt: false, ..progress } } else { progress };
        let (job, offered) = (work.job.clone(), work.offered);
        let permitted = self.permits(agent, &job) && (offered || entry.doubtful_since.is_none());
        let stale = self.agents[agent].is_stale(&job) && !self.bug(Bug::StaleGoesOn);
        let next = execute::next(&work_job(&self.agents[agent], seq), &progress, &observation, permitted);
        match next {
            Next::Finish(outcome) => self.finish(agent, seq, outcome),
            Next::Wait(_) | Next::Call { .. } if stale => {
                let outcome = execute::give_up(&job, &progress, "stale generation: a newer one is at work");
                self.finish(agent, seq, outcome);
            }
            Next::Wait(pause) => {
                self.stage(agent, seq, Stage::Waiting);
                self.work_after(agent, seq, u64::try_from(pause.as_micros()).unwrap_or(SECOND));
            }
            Next::Call { before } => self.begin_call(agent, seq, before),
        }
    }

    fn stage(&mut self, agent: usize, seq: IntentSeq, stage: Stage) {
        if let Some(work) = self.agents[agent].works.get_mut(&seq) {
            work.stage = stage;
        }
    }

    fn begin_call(&mut self, agent: usize, seq: IntentSeq, before: String) {
        let job = work_job(&self.agents[agent], seq);
        let (now, lease) = (self.stamp(agent), self.lease());
        let refused = !self.permits(agent, &job) || self.agents[agent].is_stale(&job) && !self.bug(Bug::StaleGoesOn);
        let unasked = matches!(self.plant, Some(Bug::CallWithoutPermission | Bug::RightUnasked));
        let it = &mut self.agents[agent];
        let no_right = job.action.lets_write()
            && self.set.is_leased()
            && it.holder.begin_call(job.token.generation, deadline(lease), now).is_err()
            && !unasked;
        if refused || no_right {
            self.stage(agent, seq, Stage::Waiting);
            self.work_after(agent, seq, 10 * MILLI);
            return;
        }
        self.agents[agent].gate.begin(&job);
        self.stage(agent, seq, Stage::Starting);
        if let Some(work) = self.agents[agent].works.get_mut(&seq) {
            work.before.clone_from(&before);
        }
        if self.bug(Bug::CallBeforeJournal) {
            self.send_call(agent, seq);
        }
        self.write(agent, Written::CallStarted { seq, before });
    }

    pub fn written_work(&mut self, agent: usize, written: Written) {
        match written {
            Written::Floor { .. } | Written::Promise { .. } => {}
            Written::Accepted(seq) => {
                let it = &mut self.agents[agent];
                let Some(work) = it.works.get_mut(&seq) else { return };
                let job = work.job.clone();
                work.stage = Stage::Waiting;
                if job.is_leased() {
                    it.disk.floor = it.disk.floor.max(job.token.generation);
                }
                let entry = Entry { job, progress: Progress::default(), outcome: None, doubtful_since: None };
                it.disk.entries.entry(seq).or_insert(entry);
                if !self.crashes_here(agent, Point::Accepted) {
                    self.work_after(agent, seq, 1);
                }
            }
            Written::CallStarted { seq, before } => {
                let at = self.stamp(agent).unix();
                let Some(entry) = self.agents[agent].disk.entries.get_mut(&seq) else { return };
                entry.progress.record_call_started(&before);
                entry.doubtful_since.get_or_insert(at);
                if self.crashes_here(agent, Point::Journalled) {
                    return;
                }
                if !self.bug(Bug::CallBeforeJournal) {
                    self.send_call(agent, seq);
                }
                self.crashes_here(agent, Point::Sent);
            }
            Written::CallEnded { seq, result } => {
                self.call_is_over(agent, seq, result);
                self.crashes_here(agent, Point::Ended);
            }
            Written::Outcome { seq, outcome } => {
                let Some(entry) = self.agents[agent].disk.entries.get_mut(&seq) else { return };
                entry.outcome = Some(outcome);
                self.stage(agent, seq, Stage::Finished);
                if !self.crashes_here(agent, Point::Finished) {
                    self.report_outcomes(agent, false);
                }
            }
            Written::Acknowledged(seq) => {
                let it = &mut self.agents[agent];
                it.disk.entries.remove(&seq);
                it.disk.settled.insert(seq);
                it.works.remove(&seq);
            }
        }
    }

    fn send_call(&mut self, agent: usize, seq: IntentSeq) {
        let now = self.stamp(agent);
        let Some(work) = self.agents[agent].works.get_mut(&seq) else { return };
        work.stage = Stage::Calling;
        work.last_call = Some(now);
        work.calls += 1;
        let (job, call, before) = (work.job.clone(), work.calls, work.before.clone());
        let epoch = self.agents[agent].epoch;
        let stale = self.agents[agent].is_stale(&job) && !self.bug(Bug::StaleGoesOn);
        if stale || !self.permits(agent, &job) {
            let result = Box::new(CallResult::NotApplied { reason: "permission ended before it was sent".to_owned() });
            self.after(1, Event::CallEnded { agent, epoch, seq, call, result });
            return;
        }
        self.counts.calls += 1;
        self.judge_call(agent, &job);
        if self.rng.per_mille(self.cloud.errors) {
            self.counts.provider_errors += 1;
            let reason = "the provider's error".to_owned();
            let again = self.rng.per_mille(700);
            let result = if again { CallResult::NotApplied { reason } } else { CallResult::Rejected { reason } };
            self.after(ERROR_AFTER, Event::CallEnded { agent, epoch, seq, call, result: Box::new(result) });
            return;
        }
        let (arrives, reply_lost) =
            if job.action.is_postgres() { self.way_of_call(agent, &job) } else { self.way_to_zone(agent, &job) };
        if let Some(arrives) = arrives {
            let lifetime = if job.action.is_postgres() { STATEMENT_LIFETIME } else { SIGNATURE_LIFETIME };
            let until = self.now + lifetime;
            let sent = Call { agent, epoch, job: job.clone(), until, reply_lost, before };
            self.after(arrives, Event::Effect(Box::new(sent)));
        }
        let longest = if job.action.lets_write() { deadline(self.lease()) } else { CALL_DEADLINE };
        let result = Box::new(CallResult::Unknown { reason: "no answer in time".to_owned() });
        let longest = u64::try_from(longest.as_micros()).unwrap_or(SECOND);
        self.after(longest, Event::CallEnded { agent, epoch, seq, call, result });
    }

    pub fn call_ended(&mut self, agent: usize, epoch: u32, seq: IntentSeq, call: u32, result: CallResult) {
        if self.agents[agent].epoch != epoch {
            return;
        }
        let now = self.stamp(agent);
        let Some(work) = self.agents[agent].works.get_mut(&seq) else { return };
        if work.stage != Stage::Calling || work.calls != call {
            return;
        }
        work.stage = Stage::Ending;
        work.last_call = Some(now);
        self.counts.unknown_calls += u64::from(matches!(result, CallResult::Unknown { .. }));
        self.write(agent, Written::CallEnded { seq, result });
    }

    fn call_is_over(&mut self, agent: usize, seq: IntentSeq, result: CallResult) {
        self.agents[agent].gate.end(seq);
        self.tell_halted(agent);
        let it = &mut self.agents[agent];
        if let Some(entry) = it.disk.entries.get_mut(&seq) {
            entry.progress.record_call_ended(result);
            entry.doubtful_since = entry.doubtful_since.filter(|_| entry.progress.in_doubt);
            if entry.job.action.lets_write() {
                it.holder.end_call();
            }
        }
        self.stage(agent, seq, Stage::Waiting);
        self.work_after(agent, seq, 1);
    }

    fn finish(&mut self, agent: usize, seq: IntentSeq, mut outcome: Outcome) {
        if self.bug(Bug::BlockedIsRetried) && outcome.result == (OutcomeResult::Refused { retry: false }) {
            outcome.result = OutcomeResult::Refused { retry: true };
        }
        self.stage(agent, seq, Stage::Ending);
        self.judge_outcome(agent, seq, &outcome);
        self.write(agent, Written::Outcome { seq, outcome });
    }

    /// `again`: those too that were reported a while ago.
    pub fn report_outcomes(&mut self, agent: usize, again: bool) {
        let (now, once) = (self.stamp(agent), self.bug(Bug::OutcomeToldOnce));
        let it = &mut self.agents[agent];
        let Some(conn) = it.conn.as_ref().filter(|conn| conn.welcomed).map(|conn| conn.conn) else { return };
        let mut reports = Vec::new();
        for (seq, entry) in &it.disk.entries {
            let Some(outcome) = &entry.outcome else { continue };
            let work = it.works.get_mut(seq);
            let reported = work.as_ref().and_then(|work| work.reported);
            if reported.is_some_and(|at| once || !again || now.since_steady(at) < REPORT_AGAIN) {
                continue;
            }
            if let Some(work) = work {
                work.reported = Some(now);
            }
            let job = &entry.job;
            let (run, step, direction) = (job.run.clone(), job.step.clone(), job.direction);
            let report = Report { run, step, direction, seq: *seq, outcome: outcome.clone() };
            reports.push(Say::Outcome(Box::new(report)));
        }
        for report in reports {
            self.say_to_node(conn, report);
        }
    }

    pub fn hear_halt(&mut self, agent: usize, asking: u64, run: mesh_core::ids::RunId) {
        self.agents[agent].gate.halt(asking, run);
        self.tell_halted(agent);
    }

    fn tell_halted(&mut self, agent: usize) {
        let halted = self.agents[agent].gate.take_halted();
        let Some(conn) = self.agents[agent].conn.as_ref().map(|conn| conn.conn) else { return };
        for (asking, run) in halted {
            self.say_to_node(conn, Say::Halted { asking, run });
        }
    }

    pub fn hear_outcome_ack(&mut self, agent: usize, seq: IntentSeq) {
        self.agents[agent].gate.forget(seq);
        if self.agents[agent].disk.entries.contains_key(&seq) {
            self.write(agent, Written::Acknowledged(seq));
        }
    }
}

fn to_another(action: &mut Action) {
    if let Action::PostgresPromote { instance } | Action::PostgresFence { instance } = action {
        instance.host = "pg9.example.com".to_owned();
    }
}

fn work_job(agent: &Agent, seq: IntentSeq) -> Job {
    agent.works[&seq].job.clone()
}
