use std::path::Path;

use mesh_core::execute::{CallResult, Observation};
use mesh_core::ids::IntentSeq;
use mesh_proto::v1::CheckVerdict;

use super::*;
use crate::fixtures::scripted::{Crash, CrashLog, Fault, World};
use crate::fixtures::{FakeClock, FastClock, job};
use crate::journal::{Journal, JournalLog};

/// Turns of the runtime that a test waits for a condition: far more than any needs.
const TURNS_MAX: u32 = 200_000;

struct Rig {
    executor: Arc<Executor>,
    gate: Arc<Gate>,
    world: Arc<World>,
    log: Arc<CrashLog>,
    clock: Arc<FakeClock>,
}

/// An agent on `directory`, as after a start; `world` outlives it.
async fn start(directory: &Path, world: &Arc<World>, crash: Option<Crash>) -> Rig {
    let clock = FakeClock::new();
    clock.advance(world.time());
    let mut journal = None;
    for _ in 0..TURNS_MAX {
        // An aborted task lets go of the journal when the runtime gets to it.
        journal = Journal::open(directory, clock.stamp().unix()).ok();
        if journal.is_some() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let fast: Arc<dyn Clock> = Arc::new(FastClock(Arc::clone(&clock)));
    let gate = Gate::new(Arc::clone(&fast));
    gate.session_started();
    world.connect(&gate, &clock);
    let log = Arc::new(CrashLog::new(JournalLog::new(journal.expect("the journal opens")), crash));
    let settings = Settings {
        region: RegionId::new("us-east-1").expect("a name"),
        call_deadline: Duration::from_secs(10),
        observe_deadline: Duration::from_secs(60),
    };
    let provider = Arc::clone(world) as Arc<dyn Provider>;
    let executor = Executor::start(Arc::clone(&log) as Arc<dyn Log>, Arc::clone(&gate), provider, fast, settings);
    Rig { executor: Arc::new(executor), gate, world: Arc::clone(world), log, clock }
}

impl Drop for Rig {
    /// Time goes on from here for the next agent.
    fn drop(&mut self) {
        self.world.note_time(&self.clock);
    }
}

impl Rig {
    async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        for _ in 0..TURNS_MAX {
            if holds(self) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("never came: {what}");
    }

    fn reported(&self, job: &Job) -> Option<Outcome> {
        let reports = self.executor.unacknowledged();
        reports.into_iter().find(|report| report.job.token == job.token).map(|report| report.outcome)
    }

    async fn outcome(&self, job: &Job) -> Outcome {
        self.until("an outcome", |rig| rig.reported(job).is_some()).await;
        self.reported(job).expect("it was there a moment ago")
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

const REFUSED: OutcomeResult = OutcomeResult::Refused { retry: false };
const TRY_AGAIN: OutcomeResult = OutcomeResult::Refused { retry: true };

#[tokio::test]
async fn whatever_becomes_of_a_call_there_is_one_effect() {
    for (faults, calls) in [
        (vec![], 1),
        (vec![Fault::Throttled], 2),
        (vec![Fault::Throttled, Fault::Throttled, Fault::Throttled], 4),
        (vec![Fault::TimeoutNotApplied], 2),
        (vec![Fault::TimeoutApplied], 1),
        (vec![Fault::HangNotApplied], 2),
        (vec![Fault::HangApplied], 1),
        (vec![Fault::TimeoutNotApplied, Fault::Throttled, Fault::TimeoutApplied], 3),
    ] {
        let (directory, world) = (directory(), World::new(faults.clone()));
        let rig = start(directory.path(), &world, None).await;
        let job = job(3, 7);
        assert_eq!(rig.executor.offer(job.clone()), Offered::Taken);
        let outcome = rig.outcome(&job).await;
        assert_eq!(outcome.result, OutcomeResult::Done, "{faults:?}: {outcome:?}");
        assert_eq!((outcome.calls, world.effects()), (calls, 1), "{faults:?}");
        assert_eq!(outcome.before, "{\"was\":true}", "{faults:?}");
    }
}

#[tokio::test]
async fn a_process_that_was_stopped_before_it_signed_sends_nothing_when_it_wakes() {
    let (directory, world) = (directory(), World::new(vec![Fault::StoppedBeforeSigning]));
    let rig = start(directory.path(), &world, None).await;
    world.lose_the_leader();
    let nonce = rig.gate.ping();
    rig.gate.pong(nonce, std::collections::BTreeSet::new());
    rig.executor.offer(job(3, 7));
    rig.until("the call", |rig| rig.world.calls() == 1).await;
    assert_eq!(world.effects(), 0, "its permission had ended while it was stopped");
}

#[tokio::test]
async fn a_crash_at_any_record_leaves_one_effect() {
    for fault in [None, Some(Fault::Throttled), Some(Fault::TimeoutApplied), Some(Fault::TimeoutNotApplied)] {
        for (at, after) in (0..8).flat_map(|at| [(at, false), (at, true)]) {
            let (directory, world) = (directory(), World::new(fault.into_iter().collect()));
            let job = job(3, 7);
            let crash = Crash { at, after };
            let first = start(directory.path(), &world, Some(crash)).await;
            first.executor.offer(job.clone());
            first.until("a crash or an outcome", |rig| rig.log.crashed() || rig.reported(&job).is_some()).await;
            drop(first);

            let second = start(directory.path(), &world, None).await;
            second.executor.offer(job.clone());
            let outcome = second.outcome(&job).await;
            assert_eq!(outcome.result, OutcomeResult::Done, "{fault:?} {crash:?}: {outcome:?}");
            assert_eq!(world.effects(), 1, "{fault:?} {crash:?}");
        }
    }
}

#[tokio::test]
async fn a_call_without_its_record_would_be_seen_as_a_second_effect() {
    let (directory, world) = (directory(), World::new(vec![]));
    let rig = start(directory.path(), &world, None).await;
    rig.log.forget_calls();
    rig.executor.offer(job(3, 7));
    rig.until("the planted bug shows", |rig| rig.world.effects() > 1).await;
}

#[tokio::test]
async fn after_a_restart_an_intent_that_is_not_offered_again_is_only_read_back() {
    let (directory, world) = (directory(), World::new(vec![]));
    let job = job(3, 7);
    let first = start(directory.path(), &world, Some(Crash { at: 0, after: true })).await;
    first.executor.offer(job.clone());
    first.until("the crash", |rig| rig.log.crashed()).await;
    drop(first);
    let second = start(directory.path(), &world, None).await;
    let outcome = second.outcome(&job).await;
    assert_eq!((outcome.result, world.calls()), (TRY_AGAIN, 0), "it may have been closed meanwhile: {outcome:?}");
}

#[tokio::test]
async fn a_refusal_is_read_back_once_and_final() {
    let (directory, world) = (directory(), World::new(vec![Fault::Rejected]));
    let rig = start(directory.path(), &world, None).await;
    let job = job(3, 7);
    rig.executor.offer(job.clone());
    let outcome = rig.outcome(&job).await;
    assert_eq!((outcome.result, outcome.calls, world.effects()), (REFUSED, 1, 0), "{outcome:?}");
}

#[tokio::test]
async fn a_stale_generation_is_refused_also_after_a_restart() {
    let (directory, world) = (directory(), World::new(vec![]));
    let (new, old, older) = (job(4, 8), job(3, 9), job(2, 10));
    let rig = start(directory.path(), &world, None).await;
    rig.executor.offer(new.clone());
    assert_eq!(rig.outcome(&new).await.result, OutcomeResult::Done);
    rig.executor.offer(old.clone());
    assert_eq!(rig.outcome(&old).await.result, REFUSED);
    rig.executor.acknowledge(&IntentId::from(&new)).await.expect("the disk takes it");
    drop(rig);
    let rig = start(directory.path(), &world, None).await;
    rig.executor.offer(older.clone());
    let outcome = rig.outcome(&older).await;
    assert_eq!((outcome.result, outcome.detail.as_str()), (REFUSED, "stale generation"));
    assert_eq!(world.calls(), 1);
}

#[tokio::test]
async fn a_newer_generation_stops_an_older_job_before_its_next_call() {
    let (directory, world) = (directory(), World::new(vec![Fault::Throttled; 100]));
    let (old, new) = (job(3, 7), job(4, 8));
    let rig = start(directory.path(), &world, None).await;
    let mut patient = old.clone();
    patient.retry.attempts_max = 1000;
    rig.executor.offer(patient);
    rig.until("a call", |rig| rig.world.calls() >= 1).await;
    rig.executor.offer(new.clone());
    let outcome = rig.outcome(&old).await;
    assert_eq!(outcome.result, REFUSED, "nothing of it was applied: {outcome:?}");
    assert!(outcome.detail.contains("stale generation"));
}

#[tokio::test]
async fn a_halted_run_makes_no_call() {
    let (directory, world) = (directory(), World::new(vec![]));
    let rig = start(directory.path(), &world, None).await;
    let job = job(3, 7);
    world.pause(&job.run);
    rig.executor.halt(&job.run).await;
    rig.executor.offer(job.clone());
    let outcome = rig.outcome(&job).await;
    assert_eq!((outcome.result, world.calls()), (TRY_AGAIN, 0), "its time ran out: {outcome:?}");
}

#[tokio::test]
async fn a_run_goes_on_when_the_leader_no_longer_calls_it_paused() {
    let (directory, world) = (directory(), World::new(vec![]));
    let rig = start(directory.path(), &world, None).await;
    let job = job(3, 7);
    rig.executor.halt(&job.run).await;
    rig.executor.offer(job.clone());
    assert_eq!(rig.outcome(&job).await.result, OutcomeResult::Done);
}

#[tokio::test]
async fn without_the_leader_nothing_is_called() {
    let (directory, world) = (directory(), World::new(vec![]));
    let rig = start(directory.path(), &world, None).await;
    world.lose_the_leader();
    let job = job(3, 7);
    rig.executor.offer(job.clone());
    let outcome = rig.outcome(&job).await;
    assert_eq!((outcome.result, world.calls()), (TRY_AGAIN, 0), "{outcome:?}");
}

#[tokio::test]
async fn permission_that_ends_while_the_journal_syncs_is_not_used() {
    let (directory, world) = (directory(), World::new(vec![]));
    let rig = start(directory.path(), &world, None).await;
    let clock = Arc::clone(&rig.clock);
    rig.log.on_call_started(move || clock.advance(crate::gate::PERMIT_FOR));
    let job = job(3, 7);
    rig.executor.offer(job.clone());
    let outcome = rig.outcome(&job).await;
    assert_eq!((outcome.result, world.calls()), (TRY_AGAIN, 0), "{outcome:?}");
}

#[tokio::test]
async fn an_intent_is_carried_out_once_however_often_it_is_offered() {
    let (directory, world) = (directory(), World::new(vec![]));
    let rig = start(directory.path(), &world, None).await;
    let job = job(3, 7);
    assert_eq!(rig.executor.offer(job.clone()), Offered::Taken);
    assert_eq!(rig.executor.offer(job.clone()), Offered::Known);
    let outcome = rig.outcome(&job).await;
    assert!(matches!(rig.executor.offer(job.clone()), Offered::Finished(report) if report.outcome == outcome));
    rig.executor.acknowledge(&IntentId::from(&job)).await.expect("the disk takes it");
    assert_eq!(rig.executor.offer(job.clone()), Offered::Settled);
    assert_eq!(rig.executor.unacknowledged(), []);
    drop(rig);
    let rig = start(directory.path(), &world, None).await;
    assert_eq!(rig.executor.offer(job), Offered::Settled, "also after a restart");
    assert_eq!(world.effects(), 1);
}

#[tokio::test]
async fn an_intent_that_was_closed_without_us_is_dropped() {
    let (directory, world) = (directory(), World::new(vec![]));
    let rig = start(directory.path(), &world, None).await;
    world.lose_the_leader();
    let job = Job { time_left: Duration::from_secs(1_000_000), ..job(3, 7) };
    rig.executor.offer(job.clone());
    rig.until("it is in the journal", |rig| !rig.executor.unfinished().is_empty()).await;
    rig.executor.acknowledge(&IntentId::from(&job)).await.expect("the disk takes it");
    rig.until("its task ends", |rig| rig.executor.shared.running().is_empty()).await;
    assert_eq!((rig.executor.unacknowledged(), world.calls()), (Vec::new(), 0));
}

#[tokio::test]
async fn a_newer_intent_at_the_same_effect_takes_over() {
    let (directory, world) = (directory(), World::new(vec![]));
    let rig = start(directory.path(), &world, None).await;
    let old = job(3, 7);
    let mut new = old.clone();
    new.token.intent = IntentSeq(8);
    new.maybe_sent_since = Some(rig.clock.stamp().unix());
    rig.executor.offer(old.clone());
    rig.gate.forget(&IntentId::from(&old));
    rig.executor.offer(new.clone());
    assert_eq!(rig.outcome(&new).await.result, OutcomeResult::Done);
    rig.outcome(&old).await;
    assert_eq!(world.effects(), 1);
}

#[tokio::test]
async fn the_provider_is_told_of_a_doubtful_call() {
    let (directory, world) = (directory(), World::new(vec![Fault::TimeoutNotApplied]));
    let rig = start(directory.path(), &world, None).await;
    let job = job(3, 7);
    rig.executor.offer(job.clone());
    rig.outcome(&job).await;
    assert!(world.was_told_of_doubt());
}

#[tokio::test]
async fn the_mesh_s_time_goes_on_from_the_offer() {
    let (directory, world) = (directory(), World::new(vec![Fault::Throttled, Fault::Throttled]));
    let rig = start(directory.path(), &world, None).await;
    let (said, offered_at) = (Timestamp::from_millis(1_700_000_000_000), rig.clock.stamp().monotonic);
    let job = Job { mesh_time: Some(said), ..job(3, 7) };
    rig.executor.offer(job.clone());
    rig.outcome(&job).await;
    let looks = world.looks();
    assert!(looks.last().is_some_and(|(_, at)| *at > offered_at), "time went on: {looks:?}");
    for (mesh, at) in looks {
        let passed = Duration::from_millis(u64::try_from((at - offered_at).as_millis()).expect("minutes"));
        assert_eq!(mesh, Some(said.plus(passed)));
    }
}

#[tokio::test]
async fn after_a_restart_a_call_in_doubt_is_repeated_only_by_a_look_that_knew_the_mesh_s_time() {
    let (directory, world) = (directory(), World::new(vec![]));
    let first = start(directory.path(), &world, Some(Crash { at: 1, after: true })).await;
    let said = Some(first.clock.stamp().unix());
    let job = Job { mesh_time: said, time_left: Duration::from_secs(1_000_000), ..job(3, 7) };
    first.executor.offer(job.clone());
    first.until("the crash", |rig| rig.log.crashed()).await;
    // What was sent then arrives no more: whoever looks may call.
    first.clock.advance(Duration::from_secs(3600));
    drop(first);

    let again = job.clone();
    let offers = Arc::new(Mutex::new(None::<Arc<Executor>>));
    let (offering, looked_before) = (Arc::clone(&offers), world.looks().len());
    world.in_the_next_look(move || {
        let executor = offering.lock().expect("nobody panics while it holds this").take();
        executor.expect("it is there before anybody looks").offer(again);
    });
    let second = start(directory.path(), &world, None).await;
    *offers.lock().expect("nobody panics while it holds this") = Some(Arc::clone(&second.executor));
    assert_eq!(second.outcome(&job).await.result, OutcomeResult::Done);
    let looks = world.looks();
    assert!(matches!(looks.get(looked_before), Some((None, _))), "the first look knew nothing: {looks:?}");
    assert_eq!((world.calls(), world.effects(), world.blind_calls()), (1, 1, 0));
}

#[tokio::test]
async fn a_check_observes_and_nothing_else() {
    let (directory, world) = (directory(), World::new(vec![]));
    let rig = start(directory.path(), &world, None).await;
    let job = job(3, 7);
    assert_eq!(rig.executor.check(&job).await, (CheckVerdict::Ready, "{\"was\":true}".to_owned()));
    assert_eq!((world.calls(), rig.executor.unfinished()), (0, Vec::new()));
    let elsewhere = Job { region: RegionId::new("us-west-2").expect("a name"), ..job };
    assert_eq!(rig.executor.check(&elsewhere).await.0, CheckVerdict::Blocked);
}

#[tokio::test]
async fn more_intents_than_fit_are_refused_and_may_be_tried_again() {
    let (directory, world) = (directory(), World::new(vec![]));
    let rig = start(directory.path(), &world, None).await;
    for seq in 1..=JOBS_MAX as u64 {
        assert_eq!(rig.executor.offer(job(3, seq)), Offered::Taken);
    }
    let refused = rig.executor.offer(job(3, 1000));
    assert!(matches!(refused, Offered::Refused(report) if report.outcome.result == TRY_AGAIN));
    let elsewhere = Job { region: RegionId::new("us-west-2").expect("a name"), ..job(3, 1001) };
    let refused = rig.executor.offer(elsewhere);
    assert!(matches!(refused, Offered::Refused(report) if report.outcome.result == REFUSED));
}

#[test]
fn the_scripted_world_itself_counts_every_effect() {
    let world = World::new(vec![]);
    assert!(matches!(world.call_now(), Some(CallResult::Accepted { .. })));
    assert!(matches!(world.call_now(), Some(CallResult::Accepted { .. })));
    assert_eq!(world.effects(), 2, "it is not idempotent: a second call would be seen");
    assert!(matches!(world.look(), Observation::Ready { .. }), "its reads lag its writes");
}
