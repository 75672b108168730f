//! One session, from Hello to its end. Nothing here waits for the disk or for a provider: such answers come from tasks
//! that end with the session.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_core::execute::Job;
use mesh_core::ids::{Generation, RegionId, RunId, ServiceId};
use mesh_core::seek::{Seeker, Target};
use mesh_proto::v1;
use mesh_proto::v1::agent_session_client::AgentSessionClient;
use mesh_runtime::connect_error::connect_error;
use mesh_runtime::grpc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Streaming};
use v1::from_agent::Message as Say;
use v1::to_agent::Message as Heard;

use super::{Ending, Link, Loss, survey};
use crate::executor::{Offered, Report};
use crate::journal::IntentId;
use crate::journal::record::intent_id;
use crate::prober::watched::Watched;

/// Ours that the leader has not taken yet.
const OUTBOUND_MAX: usize = 256;
/// For a connection and for a Welcome.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const PING_EVERY: Duration = Duration::from_secs(1);
/// Without a Pong for so long another coordinator is tried: permission lasts 5 s, so there is time to find one.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// As much of the shortest lease; the rest is for another way to the leader. Longer than from one Pong to the next.
const SILENCE_SHARE: u32 = 3;
const SILENCE_MIN: Duration = Duration::from_millis(1_500);
/// An outcome that is not acknowledged is sent again in the same session: its commit may have failed.
const REPORT_AGAIN: Duration = Duration::from_secs(5);
/// What was seen since the last time is told at least so often: the leader counts on it (`core/detect`).
const SIGNALS_EVERY: Duration = Duration::from_secs(1);
/// News that wake the session are told together when they come so close to each other: a lost region fails hundreds of probes.
const SIGNALS_APART: Duration = Duration::from_millis(100);
const SIGNALS_PER_MESSAGE: usize = 256;
/// Halts, checks and acknowledgements that are being worked on.
const TASKS_MAX: usize = 256;

/// Of an agent that is not who it says it is; every coordinator repeats them.
const REFUSALS: [Code; 4] =
    [Code::PermissionDenied, Code::Unauthenticated, Code::InvalidArgument, Code::FailedPrecondition];

struct Conversation<'a> {
    link: &'a Link,
    outbound: mpsc::Sender<v1::FromAgent>,
    reported: BTreeMap<IntentId, Instant>,
    tasks: JoinSet<()>,
    last_pong: Instant,
    signals_sent: u64,
}

/// A session that was welcomed.
pub struct Opened {
    outbound: mpsc::Sender<v1::FromAgent>,
    inbound: Streaming<v1::ToAgent>,
    /// Another coordinator passes it on.
    pub passed_on: bool,
}

fn silence_max(link: &Link) -> Duration {
    let share = link.leases.shortest().map_or(SILENCE_MAX, |lease| lease / SILENCE_SHARE);
    share.clamp(SILENCE_MIN, SILENCE_MAX)
}

/// For how long an answer is waited for: as long as a lease allows, until every coordinator has been tried so. After that as
/// long as the slowest link may take.
pub fn answer_within(link: &Link, attempts: usize) -> Duration {
    if attempts < link.coordinators.len() { silence_max(link).min(ANSWER_WITHIN) } else { ANSWER_WITHIN }
}

/// As far as a Welcome, within `limit`.
pub async fn begin(
    link: &Link,
    target: &Target<String>,
    seeker: &Mutex<Seeker<String>>,
    terms: &AtomicU64,
    limit: Duration,
) -> Result<Opened, Ending> {
    let address = target.address.as_str();
    let lost = |reason: String, reached| Err(Ending::Lost(Loss { reason, reached, cure: None }));
    let (outbound, messages) = mpsc::channel(OUTBOUND_MAX);
    let (inbound, first) = match timeout(limit, open(link, target, &outbound, messages)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(loss)) => return Err(Ending::Lost(loss)),
        Err(_) => return lost(format!("no answer within {limit:?}"), false),
    };
    match first {
        Some(Heard::Welcome(welcome)) => {
            let highest = terms.fetch_max(welcome.term, Ordering::Relaxed);
            if welcome.term < highest {
                return lost(format!("it leads term {}, and term {highest} has welcomed us", welcome.term), true);
            }
            let passed_on = welcome.passed_on;
            if !passed_on {
                learn(seeker, target, welcome.region);
            }
            tracing::info!(
                coordinator = address,
                term = welcome.term,
                leader = welcome.leader,
                passed_on,
                "session begins"
            );
            Ok(Opened { outbound, inbound, passed_on })
        }
        Some(Heard::NotLeader(not)) => {
            learn(seeker, target, not.region.clone());
            Err(not_leader(not))
        }
        _ => lost("its first message was no Welcome".to_owned(), true),
    }
}

/// From before they told it, coordinators say nothing.
fn learn(seeker: &Mutex<Seeker<String>>, target: &Target<String>, region: String) {
    if let Ok(region) = RegionId::new(region) {
        super::lock(seeker).learn(&target.address, region);
    }
}

fn not_leader(not: v1::NotLeader) -> Ending {
    Ending::NotLeader(not.leader.filter(|leader| !leader.is_empty()))
}

/// Until its end.
pub async fn converse(link: &Link, opened: Opened, stop: &CancellationToken) -> Ending {
    let Opened { outbound, mut inbound, .. } = opened;
    link.gate.session_started();
    let mut conversation = Conversation {
        link,
        outbound,
        reported: BTreeMap::new(),
        tasks: JoinSet::new(),
        last_pong: Instant::now(),
        signals_sent: 0,
    };
    conversation.run(&mut inbound, stop).await
}

async fn open(
    link: &Link,
    target: &Target<String>,
    outbound: &mpsc::Sender<v1::FromAgent>,
    messages: mpsc::Receiver<v1::FromAgent>,
) -> Result<(Streaming<v1::ToAgent>, Option<Heard>), Loss> {
    let hello = Say::Hello(v1::Hello {
        agent: link.agent.to_string(),
        region: link.region.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        unfinished: link.executor.unfinished().iter().map(|intent| intent.seq.0).collect(),
        promise_address: link.promise_address.clone(),
        pass_on_to: target.pass_on_to.clone(),
    });
    let _ = outbound.try_send(v1::FromAgent { message: Some(hello) });
    let channel = grpc::connect(&target.address, &link.identities).map_err(|error| Loss {
        reason: error.to_string(),
        reached: false,
        cure: Some(error.hint()),
    })?;
    let mut client = AgentSessionClient::new(channel);
    let answer = client.open(ReceiverStream::new(messages)).await.map_err(|status| turned_away(&status))?;
    let mut inbound = answer.into_inner();
    let first = inbound.message().await.map_err(|status| turned_away(&status))?;
    Ok((inbound, first.and_then(|first| first.message)))
}

fn turned_away(status: &tonic::Status) -> Loss {
    let cure = match connect_error(status) {
        Some(error) => error.is_lasting().then(|| error.hint()),
        // The coordinator that refuses says itself what to do.
        None => REFUSALS.contains(&status.code()).then_some("do what the reason says, then restart this agent"),
    };
    Loss { reason: said(status), reached: REFUSALS.contains(&status.code()), cure }
}

fn said(status: &tonic::Status) -> String {
    format!("{}: {}", status.code(), status.message())
}

impl Conversation<'_> {
    async fn run(&mut self, inbound: &mut Streaming<v1::ToAgent>, stop: &CancellationToken) -> Ending {
        let lost = |reason: String| Ending::Lost(Loss { reason, reached: true, cure: None });
        let (mut pings, mut signals) = (interval(PING_EVERY), interval(SIGNALS_EVERY));
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        signals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut outcomes = self.link.executor.outcomes();
        let mut renewals = self.link.leases.renewals_wanted();
        let mut board = self.link.board.changes();
        let (mut resting, mut rested) = (false, Instant::now());
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ending::Stopped,
                () = sleep_until(self.last_pong + silence_max(self.link)) => return Ending::Silent,
                heard = inbound.message() => match heard {
                    Ok(Some(v1::ToAgent { message: Some(Heard::NotLeader(not)) })) => {
                        return not_leader(not);
                    }
                    Ok(Some(message)) => if let Err(reason) = self.hear(message) { return lost(reason) },
                    Ok(None) => return lost("the coordinator ended it".to_owned()),
                    Err(status) => return lost(said(&status)),
                },
                _ = pings.tick() => {
                    self.ping();
                    self.report_outcomes();
                }
                Ok(()) = renewals.changed() => self.ping(),
                Ok(()) = outcomes.changed() => self.report_outcomes(),
                Ok(()) = board.changed(), if !resting => {
                    self.send_signals();
                    (resting, rested) = (true, Instant::now() + SIGNALS_APART);
                }
                () = sleep_until(rested), if resting => resting = false,
                _ = signals.tick() => self.send_signals(),
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    /// An error ends the session.
    fn hear(&mut self, message: v1::ToAgent) -> Result<(), String> {
        if self.tasks.len() >= TASKS_MAX {
            return Err(format!("more than {TASKS_MAX} of its demands are open"));
        }
        match message.message {
            Some(Heard::Pong(pong)) => self.hear_pong(pong)?,
            Some(Heard::Offer(job)) => {
                self.hear_offer(Job::try_from(job).map_err(|error| format!("an offer that is none: {error}"))?);
            }
            Some(Heard::OutcomeAck(ack)) => self.hear_ack(intent_id(ack.service, ack.intent)?),
            Some(Heard::Halt(halt)) => self.hear_halt(RunId::new(halt.run).map_err(|error| error.to_string())?),
            Some(Heard::Check(request)) => self.hear_check(request),
            Some(Heard::Survey(demand)) => self.hear_survey(demand),
            Some(Heard::Watchlist(list)) => self.hear_watchlist(list),
            Some(Heard::Revoked(revoked)) => self.hear_revoked(revoked)?,
            Some(Heard::Welcome(_)) => return Err("a second Welcome".to_owned()),
            Some(Heard::NotLeader(_)) => return Err("it leads no more".to_owned()),
            None => tracing::debug!("a message of an unknown kind"),
        }
        Ok(())
    }

    fn ping(&self) {
        let nonce = self.link.gate.ping();
        let self_report = Some(self.link.self_report());
        self.say(Say::Ping(v1::Ping { nonce, self_report, standings: self.link.leases.standings() }));
    }

    fn hear_pong(&mut self, pong: v1::Pong) -> Result<(), String> {
        // Before the gate tells of it: whoever waits for both finds both.
        if let Some(sent) = self.link.gate.sent(pong.nonce) {
            self.link.leases.hear(pong.leases, sent)?;
        }
        let paused: Result<BTreeSet<RunId>, _> = pong.paused_runs.into_iter().map(RunId::new).collect();
        if self.link.gate.pong(pong.nonce, paused.map_err(|error| format!("a Pong that is none: {error}"))?) {
            self.last_pong = Instant::now();
        }
        Ok(())
    }

    fn hear_offer(&mut self, job: Job) {
        let (run, step, token) = (job.run.clone(), job.step.clone(), job.token);
        let offered = self.link.executor.offer(job);
        tracing::info!(%run, %step, intent = %token, offered = offered.name(), "intent offered");
        match offered {
            Offered::Taken | Offered::Known | Offered::Settled => {}
            Offered::Finished(report) | Offered::Refused(report) => {
                self.report(&report);
            }
        }
    }

    /// Acknowledged once it is on disk.
    fn hear_revoked(&mut self, revoked: v1::Revoked) -> Result<(), String> {
        let service = ServiceId::new(revoked.service).map_err(|error| error.to_string())?;
        let (leases, outbound) = (Arc::clone(&self.link.leases), self.outbound.clone());
        self.tasks.spawn(async move {
            match leases.end(&service, Generation(revoked.wanted)).await {
                Ok(()) => {
                    tracing::info!(%service, wanted = revoked.wanted, "what is older may not write any more");
                    let standings = v1::LeaseStandings { standings: leases.standings() };
                    let _ = outbound.send(v1::FromAgent { message: Some(Say::Standings(standings)) }).await;
                }
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, %service, "not acknowledged"),
            }
        });
        Ok(())
    }

    fn hear_ack(&mut self, intent: IntentId) {
        self.reported.remove(&intent);
        let executor = Arc::clone(&self.link.executor);
        self.tasks.spawn(async move {
            if let Err(error) = executor.acknowledge(&intent).await {
                tracing::error!(error = &error as &dyn std::error::Error, %intent, "not forgotten");
            }
        });
    }

    fn hear_halt(&mut self, run: RunId) {
        let (executor, outbound) = (Arc::clone(&self.link.executor), self.outbound.clone());
        self.tasks.spawn(async move {
            executor.halt(&run).await;
            tracing::info!(%run, "halted");
            let ack = Say::HaltAck(v1::HaltAck { run: run.to_string() });
            // It fails only when the session is over.
            let _ = outbound.send(v1::FromAgent { message: Some(ack) }).await;
        });
    }

    fn hear_check(&mut self, request: v1::CheckRequest) {
        let (executor, outbound) = (Arc::clone(&self.link.executor), self.outbound.clone());
        self.tasks.spawn(async move {
            let job = request.job.map(Job::try_from);
            let (verdict, detail) = match job {
                Some(Ok(job)) => executor.check(&job).await,
                Some(Err(error)) => (v1::CheckVerdict::Unknown, format!("the request is none: {error}")),
                None => (v1::CheckVerdict::Unknown, "the request names no job".to_owned()),
            };
            let report = Say::Check(v1::CheckReport { id: request.id, verdict: verdict.into(), detail });
            let _ = outbound.send(v1::FromAgent { message: Some(report) }).await;
        });
    }

    fn hear_survey(&mut self, demand: v1::SurveyDemand) {
        let (surveys, outbound) = (Arc::clone(&self.link.surveys), self.outbound.clone());
        self.tasks.spawn(async move {
            let report = Say::Survey(survey::report(surveys.as_ref(), demand).await);
            let _ = outbound.send(v1::FromAgent { message: Some(report) }).await;
        });
    }

    fn hear_watchlist(&self, list: v1::Watchlist) {
        self.link.leases.watch(&leased(&list));
        let watched = list.services.into_iter().filter_map(|service| match Watched::try_from(service) {
            Ok(watched) => Some(watched),
            Err(error) => {
                tracing::warn!(error, "a service is not watched: this version does not understand it");
                None
            }
        });
        self.link.watchlist.send_replace(Arc::new(watched.collect()));
    }

    fn report_outcomes(&mut self) {
        let now = Instant::now();
        for report in self.link.executor.unacknowledged() {
            let intent = IntentId::from(&report.job);
            let due = self.reported.get(&intent).is_none_or(|at| now.duration_since(*at) >= REPORT_AGAIN);
            if due && self.report(&report) {
                self.reported.insert(intent, now);
            }
        }
    }

    fn report(&self, report: &Report) -> bool {
        self.say(Say::Outcome(v1::OutcomeReport {
            service: report.job.service.to_string(),
            run: report.job.run.to_string(),
            step: report.job.step.to_string(),
            direction: v1::Direction::from(report.job.direction).into(),
            intent: report.job.token.intent.0,
            outcome: Some(v1::Outcome::from(&report.outcome)),
        }))
    }

    fn send_signals(&mut self) {
        let (signals, newest) = self.link.board.news(self.signals_sent, self.link.clock.stamp());
        for chunk in signals.chunks(SIGNALS_PER_MESSAGE) {
            if !self.say(Say::Signals(v1::Signals { signals: chunk.to_vec() })) {
                return;
            }
        }
        self.signals_sent = newest;
    }

    /// False if the leader does not take our messages; whatever matters is sent again.
    fn say(&self, message: Say) -> bool {
        self.outbound.try_send(v1::FromAgent { message: Some(message) }).is_ok()
    }
}

/// The services of a watchlist that have leases, with their lengths.
fn leased(list: &v1::Watchlist) -> BTreeMap<ServiceId, Duration> {
    let manifests = list.services.iter().filter_map(|watched| watched.manifest.as_ref());
    let leased = manifests.filter_map(|manifest| {
        let fence = manifest.fence.as_ref().filter(|fence| !fence.fences.is_empty())?;
        Some((ServiceId::new(manifest.service.clone()).ok()?, Duration::from_millis(fence.length_ms)))
    });
    leased.collect()
}
